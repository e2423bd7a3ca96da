"""The numbers of a protocol as text: tables for a page, with an interval drawn in each cell, and CSV."""

from __future__ import annotations

import csv
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.errors import InputError
from workbench.view.words import number

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH, HEIGHT, MARGIN = 104, 16, 4  # of a bar, in CSS pixels
NEEDED = ("score", "value", "low", "high", "n", "control_value", "note")
FIELDS = ("value", "low", "high", "n")


def check_protocol_table(table: Any) -> xr.Dataset:
    """The table of a protocol, or an error.

    Args:
        table: what ``Protocol.run`` gave.

    Returns:
        The table.

    Raises:
        InputError: anything else.
    """
    if not isinstance(table, xr.Dataset):
        raise InputError(f"The table is {type(table).__name__}; expected the Dataset that Protocol.run gives.")
    missing = [name for name in NEEDED if name not in table]
    if missing or "protocol" not in table.attrs:
        lacking = f"variable {missing[0]!r}" if missing else "attribute 'protocol'"
        raise InputError(f"The table has no {lacking}; expected the Dataset that Protocol.run gives.")
    return table


def protocol_csv(table: xr.Dataset, path: str | Path | None = None) -> str:
    """The table of a protocol as CSV: one row a method, metric, model and data.

    Args:
        table: what :meth:`workbench.evaluate.Protocol.run` gives.
        path: a file to write; none where omitted.

    Returns:
        The text: a row of names first. Columns: ``method``, ``metric``, ``model``, ``data``, ``better``, ``value``,
        ``low``, ``high`` (95 % interval), ``n`` (images), value, low, high and n of each control that the metric has
        anywhere, ``note`` (why there is no number) and ``protocol``, its hash. Numbers have all their digits; what is
        not known is empty.

    Raises:
        InputError: no such table.
    """
    check_protocol_table(table)
    controls = [str(name) for name in table["control"].values if (table["control_n"].sel(control=name) > 0).any()]
    places = ("method", "metric", "model", "data")
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(
        [*places, "better", *FIELDS, *(f"{name} {field}" for name in controls for field in FIELDS), "note", "protocol"]
    )
    for index in np.ndindex(tuple(table.sizes[name] for name in places)):
        cell = table.isel(dict(zip(places, index, strict=True)))
        row: list[Any] = [cell[name].item() for name in (*places, "better")]
        row += [_exact(cell[name].item()) for name in FIELDS]
        for name in controls:
            one = cell.sel(control=name)
            row += [_exact(one[f"control_{field}"].item()) for field in FIELDS]
        writer.writerow([*row, cell["note"].item(), table.attrs["protocol"]])
    text = lines.getvalue()
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _exact(value: float) -> str:
    return "" if value != value else repr(value)


def scored(part: xr.Dataset, kind: str) -> xr.Dataset:
    """The methods of a kind, and the metrics that are meant for them.

    Args:
        part: one model and one set of images of a table.
        kind: ``"explanation"`` or ``"interpretation"``.

    Returns:
        That part of the table.
    """
    methods = np.flatnonzero(part["kind"].values == kind)
    columns = np.flatnonzero(part["metric_kind"].values == kind)
    return part.isel(method=methods, metric=columns)


def leaderboard(part: xr.Dataset, caption: str) -> Iterator[str]:
    """One table: a row a method, a column a metric; in each cell value, interval, n and the controls.

    Args:
        part: what :func:`scored` gave.
        caption: what the table shows.

    Yields:
        Lines of HTML.
    """
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(caption, quote=True)}"><table>'
    yield f"<caption>{html.escape(caption)}</caption><thead><tr><th scope='col'>method</th>"
    for column in range(part.sizes["metric"]):
        one = part.isel(metric=column)
        better = "higher is better" if one["better"].item() == "higher" else "lower is better"
        yield f"<th scope='col'>{html.escape(str(one['metric'].item()))}<br><small>{better}</small></th>"
    yield "</tr></thead><tbody>"
    bests = [_best(part.isel(metric=column)) for column in range(part.sizes["metric"])]
    for row in range(part.sizes["method"]):
        yield f"<tr><th scope='row'>{html.escape(str(part['method'].values[row]))}</th>"
        for column in range(part.sizes["metric"]):
            cells = part.isel(metric=column)
            yield _cell(cells, row, best=bests[column] == row)
        yield "</tr>"
    yield "</tbody></table></div>"


def _best(column: xr.Dataset) -> int:
    """Position of the best method, -1 where there is no number."""
    values = column["value"].values
    if not np.isfinite(values).any():
        return -1
    return int(np.nanargmax(values) if column["better"].item() == "higher" else np.nanargmin(values))


def _cell(column: xr.Dataset, row: int, *, best: bool) -> str:
    cell = column.isel(method=row)
    value, low, high, n = (cell[name].item() for name in FIELDS)
    if n == 0 or value != value:
        note = html.escape(str(cell["note"].item()) or "no number")
        return f'<td class="none"><span title="{note}">none</span></td>'
    controls = {
        str(name): cell["control_value"].sel(control=name).item()
        for name in cell["control"].values
        if cell["control_n"].sel(control=name).item() > 0
    }
    interval = "no interval" if low != low else f"{number(low)} to {number(high)}"
    beside = "<br>".join(f"<small>{html.escape(name)} {number(one)}</small>" for name, one in controls.items())
    shown = f"<strong>{number(value)}</strong> (best)" if best else number(value)
    picture = _bar(column, value, low, high, controls)
    return f"<td>{shown}<br><small>{interval}; n = {n}</small>{picture}{beside}</td>"


def _bar(column: xr.Dataset, value: float, low: float, high: float, controls: dict[str, float]) -> str:
    """The interval on the scale of its column, its controls as upright strokes."""
    ends = np.concatenate(
        [column[name].values.ravel() for name in ("value", "low", "high")] + [column["control_value"].values.ravel()]
    )
    first, last = float(np.nanmin(ends)), float(np.nanmax(ends))
    spread = last - first if last > first else 1.0

    def place(at: float) -> float:
        return round(MARGIN + (at - first) / spread * (WIDTH - 2 * MARGIN), 1)

    words = f"{number(value)}" + ("" if low != low else f", 95 % interval {number(low)} to {number(high)}")
    words += "".join(f"; {name} {number(at)}" for name, at in controls.items())
    middle = HEIGHT / 2
    strokes = [f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{middle}" y2="{middle}"/>']
    strokes += [
        f'<line class="control" x1="{place(at)}" x2="{place(at)}" y1="2" y2="{HEIGHT - 2}"/>'
        for at in controls.values()
        if at == at
    ]
    if low == low:
        strokes.append(f'<line class="interval" x1="{place(low)}" x2="{place(high)}" y1="{middle}" y2="{middle}"/>')
    strokes.append(f'<circle cx="{place(value)}" cy="{middle}" r="3.5"/>')
    label = html.escape(words, quote=True)
    return f'<svg role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}">{"".join(strokes)}</svg>'
