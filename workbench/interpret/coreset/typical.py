"""Selectors that keep the distribution: at random, near the median distance, and by matching the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
