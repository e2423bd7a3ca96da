"""How likely chance alone is: exact tails of contingency tables, and permutation tails from moments in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEGLIGIBLE = 1e-17  # share of a sum below which further terms cannot change it


def fisher_tail(
    both: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64], total: int
) -> NDArray[np.float64]:
    """Fisher's exact test, one-sided, for many tables at once.

    Args:
        both: (edge) images with both.
        first: (edge) images with the first.
        second: (edge) images with the second.
        total: images.

    Returns:
        (edge) the chance of at least so many with both, where the margins are as they are, in [0, 1].

    Source: [fisher1922]
    """
    mean = first * second / total
    upper = both > mean
    # summed from the side on which terms fall, away from the mode
    start = np.where(upper, both, both - 1).astype(np.float64)
    step = np.where(upper, 1.0, -1.0)
    tail = np.exp(_log_probability(start, first, second, total))
    term, total_tail = tail.copy(), tail.copy()
    index = np.arange(len(both))
    while len(index):
        k, a, b = start[index], first[index], second[index]
        with np.errstate(divide="ignore", invalid="ignore"):
            rising = (a - k) * (b - k) / ((k + 1) * (total - a - b + k + 1))
            falling = k * (total - a - b + k) / ((a - k + 1) * (b - k + 1))
        term[index] *= np.where(upper[index], rising, falling)
        total_tail[index] += term[index]
        start[index] += step[index]
        index = index[term[index] > NEGLIGIBLE * total_tail[index]]
    return np.clip(np.where(upper, total_tail, 1 - total_tail), 0, 1)


def least_fisher_tail(first: NDArray[np.int64], second: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    """The smallest p-value that margins allow: that of the table in which the rarer never comes without the other.

    Args:
        first: (edge) images with the first.
        second: (edge) images with the second.
        total: images.

    Returns:
        (edge) in [0, 1].

    Source: [tarone1990]
    """
    most = np.minimum(first, second)
    return np.asarray(np.exp(_log_probability(most.astype(np.float64), first, second, total)))


def _log_probability(
    both: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64], total: int
) -> NDArray[np.float64]:
    """Log of the hypergeometric probability; minus infinity where a table has a negative entry."""
    possible = (both >= 0) & (both <= np.minimum(first, second)) & (total - first - second + both >= 0)
    k = np.where(possible, both, np.maximum(0, first + second - total))
    log = _log_choose(first, k) + _log_choose(total - first, second - k) - _log_choose(total, second)
    return np.where(possible, log, -np.inf)


def _log_choose(of: NDArray[np.int64] | int, some: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(special.gammaln(np.add(of, 1)) - special.gammaln(some + 1) - special.gammaln(of - some + 1))


@dataclass(frozen=True, eq=False)
class PermutationMoments:
    """Moments of a sum of products when one side is permuted: mean 0, and these.

    Attributes:
        variance: (edge) float64.
        skewness: (edge) float64, third moment over the cube of the standard deviation.
        kurtosis: (edge) float64, fourth moment over the squared variance; 3 for a normal distribution.
    """

    variance: NDArray[np.float64]
    skewness: NDArray[np.float64]
    kurtosis: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlaneMoments:
    """Sums of products of centred positions in the plane, over the images of each edge.

    Attributes:
        second: (2, 2, edge), the sum of p_a p_b.
        third: (2, 2, 2, edge).
        fourth: (2, 2, 2, 2, edge).
    """

    second: NDArray[np.float64]
    third: NDArray[np.float64]
    fourth: NDArray[np.float64]


def permutation_moments(count: NDArray[np.float64], first: PlaneMoments, second: PlaneMoments) -> PermutationMoments:
    """Moments of sum_i <u_i, v_permuted(i)> over all permutations, for centred positions u and v.

    Expectations of products under a random permutation depend on which indices coincide; for centred positions each
    sum over distinct indices is a combination of power sums.

    Args:
        count: (edge) images, at least 4.
        first: sums of u.
        second: sums of v.

    Returns:
        The moments; NaN where a side does not vary.

    Source: [wald1944], [kaziaoual1995]
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # too few images, or a side that does not vary
        n = count
        u2, v2, u4, v4 = first.second, second.second, first.fourth, second.fourth
        variance = np.einsum("abe,abe->e", u2, v2) / (n - 1)
        third = np.einsum("abce,abce->e", first.third, second.third) * n / ((n - 1) * (n - 2))
        fourths = np.einsum("abcde,abcde->e", u4, v4)
        mixed = np.einsum("abe,cde,abcde->e", u2, u2, v4) + np.einsum("abcde,abe,cde->e", u4, v2, v2)
        squared = np.einsum("abe,abe->e", u2, v2) ** 2
        crossed = np.einsum("abe,bce,cde,dae->e", u2, v2, u2, v2)
        two, three, four = n * (n - 1), n * (n - 1) * (n - 2), n * (n - 1) * (n - 2) * (n - 3)
        fourth = fourths / n + 4 * fourths / two + 3 * (squared - mixed + fourths) / two
        fourth += 6 * (4 * fourths - 2 * mixed + squared) / three
        fourth += (3 * squared + 6 * crossed - 18 * mixed + 36 * fourths) / four
        return PermutationMoments(variance, third / variance**1.5, fourth / variance**2)


