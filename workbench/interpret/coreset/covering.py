"""Selectors that leave no image far from a chosen one: farthest first, medoids, facility location."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from workbench.interpret.coreset.distances import blocks, nearest, squared_distances
from workbench.interpret.coreset.registry import selectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

TINY = float(np.finfo(np.float32).tiny)


@selectors.register(
    title="k-centre greedy",
    source=("gonzalez1985", "sener2018"),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="a product of all features with a vector, for each chosen image",
)
def k_center_greedy(features: NDArray[np.float32], count: int, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose, one after the other, the image farthest from all that are chosen; the nearest to the mean first.

    Args:
        features: (image, feature) float32.
        count: images to choose.
        generator: not used: nothing is left to chance.

    Returns:
        (count) int64 positions.

    Source: [gonzalez1985], [sener2018]
    """
    centred = features - features.mean(axis=0)
    own = np.einsum("ij,ij->i", centred, centred)
    far = np.full(len(centred), np.inf, dtype=np.float32)
    chosen = np.empty(count, dtype=np.int64)
    best = int(own.argmin())
    for step in range(count):
        chosen[step] = best
        far = np.minimum(far, own + own[best] - 2 * (centred @ centred[best]))
        far[chosen[: step + 1]] = -np.inf  # never twice, even among copies
        best = int(far.argmax())
    return chosen


@selectors.register(
    title="k-medoids",
    source=("park2009",),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="all pairs of distances up to exact_up_to images; beyond, k-means and the images nearest to its means",
    note="Needs all pairs of distances: beyond exact_up_to images the approximate form is taken.",
    parameters={"exact_up_to": ("int", 4000, 100, 20000)},
)
def k_medoids(
    features: NDArray[np.float32],
    count: int,
    *,
    generator: np.random.Generator,
    exact_up_to: int = 4000,
    rounds: int = 50,
) -> NDArray[np.int64]:
    """Choose images such that the sum of distances to the nearest chosen one is small.

    Up to ``exact_up_to`` images: medoids and their clusters are improved in turns until they stay. Beyond: means by
    mini-batch k-means (scikit-learn), and the image nearest to each.

    Args:
        features: (image, feature) float32.
        count: images to choose.
        generator: source of chance.
        exact_up_to: images for which all pairs of distances are computed (4000 take 64 MB).
        rounds: turns at most.

    Returns:
        (count) int64 positions, those of the largest clusters first.

    Source: [park2009]
    """
    centred = features - features.mean(axis=0)
    if len(centred) <= exact_up_to:
        return _voronoi(centred, count, generator, rounds)
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(
        count,
        init="random",
        n_init=1,
        batch_size=max(2048, 2 * count),
        max_iter=20,
        max_no_improvement=10,
        compute_labels=False,
        random_state=int(generator.integers(2**31)),
    ).fit(centred)
    means = np.asarray(model.cluster_centers_, dtype=np.float32)
    chosen: list[int] = []
    taken = np.zeros(len(centred), dtype=bool)
    for some in blocks(count, len(centred)):
        for distances in squared_distances(means[some], centred):
            distances[taken] = np.inf  # two means may share their nearest image
            best = int(distances.argmin())
            taken[best] = True
            chosen.append(best)
    return _by_cluster_size(centred, np.array(chosen, dtype=np.int64))


