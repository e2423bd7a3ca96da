"""How alike two representations of the same images are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arrays import check_array
from workbench.errors import InputError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_DIMS = ("sample", "feature")


def linear_cka(first: Any, second: Any, *, debiased: bool = True) -> float:
    """Linear centred kernel alignment of two representations of the same samples.

    Invariant to rotation, isotropic scaling and shift of either. The biased form tends to 1 where features outnumber
    samples, whatever they hold; the debiased one has mean 0 for unrelated representations.
    Costs O(n p q) or O(n^2 (p + q)), whichever is less.

    Args:
        first: (sample, feature) finite numbers.
        second: (sample, feature) finite numbers; samples in the same order, any number of features.
        debiased: use the unbiased estimator of HSIC, which needs at least four samples.

    Returns:
        At most 1; at least 0 where biased, while the debiased value of unrelated representations scatters around 0.
        NaN where either representation is constant.

    Raises:
        ShapeError: other than two matrices with one number of samples, enough for the estimator.
        NotFiniteError: NaN or infinity.

    Source: [kornblith2019], [song2012], [nguyen2021]
    """
    left, right = _representations(first, second, at_least=4 if debiased else 2)
    if len(left) < np.sqrt(left.shape[1] * right.shape[1]):
        grams = left @ left.T, right @ right.T
        products = [_gram_alignment(a, b, debiased) for a, b in (grams, grams[:1] * 2, grams[1:] * 2)]
    else:
        products = [_feature_alignment(a, b, debiased) for a, b in ((left, right), (left, left), (right, right))]
    between, within_first, within_second = products
    # by Cauchy-Schwarz the biased products are >= 0; the debiased ones can be <= 0 for next to constant input
    if within_first <= 0 or within_second <= 0:
        return float("nan")
    return float(min(between / np.sqrt(within_first * within_second), 1.0))


def procrustes_similarity(first: Any, second: Any) -> float:
    """One minus half the squared orthogonal Procrustes distance of two representations, centred and of unit norm.

    Args:
        first: (sample, feature) finite numbers.
        second: (sample, feature) finite numbers; samples in the same order, any number of features.

    Returns:
        In [0, 1]; 1 where a rotation, scaling and shift turn one into the other. NaN where either is constant.

    Raises:
        ShapeError, NotFiniteError: as in :func:`linear_cka`.

    Source: [schonemann1966]
    """
    return _aligned(*_representations(first, second, at_least=2))


def shape_similarity(first: Any, second: Any, *, alpha: float = 0.5) -> float:
    """The generalised shape metric, as a similarity: 1 - 2 theta / pi with the Riemannian angle theta.

    Both are centred, scaled to a mean variance of 1 over their directions (so that the result does not depend on the
    scale of the data), partly whitened by ``alpha I + (1 - alpha) C^(-1/2)`` with the covariance C, brought to unit
    norm and rotated onto each other. ``alpha = 1`` gives the Procrustes angle, ``alpha = 0`` one from the mean of
    the canonical correlations.

    Args:
        first: (sample, feature) finite numbers.
        second: (sample, feature) finite numbers; samples in the same order, any number of features.
        alpha: share left unwhitened, in [0, 1]. Where features reach samples in number, fully whitened
            representations of the same samples are always alike: use more samples.

    Returns:
        In [0, 1]; NaN where either is constant.

    Raises:
        InputError: alpha outside [0, 1].
        ShapeError, NotFiniteError: as in :func:`linear_cka`.

    Source: [williams2021]
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is {alpha}; expected a number in [0, 1] (1 leaves unwhitened, 0 whitens fully).")
    left, right = _representations(first, second, at_least=2)
    cosine = _aligned(_whiten(left, alpha), _whiten(right, alpha))
    return float(1 - 2 * np.arccos(min(cosine, 1.0)) / np.pi)


def _representations(first: Any, second: Any, *, at_least: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left = check_array(first, name="first", dims=SAMPLE_DIMS).astype(np.float64)
    right = check_array(second, name="second", dims=SAMPLE_DIMS).astype(np.float64)
    if len(left) != len(right):
        raise ShapeError(f"first holds {len(left)} samples and second {len(right)}; expected the same samples in both.")
    if len(left) < at_least:
        raise ShapeError(f"{len(left)} samples; expected at least {at_least} for this similarity.")
    return _centre(left), _centre(right)


def _centre(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred, scaled to a largest value of 1, and exactly zero where only rounding was left."""
    mean = values.mean(axis=0)
    centred = values - mean
    centred[:, np.abs(centred).max(axis=0) <= 1e-12 * np.abs(mean)] = 0.0
    largest = np.abs(centred).max()
    return np.asarray(centred / largest) if largest > 0 else centred


def _gram_alignment(first: NDArray[np.float64], second: NDArray[np.float64], debiased: bool) -> float:
    if not debiased:
        return float((first * second).sum())
    first, second = first.copy(), second.copy()
    np.fill_diagonal(first, 0)
    np.fill_diagonal(second, 0)
    return _debias(len(first), float((first * second).sum()), first.sum(axis=1), second.sum(axis=1))


def _feature_alignment(first: NDArray[np.float64], second: NDArray[np.float64], debiased: bool) -> float:
    """The same from the features, without a matrix of samples by samples."""
    trace = float(((first.T @ second) ** 2).sum())
    if not debiased:
        return trace
    first_diagonal, second_diagonal = (first**2).sum(axis=1), (second**2).sum(axis=1)
    return _debias(
        len(first),
        trace - float(first_diagonal @ second_diagonal),
        first @ first.sum(axis=0) - first_diagonal,
        second @ second.sum(axis=0) - second_diagonal,
    )


def _debias(count: int, trace: float, first_rows: NDArray[np.float64], second_rows: NDArray[np.float64]) -> float:
    """The unbiased HSIC from trace and row sums of Gram matrices whose diagonals were set to zero."""
    correction = float(first_rows.sum() * second_rows.sum()) / ((count - 1) * (count - 2))
    return (trace + correction - 2 * float(first_rows @ second_rows) / (count - 2)) / (count * (count - 3))


def _aligned(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    if norms == 0:
        return float("nan")
    first, second = _reduced(first), _reduced(second)
    return min(float(np.linalg.svd(first.T @ second, compute_uv=False).sum() / norms), 1.0)


def _reduced(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """An equivalent representation with no more features than samples: rotations change nothing."""
    if values.shape[1] <= values.shape[0]:
        return values
    left, lengths, _ = np.linalg.svd(values, full_matrices=False)
    return np.asarray(left * lengths)


def _whiten(values: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    left, lengths, right = np.linalg.svd(values, full_matrices=False)
    kept = lengths > lengths[0] * max(values.shape) * np.finfo(np.float64).eps if lengths[0] > 0 else lengths > 0
    if not kept.any():
        return values
    # without a common unit, alpha would mean something else at each scale of the data
    lengths = lengths[kept] / np.sqrt(np.mean(lengths[kept] ** 2))
    return np.asarray((left[:, kept] * (alpha * lengths + (1 - alpha))) @ right[kept])
