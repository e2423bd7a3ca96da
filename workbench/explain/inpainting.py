"""Fill what is hidden from what surrounds it: the smoothest surface that meets the visible pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from workbench.explain.lattice import lattice
from workbench.explain.window_fills import Harmonic

TILE = 1 / 8  # side of a tile as a share of the shorter side
SWEEPS = 8  # relaxations at the finest level, twice as many at each coarser one


def inpaint_pictures(inputs: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Replace hidden pixels by the harmonic surface through the visible ones.

    Each hidden pixel becomes the mean of its four neighbours (Laplace's equation, mirrored at the image border), so
    nothing darker or brighter than the surroundings appears. Solved from coarse to fine with a fixed number of
    relaxations a level, so it is near the exact surface, not equal to it: root mean square 0.001 to 0.02 of the range
    of colours, measured on a photograph for windows of a 14th to half of its side (rectangles are filled exactly, see
    :class:`workbench.explain.window_fills.Harmonic`). An image is filled from itself alone; one of which nothing is
    visible shows its own mean colour.

    Args:
        inputs: (input, channel, y, x) float.
        hidden: (input, 1, y, x) bool, True where the picture is not to be seen.

    Returns:
        (input, channel, y, x) of the same dtype; visible pixels are untouched.
    """
    values = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
    nothing = hidden.flatten(1).all(1)[:, None, None, None]
    if bool(nothing.any()):
        means = values.mean(dim=(2, 3), keepdim=True).to(inputs.dtype)
        filled = inpaint_pictures(inputs, hidden & ~nothing)
        return torch.where(nothing, means, filled)
    levels = [(torch.where(hidden, 0.0, values), ~hidden)]
    while not bool(levels[-1][1].all()):
        levels.append(_coarser(*levels[-1]))
    surface = levels.pop()[0]
    for depth, (colours, known) in reversed(list(enumerate(levels))):
        surface = F.interpolate(surface, size=colours.shape[2:], mode="bilinear", align_corners=False)
        surface = torch.where(known, colours, surface)
        for _ in range(SWEEPS << depth):
            surface = torch.where(known, colours, _neighbours(surface))
    return torch.where(hidden, surface.to(inputs.dtype), inputs)


def inpaint_tiles(inputs: torch.Tensor) -> torch.Tensor:
    """Each tile of a picture filled from around itself: what every pixel would show, were its own tile hidden.

    Tiles are squares of an eighth of the shorter side, half overlapping; where they overlap, their fills are averaged.
    What lies between neighbouring tiles goes, what differs from tile to tile stays.

    Args:
        inputs: (image, channel, y, x) float.

    Returns:
        (image, channel, y, x) of the same dtype.
    """
    size = (int(inputs.shape[2]), int(inputs.shape[3]))
    side = max(1, round(TILE * min(size)))
    tiles = lattice(size, side, max(1, side // 2))
    y, x = tiles.corners.T
    coverage = torch.from_numpy(tiles.coverage).to(inputs.device)
    made = []
    for image in inputs:
        total = torch.zeros(*size, len(image), dtype=torch.float64, device=inputs.device)
        for top, left, shown in zip(y, x, Harmonic(image).windows(y, x, side, side).double(), strict=True):
            total[top : top + side, left : left + side] += shown
        made.append((total / coverage[..., None]).permute(2, 0, 1))
    return torch.stack(made).to(inputs.dtype).contiguous()


def _coarser(colours: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Half the size: the mean colour of the known pixels, known where one of them was."""
    count = F.avg_pool2d(known.to(colours.dtype), 2, ceil_mode=True)
    total = F.avg_pool2d(colours, 2, ceil_mode=True)
    return torch.where(count > 0, total / count.clamp(min=1e-6), 0.0), count > 0


def _neighbours(surface: torch.Tensor) -> torch.Tensor:
    padded = F.pad(surface, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:]
    return (across + padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1]) / 4
