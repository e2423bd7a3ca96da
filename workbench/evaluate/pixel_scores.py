"""Scores of a map's pixels against a mask that need no threshold: arithmetic alone, on maps and masks that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.stats import average_precision

if TYPE_CHECKING:
    from numpy.typing import NDArray


def area_share(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of the image that each mask covers.

    Args:
        masks: (image, y, x) bool.

    Returns:
        (image) float64.
    """
    return np.asarray(masks.mean(axis=(1, 2)), dtype=np.float64)


def mass_core(heat: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """The share of each map's mass on its mask, for maps and masks that fit.

    Args:
        heat: (image, y, x) float64 of zero or more.
        truth: (image, y, x) bool.

    Returns:
        ``score`` and ``chance`` (image); what an empty mask gets means nothing.
    """
    largest = heat.max(axis=(1, 2), keepdims=True)
    # scaled first, so that a map of tiny or huge values neither underflows nor overflows; a map of zeros is uniform
    scaled = np.divide(heat, largest, out=np.ones_like(heat), where=largest > 0)
    return {
        "score": np.where(truth, scaled, 0).sum(axis=(1, 2)) / scaled.sum(axis=(1, 2)),
        "chance": area_share(truth),
    }


def rank_core(heat: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """The share of each map's highest pixels on its mask, for maps and masks that fit.

    Args:
        heat: (image, y, x) float64 of zero or more.
        truth: (image, y, x) bool.

    Returns:
        ``score`` and ``chance`` (image); what an empty mask gets means nothing.
    """
    flat, inside = heat.reshape(len(heat), -1), truth.reshape(len(truth), -1)
    wanted = inside.sum(axis=1)
    last = np.take_along_axis(-np.sort(-flat, axis=1), np.maximum(wanted - 1, 0)[:, None], axis=1)
    above, tied = flat > last, flat == last
    share = (wanted - above.sum(axis=1)) / tied.sum(axis=1)
    hits = (above & inside).sum(axis=1) + share * (tied & inside).sum(axis=1)
    return {"score": hits / np.maximum(wanted, 1), "chance": area_share(truth)}


def precision_core(heat: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """The average precision of each map's pixels, for maps and masks that fit.

    Args:
        heat: (image, y, x) float64 of zero or more.
        truth: (image, y, x) bool.

    Returns:
        ``score`` and ``chance`` (image); what an empty mask gets means nothing.
    """
    score = average_precision(heat.reshape(len(heat), -1), truth.reshape(len(truth), -1))
    return {"score": score, "chance": area_share(truth)}
