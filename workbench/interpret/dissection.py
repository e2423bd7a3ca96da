"""Which annotated part or object does each unit find?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, PART, UNIT, X, Y, provenance, strings
from workbench.errors import DtypeError, InputError, ShapeError
from workbench.interpret.features import source_facts
from workbench.interpret.reading import (
    grid,
    image_weights,
    map_blocks,
    one_layer,
    unit_coordinates,
    weighted_quantile,
)
from workbench.interpret.registry import interpreters
from workbench.interpret.upsampling import bilinear_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

UNLABELLED = ""


@interpreters.register(
    title="Network dissection",
    source=("bau2017",),
    access="activations",
    returns="intersection over union of each unit with each annotated part",
    signed=False,
    specificity="shared",
    coverage="one layer",
    annotation="masks",
    feedback="units",
    cost="two passes over the stored maps",
    note="The best part of many is taken on the same images: judge it on others (evaluate).",
    parameters={"quantile": ("float", 0.995, 0.9, 0.9999), "floor": ("float", 0.04, 0.0, 0.5)},
)
def dissect(
    store: Activations,
    masks: xr.DataArray,
    *,
    layer: str | None = None,
    quantile: float = 0.995,
    floor: float = 0.04,
    weights: Any = None,
) -> xr.Dataset:
    """Compare where each unit is strong with where each part is.

    A unit's map is enlarged to the masks' size and cut at the unit's own quantile over all images and positions of
    the store; intersection and union with each part are counted over all images of ``masks``.

    Args:
        store: an activation store, or other activations.
        masks: (image, part, y, x) bool, on the grid that the network saw; ``object`` in place of ``part`` will do.
            Its ``image`` coordinate names images of the store; without one, its images are those of the store.
        layer: the layer's name; may be left out where there is but one.
        quantile: share of values below a unit's threshold.
        floor: units whose best IoU is below get no label.
        weights: (image) zero or more, of the store's images: how often each counts, in areas and thresholds, as a
            coreset has them; once where omitted.

    Returns:
        Dataset: ``iou`` (unit, part) float64, NaN where neither the unit nor the part ever appears; ``intersection``
        and ``union`` (unit, part), ``area`` (unit) and ``part_area`` (part) int64, in pixels, float64 where images
        have weights; ``threshold`` (unit);
        ``label`` (unit), name of the part with the largest IoU (of equals the larger intersection) or ""; ``best``
        (unit), its IoU. Coordinates ``unit``, ``layer``, ``index``, ``part``.

    Raises:
        ShapeError: masks without the dimensions, or of another number of images.
        DtypeError: masks that are not boolean.
        InputError: images that the store lacks, no part anywhere, weights below zero or all zero, or a parameter out
            of range.
        UnknownNameError: no such layer.

    Source: [bau2017]
    """
    name = one_layer(store, layer)
    size = grid(store, name)
    if not 0 < quantile < 1 or not 0 <= floor <= 1:
        raise InputError(f"quantile is {quantile} and floor {floor}; expected numbers between 0 and 1.")
    annotated, indices = aligned_masks(store, masks)
    counts = image_weights(weights, len(store.identifiers))
    cut = store.quantile(name, quantile) if counts is None else weighted_quantile(store, name, quantile, counts)
    thresholds = np.asarray(cut.values, dtype=np.float32)
    kind = np.int64 if counts is None else np.float64
    times = np.ones(len(indices), dtype=kind) if counts is None else counts[indices]
    parts = annotated.sizes[PART]
    rows, columns = (bilinear_matrix(have, annotated.sizes[dim]) for have, dim in zip(size, (Y, X), strict=True))
    shared = np.zeros((len(thresholds), parts), dtype=kind)
    area, part_area = np.zeros(len(thresholds), dtype=kind), np.zeros(parts, dtype=kind)
    done = 0
    for _, values in map_blocks(store, name, indices=indices):
        truth = np.asarray(annotated.isel({IMAGE: slice(done, done + len(values))}).values)
        truth = truth.reshape(len(values), parts, -1)
        often = times[done : done + len(values)]
        done += len(values)
        part_area += often @ truth.sum(axis=2)
        # interpolation never exceeds the map's maximum: most units of most images need no enlarging
        active = values.max(axis=2) > thresholds
        for image in np.flatnonzero(active.any(axis=1)):
            units = np.flatnonzero(active[image])
            maps = values[image, units].reshape(len(units), *size)
            large = (rows @ (maps @ columns.T)).reshape(len(units), -1) > thresholds[units, None]
            area[units] += often[image] * large.sum(axis=1)
            seen = np.flatnonzero(truth[image].any(axis=1))
            if len(seen):
                both = large.astype(np.float32) @ truth[image, seen].T.astype(np.float32)
                shared[np.ix_(units, seen)] += often[image] * both.astype(kind)
    if not part_area.any():
        raise InputError("No part is visible in any image; pass masks of images that show the parts.")
    result = _score(shared, area, part_area, [str(part) for part in annotated[PART].values], floor)
    result["threshold"] = (UNIT, thresholds)
    facts = source_facts(store, [name])
    return result.assign_coords(unit_coordinates(name, len(thresholds))).assign_attrs(
        provenance(
            method="dissect", layers=[name], quantile=quantile, floor=floor, annotated_images=len(indices), **facts
        )
    )


def _score(
    shared: NDArray[Any], area: NDArray[Any], part_area: NDArray[Any], parts: list[str], floor: float
) -> xr.Dataset:
    union = area[:, None] + part_area[None] - shared
    with np.errstate(invalid="ignore"):  # 0 / 0 where neither appears: NaN is the answer
        iou = shared / union
    comparable = np.nan_to_num(iou, nan=-1.0)
    order = np.lexsort((-shared, -comparable), axis=1)
    best = order[:, 0]
    score = np.take_along_axis(comparable, best[:, None], axis=1)[:, 0]
    labels = [
        parts[index] if value >= floor and value > 0 else UNLABELLED for index, value in zip(best, score, strict=True)
    ]
    return xr.Dataset(
        {
            "iou": ((UNIT, PART), iou),
            "intersection": ((UNIT, PART), shared),
            "union": ((UNIT, PART), union),
            "area": (UNIT, area),
            "part_area": (PART, part_area),
            "label": (UNIT, strings(labels)),
            "best": (UNIT, np.maximum(score, 0)),
        },
        coords={PART: strings(parts)},
    )


def aligned_masks(store: Activations, masks: Any) -> tuple[xr.DataArray, NDArray[np.int64]]:
    """Masks in one order of dimensions, and where their images are in the store.

    Args:
        store: the activations.
        masks: as in :func:`dissect`.

    Returns:
        (image, part, y, x) bool, and (image) int64 positions.

    Raises:
        ShapeError, DtypeError, InputError: as in :func:`dissect`.
    """
    if isinstance(masks, xr.DataArray) and "object" in masks.dims and PART not in masks.dims:
        masks = masks.rename({"object": PART})
    if not isinstance(masks, xr.DataArray) or set(masks.dims) != {IMAGE, PART, Y, X}:
        found = masks.dims if isinstance(masks, xr.DataArray) else type(masks).__name__
        raise ShapeError(f"masks have the dimensions {found}; expected a DataArray (image, part, y, x).")
    if masks.dtype != np.bool_:
        raise DtypeError(f"masks have dtype {masks.dtype}; expected bool. Compare first, for example masks > 0.")
    if PART not in masks.coords:
        masks = masks.assign_coords({PART: [str(index) for index in range(masks.sizes[PART])]})
    masks = masks.transpose(IMAGE, PART, Y, X)
    names = [str(name) for name in store.identifiers]
    if IMAGE not in masks.coords:
        if masks.sizes[IMAGE] != len(names):
            raise ShapeError(
                f"masks of {masks.sizes[IMAGE]} images without names, and a store of {len(names)} images; give the "
                "masks an 'image' coordinate that names images of the store."
            )
        return masks, np.arange(len(names))
    position = {name: index for index, name in enumerate(names)}
    missing = [str(name) for name in masks[IMAGE].values if str(name) not in position]
    if missing:
        raise InputError(
            f"{len(missing)} annotated images are not in the store, {missing[0]!r} among them. "
            "Extract the store from these images, or select those that it holds."
        )
    return masks, np.array([position[str(name)] for name in masks[IMAGE].values], dtype=np.int64)
