"""Reading activations: layers, maps some images at a time, units, categories, quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, UNIT, X, Y, check_array, strings
from workbench.errors import InputError, NotFiniteError, ShapeError, unknown_name
from workbench.store.quantiles import streamed_quantiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

BLOCK_BYTES = 32 * 2**20  # of float32 maps in memory at a time
NEAR = 16  # images: what lies between two that are no farther apart is read along, since a chunk holds it anyway
SORTED_BYTES = 128 * 2**20  # of float32 maps up to which quantiles are found by sorting instead of by streaming


def chosen_layers(source: Activations, layers: str | Sequence[str] | None) -> tuple[str, ...]:
    """The layers asked for, all where none was named.

    Args:
        source: the activations.
        layers: one name, several, or None.

    Returns:
        The names.

    Raises:
        UnknownNameError: a layer that is not there.
    """
    known = [str(layer) for layer in source.layers]
    asked = known if layers is None else [layers] if isinstance(layers, str) else list(layers)
    for layer in asked:
        if layer not in known:
            raise unknown_name("layer", layer, known, hint="Only layers that were extracted can be interpreted.")
    return tuple(asked)


def one_layer(source: Activations, layer: str | None) -> str:
    """The layer asked for, or the only one.

    Args:
        source: the activations.
        layer: its name, or None where there is but one.

    Returns:
        The name.

    Raises:
        UnknownNameError: no such layer.
        InputError: no layer was named and there are several.
    """
    found = chosen_layers(source, layer)
    if len(found) > 1:
        raise InputError(f"There are {len(found)} layers: {', '.join(found)}. Say which with layer=.")
    return found[0]


def unit_coordinates(layer: str, count: int) -> dict[str, Any]:
    """Coordinates of the units of a layer: ``unit`` ("layer:index"), ``layer`` and ``index``."""
    return {
        UNIT: strings(f"{layer}:{index}" for index in range(count)),
        "layer": (UNIT, strings([layer] * count)),
        "index": (UNIT, np.arange(count)),
    }


def map_blocks(
    source: Activations, layer: str, *, indices: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The maps of a layer, some images at a time, so that memory stays bounded.

    Args:
        source: the activations.
        layer: the layer's name; it must have units.
        indices: which images; all where omitted.

    Yields:
        The images' indices, and their maps (image, unit, position) float32: y and x, or tokens, in one axis.

    Raises:
        InputError: a layer without units.
        NotFiniteError: NaN or infinity; the image is named.
    """
    wanted = np.arange(len(source.identifiers)) if indices is None else indices
    # a selection is read through: scattered positions of scattered positions would have to be looked up one by one
    places, root = wanted, source
    while hasattr(root, "rooted"):
        root, places = root.rooted(places)
    maps = unit_maps(root, layer)
    per_image = max(1, int(np.prod(maps.shape[1:])) * 4)
    step = max(1, min(len(wanted), BLOCK_BYTES // per_image))
    for start in range(0, len(wanted), step):
        part = wanted[start : start + step]
        values = _read(maps, places[start : start + step], step)
        values = values.reshape(len(part), maps.sizes[UNIT], -1)
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))[0])
            raise NotFiniteError(
                f"layer {layer!r} holds NaN or infinity in image {source.identifiers[int(part[bad])]!r}. "
                "Repair the image or the network, or leave the image out (interpret.select)."
            )
        yield part, values


def _read(maps: xr.DataArray, places: NDArray[np.int64], step: int) -> NDArray[np.float32]:
    """The maps of images anywhere, read in slices: a list of positions costs zarr fifty times their memory."""
    sought, back = np.unique(places, return_inverse=True)
    values = np.empty((len(sought), *maps.shape[1:]), dtype=np.float32)
    first = 0
    while first < len(sought):
        near = sought[first : first + step] < sought[first] + step
        gaps = np.flatnonzero(np.diff(sought[first : first + step][near]) > NEAR)
        last = first + (int(gaps[0]) + 1 if len(gaps) else int(near.sum()))
        run = sought[first:last]
        values[first:last] = maps.isel({IMAGE: slice(int(run[0]), int(run[-1]) + 1)}).values[run - run[0]]
        first = last
    return values if np.array_equal(places, sought) else values[back]


