"""Cutting windows of pixels out of a map that is the original everywhere but in a box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Base:
    """The original's map, padded, feature last.

    Attributes:
        pixels: (y, x, feature), contiguous.
        top: rows of padding above the map (negative: rows of the map that are cut off).
        left: columns of padding before it.
    """

    pixels: Tensor
    top: int
    left: int

    def windows(self, y: NDArray[np.int64], x: NDArray[np.int64], height: int, width: int) -> Tensor:
        """Cut windows out of the original.

        Args:
            y: (position) first row, in pixels of the map without padding.
            x: (position) first column.
            height: rows.
            width: columns.

        Returns:
            (position, height, width, feature), contiguous.
        """
        rows, columns, features = self.pixels.shape
        view = self.pixels.as_strided(
            (rows - height + 1, columns - width + 1, height, width, features),
            (columns * features, features, columns * features, features, 1),
        )
        return view[self._index(y + self.top), self._index(x + self.left)]

    def _index(self, values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(values).to(self.pixels.device)


@dataclass(frozen=True, eq=False)
class Changed:
    """Boxes of a map that differ from the original.

    Attributes:
        pixels: (position, y, x, feature), contiguous.
        y: (position) first row of the box.
        x: (position) first column.
    """

    pixels: Tensor
    y: NDArray[np.int64]
    x: NDArray[np.int64]


def cut(base: Base, changed: Changed, y: NDArray[np.int64], x: NDArray[np.int64], height: int, width: int) -> Tensor:
    """Cut windows out of maps that are the original everywhere but in a box.

    Args:
        base: the original.
        changed: the boxes.
        y: (position) first row of the window, in pixels of the map without padding.
        x: (position) first column.
        height: rows of the windows.
        width: columns.

    Returns:
        (position, height, width, feature), contiguous unless it is a part of the boxes themselves.
    """
    down, across = changed.y - y, changed.x - x
    box_height, box_width = changed.pixels.shape[1:3]
    steady = bool((down == down[0]).all() and (across == across[0]).all())
    if steady:
        top, left = int(down[0]), int(across[0])
        if top <= 0 and left <= 0 and top + box_height >= height and left + box_width >= width:
            if (box_height, box_width) == (height, width):
                return changed.pixels
            return changed.pixels[:, -top : height - top, -left : width - left]
    window = base.windows(y, x, height, width)
    paste(window, changed, y, x)
    return window


def paste(window: Tensor, changed: Changed, y: NDArray[np.int64], x: NDArray[np.int64]) -> None:
    """Put boxes at their places in windows; what does not fit is left out.

    Args:
        window: (position, height, width, feature), overwritten; some features of a wider tensor are allowed.
        changed: the boxes.
        y: (position) first row of the window, in pixels of the map.
        x: (position) first column.
    """
    down, across = changed.y - y, changed.x - x
    height, width = window.shape[1:3]
    if (down == down[0]).all() and (across == across[0]).all():
        rows, from_row = _overlap(int(down[0]), changed.pixels.shape[1], height)
        columns, from_column = _overlap(int(across[0]), changed.pixels.shape[2], width)
        window[:, rows, columns] = changed.pixels[:, from_row, from_column]
    elif window.is_contiguous():
        _scatter(window, changed.pixels, down, across)
    else:
        for place, box, top, left in zip(window, changed.pixels, down.tolist(), across.tolist(), strict=True):
            rows, from_row = _overlap(top, box.shape[0], height)
            columns, from_column = _overlap(left, box.shape[1], width)
            place[rows, columns] = box[from_row, from_column]


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    first, last = max(start, 0), min(start + length, size)
    last = max(first, last)
    return slice(first, last), slice(first - start, last - start)


def _scatter(window: Tensor, pixels: Tensor, down: NDArray[np.int64], across: NDArray[np.int64]) -> None:
    """Put each box at its own place in its window; what does not fit is left out."""
    count, height, width, features = window.shape
    rows = down[:, None] + np.arange(pixels.shape[1])
    columns = across[:, None] + np.arange(pixels.shape[2])
    place = (np.arange(count)[:, None] * height + rows)[:, :, None] * width + columns[:, None, :]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    values = pixels.reshape(-1, features)
    flat = window.view(-1, features)
    if inside.all():
        flat.index_copy_(0, torch.from_numpy(place.reshape(-1)).to(flat.device), values)
    else:
        kept = torch.from_numpy(np.flatnonzero(inside)).to(flat.device)
        flat.index_copy_(0, torch.from_numpy(place[inside]).to(flat.device), values.index_select(0, kept))


def cut_sparse(
    base: Base,
    changed: Changed,
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    size: tuple[int, int],
    step: tuple[int, int],
) -> Tensor:
    """Cut every ``step``-th pixel out: what a strided window of one pixel reads.

    Args:
        base: the original.
        changed: the boxes.
        y: (position) first row, in pixels of the map without padding.
        x: (position) first column.
        size: (rows, columns) to read.
        step: (rows, columns) from one to the next.

    Returns:
        (position, rows, columns, feature).
    """
    down, across = y - changed.y, x - changed.x
    count, box_height, box_width, features = changed.pixels.shape
    if (down == down[0]).all() and (across == across[0]).all():
        top, left = int(down[0]), int(across[0])
        bottom, right = top + (size[0] - 1) * step[0], left + (size[1] - 1) * step[1]
        if top >= 0 and left >= 0 and bottom < box_height and right < box_width:
            return changed.pixels[:, top : bottom + 1 : step[0], left : right + 1 : step[1]]
    rows = down[:, None] + np.arange(size[0]) * step[0]
    columns = across[:, None] + np.arange(size[1]) * step[1]
    inside = ((rows >= 0) & (rows < box_height))[:, :, None] & ((columns >= 0) & (columns < box_width))[:, None, :]
    original = base.pixels.shape[0] * base.pixels.shape[1]
    in_box = original + (np.arange(count)[:, None] * box_height + rows)[:, :, None] * box_width + columns[:, None, :]
    map_rows = rows + changed.y[:, None] + base.top
    map_columns = columns + changed.x[:, None] + base.left
    in_base = map_rows[:, :, None] * base.pixels.shape[1] + map_columns[:, None, :]
    index = torch.from_numpy(np.where(inside, in_box, in_base).reshape(-1)).to(base.pixels.device)
    rows_of_both = torch.cat([base.pixels.reshape(-1, features), changed.pixels.reshape(-1, features)])
    return rows_of_both.index_select(0, index).view(count, *size, features)
