"""Where in an image units are active: the soft place of each maximum, and how far areas of two units coincide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.arrays import IMAGE
from workbench.errors import NotFiniteError
from workbench.interpret.reading import BLOCK_BYTES, grid, unit_maps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Meter
    from workbench.interpret.activations import Activations
    from workbench.interpret.relations.activity import Activity

CELLS = 16  # most cells along a side of the grid on which areas are compared
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Overlap:
    """Areas of the units of two layers, summed over the images in which both are active.

    Attributes:
        shared: (source, target) float64, cells that belong to both areas.
        source: (source, target) float64, cells of the source's area.
        target: (source, target) float64, cells of the target's area.
    """

    shared: NDArray[np.float64]
    source: NDArray[np.float64]
    target: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Peaks:
    """Where the units of some layers are active in each image.

    Attributes:
        places: layer to (2, image, unit) float64, y and x of the soft maximum in pixels of the network input.
        cells: layer to (y, x), pixels of the network input that one position stands for.
        overlaps: pair of layers to the areas that its units share.
    """

    places: Mapping[str, NDArray[np.float64]]
    cells: Mapping[str, tuple[float, float]]
    overlaps: Mapping[Pair, Overlap]


def find_peaks(
    store: Activations,
    activity: Mapping[str, Activity],
    pairs: Sequence[Pair],
    *,
    size: tuple[int, int],
    meter: Meter | None = None,
) -> Peaks:
    """Find the soft maximum of every map, and how far areas coincide, in one pass over the maps.

    The soft maximum is the centre of mass of the highest position and its eight neighbours, each weighted by how far
    it rises above the lowest of them: a place between positions for a smooth map, the position itself for one peak.
    The area of a unit is where it reaches half of its maximum in the image.

    Args:
        store: the activations.
        activity: layer to the activity of its units.
        pairs: the pairs of layers whose areas are compared, on a grid as fine as the finer one's, of at most 16 cells.
        size: (y, x) pixels of the network input.
        meter: told of each image that was read.

    Returns:
        The peaks.

    Raises:
        InputError: a layer whose maps are no pictures.
        NotFiniteError: NaN or infinity; the image is named.
        Interrupted: the meter was asked to stop.
    """
    grids = {layer: grid(store, layer) for layer in activity}
    cells = {layer: (size[0] / rows, size[1] / columns) for layer, (rows, columns) in grids.items()}
    count = len(store.identifiers)
    places = {layer: np.empty((2, count, len(each.units))) for layer, each in activity.items()}
    sums = {pair: [np.zeros((len(activity[pair[0]].units), len(activity[pair[1]].units)))] * 3 for pair in pairs}
    stored = {layer: unit_maps(store, layer) for layer in activity}
    step = max(1, BLOCK_BYTES // (4 * max(maps.size // count for maps in stored.values())))
    for start in range(0, count, step):
        indices = np.arange(start, min(start + step, count))
        maps = {
            layer: _maps_of(stored[layer], indices, each.units, layer=layer, names=store.identifiers)
            for layer, each in activity.items()
        }
        for layer, values in maps.items():
            for axis, soft in enumerate(_soft_maximum(values)):
                places[layer][axis, indices] = (soft + 0.5) * cells[layer][axis] - 0.5
        for pair in pairs:
            common = _common_cells(grids[pair[0]], grids[pair[1]])
            areas = [_areas(maps[layer], common) for layer in pair]
            active = [activity[layer].active[indices] for layer in pair]
            sums[pair] = [total + part for total, part in zip(sums[pair], _overlap(areas, active), strict=True)]
        if meter is not None:
            meter.advance(len(indices))
    return Peaks(places, cells, {pair: Overlap(*found) for pair, found in sums.items()})


def _maps_of(
    maps: xr.DataArray, indices: NDArray[np.int64], units: NDArray[np.int64], *, layer: str, names: Sequence[str]
) -> NDArray[np.float32]:
    """(image, unit, y, x) of some images and units.

    Raises:
        NotFiniteError: NaN or infinity; the image is named.
    """
    values = np.asarray(maps.isel({IMAGE: slice(int(indices[0]), int(indices[-1]) + 1)}).values, dtype=np.float32)
    values = values if len(units) == values.shape[1] and (np.diff(units) == 1).all() else values[:, units]
    finite = np.isfinite(values).all(axis=(1, 2, 3))
    if not finite.all():
        bad = int(indices[np.flatnonzero(~finite)[0]])
        raise NotFiniteError(
            f"layer {layer!r} holds NaN or infinity in image {str(names[bad])!r}. Repair the image or the network, or "
            "leave the image out (interpret.select)."
        )
    return values


def _overlap(areas: list[NDArray[np.bool_]], active: list[NDArray[np.bool_]]) -> list[NDArray[np.float64]]:
    """Cells shared, and cells of either, of each pair of units over the images in which both are active."""
    first, second = (
        (area & on[:, None]).astype(np.float32).reshape(-1, on.shape[1]) for area, on in zip(areas, active, strict=True)
    )
    sizes = [area.sum(axis=1, dtype=np.float64) * on for area, on in zip(areas, active, strict=True)]
    shared = first.T @ second  # counts of cells, exact in float32 within a block
    return [shared.astype(np.float64), sizes[0].T @ active[1], active[0].astype(np.float64).T @ sizes[1]]


def _soft_maximum(maps: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(image, unit) row and column of the soft maximum, in positions of the map."""
    images, units, height, width = maps.shape
    flat = maps.reshape(images * units, height * width)
    row, column = np.divmod(flat.argmax(axis=1), width)
    shifts = np.array([(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    rows, columns = row[:, None] + shifts[:, 0], column[:, None] + shifts[:, 1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    at = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
    around = np.take_along_axis(flat, at, axis=1).astype(np.float64)
    lowest = np.where(inside, around, np.inf).min(axis=1, keepdims=True)
    weight = np.where(inside, around - lowest, 0.0)
    total = weight.sum(axis=1)
    flatness = np.where(total > 0, total, 1.0)  # of a flat map, the first position counts
    return (
        (row + (weight * shifts[:, 0]).sum(axis=1) / flatness).reshape(images, units),
        (column + (weight * shifts[:, 1]).sum(axis=1) / flatness).reshape(images, units),
    )


def _areas(maps: NDArray[np.float32], cells: tuple[int, int]) -> NDArray[np.bool_]:
    """(image, cell, unit): where a map reaches half of its maximum, on a common grid; a cell is in if any part is."""
    high = maps >= maps.max(axis=(2, 3), keepdims=True) / 2
    for axis, count in ((2, cells[0]), (3, cells[1])):
        size = high.shape[axis]
        if size > count:
            high = np.logical_or.reduceat(high, np.arange(count) * size // count, axis=axis)
        elif size < count:
            high = np.take(high, np.arange(count) * size // count, axis=axis)
    return np.ascontiguousarray(high.reshape(*high.shape[:2], -1).transpose(0, 2, 1))


def _common_cells(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return min(CELLS, max(first[0], second[0])), min(CELLS, max(first[1], second[1]))
