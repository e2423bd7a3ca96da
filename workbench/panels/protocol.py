"""Which method is right, by how much, and against what chance: a protocol's table, and the images behind every cell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import view
from workbench.errors import InputError, StoreMismatchError
from workbench.evaluate import Protocol
from workbench.panels.parts import Cache, Gauge, Panel, Table, column
from workbench.panels.parts.display import File
from workbench.panels.protocol_cell import check_table, protocol_cell
from workbench.panels.protocol_controls import ProtocolControls, ProtocolState
from workbench.panels.protocol_pairs import Pairs
from workbench.panels.protocol_table import cells_of, descending, interval, sorted_methods
from workbench.panels.words import as_python, time_left
from workbench.view.words import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xarray as xr

    from workbench.explain import Progress
    from workbench.panels.parts.panel import Report
    from workbench.view import Picture

HOW = (
    "Bars are 95 % intervals, dark strokes the values, dotted lines chance, each column on a scale of its own. "
    "Press a header to sort, a cell to see its images; the arrow keys walk through the table."
)
FORMATS = (("csv", "Table", "Save the table as CSV"), ("report", "Report", "Save the report as HTML"))


@dataclass(frozen=True)
class ProtocolRequest:
    """What a :class:`ProtocolState` asks for: one cell of the table, and how its images are cut and chosen.

    Attributes:
        method: as the table names it.
        metric: likewise.
        model: likewise.
        data: likewise.
        seed: of the maps.
        binariser: as text, with its number.
        order: which images.
        count: how many.
    """

    method: str
    metric: str
    model: str
    data: str
    seed: int
    binariser: str
    order: Any
    count: int

    @property
    def maps(self) -> dict[str, Any]:
        """What the maps depend on."""
        return {"method": self.method, "model": self.model, "data": self.data, "seed": self.seed}

    @property
    def cell(self) -> dict[str, Any]:
        """Everything, as :func:`~workbench.panels.protocol_cell` takes it."""
        rest = {"binariser": self.binariser, "order": self.order, "count": self.count}
        return {"method": self.method, "metric": self.metric, **self.maps, **rest}


class ProtocolPanel(Panel[ProtocolState, ProtocolRequest]):
    """Read a protocol's table: sort it, look behind its cells, move the threshold, and see which methods differ.

    Args:
        table: what :meth:`~workbench.evaluate.Protocol.run` gives.
        protocol: the protocol that it is of; read from the table where omitted.
        models: networks that do not ship with the package, where the protocol does not hold them.
        data: images by the name that the protocol gives them, likewise.

    Raises:
        InputError: no table of a protocol, or one without any number.
        StoreMismatchError: the table of another protocol.

    >>> table = protocol.run()                        # doctest: +SKIP
    >>> panel = ProtocolPanel(table)                  # doctest: +SKIP
    >>> panel.state.sort = "pointing_game"            # doctest: +SKIP
    >>> panel.state.binariser = "fraction"            # doctest: +SKIP
    >>> panel.state.threshold = 0.3                   # doctest: +SKIP
    >>> float(panel.result["value"])                  # doctest: +SKIP
    """

    heading = "Which method is right, and by how much?"
    file_name = "protocol"
    drawing_traits = frozenset({"opacity"})
    other_traits = frozenset({"sort", "best_first", "pairs"})

    def __init__(
        self,
        table: xr.Dataset,
        *,
        protocol: Protocol | None = None,
        models: Sequence[Any] = (),
        data: Mapping[str, Any] | None = None,
    ) -> None:
        check_table(table)
        self.table, self._given = table, protocol is not None
        self.protocol = _protocol_of(table) if protocol is None else protocol
        if self.protocol.hash != table.attrs["protocol"]:
            raise StoreMismatchError(
                f"The table is of the protocol {table.attrs['protocol'][:12]}, and this is {self.protocol.hash[:12]}. "
                "Leave protocol= out, and it is read from the table."
            )
        self._models, self._images = tuple(models), dict(data or {})
        self._maps: Cache[xr.Dataset] = Cache(8)
        self._ready: Cache[Protocol] = Cache(1)
        super().__init__(_first_state(table))
        self.controls = ProtocolControls(self.state)
        self.score = Gauge(label="Overlap at this threshold")
        self.pairs = Pairs(table)
        self.table_box = Table(self._sort, label="Methods by metrics", corner="method", hint=HOW)
        self.table_box.observe(self._picked, "selected")
        self.actions.formats = [*self.actions.formats, *map(list, FORMATS)]
        self.assemble(
            self.controls.columns,
            self.controls.look,
            above=[self.table_box, self.score],
            below=[column([self.controls.pairs, self.pairs.widget], "group")],
        )
        self.state.observe(self._follow_table, ["model", "data", "sort", "best_first", "method", "metric"])
        self.state.observe(self._follow_pairs, ["model", "data", "sort", "best_first", "metric", "pairs"])
        self._follow_table()

    @property
    def comparison(self) -> xr.Dataset:
        """Which pairs of methods differ by the metric of the state, as ``evaluate.method_comparison`` gives it.

        Raises:
            InputError: fewer than two methods have scores by it.
        """
        return self.pairs.compare(self.state.metric, self.state.model, self.state.data)

    @property
    def methods(self) -> list[str]:
        """The methods in the order that the table shows them in."""
        return [str(self._part["method"].values[index]) for index in self._rows()]

    def request(self) -> ProtocolRequest:
        """What the state asks for."""
        state = self.state
        return ProtocolRequest(
            state.method, state.metric, state.model, state.data, state.seed, str(state.cut), state.order, state.count
        )

    def compute(self, request: ProtocolRequest, *, stop: Callable[[], bool], report: Report) -> xr.Dataset:
        """Make the maps of the method where they are not known, and cut them; see :meth:`Panel.compute`."""
        key = tuple(request.maps.values())

        def told(progress: Progress) -> None:
            words = f"Making the maps of {request.method}: {time_left(progress.seconds_left)}"
            report(progress.fraction, words, None)

        if key not in self._maps:
            report(-1, f"Making the maps of {request.method}", None)
        maps = self._maps.get(key, lambda: self._at_hand().heatmaps(**request.maps, progress=told, stop=stop))
        return protocol_cell(self.table, maps, **request.cell)

    def draw(self, result: xr.Dataset) -> Picture:
        """The images behind the cell."""
        return view.protocol_cell(result, opacity=round(self.state.opacity, 3))

    def reproduce(self, request: ProtocolRequest) -> str:
        """Code that computes and draws the same, given the variable ``table``."""
        given = {"models": self._models, "data": self._images}
        names = [name for name, value in given.items() if value]
        hand = f".at_hand({', '.join(f'{name}={name}' for name in names)})" if names else ""
        listed = ", ".join(f"`{name}`" for name in ["table", *(["protocol"] if self._given else []), *names])
        made = "protocol" if self._given else 'evaluate.Protocol.from_json(table.attrs["description"])'
        lines = [
            f"from workbench import {'' if self._given and not self.state.pairs else 'evaluate, '}panels, view",
            "",
            f"# what the panel was given: {listed}",
            *([] if self._given and not names else [f"protocol = {made}{hand}"]),
            f"maps = protocol.heatmaps({as_python(request.maps)[2:]})",
            f"cell = panels.protocol_cell(table, maps{as_python(request.cell)})",
            f"display(view.protocol_cell(cell, opacity={round(self.state.opacity, 3)}))",
        ]
        if self.state.pairs:
            wanted = {"metric": request.metric, "model": request.model, "data": request.data}
            lines.append(f"pairs = evaluate.method_comparison(table{as_python(wanted)})")
            lines.append(f"display(view.protocol_pairs(pairs, order={self.methods!r}))")
        return "\n".join(lines) + "\n"

    def computed(self, result: xr.Dataset) -> None:
        """Say what the score is at this threshold, and what the table says."""
        value = float(result["value"])
        if not np.isfinite(value):
            self.score.show(0, "Nothing is annotated in these images, so there is no overlap to score.", _said(result))
            return
        ends = interval(value, float(result["low"]), float(result["high"]))
        images = count(int(result["n"]), "image")
        self.score.show(value, f"{ends}, {images}: {result.attrs['measure']}.", _said(result))

    # What a person does with a panel, from code.

    def save(self, path: str | Path) -> Path:
        """Write what the panel shows to a file.

        Args:
            path: ends with ``.csv`` for the table, ``.html`` for the report, or as in :meth:`Panel.save` for the images
                behind the cell.

        Returns:
            The path written.

        Raises:
            InputError: another ending.
        """
        path = Path(path)
        kind = {".csv": "csv", ".html": "report"}.get(path.suffix)
        if kind is None:
            return super().save(path)
        path.write_bytes(self.file(kind).content)
        return path

    def file(self, kind: str) -> File:
        """What the panel shows as a file; see :meth:`Panel.file`.

        Args:
            kind: ``"csv"`` and ``"report"`` for the whole table, else as :meth:`Panel.file`.

        Returns:
            Name, media type and bytes.
        """
        if kind == "csv":
            return File(f"{self.file_name}.csv", "text/csv", view.protocol_csv(self.table).encode())
        if kind == "report":
            return File(f"{self.file_name}.html", "text/html", view.protocol_report(self.table).encode())
        return super().file(kind)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is computed and drawn, the pairs too; see :meth:`Panel.wait`."""
        return super().wait(timeout) and self.pairs.wait(timeout)

    def refresh(self) -> None:
        """Compute what the state asks for; what is being computed is cancelled."""
        super().refresh()
        self._follow_pairs()

    # The table.

    @property
    def _part(self) -> xr.Dataset:
        return self.table.sel(model=self.state.model, data=self.state.data)

    def _rows(self) -> list[int]:
        return sorted_methods(self._part, self.state.sort, best_first=self.state.best_first)

    def _sort(self, column_number: int) -> None:
        """A header was pressed: sort by it, the best above; once more turns the order."""
        state = self.state
        wanted = "" if column_number < 0 else state.names["metric"][column_number]
        if wanted == state.sort and self.table_box.sorted == column_number:
            state.best_first = not state.best_first
        else:
            state.best_first, state.sort = True, wanted
        self._follow_table()

    def _picked(self, change: Any) -> None:
        row, place = change["new"]
        names = self.state.names
        if 0 <= row < len(names["method"]) and 0 <= place < len(names["metric"]):
            with self.state.hold_trait_notifications():
                self.state.method, self.state.metric = names["method"][row], names["metric"][place]

    def _follow_table(self, _: Any = None) -> None:
        """Bring the table in step with the state."""
        state, part, names = self.state, self._part, self.state.names
        turned = descending(part, state.sort, best_first=state.best_first)
        with self.table_box.hold_sync():
            self.table_box.rows, self.table_box.columns = names["method"], names["metric"]
            self.table_box.hints = ["Names of methods.", *_directions(part)]
            self.table_box.cells = cells_of(part)
            self.table_box.order = self._rows()
            self.table_box.sorted = names["metric"].index(state.sort) if state.sort else -1
            self.table_box.descending = turned
            self.table_box.selected = [names["method"].index(state.method), names["metric"].index(state.metric)]

    def _follow_pairs(self, _: Any = None) -> None:
        """Compare, draw or hide the pairs, as the state asks for."""
        state = self.state
        if not self._started:
            return
        self.actions.code = self.code()
        if state.pairs:
            self.pairs.show(state.metric, state.model, state.data, self.methods)
        else:
            self.pairs.hide()

    def _at_hand(self) -> Protocol:
        try:
            return self._ready.get(0, lambda: self.protocol.at_hand(models=self._models, data=self._images))
        except InputError as error:
            raise InputError(
                f"{error} A panel takes them too: ProtocolPanel(table, models=[...], data={{name: ...}})."
            ) from error

    def _fail(self, error: BaseException) -> None:
        super()._fail(error)
        self.score.show(0)


