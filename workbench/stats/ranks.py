"""Rank correlation and precision-recall, for many maps at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats as scipy_stats

from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def spearman(first: Any, second: Any) -> NDArray[np.float64]:
    """Spearman's rank correlation along the last axis, for every row at once.

    Args:
        first: (..., position) finite numbers; leading axes broadcast against those of ``second``.
        second: (..., position) finite numbers. Flatten maps first: ``maps.reshape(len(maps), -1)``.

    Returns:
        (...) float64 in [-1, 1]; NaN where either row is constant, since a constant has no order. Ties share ranks.

    Raises:
        ShapeError: last axes differ or hold fewer than two positions.
        NotFiniteError: NaN or infinity.
    """
    left, right = _rows(first, second)
    left, right = _centred_ranks(left), _centred_ranks(right)
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    products = np.einsum("...i,...i->...", left, right)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 for a constant row: NaN is the answer
        return np.asarray(np.clip(products / norms, -1, 1))


def kendall_tau(first: Any, second: Any) -> NDArray[np.float64]:
    """Kendall's tau-b along the last axis, row by row, by scipy (O(n log n) a row).

    Args:
        first: (..., position) finite numbers; leading axes broadcast against those of ``second``.
        second: (..., position) finite numbers.

    Returns:
        (...) float64 in [-1, 1]; NaN where either row is constant.

    Raises:
        ShapeError: last axes differ or hold fewer than two positions.
        NotFiniteError: NaN or infinity.

    Source: [kendall1938]
    """
    left, right = _rows(first, second)
    left, right = np.broadcast_arrays(left, right)
    result = np.empty(left.shape[:-1])
    for index in np.ndindex(result.shape):
        result[index] = scipy_stats.kendalltau(left[index], right[index]).statistic
    return result


def average_precision(scores: Any, truth: Any) -> NDArray[np.float64]:
    """Average precision (the step-wise area under the precision-recall curve) along the last axis, every row at once.

    Positions with equal scores enter together, as in scikit-learn: no order among them is made up.

    Args:
        scores: (..., position) finite numbers, larger meaning more likely true.
        truth: (..., position) bool, or integers 0 and 1.

    Returns:
        (...) float64 in [0, 1]; NaN where no position of the row is true. Chance is the share of true positions.

    Raises:
        ShapeError: shapes differ.
        DtypeError: truth is not boolean.
        NotFiniteError: NaN or infinity among the scores.
    """
    precision, recall, last_of_ties = precision_recall(scores, truth)
    # only the last of equal scores is a point of the curve; before it, recall stands where the previous group ended
    reached = np.where(last_of_ties, recall, 0.0)
    previous = np.maximum.accumulate(np.concatenate([np.zeros_like(reached[..., :1]), reached[..., :-1]], -1), axis=-1)
    area = np.where(last_of_ties, (recall - previous) * precision, 0.0).sum(axis=-1)
    return np.asarray(np.where(np.isnan(recall[..., -1]), np.nan, area))


def precision_recall(scores: Any, truth: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Precision and recall as positions are taken in order of falling score.

    Args:
        scores: (..., position) finite numbers.
        truth: (..., position) bool, or integers 0 and 1.

    Returns:
        ``precision`` and ``recall`` (..., position) float64 after taking 1, 2, ... positions, recall NaN where nothing
        is true; and ``last_of_ties`` (..., position) bool: where a group of equal scores ends, which alone are points
        of the curve.

    Raises:
        ShapeError, DtypeError, NotFiniteError: as in :func:`average_precision`.
    """
    values, found = np.asarray(scores), np.asarray(truth)
    if values.shape != found.shape or values.ndim == 0 or values.shape[-1] == 0:
        raise ShapeError(
            f"scores have shape {values.shape} and truth {found.shape}; expected one shape (..., position)."
        )
    if found.dtype != np.bool_:
        if found.dtype.kind not in "iu" or not np.isin(found, (0, 1)).all():
            raise DtypeError(f"truth has dtype {found.dtype}; expected bool, or integers that are 0 or 1.")
        found = found.astype(bool)
    _check_finite(values, "scores")
    order = np.argsort(-values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    hits = np.cumsum(np.take_along_axis(found, order, axis=-1), axis=-1, dtype=np.int64)
    precision = hits / np.arange(1, values.shape[-1] + 1)
    with np.errstate(invalid="ignore"):  # 0 / 0 where nothing is true: NaN is the answer
        recall = hits / hits[..., -1:]
    ends = np.ones(values.shape, dtype=bool)
    ends[..., :-1] = ordered[..., 1:] != ordered[..., :-1]
    return precision, recall, ends


def _rows(first: Any, second: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    left, right = np.asarray(first), np.asarray(second)
    if left.ndim == 0 or right.ndim == 0 or left.shape[-1] != right.shape[-1] or left.shape[-1] < 2:
        raise ShapeError(
            f"first has shape {left.shape} and second {right.shape}; "
            "expected (..., position) with one number of positions, at least two."
        )
    try:
        np.broadcast_shapes(left.shape, right.shape)
    except ValueError:
        raise ShapeError(f"first, shape {left.shape}, and second, shape {right.shape}, do not broadcast.") from None
    for array, name in ((left, "first"), (right, "second")):
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} has dtype {array.dtype}; expected numbers.")
        _check_finite(array, name)
    return left, right


def _check_finite(array: NDArray[Any], name: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotFiniteError(f"{name} hold NaN or infinity, which have no rank. Repair or drop these maps first.")


def _centred_ranks(rows: NDArray[Any]) -> NDArray[np.float64]:
    ranks = scipy_stats.rankdata(rows, axis=-1)
    # the mean rank is known whatever the ties
    return np.asarray(ranks - (rows.shape[-1] + 1) / 2, dtype=np.float64)
