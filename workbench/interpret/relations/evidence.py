"""From measured effects to evidence: intervals, p-values, and how many images a test needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import stats as scipy_stats

from workbench.arrays import IMAGE
from workbench.stats import benjamini_hochberg, bootstrap_dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIRS_AT_ONCE = 256  # of which the images are looked at together, so that memory stays bounded


def images_needed(level: float, tests: int) -> int:
    """The fewest images with which one of many tests can reach a false discovery rate.

    The signs of n effects can be flipped in 2^n ways, so no p-value of theirs can honestly be below 2^(1 - n); the
    smallest of ``tests`` p-values must be at most ``level / tests``.

    Args:
        level: the false discovery rate, in (0, 1).
        tests: number of tests.

    Returns:
        The number, at least 2.
    """
    return max(2, int(np.ceil(1 + np.log2(max(tests, 1) / level))))


def mean_test(total: Any, squares: Any, count: Any, nonzero: Any, *, one_sided: bool = False) -> NDArray[np.float64]:
    """Student's test that a mean is not 0 (or, one-sided, that it is above 0), from sums.

    No p-value is below what flipping the signs of the effects could give, 2^(1 - n): a few images cannot make an
    effect certain, however alike they are.

    Args:
        total: sums of the observations.
        squares: sums of their squares.
        count: numbers of observations.
        nonzero: how many of them are not 0.
        one_sided: whether only means above 0 count.

    Returns:
        p-values, of the broadcast shape; 1 where there are fewer than two observations or no effect.
    """
    total, squares, count, nonzero = np.broadcast_arrays(
        *(np.asarray(x, np.float64) for x in (total, squares, count, nonzero))
    )
    enough = (count >= 2) & (nonzero >= 1)
    number = np.where(enough, count, 2.0)
    mean = total / number
    # what rounding leaves of equal observations counts as no spread
    variance = np.maximum(squares / number - mean**2, 0) * number / (number - 1)
    variance = np.where(variance > 1e-12 * squares / number, variance, 0.0)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # no spread: infinitely far from 0, or 0 / 0 where the mean is 0
        t = np.nan_to_num(mean / np.sqrt(variance / number), nan=0.0)
    tail = scipy_stats.t.sf(t if one_sided else np.abs(t), number - 1) * (1 if one_sided else 2)
    least = 2.0 ** np.maximum(1 - nonzero, -1000)
    return np.asarray(np.where(enough, np.clip(np.maximum(tail, least), 0, 1), 1.0))


def mean_of(values: NDArray[np.floating[Any]], chosen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """Sum, sum of squares, number, and number that is not 0, of the chosen entries of each row.

    Args:
        values: (row, image); NaN may stand where nothing is chosen.
        chosen: (row, image) bool.

    Returns:
        Four times (row) float64.
    """
    wide = np.where(chosen, values, 0.0).astype(np.float64)
    return wide.sum(1), (wide**2).sum(1), chosen.sum(1).astype(np.float64), (wide != 0).sum(1).astype(np.float64)


def adjusted(p_values: NDArray[np.float64], *, untried: int) -> NDArray[np.float64]:
    """Benjamini-Hochberg over all tests, those left out by screening counted as failed.

    Args:
        p_values: of the tests that were made; NaN for those that could not be.
        untried: number of tests that screening left out.

    Returns:
        q-values of the tests that were made.
    """
    return benjamini_hochberg(np.concatenate([p_values, np.ones(untried)]))[: len(p_values)]


def intervals(
    values: NDArray[np.floating[Any]], *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means over images with their 95 % BCa bootstrap intervals.

    Args:
        values: (row, image) float, NaN where an image does not count.
        seed: of the resampling.

    Returns:
        Mean, low and high, each (row) float64; the interval contains the mean.
    """
    parts = []
    for begin in range(0, len(values), PAIRS_AT_ONCE):
        some = xr.DataArray(values[begin : begin + PAIRS_AT_ONCE], dims=("pair", IMAGE))
        found = bootstrap_dataset(some, over=IMAGE, resamples=999, seed=seed)
        parts.append(np.stack([found[name].values for name in ("value", "low", "high")]))
    mean, low, high = np.concatenate(parts, axis=1) if parts else np.empty((3, 0))
    return mean, np.minimum(low, mean), np.maximum(high, mean)


def student_interval(
    total: NDArray[np.float64], squares: NDArray[np.float64], count: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means with their 95 % intervals after Student, from sums over at least two observations.

    Args:
        total: sums of the observations.
        squares: sums of their squares.
        count: numbers of observations.

    Returns:
        Mean, low and high.
    """
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0) * count / (count - 1)
    half = scipy_stats.t.ppf(0.975, count - 1) * np.sqrt(variance / count)
    return mean, mean - half, mean + half
