"""Bootstrap intervals of weighted averages whose weights vary from observation to observation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats as scipy_stats

from workbench.arrays import check_array
from workbench.errors import InputError, ShapeError
from workbench.stats.estimate import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bootstrap_ratio(
    numerators: Any,
    denominators: Any,
    *,
    group_weights: Any = None,
    level: float = 0.95,
    resamples: int = 1999,
    seed: int = 0,
) -> Estimate:
    """A ratio of sums, or a weighted mean of such ratios over groups, with its BCa bootstrap interval.

    An observation (an image) brings its row of numerators and of denominators with it, so what an image holds is
    resampled together: a hundred pairs of one image are not a hundred observations.

    Args:
        numerators: (observation, group) finite, sums of weighted scores.
        denominators: (observation, group) finite, zero or more, sums of the weights.
        group_weights: (group) finite, zero or more. The value is the mean of the groups' ratios with these weights,
            over the groups whose denominators are not all zero; where omitted, one ratio of the sums over everything.
        level: nominal coverage, between 0 and 1.
        resamples: how often to resample, at least 100; a resample without any denominator is left out.
        seed: of the resampling.

    Returns:
        The estimate; its ``n`` counts the observations with a denominator above zero. With fewer than two of them the
        ends of the interval are NaN.

    Raises:
        ShapeError: other shapes.
        NotFiniteError: NaN or infinity.
        InputError: a negative denominator or weight, no denominator above zero, or bad options.

    Source: [efron1987]
    """
    above = check_array(numerators, name="numerators", dims=("observation", "group")).astype(np.float64)
    below = check_array(denominators, name="denominators", dims=("observation", "group")).astype(np.float64)
    if above.shape != below.shape:
        raise ShapeError(f"numerators have shape {above.shape} and denominators {below.shape}; expected one shape.")
    if group_weights is None:
        above, below = above.sum(axis=1, keepdims=True), below.sum(axis=1, keepdims=True)
        shares = np.ones(1)
    else:
        shares = check_array(group_weights, name="group_weights", dims=("group",)).astype(np.float64)
        if shares.shape != above.shape[1:]:
            raise ShapeError(f"{len(shares)} group weights for {above.shape[1]} groups; expected one each.")
    if (below < 0).any() or (shares < 0).any():
        raise InputError("a denominator or a group's weight is negative; expected zero or more.")
    if not 0 < level < 1 or resamples < 100:
        raise InputError(f"level is {level} and resamples {resamples}; expected 0 < level < 1 and at least 100.")
    seen = (below[:, shares > 0] > 0).any(axis=1)
    if not seen.any():
        raise InputError("every denominator is zero: there is nothing to average.")
    above, below = above[seen], below[seen]
    value = float(_ratio(above.sum(axis=0)[None], below.sum(axis=0)[None], shares)[0])
    count = len(above)
    if count < 2:
        return Estimate(value, np.nan, np.nan, count, level, "one observation has no interval")
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    drawn = _ratio(draws @ above, draws @ below, shares)
    jackknife = _ratio(above.sum(axis=0) - above, below.sum(axis=0) - below, shares)
    low, high, method = _bca(value, drawn[np.isfinite(drawn)], jackknife[np.isfinite(jackknife)], level)
    return Estimate(value, low, high, count, level, method)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(row): the weighted mean of the groups' ratios; NaN where no group has a denominator."""
    # what jackknife sums leave of a group after its only observation is rounding, not a denominator
    present = below > 1e-12 * np.abs(below).max(initial=0)
    ratios = np.divide(above, below, out=np.zeros_like(above, dtype=np.float64), where=present)
    total = present @ shares
    return np.asarray(np.divide(ratios @ shares, total, out=np.full(len(ratios), np.nan), where=total > 0))


def _bca(
    value: float, drawn: NDArray[np.float64], jackknife: NDArray[np.float64], level: float
) -> tuple[float, float, str]:
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    slack = 1e-12 * max(abs(value), np.finfo(np.float64).tiny)
    below = ((drawn < value - slack).mean() + (drawn <= value + slack).mean()) / 2
    deviation = jackknife.mean() - jackknife
    spread = float((deviation**2).sum())
    if not 0 < below < 1 or spread <= slack**2:
        low, high = np.quantile(drawn, tails)
        return float(low), float(high), "percentile bootstrap (all resamples agree)"
    bias = scipy_stats.norm.ppf(below)
    acceleration = float((deviation**3).sum()) / (6 * spread**1.5)
    shifted = bias + scipy_stats.norm.ppf(tails)
    low, high = np.quantile(drawn, scipy_stats.norm.cdf(bias + shifted / (1 - acceleration * shifted)))
    return float(low), float(high), "BCa bootstrap"
