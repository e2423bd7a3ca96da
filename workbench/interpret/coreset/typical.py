"""Selectors that keep the distribution: at random, near the median distance, by matching the mean or all moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.interpret.coreset.distances import blocks, squared_distances
from workbench.interpret.coreset.registry import selectors

if TYPE_CHECKING:
    from numpy.typing import NDArray


@selectors.register(
    title="Random",
    source=(),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="nothing",
    note="The selector to beat.",
)
def random(features: NDArray[np.float32], count: int, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose at random, each image once at most.

    Args:
        features: (image, feature) float32; only their number matters.
        count: images to choose.
        generator: source of chance.

    Returns:
        (count) int64 positions.
    """
    return generator.permutation(len(features))[:count].astype(np.int64)


@selectors.register(
    title="Moderate coreset",
    source=("xia2023",),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="one distance an image",
)
def moderate(features: NDArray[np.float32], count: int, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose the images whose distance to the median vector is nearest to the median of those distances.

    Args:
        features: (image, feature) float32.
        count: images to choose.
        generator: not used: nothing is left to chance.

    Returns:
        (count) int64 positions.

    Source: [xia2023]
    """
    distances = np.linalg.norm(features - np.median(features, axis=0), axis=1)
    return np.argsort(np.abs(distances - np.median(distances)), kind="stable")[:count].astype(np.int64)


@selectors.register(
    title="Herding",
    source=("welling2009",),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="a product of all features with a vector, for each chosen image",
)
def herding(features: NDArray[np.float32], count: int, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose one after the other, such that the mean of the chosen stays close to the mean of all.

    Args:
        features: (image, feature) float32.
        count: images to choose.
        generator: not used: nothing is left to chance.

    Returns:
        (count) int64 positions.

    Source: [welling2009]
    """
    centred = features - features.mean(axis=0)
    # nearness of the mean after adding x is ||(sum + x) / t||: smallest where 2 <sum, x> + ||x||^2 is
    own = np.einsum("ij,ij->i", centred, centred)
    along = np.zeros(len(centred), dtype=np.float32)
    free = np.ones(len(centred), dtype=bool)
    chosen = np.empty(count, dtype=np.int64)
    for step in range(count):
        chosen[step] = int(np.argmin(np.where(free, 2 * along + own, np.inf)))
        free[chosen[step]] = False
        along += centred @ centred[chosen[step]]
    return chosen


@selectors.register(
    title="Kernel herding on pooled means and maxima",
    source=("chen2010",),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="a product of all features with a vector, for each chosen image, and with the references once",
    note="Give it pool='both'. Beyond references images the mean embedding is estimated from that many at random.",
)
def kernel_herding(
    features: NDArray[np.float32], count: int, *, generator: np.random.Generator, references: int = 2048
) -> NDArray[np.int64]:
    """Choose one after the other, such that the distribution of the chosen stays close to the distribution of all.

    Closeness is the maximum mean discrepancy with a Gaussian kernel on standardised features, its width the median
    distance: means, variances and joint activity of units are matched, not the mean alone as in herding. What
    interpretation methods read (who fires, with whom, how often strongly) is in pooled means and maxima together.

    Args:
        features: (image, feature) float32.
        count: images to choose.
        generator: source of chance, where references are drawn.
        references: images that stand for all where there are more.

    Returns:
        (count) int64 positions.

    Source: [chen2010]
    """
    spread = features.std(axis=0)
    points = np.divide(features - features.mean(axis=0), spread, out=np.zeros_like(features), where=spread > 0)
    total = len(points)
    some = np.arange(total) if total <= references else np.sort(generator.choice(total, references, replace=False))
    probe = squared_distances(points[some[:512]], points[some[-512:]])
    width = max(float(np.median(probe)), float(np.finfo(np.float32).tiny))
    expected = np.empty(total)
    for block in blocks(total, len(some)):
        kernel = np.exp(-squared_distances(points[block], points[some]) / width)
        expected[block] = kernel.mean(axis=1, dtype=np.float64)
    own = np.einsum("ij,ij->i", points, points)
    near = np.zeros(total)
    free = np.ones(total, dtype=bool)
    chosen = np.empty(count, dtype=np.int64)
    for step in range(count):
        # the discrepancy after adding x, up to a constant: 2 sum k(x, chosen) - 2 (t + 1) mean k(x, all)
        best = int(np.argmin(np.where(free, near - (step + 1) * expected, np.inf)))
        chosen[step], free[best] = best, False
        squared = np.maximum(own + own[best] - 2 * (points @ points[best]), 0)
        near += np.exp(-squared / width)
    return chosen
