"""Does a heatmap lie where the object is: pointing, mass, rank, overlap of masks and of boxes.

Three rules hold for every metric here. Values below zero count as zero: evidence against is not evidence of where.
A map that is constant after that points everywhere alike and gets the score of chance, so that silence is neither
punished nor left out. A mask that is empty gives NaN, which no mean counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import ndimage

from workbench.arrays import IMAGE, provenance
from workbench.errors import InputError
from workbench.evaluate.pixel_scores import area_share, mass_core, precision_core, rank_core
from workbench.evaluate.regions import Boxes, aligned, extra_dims, object_boxes
from workbench.evaluate.registry import metrics
from workbench.stats import bootstrap_dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD = "threshold"
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
Core = Callable[["NDArray[np.float64]", "NDArray[np.bool_]"], dict[str, "NDArray[np.float64]"]]


@metrics.register(
    title="Pointing game",
    source=("zhang2018",),
    access="black box",
    returns="share of images whose maximum lies on the object, beside that of the image's centre",
    annotation="masks",
    feedback="number",
    note="Large or central objects are hit by chance: compare with the centre.",
    parameters={"tolerance": ("float", 0.0, 0.0, 50.0)},
)
def pointing_game(heatmaps: xr.DataArray, masks: xr.DataArray | Boxes, *, tolerance: float = 0.0) -> xr.Dataset:
    """Does the maximum of the heatmap lie on the object, or within a few pixels of it?

    Where several pixels share the maximum, each counts its share.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: (image, ..., y, x) bool on the same grid, where ``...`` may be ``object`` or ``part``; or, for each
            image, its boxes in pixels of that grid.
        tolerance: how far beside the object still counts, in pixels of the grid. The paper takes 15, on photographs of
            some 500 pixels; on small images that would let the background hit.

    Returns:
        Dataset: ``score`` (image, ...) in [0, 1], NaN where the mask is empty; ``centre`` (image, ...), the score of
        always pointing at the centre of the image; ``value``, ``low``, ``high``, ``n`` (...), the mean over images
        with its 95 % BCa bootstrap interval, and ``baseline_value``, ``baseline_low``, ``baseline_high`` likewise.

    Raises:
        ShapeError: maps and masks of different sizes or images.
        DtypeError: masks that are not boolean.
        NotFiniteError: NaN or infinity in a heatmap.
        InputError: every mask is empty, or a negative tolerance.

    Source: [zhang2018]
    """
    if not tolerance >= 0:
        raise InputError(f"tolerance is {tolerance} pixels; expected zero or more.")

    def core(heat: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        largest = heat == heat.max(axis=(1, 2), keepdims=True)
        near = _within(truth, tolerance)
        height, width = int(heat.shape[1]), int(heat.shape[2])
        middle = np.zeros((height, width), dtype=bool)
        middle[(height - 1) // 2 : height // 2 + 1, (width - 1) // 2 : width // 2 + 1] = True
        return {
            "score": (largest & near).sum(axis=(1, 2)) / largest.sum(axis=(1, 2)),
            "centre": (near & middle).sum(axis=(1, 2)) / middle.sum(),
        }

    return score_masks(heatmaps, masks, core, baseline="centre", metric="pointing_game", tolerance=tolerance)


@metrics.register(
    title="Relevance mass accuracy",
    source=("arras2022",),
    access="black box",
    returns="share of the map's positive mass on the object",
    annotation="masks",
    feedback="number",
)
def relevance_mass(heatmaps: xr.DataArray, masks: xr.DataArray | Boxes) -> xr.Dataset:
    """Share of the positive values of the map that lies on the object.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: as in :func:`pointing_game`.

    Returns:
        Dataset as in :func:`pointing_game`, with ``chance`` (image, ...), the share of the image that the object
        covers, as the baseline.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: as in :func:`pointing_game`.

    Source: [arras2022]
    """
    return score_masks(heatmaps, masks, mass_core, metric="relevance_mass")


@metrics.register(
    title="Energy-based pointing game",
    source=("wang2020",),
    access="black box",
    returns="share of the map's positive mass in the object's box",
    annotation="masks",
    feedback="number",
)
def energy_pointing_game(heatmaps: xr.DataArray, masks: xr.DataArray | Boxes) -> xr.Dataset:
    """Share of the positive values of the map that lies in the boxes of the objects.

    The relevance mass on boxes instead of masks: where masks are given, the smallest box around each is taken.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: as in :func:`pointing_game`.

    Returns:
        Dataset as in :func:`relevance_mass`.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: as in :func:`pointing_game`.

    Source: [wang2020]
    """

    def core(heat: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        return mass_core(heat, _filled_boxes(truth) if isinstance(masks, xr.DataArray) else truth)

    return score_masks(heatmaps, masks, core, metric="energy_pointing_game")


@metrics.register(
    title="Relevance rank accuracy",
    source=("arras2022",),
    access="black box",
    returns="share of the map's highest pixels on the object, as many as the object has",
    annotation="masks",
    feedback="number",
)
def relevance_rank(heatmaps: xr.DataArray, masks: xr.DataArray | Boxes) -> xr.Dataset:
    """Share of the K highest pixels that lie on the object, where K is the object's number of pixels.

    Of pixels that share the K-th value, the expected share under a random order counts.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: as in :func:`pointing_game`.

    Returns:
        Dataset as in :func:`relevance_mass`.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: as in :func:`pointing_game`.

    Source: [arras2022]
    """
    return score_masks(heatmaps, masks, rank_core, metric="relevance_rank")


@metrics.register(
    title="Pixel average precision",
    source=("choe2020",),
    access="black box",
    returns="area under the precision-recall curve of the object's pixels",
    annotation="masks",
    feedback="number",
    note="Free of a threshold. The paper pools the pixels of all images; here each image has its own curve.",
)
def mask_average_precision(heatmaps: xr.DataArray, masks: xr.DataArray | Boxes) -> xr.Dataset:
    """How well the map ranks the object's pixels before all others: no threshold is chosen.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: as in :func:`pointing_game`.

    Returns:
        Dataset as in :func:`relevance_mass`.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: as in :func:`pointing_game`.

    Source: [choe2020]
    """
    return score_masks(heatmaps, masks, precision_core, metric="mask_average_precision")


@metrics.register(
    title="Mask IoU",
    source=(),
    access="black box",
    returns="intersection over union of the thresholded map with the object, by threshold",
    annotation="masks",
    feedback="number",
    note="Choose the threshold on other images: evaluate.tune_threshold or evaluate.cross_tuned.",
)
def mask_iou(
    heatmaps: xr.DataArray, masks: xr.DataArray | Boxes, *, thresholds: Sequence[float] = FRACTIONS
) -> xr.Dataset:
    """Intersection over union of the object and the pixels that reach a fraction of the map's maximum.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: as in :func:`pointing_game`.
        thresholds: fractions of the maximum, in (0, 1].

    Returns:
        Dataset as in :func:`relevance_mass` with a dimension ``threshold`` more; ``chance`` is the IoU of the whole
        image with the object. The best threshold of these very images flatters: see ``cross_tuned``.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: as in :func:`pointing_game`, or a threshold outside (0, 1].
    """
    levels = check_thresholds(thresholds)

    def core(heat: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        # one sweep over the pixels: counts of how many levels each pixel reaches give every overlap
        shape = (len(heat), len(levels))
        overlap, size = np.empty(shape), np.empty(shape)
        for index, level in enumerate(levels):
            chosen = heat >= level * heat.max(axis=(1, 2), keepdims=True)
            overlap[:, index] = (chosen & truth).sum(axis=(1, 2))
            size[:, index] = chosen.sum(axis=(1, 2))
        score = overlap / (size + truth.sum(axis=(1, 2))[:, None] - overlap)
        return {"score": score, "chance": np.broadcast_to(area_share(truth)[:, None], shape).copy()}

    return score_masks(heatmaps, masks, core, thresholds=levels, metric="mask_iou")


@metrics.register(
    title="Box IoU",
    source=("zhou2016", "choe2020"),
    access="black box",
    returns="intersection over union of the box of the map's largest blob with the object's box, by threshold",
    annotation="masks",
    feedback="number",
    note="Choose the threshold on other images: evaluate.tune_threshold or evaluate.cross_tuned.",
)
def box_iou(
    heatmaps: xr.DataArray,
    masks: xr.DataArray | Boxes,
    *,
    thresholds: Sequence[float] = FRACTIONS,
    levels: Sequence[float] = (0.3, 0.5, 0.7),
) -> xr.Dataset:
    """Overlap of two boxes: the object's, and the one around the largest blob of the thresholded map.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: as in :func:`pointing_game`; the smallest box around a mask is the object's. Of several boxes of an
            image the one with the largest overlap counts.
        thresholds: fractions of the maximum, in (0, 1], at which the map is cut; pixels that touch at a side or a
            corner form one blob, and the blob of the most pixels gives the box.
        levels: overlaps from which on an object counts as localised.

    Returns:
        Dataset as in :func:`mask_iou`; besides, ``localised`` (threshold, level, ...), the share of images whose
        overlap reaches the level, and ``box`` (image, threshold, edge) int64, the map's box: top, left, bottom,
        right in pixels, the lower and right edges exclusive.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: as in :func:`pointing_game`, or a threshold outside (0, 1].

    Source: [zhou2016], [choe2020]
    """
    fractions, wanted = check_thresholds(thresholds), check_thresholds(levels)
    heat, _truth = aligned(heatmaps, masks)
    heat = np.maximum(heat, 0)
    found = np.stack([_largest_blob(heat, fraction) for fraction in fractions], axis=1)
    whole = np.array([[0, 0, *heat.shape[1:]]])

    def core(part: NDArray[np.float64], mask: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        objects = _annotated_boxes(masks, mask)
        best = np.stack([_overlaps(found[i], boxes).max(axis=1, initial=0) for i, boxes in enumerate(objects)])
        chance = np.array([_overlaps(whole, boxes).max(initial=0) for boxes in objects])
        return {"score": best, "chance": np.broadcast_to(chance[:, None], best.shape).copy()}

    result = score_masks(heatmaps, masks, core, thresholds=fractions, metric="box_iou")
    reached = xr.concat(
        [(result["score"] >= level).where(result["score"].notnull()).mean(IMAGE) for level in wanted],
        dim=xr.Variable("level", wanted),
    )
    result["localised"] = reached.transpose(THRESHOLD, "level", ...)
    result["box"] = ((IMAGE, THRESHOLD, "edge"), found)
    return result.assign_coords(edge=["top", "left", "bottom", "right"])


def check_thresholds(thresholds: Sequence[float]) -> NDArray[np.float64]:
    """Fractions of a maximum, or an error.

    Args:
        thresholds: numbers in (0, 1], at least one.

    Returns:
        (threshold,) float64.

    Raises:
        InputError: none, or one outside (0, 1].
    """
    levels = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if levels.ndim != 1 or levels.size == 0 or not ((levels > 0) & (levels <= 1)).all():
        raise InputError(f"thresholds are {thresholds!r}; expected one or more fractions in (0, 1].")
    return levels


def score_masks(
    heatmaps: xr.DataArray,
    masks: xr.DataArray | Boxes,
    core: Core,
    *,
    thresholds: NDArray[np.float64] | None = None,
    baseline: str = "chance",
    metric: str,
    **parameters: Any,
) -> xr.Dataset:
    """Score every mask of every image by ``core`` and put means and intervals beside the scores.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: as in :func:`pointing_game`.
        core: takes maps (image, y, x) of zero or more and masks (image, y, x), and gives ``score`` and the baseline,
            (image) or (image, threshold).
        thresholds: (threshold), where the core gives one score each.
        baseline: what the core calls the score to compare with.
        metric: name of the metric.
        **parameters: recorded with the result.

    Returns:
        Dataset as in :func:`relevance_mass`.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: as in :func:`pointing_game`.
    """
    heat, truth = aligned(heatmaps, masks)
    heat = np.maximum(heat, 0)
    extra = extra_dims(truth)
    shape = tuple(truth.sizes[dim] for dim in extra)
    tail = () if thresholds is None else (THRESHOLD,)
    scores = {
        name: np.empty((len(heat), *shape, *(() if thresholds is None else (len(thresholds),))))
        for name in ("score", baseline)
    }
    for index in np.ndindex(shape):
        mask = truth.values[(slice(None), *index)]
        empty = ~mask.any(axis=(1, 2))
        for name, values in core(heat, mask).items():
            values[empty] = np.nan
            scores[name][(slice(None), *index)] = values
    coords: dict[Any, Any] = {name: coord for name, coord in truth.coords.items() if set(coord.dims) <= {IMAGE, *extra}}
    if IMAGE in heatmaps.coords:
        coords[IMAGE] = heatmaps.coords[IMAGE].values
    if thresholds is not None:
        coords[THRESHOLD] = thresholds
    result = xr.Dataset({name: ((IMAGE, *extra, *tail), values) for name, values in scores.items()}, coords=coords)
    summary = bootstrap_dataset(result["score"], over=IMAGE)
    reference = bootstrap_dataset(result[baseline], over=IMAGE)
    for name in ("value", "low", "high"):
        result[name] = summary[name]
        result[f"baseline_{name}"] = reference[name]
    result["n"] = summary["n"]
    made_by = {f"explanation_{key}": value for key, value in heatmaps.attrs.items() if key != "versions"}
    return result.assign_attrs(provenance(metric=metric, baseline=baseline, **parameters, **made_by))


def _within(masks: NDArray[np.bool_], tolerance: float) -> NDArray[np.bool_]:
    if tolerance == 0:
        return masks
    near = masks.copy()
    for index in np.flatnonzero(masks.any(axis=(1, 2))):
        near[index] = ndimage.distance_transform_edt(~masks[index]) <= tolerance
    return near


def _filled_boxes(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    filled = np.zeros_like(masks)
    for index, (top, left, bottom, right) in enumerate(object_boxes(masks)):
        filled[index, top:bottom, left:right] = True
    return filled


def _largest_blob(heat: NDArray[np.float64], fraction: float) -> NDArray[np.int64]:
    """(image, 4): the box around the most pixels that touch and reach the fraction of the maximum."""
    chosen = heat >= fraction * heat.max(axis=(1, 2), keepdims=True)
    touching = np.ones((3, 3), dtype=bool)
    boxes = np.empty((len(heat), 4), dtype=np.int64)
    for index, picture in enumerate(chosen):
        blobs, _ = ndimage.label(picture, structure=touching)
        largest = int(np.bincount(blobs.ravel())[1:].argmax()) + 1
        rows, columns = ndimage.find_objects(blobs)[largest - 1]
        boxes[index] = rows.start, columns.start, rows.stop, columns.stop
    return boxes


def _annotated_boxes(given: xr.DataArray | Boxes, masks: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """For each image the (box, 4) edges of its objects; none where the mask is empty."""
    if not isinstance(given, xr.DataArray):
        return [
            np.array([(box.top, box.left, box.bottom, box.right) for box in boxes], dtype=np.float64).reshape(-1, 4)
            for boxes in given
        ]
    boxes = object_boxes(masks).astype(np.float64)
    return [box[None] if mask.any() else box[None][:0] for box, mask in zip(boxes, masks, strict=True)]


def _overlaps(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of every box of (first, 4) with every box of (second, 4)."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(bottom_right - top_left, 0), axis=-1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1) for boxes in (first, second)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared), dtype=np.float64)
