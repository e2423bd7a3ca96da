"""The part of a protocol panel that says which pairs of methods differ; it has a worker of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench import view
from workbench.evaluate import method_comparison
from workbench.panels.parts import Cache, Message, PictureBox, Ticket, Worker, column
from workbench.panels.parts.panel import drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

Question = tuple[str, str, str]


class Pairs:
    """Paired tests between all methods by one metric, on demand and off the main thread.

    Args:
        table: a protocol's table.

    Attributes:
        result: the comparison that is shown, or None.
        error: what went wrong last, or None.
        box: shows its picture.
        message: says why there is none.
        widget: both.
    """

    def __init__(self, table: xr.Dataset) -> None:
        self._table = table
        self._known: Cache[xr.Dataset] = Cache(64)
        self._worker = Worker()
        self.result: xr.Dataset | None = None
        self.error: BaseException | None = None
        self.box, self.message = PictureBox(), Message()
        self.widget = column([self.message, self.box], "stage")
        self.hide()

    def show(self, metric: str, model: str, data: str, order: Sequence[str]) -> None:
        """Show the pairs by a metric.

        Args:
            metric: as the table names it.
            model: likewise.
            data: likewise.
            order: names of the methods from above.
        """
        self.widget.layout.display = ""
        self.box.busy = True
        self._worker.submit(lambda ticket: self._work(ticket, (metric, model, data), list(order)))

    def hide(self) -> None:
        """Show nothing."""
        self.widget.layout.display = "none"
        self.box.source = ""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the pairs are compared and drawn; see :meth:`Panel.wait`."""
        return self._worker.wait(timeout)

    def compare(self, metric: str, model: str, data: str) -> xr.Dataset:
        """The comparison; made once.

        Args:
            metric: as the table names it.
            model: likewise.
            data: likewise.

        Returns:
            As :func:`~workbench.evaluate.method_comparison`.

        Raises:
            InputError: fewer than two methods have scores.
        """
        return self._known.get(
            (metric, model, data), lambda: method_comparison(self._table, metric=metric, model=model, data=data)
        )

    def _work(self, ticket: Ticket, question: Question, order: list[str]) -> None:
        try:
            found = self.compare(*question)
            with drawing:
                picture = view.protocol_pairs(found, order=order)
                if not ticket.superseded:
                    self.box.show(picture)
        except Exception as error:  # shown in the panel, and raised by its .comparison
            if not ticket.superseded:
                self._fail(error)
            return
        if not ticket.superseded:
            self.result, self.error, self.box.busy = found, None, False
            self.message.show(None)

    def _fail(self, error: BaseException) -> None:
        self.result, self.error = None, error
        self.message.show(error)
        self.box.source, self.box.busy = "", False
