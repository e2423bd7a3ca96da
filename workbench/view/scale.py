"""From values to colours, without hiding what does not fit: NaN, infinity and what lies beyond the scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize, to_rgba

from workbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.colors import Colormap
    from numpy.typing import NDArray

# Beyond-the-scale colours belong to neither map, so that a clipped value is never mistaken for an end of the scale.
ABOVE, BELOW = "#ffb000", "#12c4c4"
# From nothing to one hue that pictures rarely have: the picture stays visible, in its colours, where nothing is.
SEQUENTIAL = LinearSegmentedColormap.from_list("rising", [(0, "#d6006c00"), (1, "#d6006cff")])
MAPS = {"diverging": colormaps["RdBu_r"], "sequential": SEQUENTIAL}


@dataclass(frozen=True)
class Scale:
    """How values become colours.

    Attributes:
        low: the value at the lower end of the colour bar.
        high: the value at its upper end.
        kind: ``"diverging"`` (centred at 0, ``low == -high``) or ``"sequential"`` (from 0 or the least value up).
        below: how many finite values lie under ``low``, and are drawn in the colour kept for that.
        above: how many lie over ``high``.
        count: how many values there are, finite or not.
    """

    low: float
    high: float
    kind: Literal["diverging", "sequential"]
    below: int
    above: int
    count: int

    @property
    def normalise(self) -> Normalize:
        """The matplotlib normalisation of this scale."""
        return Normalize(self.low, self.high)

    def colours(self, opacity: float = 1.0) -> Colormap:
        """The colour map, with its own colours for values beyond either end.

        A sequential map rises from transparent to the opacity; NaN and infinity stay transparent.

        Args:
            opacity: of the whole map, in [0, 1].

        Returns:
            A colour map of 256 entries.
        """
        table = MAPS[self.kind](np.linspace(0, 1, 256)) * (1, 1, 1, opacity)
        ends = [to_rgba(colour, opacity) for colour in (BELOW, ABOVE)]
        return ListedColormap(table, bad=(0, 0, 0, 0), under=ends[0], over=ends[1])

    @property
    def extend(self) -> Literal["neither", "min", "max", "both"]:
        """Which ends of the colour bar point onwards, because values lie there."""
        if self.below and self.above:
            return "both"
        return "min" if self.below else "max" if self.above else "neither"


def choose_scale(
    values: Any,
    *,
    kind: Literal["diverging", "sequential", "auto"] = "diverging",
    limit: float | None = None,
    clip: float = 0.0,
) -> Scale:
    """Choose the scale that shows these values.

    Args:
        values: an array of any shape; NaN and infinite values do not count.
        kind: ``"auto"`` takes the sequential map where no value is negative.
        limit: the greatest magnitude that the scale shows, above 0; found from the values where omitted.
        clip: where no limit is given, the share of the finite values, in [0, 0.5], that may lie beyond the scale.

    Returns:
        The scale. Values that are all 0 (or none) get a scale that ends at 1.

    Raises:
        InputError: a limit that is not above 0, or a share outside [0, 0.5].
    """
    if limit is not None and not (np.isfinite(limit) and limit > 0):
        raise InputError(f"limit is {limit!r}; expected a finite number above 0, the magnitude where colours end.")
    if not 0 <= clip <= 0.5:
        raise InputError(f"clip is {clip!r}; expected the share of values beyond the scale, between 0 and 0.5.")
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    if kind == "auto":
        kind = "diverging" if (finite < 0).any() else "sequential"
    high = limit if limit is not None else _magnitude(finite, clip)
    low = -high if kind == "diverging" else min(0.0, float(finite.min())) if finite.size else 0.0
    return Scale(low, high, kind, int((finite < low).sum()), int((finite > high).sum()), array.size)


def combined(scales: Sequence[Scale]) -> Scale:
    """The first of some scales, with what all of them clip counted together."""
    return replace(
        scales[0],
        below=sum(scale.below for scale in scales),
        above=sum(scale.above for scale in scales),
        count=sum(scale.count for scale in scales),
    )


def _magnitude(finite: NDArray[np.float64], clip: float) -> float:
    magnitudes = np.abs(finite)
    if not magnitudes.size or not magnitudes.any():
        return 1.0
    reached = float(np.quantile(magnitudes, 1 - clip)) if clip else float(magnitudes.max())
    # More than the share may be 0 in a sparse map; a scale needs some length all the same.
    return reached or float(magnitudes[magnitudes > 0].min())
