"""Causal and concept edges between several pairs of layers, as kinds of relations that can be discovered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arrays import UNIT
from workbench.errors import InputError
from workbench.interpret.concepts import factorise
from workbench.interpret.reading import unit_maps
from workbench.interpret.relations.causal import causal_edges
from workbench.interpret.relations.concept_edges import concept_edges
from workbench.interpret.relations.evidence import adjusted
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.kinds import check_store, relation_kinds
from workbench.interpret.relations.phases import share
from workbench.interpret.relations.table import EDGE, NO_UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from workbench.explain.progress import Report, Stop
    from workbench.interpret.activations import Activations
    from workbench.models import ImageModel


@relation_kinds.register(
    "causal",
    title="Causal relations between layers",
    source=("vig2020", "syed2023", "benjamini1995"),
    access="gradients",
    returns="which units excite or inhibit which units of a later layer, where, and joined by which operator",
    signed=True,
    specificity="shared",
    coverage="several layers",
    annotation="none",
    feedback="graph",
    cost="for each source, the part of the network between the layers once an image in which it is active",
    note="A replaced map can be a state that the network never saw. Only pairs of sources are tried together.",
    parameters={"least_share": ("float", 0.5, 0.1, 0.9)},
)
def causal_relations(
    store: Activations,
    model: ImageModel,
    images: Any,
    *,
    pairs: Sequence[tuple[str, str]],
    units: Mapping[str, Sequence[int]] | None = None,
    q: float = 0.05,
    least_share: float = 0.5,
    path: str | PathLike[str] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
    **options: Any,
) -> RelationGraph:
    """Find causal edges between several pairs of layers; see :func:`causal_edges`.

    Args:
        store: activations of the same model; only looked at to see that they are.
        model: the model.
        images: what ``model.prepare`` takes.
        pairs: (source layer, target layer) of each pair to look between.
        units: layer to indices of units, where only some are wanted.
        q: the false discovery rate asked for, in (0, 1).
        least_share: share of the strongest source's strength below which a source is marginal; in [0, 1).
        path: a folder in which finished pieces are kept, a folder a pair of layers.
        progress: False, True for bars, or a callable that takes a Progress over all pairs.
        stop: asked after each batch.
        **options: of :func:`causal_edges`.

    Returns:
        The graph; q-values over all pairs of layers together.

    Raises:
        StoreMismatchError: the activations are of another model.
        InputError: no images, or no pair of layers; and as :func:`causal_edges`.
    """
    _check(store, model, images, pairs)
    chosen = units or {}
    graphs = [
        causal_edges(
            model,
            images,
            source=source,
            target=target,
            sources=chosen.get(source),
            targets=chosen.get(target),
            q=q,
            least_share=least_share,
            path=None if path is None else Path(path) / f"{number:02d}",
            progress=share(progress, number / len(pairs), (number + 1) / len(pairs)),
            stop=stop,
            **options,
        )
        for number, (source, target) in enumerate(pairs)
    ]
    return _adjusted_together(graphs)


@relation_kinds.register(
    "concept",
    title="Concept relations between layers",
    source=("kowal2024", "kim2018", "zhang2021"),
    access="gradients",
    returns="which concepts of a layer raise or lower which concepts of a later layer, beyond random concepts",
    signed=True,
    specificity="shared",
    coverage="several layers",
    annotation="none",
    feedback="graph",
    cost="a factorisation a layer; two passes over the images; a gradient an example and target concept",
    note="A derivative says what a little more of a concept would do, not what its absence would.",
    parameters={"count": ("int", 5, 2, 20)},
)
def concept_relations(
    store: Activations,
    model: ImageModel,
    images: Any,
    *,
    pairs: Sequence[tuple[str, str]],
    concepts: Mapping[str, Any] | None = None,
    count: int = 5,
    q: float = 0.05,
    seed: int = 0,
    progress: Report = False,
    stop: Stop | None = None,
    **options: Any,
) -> RelationGraph:
    """Find concept edges between several pairs of layers; see :func:`concept_edges`.

    Args:
        store: activations of the layers, in which concepts are found where none are given.
        model: the model that gave them.
        images: what ``model.prepare`` takes.
        pairs: (source layer, target layer) of each pair to look between.
        concepts: layer to concepts that live there, in any form that :func:`concept_edges` takes. For other layers,
            non-negative directions are found in all images of the store together, values below zero clipped.
        count: concepts a layer to find, at most as many as it has units.
        q: the false discovery rate that edges shall be able to reach, in (0, 1).
        seed: of factorisations, random concepts and the bootstrap.
        progress: False, True for bars, or a callable that takes a Progress over all pairs.
        stop: asked after each batch.
        **options: of :func:`concept_edges`.

    Returns:
        The graph; q-values over all pairs of layers together.

    Raises:
        StoreMismatchError: the activations are of another model.
        InputError: no images, or no pair of layers; and as :func:`concept_edges`.

    Source: [kowal2024], [zhang2021]
    """
    _check(store, model, images, pairs)
    given = dict(concepts or {})
    for layer in dict.fromkeys(layer for pair in pairs for layer in pair):
        if layer not in given:
            given[layer] = _found(store, layer, count, seed)
    graphs = [
        concept_edges(
            model,
            images,
            source=source,
            target=target,
            source_concepts=given[source],
            target_concepts=given[target],
            q=q,
            seed=seed,
            progress=share(progress, number / len(pairs), (number + 1) / len(pairs)),
            stop=stop,
            **options,
        )
        for number, (source, target) in enumerate(pairs)
    ]
    return _adjusted_together(graphs)


def _found(store: Activations, layer: str, count: int, seed: int) -> Any:
    """(concept, unit): what the maps of all images together are sums of."""
    if count < 1:
        raise InputError(f"count is {count}; expected at least 1 concept a layer.")
    everything = np.arange(len(store.identifiers))
    size = min(count, unit_maps(store, layer).sizes[UNIT])
    return factorise(store, layer, everything, "the store", size, "clip", 50_000, 400, seed).directions


def _check(store: Activations, model: ImageModel, images: Any, pairs: Sequence[tuple[str, str]]) -> None:
    check_store(store, model)
    if images is None:
        raise InputError("images is None; the network is run again, so pass the images of the store.")
    if not pairs:
        raise InputError("pairs is empty; expected at least one pair of a source layer and a target layer.")


def _adjusted_together(graphs: Sequence[RelationGraph]) -> RelationGraph:
    """One graph, with Benjamini-Hochberg over all single sources at once, over all operators, and over conditions."""
    if len(graphs) == 1:
        return graphs[0]
    graph = RelationGraph.concatenate(graphs)
    pairs, sides = (
        sum(int(each.dataset.attrs.get(name, 0)) for each in graphs) for name in ("pairs_left_out", "sides_left_out")
    )
    p_values, q_values = graph.column("p_value"), graph.column("q_value").copy()
    conditional = graph.column("condition").astype(str) != ""
    joint = (graph.column("partner_unit") != NO_UNIT) & ~conditional
    for family, left_out in ((~joint & ~conditional, pairs), (joint, 0), (conditional, sides)):
        q_values[family] = adjusted(p_values[family], untried=left_out)
    return RelationGraph(graph.dataset.assign(q_value=(EDGE, q_values)))
