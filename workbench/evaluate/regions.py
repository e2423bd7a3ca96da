"""Where something truly is: masks and boxes, brought onto the grid that heatmaps live on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, X, Y, check_array
from workbench.data.source import Box
from workbench.errors import DtypeError, InputError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from workbench.models import ImageModel

Boxes = Sequence[Sequence[Box]]


def boxes_to_masks(boxes: Boxes, *, like: xr.DataArray) -> xr.DataArray:
    """The pixels that lie in any box of their image.

    Args:
        boxes: for each image its boxes, in pixels of the grid of ``like``; a pixel is inside where its centre is.
        like: (image, y, x), whose grid and coordinates the masks get.

    Returns:
        (image, y, x) bool.

    Raises:
        ShapeError: another number of images.
        InputError: a box without area.
    """
    if len(boxes) != like.sizes[IMAGE]:
        raise ShapeError(f"{len(boxes)} lists of boxes for {like.sizes[IMAGE]} heatmaps; expected one an image.")
    rows, columns = np.arange(like.sizes[Y]) + 0.5, np.arange(like.sizes[X]) + 0.5
    masks = np.zeros((len(boxes), len(rows), len(columns)), dtype=bool)
    for index, found in enumerate(boxes):
        for box in found:
            if box.right <= box.left or box.bottom <= box.top:
                raise InputError(f"image {index}: {box} has no area; expected left < right and top < bottom.")
            inside = (rows >= box.top) & (rows < box.bottom)
            masks[index] |= inside[:, None] & ((columns >= box.left) & (columns < box.right))
    coords = {IMAGE: like.coords[IMAGE]} if IMAGE in like.coords else {}
    return xr.DataArray(masks, dims=(IMAGE, Y, X), coords=coords)


def masks_on_grid(masks: Any, model: ImageModel) -> xr.DataArray:
    """Resize and crop masks as the model's preprocessing does with the pictures, without mixing pixels.

    Args:
        masks: (image, ..., y, x) bool at the size of the pictures; or a sequence of (y, x) bool arrays, one an image,
            of different sizes.
        model: whose input grid is wanted.

    Returns:
        (image, ..., y, x) bool at the size of the network's input.

    Raises:
        DtypeError: masks that are not boolean.
        ShapeError: masks that are smaller than the crop, or come out at different sizes.
    """
    if isinstance(masks, xr.DataArray):
        extra = [dim for dim in masks.dims if dim not in (IMAGE, Y, X)]
        ordered = masks.transpose(IMAGE, *extra, Y, X)
        values = _resized(_boolean(ordered.values, "masks"), model)
        coords = {name: coord for name, coord in masks.coords.items() if not {Y, X} & set(coord.dims)}
        return xr.DataArray(values, dims=ordered.dims, coords=coords)
    resized = [_resized(_boolean(mask, f"mask {index}"), model) for index, mask in enumerate(masks)]
    shapes = sorted({mask.shape for mask in resized})
    if len(shapes) != 1:
        raise ShapeError(f"the masks have the shapes {shapes} on the model's grid; expected one, of at least one mask.")
    return xr.DataArray(np.stack(resized), dims=(IMAGE, Y, X))


def aligned(heatmaps: xr.DataArray, masks: xr.DataArray | Boxes) -> tuple[NDArray[Any], xr.DataArray]:
    """Heatmaps as an array and masks on the same grid and images, or an error that says what does not fit.

    Args:
        heatmaps: (image, y, x) finite numbers.
        masks: (image, ..., y, x) bool on the same grid, or boxes.

    Returns:
        heatmaps (image, y, x) float64 and masks (image, ..., y, x) bool in the same order of images.

    Raises:
        ShapeError: missing dimensions, other sizes, other images.
        DtypeError: masks that are not boolean.
        NotFiniteError: NaN or infinity in a heatmap.
        InputError: every mask is empty.
    """
    if not isinstance(heatmaps, xr.DataArray) or set(heatmaps.dims) != {IMAGE, Y, X}:
        found = heatmaps.dims if isinstance(heatmaps, xr.DataArray) else type(heatmaps).__name__
        raise ShapeError(f"heatmaps have the dimensions {found}; expected a DataArray with (image, y, x).")
    if not isinstance(masks, xr.DataArray):
        masks = boxes_to_masks(masks, like=heatmaps)
    missing = {IMAGE, Y, X} - set(masks.dims)
    if missing:
        raise ShapeError(f"masks have the dimensions {masks.dims}; {sorted(missing)} are missing.")
    extra = [dim for dim in masks.dims if dim not in (IMAGE, Y, X)]
    heatmaps, masks = heatmaps.transpose(IMAGE, Y, X), masks.transpose(IMAGE, *extra, Y, X)
    same_grid(heatmaps, masks)
    values = check_array(heatmaps.values, name="heatmaps", dims=(IMAGE, Y, X)).astype(np.float64)
    _boolean(masks.values, "masks")
    if not masks.values.any():
        raise InputError("every mask is empty: nothing is there to be found. Pass images on which the object is seen.")
    return values, masks


def object_boxes(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The smallest box around each mask.

    Args:
        masks: (mask, y, x) bool.

    Returns:
        (mask, 4) int64: top, left, bottom, right in pixels, lower and right edges exclusive; zeros for an empty mask.
    """
    boxes = np.zeros((len(masks), 4), dtype=np.int64)
    for column, axis in ((0, 2), (1, 1)):
        occupied = np.asarray(masks.any(axis=axis))
        boxes[:, column] = occupied.argmax(axis=1)
        boxes[:, column + 2] = occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
    empty = np.logical_not(masks.any(axis=(1, 2)))
    boxes[empty] = 0
    return boxes


