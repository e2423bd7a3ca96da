"""Least squares with weights that are not negative and whose sum is bounded, from the Gram matrix alone.

Accelerated projected gradient (FISTA with restarts) finds which weights are zero; a linear solve on the others then
gives the exact minimum. The Frank-Wolfe gap certifies it: no weights within the bounds can do better by more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from workbench.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

POLISH_EVERY = 25
ROUNDS = 40  # of adding units to a support, before the projected gradient goes on
SINGULAR = 1e-12


@dataclass(frozen=True)
class Solution:
    """Weights and how good they are.

    Attributes:
        weights: (unit, category) float64, zero or more.
        gaps: (category) float64: by how much the squared error could at most be lower.
        iterations: of the projected gradient.
    """

    weights: NDArray[np.float64]
    gaps: NDArray[np.float64]
    iterations: int


def minimise(
    gram: NDArray[np.float64],
    products: NDArray[np.float64],
    *,
    budget: float,
    start: NDArray[np.float64] | None = None,
    tolerance: NDArray[np.float64] | float = 1e-9,
    iterations: int = 20_000,
    lipschitz: float | None = None,
) -> Solution:
    """Minimise w' G w - 2 b' w over w >= 0, sum w <= budget, for every column b at once.

    Args:
        gram: (unit, unit) float64, positive semidefinite.
        products: (unit, category) float64.
        budget: bound of the sum of the weights, above 0.
        start: (unit, category) float64 within the bounds; zeros where omitted.
        tolerance: (category) or one number: gap at which a column is finished.
        iterations: at most so many steps; columns that are not finished then keep their gap.
        lipschitz: largest eigenvalue of ``gram``, where known.

    Returns:
        The solution.

    Raises:
        InputError: a budget that is not above 0.

    Source: [beck2009], [odonoghue2015], [jaggi2013]
    """
    if not (budget > 0 and np.isfinite(budget)):
        raise InputError(f"the budget (sparsity) is {budget}; expected a number above 0.")
    weights = np.zeros_like(products) if start is None else project(start, budget)
    targets = np.broadcast_to(np.asarray(tolerance, dtype=np.float64), products.shape[1:])
    step = lipschitz or largest_eigenvalue(gram)
    gaps = _gaps(gram, products, weights, budget)
    if step <= 0:
        return Solution(weights, gaps, 0)
    previous, ahead, momentum = weights.copy(), weights.copy(), np.ones(products.shape[1])
    done = 0
    open_columns = np.flatnonzero(gaps > targets)
    while len(open_columns) and done < iterations:
        some = open_columns
        for _ in range(min(POLISH_EVERY, iterations - done)):
            gradient = gram @ ahead[:, some] - products[:, some]
            moved = project(ahead[:, some] - gradient / step, budget)
            # a step against the direction of travel: momentum has overshot, forget it
            overshot = ((ahead[:, some] - moved) * (moved - previous[:, some])).sum(axis=0) > 0
            old = np.where(overshot, 1.0, momentum[some])
            new = (1 + np.sqrt(1 + 4 * old**2)) / 2
            ahead[:, some] = moved + np.where(overshot, 0.0, (old - 1) / new) * (moved - previous[:, some])
            previous[:, some], momentum[some] = moved, new
            done += 1
        candidates = np.stack(
            [
                _refined(gram, products[:, column], previous[:, column], budget, targets[column], ROUNDS + done // 4)
                for column in some
            ],
            axis=1,
        )
        reached = _gaps(gram, products[:, some], candidates, budget)
        plain = _gaps(gram, products[:, some], previous[:, some], budget)
        better = np.where(reached <= plain, candidates, previous[:, some])
        reached = np.minimum(reached, plain)
        improved = reached < gaps[some]
        weights[:, some] = np.where(improved, better, weights[:, some])
        gaps[some] = np.where(improved, reached, gaps[some])
        open_columns = np.flatnonzero(gaps > targets)
    return Solution(weights, gaps, done)


def project(points: NDArray[np.float64], budget: float) -> NDArray[np.float64]:
    """The nearest point of {w >= 0, sum w <= budget} to each column.

    Args:
        points: (unit, category) float64.
        budget: above 0.

    Returns:
        (unit, category) float64.

    Source: [duchi2008]
    """
    positive = np.maximum(points, 0)
    over = positive.sum(axis=0) > budget
    if not over.any():
        return positive
    columns = points[:, over]
    falling = -np.sort(-columns, axis=0)
    counts = np.arange(1, len(points) + 1)[:, None]
    surplus = (np.cumsum(falling, axis=0) - budget) / counts
    last = len(points) - 1 - np.argmax((falling > surplus)[::-1], axis=0)
    positive[:, over] = np.maximum(columns - np.take_along_axis(surplus, last[None], axis=0), 0)
    return positive


def largest_eigenvalue(gram: NDArray[np.float64]) -> float:
    """The largest eigenvalue of a symmetric matrix, a little above by rounding."""
    size = len(gram)
    return float(linalg.eigvalsh(gram, subset_by_index=(size - 1, size - 1))[0]) * (1 + 1e-9)


def _gaps(
    gram: NDArray[np.float64], products: NDArray[np.float64], weights: NDArray[np.float64], budget: float
) -> NDArray[np.float64]:
    descent = products - gram @ weights
    gaps = 2 * (budget * np.maximum(descent.max(axis=0), 0) - (descent * weights).sum(axis=0))
    return np.asarray(np.maximum(gaps, 0))


def _refined(
    gram: NDArray[np.float64],
    products: NDArray[np.float64],
    weights: NDArray[np.float64],
    budget: float,
    tolerance: float,
    largest: int,
) -> NDArray[np.float64]:
    """Solve on the support, drop what turns negative, add what would help most, until the gap closes or rounds end."""
    # early on far too many weights are above zero; the largest of them lead to the others
    units = [int(unit) for unit in np.argsort(-weights)[:largest] if weights[unit] > 0] or [int(np.argmax(products))]
    best, best_gap = weights, np.inf
    for _ in range(ROUNDS):
        values = _solve_on(gram, products, np.array(units), budget)
        while len(units) > 1 and values.min() < 0:
            units.pop(int(values.argmin()))
            values = _solve_on(gram, products, np.array(units), budget)
        found = np.zeros(len(products))
        found[units] = np.maximum(values, 0)
        found *= min(1.0, budget / max(found.sum(), budget))
        descent = products - gram[:, units] @ found[units]
        gap = 2 * (budget * max(descent.max(), 0.0) - float(descent @ found))
        if gap < best_gap:
            best, best_gap = found, gap
        newcomer = int(descent.argmax())
        if best_gap <= tolerance or newcomer in units:
            break
        units.append(newcomer)
    return best


def _solve_on(
    gram: NDArray[np.float64], products: NDArray[np.float64], units: NDArray[np.int64], budget: float
) -> NDArray[np.float64]:
    """The minimum over weights of these units alone, of any sign, whose sum is at most the budget."""
    part, wanted = gram[np.ix_(units, units)], products[units]
    free = linalg.lstsq(part, wanted, cond=SINGULAR)[0]
    if free.sum() <= budget:
        return np.asarray(free)
    bordered = np.full((len(units) + 1, len(units) + 1), np.abs(part).max())
    bordered[:-1, :-1], bordered[-1, -1] = part, 0
    return np.asarray(linalg.lstsq(bordered, np.append(wanted, budget * bordered[0, -1]), cond=SINGULAR)[0][:-1])
