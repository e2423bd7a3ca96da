"""Bootstrap intervals: of one statistic, of a difference between pairs, and of many means at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from scipy import stats as scipy_stats

from workbench.arrays import check_array, provenance
from workbench.errors import InputError, ShapeError
from workbench.stats.estimate import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["BCa", "percentile"]
Statistic = Callable[..., Any]


def bootstrap(
    values: Any,
    *,
    statistic: Statistic | None = None,
    kind: Kind = "BCa",
    level: float = 0.95,
    resamples: int = 4999,
    seed: int = 0,
) -> Estimate:
    """A statistic of one sample, with its bootstrap interval.

    Args:
        values: (observation,) finite numbers; at least two.
        statistic: takes an array and ``axis``, as ``np.median`` does, and reduces that axis; the mean where omitted.
        kind: ``"BCa"`` (bias-corrected and accelerated) or ``"percentile"``. Where all resamples agree, BCa is not
            defined; the percentile interval is given then, and the estimate's ``method`` says so.
        level: nominal coverage, between 0 and 1.
        resamples: how often to resample.
        seed: of the resampling.

    Returns:
        The estimate; its ``n`` is the number of observations.

    Raises:
        ShapeError: fewer than two observations, or not one dimension.
        NotFiniteError: NaN or infinity among them.
        InputError: an unknown kind, a level outside (0, 1), fewer than 100 resamples.

    Source: [efron1987]
    """
    sample = _sample(values, name="values")
    _check_options(kind, level, resamples)
    if statistic is None:
        columns = sample[:, None]
        value, low, high, degenerate = _intervals_of_means(columns, kind, level, resamples, seed)
        return Estimate(float(value[0]), float(low[0]), float(high[0]), len(sample), level, _label(kind, degenerate[0]))
    return _general((sample,), statistic, kind, level, resamples, seed, paired=False)


def bootstrap_paired(
    first: Any,
    second: Any,
    *,
    statistic: Statistic | None = None,
    kind: Kind = "BCa",
    level: float = 0.95,
    resamples: int = 4999,
    seed: int = 0,
) -> Estimate:
    """A statistic of pairs, with its bootstrap interval; pairs are resampled together.

    Args:
        first: (pair,) finite numbers.
        second: (pair,) finite numbers, in the same order.
        statistic: takes two arrays and ``axis``; the mean of ``first - second`` where omitted.
        kind: as in :func:`bootstrap`.
        level: nominal coverage, between 0 and 1.
        resamples: how often to resample.
        seed: of the resampling.

    Returns:
        The estimate; its ``n`` is the number of pairs.

    Raises:
        ShapeError: other than two arrays of one length of at least two.
        NotFiniteError, InputError: as in :func:`bootstrap`.
    """
    left, right = paired_samples(first, second)
    if statistic is None:
        return bootstrap(left - right, kind=kind, level=level, resamples=resamples, seed=seed)
    _check_options(kind, level, resamples)
    return _general((left, right), statistic, kind, level, resamples, seed, paired=True)


def bootstrap_dataset(
    values: xr.DataArray,
    *,
    over: Hashable,
    kind: Kind = "BCa",
    level: float = 0.95,
    resamples: int = 1999,
    seed: int = 0,
) -> xr.Dataset:
    """The mean over one dimension, for every entry along the others, each with its bootstrap interval.

    All columns are resampled by the same draws, so differences between them may be read off paired.

    Args:
        values: any dimensions, ``over`` among them; NaN marks a missing observation and is left out of its mean.
        over: the dimension that holds the observations, for example ``"image"``.
        kind: ``"BCa"`` or ``"percentile"``.
        level: nominal coverage, between 0 and 1.
        resamples: how often to resample.
        seed: of the resampling.

    Returns:
        Dataset on the other dimensions: ``value``, ``low``, ``high`` float64, ``n`` int64 (observations that are
        not missing). Where n < 2 the ends of the interval are NaN; where n = 0 the value is NaN too.

    Raises:
        ShapeError: ``over`` is not a dimension of ``values``.
        InputError: infinite values, or bad options as in :func:`bootstrap`.
    """
    if over not in values.dims:
        raise ShapeError(f"values have the dimensions {values.dims}; there is no {over!r} to take the mean over.")
    _check_options(kind, level, resamples)
    others = [dim for dim in values.dims if dim != over]
    ordered = values.transpose(over, *others)
    table = ordered.values.reshape(ordered.sizes[over], -1).astype(np.float64)
    if np.isinf(table).any():
        raise InputError("values hold infinity; a mean over them means nothing. Mark what is missing as NaN.")
    value, low, high, _ = _intervals_of_means(table, kind, level, resamples, seed)
    counts = np.isfinite(table).sum(axis=0)
    shape = tuple(ordered.sizes[dim] for dim in others)
    columns = {"value": value, "low": low, "high": high, "n": counts.astype(np.int64)}
    return xr.Dataset(
        {name: (others, column.reshape(shape)) for name, column in columns.items()},
        coords={name: coord for name, coord in values.coords.items() if over not in coord.dims},
        attrs=provenance(method=f"{kind} bootstrap", level=level, resamples=resamples, seed=seed, over=str(over)),
    )


def paired_samples(first: Any, second: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two samples of one length, or an error that says what does not fit.

    Args:
        first: (pair,) finite numbers, at least two.
        second: (pair,) finite numbers.

    Returns:
        Both as float64.

    Raises:
        ShapeError: lengths differ, or fewer than two pairs.
        NotFiniteError: NaN or infinity.
    """
    left, right = _sample(first, name="first"), _sample(second, name="second")
    if len(left) != len(right):
        raise ShapeError(
            f"first has {len(left)} values and second {len(right)}; pairs need equally many, in one order."
        )
    return left, right


