"""A table of numbers with their intervals: sorted by its headers, and any cell can be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, Int, List, Unicode

from workbench.panels.parts.control import Control, script

if TYPE_CHECKING:
    from collections.abc import Callable


class Table(Control):
    """Rows and columns with names; the arrow keys walk, Enter and Space choose a cell or sort by a header.

    Args:
        sort: called with the number of the column whose header was pressed, -1 for that of the names.
        **traits: label and so on.

    Attributes:
        corner: the header of the names of rows.
        rows: their names.
        columns: names of the columns.
        hints: one more sentence on the corner and on each column.
        cells: one list a row, one mapping a column: ``text``, ``said`` (read out), ``best``, and ``value``, ``low``,
            ``high`` and ``chance`` as shares of the width of the column's bar, or None.
        order: numbers of the rows, from above.
        sorted: number of the column that they are sorted by, -1 for the names.
        descending: whether the largest stands above.
        selected: row and column of the cell that is chosen, [-1, -1] for none.
    """

    _esm = script("table")

    corner = Unicode().tag(sync=True)
    rows = List(Unicode()).tag(sync=True)
    columns = List(Unicode()).tag(sync=True)
    hints = List(Unicode()).tag(sync=True)
    cells = List(List(Dict())).tag(sync=True)
    order = List(Int()).tag(sync=True)
    sorted = Int(-1).tag(sync=True)
    descending = Bool(False).tag(sync=True)
    selected = List(Int(), default_value=[-1, -1]).tag(sync=True)

    def __init__(self, sort: Callable[[int], None], **traits: Any) -> None:
        super().__init__(**traits)
        self._sort = sort
        self.on_msg(self._handle)

    def _handle(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and "sort" in content and not self.disabled:
            column = int(content["sort"])
            if -1 <= column < len(self.columns):
                self._sort(column)
