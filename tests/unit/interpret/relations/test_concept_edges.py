"""Concept edges: derivatives by hand, the planted wiring, random concepts find nothing, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from workbench import interpret, models
from workbench.errors import InputError, Interrupted, NotFiniteError, ShapeError, StoreMismatchError
from workbench.explain import Progress
from workbench.interpret.relations import concept_edges, relation_kinds
from workbench.interpret.relations.planted import Parameters, plant

SIZE = 8
UNITS = 24


class Linear(nn.Module):
    """A convolution, and a linear map of its output: derivatives are the weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, UNITS, 1)
        self.two = nn.Conv2d(UNITS, 6, 1, bias=False)
        self.end = nn.Linear(6, 2)
        with torch.no_grad():
            self.two.weight.normal_(std=0.02)
            self.two.weight[0, 2], self.two.weight[1, 2] = 2.0, -2.0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.end(torch.relu(self.two(torch.relu(self.one(inputs)))).mean((2, 3)))


@pytest.fixture
def linear() -> models.ImageModel:
    return models.load(Linear(), preprocessing=models.Preprocessing(resize=(SIZE, SIZE)), name="linear")


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.randn((50, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0))


def units(count: int, chosen: list[int]) -> dict[str, np.ndarray]:
    return {f"unit {index}": np.eye(count)[index] for index in chosen}


def test_scores_and_magnitudes_are_those_of_derivatives_by_hand(linear, inputs):
    graph = concept_edges(
        linear, inputs, source="one", target="two", source_concepts=units(UNITS, [2, 5]),
        target_concepts=units(6, [0, 1, 3]), examples=20, batch_size=13,
    )  # fmt: skip
    weights = linear.module.two.weight.detach()[:, :, 0, 0].double().numpy()
    with torch.no_grad():
        first = linear.module.one(inputs).double().flatten(2).numpy()
        second = linear.module.two(torch.relu(linear.module.one(inputs))).double().mean((2, 3)).numpy()
    for number, unit in enumerate((2, 5)):
        chosen = np.argsort(-first[:, unit].max(axis=1), kind="stable")[:20]
        for other, read in enumerate((0, 1, 3)):
            slopes = []
            for image in chosen:
                peak = first[image, unit].max()
                segment = first[image, unit] >= 0.5 * peak  # all above 0, so that the ReLU lets everything through
                slopes.append(peak * segment.sum() * weights[read, unit] / SIZE**2)
            edge = number * 3 + other
            assert float(graph.dataset["score"][edge]) == pytest.approx(np.mean(np.array(slopes) > 0))
            expected = np.mean(slopes) / second[:, read].std()
            assert float(graph.dataset["magnitude"][edge]) == pytest.approx(expected, rel=1e-4)
            assert graph.edge(edge).images == 20
            assert (graph.edge(edge).source_name, graph.edge(edge).target_name) == (f"unit {unit}", f"unit {read}")


def test_what_is_wired_stands_out_from_random_concepts(linear, inputs):
    graph = concept_edges(
        linear, inputs, source="one", target="two", source_concepts=units(UNITS, [2, 5]),
        target_concepts=units(6, [0, 1, 3]),
    )  # fmt: skip
    found = {(edge.source_name, edge.target_name): edge.relation for edge in graph.significant()}
    assert found == {("unit 2", "unit 0"): "excites", ("unit 2", "unit 1"): "inhibits"}
    for edge in graph.significant():
        assert abs(edge.effect) > 0.3
        assert edge.low <= edge.effect <= edge.high
        assert len(edge.exemplars) == 3


def test_random_directions_are_rarely_found(linear, inputs):
    generator = np.random.default_rng(1)
    p_values = concept_edges(
        linear, inputs, source="one", target="two", source_concepts=generator.normal(size=(60, UNITS)),
        target_concepts=units(6, [3]), examples=16,
    ).column("p_value")  # fmt: skip
    assert (p_values <= 0.1).mean() < 0.25