def same_grid(heatmaps: xr.DataArray, masks: xr.DataArray) -> None:
    """Refuse masks of another size, or of other images, than the heatmaps.

    Args:
        heatmaps: (image, ..., y, x).
        masks: (image, ..., y, x).

    Raises:
        ShapeError: what does not fit, and what to do.
    """
    grid, other = (tuple(array.sizes[dim] for dim in (Y, X)) for array in (heatmaps, masks))
    if grid != other:
        raise ShapeError(
            f"heatmaps are {grid[0]} x {grid[1]} pixels and masks {other[0]} x {other[1]}. "
            "Bring the masks onto the network's grid with evaluate.masks_on_grid(masks, model)."
        )
    if heatmaps.sizes[IMAGE] != masks.sizes[IMAGE]:
        raise ShapeError(
            f"{heatmaps.sizes[IMAGE]} heatmaps and masks of {masks.sizes[IMAGE]} images; expected equally many."
        )
    if IMAGE not in heatmaps.coords or IMAGE not in masks.coords:
        return
    first, second = heatmaps.coords[IMAGE].values.astype(str), masks.coords[IMAGE].values.astype(str)
    if not np.array_equal(first, second):
        where = int(np.flatnonzero(first != second)[0])
        raise ShapeError(
            f"heatmap {where} is of image {str(first[where])!r} and mask {where} of image {str(second[where])!r}. "
            "Select the same images from both, in the same order."
        )


def _boolean(masks: Any, name: str) -> NDArray[np.bool_]:
    array = np.asarray(masks)
    if array.dtype != np.bool_:
        raise DtypeError(f"{name} have dtype {array.dtype}; expected bool. Compare first, for example masks > 0.")
    return array


def _resized(masks: NDArray[np.bool_], model: ImageModel) -> NDArray[np.bool_]:
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as transforms

    preparation = model.preprocessing
    planes = torch.from_numpy(np.ascontiguousarray(masks)).to(torch.uint8)[None]
    if preparation.resize is not None:
        size = [preparation.resize] if isinstance(preparation.resize, int) else list(preparation.resize)
        planes = transforms.resize(planes, size, interpolation=InterpolationMode.NEAREST_EXACT)
    if isinstance(preparation.crop, tuple):
        if any(have < want for have, want in zip(planes.shape[-2:], preparation.crop, strict=True)):
            raise ShapeError(
                f"masks of {tuple(planes.shape[-2:])} pixels are smaller than the crop {preparation.crop}."
            )
        planes = transforms.center_crop(planes, list(preparation.crop))
    return np.asarray(planes[0].numpy(), dtype=bool)


def extra_dims(masks: xr.DataArray) -> list[Hashable]:
    """The dimensions of masks beside image, y and x (object, part)."""
    return [dim for dim in masks.dims if dim not in (IMAGE, Y, X)]
