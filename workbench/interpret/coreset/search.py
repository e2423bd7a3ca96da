"""Exchange and weigh a few images until relevant units (VEBI) found from them are those that all images give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.interpret.budget import largest_eigenvalue, minimise
from workbench.interpret.features import moments
from workbench.interpret.relevant_units import solve
from workbench.stats import cosine

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEARCHED = 64  # images up to which a coreset is searched: each turn solves for the units anew
CANDIDATES = 12
FACTORS = (0.5, 0.75, 4 / 3, 2.0)
LEAST_WEIGHT = 0.05  # of the mean weight, where a weight that was zero is tried
TOLERANCE = 1e-6
MOST_UNITS = 192  # that compete while candidates are tried; a solution of more would take long, a thousand times over


def search(
    features: NDArray[np.float32],
    category: NDArray[np.int64],
    chosen: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    generator: np.random.Generator,
    budget: float | None = None,
    candidates: int = CANDIDATES,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bring the solution from a few images near that from all.

    Each image in turn is exchanged for whichever of some others of its category brings the weights of units nearest to
    those from all images (the mean cosine over categories), and so is its own weight for a larger or smaller one. The
    solution from all images costs no more than one from a few, once all features are read. Of many units only those
    compete that are relevant by all images, and those that fire most.

    Args:
        features: (image, unit) x of all images, as relevant units read them, in any unit.
        category: (image) int64, -1 for images that do not count.
        chosen: (chosen) int64 positions to begin with.
        weights: (chosen) float64, zero or more.
        generator: source of chance, where candidates are drawn.
        budget: bound of the summed weights of units, in units of 1 / x; chosen for five units a category where omitted.
        candidates: images drawn for each exchange.

    Returns:
        Positions and weights; the weights sum to the number of images that count.

    Source: [oramas2019]
    """
    inside = np.flatnonzero(category >= 0)
    number = int(category.max()) + 1
    rows = features.astype(np.float64)
    folded = moments(iter([(inside, rows[inside])]), category=category, categories=number)
    found = solve(folded, sparsity=budget)
    limit = float(found.attrs["sparsity"])
    seen = np.flatnonzero(folded.counts > 0)
    kept = _competing(found["weight"].values, np.diag(folded.gram))
    rows, start = rows[:, kept], found["weight"].values.T[kept]
    wanted = start.T[seen]

    def nearness(positions: NDArray[np.int64], counts: NDArray[np.float64]) -> float:
        some = rows[positions]
        gram = (some * counts[:, None]).T @ some
        products = np.zeros((some.shape[1], number))
        np.add.at(products.T, category[positions], some * counts[:, None])
        solution = minimise(
            gram,
            products,
            budget=limit,
            start=start,
            tolerance=TOLERANCE * counts.sum(),
            lipschitz=largest_eigenvalue(gram),
        )
        return float(np.nan_to_num(cosine(solution.weights.T[seen], wanted), nan=0.0).mean())

    positions, counts = chosen.copy(), weights * (len(inside) / weights.sum())
    best = nearness(positions, counts)
    for place in range(len(positions)):
        others = np.setdiff1d(inside[category[inside] == category[positions[place]]], positions)
        for other in generator.permutation(others)[:candidates]:
            tried = positions.copy()
            tried[place] = other
            reached = nearness(tried, counts)
            if reached > best:
                best, positions = reached, tried
        least = LEAST_WEIGHT * len(inside) / len(positions)
        for factor in FACTORS:
            heavier = counts.copy()
            heavier[place] = max(counts[place], least) * factor
            reached = nearness(positions, heavier)
            if reached > best:
                best, counts = reached, heavier
    return positions, counts * (len(inside) / counts.sum())


def _competing(weights: NDArray[np.float64], energy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Units that are relevant for any category (category, unit), filled up with those of most energy (unit)."""
    order = np.lexsort((-energy, ~(weights > 0).any(axis=0)))
    return np.sort(order[:MOST_UNITS])
