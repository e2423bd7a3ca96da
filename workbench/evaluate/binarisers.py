"""Where to cut a heatmap: every binariser gives each map the lowest value that is chosen.

Each takes the maps as rows, (map, position) float64, and gives (map) float64; none loops over maps. They are called
through :func:`workbench.evaluate.binarise`, which checks the maps and says what becomes of constant ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InputError
from workbench.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 256
binarisers = Registry("binariser")


@binarisers.register(
    title="Fraction of the maximum",
    source=("zhou2016",),
    access="black box",
    returns="the pixels that reach a fraction of the map's maximum",
    parameters={"fraction": ("float", 0.5, 0.05, 1.0)},
)
def fraction(values: NDArray[np.float64], *, fraction: float = 0.5) -> NDArray[np.float64]:
    """A fraction of each map's maximum.

    Args:
        values: (map, position) float64.
        fraction: of the maximum, in (0, 1].

    Returns:
        (map) float64, the lowest value that is chosen.

    Raises:
        InputError: a fraction outside (0, 1].

    Source: [zhou2016]
    """
    if not 0 < fraction <= 1:
        raise InputError(f"fraction is {fraction}; expected a share of the maximum in (0, 1].")
    return np.asarray(fraction * values.max(axis=1))


@binarisers.register(
    title="Percentile of the map",
    source=(),
    access="black box",
    returns="the highest share of each map's pixels",
    note="Chooses as many pixels on every map, however much of the image the part covers.",
    parameters={"share": ("float", 0.1, 0.001, 0.9)},
)
def percentile(values: NDArray[np.float64], *, share: float = 0.1) -> NDArray[np.float64]:
    """The quantile of each map above which a share of its pixels lies; pixels equal to it are chosen too.

    Args:
        values: (map, position) float64.
        share: of the pixels, in (0, 1).

    Returns:
        (map) float64, the lowest value that is chosen.

    Raises:
        InputError: a share outside (0, 1).
    """
    _check_share(share)
    return np.asarray(np.quantile(values, 1 - share, axis=1))


@binarisers.register(
    title="Quantile of the dataset",
    source=("bau2017",),
    access="black box",
    returns="what exceeds a quantile of the unit's values over all images",
    note="One threshold a unit: images on which the unit is weak get nothing.",
    parameters={"share": ("float", 0.005, 0.0005, 0.2)},
)
def dataset_quantile(values: NDArray[np.float64], *, share: float = 0.005) -> NDArray[np.float64]:
    """One quantile of all values of a unit, over images and positions; pixels equal to it are chosen too.

    Args:
        values: (map, position) float64, all maps of one unit.
        share: of all values, in (0, 1).

    Returns:
        (map) float64, the same for every map: the lowest value that is chosen.

    Raises:
        InputError: a share outside (0, 1).

    Source: [bau2017]
    """
    _check_share(share)
    threshold = np.quantile(values, 1 - share)
    # a quantile that is the least value there is would choose everything
    return np.full(len(values), max(threshold, np.nextafter(values.min(), np.inf)))


@binarisers.register(
    title="Otsu", source=("otsu1979",), access="black box", returns="the upper of two classes of least variance"
)
def otsu(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The threshold that separates the means of two classes most, over a histogram of 256 bins.

    Args:
        values: (map, position) float64.

    Returns:
        (map) float64, the lowest value that is chosen.

    Source: [otsu1979]
    """
    counts, centres = _histograms(values)
    weighted = counts * centres
    below, above = counts.cumsum(axis=1), _from_above(counts)
    mean_below, mean_above = weighted.cumsum(axis=1) / below, _from_above(weighted) / above
    between = below[:, :-1] * above[:, 1:] * (mean_below[:, :-1] - mean_above[:, 1:]) ** 2
    return _just_above(centres[between.argmax(axis=1)], values)


