"""From one value a window to one clear map: overlapping windows averaged, resolutions laid over each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from workbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.explain.lattice import Lattice

Profile = Literal["box", "hann"]
CLEAR = 0.99  # the quantile of |map| that two resolutions are brought to before they are laid over each other


def check_profile(profile: str) -> Profile:
    """Refuse a window profile that does not exist.

    Args:
        profile: ``"box"`` or ``"hann"``.

    Returns:
        The same.

    Raises:
        InputError: anything else.
    """
    if profile not in get_args(Profile):
        raise InputError(
            f"window is {profile!r}; expected 'box' (plain mean) or 'hann' (smooth: the centre counts more)."
        )
    return "hann" if profile == "hann" else "box"


@dataclass(frozen=True)
class Spread:
    """How the windows of a lattice share out over some of the pixels.

    Attributes:
        lattice: the windows.
        profile: ``"box"``: every pixel of a window counts alike; ``"hann"``: the centre counts more, so that no
            edges of windows show in the map.
        pixels: rows and columns that are wanted; all of them where None.
    """

    lattice: Lattice
    profile: Profile = "box"
    pixels: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    @cached_property
    def _axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        starts = (self.lattice.rows, self.lattice.columns)
        made = []
        for axis in (0, 1):
            wanted = np.arange(self.lattice.size[axis]) if self.pixels is None else np.asarray(self.pixels[axis])
            offset = wanted[:, None] - starts[axis][None, :]
            inside = (offset >= 0) & (offset < self.lattice.patch[axis])
            weight = np.ones(offset.shape)
            if self.profile == "hann":
                weight = np.sin(np.pi * (offset + 0.5) / self.lattice.patch[axis]) ** 2
            made.append(np.where(inside, weight, 0.0))
        return made[0], made[1]

    @cached_property
    def _coverage(self) -> NDArray[np.float64]:
        down, across = self._axes
        return np.asarray(down.sum(axis=1)[:, None] * across.sum(axis=1)[None, :])

    def average(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weighted mean of the windows over each pixel.

        Args:
            values: (..., window) finite.

        Returns:
            (..., y, x) float64.
        """
        down, across = self._axes
        grid = values.reshape(*values.shape[:-1], *self.lattice.shape)
        return np.asarray(down @ grid @ across.T / self._coverage)


def sample_pixels(size: tuple[int, int], most: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Evenly spread pixels, enough to judge a rank correlation by.

    Args:
        size: (y, x) pixels of the image.
        most: rows and columns at most.

    Returns:
        Rows and columns, increasing.
    """
    rows, columns = (
        tuple(int(i) for i in np.unique(np.linspace(0, length - 1, min(most, length)).round())) for length in size
    )
    return rows, columns


def fuse(maps: Sequence[NDArray[np.float64]], weights: Sequence[float]) -> NDArray[np.float64]:
    """Lay the maps of several resolutions over each other.

    Args:
        maps: (..., y, x), one a resolution, signed.
        weights: what each is multiplied by, from :func:`fusion_weights`.

    Returns:
        (..., y, x) float64: the weighted mean.
    """
    return np.asarray(sum(weight * values for weight, values in zip(weights, maps, strict=True)) / len(maps))


def fusion_weights(maps: Sequence[NDArray[np.float64]]) -> tuple[float, ...]:
    """Weights that bring all maps to the reach of the finest, which keeps its units.

    A large patch takes more of the score away than a small one; unweighted, it alone would make the picture.

    Args:
        maps: (y, x), one a resolution, coarsest first.

    Returns:
        One weight a resolution; 1 for the last.
    """
    reach = [float(np.quantile(np.abs(values), CLEAR)) for values in maps]
    return tuple(reach[-1] / value if value > 0 and reach[-1] > 0 else 1.0 for value in reach)
