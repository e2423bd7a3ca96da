"""Overlap of a binarised explanation with an object, for every way to binarise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.evaluate.binarise import Binariser, as_binariser, thresholds
from workbench.evaluate.binarisers import binarisers
from workbench.evaluate.localisation import score_masks
from workbench.evaluate.registry import metrics

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.evaluate.regions import Boxes


@metrics.register(
    title="IoU of the binarised map",
    source=(),
    access="black box",
    returns="intersection over union of the object with what a binariser chooses of the map",
    annotation="masks",
    feedback="number",
    note="Report the binariser with the number: rankings of methods can depend on it.",
    parameters={"binarise": ("choice", "otsu", tuple(binarisers))},
)
def binarised_iou(
    heatmaps: xr.DataArray, masks: xr.DataArray | Boxes, *, binarise: str | Binariser = "otsu"
) -> xr.Dataset:
    """Intersection over union of each object and the pixels that a binariser chooses of the map.

    Args:
        heatmaps: (image, y, x) finite numbers; values below zero count as zero.
        masks: (image, ..., y, x) bool on the same grid, where ``...`` may be ``object`` or ``part``; or, for each
            image, its boxes in pixels of that grid.
        binarise: a name in ``evaluate.binarisers``, a text such as ``"fraction(fraction=0.3)"``, or a
            :class:`~workbench.evaluate.Binariser`. ``"area_matched"`` reads the masks: an upper bound, no result.

    Returns:
        Dataset as in :func:`~workbench.evaluate.relevance_mass`; ``chance`` (image, ...) is ab / (a + b - ab) for the
        shares a and b of the image that map and object cover: what as many pixels laid at random would score.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: as in :func:`~workbench.evaluate.pointing_game`.
        UnknownNameError: no such binariser.
    """
    binariser = as_binariser(binarise)

    def core(heat: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        areas = truth.sum(axis=(1, 2))
        wanted = areas[:, None, None] if binariser.reads_masks else None
        levels = thresholds(heat.reshape(len(heat), 1, -1), binariser, areas=wanted)
        chosen = heat >= levels.reshape(-1, 1, 1)
        shared, sizes = (chosen & truth).sum(axis=(1, 2)), chosen.sum(axis=(1, 2))
        # an empty mask gets no score whatever stands here
        union = np.maximum(sizes + areas - shared, 1)
        first, second = sizes / heat[0].size, areas / heat[0].size
        chance = first * second / np.maximum(first + second - first * second, 1 / heat[0].size)
        return {"score": shared / union, "chance": chance}

    return score_masks(heatmaps, masks, core, metric="binarised_iou", binariser=str(binariser))
