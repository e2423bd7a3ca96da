"""Interpretations that can be made from some images and compared with those from others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InputError, unknown_name
from workbench.interpret.activations import Activations, select
from workbench.interpret.concepts import Negative, factorise
from workbench.interpret.dissection import aligned_masks, dissect
from workbench.interpret.features import unit_features
from workbench.interpret.reading import category_of_images, one_layer
from workbench.interpret.relevant_units import relevant_units_of_features
from workbench.interpret.rules import rules
from workbench.stats import cosine, jaccard, matched_cosine, overlap_at_k, rank_biased_overlap, shape_similarity

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


Similarity = Callable[["NDArray[np.float64]", "NDArray[np.float64]"], float]


@dataclass(frozen=True)
class Subject:
    """An interpretation method on one store, ready to be run on any of its images.

    Attributes:
        name: of the method.
        interpret: takes (image) indices and weights (or None) and gives the interpretation as one array.
        similarity: how alike two such arrays are, 1 for the same.
        chance: an array like the given one but of random units, for the floor.
        category: (image) the category of each image, for splits and for choosing within categories.
        facts: what identifies the subject, for provenance and for resuming.
    """

    name: str
    interpret: Callable[[NDArray[np.int64], NDArray[np.float64] | None], NDArray[np.float64]]
    similarity: Similarity
    chance: Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]
    category: NDArray[np.int64]
    facts: Mapping[str, Any] = field(default_factory=dict)


def subject(method: str, store: Activations, *, labels: Any = "predicted", **options: Any) -> Subject:
    """Prepare an interpretation method for being run on many subsets of a store.

    Args:
        method: ``"relevant_units"``, ``"concepts"``, ``"rules"`` or ``"dissect"``.
        store: an activation store.
        labels: ``"predicted"``, ``"true"`` or (image) integers.
        **options: of the method: ``similarity`` (relevant_units, rules: ``"cosine"``, ``"jaccard"``, ``"overlap"``,
            ``"rank biased overlap"``; concepts: ``"matched cosine"``, ``"shape"``; dissect: ``"cosine"``); ``heatmaps``
            for rules and ``masks`` for dissect, which they need; and whatever else the method takes.

    Returns:
        The subject.

    Raises:
        UnknownNameError: no such method or similarity.
        InputError: what a method needs is missing.
    """
    if method not in BUILDERS:
        raise unknown_name("interpretation method for a coreset curve", method, BUILDERS)
    category, names = category_of_images(store, labels)
    return BUILDERS[method](store, category, names, **options)


def _relevant_units(
    store: Activations,
    category: NDArray[np.int64],
    names: tuple[str, ...],
    *,
    similarity: str = "cosine",
    layers: Any = None,
    normalisation: Any = "norm",
    sparsity: float | None = None,
    units_per_category: float = 5.0,
) -> Subject:
    features = unit_features(store, layers=layers, normalisation=normalisation)
    if sparsity is None:
        # one bound for all subsets, or differences of the bound would be taken for differences of the images
        whole = relevant_units_of_features(features, category, categories=names, units_per_category=units_per_category)
        sparsity = float(whole.attrs["sparsity"])

    def interpret(indices: NDArray[np.int64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        some = features.isel(image=indices)
        found = relevant_units_of_features(
            some, category[indices], categories=names, sparsity=sparsity, weights=weights
        )
        return np.asarray(found["weight"].values)

    facts = {"similarity": similarity, "normalisation": normalisation, "sparsity": sparsity}
    return Subject(
        "relevant_units", interpret, weight_similarity(similarity), permuted_units, category, {**facts, **_of(features)}
    )


def _concepts(
    store: Activations,
    category: NDArray[np.int64],
    names: tuple[str, ...],
    *,
    similarity: str = "matched cosine",
    layer: str | None = None,
    count: int = 10,
    negative: Negative = "refuse",
    most_positions: int = 50_000,
    iterations: int = 400,
) -> Subject:
    name = one_layer(store, layer)
    if similarity not in ("matched cosine", "shape"):
        raise unknown_name("similarity", similarity, ("matched cosine", "shape"))
    present = np.unique(category[category >= 0])

    def interpret(indices: NDArray[np.int64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        if weights is not None:
            raise InputError("Concepts are found without weights; pass weighted=False.")
        # the directions alone: what is reported of them besides would cost as much again
        found = [
            factorise(
                store,
                name,
                np.sort(indices[category[indices] == each]),
                names[each],
                count,
                negative,
                most_positions,
                iterations,
                seed=0,
            )
            for each in present
        ]
        return np.stack([factors.directions for factors in found]).astype(np.float64)

    def compare(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        if similarity == "shape":
            values = [shape_similarity(a.T, b.T) for a, b in zip(first, second, strict=True)]
        else:
            values = [matched_cosine(a, b) for a, b in zip(first, second, strict=True)]
        return float(np.mean(values))

    facts = {"similarity": similarity, "layer": name, "count": count, "negative": negative, **_of_store(store, name)}
    return Subject("concepts", interpret, compare, permuted_units, category, facts)


def _rules(
    store: Activations,
    category: NDArray[np.int64],
    names: tuple[str, ...],
    *,
    heatmaps: xr.DataArray | None = None,
    similarity: str = "cosine",
    layer: str | None = None,
    **options: Any,
) -> Subject:
    name = one_layer(store, layer)
    if heatmaps is None:
        raise InputError("Rules need heatmaps= (image, y, x), what explains each image's prediction.")

    def interpret(indices: NDArray[np.int64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        if weights is not None:
            raise InputError("Rules are found without weights; pass weighted=False.")
        found = rules(
            select(store, indices), heatmaps.isel(image=indices), layer=name, labels=category[indices], **options
        )
        return np.asarray(found["weight"].values)

    facts = {"similarity": similarity, "layer": name, **options, **_of_store(store, name)}
    return Subject("rules", interpret, weight_similarity(similarity), permuted_units, category, facts)


def _dissect(
    store: Activations,
    category: NDArray[np.int64],
    names: tuple[str, ...],
    *,
    masks: xr.DataArray | None = None,
    similarity: str = "cosine",
    layer: str | None = None,
    **options: Any,
) -> Subject:
    name = one_layer(store, layer)
    if masks is None:
        raise InputError("Dissection needs masks= (image, part, y, x) bool of the store's images.")
    if similarity != "cosine":
        raise unknown_name("similarity", similarity, ("cosine",))
    aligned, positions = aligned_masks(store, masks)
    if len(positions) != len(store.identifiers) or (np.diff(positions) != 1).any():
        raise InputError("For a coreset curve the masks must be of all images of the store, in its order.")

    def interpret(indices: NDArray[np.int64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        if weights is not None:
            raise InputError("Units are dissected without weights; pass weighted=False.")
        some = aligned.isel(image=indices).drop_vars("image", errors="ignore")
        found = dissect(select(store, indices), some, layer=name, **options)
        return np.asarray(np.nan_to_num(found["iou"].values))

    facts = {"similarity": similarity, "layer": name, **options, **_of_store(store, name)}
    return Subject("dissect", interpret, mean_cosine, _permuted_rows, category, facts)


def weight_similarity(name: str, *, k: int = 5) -> Similarity:
    """How alike the units of two interpretations are, on average over categories.

    Args:
        name: ``"cosine"`` of the weights, ``"jaccard"`` of the sets of units with a weight above zero, ``"overlap"`` of
            the ``k`` largest, or ``"rank biased overlap"`` of the units with a weight, ranked.
        k: for the overlap.

    Returns:
        A function of two arrays (category, unit).

    Raises:
        UnknownNameError: no such similarity.
    """
    known: dict[str, Similarity] = {
        "cosine": mean_cosine,
        "jaccard": lambda a, b: _mean(a, b, lambda x, y: jaccard(_positive(x), _positive(y))),
        "overlap": lambda a, b: float(overlap_at_k(a, b, k=min(k, a.shape[1])).mean()),
        "rank biased overlap": lambda a, b: _mean(a, b, lambda x, y: rank_biased_overlap(_ranked(x), _ranked(y))),
    }
    if name not in known:
        raise unknown_name("similarity", name, known)
    return known[name]


def mean_cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mean cosine of the rows; a row of zeros agrees with another, and with nothing else.

    Args:
        first: (row, entry) float64.
        second: (row, entry) float64.

    Returns:
        In [-1, 1].
    """
    empty = ~first.any(axis=1) & ~second.any(axis=1)
    values = np.nan_to_num(cosine(first, second), nan=0.0)
    return float(np.where(empty, 1.0, values).mean())