def unit_maps(source: Activations, layer: str) -> xr.DataArray:
    """The maps of a layer with its units first, not read yet: (image, unit, ...).

    Args:
        source: the activations.
        layer: the layer's name.

    Returns:
        (image, unit, ...).

    Raises:
        InputError: a layer without units.
    """
    maps = source.dataset(layer)["maps"]
    if UNIT not in maps.dims:
        raise InputError(f"layer {layer!r} has the dimensions {maps.dims}: no 'unit'. Choose another layer.")
    return maps.transpose(IMAGE, UNIT, ...)


def grid(source: Activations, layer: str) -> tuple[int, int]:
    """(y, x) size of a layer's maps.

    Raises:
        InputError: a layer whose maps are no pictures.
    """
    maps = unit_maps(source, layer)
    if maps.dims != (IMAGE, UNIT, Y, X):
        raise InputError(
            f"layer {layer!r} has the dimensions {maps.dims}; expected (image, unit, y, x). "
            "Choose a convolutional layer."
        )
    return maps.sizes[Y], maps.sizes[X]


def label_categories(source: Activations) -> tuple[str, ...]:
    """Names of the categories that the labels count: those of the data where known, else the network's."""
    named = getattr(source, "label_categories", ()) or source.categories
    return tuple(str(name) for name in named)


