"""How alike two interpretations are: sets of units, rankings of units, directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from workbench.arrays import check_array
from workbench.errors import InputError, NotFiniteError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Sequence

    from numpy.typing import NDArray


def cosine(first: Any, second: Any) -> NDArray[np.float64]:
    """Cosine of the angle between vectors along the last axis.

    Args:
        first: (..., feature) finite numbers.
        second: (..., feature) finite numbers, the same shape.

    Returns:
        (...) float64 in [-1, 1]; NaN where either vector is zero.

    Raises:
        ShapeError: shapes differ.
        NotFiniteError: NaN or infinity.
    """
    left, right = _same_shape(first, second)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 for a zero vector: NaN is the answer
        # scaled before the squares, so that tiny vectors do not underflow
        left = left / np.abs(left).max(axis=-1, keepdims=True)
        right = right / np.abs(right).max(axis=-1, keepdims=True)
        norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
        return np.asarray(np.clip(np.einsum("...i,...i->...", left, right) / norms, -1, 1))


def jaccard(first: Collection[Hashable], second: Collection[Hashable]) -> float:
    """Shared items over all items of two sets.

    Args:
        first: items, repetitions ignored.
        second: items.

    Returns:
        In [0, 1]; 1.0 where both are empty, since they agree.
    """
    left, right = set(first), set(second)
    union = left | right
    return len(left & right) / len(union) if union else 1.0


def overlap_at_k(first: Any, second: Any, *, k: int) -> NDArray[np.float64]:
    """Share of the k largest positions of one row that are among the k largest of the other.

    Args:
        first: (..., item) finite scores.
        second: (..., item) finite scores, the same shape.
        k: how many of the largest; of equal scores the earlier position is taken.

    Returns:
        (...) float64 in [0, 1].

    Raises:
        ShapeError: shapes differ.
        InputError: k is not between 1 and the number of items.
        NotFiniteError: NaN or infinity.
    """
    left, right = _same_shape(first, second)
    if not 1 <= k <= left.shape[-1]:
        raise InputError(f"k is {k}; expected between 1 and the {left.shape[-1]} items.")
    return np.asarray((_largest(left, k) & _largest(right, k)).sum(axis=-1) / k)


def rank_biased_overlap(first: Sequence[Hashable], second: Sequence[Hashable], *, persistence: float = 0.9) -> float:
    """Rank-biased overlap of two rankings, extrapolated beyond their ends.

    The overlap at depth d is weighted by persistence^d: the top counts most. Rankings may differ in length and items.

    Args:
        first: items, best first, none twice.
        second: items, best first, none twice.
        persistence: chance of looking one rank deeper, in (0, 1); at 0.9 the first ten ranks hold 86 % of the weight.

    Returns:
        In [0, 1]; 1.0 where both are empty.

    Raises:
        InputError: persistence outside (0, 1), or an item ranked twice.

    Source: [webber2010]
    """
    if not 0 < persistence < 1:
        raise InputError(f"persistence is {persistence}; expected between 0 and 1, both excluded.")
    for name, ranking in (("first", first), ("second", second)):
        if len(set(ranking)) != len(ranking):
            raise InputError(f"{name} ranks {len(ranking) - len(set(ranking))} items more than once.")
    short, long = sorted((first, second), key=len)
    if not long:
        return 1.0
    if not short:
        return 0.0
    # Equation 32 of the paper. Beyond the shorter ranking's end (depth s, overlap x_s) the agreement is extrapolated.
    overlaps = _overlaps(short, long)
    depths = np.arange(1, len(long) + 1)
    weights = persistence ** depths.astype(np.float64)
    ends, at_short, at_long = len(short), overlaps[len(short) - 1], overlaps[-1]
    total = float((overlaps / depths * weights).sum())
    beyond = slice(ends, None)
    total += float((at_short * (depths[beyond] - ends) / (ends * depths[beyond]) * weights[beyond]).sum())
    value = (1 - persistence) / persistence * total
    value += ((at_long - at_short) / len(long) + at_short / ends) * float(weights[-1])
    return float(min(max(value, 0.0), 1.0))


def match_directions(first: Any, second: Any) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Pair the directions of two sets so that the sum of |cosine| is largest (Hungarian method, by scipy).

    Args:
        first: (direction, feature) finite numbers.
        second: (direction, feature) finite numbers; another number of directions is fine.

    Returns:
        |cosine| (direction of first, direction of second) float64 in [0, 1], 0 for a zero vector; and the matched
        rows and columns, one entry a pair.

    Raises:
        ShapeError: other than two matrices with one number of features.
        NotFiniteError: NaN or infinity.

    Source: [kuhn1955]
    """
    left = check_array(first, name="first", dims=("direction", "feature")).astype(np.float64)
    right = check_array(second, name="second", dims=("direction", "feature")).astype(np.float64)
    if left.shape[1] != right.shape[1]:
        raise ShapeError(f"first has {left.shape[1]} features and second {right.shape[1]}; expected the same.")
    similarity = np.clip(np.abs(_unit_length(left) @ _unit_length(right).T), 0, 1)
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return similarity, rows.astype(np.int64), columns.astype(np.int64)


def matched_cosine(first: Any, second: Any) -> float:
    """Mean |cosine| of two sets of directions after matching them one to one.

    Args:
        first: (direction, feature) finite numbers.
        second: (direction, feature) finite numbers. A direction without a partner counts 0.

    Returns:
        In [0, 1]; 1 where the sets agree up to order, sign and length.

    Raises:
        ShapeError, NotFiniteError: as in :func:`match_directions`.
    """
    similarity, rows, columns = match_directions(first, second)
    return float(similarity[rows, columns].sum() / max(similarity.shape))


def _same_shape(first: Any, second: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.shape != right.shape or left.ndim == 0 or left.shape[-1] == 0:
        raise ShapeError(f"first has shape {left.shape} and second {right.shape}; expected one shape (..., item).")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise NotFiniteError("first or second holds NaN or infinity; repair or drop these entries first.")
    return left, right


def _largest(scores: NDArray[np.float64], k: int) -> NDArray[np.bool_]:
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, np.argsort(-scores, axis=-1, kind="stable")[..., :k], True, axis=-1)
    return chosen


def _overlaps(short: Sequence[Hashable], long: Sequence[Hashable]) -> NDArray[np.int64]:
    """Items shared by the first d of both, for d = 1 ... len(long)."""
    position = {item: rank for rank, item in enumerate(short)}
    met = np.zeros(len(long), dtype=np.int64)
    for rank, item in enumerate(long):
        if item in position:
            met[max(rank, position[item])] += 1
    return np.cumsum(met)


def _unit_length(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(np.divide(scaled, norms, out=scaled, where=norms > 0))
