"""Small maps on a large grid: bilinear interpolation as two matrix products."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def bilinear_matrix(source: int, target: int) -> NDArray[np.float32]:
    """Weights of bilinear interpolation along one axis, pixel centres aligned (torch's ``align_corners=False``).

    Args:
        source: positions that there are.
        target: positions that are wanted.

    Returns:
        (target, source) float32, rows summing to 1; not to be written to.

    Raises:
        InputError: a size below 1.
    """
    if source < 1 or target < 1:
        raise InputError(f"sizes are {source} and {target}; expected at least 1 pixel.")
    centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.floor(centres).astype(np.int64)
    right = np.minimum(left + 1, source - 1)
    share = centres - left
    matrix = np.zeros((target, source))
    np.add.at(matrix, (np.arange(target), left), 1 - share)
    np.add.at(matrix, (np.arange(target), right), share)
    matrix.setflags(write=False)
    fixed = matrix.astype(np.float32)
    fixed.setflags(write=False)
    return fixed


def upsample(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear interpolation of maps to another size; no antialiasing, meant for enlarging.

    Args:
        maps: (..., y, x) float.
        size: wanted (y, x) in pixels.

    Returns:
        (..., y, x) float32 of that size.

    Raises:
        InputError: a size below 1.
    """
    rows = bilinear_matrix(maps.shape[-2], size[0])
    columns = bilinear_matrix(maps.shape[-1], size[1])
    return np.asarray(rows @ (maps.astype(np.float32, copy=False) @ columns.T), dtype=np.float32)


def stretch(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring each map to [0, 1] by its own smallest and largest value; a constant map becomes zero.

    Args:
        maps: (..., y, x) float.

    Returns:
        (..., y, x) float32.
    """
    low = maps.min(axis=(-2, -1), keepdims=True)
    span = maps.max(axis=(-2, -1), keepdims=True) - low
    return np.asarray(np.divide(maps - low, span, out=np.zeros_like(maps), where=span > 0), dtype=np.float32)
