"""What units are called: by what they answer to, by captions, by dissection; and graphs whose units are called so."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import UNIT, provenance, strings
from workbench.errors import InputError, ShapeError
from workbench.interpret.activations import observe
from workbench.interpret.reading import unit_coordinates
from workbench.interpret.relations.activity import unit_activity
from workbench.interpret.relations.chance import fisher_tail
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.table import EDGE
from workbench.stats import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations
    from workbench.models import ImageModel

CHANGE, GROUP = "change", "group"
NOTHING = ""
LEAST_IMAGES = 8  # that have a phrase, and that have it not
# words that say nothing by themselves
EMPTY = frozenset(
    ["a", "an", "and", "at", "by", "for", "from", "in", "is", "it", "of", "on", "or", "the", "to", "with"]
)


def answers_to(
    model: ImageModel,
    images: Any,
    changed: Mapping[str, Any],
    *,
    layer: str,
    groups: Mapping[str, Sequence[int]] | None = None,
    categories: Sequence[str] = (),
    batch_size: int = 64,
) -> xr.Dataset:
    """Name units by what must be changed in pictures for them to change.

    A unit answers to what moves its maximum most, on average over the pictures; where groups are given, to that of the
    group in which it moves it most: units of two models that were trained apart get the same name where they do the
    same.

    Args:
        model: the model.
        images: pictures, as ``model.prepare`` takes them.
        changed: what was changed (a watermark, an object) to the same pictures with that changed, in the same order.
        layer: whose units.
        groups: what was changed to (image) integers: of which category it is in each picture, -1 for none.
        categories: names of the categories that ``groups`` counts.
        batch_size: pictures a pass.

    Returns:
        Dataset: ``name`` (unit), ``"watermark"`` or, with groups, ``"watermark of star"``; "" for units that nothing
        moves. ``moved`` (change, unit) float64, the mean distance that the unit's maximum moves.

    Raises:
        InputError: nothing was changed, or a group that has no name.
        ShapeError: other numbers of pictures or group members than of images.
        UnknownNameError: no such layer.
    """
    if not changed:
        raise InputError("changed is empty; expected at least one thing that was changed, with the changed pictures.")
    base = _maxima(model, images, layer, batch_size)
    distance = {}
    for name, pictures in changed.items():
        other = _maxima(model, pictures, layer, batch_size)
        if other.shape != base.shape:
            raise ShapeError(
                f"There are {len(base)} pictures, and {len(other)} with {name!r} changed; expected as many."
            )
        distance[name] = np.abs(other - base)
    moved = np.stack([each.mean(axis=0) for each in distance.values()])
    member = {name: _members(name, values, len(base), len(categories)) for name, values in (groups or {}).items()}
    kinds = list(changed)
    names = []
    for unit, best in enumerate(moved.argmax(axis=0)):
        kind = kinds[best]
        if moved[best, unit] == 0:
            names.append(NOTHING)
        elif kind in member:
            there = [code for code in range(len(categories)) if (member[kind] == code).any()]
            of = max(there, key=lambda code: distance[kind][member[kind] == code, unit].mean())
            names.append(f"{kind} of {categories[of]}")
        else:
            names.append(kind)
    return xr.Dataset(
        {"name": (UNIT, strings(names)), "moved": ((CHANGE, UNIT), moved)},
        coords={CHANGE: strings(kinds)},
        attrs=provenance(method="relations.answers_to", layer=layer, model=model.name, weights_hash=model.weights_hash),
    )


def _maxima(model: ImageModel, images: Any, layer: str, batch_size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    seen = observe(model, images, layers=layer, batch_size=batch_size)
    return np.asarray(seen.dataset(layer)["max"].values, dtype=np.float64)


def _members(name: str, values: Sequence[int], count: int, known: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    codes = np.asarray(values)
    if codes.shape != (count,):
        raise ShapeError(
            f"groups[{name!r}] has shape {codes.shape}; expected one category for each of {count} pictures."
        )
    if codes.max(initial=-1) >= known or not (codes >= 0).any():
        raise InputError(f"groups[{name!r}] counts {codes.max(initial=-1) + 1} categories; {known} have names.")
    return codes.astype(np.int64)


def captioned(
    store: Activations, captions: Sequence[str], *, layer: str, quantile: float = 0.8, q: float = 0.05
) -> xr.Dataset:
    """Name units by the words of captions: the phrase that goes with a unit's activity most.

    A phrase is a word, or two that stand next to each other; words such as "of" do not count. A name says in which
    images a unit is active, not what in them it answers to.

    Args:
        store: activations.
        captions: (image) one text for each image of the store, in its order.
        layer: whose units.
        quantile: in which images a unit is active, see :func:`association_edges`.
        q: the false discovery rate over all units and phrases, by Fisher's exact test, in (0, 1].

    Returns:
        Dataset on ``unit`` with the coordinates ``layer`` and ``index``: ``name``, the significant phrase whose
        correlation with the activity is greatest, "" for none; ``correlation`` (phi) and ``q_value`` of it, NaN for
        none.

    Raises:
        ShapeError: another number of captions than of images.
        InputError: no phrase that 8 images have and 8 have not, or a quantile or q out of range.
        UnknownNameError: no such layer.

    Source: [fisher1922]
    """
    if not 0 < q <= 1:
        raise InputError(f"q is {q}; expected above 0 and at most 1.")
    activity = unit_activity(store, layer, quantile=quantile)
    active = activity.active
    if len(captions) != len(active):
        raise ShapeError(f"There are {len(captions)} captions and {len(active)} images; expected one for each image.")
    phrases, said = _phrases(captions)
    count, units = len(active), active.shape[1]
    both = active.T.astype(np.int64) @ said
    first, second = (
        np.broadcast_to(active.sum(axis=0)[:, None], both.shape),
        np.broadcast_to(said.sum(axis=0), both.shape),
    )
    chance = fisher_tail(both.ravel(), first.ravel(), second.ravel(), count)
    q_value = benjamini_hochberg(chance).reshape(both.shape)
    spread = np.sqrt(first * (count - first) * second.astype(np.float64) * (count - second))
    correlation = np.divide(count * both - first * second, spread, out=np.zeros(both.shape), where=spread > 0)
    best = np.where(q_value <= q, correlation, -1.0)
    chosen = best.argmax(axis=1)  # of equals the first, and longer phrases come first
    found = best.max(axis=1) > 0
    rows = np.arange(units)
    return xr.Dataset(
        {
            "name": (
                UNIT,
                strings(phrases[each] if there else NOTHING for each, there in zip(chosen, found, strict=True)),
            ),
            "correlation": (UNIT, np.where(found, correlation[rows, chosen], np.nan)),
            "q_value": (UNIT, np.where(found, q_value[rows, chosen], np.nan)),
        },
        coords=unit_coordinates(layer, units),
        attrs=provenance(method="relations.captioned", layer=layer, quantile=quantile, q=q),
    )


def _phrases(captions: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Phrases that some images have and some have not, those of two words first; and (image, phrase) 0 or 1."""
    images: dict[str, set[int]] = defaultdict(set)
    for image, caption in enumerate(captions):
        for clause in re.split(r"[^\w\s'-]+", caption.lower()):
            words = clause.split()
            for word in words:
                images[word].add(image)
            for one, other in pairwise(words):
                if not EMPTY & {one, other}:
                    images[f"{one} {other}"].add(image)
    known = sorted(
        (each for each, there in images.items() if each not in EMPTY and _told_apart(len(there), len(captions))),
        key=lambda each: (-len(each.split()), each),
    )
    if not known:
        raise InputError(
            f"No phrase of the {len(captions)} captions is in at least {LEAST_IMAGES} of them and missing in as many; "
            "give more images, or captions that differ."
        )
    table = np.zeros((len(captions), len(known)), dtype=np.int64)
    for column, each in enumerate(known):
        table[sorted(images[each]), column] = 1
    return known, table


