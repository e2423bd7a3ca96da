"""The fourth question: which explanation methods do not change when the network forgets what it has learned."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from protocol_parts.settings import Named
from protocol_parts.written import best_first, lines, listed

STABLE = 0.5  # rank correlation with the maps of a randomised network from which on a map hardly depends on weights


def answer(table: xr.Dataset) -> Iterator[str]:
    """Who stays the same, and who keeps something."""
    part = table.isel(model=0, data=0)
    lows = part["low"].sel({"metric": str(part["metric"].values[0])})
    names = [str(name) for name in part["method"].values]
    stable = [name for name, low in zip(names, lows.values, strict=True) if low > STABLE]
    above = [name for name, low in zip(names, lows.values, strict=True) if 0 < low <= STABLE]
    yield (
        f"4. **Which methods do not change when the network is randomised?** With a rank correlation above {STABLE}, "
        f"its whole interval, so that the map hardly depends on what was learned: {listed(stable)}. Above zero, so "
        f"that part of the map is the picture's: {listed(above)}. The other {len(names) - len(stable) - len(above)} "
        f"are not shown to keep anything (n = {int(part['n'].min())})."
    )


def section(named: Named, table: xr.Dataset) -> Iterator[str]:
    """The table."""
    part = table.isel(model=0, data=0)
    metrics = [str(name) for name in part["metric"].values]
    yield "## 4. Which methods do not change when the network is randomised"
    yield ""
    yield (
        "Similarity of each map with those of copies of `scenes_part` whose layers are drawn anew, cascading from the "
        "output to three depths, the last of them the whole network; mean over the three (protocol "
        f"`{named.protocol.hash[:12]}`). 1: the map does not change; 0: nothing of it is left. Only the network's "
        "weights change, not the category that is explained."
    )
    yield ""
    yield from lines(part, metrics, best_first(part, metrics[0])[::-1], ("rank correlation", "SSIM"))