def permuted_units(result: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """The same numbers on random units: another permutation of the last axis for each entry of the first.

    Args:
        result: (category, ..., unit) float64.
        generator: source of chance.

    Returns:
        As given, permuted.
    """
    return np.stack([each[..., generator.permutation(result.shape[-1])] for each in result])


def _permuted_rows(result: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    return result[generator.permutation(len(result))]


def _mean(first: NDArray[np.float64], second: NDArray[np.float64], compare: Callable[[Any, Any], float]) -> float:
    return float(np.mean([compare(a, b) for a, b in zip(first, second, strict=True)]))


def _positive(weights: NDArray[np.float64]) -> list[int]:
    return [int(unit) for unit in np.flatnonzero(weights > 0)]


def _ranked(weights: NDArray[np.float64]) -> list[int]:
    order = np.argsort(-weights, kind="stable")
    return [int(unit) for unit in order if weights[unit] > 0]


def _of(features: xr.DataArray) -> dict[str, Any]:
    return {key: features.attrs[key] for key in IDENTITY if key in features.attrs}


def _of_store(store: Activations, layer: str) -> dict[str, Any]:
    attrs = store.dataset(layer).attrs
    return {key: attrs[key] for key in IDENTITY if key in attrs}


IDENTITY = ("model", "weights_hash", "identifiers_hash", "pixels_hash", "manifest_hash", "layers")
BUILDERS: dict[str, Callable[..., Subject]] = {
    "relevant_units": _relevant_units,
    "concepts": _concepts,
    "rules": _rules,
    "dissect": _dissect,
}
