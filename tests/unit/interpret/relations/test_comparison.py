"""Two graphs against each other: what appeared, vanished and changed, and in which order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.errors import InputError
from workbench.interpret import observe
from workbench.interpret.relations import Edge, RelationGraph, association_edges, compare
from workbench.interpret.relations.planted import Parameters, plant


def edge(source: int, target: int, effect: float, *, kind: str = "causal", q: float = 0.001, **more) -> Edge:
    relation = more.pop("relation", "excites" if effect > 0 else "inhibits")
    return Edge("a", source, "b", target, kind, relation, effect, effect - 0.2, effect + 0.2, q, q, 50, **more)


BEFORE = [
    edge(0, 0, 1.0),
    edge(1, 0, 2.0),
    edge(2, 0, -1.0),
    edge(3, 0, 0.1, q=0.5),
    edge(4, 0, 1.0, relation="and", partner_layer="a", partner_unit=5),
    edge(6, 0, 1.0),
    edge(7, 0, 0.1, q=0.9),
    edge(0, 1, 0.2, kind="spatial", relation="above"),
]
AFTER = [
    edge(0, 0, 1.1),
    edge(1, 0, 0.1, q=0.7),
    edge(2, 0, 1.5),
    edge(3, 0, 4.0),
    edge(4, 0, 1.0, relation="or", partner_layer="a", partner_unit=5),
    Edge("a", 6, "b", 0, "causal", "excites", tested=False, reason="active in no image"),
    edge(7, 0, 0.2, q=0.8),
    edge(0, 1, 0.6, kind="spatial", relation="above"),
    edge(9, 9, 0.5),
]


def rows(result):
    names = ("source_unit", "status")
    return [tuple(values) for values in zip(*(result[name].values.tolist() for name in names), strict=True)]


def test_changes_are_ranked_and_named():
    result = compare(RelationGraph.from_edges(BEFORE), RelationGraph.from_edges(AFTER))
    assert rows(result) == [
        (3, "appeared"),
        (2, "changed sign"),
        (1, "vanished"),
        (9, "appeared"),
        (4, "changed word"),
        (0, "kept"),
        (0, "kept"),
        (6, "not comparable"),
    ]
    first = result.isel(edge=0)
    assert float(first["change"]) == pytest.approx(3.9)
    assert float(first["p_value"]) < 1e-6
    new = result.isel(edge=3)
    assert (float(new["effect_before"]), float(new["effect_after"])) == (0.0, 0.5)
    assert np.isnan(float(new["p_value"]))
    assert np.isnan(float(result["effect_after"][-1]))
    assert list(result["relation_after"].values[4:5]) == ["or"]


def test_a_graph_does_not_differ_from_itself():
    graph = RelationGraph.from_edges(BEFORE)
    result = compare(graph, graph)
    assert set(result["status"].values) == {"kept"}
    assert not result["change"].values.any()
    np.testing.assert_array_equal(result["p_value"], 1)


def test_swapping_the_graphs_swaps_the_signs():
    graphs = [RelationGraph.from_edges(edges) for edges in (BEFORE, AFTER)]
    there, back = compare(*graphs), compare(*reversed(graphs))
    assert sorted(np.nan_to_num(there["change"].values)) == pytest.approx(sorted(-np.nan_to_num(back["change"].values)))
    np.testing.assert_allclose(there["size"], back["size"])
    assert (back["status"] == "vanished").sum() == (there["status"] == "appeared").sum()


def test_units_that_changed_places_are_followed():
    moved = [replace(each, source_unit=(each.source_unit + 3) % 10, partner_unit=each.partner_unit) for each in BEFORE]
    graphs = [RelationGraph.from_edges(edges) for edges in (BEFORE, moved)]
    assert "appeared" in compare(*graphs)["status"].values
    units = {("a", (unit + 3) % 10): ("a", unit) for unit in range(10)}
    with pytest.raises(InputError, match="two units to one"):
        compare(*graphs, correspondence={**units, ("a", 8): ("a", 2)})
    single = [RelationGraph.from_edges([each for each in edges if each.partner is None]) for edges in (BEFORE, moved)]
    assert set(compare(*single, correspondence=units)["status"].values) == {"kept"}


def test_names_compare_models_whose_units_do_not_correspond():
    named = [replace(each, source_name=f"concept {each.source_unit}", target_name="class") for each in BEFORE[:3]]
    other = [replace(each, source_unit=20 - each.source_unit) for each in named[1:]]
    other.append(replace(named[0], source_unit=3, effect=-1.0, low=-1.2, high=-0.8, relation="inhibits"))
    other.append(replace(named[0], source_unit=4, effect=0.3, low=0.1, high=0.5))
    result = compare(RelationGraph.from_edges(named), RelationGraph.from_edges(other), by="name")
    assert rows(result) == [(0, "changed sign"), (1, "kept"), (2, "kept")]


def test_a_wire_that_was_added_is_the_first_that_appeared():
    circuit = plant(Parameters(noise=0.0))
    images = circuit.images(400)
    gate = next(gate for gate in circuit.gates if gate.operator == "alone")
    added = next(gate for gate in circuit.gates if gate.operator == "and").sources[0]
    graphs = []
    for weight in (0.0, 1.0):
        circuit.module.layer2[0].weight.data[gate.unit, added, 2, 2] = weight
        store = observe(circuit.model, images, layers=["layer1", "layer2"])
        graphs.append(association_edges(store, pairs=[("layer1", "layer2")], quantile=0.3))
    result = compare(*graphs)
    new = result.isel(edge=0)
    assert (int(new["source_unit"]), int(new["target_unit"])) == (added, gate.unit)
    assert str(new["status"].values) == "appeared"
    assert float(new["change"]) > 0


def test_bad_comparisons_are_refused():
    graph = RelationGraph.from_edges(BEFORE)
    other = RelationGraph.from_edges(AFTER, units={"causal": "logits"})
    for options, message in (
        ({"by": "colour"}, "'unit' or 'name'"),
        ({"by": "name"}, "has names"),
        ({"by": "name", "correspondence": {("a", 0): ("a", 1)}}, "Leave one of them out"),
    ):
        with pytest.raises(InputError, match=message):
            compare(graph, graph, **options)
    with pytest.raises(InputError, match="cannot be compared"):
        compare(graph, other)


def test_empty_graphs_have_nothing_to_compare():
    empty = RelationGraph.from_edges([])
    assert compare(empty, empty).sizes["edge"] == 0
