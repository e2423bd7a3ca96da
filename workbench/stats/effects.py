"""Sizes of effects: how much, where a p-value only says whether."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats as scipy_stats

from workbench.arrays import check_array
from workbench.errors import ShapeError
from workbench.stats.intervals import paired_samples


def cohens_d(first: Any, second: Any, *, paired: bool = False) -> float:
    """The difference of two means in units of a standard deviation.

    Args:
        first: (observation,) finite numbers, at least two.
        second: (observation,) finite numbers, at least two.
        paired: divide the mean difference by the standard deviation of the differences (often written d_z);
            else by the pooled standard deviation of both samples.

    Returns:
        The effect, positive where ``first`` is larger; 0.0 where neither differs nor varies, and plus or minus
        infinity where the means differ and nothing varies.

    Raises:
        ShapeError: fewer than two observations, or unequal lengths where paired.
        NotFiniteError: NaN or infinity.

    Source: [cohen1988]
    """
    if paired:
        left, right = paired_samples(first, second)
        difference = left - right
        return _ratio(float(difference.mean()), float(difference.std(ddof=1)))
    left = check_array(first, name="first", dims=("observation",)).astype(np.float64)
    right = check_array(second, name="second", dims=("observation",)).astype(np.float64)
    if min(len(left), len(right)) < 2:
        raise ShapeError(f"samples of {len(left)} and {len(right)} observations have no spread; expected at least two.")
    freedom = len(left) + len(right) - 2
    pooled = ((len(left) - 1) * left.var(ddof=1) + (len(right) - 1) * right.var(ddof=1)) / freedom
    return _ratio(float(left.mean() - right.mean()), float(np.sqrt(pooled)))


def cliffs_delta(first: Any, second: Any) -> float:
    """The probability that a value of one sample exceeds one of the other, minus the reverse.

    Costs O(n log n) by ranks, not O(n^2) by pairs.

    Args:
        first: (observation,) finite numbers.
        second: (observation,) finite numbers.

    Returns:
        In [-1, 1]; 1 where every value of ``first`` exceeds every value of ``second``.

    Raises:
        ShapeError: an empty sample.
        NotFiniteError: NaN or infinity.

    Source: [cliff1993]
    """
    left = check_array(first, name="first", dims=("observation",))
    right = check_array(second, name="second", dims=("observation",))
    ranks = scipy_stats.rankdata(np.concatenate([left, right]))
    wins = ranks[: len(left)].sum() - len(left) * (len(left) + 1) / 2
    return float(2 * wins / (len(left) * len(right)) - 1)


def _ratio(difference: float, spread: float) -> float:
    if spread > 0:
        return difference / spread
    return 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
