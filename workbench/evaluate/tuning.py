"""Choosing a threshold without looking at the images that are scored with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, provenance
from workbench.errors import InputError
from workbench.evaluate.localisation import FRACTIONS, THRESHOLD
from workbench.evaluate.registry import metrics
from workbench.stats import bootstrap_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.evaluate.regions import Boxes


def tune_threshold(
    heatmaps: xr.DataArray,
    masks: xr.DataArray | Boxes,
    *,
    metric: str = "box_iou",
    thresholds: Sequence[float] = FRACTIONS,
) -> float:
    """The threshold with the best mean score on these images; score with it on others.

    Args:
        heatmaps: (image, y, x) finite numbers, of images kept for tuning.
        masks: (image, ..., y, x) bool on the same grid, or boxes.
        metric: a registered metric with ``thresholds``: ``"box_iou"`` or ``"mask_iou"``.
        thresholds: the candidates, fractions of the maximum in (0, 1].

    Returns:
        The best candidate; of equals the lowest.

    Raises:
        UnknownNameError: no such metric.
        InputError: a metric without thresholds, or bad input as the metric says.
    """
    scores = _scores(heatmaps, masks, metric, thresholds)
    others = [dim for dim in scores.dims if dim != THRESHOLD]
    return float(scores[THRESHOLD][int(scores.mean(others).values.argmax())])


def cross_tuned(
    heatmaps: xr.DataArray,
    masks: xr.DataArray | Boxes,
    *,
    metric: str = "box_iou",
    thresholds: Sequence[float] = FRACTIONS,
    folds: int = 2,
    seed: int = 0,
) -> xr.Dataset:
    """Score every image at the threshold that was best on the other folds.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: (image, ..., y, x) bool on the same grid, or boxes.
        metric: as in :func:`tune_threshold`.
        thresholds: the candidates, fractions of the maximum in (0, 1].
        folds: parts into which the images are shuffled; between 2 and the number of images with an object.
        seed: of the shuffling.

    Returns:
        Dataset: ``score`` (image, ...), NaN where the mask is empty; ``threshold`` (image), the one used;
        ``value``, ``low``, ``high``, ``n`` (...), the mean over images with its 95 % BCa bootstrap interval.

    Raises:
        UnknownNameError, InputError: as in :func:`tune_threshold`, or folds out of range.
    """
    scores = _scores(heatmaps, masks, metric, thresholds)
    others = [dim for dim in scores.dims if dim not in (IMAGE, THRESHOLD)]
    seen = np.flatnonzero(scores.notnull().any([*others, THRESHOLD]).values)
    if not 2 <= folds <= len(seen):
        raise InputError(
            f"folds is {folds}; expected between 2 and the {len(seen)} images on which the object is seen."
        )
    fold = np.zeros(scores.sizes[IMAGE], dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(seen)] = np.arange(len(seen)) % folds
    chosen = np.empty(len(fold), dtype=np.int64)
    for number in range(folds):
        elsewhere: NDArray[np.bool_] = fold != number
        means = scores.isel({IMAGE: elsewhere}).mean([IMAGE, *others])
        chosen[~elsewhere] = int(means.values.argmax())
    index = xr.DataArray(chosen, dims=IMAGE)
    score = scores.isel({THRESHOLD: index})
    used = score[THRESHOLD].values
    score = score.drop_vars(THRESHOLD)
    summary = bootstrap_dataset(score, over=IMAGE)
    facts: dict[str, Any] = {"metric": metric, "folds": folds, "seed": seed, "candidates": list(map(float, thresholds))}
    return summary.assign(score=score, threshold=(IMAGE, used)).assign_attrs(provenance(**facts))


def _scores(
    heatmaps: xr.DataArray, masks: xr.DataArray | Boxes, metric: str, thresholds: Sequence[float]
) -> xr.DataArray:
    method = metrics[metric]
    if metric not in ("box_iou", "mask_iou"):
        raise InputError(f"The metric {metric!r} has no thresholds to tune; expected 'box_iou' or 'mask_iou'.")
    scores: xr.DataArray = method(heatmaps, masks, thresholds=thresholds)["score"]
    return scores
