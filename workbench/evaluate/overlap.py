"""How much the binarised maps of units overlap with the masks of parts, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, OBJECT, PART, UNIT, X, Y, check_array, strings
from workbench.errors import DtypeError, InputError, ShapeError
from workbench.evaluate.binarise import thresholds
from workbench.evaluate.binarisers import POOLED
from workbench.evaluate.regions import same_grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from workbench.evaluate.binarise import Binariser

BLOCK = 1 << 23  # values of heatmaps in memory at a time


@dataclass(frozen=True)
class Overlaps:
    """Counts of pixels, from which IoU and chance follow.

    Attributes:
        shared: (image, unit, part) float64, pixels that map and part share.
        chosen: (image, unit, part) float64, pixels of the binarised map; its last axis is 1 where the map is cut
            without regard to the part.
        areas: (image, part) float64, pixels of the part.
        levels: (image, unit, part) or (image, unit, 1) float64, the lowest value that the map chooses.
        responds: (image, unit) bool, where the map has a value above zero.
        claimed_twice: (image) int64, pixels that more than one part claims.
        positions: pixels of an image.
        binariser: by which the maps were cut, as text.
    """

    shared: NDArray[np.float64]
    chosen: NDArray[np.float64]
    areas: NDArray[np.float64]
    levels: NDArray[np.float64]
    responds: NDArray[np.bool_]
    claimed_twice: NDArray[np.int64]
    positions: int
    binariser: str

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(image, part), where the part has a pixel."""
        return self.areas > 0

    @property
    def iou(self) -> NDArray[np.float64]:
        """(image, unit, part), NaN where the part is not visible."""
        areas = self.areas[:, None]
        union = self.chosen + areas - self.shared
        return np.divide(self.shared, union, out=np.full_like(self.shared, np.nan), where=areas > 0)

    @property
    def chance(self) -> NDArray[np.float64]:
        """(image, unit, part): ab / (a + b - ab) for shares a, b of the image's area; NaN as for ``iou``.

        What as many pixels, laid at random, would overlap with a part of that size.
        """
        first, second = self.chosen / self.positions, self.areas[:, None] / self.positions
        product = first * second
        # a chosen share of zero gives zero, whatever the part
        return np.where(second > 0, product / np.where(second > 0, first + second - product, 1), np.nan)


def aligned_units(heatmaps: Any, masks: Any) -> tuple[xr.DataArray, xr.DataArray]:
    """Heatmaps of units and masks of parts in one order of dimensions, or an error that says what does not fit.

    Args:
        heatmaps: (image, k, y, x) where k is ``unit`` or any other name (``concept``, ``rule``).
        masks: (image, part, y, x) bool on the same grid; ``object`` in place of ``part`` will do.

    Returns:
        (image, unit, y, x) and (image, part, y, x), with a coordinate ``part``.

    Raises:
        ShapeError: missing or superfluous dimensions, other sizes, other images.
        DtypeError: masks that are not boolean, heatmaps that are no numbers.
        InputError: no part is visible anywhere.
    """
    found = heatmaps.dims if isinstance(heatmaps, xr.DataArray) else type(heatmaps).__name__
    if not isinstance(heatmaps, xr.DataArray) or heatmaps.ndim != 4 or not {IMAGE, Y, X} <= set(heatmaps.dims):
        raise ShapeError(
            f"heatmaps have the dimensions {found}; expected a DataArray (image, unit, y, x), one map a unit. "
            "For one map an image use the localisation metrics."
        )
    (own,) = set(heatmaps.dims) - {IMAGE, Y, X}
    if own != UNIT:
        heatmaps = heatmaps.rename({own: UNIT})
    if isinstance(masks, xr.DataArray) and OBJECT in masks.dims and PART not in masks.dims:
        masks = masks.rename({OBJECT: PART})
    found = masks.dims if isinstance(masks, xr.DataArray) else type(masks).__name__
    if not isinstance(masks, xr.DataArray) or set(masks.dims) != {IMAGE, PART, Y, X}:
        raise ShapeError(f"masks have the dimensions {found}; expected a DataArray (image, part, y, x).")
    if masks.dtype != np.bool_:
        raise DtypeError(f"masks have dtype {masks.dtype}; expected bool. Compare first, for example masks > 0.")
    if heatmaps.dtype.kind not in "biuf":
        raise DtypeError(f"heatmaps have dtype {heatmaps.dtype}; expected numbers.")
    if not heatmaps.size:
        raise ShapeError(f"heatmaps are empty: {dict(heatmaps.sizes)}.")
    heatmaps, masks = heatmaps.transpose(IMAGE, UNIT, Y, X), masks.transpose(IMAGE, PART, Y, X)
    same_grid(heatmaps, masks)
    names = masks[PART].values if PART in masks.coords else range(masks.sizes[PART])
    if len({str(name) for name in names}) < masks.sizes[PART]:
        raise InputError(f"The parts are called {[str(name) for name in names]}; expected every name once.")
    if not bool(masks.any()):
        raise InputError("Every mask is empty: no part is visible in any image. Pass images that show the parts.")
    return heatmaps, masks.assign_coords({PART: strings(names)})


