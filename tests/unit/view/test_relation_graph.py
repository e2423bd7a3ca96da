"""Relation graphs as drawings: columns, lines, filters, what the text says."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import PathPatch

from workbench import view
from workbench.errors import InputError
from workbench.interpret.relations import Edge, RelationGraph

EDGES = [
    Edge("first", 0, "second", 1, "causal", "excites", 2.0, q_value=0.01, category="bird"),
    Edge("first", 2, "second", 1, "causal", "inhibits", -1.0, q_value=0.01),
    Edge("first", 0, "second", 1, "causal", "and-not", -0.5, q_value=0.01, partner_layer="first", partner_unit=2),
    Edge("second", 1, "third", 0, "association", "together", 1.5, q_value=0.04),
    Edge("second", 1, "second", 3, "spatial", "left of", 0.5, q_value=0.02, offset_x=9.0, offset_y=0.0),
    Edge("first", 0, "second", 1, "concept", "excites", 0.4, q_value=0.0, source_name="wheel", target_name="car"),
    Edge("first", 5, "second", 1, "causal", "excites", 0.1, q_value=0.9),
    Edge("first", 6, "second", 1, "causal", "excites", tested=False, reason="active in no image"),
]


@pytest.fixture
def graph() -> RelationGraph:
    return RelationGraph.from_edges(EDGES)


def texts(picture) -> list[str]:
    axes = picture.figure.axes[0]
    return [text.get_text() for text in axes.texts]


def lines(picture) -> list[PathPatch]:
    return [patch for patch in picture.figure.axes[0].patches if isinstance(patch, PathPatch)]


def test_layers_are_columns_and_edges_lines(graph):
    picture = view.relation_graph(graph)
    assert {"first", "second", "third"} <= set(texts(picture))
    assert len(lines(picture)) == 7  # six significant edges, and the operator has two sources
    assert "\N{LOGICAL AND}\N{NOT SIGN}" in texts(picture)
    starts = [line.get_path().vertices[0][0] for line in lines(picture)]
    ends = [line.get_path().vertices[-1][0] for line in lines(picture)]
    within = [start == end for start, end in zip(starts, ends, strict=True)]
    assert sum(within) == 1
    assert all(start < end for start, end, same in zip(starts, ends, within, strict=True) if not same)
    assert picture.png().startswith(b"\x89PNG")


def test_the_text_says_what_is_shown(graph):
    alt = view.relation_graph(graph, names={("first", 0): "red"}).alt
    assert "3 units of first" not in alt
    assert "2 units and 1 concept of first, 2 units and 1 concept of second, 1 unit of third" in alt
    assert "6 edges" in alt
    assert "unit 0 of first, red, excites unit 1 of second (effect 2 standard deviations of the target)" in alt
    assert "left out" not in alt
    everything = view.relation_graph(graph, q=None).alt
    assert "8 edges" in everything
    few = view.relation_graph(graph, most=2).alt
    assert "2 edges" in few
    assert "4 weaker edges left out" in few


def test_filters_choose_edges(graph):
    for filters, expected in (
        ({"kind": "spatial"}, 1),
        ({"kind": ("causal", "spatial")}, 5),
        ({"category": "bird"}, 1),
        ({"unit": ("third", 0)}, 1),
        ({"minimum_effect": 1.2}, 2),
        ({"q": None, "kind": "causal"}, 6),
    ):
        assert len(lines(view.relation_graph(graph, **filters))) == expected


def test_a_chosen_edge_is_brought_out_even_if_it_would_be_left_out(graph):
    plain, chosen = view.relation_graph(graph), view.relation_graph(graph, chosen=6)
    assert len(lines(chosen)) == len(lines(plain)) + 1
    assert "Brought out: unit 5 of first excites unit 1 of second" in chosen.alt
    faint = sorted(line.get_alpha() for line in lines(chosen))
    assert faint[-1] > 3 * faint[0]
    untested = view.relation_graph(graph, chosen=7)
    assert "not tested: active in no image" in untested.alt


def test_stronger_edges_are_wider_and_signs_differ_in_colour_and_dash(graph):
    by_width = sorted(lines(view.relation_graph(graph, kind="causal")), key=lambda line: -line.get_linewidth())
    strong, weak = by_width[0], by_width[1]
    assert strong.get_linewidth() > weak.get_linewidth()
    assert strong.get_edgecolor()[:3] != weak.get_edgecolor()[:3]
    assert strong.get_linestyle() != weak.get_linestyle()


def test_connected_units_are_brought_to_the_same_height():
    count = 12
    order = np.random.default_rng(0).permutation(count)
    edges = [Edge("a", int(u), "b", int(v), "causal", "excites", 1.0, q_value=0.0) for u, v in enumerate(order)]
    for line in lines(view.relation_graph(RelationGraph.from_edges(edges))):
        vertices = line.get_path().vertices
        assert vertices[0][1] == pytest.approx(vertices[-1][1])


def test_two_hundred_edges_have_room():
    generator = np.random.default_rng(0)
    edges = [
        Edge(
            f"layer{layer}", int(generator.integers(40)), f"layer{layer + 1}", int(generator.integers(40)), "causal",
            "excites", float(generator.uniform(0.1, 1)), q_value=0.0,
        )
        for layer in generator.integers(0, 3, size=400)
    ]  # fmt: skip
    picture = view.relation_graph(RelationGraph.from_edges(edges))
    assert len(lines(picture)) == 200
    assert "200 weaker edges left out" in picture.alt
    axes = picture.figure.axes[0]
    picture.figure.canvas.draw()
    labels = [text for text in axes.texts if text.get_text().isdigit()]
    boxes = [label.get_window_extent() for label in labels]
    overlapping = [
        (first, second)
        for index, first in enumerate(boxes)
        for second in boxes[index + 1 :]
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
    ]
    assert len(labels) > 100
    assert overlapping == []


def test_an_empty_graph_says_so():
    picture = view.relation_graph(RelationGraph.from_edges([]))
    assert picture.alt == "Relation graph without any relation to show."
    assert "no relation to show" in texts(picture)


def test_layers_in_a_circle_are_drawn_all_the_same():
    edges = [
        Edge("a", 0, "b", 0, "association", "together", 1.0, q_value=0.0),
        Edge("b", 0, "a", 0, "association", "together", 1.0, q_value=0.0),
    ]
    assert len(lines(view.relation_graph(RelationGraph.from_edges(edges)))) == 2


def test_bad_questions_are_refused(graph):
    for options, message in (({"most": 0}, "at least 1"), ({"chosen": 99}, "does not exist"), ({"q": 2}, "q is 2")):
        with pytest.raises(InputError, match=message):
            view.relation_graph(graph, **options)
