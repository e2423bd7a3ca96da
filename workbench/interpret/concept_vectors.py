"""Does the network use a concept that a person has named and shown by examples?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import stats as scipy_stats

from workbench.arrays import CATEGORY, IMAGE, UNIT, check_array, provenance, strings
from workbench.errors import InputError
from workbench.interpret.concepts import CONCEPT
from workbench.interpret.features import source_facts
from workbench.interpret.head import Head, layer_maps, units_first
from workbench.interpret.reading import category_of_images, chosen_categories, map_blocks, one_layer, unit_coordinates
from workbench.interpret.registry import interpreters
from workbench.stats import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

DRAW = "draw"
HELD_OUT = 1 / 3


@interpreters.register(
    title="Concept activation vectors (TCAV)",
    source=("kim2018",),
    access="gradients",
    returns="a direction for each named concept, and the share of images whose logit rises along it",
    signed=True,
    specificity="class",
    coverage="one layer",
    annotation="concepts",
    feedback="number",
    cost="a linear classifier a concept and draw; a gradient an image",
    note="The paper's t-test takes draws against one set of examples for independent; ours ranks random concepts.",
    parameters={"draws": ("int", 20, 5, 100)},
)
def concept_vectors(
    store: Activations,
    examples: Mapping[str, Any],
    *,
    head: Head,
    layer: str | None = None,
    labels: Any = "predicted",
    categories: Sequence[str] | None = None,
    pool: Any = None,
    draws: int = 20,
    random_concepts: int = 199,
    level: float = 0.05,
    images_per_category: int = 100,
    seed: int = 0,
) -> xr.Dataset:
    """Find each concept's direction in a layer, and test whether categories depend on it.

    For each draw, a linear classifier on the units' means over positions tells the concept's examples from equally
    many random images of the pool; its normal is the concept's vector. The score of a category is the share of its
    images whose logit rises along the vector; its sensitivity is by how much, on average.

    Sets of random images, as large as the smallest concept, are treated as concepts too. A concept is used by a
    category where its sensitivity is larger than that of random concepts (by rank, with Benjamini-Hochberg over all
    concepts and categories). The published test compares the scores of all draws by Welch's t-test; it is given as
    ``t_test``, but its draws share one set of examples, and a score of 0 or 1 comes easily to any direction, so that it
    finds random sets of images significant as well.

    Args:
        store: an activation store, or other activations.
        examples: name of a concept to the images that show it: positions in the store, or (image) bool.
        head: the network behind the layer, ``Head(model, layer)``.
        layer: the layer's name; may be left out where there is but one.
        labels: ``"predicted"``, ``"true"``, or (image) integers, -1 to leave an image out.
        categories: names of the categories to test; all that have images where omitted.
        pool: images from which the random ones are drawn, as in ``examples``; all images where omitted. Those that
            show the concept are left out.
        draws: random counterparts of each concept.
        random_concepts: sets of random images; the smallest p-value is one over one more than that.
        level: false discovery rate at which a concept counts as used.
        images_per_category: at most so many images give the score.
        seed: of all draws.

    Returns:
        Dataset: ``vector`` (concept, draw, unit) of unit length; ``accuracy`` (concept, draw) of the classifier on a
        third of the images, kept out of training; ``score`` (concept, draw, category) and ``random_score``
        (random_concept, category) in [0, 1]; ``value`` (concept, category), the mean score; ``sensitivity`` (concept,
        category) and ``random_sensitivity`` (random_concept, category), the mean slope of the logit; ``p_value``,
        ``adjusted``, ``used`` and ``t_test`` (concept, category).

    Raises:
        InputError: fewer than six examples or random images, examples out of range, or a parameter out of range.
        UnknownNameError: no such layer or category.
        StoreMismatchError: the head does not belong to these maps.

    Source: [kim2018]
    """
    name = one_layer(store, layer)
    head.check(store)
    if min(draws, random_concepts) < 2 or not 0 < level < 1 or images_per_category < 1:
        raise InputError(
            f"draws is {draws}, random_concepts {random_concepts}, level {level} and images_per_category "
            f"{images_per_category}; expected at least 2 of the first two, a level in (0, 1), and at least 1 image."
        )
    if not examples:
        raise InputError("examples is empty; expected at least one concept with images that show it.")
    generator = np.random.default_rng(seed)
    count = len(store.identifiers)
    everything = np.arange(count) if pool is None else _positions(pool, count, "pool")
    pooled = np.concatenate([values.mean(axis=2) for _, values in map_blocks(store, name)]).astype(np.float64)
    trained = {
        concept: _train(pooled, _positions(chosen, count, concept), everything, concept, draws, generator)
        for concept, chosen in examples.items()
    }
    smallest = min(len(_positions(chosen, count, concept)) for concept, chosen in examples.items())
    chance = _train_random(pooled, everything, smallest, random_concepts, generator)
    slopes, names = _slopes(store, name, head, labels, categories, images_per_category, generator)
    vectors = np.stack([vector for vector, _ in trained.values()])
    score = np.stack([[(slope @ vectors[c].T > 0).mean(axis=0) for slope in slopes] for c in range(len(vectors))])
    random_score = np.stack([(slope @ chance.T > 0).mean(axis=0) for slope in slopes])
    mean_slopes = np.stack([slope.mean(axis=0) for slope in slopes])
    sensitivity, random_sensitivity = vectors.mean(axis=1) @ mean_slopes.T, chance @ mean_slopes.T
    # the set of examples is one draw from the images: it is ranked among sets of random images, each one draw too
    larger = np.abs(random_sensitivity)[None] >= np.abs(sensitivity)[:, None]
    p_value = (1 + larger.sum(axis=1)) / (1 + random_concepts)
    result = xr.Dataset(
        {
            "vector": ((CONCEPT, DRAW, UNIT), vectors),
            "accuracy": ((CONCEPT, DRAW), np.stack([accuracy for _, accuracy in trained.values()])),
            "score": ((CONCEPT, DRAW, CATEGORY), score.swapaxes(1, 2)),
            "random_score": (("random_concept", CATEGORY), random_score.T),
            "value": ((CONCEPT, CATEGORY), score.mean(axis=2)),
            "sensitivity": ((CONCEPT, CATEGORY), sensitivity),
            "random_sensitivity": (("random_concept", CATEGORY), random_sensitivity),
            "t_test": ((CONCEPT, CATEGORY), _welch(score, random_score)),
            "p_value": ((CONCEPT, CATEGORY), p_value),
            "adjusted": ((CONCEPT, CATEGORY), benjamini_hochberg(p_value)),
        },
        coords={CONCEPT: strings(examples), CATEGORY: strings(names), **unit_coordinates(name, pooled.shape[1])},
    )
    result["used"] = result["adjusted"] <= level
    return result.assign_attrs(
        provenance(
            method="concept_vectors", layers=[name], level=level, draws=draws, seed=seed, **source_facts(store, [name])
        )
    )


def _positions(chosen: Any, count: int, name: str) -> NDArray[np.int64]:
    array = check_array(chosen, name=f"the images of {name!r}", dims=(IMAGE,), kinds="biu")
    if array.dtype.kind == "b":
        if len(array) != count:
            raise InputError(f"the images of {name!r} are {len(array)} truth values for {count} images.")
        array = np.flatnonzero(array)
    positions = np.unique(array).astype(np.int64)
    if len(positions) and (positions[0] < 0 or positions[-1] >= count):
        raise InputError(f"the images of {name!r} reach from {positions[0]} to {positions[-1]}; there are {count}.")
    return positions


def _train(
    pooled: NDArray[np.float64],
    shown: NDArray[np.int64],
    everything: NDArray[np.int64],
    concept: str,
    draws: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    others = np.setdiff1d(everything, shown)
    if min(len(shown), len(others)) < 6:
        raise InputError(
            f"concept {concept!r} has {len(shown)} examples and {len(others)} other images; a classifier needs at "
            "least 6 of each, and many more to be trusted."
        )
    size = min(len(shown), len(others))
    found = [
        _classify(pooled, generator.permutation(shown)[:size], generator.permutation(others)[:size], generator)
        for _ in range(draws)
    ]
    return np.stack([vector for vector, _ in found]), np.array([accuracy for _, accuracy in found])


def _train_random(
    pooled: NDArray[np.float64],
    everything: NDArray[np.int64],
    wanted: int,
    draws: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    size = min(wanted, len(everything) // 2)
    vectors = []
    for _ in range(draws):
        shuffled = generator.permutation(everything)
        vectors.append(_classify(pooled, shuffled[:size], shuffled[size : 2 * size], generator)[0])
    return np.stack(vectors)


def _classify(
    pooled: NDArray[np.float64],
    shown: NDArray[np.int64],
    others: NDArray[np.int64],
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], float]:
    """The unit normal that points to the concept, and the accuracy on images kept out."""
    from sklearn.linear_model import RidgeClassifier

    kept_out = max(1, round(len(shown) * HELD_OUT))
    first, second = generator.permutation(shown), generator.permutation(others)
    learn = np.concatenate([first[kept_out:], second[kept_out:]])
    judge = np.concatenate([first[:kept_out], second[:kept_out]])
    learn_truth = np.repeat([1, 0], [len(first) - kept_out, len(second) - kept_out])
    spread = pooled[learn].std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)  # a unit that never varies cannot tell anything
    model = RidgeClassifier(alpha=1.0).fit(pooled[learn] / scale, learn_truth)
    accuracy = float((model.predict(pooled[judge] / scale) == np.repeat([1, 0], kept_out)).mean())
    vector = np.ravel(model.coef_) / scale
    length = np.linalg.norm(vector)
    return (vector / length if length > 0 else vector), accuracy


def _slopes(
    store: Activations,
    layer: str,
    head: Head,
    labels: Any,
    categories: Sequence[str] | None,
    most: int,
    generator: np.random.Generator,
) -> tuple[list[NDArray[np.float32]], list[str]]:
    """For each category (image, unit): how its logit rises with the unit, at every position alike."""
    category, names = category_of_images(store, labels)
    slopes, kept = [], []
    for each in chosen_categories(categories, names, category):
        indices = np.sort(generator.permutation(np.flatnonzero(category == each))[:most])
        gradient = head.gradients(layer_maps(store, layer, indices), each)
        slopes.append(units_first(gradient, store, layer).sum(axis=2))
        kept.append(names[each])
    return slopes, kept


def _welch(score: NDArray[np.float64], random_score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Welch's p-values (concept, category); where neither side varies, equal means give 1 and different ones 0."""
    means, chance = score.mean(axis=2), random_score.mean(axis=1)
    spreads, chance_spread = (
        np.where(np.ptp(x, axis=-1) > 0, x.std(axis=-1, ddof=1), 0.0) for x in (score, random_score)
    )
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 where neither side varies: decided below
        p_values = scipy_stats.ttest_ind_from_stats(
            means, spreads, score.shape[2], chance, chance_spread, random_score.shape[1], equal_var=False
        ).pvalue
    still = (spreads == 0) & (chance_spread == 0)
    return np.asarray(np.where(still, (np.abs(means - chance) < 1e-12).astype(float), p_values))
