"""From an annotated dataset to the masks of its parts on a network's grid, and what is odd about them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, PART, X, Y, provenance, strings
from workbench.errors import InputError, ShapeError, unknown_name
from workbench.evaluate.regions import masks_on_grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.data.source import ImageSource
    from workbench.models import ImageModel


def part_masks(
    source: ImageSource, model: ImageModel, *, parts: Sequence[str] | None = None, progress: bool = False
) -> xr.DataArray:
    """Decode the masks of a dataset and bring them onto the grid that heatmaps live on.

    Nothing odd is passed over in silence: parts that no image shows, images that show none, parts that the crop or the
    grid has lost, and images on which parts overlap are told in one warning.

    Args:
        source: annotated images, for example ``data.cub70()``; one at a time is decoded.
        model: whose input grid is wanted.
        parts: names of masks, in the order that is wanted; all that the dataset has where omitted.
        progress: show a progress bar.

    Returns:
        (image, part, y, x) bool at the size of the network's input, empty where a part is not visible, with the
        coordinates ``image``, ``part`` and ``overlap`` (image) int64, pixels that more than one of the parts claims.

    Raises:
        UnknownNameError: a part that the dataset does not have.
        InputError: no parts, or none of them is visible anywhere.
        ShapeError: masks that are smaller than the crop, or come out at different sizes.
        DamagedFileError: a file of the dataset cannot be used.
    """
    masks, losses = read_part_masks(source, model, parts=parts, progress=progress)
    _warn(losses)
    return masks


def read_part_masks(
    source: ImageSource, model: ImageModel, *, parts: Sequence[str] | None = None, progress: bool = False
) -> tuple[xr.DataArray, dict[str, list[str]]]:
    """What :func:`part_masks` gives, and what it would warn of: for threads, which share one set of warning filters.

    Args:
        source: images with masks.
        model: from :func:`workbench.models.load`.
        parts: names of the masks that are wanted; all where omitted.
        progress: show a bar.

    Returns:
        (image, part, y, x) bool, see :func:`part_masks`; and kinds of loss with what is concerned, empty where nothing.

    Raises:
        UnknownNameError, InputError, ShapeError, DamagedFileError: see :func:`part_masks`.
    """
    from tqdm import tqdm

    declared = [str(name) for name in getattr(source, "mask_names", ())]
    if parts is not None:
        if not parts:
            raise InputError("parts are empty; name at least one, or leave them out for all.")
        _check_names(parts, declared)
    placed: list[dict[str, NDArray[np.bool_]]] = []
    lost: list[str] = []
    seen = dict.fromkeys(declared)
    for index in tqdm(range(len(source)), desc="reading masks", leave=False, disable=not progress):
        masks = source[index].masks
        seen.update(dict.fromkeys(masks))
        kept = {name: mask for name, mask in masks.items() if parts is None or name in parts}
        placed.append(_on_grid(kept, model))
        lost += [
            f"{name} of {source.identifiers[index]}"
            for name, mask in kept.items()
            if mask.any() and not placed[-1][name].any()
        ]
    if parts is not None:
        _check_names(parts, list(seen))
    names = list(seen) if parts is None else list(dict.fromkeys(parts))
    values = _stacked(placed, names)
    identifiers = [str(name) for name in source.identifiers]
    overlap = (values.sum(axis=1) > 1).sum(axis=(1, 2))
    visible = np.asarray(values.any(axis=(2, 3)))
    somewhere = np.asarray(visible.any(axis=0))
    losses = {
        "parts that no image shows": [name for name, any_ in zip(names, somewhere, strict=True) if not any_],
        "images that show no part": [name for name, row in zip(identifiers, visible, strict=True) if not row.any()],
        "parts that the crop or the grid has lost": lost,
        "images on which parts overlap": [name for name, n in zip(identifiers, overlap, strict=True) if n],
    }
    found = xr.DataArray(
        values,
        dims=(IMAGE, PART, Y, X),
        coords={IMAGE: strings(identifiers), PART: strings(names), "overlap": (IMAGE, overlap)},
        attrs=provenance(
            dataset=source.manifest_hash or None, model=model.name, preprocessing=model.preprocessing.to_json()
        ),
    )
    return found, losses


def _check_names(parts: Sequence[str], known: Sequence[str]) -> None:
    for name in parts:
        if known and name not in known:
            raise unknown_name("part", name, known)


def _on_grid(masks: Mapping[str, NDArray[np.bool_]], model: ImageModel) -> dict[str, NDArray[np.bool_]]:
    if not masks:
        return {}
    stacked = xr.DataArray(np.stack(list(masks.values()))[None], dims=(IMAGE, PART, Y, X))
    return dict(zip(masks, masks_on_grid(stacked, model).values[0], strict=True))


def _stacked(placed: Sequence[Mapping[str, NDArray[np.bool_]]], names: Sequence[str]) -> NDArray[np.bool_]:
    """(image, part, y, x), empty where an image does not have a part."""
    shapes = sorted({mask.shape for masks in placed for mask in masks.values()})
    if not shapes:
        raise InputError("No image of this source has a mask of these parts; there is nothing to evaluate on.")
    if len(shapes) > 1:
        raise ShapeError(
            f"the masks have the shapes {shapes[0]} and {shapes[-1]} on the model's grid; expected one. Give the "
            "model's preprocessing a size for both sides."
        )
    values = np.zeros((len(placed), len(names), *shapes[0]), dtype=bool)
    for row, masks in enumerate(placed):
        for name, mask in masks.items():
            values[row, names.index(name)] = mask
    return values


def _warn(found: Mapping[str, Sequence[str]]) -> None:
    told = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for kind, names in found.items()
        if names
    ]
    if told:
        warnings.warn(f"part masks: {'; '.join(told)}.", UserWarning, stacklevel=3)
