"""One call for all kinds: what it passes on, what it refuses, and that results say where they come from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.errors import InputError, Interrupted, StoreMismatchError, UnknownNameError
from workbench.interpret import observe
from workbench.interpret.relations import RelationGraph, association_edges, discover, spatial_edges
from workbench.interpret.relations.planted import Parameters, plant
from workbench.store import ActivationStore

BOTH = ("association", "spatial")


def values(graph: RelationGraph, kind: str) -> dict[str, np.ndarray]:
    chosen = graph.filter(kind=kind)
    return {name: chosen.column(name) for name in ("source_unit", "target_unit", "effect", "q_value", "reason")}


def test_each_kind_gives_what_it_gives_alone(grown):
    model = grown.circuit.model
    graph = discover(grown.store, model, kinds=BOTH, layers=["layer1", "layer2"])
    pairs = [("layer1", "layer2")]
    alone = {
        "association": association_edges(grown.store, pairs=pairs),
        "spatial": spatial_edges(grown.store, model, pairs=pairs),
    }
    for kind, expected in alone.items():
        np.testing.assert_equal(values(graph, kind), values(expected, kind))
    assert graph.dataset.attrs["method"] == "relations.discover"
    assert graph.dataset.attrs["model"] == "planted 0"
    assert json.loads(graph.dataset.attrs["layers"]) == ["layer1", "layer2"]


def test_layers_are_put_in_order_and_layers_without_places_have_no_spatial_edges(grown):
    graph = discover(grown.store, grown.circuit.model, kinds=BOTH)
    assert {tuple(edge) for edge in _layers(graph, "association")} == {("layer1", "layer2"), ("layer2", "classifier")}
    assert {tuple(edge) for edge in _layers(graph, "spatial")} == {("layer1", "layer2")}


def _layers(graph: RelationGraph, kind: str) -> np.ndarray:
    chosen = graph.filter(kind=kind)
    return np.stack([chosen.column("source_layer"), chosen.column("target_layer")], axis=1)


def test_within_layers_and_options_are_passed_on(grown):
    options = {"spatial": {"units": {"layer1": [0, 3]}, "quantile": 0.5}}
    graph = discover(grown.store, grown.circuit.model, kinds="spatial", layers=["layer1"], within=True, options=options)
    assert [(edge.source, edge.target) for edge in graph] == [(("layer1", 0), ("layer1", 3))]


def test_a_store_on_disk_gives_the_same_graph(grown, tmp_path):
    model = grown.circuit.model
    store = ActivationStore.extract(
        model, grown.images, layers=["layer1", "layer2"], path=tmp_path / "store", dtype="float32", progress=False
    )
    disk, memory = (discover(each, model, kinds=BOTH, layers=["layer1", "layer2"]) for each in (store, grown.store))
    for kind in BOTH:
        found, expected = values(disk, kind), values(memory, kind)
        np.testing.assert_array_equal(found["reason"], expected["reason"])
        np.testing.assert_allclose(found["effect"], expected["effect"], atol=1e-5)
    other = plant(Parameters(seed=1)).model
    with pytest.raises(StoreMismatchError, match="weights"):
        discover(store, other, kinds="association")


def test_progress_runs_once_from_start_to_end(grown):
    seen: list[float] = []
    discover(
        grown.store,
        grown.circuit.model,
        kinds=BOTH,
        layers=["layer1", "layer2"],
        progress=lambda state: seen.append(state.fraction),
    )
    assert seen == sorted(seen)
    assert seen[0] < 0.6
    assert seen[-1] == 1


def test_bad_questions_are_refused(grown):
    store, model = grown.store, grown.circuit.model
    other = plant(Parameters(seed=1)).model
    for options, error, message in (
        ({"kinds": "gravity"}, UnknownNameError, "gravity"),
        ({"kinds": ()}, InputError, "each kind once"),
        ({"kinds": ("spatial", "spatial")}, InputError, "each kind once"),
        ({"kinds": "association", "layers": ["layer2", "layer1"]}, InputError, "not computed before"),
        ({"kinds": "association", "layers": ["layer1"]}, InputError, "at least two"),
        ({"kinds": "association", "layers": ["layer1", "layer5"]}, UnknownNameError, "layer5"),
        ({"kinds": "association", "options": {"spatial": {}}}, InputError, "options for the kind 'spatial'"),
        ({"kinds": "spatial", "layers": ["layer2", "classifier"]}, InputError, "places"),
        ({"kinds": "association", "stop": lambda: True}, Interrupted, "Stopped"),
    ):
        with pytest.raises(error, match=message):
            discover(store, model, **options)
    with pytest.raises(StoreMismatchError, match="other ones"):
        discover(observe(other, other.prepare(grown.images)[:8], layers=["layer1", "layer2"]), model)
