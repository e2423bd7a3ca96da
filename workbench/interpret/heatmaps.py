"""Where, on given images, the units, concepts or rules of an interpretation are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import CATEGORY, IMAGE, UNIT, X, Y, check_array, provenance, strings
from workbench.errors import InputError, unknown_name
from workbench.interpret.activations import Activations
from workbench.interpret.concept_vectors import DRAW
from workbench.interpret.concepts import CONCEPT, concept_strengths
from workbench.interpret.reading import grid, map_blocks
from workbench.interpret.rules import RULE
from workbench.interpret.upsampling import stretch, upsample

if TYPE_CHECKING:
    from numpy.typing import NDArray

Maker = Callable[[xr.Dataset, Activations, "NDArray[np.int64]", "str | None"], xr.DataArray]


def heatmaps(
    result: xr.Dataset,
    store: Activations,
    *,
    images: Any = None,
    category: str | None = None,
    size: tuple[int, int] | None = None,
) -> xr.DataArray:
    """Draw what an interpretation found onto images, so that it can be looked at and evaluated.

    Units: their map. Concepts: their strength at each position. Concept vectors: the map along the mean vector, where
    positive. Rules: the smallest of the maps of their units, since all must fire. Each map is enlarged bilinearly and
    brought to [0, 1] by its own smallest and largest value.

    Args:
        result: what ``relevant_units``, ``dissect``, ``concepts``, ``concept_vectors`` or ``rules`` gave.
        store: activations of the images, which need not be those that were interpreted (see ``observe``).
        images: positions in the store; all where omitted.
        category: only what was found for this category; needed for ``concepts``.
        size: (y, x) pixels wanted, the network's input size for example; the layer's own grid where omitted.

    Returns:
        (image, k, y, x) float32 in [0, 1], where k is ``unit``, ``concept`` or ``rule``, with its coordinates.

    Raises:
        InputError: a result of another kind, nothing found, a missing or needless category, a bad size.
        UnknownNameError: a layer or category that is not there.
    """
    method = str(result.attrs.get("method", ""))
    if method not in MAKERS:
        raise InputError(
            f"The result is of method {method!r}; heatmaps are made of {', '.join(sorted(MAKERS))}. Pass the Dataset "
            "as the method gave it, with its attributes."
        )
    count = len(store.identifiers)
    chosen = np.arange(count) if images is None else check_array(images, name="images", dims=(IMAGE,), kinds="iu")
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= count):
        raise InputError(f"images reach from {chosen.min()} to {chosen.max()}; the store holds {count}.")
    if category is not None and CATEGORY in result.coords and category not in result[CATEGORY].values:
        raise unknown_name("category", category, result[CATEGORY].values)
    maps = MAKERS[method](result, store, chosen.astype(np.int64), category)
    values = np.asarray(maps.values, dtype=np.float32)
    if size is not None:
        if min(size) < 1:
            raise InputError(f"size is {size}; expected (y, x) of at least one pixel each.")
        values = upsample(values, size)
    found = xr.DataArray(stretch(values), dims=maps.dims, name="heatmap", attrs=provenance(method=f"{method} heatmap"))
    coords = {name: coord for name, coord in maps.coords.items() if not {Y, X} & set(coord.dims)}
    return found.assign_coords(coords).assign_coords({IMAGE: strings(store.identifiers[int(i)] for i in chosen)})


def _units(result: xr.Dataset, store: Activations, images: NDArray[np.int64], category: str | None) -> xr.DataArray:
    """Maps of the units with a weight above zero, or with a label."""
    if "weight" in result:
        weight = result["weight"] if category is None else result["weight"].sel({CATEGORY: category})
        others = [dim for dim in weight.dims if dim != UNIT]
        chosen = (weight > 0).any(others)
    else:
        chosen = result["label"] != ""
    found = result[UNIT].isel({UNIT: np.flatnonzero(chosen.values)})
    if not found.sizes[UNIT]:
        raise InputError("No unit was found to be relevant or labelled; there is nothing to draw.")
    return unit_heatmaps(store, images, found["layer"].values, found["index"].values).assign_coords(
        {name: found.coords[name] for name in (UNIT, "layer", "index")}
    )


def unit_heatmaps(
    store: Activations,
    images: NDArray[np.int64],
    layers: Sequence[Any] | NDArray[Any],
    indices: Sequence[Any] | NDArray[Any],
) -> xr.DataArray:
    """The maps of chosen units, as they are; those of coarser layers enlarged to the finest of them.

    Args:
        store: the activations.
        images: (image) positions in the store.
        layers: (unit) name of each unit's layer.
        indices: (unit) number of each unit in its layer.

    Returns:
        (image, unit, y, x) float32.

    Raises:
        InputError: a layer whose maps are no pictures.
        UnknownNameError: no such layer.
    """
    owners = np.array([str(layer) for layer in layers])
    sizes = {layer: grid(store, layer) for layer in dict.fromkeys(owners.tolist())}
    finest = (max(size[0] for size in sizes.values()), max(size[1] for size in sizes.values()))
    maps = np.empty((len(images), len(owners), *finest), dtype=np.float32)
    for layer, size in sizes.items():
        columns = np.flatnonzero(owners == layer)
        units = np.asarray(indices)[columns].astype(np.int64)
        done = 0
        for part, values in map_blocks(store, layer, indices=images):
            own = values[:, units].reshape(len(part), len(units), *size)
            maps[done : done + len(part), columns] = own if size == finest else upsample(own, finest)
            done += len(part)
    return xr.DataArray(maps, dims=(IMAGE, UNIT, Y, X))


def _concepts(result: xr.Dataset, store: Activations, images: NDArray[np.int64], category: str | None) -> xr.DataArray:
    if category is None:
        raise InputError("Concepts are found by category; say which with category=.")
    directions = np.asarray(result["direction"].sel({CATEGORY: category}).values, dtype=np.float32)
    layer = str(result["layer"].values[0])
    size = grid(store, layer)
    parts = [
        concept_strengths(np.maximum(values, 0), directions) for _, values in map_blocks(store, layer, indices=images)
    ]
    values = np.concatenate(parts).reshape(len(images), len(directions), *size)
    return xr.DataArray(values, dims=(IMAGE, CONCEPT, Y, X), coords={CONCEPT: result[CONCEPT].values})


def _vectors(result: xr.Dataset, store: Activations, images: NDArray[np.int64], category: str | None) -> xr.DataArray:
    vectors = np.asarray(result["vector"].mean(DRAW).values, dtype=np.float32)
    layer = str(result["layer"].values[0])
    size = grid(store, layer)
    parts = [
        np.maximum(np.einsum("cu,iup->icp", vectors, values), 0)
        for _, values in map_blocks(store, layer, indices=images)
    ]
    values = np.concatenate(parts).reshape(len(images), len(vectors), *size)
    return xr.DataArray(values, dims=(IMAGE, CONCEPT, Y, X), coords={CONCEPT: result[CONCEPT].values})


def _rules(result: xr.Dataset, store: Activations, images: NDArray[np.int64], category: str | None) -> xr.DataArray:
    if category is not None:
        result = result.isel({RULE: np.flatnonzero(result["category_of_rule"].values == category)})
    if not result.sizes[RULE]:
        raise InputError("No rule was found; there is nothing to draw.")
    member = result["member"].values
    used = np.flatnonzero(member.any(axis=0))
    maps = stretch(unit_heatmaps(store, images, result["layer"].values[used], result["index"].values[used]).values)
    together = np.stack([maps[:, row[used]].min(axis=1) for row in member], axis=1)
    return xr.DataArray(
        together, dims=(IMAGE, RULE, Y, X), coords={"category_of_rule": (RULE, result["category_of_rule"].values)}
    )


MAKERS: dict[str, Maker] = {
    "relevant_units": _units,
    "dissect": _units,
    "concepts": _concepts,
    "concept_vectors": _vectors,
    "rules": _rules,
}
