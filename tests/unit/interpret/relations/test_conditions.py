"""Sources that act on one side of another: found where they were wired, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench import models, view
from workbench.errors import InputError, Interrupted
from workbench.interpret import observe
from workbench.interpret.relations import Edge, RelationGraph, causal_edges, compare, paragraph, sentence, unsupported
from workbench.interpret.relations.moving import moved
from workbench.interpret.relations.sides import compare_sides
from workbench.panels import RelationPanel

SIZE, WIDE = 12, 2 * 12 - 1
RED, GREEN, BLUE = range(3)
SIDED, ANYWHERE, SUM = range(3)
DEALS = np.array(list(combinations(range(16), 8)))


class Placed(nn.Module):
    """Dots of three colours, and gates of red and green that look at all places at once.

    Gate 0 wants red and green to the right of it, in any row; gate 1 wants red and green anywhere; gate 2 adds up red
    and green at one place, so that each acts by itself. Dots are taken away altogether (baseline zero): a mean map
    would leave a gate that looks everywhere nearly as much as the dot.
    """

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 3, 1, bias=False)
        gates = nn.Conv2d(3, 3, WIDE, padding=SIZE - 1)
        self.two = nn.Sequential(gates, nn.ReLU())
        self.end = nn.Linear(3, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.one.weight[:, :, 0, 0] = torch.eye(3)
            middle = SIZE - 1
            gates.weight[[SIDED, ANYWHERE, SUM], RED, middle, middle] = 1
            gates.weight[SIDED, GREEN, :, middle + 1 :] = 1
            gates.weight[ANYWHERE, GREEN] = 1
            gates.weight[SUM, GREEN, middle, middle] = 0.6
            gates.bias[:2] = -1.2
            self.end.weight[0, SIDED] = self.end.weight[1, SUM] = 1

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.end(self.two(torch.relu(self.one(inputs))).mean((2, 3)))


@pytest.fixture(scope="module")
def placed() -> models.ImageModel:
    names = ["beside", "both"]
    preprocessing = models.Preprocessing(resize=(SIZE, SIZE))
    return models.load(Placed(), categories=names, preprocessing=preprocessing, name="placed")


def dots(count: int, *, seed: int, brighter: bool = False) -> torch.Tensor:
    """One dot of each colour in seven images of ten, anywhere; ``brighter``: red, where it lies left of green."""
    generator = np.random.default_rng(seed)
    inputs = np.zeros((count, 3, SIZE, SIZE), dtype=np.float32)
    for image in inputs:
        there = generator.uniform(size=3) < 0.7
        places = generator.integers(SIZE, size=(3, 2))
        light = generator.uniform(0.8, 1, size=3)
        if brighter and places[RED, 1] < places[GREEN, 1]:
            light[RED] += 0.4
        for colour in np.flatnonzero(there):
            image[colour, *places[colour]] = light[colour]
    return torch.from_numpy(inputs)


@pytest.fixture(scope="module")
def found(placed) -> RelationGraph:
    return causal_edges(placed, dots(240, seed=1), source="one", target="two", baseline="zero")


def conditions(graph: RelationGraph) -> set[tuple[int, int, str, int]]:
    wanted = graph.significant().filter(conditional=True)
    return {(edge.source_unit, edge.target_unit, edge.condition, edge.partner_unit) for edge in wanted}


def test_a_wired_side_is_found_from_both_ends_and_no_other(found):
    assert conditions(found) == {(RED, SIDED, "left of", GREEN), (GREEN, SIDED, "right of", RED)}
    for edge in found.significant().filter(conditional=True):
        assert (edge.kind, edge.relation, edge.partner_layer) == ("causal", "excites", "one")
        assert 0 < edge.low <= edge.effect <= edge.high
        assert edge.images >= 8
        assert edge.exemplars
    # gate 1 wants both as well: what joins them is no matter of places
    joined = {(edge.relation, edge.target_unit) for edge in found.significant() if edge.relation == "and"}
    assert joined >= {("and", ANYWHERE)}


def test_what_merely_goes_along_with_a_side_is_no_condition(placed):
    inputs = dots(240, seed=2, brighter=True)
    graph = causal_edges(placed, inputs, source="one", target="two", baseline="zero", least_share=0.1)
    beside = [edge for edge in graph.filter(conditional=True) if edge.target_unit == SUM and edge.source_unit == RED]
    # red is brighter there, so the images differ, and the edge was put to the test; moving green changes nothing
    (tested,) = (edge for edge in beside if edge.tested and edge.condition in ("left of", "right of"))
    assert tested.p_value > 0.5
    assert {target for _, target, _, _ in conditions(graph)} == {SIDED}


def test_sides_seen_too_seldom_are_not_tested(placed):
    inputs = dots(240, seed=3)
    red, green = (inputs[:, colour].flatten(1).argmax(1) % SIZE for colour in (RED, GREEN))
    both = (inputs[:, [RED, GREEN]].amax((2, 3)) > 0).all(1)
    ordered = inputs[~both | (red < green)]
    graph = causal_edges(placed, ordered, source="one", target="two", baseline="zero")
    untested = [edge for edge in graph.filter(conditional=True, tested=False) if edge.source_unit == RED]
    words = {edge.reason for edge in untested if edge.condition == "left of"}
    assert any("right of it in 0; at least 8 of each are needed" in each for each in words)
    assert not any("left of" in side for _, _, side, _ in conditions(graph))
    assert "not tested: the source lies left of the other in" in sentence(
        next(edge for edge in untested if edge.condition == "left of")
    )


def test_conditions_can_be_left_out_and_work_goes_on_where_it_was_left(placed, found, tmp_path):
    inputs = dots(240, seed=1)
    options = {"source": "one", "target": "two", "baseline": "zero"}
    without = causal_edges(placed, inputs, conditions=0, **options)
    assert len(without.filter(conditional=True)) == 0
    assert len(without) == len(found.filter(conditional=False))
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == last - 1

    last = 10**9
    causal_edges(placed, inputs, stop=stop, **options)
    last = len(asked)
    asked.clear()
    with pytest.raises(Interrupted, match="after"):
        causal_edges(placed, inputs, path=tmp_path / "work", stop=stop, **options)
    resumed = causal_edges(placed, inputs, path=tmp_path / "work", **options)
    for name in ("effect", "low", "p_value", "q_value", "images"):
        np.testing.assert_array_equal(resumed.column(name), found.column(name))
    with pytest.raises(InputError, match="0 conditions or more"):
        causal_edges(placed, inputs, conditions=-1, **options)


def test_targets_without_places_can_have_sources_with_a_side(placed):
    graph = causal_edges(placed, dots(240, seed=1), source="one", target="end", baseline="zero", least_share=0.1)
    assert conditions(graph) == {(RED, 0, "left of", GREEN), (GREEN, 0, "right of", RED)}
    linear = causal_edges(placed, dots(240, seed=1), source="two", target="end", baseline="zero", least_share=0.1)
    assert not conditions(linear)


def test_a_condition_is_said_and_read_back(found):
    names = {("one", RED): "red", ("one", GREEN): "green dot", ("two", SIDED): "both"}
    graph = found.significant().named(names)
    (edge,) = (each for each in graph.filter(conditional=True) if each.source_unit == RED)
    said = sentence(edge, evidence=False)
    assert said == "Unit 0 of one, red, excites unit 0 of two, both, when it lies left of unit 1 of one, green dot."
    assert f"stronger by {edge.effect:.3g} than on the other side, 95 % from {edge.low:.3g} to" in sentence(edge)
    less = replace(edge, relation="inhibits", effect=-0.5, low=-0.75, high=-0.25)
    assert "stronger by 0.5 than on the other side, 95 % from 0.25 to 0.75;" in sentence(less)
    assert unsupported(said, graph) == []
    assert unsupported(sentence(edge), graph) == []
    text = paragraph(graph, most=20)
    assert said in text
    assert unsupported(text, graph) == []
    # neither the clause without its condition, nor another condition, nor one that is no condition at all
    plain = RelationGraph.from_edges([replace(edge, condition="", partner_layer="", partner_unit=-1)])
    assert unsupported(said, plain) == [said]
    assert unsupported("Unit 0 of one excites unit 0 of two.", graph.filter(conditional=True)) != []
    for wrong in ("right of unit 1", "above unit 1", "left of unit 2", "behind unit 1", "left of concept 1"):
        assert unsupported(said.replace("left of unit 1", wrong), graph) != []
    assert unsupported(said.replace(" of one, green dot", " of two"), graph) != []


@given(
    st.sampled_from(["left of", "right of", "above", "below"]),
    st.sampled_from(["excites", "inhibits"]),
    st.sampled_from(["", "red", "blue square", "when it lies left of unit 7 of a", "when red, it lies"]),
    st.booleans(),
)
def test_any_condition_is_read_back(side, relation, name, evidence):
    edge = Edge(
        "a", 3, "b", 4, "causal", relation, 0.5, q_value=0.01, partner_layer="a", partner_unit=7, condition=side,
        source_name=name, target_name=name, partner_name=name,
    )  # fmt: skip
    others = [
        replace(edge, condition={"left of": "right of"}.get(side, "left of")),
        replace(edge, partner_unit=8),
        replace(edge, condition="", partner_layer="", partner_unit=-1),
        replace(edge, condition="", relation="and"),
        replace(edge, source_unit=7, partner_unit=3),
    ]
    said = sentence(edge, evidence=evidence)
    assert unsupported(said, RelationGraph.from_edges([*others, edge])) == []
    assert unsupported(said, RelationGraph.from_edges(others)) == [said]
    for other in others:
        assert unsupported(sentence(other), RelationGraph.from_edges([edge])) != []


def test_graphs_with_conditions_are_compared_drawn_and_shown(placed, found):
    graph = found.significant()
    less = graph.filter(conditional=False)
    changes = compare(less, graph)
    new = changes.isel(edge=changes["status"].values == "appeared")
    assert sorted(new["condition"].values) == ["left of", "right of"]
    assert set(compare(graph, graph)["status"].values) == {"kept"}
    picture = view.relation_graph(graph)
    assert "2 beside another" in picture.alt
    signs = [text.get_text() for text in picture.figure.axes[0].texts]
    assert "\N{LEFTWARDS ARROW}" in signs
    assert "\N{RIGHTWARDS ARROW}" in signs
    position = next(at for at, edge in enumerate(graph) if edge.condition == "left of")
    assert "when it lies left of unit 1 of one" in view.relation_graph(graph, chosen=position).alt
    inputs = dots(240, seed=1)
    pictures = placed.pictures(inputs)
    seen = observe(placed, pictures, layers=["one", "two"])
    named = RelationGraph.from_edges([replace(graph.edge(position), exemplars=tuple(map(str, seen.identifiers[:3])))])
    profile = RelationPanel(named, placed, pictures, store=seen, quantile=0.3).result
    assert "when it lies left of unit 1 of one" in profile.attrs["sentence"]
    # green lies to the right of red in about as many images as to the left; the plot is of green minus red
    assert profile.attrs["beside"] == "partner"
    assert set(np.sign(profile["displacement"].values[:, 1])) >= {-1, 1}
    assert profile["partner_maps"].shape == profile["source_maps"].shape
    shown = view.relation_edge(profile)
    assert "the maps of all three units" in shown.alt
    assert "when it lies left of" in shown.alt
    assert "The partner lies" in shown.alt


def test_a_condition_needs_a_partner_and_a_side():
    edge = Edge("a", 3, "b", 4, "causal", "excites", 0.5, condition="left of")
    with pytest.raises(InputError, match="a condition and no partner"):
        RelationGraph.from_edges([edge])
    with pytest.raises(InputError, match="an unknown condition"):
        RelationGraph.from_edges([replace(edge, condition="behind", partner_layer="a", partner_unit=1)])


def test_graphs_of_the_format_before_are_read(found, tmp_path):
    old = found.dataset.drop_vars(["partner_name", "condition"]).assign_attrs(format=1)
    old.to_zarr(tmp_path / "old.zarr", consolidated=False, zarr_format=3)
    graph = RelationGraph.open(tmp_path / "old.zarr")
    assert len(graph) == len(found)
    assert len(graph.filter(conditional=True)) == 0
    assert graph.dataset.attrs["format"] == 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_sides_are_compared_as_all_ways_to_deal_them_would(seed):
    """The exact permutation test, deal by deal, of few images; the tail that moments give is close to it."""
    generator = np.random.default_rng(seed)
    effect = generator.normal(size=16)
    effect[:8] += generator.uniform(0, 1.5)
    order = np.repeat([-1, 1], 8)
    counts, difference, p_value = compare_sides(effect[None], order[None])
    dealt = effect[DEALS].mean(axis=1)
    centre = effect.mean()
    exact = np.mean(np.abs(dealt - centre) >= abs(effect[:8].mean() - centre) - 1e-12)
    assert counts.tolist() == [[8, 8]]
    assert difference[0] == pytest.approx(effect[:8].mean() - effect[8:].mean())
    assert p_value[0] == pytest.approx(exact, rel=0.15, abs=0.004)
    assert p_value[0] >= (1 - 1e-9) / math.comb(16, 8)


def test_sides_that_cannot_be_compared_say_so():
    order = np.array([[-1] * 8 + [1] * 7 + [0]])
    assert np.isnan(compare_sides(np.arange(16.0)[None], order)[2]).all()
    even = np.where(np.arange(16) < 8, -1, 1)[None]
    assert np.isnan(compare_sides(np.full((1, 16), 0.1), even)[2]).all()


def test_maps_move_and_the_background_comes_in():
    maps, back = torch.arange(12.0).reshape(1, 12), torch.full((1, 12), -1.0)
    found = moved(maps, back, torch.tensor([[1, -2]]), (3, 4)).reshape(3, 4)
    expected = torch.tensor([[-1.0, -1, -1, -1], [2, 3, -1, -1], [6, 7, -1, -1]])
    torch.testing.assert_close(found, expected)
    still = moved(maps.repeat(2, 1), back.repeat(2, 1), torch.tensor([[0, 0], [3, 0]]), (3, 4))
    torch.testing.assert_close(still, torch.stack([maps[0], back[0]]))