def permutation_tail(observed: NDArray[np.float64], moments: PermutationMoments) -> NDArray[np.float64]:
    """The chance of a sum at least as great, from a distribution with the same first moments.

    Where skewness and kurtosis are those of a bounded distribution, as for permutations of numbers without far
    outliers, Pearson's type I (a beta distribution) has all four moments. Elsewhere the greater of two tails is taken,
    of a gamma distribution with the same skewness and of a Student distribution with the same kurtosis.

    Args:
        observed: (edge) the sum.
        moments: under permutation.

    Returns:
        (edge) in [0, 1]; NaN where a side does not vary.

    Source: [kaziaoual1995], [josse2008]
    """
    skewness, kurtosis = moments.skewness, moments.kurtosis
    with np.errstate(all="ignore"):
        z = observed / np.sqrt(moments.variance)
        bounded = 2 * kurtosis - 3 * skewness**2 - 6 < -1e-6
        result = np.where(bounded, _beta_tail(z, skewness, kurtosis), _heavy_tail(z, skewness, kurtosis))
    return np.clip(result, 0, 1)


def _beta_tail(
    z: NDArray[np.float64], skewness: NDArray[np.float64], kurtosis: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Upper tail of the beta distribution with mean 0, variance 1 and these moments."""
    size = 6 * (kurtosis - skewness**2 - 1) / (6 + 3 * skewness**2 - 2 * kurtosis)  # the sum of both shapes
    root = np.sqrt(skewness**2 * (size + 2) ** 2 + 16 * (size + 1))
    lean = skewness * (size + 2) / root
    alpha, beta = size / 2 * (1 - lean), size / 2 * (1 + lean)
    width = root / 2
    low = -width * alpha / size
    return np.asarray(special.betainc(beta, alpha, np.clip(1 - (z - low) / width, 0, 1)))


def _heavy_tail(
    z: NDArray[np.float64], skewness: NDArray[np.float64], kurtosis: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The greater of a gamma tail with this skewness and a Student tail with this kurtosis."""
    steep = np.where(np.abs(skewness) < 1e-6, 1e-6, skewness)
    shape = 4 / steep**2
    at = shape + z * np.sqrt(shape) * np.sign(steep)
    gamma = np.where(steep > 0, special.gammaincc(shape, np.maximum(at, 0)), special.gammainc(shape, np.maximum(at, 0)))
    freedom = 4 + 6 / np.maximum(kurtosis - 3, 1e-6)
    student = scipy_stats.t.sf(z * np.sqrt(freedom / (freedom - 2)), freedom)
    return np.asarray(np.maximum(gamma, student))