def _protocol_of(table: xr.Dataset) -> Protocol:
    description = table.attrs.get("description")
    if not description:
        raise InputError("The table does not hold the description of its protocol. Pass protocol=.")
    return Protocol.from_json(str(description))


def _first_state(table: xr.Dataset) -> ProtocolState:
    """The first cell that has a number, in a table that is sorted by its metric."""
    names = {dim: [str(name) for name in table[dim].values] for dim in ("method", "metric", "model", "data")}
    numbered = np.argwhere((table["n"].transpose("model", "data", "metric", "method") > 0).values)
    if not len(numbered):
        raise InputError("The table has no number yet. Run the protocol: protocol.run(path=...).")
    own = dict(zip(names["metric"], map(str, table["binariser"].values), strict=True))
    state = ProtocolState(names=names, seeds=[int(seed) for seed in table["seed"].values], own=own)
    for dim, index in zip(("model", "data", "metric", "method"), numbered[0], strict=True):
        setattr(state, dim, names[dim][int(index)])
    state.sort = state.metric
    return state


def _said(result: xr.Dataset) -> str:
    """What the table says of the cell."""
    facts = result.attrs
    cell = f"{facts['method']} by {facts['metric']}"
    if not np.isfinite(float(result["table_value"])):
        return f"In the table, {cell} has no number: {facts['note']}."
    value, low, high = (float(result[f"table_{name}"]) for name in ("value", "low", "high"))
    return f"In the table, {cell}: {interval(value, low, high)}, {count(int(result['table_n']), 'image')}."


def _directions(part: xr.Dataset) -> list[str]:
    return [f"{str(which).capitalize()} is better." for which in part["better"].values]