def _sample(values: Any, *, name: str) -> NDArray[np.float64]:
    array = check_array(values, name=name, dims=("observation",)).astype(np.float64)
    if len(array) < 2:
        raise ShapeError(f"{name} holds {len(array)} observation; an interval or a test needs at least two.")
    return array


def _check_options(kind: str, level: float, resamples: int) -> None:
    if kind not in ("BCa", "percentile"):
        raise InputError(f"Unknown kind of bootstrap {kind!r}; expected 'BCa' or 'percentile'.")
    if not 0 < level < 1:
        raise InputError(f"level is {level}; expected a number between 0 and 1, for example 0.95.")
    if resamples < 100:
        raise InputError(f"resamples is {resamples}; expected at least 100, or the ends of the interval are noise.")


def _label(kind: str, degenerate: bool) -> str:
    return "percentile bootstrap (all resamples agree)" if degenerate else f"{kind} bootstrap"


def _general(
    samples: tuple[NDArray[np.float64], ...],
    statistic: Statistic,
    kind: Kind,
    level: float,
    resamples: int,
    seed: int,
    *,
    paired: bool,
) -> Estimate:
    """The bootstrap of any statistic, by scipy."""
    value = float(statistic(*samples, axis=-1))
    options: dict[str, Any] = {"paired": paired, "confidence_level": level, "vectorized": True}
    drawn = scipy_stats.bootstrap(
        samples, statistic, n_resamples=resamples, method="percentile", rng=np.random.default_rng(seed), **options
    )
    degenerate = bool(np.ptp(drawn.bootstrap_distribution) == 0)
    if kind == "BCa" and not degenerate:
        drawn = scipy_stats.bootstrap(
            samples, statistic, n_resamples=0, bootstrap_result=drawn, method="BCa", **options
        )
    interval = drawn.confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), len(samples[0]), level, _label(kind, degenerate))


def _intervals_of_means(
    table: NDArray[np.float64], kind: Kind, level: float, resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Means of the columns of (observation, column) and their intervals; a resample is a row of counts.

    Weighted sums replace the gathering of resampled rows: two matrix products serve every column.
    """
    present = np.isfinite(table)
    filled = np.where(present, table, 0.0)
    counts = present.sum(axis=0)
    draws = (
        np.random.default_rng(seed)
        .multinomial(len(table), np.full(len(table), 1 / len(table)), size=resamples)
        .astype(np.float64)
    )
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 where a column has no observation: NaN is the answer
        value = filled.sum(axis=0) / counts
        # centred first, so that the sums do not cancel where the spread is small beside the mean
        centred = np.where(present, filled - value, 0.0)
        resampled = (draws @ centred) / (draws @ present)
    low_rank, high_rank = _ranks(centred, resampled, counts, kind, level)
    low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
    for column in np.flatnonzero(counts >= 2):
        distribution = resampled[:, column]
        distribution = distribution[np.isfinite(distribution)]
        ends = np.quantile(distribution, [low_rank[column], high_rank[column]])
        low[column], high[column] = value[column] + ends
    degenerate = (counts >= 2) & ~(np.abs(centred) > 0).any(axis=0)
    return value, low, high, degenerate


def _ranks(
    centred: NDArray[np.float64], resampled: NDArray[np.float64], counts: NDArray[np.int64], kind: Kind, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Which quantiles of the resampled means are the ends of the interval, a column.

    For a mean the jackknife deviations are proportional to the deviations of the observations, so BCa's
    acceleration is the skewness of the column over 6 sqrt(n).
    """
    tail = (1 - level) / 2
    low, high = np.full(len(counts), tail), np.full(len(counts), 1 - tail)
    if kind == "percentile":
        return low, high
    # resamples equal to the mean but for rounding count half, or a shift of the data would move the interval
    slack = 1e-12 * np.abs(centred).max(axis=0)
    below = ((resampled < -slack).mean(axis=0) + (resampled <= slack).mean(axis=0)) / 2
    usable = (counts >= 2) & (below > 0) & (below < 1) & (np.abs(centred) > 0).any(axis=0)
    bias = scipy_stats.norm.ppf(below[usable])
    columns = centred[:, usable]
    acceleration = (columns**3).sum(axis=0) / (6 * (columns**2).sum(axis=0) ** 1.5)
    for ends, probability in ((low, tail), (high, 1 - tail)):
        shifted = bias + scipy_stats.norm.ppf(probability)
        ends[usable] = scipy_stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))
    return low, high
