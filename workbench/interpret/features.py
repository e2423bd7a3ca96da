"""One number a unit and image, and the small matrices that a whole dataset is folded into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, UNIT, check_array, provenance, strings
from workbench.errors import InputError, ShapeError
from workbench.interpret.reading import chosen_layers, map_blocks, unit_coordinates, unit_maps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

Normalisation = Literal["norm", "norm share", "energy share"]
STEP = 512  # images whose features of all layers are held together


@dataclass(frozen=True)
class Moments:
    """What least squares needs to know of all images: independent of their number.

    Attributes:
        gram: (unit, unit) float64, the sum over images of x x'.
        products: (unit, category) float64, the sum over the images of a category of x.
        counts: (category) float64, the summed weight of the images of each category.
        images: number of images.
        varied: (unit) bool, whether the unit differs between any two images.
    """

    gram: NDArray[np.float64]
    products: NDArray[np.float64]
    counts: NDArray[np.float64]
    images: int
    varied: NDArray[np.bool_]


def unit_features(
    store: Activations, *, layers: str | Sequence[str] | None = None, normalisation: Normalisation = "norm"
) -> xr.DataArray:
    """How strongly each unit answers to each image, as one number.

    Args:
        store: an activation store, or other activations.
        layers: names of layers; all where omitted.
        normalisation: ``"norm"``, the L2 norm of the unit's map; ``"norm share"``, the same over the sum of all
            units of its layer; ``"energy share"``, the squared norm over that sum.

    Returns:
        (image, unit) float32, zero or more, with the coordinates ``unit`` ("layer:index"), ``layer`` and ``index``.

    Raises:
        UnknownNameError: no such layer.
        InputError: an unknown normalisation, or a layer without units.
        NotFiniteError: NaN or infinity in the maps; the image is named.

    Source: [oramas2019]
    """
    names = chosen_layers(store, layers)
    parts = [values.astype(np.float32) for _, values in feature_blocks(store, names, normalisation)]
    coords = unit_axis(store, names)
    return xr.DataArray(
        np.concatenate(parts),
        dims=(IMAGE, UNIT),
        coords={IMAGE: strings(store.identifiers), **coords},
        name="features",
        attrs=provenance(normalisation=normalisation, layers=list(names), **source_facts(store, names)),
    )


def feature_blocks(
    store: Activations, layers: Sequence[str], normalisation: Normalisation
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """The features of all layers, some images at a time.

    Args:
        store: the activations.
        layers: names of layers.
        normalisation: as in :func:`unit_features`.

    Yields:
        The images' indices and their features (image, unit) float64.

    Raises:
        InputError: an unknown normalisation.
        NotFiniteError: NaN or infinity in the maps.
    """
    if normalisation not in get_args(Normalisation):
        known = ", ".join(repr(name) for name in get_args(Normalisation))
        raise InputError(f"normalisation is {normalisation!r}; expected one of {known}.")
    count = len(store.identifiers)
    for start in range(0, count, STEP):
        indices = np.arange(start, min(start + STEP, count))
        parts = []
        for layer in layers:
            energies = [
                np.einsum("iup,iup->iu", values, values, dtype=np.float64)
                for _, values in map_blocks(store, layer, indices=indices)
            ]
            parts.append(_normalised(np.concatenate(energies), normalisation))
        yield indices, np.concatenate(parts, axis=1)


def moments(
    blocks: Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]],
    *,
    category: NDArray[np.int64],
    categories: int,
    weights: NDArray[np.float64] | None = None,
) -> Moments:
    """Fold features into Gram matrix and sums by category, in one pass.

    Args:
        blocks: indices and features (image, unit), as :func:`feature_blocks` gives them.
        category: (image) int64; images with -1 are left out.
        categories: number of categories.
        weights: (image) float64, how often each image counts; once where omitted.

    Returns:
        The moments.

    Raises:
        InputError: no image belongs to a category, or all images have the same features.
    """
    folded: Moments | None = None
    low = high = np.empty(0)
    for indices, values in blocks:
        kept = category[indices] >= 0
        rows = values[kept]
        if not len(rows):
            continue
        scale = np.ones(len(rows)) if weights is None else weights[indices][kept]
        member = np.zeros((len(rows), categories))
        member[np.arange(len(rows)), category[indices][kept]] = scale
        if folded is None:
            low, high = rows.min(axis=0), rows.max(axis=0)
            size = rows.shape[1]
            folded = Moments(np.zeros((size, size)), np.zeros((size, categories)), np.zeros(categories), 0, high > low)
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
        folded = Moments(
            folded.gram + (rows * scale[:, None]).T @ rows,
            folded.products + rows.T @ member,
            folded.counts + member.sum(axis=0),
            folded.images + len(rows),
            high > low,
        )
    if folded is None:
        raise InputError("No image belongs to a category; expected labels of 0 or more for some images.")
    if not folded.varied.any():
        raise InputError(
            f"All {folded.images} images have the same features; no unit tells one category from another. "
            "Check the layer (is it dead?) and the images (are they copies?)."
        )
    return folded


def feature_table(features: xr.DataArray) -> NDArray[np.float64]:
    """Features as a checked matrix.

    Args:
        features: (image, unit) finite numbers.

    Returns:
        (image, unit) float64.

    Raises:
        ShapeError: other dimensions.
        NotFiniteError: NaN or infinity.
    """
    if not isinstance(features, xr.DataArray) or set(features.dims) != {IMAGE, UNIT}:
        found = features.dims if isinstance(features, xr.DataArray) else type(features).__name__
        raise ShapeError(f"features have the dimensions {found}; expected a DataArray (image, unit).")
    values = features.transpose(IMAGE, UNIT).values
    return check_array(values, name="features", dims=(IMAGE, UNIT)).astype(np.float64)


def unit_axis(store: Activations, layers: Sequence[str]) -> dict[str, Any]:
    """Coordinates of the units of several layers, one after the other."""
    each = [unit_coordinates(layer, unit_maps(store, layer).sizes[UNIT]) for layer in layers]
    return {
        UNIT: np.concatenate([coords[UNIT] for coords in each]),
        "layer": (UNIT, np.concatenate([coords["layer"][1] for coords in each])),
        "index": (UNIT, np.concatenate([coords["index"][1] for coords in each])),
    }


def source_facts(store: Activations, layers: Sequence[str]) -> dict[str, Any]:
    """Where the activations come from, to be carried by results."""
    attrs = store.dataset(layers[0]).attrs
    return {str(key): value for key, value in attrs.items() if key not in ("versions", "layer", "method")}


def _normalised(energy: NDArray[np.float64], normalisation: Normalisation) -> NDArray[np.float64]:
    values = energy if normalisation == "energy share" else np.sqrt(energy)
    if normalisation == "norm":
        return values
    total = values.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(values, total, out=np.zeros_like(values), where=total > 0))