@binarisers.register(title="Mean", source=(), access="black box", returns="the pixels above the map's mean")
def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What exceeds each map's mean.

    Args:
        values: (map, position) float64.

    Returns:
        (map) float64, the lowest value that is chosen.
    """
    return np.asarray(np.nextafter(values.mean(axis=1), np.inf))


@binarisers.register(
    title="Mean and standard deviations",
    source=(),
    access="black box",
    returns="the pixels above the map's mean plus some standard deviations",
    note="A map whose high values cover much of it chooses nothing: two levels need a share below 1 / (1 + k^2).",
    parameters={"deviations": ("float", 1.0, 0.0, 4.0)},
)
def mean_deviations(values: NDArray[np.float64], *, deviations: float = 1.0) -> NDArray[np.float64]:
    """What exceeds each map's mean by some standard deviations of its values.

    Args:
        values: (map, position) float64.
        deviations: how many; finite, zero or more.

    Returns:
        (map) float64, the lowest value that is chosen.

    Raises:
        InputError: a negative or infinite number of deviations.
    """
    if not 0 <= deviations < np.inf:
        raise InputError(f"deviations is {deviations}; expected a finite number of zero or more.")
    return np.asarray(np.nextafter(values.mean(axis=1) + deviations * values.std(axis=1), np.inf))


@binarisers.register(
    title="Triangle", source=("zack1977",), access="black box", returns="what lies beyond the histogram's knee"
)
def triangle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The bin farthest below the line from the histogram's peak to its longer tail, over 256 bins.

    Args:
        values: (map, position) float64.

    Returns:
        (map) float64, the lowest value that is chosen.

    Source: [zack1977]
    """
    counts, centres = _histograms(values)
    peak = counts.argmax(axis=1)
    # the tail is always taken to lie to the left of the peak
    flipped = peak < BINS - 1 - peak
    counts = np.where(flipped[:, None], counts[:, ::-1], counts)
    width = np.where(flipped, BINS - 1 - peak, peak)[:, None].astype(np.float64)
    height = counts.max(axis=1, keepdims=True)
    length = np.hypot(height, width)
    position = np.arange(BINS)
    distance = height / length * position - width / length * counts
    knee = np.where(position < width, distance, -np.inf).argmax(axis=1)
    return _just_above(centres[np.where(flipped, BINS - 1 - knee, knee)], values)