def row_coordinates(heatmaps: xr.DataArray, masks: xr.DataArray) -> dict[Any, Any]:
    """What is known of each image and each unit, as coordinates of a result that can be written to a file.

    Args:
        heatmaps: (image, unit, y, x) as :func:`aligned_units` gives them.
        masks: (image, part, y, x) likewise.

    Returns:
        Name to coordinate.
    """
    coords = {name: coord for name, coord in heatmaps.coords.items() if coord.dims in ((UNIT,), (IMAGE,))}
    if IMAGE not in coords and IMAGE in masks.coords:
        coords[IMAGE] = masks.coords[IMAGE]
    return {
        name: (coord.dims, strings(coord.values) if coord.dtype.kind in "UST" else coord.values)
        for name, coord in coords.items()
    }


def measure(heatmaps: xr.DataArray, masks: xr.DataArray, binariser: Binariser) -> Overlaps:
    """Cut every map and count what it shares with every part.

    Maps are read a block of images at a time, so they may be backed by dask; counting is one matrix product a block.

    Args:
        heatmaps: (image, unit, y, x) as :func:`aligned_units` gives them.
        masks: (image, part, y, x) likewise.
        binariser: how maps are cut.

    Returns:
        The counts.

    Raises:
        NotFiniteError: NaN or infinity in a heatmap, with its place.
    """
    images, units, height, width = heatmaps.shape
    parts, positions = masks.sizes[PART], height * width
    kinds = parts if binariser.reads_masks else 1
    shared, areas = np.empty((images, units, parts)), np.empty((images, parts))
    chosen, levels = np.empty((images, units, kinds)), np.empty((images, units, kinds))
    responds, twice = np.empty((images, units), dtype=bool), np.empty(images, dtype=np.int64)
    pooled = _pooled_levels(heatmaps, binariser) if binariser.name in POOLED else None
    for block, values in blocks(heatmaps):
        truth = masks[block].values.reshape(len(values), parts, positions)
        areas[block] = truth.sum(axis=2)
        responds[block] = (values > 0).any(axis=2)
        twice[block] = (truth.sum(axis=1) > 1).sum(axis=1)
        # a product of matrices of 0 and 1: exact, since the counts stay below 2^24
        columns = truth.transpose(0, 2, 1).astype(np.float32)
        if binariser.reads_masks:
            wanted = np.broadcast_to(areas[block, None].astype(np.int64), levels[block].shape)
            levels[block] = thresholds(values, binariser, areas=wanted)
            shared[block], chosen[block] = _of_each_part(values, levels[block], columns)
            continue
        levels[block, :, 0] = thresholds(values, binariser) if pooled is None else pooled
        cut = (values >= levels[block]).astype(np.float32)
        chosen[block, :, 0], shared[block] = cut.sum(axis=2), cut @ columns
    return Overlaps(shared, chosen, areas, levels, responds, twice, positions, str(binariser))


def _of_each_part(
    values: NDArray[Any], levels: NDArray[np.float64], columns: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels shared and chosen, (image, unit, part), where each part has thresholds of its own."""
    shared, chosen = np.zeros(levels.shape), np.zeros(levels.shape)
    for part in range(levels.shape[2]):
        # on images without the part nothing is chosen
        seen = np.flatnonzero(columns[..., part].any(axis=1))
        if len(seen):
            cut = (values[seen] >= levels[seen, :, part, None]).astype(np.float32)
            chosen[seen, :, part] = cut.sum(axis=2)
            shared[seen, :, part] = (cut @ columns[seen, :, part, None])[..., 0]
    return shared, chosen


def blocks(heatmaps: xr.DataArray) -> Iterator[tuple[slice, NDArray[Any]]]:
    """The maps of a few images at a time, checked, with values below zero as zero.

    Args:
        heatmaps: (image, unit, y, x).

    Yields:
        Which images, and (image, unit, position) their values.

    Raises:
        NotFiniteError: NaN or infinity, with its place.
    """
    images, units, height, width = heatmaps.shape
    step = max(1, BLOCK // (units * height * width))
    for start in range(0, images, step):
        block = slice(start, min(start + step, images))
        yield block, _values(heatmaps, block, slice(0, units))


def _values(heatmaps: xr.DataArray, images: slice, units: slice) -> NDArray[Any]:
    values = check_array(
        heatmaps[images, units].values,
        name=f"heatmaps (of images from {images.start}, units from {units.start})",
        dims=(IMAGE, UNIT, Y, X),
    )
    return np.asarray(np.maximum(values.reshape(*values.shape[:2], -1), 0))


def _pooled_levels(heatmaps: xr.DataArray, binariser: Binariser) -> NDArray[np.float64]:
    """(1, unit): the thresholds that a binariser takes from all images of a unit."""
    images, units, height, width = heatmaps.shape
    step = max(1, BLOCK // (images * height * width))
    found = [
        thresholds(_values(heatmaps, slice(0, images), slice(start, min(start + step, units))), binariser)[:1]
        for start in range(0, units, step)
    ]
    return np.concatenate(found, axis=1)