def _told_apart(having: int, count: int) -> bool:
    return LEAST_IMAGES <= having <= count - LEAST_IMAGES


def names_of(named: xr.Dataset) -> dict[tuple[str, int], str]:
    """The names of a layer's units, as graphs, sentences and drawings take them.

    Args:
        named: what :func:`~workbench.interpret.dissect`, :func:`captioned` or :func:`answers_to` gives.

    Returns:
        Layer and index of each unit that has a name, to the name.

    Raises:
        InputError: a dataset without names of units.

    >>> graph = graph.named(relations.names_of(dissected))      # doctest: +SKIP
    """
    column = next((each for each in ("label", "name") if each in named and named[each].dims == (UNIT,)), None)
    if column is None:
        raise InputError(
            f"The dataset has neither 'label' nor 'name' of units, but {', '.join(map(str, named.data_vars))}; "
            "expected what interpret.dissect, relations.captioned or relations.answers_to gives."
        )
    count = named.sizes[UNIT]
    layers = named["layer"].values if "layer" in named.coords else [named.attrs.get("layer", NOTHING)] * count
    indices = named["index"].values if "index" in named.coords else range(count)
    names = zip(layers, indices, named[column].values, strict=True)
    return {(str(layer), int(index)): str(name) for layer, index, name in names if name}


def with_names(graph: RelationGraph, names: Mapping[tuple[str, int], str]) -> RelationGraph:
    """The same graph, its units called by names.

    Args:
        graph: the graph.
        names: (layer, index) to name; ends that are not in it keep what they are called.

    Returns:
        A graph with these names.
    """
    columns = {}
    for role in ("source", "target", "partner"):
        ends = zip(
            graph.column(f"{role}_layer"), graph.column(f"{role}_unit"), graph.column(f"{role}_name"), strict=True
        )
        called = [names.get((str(layer), int(unit)), str(own)) for layer, unit, own in ends]
        columns[f"{role}_name"] = (EDGE, strings(called))
    return RelationGraph(graph.dataset.assign(columns))