@binarisers.register(
    title="Li", source=("li1993", "li1998"), access="black box", returns="the upper class of least cross-entropy"
)
def li(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The threshold of least cross-entropy between a map and its two classes, by Li and Tam's iteration.

    All maps iterate together, each until its threshold moves by less than half the smallest step between its values.

    Args:
        values: (map, position) float64.

    Returns:
        (map) float64, the lowest value that is chosen.

    Source: [li1993], [li1998]
    """
    low, spread = _range(values)
    levels = np.sort((values - low) / spread, axis=1)
    sums = levels.cumsum(axis=1)
    steps = np.diff(levels, axis=1)
    tolerance = np.where(steps > 0, steps, np.inf).min(axis=1, initial=np.inf) / 2
    threshold = levels.mean(axis=1)
    moving = np.flatnonzero(levels[:, -1] > 0)  # a constant map has nothing to separate
    while len(moving):
        current = threshold[moving]
        below = _count_up_to(levels[moving], current)
        mean_below = sums[moving, below - 1] / below
        mean_above = (sums[moving, -1] - sums[moving, below - 1]) / (levels.shape[1] - below)
        # where the lower class is all zero its logarithm does not exist, and the threshold stays
        stays = mean_below == 0
        safe = np.where(stays, mean_above / 2, mean_below)
        proposed = np.where(stays, current, (safe - mean_above) / (np.log(safe) - np.log(mean_above)))
        threshold[moving] = proposed
        moving = moving[np.abs(proposed - current) > tolerance[moving]]
    return _just_above(threshold, values)


@binarisers.register(
    title="Yen", source=("yen1995",), access="black box", returns="the upper of two classes of most correlation"
)
def yen(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The threshold of the largest correlation criterion, over a histogram of 256 bins.

    Args:
        values: (map, position) float64.

    Returns:
        (map) float64, the lowest value that is chosen.

    Source: [yen1995]
    """
    counts, centres = _histograms(values)
    shares = counts / counts.sum(axis=1, keepdims=True)
    below = shares.cumsum(axis=1)[:, :-1]
    squares_below, squares_above = (shares**2).cumsum(axis=1)[:, :-1], _from_above(shares**2)[:, 1:]
    with np.errstate(divide="ignore"):  # log 0 where a class is empty: never the largest
        criterion = np.log((below * (1 - below)) ** 2 / (squares_below * squares_above))
    return _just_above(centres[criterion.argmax(axis=1)], values)


@binarisers.register(
    title="Two means", source=("lloyd1982",), access="black box", returns="the upper of two clusters of values"
)
def two_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The upper of the two clusters with the least squared distance to their means: the optimum, not an iteration.

    In one dimension clusters are runs of sorted values, so every split is compared.

    Args:
        values: (map, position) float64.

    Returns:
        (map) float64, the lowest value that is chosen.

    Source: [lloyd1982]
    """
    levels = np.sort(values, axis=1)
    size = levels.shape[1]
    if size == 1:
        return np.asarray(levels[:, 0])
    sums = (levels - levels.mean(axis=1, keepdims=True)).cumsum(axis=1)[:, :-1]
    below = np.arange(1, size)
    between = np.where(levels[:, 1:] > levels[:, :-1], sums**2 / (below * (size - below)), -1.0)
    split = between.argmax(axis=1) + 1
    return np.asarray(np.take_along_axis(levels, split[:, None], axis=1)[:, 0])


@binarisers.register(
    title="Area of the part (oracle)",
    source=(),
    access="black box",
    returns="as many of the highest pixels as the part has",
    annotation="masks",
    note="Reads the truth that it is judged by: no method, only a bound to compare the others with.",
)
def area_matched(values: NDArray[np.float64], *, areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """The value of the pixel that is the last of as many as the part has; pixels equal to it are chosen too.

    Args:
        values: (map, position) float64.
        areas: (map, part) int64, pixels of each part; 0 chooses nothing.

    Returns:
        (map, part) float64, the lowest value that is chosen.
    """
    ordered = np.sort(values, axis=1)
    last = np.take_along_axis(ordered, values.shape[1] - np.maximum(areas, 1), axis=1)
    return np.where(areas > 0, last, np.inf)


POOLED = frozenset({"dataset_quantile"})  # see all maps of a unit at once
ORACLES = frozenset({"area_matched"})  # see the masks


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise InputError(f"share is {share}; expected a share of the pixels between 0 and 1.")


def _range(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest value and distance to the largest, (map, 1); 1 for a constant map, which divides by it."""
    low = values.min(axis=1, keepdims=True)
    spread = values.max(axis=1, keepdims=True) - low
    return low, np.where(spread > 0, spread, 1.0)


def _histograms(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts (map, bin) of equal bins from each map's smallest to its largest value; centres (bin) in [0, 1]."""
    low, spread = _range(values)
    scaled = values - low
    scaled /= spread
    scaled *= BINS
    bins = scaled.astype(np.int64)
    np.minimum(bins, BINS - 1, out=bins)
    bins += np.arange(len(values))[:, None] * BINS
    counts = np.bincount(bins.ravel(), minlength=len(values) * BINS).reshape(len(values), BINS)
    return counts.astype(np.float64), (np.arange(BINS) + 0.5) / BINS


def _from_above(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums from each column to the last."""
    return np.asarray(table[:, ::-1].cumsum(axis=1)[:, ::-1])


def _just_above(threshold: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A threshold in [0, 1] of each map's range as the lowest value that exceeds it."""
    low, spread = _range(values)
    return np.asarray(np.nextafter(low[:, 0] + threshold * spread[:, 0], np.inf))


def _count_up_to(levels: NDArray[np.float64], threshold: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of each row's sorted values are at most its threshold: one bisection for all rows."""
    first = np.zeros(len(levels), dtype=np.int64)
    last = np.full(len(levels), levels.shape[1], dtype=np.int64)
    rows = np.arange(len(levels))
    for _ in range(int(levels.shape[1]).bit_length()):
        middle = np.minimum((first + last) // 2, levels.shape[1] - 1)
        reached = (levels[rows, middle] <= threshold) & (first < last)
        first, last = np.where(reached, middle + 1, first), np.where(reached, last, middle)
    return first
