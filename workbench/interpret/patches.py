"""The places of an image that explain its prediction, and which units are strong there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from workbench.arrays import IMAGE, UNIT, X, Y, check_array, provenance, strings
from workbench.errors import InputError, ShapeError
from workbench.interpret.features import source_facts
from workbench.interpret.reading import grid, map_blocks, one_layer, unit_coordinates
from workbench.interpret.upsampling import bilinear_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations
    from workbench.models import ImageModel

PATCH = "patch"


def explained_patches(
    heatmaps: xr.DataArray,
    *,
    size: int = 56,
    most: int = 10,
    margin: int | None = None,
    least: float = 0.1,
    model: ImageModel | None = None,
    images: Any = None,
    drop: float = 0.1,
) -> xr.Dataset:
    """Find, one after the other, the patches of each image over which its heatmap is highest.

    After each patch the heatmap is set to zero inside it but for a margin, and the search goes on. All positions are
    looked at, not a random thousand as is published, so that nothing depends on chance.

    Args:
        heatmaps: (image, y, x), an explanation of each image's prediction (Grad-CAM as published); values below zero
            count as zero.
        size: side of a patch in pixels (56 of 224 as published).
        most: at most so many patches an image.
        margin: pixels at each edge of a patch that later patches may still use; 10 of 56 where omitted, as published.
        least: stop where the mean within the next patch is below this share of the first one's.
        model: where given with ``images``, stop as is published instead: where covering one more patch lowers the
            predicted logit by less than ``drop`` of it.
        images: the images of the heatmaps, as ``model.prepare`` takes them.
        drop: least gain of one more patch, as a share of the logit.

    Returns:
        Dataset on ``patch``: ``image`` (name) and ``image_index`` int64, ``top``, ``left`` int64 in pixels, ``mean`` of
        the heatmap within, ``order`` (0 is the first of its image). Images without any positive value have none.

    Raises:
        ShapeError: other dimensions, or images of another number.
        NotFiniteError: NaN or infinity.
        InputError: a patch larger than the heatmap, or a parameter out of range.
    """
    if not isinstance(heatmaps, xr.DataArray) or set(heatmaps.dims) != {IMAGE, Y, X}:
        found = heatmaps.dims if isinstance(heatmaps, xr.DataArray) else type(heatmaps).__name__
        raise ShapeError(f"heatmaps have the dimensions {found}; expected a DataArray (image, y, x).")
    values = check_array(heatmaps.transpose(IMAGE, Y, X).values, name="heatmaps", dims=(IMAGE, Y, X)).astype(np.float64)
    if not 1 <= size <= min(values.shape[1:]):
        raise InputError(f"size is {size}; expected between 1 and the {min(values.shape[1:])} pixels of the heatmaps.")
    margin = round(size * 10 / 56) if margin is None else margin
    if most < 1 or not 0 <= margin < size / 2 or not 0 <= least <= 1 or not drop >= 0:
        raise InputError(
            f"most is {most}, margin {margin}, least {least}, drop {drop}; expected at least 1 patch, a margin below "
            "half the size, a share in [0, 1] and a drop of 0 or more."
        )
    if (model is None) != (images is None):
        raise InputError("model and images go together: pass both, or neither.")
    top, left, mean = _greedy(np.maximum(values, 0), size, most, margin)
    kept = mean > np.maximum(least * mean[:, :1], 0)
    kept |= (np.arange(most) == 0) & (mean > 0)
    if model is not None:
        kept = (mean > 0) & _worth_it(model, images, top, left, size, drop)
    image, order = np.nonzero(kept)
    names = heatmaps[IMAGE].values if IMAGE in heatmaps.coords else np.arange(len(values))
    return xr.Dataset(
        {
            "image": (PATCH, strings(names[image])),
            "image_index": (PATCH, image),
            "top": (PATCH, top[image, order]),
            "left": (PATCH, left[image, order]),
            "mean": (PATCH, mean[image, order]),
            "order": (PATCH, order),
        },
        attrs=provenance(size=size, height=values.shape[1], width=values.shape[2], most=most, margin=margin),
    )


def patch_activity(store: Activations, patches: xr.Dataset, *, layer: str | None = None) -> xr.DataArray:
    """How active each unit is inside each patch: the sum of its enlarged map there.

    The sum is linear in the map, so it is taken on the small grid with the weights that enlarging would give.

    Args:
        store: activations of the images of ``patches``, in any order.
        patches: as :func:`explained_patches` gives them.
        layer: the layer's name; may be left out where there is but one.

    Returns:
        (patch, unit) float32.

    Raises:
        InputError: a patch of an image that the store lacks, or a layer that is not convolutional.
        UnknownNameError: no such layer.
    """
    name = one_layer(store, layer)
    height, width = grid(store, name)
    rows = _window_sums(height, int(patches.attrs["height"]), int(patches.attrs["size"]))
    columns = _window_sums(width, int(patches.attrs["width"]), int(patches.attrs["size"]))
    position = {str(identifier): index for index, identifier in enumerate(store.identifiers)}
    missing = [str(image) for image in patches["image"].values if str(image) not in position]
    if missing:
        raise InputError(f"image {missing[0]!r} has patches but is not in the store. Explain the store's own images.")
    owner = np.array([position[str(image)] for image in patches["image"].values], dtype=np.int64)
    wanted = np.unique(owner)
    units = unit_coordinates(name, store.dataset(name)["maps"].sizes[UNIT])
    activity = np.zeros((len(owner), len(units[UNIT])), dtype=np.float32)
    for indices, maps in map_blocks(store, name, indices=wanted) if len(wanted) else ():
        inside = np.flatnonzero(np.isin(owner, indices))
        local = np.searchsorted(indices, owner[inside])
        window = np.einsum(
            "ph,pw->phw", rows[patches["top"].values[inside]], columns[patches["left"].values[inside]]
        ).reshape(len(inside), -1)
        for start in range(0, len(inside), 256):
            some = slice(start, start + 256)
            activity[inside[some]] = np.einsum("pul,pl->pu", maps[local[some]], window[some], optimize=True)
    return xr.DataArray(
        activity, dims=(PATCH, UNIT), coords=units, attrs=provenance(layers=[name], **source_facts(store, [name]))
    )


def _greedy(
    heat: NDArray[np.float64], size: int, most: int, margin: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """For all images at once: the best window, clear its middle, and again."""
    count, height, width = heat.shape
    heat = heat.copy()
    top, left = (np.zeros((count, most), dtype=np.int64) for _ in range(2))
    mean = np.zeros((count, most))
    across = width - size + 1
    for step in range(most):
        integral = np.zeros((count, height + 1, width + 1))
        integral[:, 1:, 1:] = heat.cumsum(axis=1).cumsum(axis=2)
        sums = integral[:, size:, size:] - integral[:, :-size, size:] - integral[:, size:, :-size]
        sums += integral[:, :-size, :-size]
        best = sums.reshape(count, -1).argmax(axis=1)
        top[:, step], left[:, step] = best // across, best % across
        mean[:, step] = np.maximum(sums.reshape(count, -1)[np.arange(count), best], 0) / size**2
        for image in range(count):
            rows = slice(top[image, step] + margin, top[image, step] + size - margin)
            heat[image, rows, left[image, step] + margin : left[image, step] + size - margin] = 0
    mean[mean < 1e-12 * np.abs(heat).max(initial=1e-300)] = 0  # what subtraction leaves of nothing
    return top, left, mean


def _worth_it(
    model: ImageModel, images: Any, top: NDArray[np.int64], left: NDArray[np.int64], size: int, drop: float
) -> NDArray[np.bool_]:
    """Patches up to the one after which covering one more gains less than ``drop`` of the predicted logit."""
    inputs = model.prepare(images)
    if len(inputs) != len(top):
        raise ShapeError(f"{len(inputs)} images for {len(top)} heatmaps; expected the images of the heatmaps.")
    with torch.inference_mode():
        logits = model.logits(inputs)
        target = logits.argmax(1, keepdim=True)
        intact = logits.gather(1, target)[:, 0].double().cpu().numpy()
        covered = inputs.clone()
        kept = np.zeros(top.shape, dtype=bool)
        before, going = intact.copy(), np.ones(len(top), dtype=bool)
        for step in range(top.shape[1]):
            for image in np.flatnonzero(going):
                row, column = int(top[image, step]), int(left[image, step])
                covered[image, :, row : row + size, column : column + size] = 0
            after = model.logits(covered).gather(1, target)[:, 0].double().cpu().numpy()
            gain = (before - after) / np.maximum(np.abs(intact), 1e-12)
            # the first patch is kept whatever it gains: it is where the explanation points
            going &= (gain >= drop) | (step == 0)
            kept[:, step] = going
            before = after
    return kept


def _window_sums(source: int, target: int, size: int) -> NDArray[np.float32]:
    """(first pixel, source position): what a window of enlarged pixels sums to, in terms of the small map."""
    matrix = bilinear_matrix(source, target).astype(np.float64)
    total = np.concatenate([np.zeros((1, source)), matrix.cumsum(axis=0)])
    return np.asarray(total[size:] - total[:-size], dtype=np.float32)
