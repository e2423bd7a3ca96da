"""Where a sliding patch is put: the one lattice that dense and accelerated occlusion share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DtypeError, InputError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = int | tuple[int, int]


def as_pair(value: Size, *, name: str) -> tuple[int, int]:
    """A size in pixels as (y, x).

    Args:
        value: one positive integer for both axes, or (y, x).
        name: what to call it in the message.

    Returns:
        (y, x), both at least 1.

    Raises:
        DtypeError: not an integer or a pair of integers.
        InputError: an entry below 1.
    """
    pair = (value, value) if isinstance(value, int | np.integer) else tuple(value) if _is_sequence(value) else ()
    if len(pair) != 2 or not all(isinstance(item, int | np.integer) and not isinstance(item, bool) for item in pair):
        raise DtypeError(f"{name} is {value!r}; expected an integer or a pair (y, x) of integers, in pixels.")
    if min(pair) < 1:
        raise InputError(f"{name} is {value!r}; expected at least 1 pixel on each axis.")
    return int(pair[0]), int(pair[1])


def axis_positions(size: int, patch: int, stride: int) -> NDArray[np.int64]:
    """First pixels of the windows along one axis.

    Windows start at 0, stride, 2 stride ...; the last one is moved back so that it ends at the border, so every
    pixel is covered and every window has the full size.

    Args:
        size: pixels along the axis.
        patch: pixels of the window.
        stride: pixels from one window to the next.

    Returns:
        (window) int64, strictly increasing, from 0 to ``size - patch``.

    Raises:
        InputError: a patch larger than the axis, a stride below 1, or one larger than the patch (gaps).
    """
    if patch > size:
        raise InputError(f"A patch of {patch} pixels does not fit into an image of {size} pixels. Make it smaller.")
    if stride < 1 or patch < 1:
        raise InputError(f"patch is {patch} and stride {stride}; expected at least 1 pixel.")
    if stride > patch:
        raise InputError(
            f"A stride of {stride} with a patch of {patch} pixels would leave pixels that no patch covers. "
            "Use a stride of at most the patch."
        )
    last = size - patch
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, np.int64(last))


def positions(size: Size, patch: Size, stride: Size) -> NDArray[np.int64]:
    """Upper left corners of all windows, row by row.

    Args:
        size: (y, x) pixels of the image.
        patch: pixels of the window, one number or (y, x).
        stride: pixels from one window to the next, one number or (y, x).

    Returns:
        (window, 2) int64: the first row and the first column of each window.

    Raises:
        DtypeError, InputError: see :func:`as_pair` and :func:`axis_positions`.
    """
    return lattice(size, patch, stride).corners


@dataclass(frozen=True)
class Lattice:
    """All positions of one patch on one image size; made by :func:`lattice`.

    Attributes:
        size: (y, x) pixels of the image.
        patch: (y, x) pixels of the window.
        stride: (y, x) pixels from one window to the next.
    """

    size: tuple[int, int]
    patch: tuple[int, int]
    stride: tuple[int, int]

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """First rows of the windows, (row) int64."""
        return axis_positions(self.size[0], self.patch[0], self.stride[0])

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """First columns of the windows, (column) int64."""
        return axis_positions(self.size[1], self.patch[1], self.stride[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of windows."""
        return len(self.rows), len(self.columns)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @cached_property
    def corners(self) -> NDArray[np.int64]:
        """(window, 2) int64, row by row: the first row and the first column of each window."""
        grid = np.meshgrid(self.rows, self.columns, indexing="ij")
        return np.stack([axis.ravel() for axis in grid], axis=1)

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """(window, 4) int64, row by row: first row, first column, rows, columns."""
        return np.concatenate([self.corners, np.tile([self.patch], (len(self), 1))], axis=1)

    @cached_property
    def coverage(self) -> NDArray[np.float64]:
        """(y, x) float64: how many windows cover each pixel, at least 1."""
        return self.spread(np.ones(len(self)))

    def spread(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Add each window's value to all the pixels that it covers.

        Args:
            values: (..., window), in the order of :attr:`corners`.

        Returns:
            (..., y, x) float64.

        Raises:
            ShapeError: the last dimension is not the number of windows.
        """
        values = np.asarray(values, dtype=np.float64)
        if values.ndim == 0 or values.shape[-1] != len(self):
            raise ShapeError(f"values have shape {values.shape}; expected (..., {len(self)}), one value a window.")
        # a window is a product of intervals, so spreading is one small matrix product an axis
        down = _membership(self.size[0], self.rows, self.patch[0])
        across = _membership(self.size[1], self.columns, self.patch[1])
        grid = values.reshape(*values.shape[:-1], *self.shape)
        return np.asarray(down @ grid @ across.T, dtype=np.float64)

    def average(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Give each pixel the mean of the windows that cover it.

        Args:
            values: (..., window), in the order of :attr:`corners`; NaN marks a window that was not measured.

        Returns:
            (..., y, x) float64; NaN where no measured window covers the pixel.

        Raises:
            ShapeError: the last dimension is not the number of windows.
        """
        values = np.asarray(values, dtype=np.float64)
        known = ~np.isnan(values)
        if known.all():
            return self.spread(values) / self.coverage
        count = self.spread(known)
        with np.errstate(invalid="ignore"):
            return np.where(count > 0.5, self.spread(np.where(known, values, 0.0)) / count, np.nan)

    def refinement_order(self) -> NDArray[np.int64]:
        """An order of the windows in which any prefix covers the image evenly: coarse first, then the gaps.

        Returns:
            (window) int64, a permutation of the window numbers.
        """
        row_level = _levels(self.shape[0])
        column_level = _levels(self.shape[1])
        level = np.maximum(row_level[:, None], column_level[None, :]).ravel()
        return np.argsort(level, kind="stable")


def lattice(size: Size, patch: Size, stride: Size) -> Lattice:
    """The lattice of a patch on an image size, checked.

    Args:
        size: (y, x) pixels of the image.
        patch: pixels of the window, one number or (y, x).
        stride: pixels from one window to the next, one number or (y, x).

    Returns:
        The lattice; every pixel is covered by at least one window.

    Raises:
        DtypeError, InputError: see :func:`as_pair` and :func:`axis_positions`.
    """
    made = Lattice(as_pair(size, name="size"), as_pair(patch, name="patch"), as_pair(stride, name="stride"))
    _ = made.rows, made.columns  # refuse here, where the caller's numbers are at hand
    return made


def _membership(size: int, starts: NDArray[np.int64], patch: int) -> NDArray[np.float64]:
    pixels = np.arange(size)[:, None]
    return ((pixels >= starts) & (pixels < starts + patch)).astype(np.float64)


def _levels(count: int) -> NDArray[np.int64]:
    """0 for the coarsest grid and the border, then one more each time the spacing halves."""
    step = 1 << max(count - 1, 0).bit_length()
    level = np.full(count, -1, dtype=np.int64)
    depth = 0
    while step:
        fresh = np.arange(0, count, step)
        level[fresh[level[fresh] < 0]] = depth
        step, depth = step // 2, depth + 1
    return level


def _is_sequence(value: object) -> bool:
    return isinstance(value, tuple | list | np.ndarray)
