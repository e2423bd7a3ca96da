"""Interpretations that can be made from some images and compared with those from others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import xarray as xr

from workbench.arrays import CATEGORY, IMAGE, PART, UNIT, strings
from workbench.errors import InputError, unknown_name
from workbench.interpret.activations import Activations, select
from workbench.interpret.concepts import CONCEPT, Negative, factorise
from workbench.interpret.coreset.heat import Kind, heatmap_similarity, held_out_images
from workbench.interpret.coreset.reading import reading
from workbench.interpret.dissection import aligned_masks, dissect
from workbench.interpret.features import Normalisation, unit_axis, unit_features
from workbench.interpret.patches import explained_patches
from workbench.interpret.reading import category_of_images, chosen_layers, one_layer, unit_maps
from workbench.interpret.relevant_units import relevant_units_of_features
from workbench.interpret.rules import rules
from workbench.stats import cosine, jaccard, matched_cosine, overlap_at_k, rank_biased_overlap, shape_similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


Similarity = Callable[["NDArray[np.float64]", "NDArray[np.float64]"], float]
PILOT = 512  # images from which the bound of relevant units is set, where none is given


@dataclass(frozen=True)
class Subject:
    """An interpretation method on one store, ready to be run on any of its images.

    Attributes:
        name: of the method.
        interpret: takes (image) indices and weights (or None) and gives the interpretation as one array.
        similarity: how alike two such arrays are, 1 for the same.
        chance: an array like the given one but of random units, for the floor.
        category: (image) the category of each image, for splits and for choosing within categories; -1 for images that
            are left out or held out.
        facts: what identifies the subject, for provenance and for resuming.
        reading: gives what the method reads of each image, for the selector ``target_aware``; None where unknown.
        weighable: whether ``interpret`` takes weights.
        dims: names of the axes of an interpretation: (category, unit), (category, concept, unit) or (unit, part).
        rows: the category of each entry along ``category``; all, in their order, where None.
        parts: names along ``part``.
    """

    name: str
    interpret: Callable[[NDArray[np.int64], NDArray[np.float64] | None], NDArray[np.float64]]
    similarity: Similarity
    chance: Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]
    category: NDArray[np.int64]
    facts: Mapping[str, Any] = field(default_factory=dict)
    reading: Callable[[], xr.DataArray] | None = None
    weighable: bool = False
    dims: tuple[str, ...] = (CATEGORY, UNIT)
    rows: tuple[int, ...] | None = None
    parts: tuple[str, ...] = ()


def subject(
    method: str,
    store: Activations,
    *,
    labels: Any = "predicted",
    held_out: Sequence[int] | None = None,
    **options: Any,
) -> Subject:
    """Prepare an interpretation method for being run on many subsets of a store.

    Args:
        method: ``"relevant_units"``, ``"concepts"``, ``"rules"`` or ``"dissect"``.
        store: an activation store.
        labels: ``"predicted"``, ``"true"`` or (image) integers.
        held_out: with a similarity of heatmaps, the images that they are drawn on, which no split and no coreset
            holds; a tenth of each category, 32 in all at most, where omitted.
        **options: of the method: ``similarity`` (relevant_units, rules: ``"cosine"``, ``"jaccard"``, ``"overlap"``,
            ``"rank biased overlap"``; concepts: ``"matched cosine"``, ``"shape"``; dissect: ``"cosine"``; all of them:
            ``"heatmap iou"``, ``"heatmap spearman"``); ``heatmaps`` for rules and ``masks`` for dissect, which they
            need; and whatever else the method takes.

    Returns:
        The subject.

    Raises:
        UnknownNameError: no such method or similarity.
        InputError: what a method needs is missing, or images to be held out without a similarity of heatmaps.
    """
    if method not in BUILDERS:
        raise unknown_name("interpretation method for a coreset curve", method, BUILDERS)
    category, names = category_of_images(store, labels)
    if options.get("similarity") not in get_args(Kind):
        if held_out is not None:
            raise InputError("held_out is for the similarities 'heatmap iou' and 'heatmap spearman'.")
        return BUILDERS[method](store, category, names, **options)
    kind = options.pop("similarity")
    images = held_out_images(category, held_out)
    category = category.copy()
    category[images] = -1
    found = BUILDERS[method](store, category, names, **options)
    looks = heatmap_similarity(store, found.facts["layers"], images, kind, matched=method == "concepts")
    # dissection gives (unit, part): the heatmap is the part's
    compare = (lambda first, second: looks(first.T, second.T)) if method == "dissect" else looks
    facts = {**found.facts, "similarity": kind, "held_out": images.tolist()}
    return replace(found, similarity=compare, facts=facts)


def _relevant_units(
    store: Activations,
    category: NDArray[np.int64],
    names: tuple[str, ...],
    *,
    similarity: str = "cosine",
    layers: Any = None,
    normalisation: Normalisation = "norm",
    sparsity: float | None = None,
    units_per_category: float = 5.0,
) -> Subject:
    chosen = chosen_layers(store, layers)
    features = _FeaturesAsAsked(store, chosen, normalisation)
    if sparsity is None:
        # one bound for all subsets, or differences of the bound would be taken for differences of the images
        pilot = _pilot(category)
        found = relevant_units_of_features(
            features.of(pilot), category[pilot], categories=names, units_per_category=units_per_category
        )
        sparsity = float(found.attrs["sparsity"])

    def interpret(indices: NDArray[np.int64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        found = relevant_units_of_features(
            features.of(indices), category[indices], categories=names, sparsity=sparsity, weights=weights
        )
        return np.asarray(found["weight"].values)

    return Subject(
        "relevant_units",
        interpret,
        weight_similarity(similarity),
        permuted_units,
        category,
        {"similarity": similarity, "normalisation": normalisation, "sparsity": sparsity, **_of_store(store, chosen)},
        reading=lambda: reading(store, "relevant_units", layers=chosen, normalisation=normalisation, sparsity=sparsity),
        weighable=True,
    )


class _FeaturesAsAsked:
    """Features of the images that were asked for; the maps of no other image are read."""

    def __init__(self, store: Activations, layers: Sequence[str], normalisation: Normalisation) -> None:
        self._store, self._layers, self._normalisation = store, tuple(layers), normalisation
        units = len(unit_axis(store, self._layers)["index"][1])
        self._values = np.empty((len(store.identifiers), units), dtype=np.float32)
        self._known = np.zeros(len(self._values), dtype=bool)
        self._lock = threading.Lock()

    def of(self, indices: NDArray[np.int64]) -> xr.DataArray:
        """(image, unit) float32 of the images at these positions, in their order."""
        with self._lock:
            missing = np.unique(indices[~self._known[indices]])
            if len(missing):
                read = unit_features(
                    select(self._store, missing), layers=self._layers, normalisation=self._normalisation
                )
                self._values[missing], self._known[missing] = read.values, True
        return xr.DataArray(
            self._values[indices],
            dims=(IMAGE, UNIT),
            attrs={"normalisation": self._normalisation, "layers": list(self._layers)},
        )


def _pilot(category: NDArray[np.int64]) -> NDArray[np.int64]:
    """Some images, of each category its share and two at least; all where they are few."""
    members = np.flatnonzero(category >= 0)
    if len(members) <= PILOT:
        return members
    generator = np.random.default_rng(0)
    parts = []
    for each in np.unique(category[members]):
        own = generator.permutation(np.flatnonzero(category == each))
        parts.append(own[: max(2, round(PILOT * len(own) / len(members)))])
    return np.sort(np.concatenate(parts))


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

    facts = {"similarity": similarity, "count": count, "negative": negative, **_of_store(store, [name])}
    return Subject(
        "concepts",
        interpret,
        compare,
        permuted_units,
        category,
        facts,
        reading=lambda: reading(store, "concepts", layers=name),
        dims=(CATEGORY, CONCEPT, UNIT),
        rows=tuple(int(each) for each in present),
    )


def _rules(
    store: Activations,
    category: NDArray[np.int64],
    names: tuple[str, ...],
    *,
    heatmaps: xr.DataArray | None = None,
    similarity: str = "cosine",
    layer: str | None = None,
    size: int = 56,
    most_patches: int = 10,
    margin: int | None = None,
    top_units: int = 10,
    **options: Any,
) -> Subject:
    name = one_layer(store, layer)
    if heatmaps is None:
        raise InputError("Rules need heatmaps= (image, y, x), what explains each image's prediction.")
    # patches are found in each image by itself, so once is enough for all subsets
    named = heatmaps
    if IMAGE not in heatmaps.coords and heatmaps.sizes.get(IMAGE) == len(store.identifiers):
        named = heatmaps.assign_coords({IMAGE: strings(store.identifiers)})
    patches = explained_patches(named, size=size, most=most_patches, margin=margin)
    position = {str(identifier): index for index, identifier in enumerate(store.identifiers)}
    owner = np.array([position.get(str(image), -1) for image in patches["image"].values], dtype=np.int64)
    patches, owner = patches.isel(patch=np.flatnonzero(owner >= 0)), owner[owner >= 0]

    def interpret(indices: NDArray[np.int64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        if weights is not None:
            raise InputError("Rules are found without weights; pass weighted=False.")
        some = patches.isel(patch=np.flatnonzero(np.isin(owner, indices)))
        found = rules(
            select(store, indices),
            named,
            layer=name,
            labels=category[indices],
            top_units=top_units,
            patches=some,
            **options,
        )
        return np.asarray(found["weight"].values)

    facts = {
        "similarity": similarity,
        "size": size,
        "most_patches": most_patches,
        "margin": margin,
        "top_units": top_units,
        **options,
        **_of_store(store, [name]),
    }
    return Subject(
        "rules",
        interpret,
        weight_similarity(similarity),
        permuted_units,
        category,
        facts,
        reading=lambda: reading(store, "rules", layers=name, patches=patches, top_units=top_units),
    )


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
    units = unit_maps(store, name).sizes[UNIT]

    def interpret(indices: NDArray[np.int64], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        some = aligned.isel(image=indices).drop_vars("image", errors="ignore")
        counted = some if weights is None else some.isel(image=np.flatnonzero(weights > 0))
        if not bool(counted.any()):
            # images that show no part say nothing of any unit: a poor answer, and no reason to end a curve
            return np.zeros((units, aligned.sizes[PART]))
        found = dissect(select(store, indices), some, layer=name, weights=weights, **options)
        return np.asarray(np.nan_to_num(found["iou"].values))

    facts = {"similarity": similarity, **options, **_of_store(store, [name])}
    return Subject(
        "dissect",
        interpret,
        mean_cosine,
        _permuted_rows,
        category,
        facts,
        reading=lambda: reading(store, "dissect", layers=name, quantile=float(options.get("quantile", 0.995))),
        weighable=True,
        dims=(UNIT, PART),
        parts=tuple(str(part) for part in aligned[PART].values),
    )


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


def _of_store(store: Activations, layers: Sequence[str]) -> dict[str, Any]:
    attrs = store.dataset(layers[0]).attrs
    return {**{key: attrs[key] for key in IDENTITY if key in attrs}, "layers": list(layers)}


IDENTITY = ("model", "weights_hash", "identifiers_hash", "pixels_hash", "manifest_hash")
BUILDERS: dict[str, Callable[..., Subject]] = {
    "relevant_units": _relevant_units,
    "concepts": _concepts,
    "rules": _rules,
    "dissect": _dissect,
}
