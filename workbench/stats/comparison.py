"""Tests of whether two samples differ, and corrections for having asked often."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats as scipy_stats

from workbench.arrays import check_array
from workbench.errors import InputError, ShapeError
from workbench.stats.effects import cliffs_delta, cohens_d
from workbench.stats.intervals import bootstrap, paired_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.stats.estimate import Estimate

Alternative = Literal["two-sided", "greater", "less"]
EXACT_UP_TO = 14  # 2^14 sign patterns are enumerated in milliseconds
BLOCK = 1024


@dataclass(frozen=True)
class Comparison:
    """What a paired comparison found.

    Attributes:
        difference: mean of first minus second, with its interval.
        p_value: under the null hypothesis that the pair's order is exchangeable.
        cohens_d: mean difference over the standard deviation of the differences.
        cliffs_delta: probability that ``first`` is larger minus that it is smaller, over all cross pairs.
        method: the test.
        alternative: what the p-value was asked for.
    """

    difference: Estimate
    p_value: float
    cohens_d: float
    cliffs_delta: float
    method: str
    alternative: Alternative

    def __str__(self) -> str:
        return f"{self.difference}; p = {self.p_value:.3g} ({self.method}, {self.alternative}); d = {self.cohens_d:.2f}"


def compare_paired(
    first: Any,
    second: Any,
    *,
    test: Literal["sign flip", "wilcoxon"] = "sign flip",
    alternative: Alternative = "two-sided",
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Comparison:
    """Compare two methods on the same items (images, classes, seeds).

    Args:
        first: (pair,) finite scores of one method.
        second: (pair,) finite scores of the other, in the same order.
        test: ``"sign flip"`` (on the mean) or ``"wilcoxon"`` (signed ranks).
        alternative: ``"two-sided"``, ``"greater"`` (first is larger) or ``"less"``.
        level: coverage of the interval of the mean difference (BCa bootstrap).
        resamples: of the bootstrap, and of the sign flips where they are not enumerated.
        seed: of both.

    Returns:
        The difference with its interval, the p-value and two effect sizes.

    Raises:
        ShapeError, NotFiniteError: other than two finite samples of one length, at least two.
        InputError: an unknown test or alternative.
    """
    left, right = paired_samples(first, second)
    if test == "sign flip":
        p_value = sign_flip_test(left, right, alternative=alternative, resamples=resamples, seed=seed)
    elif test == "wilcoxon":
        p_value = wilcoxon_test(left, right, alternative=alternative)
    else:
        raise InputError(f"Unknown paired test {test!r}; expected 'sign flip' or 'wilcoxon'.")
    difference = bootstrap(left - right, level=level, resamples=resamples, seed=seed)
    return Comparison(
        difference, p_value, cohens_d(left, right, paired=True), cliffs_delta(left, right), test, alternative
    )


def sign_flip_test(
    first: Any, second: Any, *, alternative: Alternative = "two-sided", resamples: int = 9999, seed: int = 0
) -> float:
    """The paired permutation test on the mean difference.

    Up to 14 pairs all sign patterns are enumerated and the p-value is exact; beyond, ``resamples`` random patterns are
    drawn and the observed one is counted among them, so the p-value is never 0.

    Args:
        first: (pair,) finite numbers, at least two.
        second: (pair,) finite numbers.
        alternative: ``"two-sided"``, ``"greater"`` or ``"less"``.
        resamples: random sign patterns.
        seed: of the random patterns.

    Returns:
        The p-value, in (0, 1].

    Raises:
        ShapeError, NotFiniteError: other than two finite samples of one length.
        InputError: an unknown alternative, or fewer than one resample.
    """
    left, right = paired_samples(first, second)
    _check_alternative(alternative, resamples)
    difference = left - right
    exact = len(difference) <= EXACT_UP_TO
    if exact:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(difference))))
        flipped = signs @ difference
    else:
        generator = np.random.default_rng(seed)
        blocks = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]
        flipped = np.concatenate(
            [generator.choice((1.0, -1.0), size=(block, len(difference))) @ difference for block in blocks]
        )
    return _tail(flipped, float(difference.sum()), alternative, exact, scale=float(np.abs(difference).sum()))


def permutation_test(
    first: Any, second: Any, *, alternative: Alternative = "two-sided", resamples: int = 9999, seed: int = 0
) -> float:
    """The permutation test on the difference of the means of two independent samples.

    Args:
        first: (observation,) finite numbers, at least two.
        second: (observation,) finite numbers, at least two; another length is fine.
        alternative: ``"two-sided"``, ``"greater"`` or ``"less"``.
        resamples: random permutations; the observed one is counted among them.
        seed: of the permutations.

    Returns:
        The p-value, in (0, 1].

    Raises:
        ShapeError, NotFiniteError: other than two finite samples of at least two.
        InputError: an unknown alternative, or fewer than one resample.
    """
    left = check_array(first, name="first", dims=("observation",)).astype(np.float64)
    right = check_array(second, name="second", dims=("observation",)).astype(np.float64)
    _check_alternative(alternative, resamples)
    if min(len(left), len(right)) < 2:
        raise ShapeError(f"samples of {len(left)} and {len(right)} observations; a test needs at least two in each.")
    pooled = np.concatenate([left, right])
    pooled -= pooled.mean()
    generator = np.random.default_rng(seed)
    # the difference of the means is a rising function of the first sample's sum, since the total is fixed at 0
    sums = [
        generator.permuted(np.broadcast_to(pooled, (block, len(pooled))), axis=1)[:, : len(left)].sum(axis=1)
        for block in (min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK))
    ]
    observed = float(pooled[: len(left)].sum())
    return _tail(np.concatenate(sums), observed, alternative, exact=False, scale=float(np.abs(pooled).sum()))


def wilcoxon_test(first: Any, second: Any, *, alternative: Alternative = "two-sided") -> float:
    """Wilcoxon's signed-rank test of pairs, by scipy.

    Args:
        first: (pair,) finite numbers, at least two.
        second: (pair,) finite numbers.
        alternative: ``"two-sided"``, ``"greater"`` or ``"less"``.

    Returns:
        The p-value, in [0, 1]; 1.0 where no pair differs.

    Raises:
        ShapeError, NotFiniteError: other than two finite samples of one length.
        InputError: an unknown alternative.

    Source: [wilcoxon1945]
    """
    left, right = paired_samples(first, second)
    _check_alternative(alternative, 1)
    if not np.any(left != right):
        return 1.0
    return float(scipy_stats.wilcoxon(left, right, alternative=alternative).pvalue)


def holm(p_values: Any) -> NDArray[np.float64]:
    """Adjust p-values so that the chance of any false finding among them is bounded (Holm's step-down method).

    Args:
        p_values: any shape, in [0, 1]; NaN (a test that could not be made) is not counted and stays NaN.

    Returns:
        Adjusted p-values, the shape as given; compare each with the wanted error rate.

    Raises:
        InputError: a value outside [0, 1].

    Source: [holm1979]
    """
    flat, made = _p_values(p_values)
    tested = flat[made]
    order = np.argsort(tested, kind="stable")
    steps = np.maximum.accumulate(tested[order] * np.arange(len(tested), 0, -1))
    adjusted = np.empty_like(tested)
    adjusted[order] = np.minimum(steps, 1.0)
    flat[made] = adjusted
    return flat.reshape(np.shape(p_values))


def benjamini_hochberg(p_values: Any) -> NDArray[np.float64]:
    """Adjust p-values so that the expected share of false findings is bounded, by scipy.

    Args:
        p_values: any shape, in [0, 1]; NaN is not counted and stays NaN.

    Returns:
        Adjusted p-values, the shape as given.

    Raises:
        InputError: a value outside [0, 1].

    Source: [benjamini1995]
    """
    flat, made = _p_values(p_values)
    if made.any():
        flat[made] = scipy_stats.false_discovery_control(flat[made])
    return flat.reshape(np.shape(p_values))


def _p_values(p_values: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    flat = np.array(p_values, dtype=np.float64).ravel()
    made = ~np.isnan(flat)
    if ((flat[made] < 0) | (flat[made] > 1)).any():
        raise InputError(f"p-values reach from {np.nanmin(flat):.4g} to {np.nanmax(flat):.4g}; expected [0, 1].")
    return flat, made


def _check_alternative(alternative: str, resamples: int) -> None:
    if alternative not in ("two-sided", "greater", "less"):
        raise InputError(f"Unknown alternative {alternative!r}; expected 'two-sided', 'greater' or 'less'.")
    if resamples < 1:
        raise InputError(f"resamples is {resamples}; expected at least 1.")


def _tail(drawn: NDArray[np.float64], observed: float, alternative: Alternative, exact: bool, *, scale: float) -> float:
    """Share of drawn statistics at least as extreme as the observed one; sums in another order must count as equal."""
    slack = 1e-12 * scale
    if alternative == "greater":
        extreme = drawn >= observed - slack
    elif alternative == "less":
        extreme = drawn <= observed + slack
    else:
        extreme = np.abs(drawn) >= abs(observed) - slack
    return float(extreme.mean()) if exact else float((extreme.sum() + 1) / (len(drawn) + 1))
