"""A protocol's table as rows and cells: which order they have, and what each of them says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.view.words import number

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

NO_NUMBER = "\N{EN DASH}"


def sorted_methods(part: xr.Dataset, metric: str, *, best_first: bool) -> list[int]:
    """Positions of the methods, ordered by a metric; those without a number come last.

    Args:
        part: one model and one set of images of a protocol's table: (method, metric).
        metric: as the table names it; "" for the names of the methods.
        best_first: the best above, whichever way the metric points; of names, A above.

    Returns:
        (method) positions.
    """
    if not metric:
        names = [str(name).lower() for name in part["method"].values]
        found = sorted(range(len(names)), key=names.__getitem__)
        return found if best_first else found[::-1]
    column = part.sel(metric=metric)
    key = column["value"].values.astype(np.float64)
    if (str(column["better"].item()) == "higher") == best_first:
        key = -key
    return [int(index) for index in np.argsort(key, kind="stable")]  # NaN is sorted to the end


def descending(part: xr.Dataset, metric: str, *, best_first: bool) -> bool:
    """Whether the largest stands above when the methods are sorted so."""
    if not metric:
        return not best_first
    return (str(part["better"].sel(metric=metric).item()) == "higher") == best_first


def cells_of(part: xr.Dataset) -> list[list[dict[str, Any]]]:
    """What the cells of a table control say and show.

    Args:
        part: one model and one set of images of a protocol's table: (method, metric).

    Returns:
        One list a method, one mapping a metric, as :class:`~workbench.panels.parts.Table` takes them. The bars of a
        column share a scale, from the least to the largest of its values, ends of intervals and controls.
    """
    columns = [_column(part.isel(metric=index)) for index in range(part.sizes["metric"])]
    return [list(row) for row in zip(*columns, strict=True)]


def chance_of(cell: xr.Dataset) -> tuple[str, float]:
    """The first control that a cell has, and its value; "" and NaN where there is none."""
    for name, value in zip(cell["control"].values, cell["control_value"].values, strict=True):
        if np.isfinite(value):
            return str(name), float(value)
    return "", float("nan")


def interval(value: float, low: float, high: float) -> str:
    """A value and its interval, as they are read."""
    ends = f" [{number(low)}, {number(high)}]" if np.isfinite(low) and np.isfinite(high) else " (no interval)"
    return number(value) + ends


def _column(column: xr.Dataset) -> list[dict[str, Any]]:
    values, low, high = (column[name].values.astype(np.float64) for name in ("value", "low", "high"))
    controls = [chance_of(column.isel(method=index)) for index in range(column.sizes["method"])]
    every = np.concatenate([values, low, high, [value for _, value in controls]])
    every = every[np.isfinite(every)]
    first, last = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    best = _best(values, str(column["better"].item()) == "higher")

    def place(at: float) -> float | None:
        return round((at - first) / (last - first), 4) if np.isfinite(at) and last > first else None

    found = []
    for index, (name, chance) in enumerate(controls):
        said = f"{column['method'].values[index]}, {column['metric'].item()}: "
        if not np.isfinite(values[index]):
            note = str(column["note"].values[index])
            entry = {"text": NO_NUMBER, "said": f"{said}no number, {note}", "best": False}
            found.append({**entry, **dict.fromkeys(("value", "low", "high", "chance"))})
            continue
        beside = f"; {name}: {number(chance)}" if name else ""
        told = f"{said}{interval(values[index], low[index], high[index])}, n {int(column['n'].values[index])}{beside}"
        known = np.isfinite(low[index]) and np.isfinite(high[index])
        found.append(
            {
                "text": number(values[index]),
                "said": f"{told}; best of the column" if index == best else told,
                "best": index == best,
                "value": place(values[index]),
                "low": place(low[index]) if known else None,
                "high": place(high[index]) if known else None,
                "chance": place(chance),
            }
        )
    return found


def _best(values: NDArray[np.float64], higher: bool) -> int:
    if not np.isfinite(values).any():
        return -1
    return int(np.nanargmax(values) if higher else np.nanargmin(values))
