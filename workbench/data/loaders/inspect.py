"""A look at all masks of a dataset: what is visible where, and what overlaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, PART
from workbench.errors import InputError

if TYPE_CHECKING:
    from workbench.data.source import ImageSource


def inspect_masks(source: ImageSource, *, progress: bool = True) -> xr.Dataset:
    """Measure every mask of a dataset; decodes all of it.

    Args:
        source: any source of annotated images.
        progress: show a progress bar.

    Returns:
        With the coordinates ``image`` (identifiers) and ``part`` (names of masks, in the dataset's order):
        ``area`` (image, part) int64, pixels, 0 where the part is absent; ``visible`` (image, part) bool;
        ``overlap`` (image) int64, pixels that more than one mask claims; ``unnamed`` (image) int64, pixels that
        none does.

    Raises:
        InputError: no image has a mask.
        DamagedFileError: a file cannot be decoded, or a mask is not of its image's size.
    """
    from tqdm import tqdm

    order = dict.fromkeys(getattr(source, "mask_names", ()))
    rows: list[dict[str, int]] = []
    overlap, unnamed = [], []
    for index in tqdm(range(len(source)), desc="inspecting masks", leave=False, disable=not progress):
        item = source[index]
        claims = np.zeros(item.image.shape[:2], dtype=np.int64)
        for mask in item.masks.values():
            claims += mask
        rows.append({name: int(mask.sum()) for name, mask in item.masks.items()})
        order.update(dict.fromkeys(item.masks))
        overlap.append(int((claims > 1).sum()))
        unnamed.append(int((claims == 0).sum()))
    if not any(rows):
        raise InputError("No image of this source has a mask; there is nothing to inspect.")
    names = list(order)
    area = np.array([[row.get(name, 0) for name in names] for row in rows], dtype=np.int64)
    return xr.Dataset(
        {
            "area": ((IMAGE, PART), area, {"units": "pixels"}),
            "visible": ((IMAGE, PART), area > 0),
            "overlap": ((IMAGE,), np.array(overlap, dtype=np.int64), {"units": "pixels"}),
            "unnamed": ((IMAGE,), np.array(unnamed, dtype=np.int64), {"units": "pixels"}),
        },
        {IMAGE: list(source.identifiers), PART: names},
    )
