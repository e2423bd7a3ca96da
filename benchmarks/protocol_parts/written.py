"""How the page writes a number, a list and a choice of columns."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr


def cell(found: xr.Dataset) -> str:
    """A cell of a protocol's table: value, interval and n."""
    n = int(found["n"])
    if not n:
        return "none, n = 0"
    return estimate(float(found["value"]), float(found["low"]), float(found["high"]), n)


def control(found: xr.Dataset, name: str) -> str:
    """What chance gives in the place of a cell."""
    one = found.sel(control=name)
    ends = (float(one[f"control_{field}"]) for field in ("value", "low", "high"))
    return estimate(*ends, int(one["control_n"]))


def estimate(value: float, low: float, high: float, n: int) -> str:
    """A number as it always stands: with its interval and its n."""
    if not n or value != value:
        return "none, n = 0"
    interval = "no interval" if low != low else f"{low:.2f}, {high:.2f}"
    return f"{value:.2f} [{interval}] n {n}"


def listed(names: Sequence[str]) -> str:
    """Names as code, or "none"."""
    return ", ".join(f"`{name}`" for name in names) or "none"


def labels(part: xr.Dataset, names: Sequence[str]) -> list[str]:
    """The columns of metrics, in the order of these."""
    return [
        str(label)
        for wanted in names
        for label, name in zip(part["metric"].values, part["metric_name"].values, strict=True)
        if name == wanted
    ]


def lines(
    part: xr.Dataset, columns: Sequence[str], rows: Sequence[str], heads: Sequence[str] | None = None
) -> list[str]:
    """Methods by metrics, as the lines of a table."""
    found = ["| method | " + " | ".join(heads or columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for method in rows:
        row = part.sel({"method": method})
        found.append(f"| `{method}` | " + " | ".join(cell(row.sel({"metric": name})) for name in columns) + " |")
    return found


def best_first(part: xr.Dataset, metric: str) -> list[str]:
    """The methods that have a number by a metric, the best above."""
    values = part["value"].sel({"metric": metric})
    sign = 1 if values["better"].item() == "higher" else -1
    order = (sign * values).fillna(-float("inf")).argsort()[::-1]
    return [str(part["method"].values[int(index)]) for index in order]
