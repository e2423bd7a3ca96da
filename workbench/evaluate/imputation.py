"""Removed pixels filled from their neighbours, so that the hole gives nothing away: the linear imputation of ROAD.

Every removed pixel is the weighted mean of its eight neighbours, 1/6 for those beside it and 1/12 for those at its
corners, removed ones among them: one sparse linear system an image. All systems of a batch are solved at once by
conjugate gradients on the whole grid, preconditioned by one multigrid cycle, so the number of iterations hardly grows
with the size of the hole. Source: [rong2022].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from workbench.errors import InputError

TOLERANCE = 1e-4  # of the residual, relative to the right-hand side; the noise that follows is a hundred times larger
MOST = 200  # iterations; about ten are needed
SMOOTHING = 0.8  # weight of a Jacobi step, which damps what a coarser grid cannot show
COARSEST = 4  # pixels of the shorter side
LAST = 8  # Jacobi steps on the coarsest grid


def impute(inputs: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """Fill removed pixels by the weighted mean of their neighbours.

    Args:
        inputs: (input, channel, y, x) float.
        removed: (input, 1, y, x) bool.

    Returns:
        (input, channel, y, x) of the same dtype; pixels that are not removed are untouched.

    Raises:
        InputError: all of an image is removed.

    Source: [rong2022]
    """
    if bool(removed.flatten(1).all(1).any()):
        raise InputError("All of an image is removed: nothing is left to fill it from. Remove less.")
    values = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
    grids = _grids(removed.to(values.dtype))
    mask, weight = grids[0]
    wanted = mask * _around(torch.where(removed, 0.0, values))
    inverse = mask / weight
    goal = TOLERANCE**2 * _total(wanted * wanted * inverse)
    found = torch.zeros_like(values)
    residual, direction, energy = wanted, torch.zeros_like(values), torch.ones_like(goal)
    for iteration in range(MOST):
        # what is solved stands still, so that it does not depend on what else is in the batch
        unsolved = _total(residual * residual * inverse) > goal
        if not bool(unsolved.any()):
            break
        step = _cycle(residual, grids)
        before, energy = energy, _total(residual * step)
        direction = step if iteration == 0 else step + _ratio(energy, before) * direction
        change = _apply(direction, mask, weight)
        length = unsolved * _ratio(energy, _total(direction * change))
        found = found + length * direction
        residual = residual - length * change
    return torch.where(removed, found.to(inputs.dtype), inputs)


def _around(values: torch.Tensor) -> torch.Tensor:
    """The weighted sum over the eight neighbours, nothing beyond the border: 1-2-1 along each axis, less the middle."""
    rows = 2 * values
    rows[..., 1:, :] += values[..., :-1, :]
    rows[..., :-1, :] += values[..., 1:, :]
    both = 2 * rows
    both[..., 1:] += rows[..., :-1]
    both[..., :-1] += rows[..., 1:]
    return both.div_(12).sub_(values, alpha=1 / 3)


def _apply(values: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return mask * (weight * values - _around(values))


def _grids(mask: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Masks of what is removed and sums of the neighbours' weights, from the finest grid to the coarsest."""
    grids = []
    while True:
        grids.append((mask, _around(torch.ones_like(mask))))
        if min(mask.shape[2:]) <= COARSEST or not bool(mask.any()):
            return grids
        # removed where all four pixels are, so that a correction never reaches a pixel that is known
        mask = -F.max_pool2d(-_even(mask), 2)


def _cycle(residual: torch.Tensor, grids: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """One symmetric multigrid cycle: what the residual asks for, roughly."""
    mask, weight = grids[0]
    damped = SMOOTHING * mask / weight
    found = damped * residual
    if len(grids) == 1:
        for _ in range(LAST):
            found = found + damped * (residual - _apply(found, mask, weight))
        return found
    rest = residual - _apply(found, mask, weight)
    coarse = _cycle(4 * F.avg_pool2d(_even(rest), 2) * grids[1][0], grids[1:])
    fine = F.interpolate(coarse, scale_factor=2.0, mode="nearest")[..., : mask.shape[2], : mask.shape[3]]
    found = found + mask * fine
    return found + damped * (residual - _apply(found, mask, weight))


def _even(values: torch.Tensor) -> torch.Tensor:
    return F.pad(values, (0, values.shape[3] % 2, 0, values.shape[2] % 2))


def _total(values: torch.Tensor) -> torch.Tensor:
    return values.sum((2, 3), keepdim=True)


def _ratio(upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """A quotient; 0 where a system is solved already."""
    return torch.where(lower > 0, upper / lower.clamp(min=torch.finfo(lower.dtype).tiny), 0.0)
