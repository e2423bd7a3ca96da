"""Questions to one layer of a store, over lazily read variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, UNIT
from workbench.errors import DtypeError, InputError, StoreError, unknown_name
from workbench.store.quantiles import streamed_quantiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from workbench.store.plan import LayerPlan, Plan

# Values that a quantile pass reads at a time, and counters that it keeps.
_READ_BYTES = 16 * 2**20
_COUNTER_BYTES = 64 * 2**20
_COUNTERS = 65_536 * 8
POOLED = ("max", "mean")


def check_unit(layer: LayerPlan, unit: Any) -> int:
    """The index of a unit.

    Raises:
        InputError: no such unit, or a layer whose axes do not count units.
        DtypeError: not a whole number.
    """
    require_units(layer)
    if isinstance(unit, bool) or not isinstance(unit, int | np.integer):
        raise DtypeError(f"unit is {unit!r}; expected a whole number, the index of a unit of layer {layer.name!r}.")
    if not 0 <= unit < layer.units:
        raise InputError(f"Layer {layer.name!r} has the units 0 to {layer.units - 1}; unit {unit} does not exist.")
    return int(unit)


def require_units(layer: LayerPlan) -> None:
    """Refuse a layer of which nobody has said which axis counts units.

    Raises:
        InputError: it has none.
    """
    if not layer.has_units:
        raise InputError(
            f"Layer {layer.name!r} has the axes {', '.join(layer.dims) or 'image alone'}, none of them 'unit'. "
            "Use store.dataset(layer), or extract with dims={layer: (..., 'unit', ...)}."
        )


def image_positions(identifiers: Sequence[str], images: Any) -> NDArray[np.int64]:
    """Positions of images in a store.

    Args:
        identifiers: of all images of the store.
        images: one or several identifiers or positions, or a boolean mask over all images.

    Returns:
        (image) int64.

    Raises:
        UnknownNameError: no image of this name.
        InputError: no image at this position, or a mask of another length.
        DtypeError: neither names nor positions.
    """
    values = np.atleast_1d(np.asarray(images))
    if values.dtype.kind == "b":
        if values.shape != (len(identifiers),):
            raise InputError(f"The mask has shape {values.shape}; expected ({len(identifiers)},), one entry an image.")
        return np.flatnonzero(values)
    if values.dtype.kind in "UOT":
        known = {name: position for position, name in enumerate(identifiers)}
        for name in values:
            if str(name) not in known:
                raise unknown_name("image", str(name), identifiers)
        return np.array([known[str(name)] for name in values], np.int64)
    if values.dtype.kind not in "iu":
        raise DtypeError(f"images have dtype {values.dtype}; expected identifiers, positions or a mask.")
    bad = values[(values < 0) | (values >= len(identifiers))]
    if bad.size:
        raise InputError(f"There are the images 0 to {len(identifiers) - 1}; image {int(bad[0])} does not exist.")
    return values.astype(np.int64)


def category_mask(codes: NDArray[np.int64], category: Any, names: Sequence[str], *, what: str) -> NDArray[np.bool_]:
    """Which images have a category, given by index or by name.

    Raises:
        UnknownNameError: no category of this name.
        InputError: several categories have it, or the index does not exist.
    """
    if isinstance(category, str):
        found = [index for index, name in enumerate(names) if name == category]
        if not found:
            raise unknown_name(f"category of {what}", category, names)
        if len(found) > 1:
            raise InputError(
                f"{len(found)} categories are called {category!r}: {found}. Give the index of the one meant."
            )
        return np.equal(codes, found[0])
    highest = max(len(names), int(codes.max(initial=-1)) + 1)
    if not 0 <= int(category) < highest:
        raise InputError(f"Category {category} of {what} does not exist; expected 0 to {highest - 1}.")
    return np.equal(codes, int(category))


def top_images(dataset: xr.Dataset, unit: int, k: int, *, by: str) -> xr.Dataset:
    """The images that a unit answers to most strongly, strongest first; equal ones in the order of the store."""
    if by not in POOLED:
        raise unknown_name("ranking", by, POOLED)
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InputError(f"k is {k!r}; expected a whole number of at least 1.")
    column = dataset.isel({UNIT: unit})
    order = np.argsort(-column[by].values, kind="stable")[: int(k)]
    chosen = column.assign_coords(index=(IMAGE, np.arange(dataset.sizes[IMAGE]))).isel({IMAGE: order})
    lazily = [name for name in ("maps", "logits") if name in chosen]
    return chosen.assign(chosen.drop_vars(lazily).load().data_vars)


def quantile(dataset: xr.Dataset, plan: Plan, layer: LayerPlan, q: Any) -> xr.DataArray:
    """Quantiles of each unit over all positions of all images."""
    require_units(layer)
    asked = np.atleast_1d(np.asarray(q, np.float64))
    if asked.ndim != 1 or not asked.size or not ((asked >= 0) & (asked <= 1)).all():
        raise InputError(f"q is {q!r}; expected one number or several in [0, 1].")
    maps = dataset["maps"]
    images, positions = maps.sizes[IMAGE], int(np.prod([maps.sizes[dim] for dim in layer.positions], dtype=np.int64))
    if images == 0:
        raise StoreError("The store has no image that can be read: there is nothing to take a quantile of.")
    width = max(1, _COUNTER_BYTES // (_COUNTERS * 2 * len(asked)))
    parts = []
    for start in range(0, layer.units, width):
        group = maps.isel({UNIT: slice(start, start + width)})
        units = group.sizes[UNIT]
        step = _images_a_read(plan, units * positions * np.dtype(plan.dtype).itemsize)

        def chunks(group: xr.DataArray = group, units: int = units, step: int = step) -> Iterator[NDArray[Any]]:
            for first in range(0, images, step):
                part = group.isel({IMAGE: slice(first, first + step)}).transpose(UNIT, IMAGE, ...)
                yield part.values.reshape(units, -1)

        count = images * positions
        parts.append(streamed_quantiles(chunks, asked, units=units, count=count, dtype=plan.dtype))
    result = xr.DataArray(
        np.concatenate(parts, axis=1), dims=("quantile", UNIT), coords={"quantile": asked, **unit_coordinates(layer)}
    )
    return result.isel(quantile=0) if np.ndim(q) == 0 else result


def _images_a_read(plan: Plan, bytes_per_image: int) -> int:
    """Whole blocks, so that no chunk is decoded twice, as many as fit; one at least."""
    return plan.block_images * max(1, _READ_BYTES // max(1, bytes_per_image * plan.block_images))


def unit_coordinates(layer: LayerPlan) -> dict[str, Any]:
    """What a unit is called: its index, and the layer that it belongs to, since layers differ in size."""
    if not layer.has_units:
        return {}
    return {UNIT: np.arange(layer.units), "layer": (UNIT, np.full(layer.units, layer.name))}