@selectors.register(
    title="Facility location",
    source=("nemhauser1978", "mirzasoleiman2015"),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="all pairs of similarities up to exact_up_to images; beyond, random candidates against random references",
    note="Needs all pairs of similarities: beyond exact_up_to images the stochastic form is taken.",
    parameters={"exact_up_to": ("int", 4000, 100, 20000)},
)
def facility_location(
    features: NDArray[np.float32],
    count: int,
    *,
    generator: np.random.Generator,
    exact_up_to: int = 4000,
    references: int = 2048,
    slack: float = 0.1,
) -> NDArray[np.int64]:
    """Choose, one after the other, the image that adds most to the similarity of all images to the chosen ones.

    What counts is the similarity of an image to the nearest chosen one, exp(-d^2 / m) with the median m of squared
    distances. Greedy choice reaches 63 % of the best possible sum or more. Beyond ``exact_up_to`` images each step
    looks at N / K log(1 / slack) random candidates, judged on random references, which keeps that guarantee in
    expectation, but for ``slack`` and what sampling the references loses.

    Args:
        features: (image, feature) float32.
        count: images to choose.
        generator: source of chance.
        exact_up_to: images for which all pairs of similarities are computed.
        references: images on which candidates are judged beyond that.
        slack: accepted loss, in (0, 1).

    Returns:
        (count) int64 positions.

    Source: [nemhauser1978], [mirzasoleiman2015]
    """
    centred = features - features.mean(axis=0)
    total = len(centred)
    exact = total <= exact_up_to
    judged = centred if exact else centred[np.sort(generator.choice(total, size=min(references, total), replace=False))]
    probe = generator.choice(total, size=min(512, total), replace=False)
    scale = max(float(np.median(squared_distances(centred[probe], judged))), TINY)

    def similar(some: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(np.exp(-squared_distances(centred[some], judged) / scale), dtype=np.float32)

    if exact:
        return _lazy_greedy(similar(np.arange(total)), count)
    size = max(1, math.ceil(total / count * math.log(1 / slack)))
    covered = np.zeros(len(judged), dtype=np.float32)
    free = np.ones(total, dtype=bool)
    chosen = np.empty(count, dtype=np.int64)
    for step in range(count):
        candidates = generator.integers(0, total, size=2 * size)
        candidates = np.unique(candidates[free[candidates]])[:size]
        if not len(candidates):
            candidates = np.flatnonzero(free)[:size]
        table = similar(candidates)
        best = int(np.maximum(table, covered).sum(axis=1, dtype=np.float64).argmax())
        chosen[step] = candidates[best]
        free[chosen[step]] = False
        covered = np.maximum(covered, table[best])
    return chosen


def _voronoi(
    centred: NDArray[np.float32], count: int, generator: np.random.Generator, rounds: int
) -> NDArray[np.int64]:
    distances = np.sqrt(squared_distances(centred, centred))
    medoids = k_center_greedy(centred, count, generator=generator)
    for _ in range(rounds):
        cluster = distances[:, medoids].argmin(axis=1)
        cluster[medoids] = np.arange(count)  # copies of a medoid must not leave its cluster empty
        moved = medoids.copy()
        for index in range(count):
            members = np.flatnonzero(cluster == index)
            moved[index] = members[distances[np.ix_(members, members)].sum(axis=1).argmin()]
        if np.array_equal(moved, medoids):
            break
        medoids = moved
    return _by_cluster_size(centred, medoids)


def _by_cluster_size(centred: NDArray[np.float32], medoids: NDArray[np.int64]) -> NDArray[np.int64]:
    which, _ = nearest(centred, centred[medoids])
    return medoids[np.argsort(-np.bincount(which, minlength=len(medoids)), kind="stable")]


def _lazy_greedy(similarity: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Greedy choice; a gain that is not up to date can only be too large, so only what seems best is computed anew."""
    covered = np.zeros(similarity.shape[1], dtype=np.float32)
    bound = similarity.sum(axis=1, dtype=np.float64)
    chosen = np.empty(count, dtype=np.int64)
    for step in range(count):
        fresh = np.zeros(len(bound), dtype=bool)
        while True:
            best = int(bound.argmax())
            if fresh[best]:
                break
            bound[best] = np.maximum(similarity[best] - covered, 0).sum(dtype=np.float64)
            fresh[best] = True
        chosen[step] = best
        bound[best] = -np.inf
        covered = np.maximum(covered, similarity[best])
    return chosen
