"""D2 pruning: images that are far from the centre first, but not many of one neighbourhood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.interpret.coreset.distances import neighbours
from workbench.interpret.coreset.registry import selectors

if TYPE_CHECKING:
    from numpy.typing import NDArray


@selectors.register(
    title="D2 pruning",
    source=("maharana2024",),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="the nearest neighbours of all images",
    note="The initial score is the distance to the centre. Beyond exact_up_to images neighbours are approximate.",
    parameters={"neighbour_count": ("int", 10, 2, 50), "gamma": ("float", 1.0, 0.1, 2.0)},
)
def d2(
    features: NDArray[np.float32],
    count: int,
    *,
    generator: np.random.Generator,
    neighbour_count: int = 10,
    gamma: float = 1.0,
    exact_up_to: int = 20_000,
) -> NDArray[np.int64]:
    """Choose by difficulty and diversity on a graph of neighbours.

    Scores are passed forward, rho_i = s_i + sum_j e^(-d_ij) s_j; then, one after the other, the largest rho is chosen
    and its neighbours' are lowered by e^(-gamma d_ij) rho. Distances are in units of the median neighbour distance,
    on standardised features.

    Args:
        features: (image, feature) float32.
        count: images to choose.
        generator: source of chance, for approximate neighbours only.
        neighbour_count: neighbours an image.
        gamma: how fast the lowering fades with distance, above 0.
        exact_up_to: images up to which neighbours are exact.

    Returns:
        (count) int64 positions.

    Source: [maharana2024]
    """
    spread = features.std(axis=0)
    points = np.divide(features - features.mean(axis=0), spread, out=np.zeros_like(features), where=spread > 0)
    score = np.linalg.norm(points, axis=1).astype(np.float64)  # the centre is the origin now
    if len(points) < 2:
        return np.arange(count)
    kept = min(neighbour_count, len(points) - 1)
    which, squared = neighbours(points, kept, exact_up_to=exact_up_to, generator=generator)
    far = np.sqrt(squared.astype(np.float64))
    known = which >= 0
    unit = float(np.median(far[known])) if known.any() else 0.0
    far = far / unit if unit > 0 else np.where(known, 0.0, np.inf)
    near, fading = np.exp(-far), np.exp(-gamma * far)
    rho = score + np.where(known, near * score[which], 0).sum(axis=1)
    chosen = np.empty(count, dtype=np.int64)
    taken = np.zeros(len(points), dtype=bool)
    for step in range(count):
        best = int(rho.argmax())
        chosen[step], taken[best] = best, True
        beside = which[best][known[best]]
        # gather once, since a neighbour that is chosen already stays chosen
        rho[beside] -= fading[best][known[best]] * rho[best]
        rho[best] = -np.inf
        rho[taken] = -np.inf
    return chosen
