"""Relation graphs: making, choosing, saving, joining, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from workbench.errors import DamagedFileError, DtypeError, InputError, MissingFileError, ShapeError
from workbench.interpret.relations import EFFECT_UNITS, Edge, RelationGraph


def some_edges() -> list[Edge]:
    return [
        Edge("a", 0, "b", 3, "causal", "excites", 1.5, 1.0, 2.0, 0.001, 0.01, 40, exemplars=("x", "y")),
        Edge("a", 1, "b", 3, "causal", "inhibits", -0.5, -0.9, -0.1, 0.2, 0.3, 40, category="bird"),
        Edge("a", 0, "b", 4, "spatial", "left of", 0.7, q_value=0.0, images=9, offset_y=1.0, offset_x=-8.0),
        Edge("a", 2, "b", 4, "association", "together", tested=False, reason="never active together"),
        Edge("a", 0, "b", 5, "causal", "and", 0.3, q_value=0.04, partner_layer="a", partner_unit=7, exemplars=("z",)),
    ]  # fmt: skip


@pytest.fixture
def graph() -> RelationGraph:
    return RelationGraph.from_edges(some_edges(), method="test", model="planted")


def same(first: RelationGraph, second: RelationGraph) -> None:
    xr.testing.assert_identical(first.dataset.drop_attrs(), second.dataset.drop_attrs())


def test_edges_come_back_as_they_went_in(graph):
    assert len(graph) == 5
    for given, found in zip(some_edges(), graph, strict=True):
        assert repr(given) == repr(found)  # NaN does not equal itself
    assert graph.edge(-1).partner == ("a", 7)
    assert graph.edge(0).partner is None
    assert repr(graph) == "<RelationGraph: 5 edges (1 association, 3 causal, 1 spatial), 1 not tested>"


def test_rows_may_be_mappings_and_columns(graph):
    rows = [{name: getattr(edge, name) for name in Edge.__dataclass_fields__} for edge in some_edges()]
    same(RelationGraph.from_edges(rows), graph)
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "exemplars"}
    same(RelationGraph.from_columns(columns, exemplars=[row["exemplars"] for row in rows]), graph)


def test_one_value_stands_for_all_edges():
    found = RelationGraph.from_columns(
        {
            "source_layer": "a",
            "source_unit": np.arange(3),
            "target_layer": "b",
            "target_unit": 1,
            "kind": "causal",
            "relation": "excites",
            "effect": [1.0, 2.0, 3.0],
        }
    )
    assert [edge.source for edge in found] == [("a", 0), ("a", 1), ("a", 2)]
    assert found.units == EFFECT_UNITS


def test_an_empty_graph_is_a_graph(tmp_path):
    empty = RelationGraph.from_edges([])
    assert len(empty) == 0
    assert empty.nodes == ()
    assert len(empty.significant().filter(kind="causal", minimum_effect=1).strongest(3)) == 0
    assert empty.to_networkx().number_of_nodes() == 0
    empty.save(tmp_path / "empty.zarr")
    assert len(RelationGraph.open(tmp_path / "empty.zarr")) == 0
    assert len(RelationGraph.concatenate([empty, empty])) == 0


def test_significant_edges_were_tested(graph):
    assert [edge.relation for edge in graph.significant()] == ["excites", "left of", "and"]
    assert [edge.relation for edge in graph.significant(0.02)] == ["excites", "left of"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"kind": "causal"}, [0, 1, 4]),
        ({"kind": ("causal", "spatial")}, [0, 1, 2, 4]),
        ({"relation": "left of"}, [2]),
        ({"layer": "a"}, [0, 1, 2, 3, 4]),
        ({"source_layer": "b"}, []),
        ({"target_layer": ["b", "c"], "kind": "spatial"}, [2]),
        ({"unit": ("b", 4)}, [2, 3]),
        ({"unit": ("a", 7)}, [4]),
        ({"category": "bird"}, [1]),
        ({"minimum_effect": 0.5}, [0, 1, 2]),
        ({"minimum_images": 10}, [0, 1]),
        ({"tested": False}, [3]),
        ({}, [0, 1, 2, 3, 4]),
    ],
)
def test_filters(graph, conditions, expected):
    same(graph.filter(**conditions), graph.take(np.array(expected, dtype=int)))


def test_the_strongest_are_compared_within_their_kind(graph):
    order = [edge.relation for edge in graph.strongest(5)]
    assert set(order[:3]) == {"excites", "left of", "together"}
    assert order[3:] == ["inhibits", "and"]
    assert len(graph.strongest(2)) == 2


def test_units_get_names_and_concepts_keep_theirs(graph):
    concept = Edge("a", 0, "b", 1, "concept", "excites", 1.0, source_name="wheel", target_name="car")
    both = RelationGraph.from_edges([*graph, concept]).named({("a", 0): "red", ("b", 3): "", ("b", 4): "square"})
    assert [edge.source_name for edge in both] == ["red", "", "red", "", "red", "wheel"]
    assert [edge.target_name for edge in both] == ["", "", "square", "square", "", "car"]
    assert [edge.target_name for edge in both.named({("b", 4): "star"})][2] == "star"
    assert set(graph.column("source_name")) == {""}


def test_networkx_has_nodes_edges_and_attributes(graph):
    made = graph.to_networkx()
    assert set(made.nodes) == set(graph.nodes)
    assert made.number_of_edges() == 5
    assert made.edges[("a", 0), ("b", 3), 0]["effect"] == 1.5
    assert made.nodes["b", 3] == {"layer": "b", "unit": 3, "name": ""}
    assert made.graph["model"] == "planted"
    named = RelationGraph.from_edges([Edge("a", 0, "b", 1, "concept", "excites", 1.0, source_name="wheel")])
    assert named.to_networkx().nodes["a", "wheel"] == {"layer": "a", "unit": 0, "name": "wheel"}
    units = RelationGraph.from_edges([Edge("a", 0, "b", 1, "causal", "excites", 1.0, source_name="red")])
    assert units.to_networkx().nodes["a", 0]["name"] == "red"


def test_a_graph_survives_a_file(graph, tmp_path):
    path = graph.save(tmp_path / "graph.zarr")
    opened = RelationGraph.open(path)
    xr.testing.assert_identical(opened.dataset, graph.dataset)
    with pytest.raises(InputError, match="exists already"):
        graph.save(path)
    graph.take([0]).save(path, overwrite=True)
    assert len(RelationGraph.open(path)) == 1


def test_what_is_no_graph_is_not_opened_and_not_overwritten(graph, tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        RelationGraph.open(tmp_path / "nothing.zarr")
    xr.Dataset({"a": ("b", [1])}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    with pytest.raises(DamagedFileError, match="format None"):
        graph.save(tmp_path / "other.zarr", overwrite=True)
    (tmp_path / "letters").mkdir()
    with pytest.raises(DamagedFileError, match="cannot be read"):
        RelationGraph.open(tmp_path / "letters")


def test_joined_graphs_keep_their_edges_and_say_where_they_differ(graph):
    other = RelationGraph.from_edges(some_edges()[:2], method="test", model="another")
    joined = RelationGraph.concatenate([graph, other])
    assert [repr(edge) for edge in joined] == [repr(edge) for edge in [*graph, *other]]
    assert joined.dataset.attrs["method"] == "test"
    assert json.loads(joined.dataset.attrs["model"]) == ["planted", "another"]
    with pytest.raises(InputError, match="cannot stand in one graph"):
        RelationGraph.concatenate([graph, RelationGraph.from_edges(some_edges(), units={"causal": "logits"})])
    with pytest.raises(InputError, match="no graph"):
        RelationGraph.concatenate([])


ENDS = {"source_layer": "a", "source_unit": 0, "target_layer": "b", "target_unit": 1, "kind": "causal", "effect": 1.0}
GOOD = {**ENDS, "relation": "excites"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": 3}, InputError, "row 0 has the unknown weight"),
        ({"kind": "magic"}, InputError, "kind 'magic' is not known"),
        ({"source_layer": ""}, InputError, "from :0 to b:1, has no layer"),
        ({"target_unit": -1}, InputError, "has a unit below 0"),
        ({"partner_unit": -2}, InputError, "partner below -1"),
        ({"images": -1}, InputError, "fewer than 0 images"),
        ({"p_value": 1.5}, InputError, "p-value outside"),
        ({"q_value": -0.5}, InputError, "q-value outside"),
        ({"low": 2.0, "high": 1.0}, InputError, "ends before it begins"),
        ({"effect": np.nan}, InputError, "tested without an effect"),
        ({"effect": np.inf}, InputError, "infinite effect"),
        ({"tested": False}, InputError, "without a reason"),
        ({"tested": False, "reason": "few", "p_value": 0.1}, InputError, "not tested and has a p-value"),
        ({"source_unit": 1.5}, DtypeError, "source_unit has dtype float64"),
    ],
)
def test_bad_edges_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        RelationGraph.from_edges([{**GOOD, **change}])


def test_bad_tables_are_refused(graph):
    with pytest.raises(InputError, match="row 0 has no relation"):
        RelationGraph.from_edges([ENDS])
    with pytest.raises(DtypeError, match="row 0 is str"):
        RelationGraph.from_edges(["a"])
    with pytest.raises(InputError, match="missing: relation"):
        RelationGraph.from_columns(ENDS)
    with pytest.raises(InputError, match="unknown: colour"):
        RelationGraph.from_columns({**GOOD, "colour": "red"})
    with pytest.raises(ShapeError, match="lengths"):
        RelationGraph.from_columns({**GOOD, "source_unit": [1, 2], "effect": [1.0, 2.0, 3.0]})
    with pytest.raises(ShapeError, match="exemplars of 2 edges"):
        RelationGraph.from_columns(GOOD, exemplars=[[], []])
    with pytest.raises(InputError, match="has no 'effect'"):
        RelationGraph(graph.dataset.drop_vars("effect"))
    with pytest.raises(ShapeError, match="dimensions"):
        RelationGraph(graph.dataset.rename(edge="row"))
    with pytest.raises(DtypeError, match=r"xarray\.Dataset"):
        RelationGraph({"effect": [1.0]})


def test_bad_questions_are_refused(graph):
    for wrong, message in (
        (lambda: graph.significant(0), "q is 0"),
        (lambda: graph.filter(kind="magic"), "not known"),
        (lambda: graph.filter(minimum_effect=-1), "0 or more"),
        (lambda: graph.strongest(0), "at least 1"),
        (lambda: graph.edge(5), "does not exist"),
        (lambda: graph.take([7]), "the graph has 5"),
        (lambda: graph.take([True]), "expected one entry"),
        (lambda: graph.column("colour"), "no 'colour'"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