def test_planted_gates_answer_to_their_sources(grown):
    model = grown.circuit.model
    count = grown.circuit.parameters.primitives
    conjunctions = [gate for gate in grown.circuit.gates if gate.operator in ("and", "alone")]
    graph = concept_edges(
        model, grown.images, source="layer1", target="layer2", source_concepts=np.eye(count),
        target_concepts=units(12, [gate.unit for gate in conjunctions]), batch_size=200,
    )  # fmt: skip
    found = {(edge.source_unit, edge.target_unit) for edge in graph.significant() if edge.relation == "excites"}
    wired = {(source, number) for number, gate in enumerate(conjunctions) for source in gate.sources}
    assert wired <= found
    assert len(found - wired) <= 2


def test_the_kind_finds_concepts_by_itself(grown):
    kind, model = relation_kinds["concept"], grown.circuit.model
    pairs = [("layer1", "layer2"), ("layer2", "classifier")]
    reports: list[Progress] = []
    graph = kind(grown.store, model, grown.images, pairs=pairs, count=4, batch_size=200, progress=reports.append)
    assert len(graph) == 4 * 4 + 4 * 3
    assert len(graph.significant()) > 0
    done = [report.fraction for report in reports]
    assert done == sorted(done)
    assert done[-1] == 1
    with pytest.raises(StoreMismatchError):
        kind(grown.store, plant(Parameters(seed=3)).model, grown.images, pairs=pairs)
    with pytest.raises(InputError, match="count is 0"):
        kind(grown.store, model, grown.images, pairs=pairs, count=0)


def test_results_of_other_methods_are_taken(linear, inputs):
    store = interpret.observe(linear, inputs, layers=["two"])
    labels = np.arange(len(inputs)) % 2
    found = interpret.concepts(store, labels, count=2, negative="clip", layer="two")
    options = {"source": "one", "target": "two", "source_concepts": units(UNITS, [2])}
    by_category = concept_edges(linear, inputs, target_concepts=found, **options)
    assert [edge.target_name for edge in by_category] == ["0 0", "0 1", "1 0", "1 1"]
    drawn = np.random.default_rng(0).normal(size=(2, 3, 6))
    vectors = xr.Dataset({"vector": (("concept", "draw", "unit"), drawn)}, coords={"concept": ["bright", "dark"]})
    by_name = concept_edges(linear, inputs, target_concepts=vectors, **options)
    assert [edge.target_name for edge in by_name] == ["bright", "dark"]


def test_what_cannot_be_tested_says_why(linear, inputs):
    rare = inputs.clone()
    with torch.no_grad():
        linear.module.one.weight[4], linear.module.one.bias[4] = 0, -1
        linear.module.two.weight[5] = 0
    graph = concept_edges(
        linear, rare, source="one", target="two", source_concepts=units(UNITS, [2, 4]),
        target_concepts=units(6, [0, 5]),
    )  # fmt: skip
    edges = {(edge.source_name, edge.target_name): edge for edge in graph}
    assert edges["unit 4", "unit 0"].reason == "unit 4 is present in 0 images; at least 8 are needed"
    assert edges["unit 2", "unit 5"].reason == "the amount of unit 5 is the same in every image"
    assert edges["unit 2", "unit 0"].tested


def test_bad_input_is_named(linear, inputs):
    def ask(**options):
        given = {"source": "one", "target": "two", "source_concepts": np.eye(UNITS)[:2], "target_concepts": np.eye(6)}
        return concept_edges(linear, inputs, **{**given, **options})

    with pytest.raises(InputError, match="comes before it"):
        ask(source="two", target="one")
    with pytest.raises(ShapeError, match="have 6 units, layer 'one' has 24"):
        ask(source_concepts=np.eye(6))
    with pytest.raises(
        InputError, match=r"random_concepts is 100; to reach q = 0\.05 over 12 pairs of concepts at least 239"
    ):
        ask(random_concepts=100)
    for wrong in ({}, xr.Dataset({"weight": ("unit", np.ones(6))})):
        with pytest.raises(InputError):
            ask(target_concepts=wrong)
    with pytest.raises(ShapeError, match="expected"):
        ask(target_concepts=xr.DataArray(np.ones(6), dims="unit"))
    with pytest.raises(NotFiniteError):
        ask(target_concepts=np.full((1, 6), np.nan))
    for option in ({"q": 1.0}, {"examples": 3}):
        with pytest.raises(InputError, match="at least 8 examples"):
            ask(**option)
    with pytest.raises(Interrupted):
        ask(stop=lambda: True)
