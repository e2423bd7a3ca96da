"""Superpixels: the parts of a picture that LIME and KernelSHAP switch on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.arrays import check_array
from workbench.errors import InputError, ShapeError, unknown_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.explain.score import Question

ALGORITHMS = ("slic", "quickshift")
COMPACTNESS = (10.0, 100.0, 1000.0)  # noise has no regions of one colour: there, nearness has to count for more


def superpixels(question: Question, kind: Any, *, segments: int, seed: int = 0) -> NDArray[np.int64]:
    """Cut each image into parts of similar colour, by scikit-image, on the grid of the network input.

    Args:
        question: what is explained.
        kind: ``"slic"``, ``"quickshift"`` (with the settings of LIME's own package), or integers of your own, (y, x)
            for all images or (image, y, x), one number a part.
        segments: parts that ``"slic"`` aims at, at least 2: where it finds fewer than half of them, as in noise, it
            is run again with more weight on nearness. Quickshift finds its own number.
        seed: of the ties that quickshift breaks at random.

    Returns:
        (image, y, x) int64, 0, 1, 2 ... within each image.

    Raises:
        InputError: fewer than two segments asked for, or an image that cannot be cut into two parts.
        UnknownNameError: no such algorithm.
        ShapeError, DtypeError: parts of your own that do not fit the images.
    """
    if segments < 2:
        raise InputError(f"segments is {segments}; expected at least 2.")
    shape = (len(question), *question.size)
    if isinstance(kind, str):
        if kind not in ALGORITHMS:
            raise unknown_name("kind of superpixels", kind, ALGORITHMS)
        raw = np.stack([_cut(picture, kind, segments, seed) for picture in question.model.pictures(question.inputs)])
    else:
        dims = ("y", "x") if np.ndim(kind) == 2 else ("image", "y", "x")
        raw = check_array(kind, name="superpixels", dims=dims, kinds="iu")
        if raw.shape not in (shape, shape[1:]):
            raise ShapeError(f"superpixels have shape {raw.shape}; expected {shape[1:]} or {shape}, as the input.")
        raw = np.broadcast_to(raw, shape)
    parts = np.stack([np.unique(each, return_inverse=True)[1].reshape(question.size) for each in raw])
    for name, each in zip(question.identifiers, parts, strict=True):
        if each.max() < 1:
            raise InputError(
                f"Image {name} is one single superpixel. Ask for more segments, or give parts of your own."
            )
    return parts.astype(np.int64)


def _cut(picture: NDArray[np.float32], kind: str, segments: int, seed: int) -> Any:
    from skimage.segmentation import quickshift, slic

    if kind == "slic":
        for compactness in COMPACTNESS:
            parts = slic(picture.astype(np.float64), segments, compactness, start_label=0, channel_axis=-1)
            if 2 * len(np.unique(parts)) >= segments:
                break
        return parts
    colours = np.repeat(picture, 3, axis=2)[..., :3] if picture.shape[2] != 3 else picture
    return quickshift(  # type: ignore[no-untyped-call]
        colours.astype(np.float64), kernel_size=4, max_dist=200, ratio=0.2, rng=seed
    )


def part_means(inputs: torch.Tensor, parts: NDArray[np.int64]) -> torch.Tensor:
    """Each image with every part in its own mean colour.

    Args:
        inputs: (image, channel, y, x) float.
        parts: (image, y, x) int64, 0, 1, 2 ... within each image.

    Returns:
        (image, channel, y, x) of the same dtype and on the same device.
    """
    flat = inputs.to(torch.promote_types(inputs.dtype, torch.float32)).flatten(2)
    numbers = torch.from_numpy(parts).to(inputs.device).flatten(1)[:, None].expand_as(flat)
    table = torch.zeros(*flat.shape[:2], int(parts.max()) + 1, dtype=flat.dtype, device=flat.device)
    means = table.scatter_reduce(2, numbers, flat, reduce="mean", include_self=False)
    return means.gather(2, numbers).view_as(inputs).to(inputs.dtype)