def category_of_images(source: Activations, labels: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """To which category each image belongs.

    Args:
        source: the activations.
        labels: ``"predicted"``, ``"true"``, or one integer an image (-1: none).

    Returns:
        (image) int64, -1 for none, and the names of the categories.

    Raises:
        InputError: labels that the activations lack, that are out of range, or that name one category only.
        ShapeError: another number of labels than images.
    """
    names = tuple(str(name) for name in source.categories)
    if isinstance(labels, str):
        if labels not in ("predicted", "true"):
            raise InputError(f"labels is {labels!r}; expected 'predicted', 'true', or one integer an image.")
        found = source.predicted if labels == "predicted" else source.labels
        if found is None or (np.asarray(found) < 0).all():
            raise InputError(
                f"These activations have no {labels} labels. Pass labels= to the method, one integer an image"
                + (", or use labels='predicted'." if labels == "true" else ".")
            )
        names = label_categories(source) if labels == "true" else names
    else:
        found = labels
    array = check_array(found, name="labels", dims=(IMAGE,), kinds="iu").astype(np.int64)
    if len(array) != len(source.identifiers):
        raise ShapeError(f"{len(array)} labels for {len(source.identifiers)} images; expected one an image.")
    names = names or tuple(str(index) for index in range(int(array.max()) + 1))
    if array.max() >= len(names):
        raise InputError(f"labels reach {array.max()}, but there are {len(names)} categories.")
    present = np.unique(array[array >= 0])
    if len(present) < 2:
        which = names[present[0]] if len(present) else "none"
        raise InputError(
            f"All labelled images belong to one category ({which}); a unit can only be relevant for a category "
            "against others. Add images of another category."
        )
    return array, names


def chosen_categories(wanted: Sequence[str] | None, names: Sequence[str], category: NDArray[np.int64]) -> list[int]:
    """Indices of the categories asked for, or of all that have images.

    Args:
        wanted: names, or None.
        names: names of all categories.
        category: (image) index of the category of each image, -1 for none.

    Returns:
        The indices, in the order asked for.

    Raises:
        UnknownNameError: no such category.
        InputError: a category without images.
    """
    present = [int(each) for each in np.unique(category[category >= 0])]
    if wanted is None:
        return present
    chosen = []
    for name in wanted:
        if name not in names:
            raise unknown_name("category", name, names)
        index = list(names).index(name)
        if index not in present:
            raise InputError(f"category {name!r} has no image here. Add images of it, or leave it out.")
        chosen.append(index)
    return chosen


def quantile(source: Activations, layer: str, q: float) -> xr.DataArray:
    """Quantile of each unit over all images and positions.

    Args:
        source: the activations.
        layer: the layer's name.
        q: in [0, 1].

    Returns:
        (unit) float64.

    Raises:
        InputError: q out of range.
    """
    if not 0 <= q <= 1:
        raise InputError(f"q is {q}; expected between 0 and 1.")
    maps = unit_maps(source, layer)
    units = maps.sizes[UNIT]

    def chunks() -> Iterator[NDArray[np.float32]]:
        for _, values in map_blocks(source, layer):
            yield np.moveaxis(values, 0, 1).reshape(units, -1)

    count = maps.size // units
    if maps.size * 4 <= SORTED_BYTES:
        values = _quantile_at_once(np.concatenate(list(chunks()), axis=1), q)
    else:
        values = streamed_quantiles(chunks, np.array([q]), units=units, count=count, dtype="float32")[0]
    return xr.DataArray(values, dims=UNIT, name="quantile")


def weighted_quantile(source: Activations, layer: str, q: float, weights: NDArray[np.float64]) -> xr.DataArray:
    """Quantile of each unit over images and positions, each position counted as often as its image.

    Sorted values stand at the middle of their share of the weight, and between them one interpolates; equal weights
    give what :func:`quantile` gives.

    Args:
        source: the activations.
        layer: the layer's name.
        q: in [0, 1].
        weights: (image) float64, zero or more, not all zero.

    Returns:
        (unit) float64.

    Raises:
        InputError: q out of range.
    """
    if not 0 <= q <= 1:
        raise InputError(f"q is {q}; expected between 0 and 1.")
    counted = np.flatnonzero(weights > 0)
    maps = unit_maps(source, layer)
    units = maps.sizes[UNIT]
    positions = maps.size // (units * maps.sizes[IMAGE])
    weight = np.repeat(weights[counted], positions)
    # sorted whole, as many units at a time as memory allows
    step = max(1, SORTED_BYTES // (4 * len(weight)))
    found = np.empty(units)
    for start in range(0, units, step):
        some = slice(start, start + step)
        parts = [np.moveaxis(values[:, some], 0, 1) for _, values in map_blocks(source, layer, indices=counted)]
        values = np.concatenate(parts, axis=1).reshape(-1, len(weight))
        order = np.argsort(values, axis=1)
        for row, own in enumerate(order):
            share = weight[own]
            middle = np.cumsum(share) - share / 2
            wanted = middle[0] + q * (middle[-1] - middle[0])
            found[start + row] = np.interp(wanted, middle, values[row, own])
    return xr.DataArray(found, dims=UNIT, name="quantile")


def image_weights(weights: Any, count: int) -> NDArray[np.float64] | None:
    """How often each image counts, checked.

    Args:
        weights: (image) zero or more, or None.
        count: number of images.

    Returns:
        (image) float64, or None.

    Raises:
        ShapeError: another number of weights.
        InputError: a weight below zero, or nothing but zero.
    """
    if weights is None:
        return None
    values = check_array(weights, name="weights", dims=(IMAGE,)).astype(np.float64)
    if len(values) != count:
        raise ShapeError(f"{len(values)} weights for {count} images; expected one an image.")
    if (values < 0).any() or not values.any():
        raise InputError("weights hold a value below 0, or nothing but 0; expected how often each image counts.")
    return values


def _quantile_at_once(values: NDArray[np.float32], q: float) -> NDArray[np.float64]:
    """Quantile of each row, interpolated as NumPy's, from the two order statistics beside it."""
    position = q * (values.shape[1] - 1)
    below = int(position)
    above = min(below + 1, values.shape[1] - 1)
    ordered = np.partition(values, sorted({below, above}), axis=1)
    low, high = ordered[:, below].astype(np.float64), ordered[:, above].astype(np.float64)
    return np.asarray(low + (high - low) * (position - below))
