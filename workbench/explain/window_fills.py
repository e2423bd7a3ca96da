"""What hidden windows show: a picture that is the same for all of them, or what each window's surroundings say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from workbench.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class WindowFill(ABC):
    """What windows of one image show where that depends on the window; see :meth:`Hiding.fill`.

    Args:
        image: (channel, y, x) float, normalised.
    """

    def __init__(self, image: torch.Tensor) -> None:
        if image.ndim != 3:
            raise ShapeError(f"image has shape {tuple(image.shape)}; expected one image, (channel, y, x).")
        wide = torch.promote_types(image.dtype, torch.float32)
        self.shape = tuple(image.shape)
        self._dtype = image.dtype
        self._pixels = image.detach().permute(1, 2, 0).to(wide).contiguous()

    def windows(self, y: NDArray[np.int64], x: NDArray[np.int64], height: int, width: int) -> torch.Tensor:
        """What some windows of one size show.

        Args:
            y: (window) int64, first row.
            x: (window) int64, first column.
            height: rows.
            width: columns.

        Returns:
            (window, height, width, channel) of the image's dtype.
        """
        return self._shown(np.asarray(y), np.asarray(x), height, width).to(self._dtype)

    @abstractmethod
    def _shown(self, y: NDArray[np.int64], x: NDArray[np.int64], height: int, width: int) -> torch.Tensor:
        """As :meth:`windows`, in float32 or float64."""

    def _rectangles(self, y: NDArray[np.int64], x: NDArray[np.int64], height: int, width: int) -> torch.Tensor:
        """(window, height, width, channel) of the image; rows and columns beyond the border repeat the border."""
        rows = np.clip(y[:, None] + np.arange(height), 0, self._pixels.shape[0] - 1)
        columns = np.clip(x[:, None] + np.arange(width), 0, self._pixels.shape[1] - 1)
        device = self._pixels.device
        return self._pixels[
            torch.from_numpy(rows).to(device)[:, :, None], torch.from_numpy(columns).to(device)[:, None]
        ]


class OwnMean(WindowFill):
    """Each window shows its own mean colour."""

    def _shown(self, y: NDArray[np.int64], x: NDArray[np.int64], height: int, width: int) -> torch.Tensor:
        inside = self._rectangles(y, x, height, width)
        return inside.mean(dim=(1, 2), keepdim=True).expand_as(inside)


class Harmonic(WindowFill):
    """Each window shows the smoothest surface through the pixels around it.

    Each hidden pixel is the mean of its four neighbours (Laplace's equation; outside the image there are none). For a
    rectangle that is solved exactly: the equation falls apart into one a pair of sine or cosine waves. A window that
    is the whole image shows the image's mean colour, as nothing around it says more.
    """

    def _shown(self, y: NDArray[np.int64], x: NDArray[np.int64], height: int, width: int) -> torch.Tensor:
        rows, columns, channels = self._pixels.shape
        down, down_rates = self._waves(height, y, rows)
        across, across_rates = self._waves(width, x, columns)
        around = self._around(y, x, height, width)
        count = len(y)
        # to waves, each divided by its rate, and back; the channels ride along
        waves = (down.transpose(1, 2) @ around.reshape(count, height, -1)).view(count, height, width, channels)
        waves = waves.permute(0, 1, 3, 2) @ across[:, None]
        rates = down_rates[:, :, None, None] + across_rates[:, None, None, :]
        alone = height == rows and width == columns
        surface = (waves / rates.clamp(min=1e-12)) @ across.transpose(1, 2)[:, None]
        surface = surface.permute(0, 1, 3, 2).reshape(count, height, -1)
        shown = (down @ surface).view(count, height, width, channels)
        return self._pixels.mean(dim=(0, 1)).expand_as(shown) if alone else shown

    def _around(self, y: NDArray[np.int64], x: NDArray[np.int64], height: int, width: int) -> torch.Tensor:
        """What the pixels around each window add to the equations of its own: (window, height, width, channel)."""
        rows, columns, channels = self._pixels.shape
        around = self._pixels.new_zeros(len(y), height, width, channels)
        sides = (
            (around[:, 0], y > 0, self._rectangles(y - 1, x, 1, width)[:, 0]),
            (around[:, -1], y + height < rows, self._rectangles(y + height, x, 1, width)[:, 0]),
            (around[:, :, 0], x > 0, self._rectangles(y, x - 1, height, 1)[:, :, 0]),
            (around[:, :, -1], x + width < columns, self._rectangles(y, x + width, height, 1)[:, :, 0]),
        )
        for edge, there, colours in sides:
            edge += colours * torch.from_numpy(there).to(around)[:, None, None]
        return around

    def _waves(self, length: int, start: NDArray[np.int64], extent: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(window, pixel, wave) and their rates (window, wave), by which ends of the windows are the image's own."""
        made = [standing_waves(length, low, high) for low in (False, True) for high in (False, True)]
        kind = torch.from_numpy(2 * (start == 0) + (start + length == extent)).to(self._pixels.device)
        waves, rates = (torch.from_numpy(np.stack(parts)).to(self._pixels) for parts in zip(*made, strict=True))
        return waves[kind], rates[kind]


@lru_cache(maxsize=256)
def standing_waves(length: int, low: bool, high: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The waves into which differences between neighbours along a line fall apart.

    Args:
        length: pixels of the line.
        low: whether the first pixel has no neighbour before it.
        high: whether the last pixel has none after it.

    Returns:
        (pixel, wave) float64, orthonormal; and (wave) float64, what each is multiplied by when every pixel is
        replaced by the sum of its differences from its neighbours, those outside the line being 0.
    """
    matrix = 2 * np.eye(length) - np.eye(length, k=1) - np.eye(length, k=-1)
    matrix[0, 0] -= low
    matrix[-1, -1] -= high
    rates, waves = np.linalg.eigh(matrix)
    return waves, rates


Fill = torch.Tensor | WindowFill


def window_pixels(fill: Fill, windows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    """What windows show, those of one size at a time.

    Args:
        fill: (channel, y, x) float, a picture that shows through all windows, or what each window shows itself.
        windows: (window, 4) int64: first row, first column, rows, columns.

    Yields:
        (some) int64, numbers of windows of one size, and what they show, (some, channel, rows, columns).
    """
    for height, width in np.unique(windows[:, 2:], axis=0).tolist():
        chosen = np.flatnonzero((windows[:, 2] == height) & (windows[:, 3] == width))
        y, x = windows[chosen, 0], windows[chosen, 1]
        if isinstance(fill, WindowFill):
            yield chosen, fill.windows(y, x, height, width).permute(0, 3, 1, 2)
        else:
            parts = [fill[:, top : top + height, left : left + width] for top, left in zip(y, x, strict=True)]
            yield chosen, torch.stack(parts)


def hide_windows(
    image: torch.Tensor, fill: Fill, windows: NDArray[np.int64], *, feature_last: bool = False
) -> torch.Tensor:
    """Copies of an image in which one window each is hidden.

    Args:
        image: (channel, y, x) float.
        fill: (channel, y, x) float, what the windows show, or what shows something of its own in each.
        windows: (window, 4) int64: first row, first column, rows, columns.
        feature_last: whether features are to be last in memory, which not every network can take.

    Returns:
        (window, channel, y, x).
    """
    order = torch.channels_last if feature_last else torch.contiguous_format
    hidden = image.expand(len(windows), *image.shape).clone(memory_format=order)
    for chosen, pixels in window_pixels(fill, windows):
        for number, shown in zip(chosen.tolist(), pixels, strict=True):
            y, x, height, width = windows[number].tolist()
            hidden[number, :, y : y + height, x : x + width] = shown
    return hidden
