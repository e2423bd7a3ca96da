"""The benchmark's scores, on graphs whose scores are known."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest

from workbench.interpret.relations import Edge, RelationGraph
from workbench.interpret.relations.planted import Parameters, PlantedCircuit, plant

FILE = Path(__file__).parents[4] / "benchmarks" / "relations.py"


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    specification = importlib.util.spec_from_file_location("relations_benchmark", FILE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, specification.name, module)  # where dataclasses look up their annotations
        specification.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def circuit() -> PlantedCircuit:
    return plant(Parameters(seed=4))


def perfect(circuit: PlantedCircuit) -> list[Edge]:
    """Every planted edge as significant, and one false pair that is not."""
    edges = [replace(edge, p_value=0.0, q_value=0.0) for edge in circuit.truth]
    false = {(source, unit) for source in range(12) for unit in range(12)}
    false -= {(edge.source_unit, edge.target_unit) for edge in edges if edge.source_layer == "layer1"}
    return [*edges, *(Edge("layer1", u, "layer2", v, "causal", "excites", 0.01, q_value=0.9) for u, v in sorted(false))]


def sided(benchmark: ModuleType, circuit: PlantedCircuit) -> list[Edge]:
    """Every condition that "and" gates set, as significant."""
    return [
        Edge(
            *source, *target, "causal", "excites", 1.0, q_value=0.0, partner_layer=other[0], partner_unit=other[1],
            condition=side,
        )
        for source, target, other, side in benchmark.planted_sides(circuit)
    ]  # fmt: skip


def test_a_graph_without_mistakes_has_full_marks(benchmark, circuit):
    edges = [*perfect(circuit), *sided(benchmark, circuit)]
    scores = benchmark.judge(circuit, RelationGraph.from_edges(edges), "causal")
    assert scores == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "auprc": 1.0, "sign": 1.0, "operator": 1.0, "offset": 0.0,
        "shd": 0, "by_noise": None, "sides": 1.0, "false_sides": 0, "confounded": 0.0,
    }  # fmt: skip


def test_each_mistake_costs_what_it_should(benchmark, circuit):
    edges = perfect(circuit)
    single = [index for index, edge in enumerate(edges) if edge.partner is None and edge.q_value == 0]
    assert len(single) == 25

    def scores(changes: dict[int, Edge | None], more: tuple[Edge, ...] = ()) -> dict[str, float]:
        changed = [changes.get(index, edge) for index, edge in enumerate(edges)]
        graph = RelationGraph.from_edges([*(edge for edge in changed if edge is not None), *more])
        return benchmark.judge(circuit, graph, "causal")

    missed = scores({single[0]: replace(edges[single[0]], q_value=0.5)})
    assert (missed["precision"], missed["recall"], missed["shd"]) == (1.0, 24 / 25, 1)
    other = {"excites": "inhibits", "inhibits": "excites"}[edges[single[0]].relation]
    flipped = scores({single[0]: replace(edges[single[0]], relation=other)})
    assert (flipped["f1"], flipped["sign"], flipped["shd"]) == (1.0, 24 / 25, 1)
    source, target = circuit.confounded_pairs[0]
    fooled = scores({}, (Edge("layer1", source, "layer2", target, "causal", "excites", 1.0, q_value=0.0),))
    assert (fooled["confounded"], fooled["shd"], fooled["by_noise"]) == (0.5, 1, 0.0)
    assert fooled["precision"] == pytest.approx(25 / 26)
    shifted = {
        index: replace(edges[index], offset_x=edges[index].offset_x + 2, offset_y=edges[index].offset_y)
        for index in single
    }
    assert scores(shifted)["offset"] == pytest.approx(2)


def test_operators_count_whichever_source_comes_first_unless_that_matters(benchmark, circuit):
    def share(change) -> float:
        edges = [change(edge) if edge.partner is not None else edge for edge in perfect(circuit)]
        return benchmark.operators(circuit, RelationGraph.from_edges(edges))

    def swapped(edge: Edge) -> Edge:
        return replace(edge, source_unit=edge.partner_unit, partner_unit=edge.source_unit)

    assert share(lambda edge: edge) == 1
    assert share(lambda edge: swapped(edge) if edge.relation != "and-not" else edge) == 1
    assert share(swapped) == pytest.approx(5 / 7)
    assert share(lambda edge: replace(edge, relation="and")) == pytest.approx(2 / 7)


def test_sides_are_judged(benchmark, circuit):
    edges = sided(benchmark, circuit)
    gate = next(gate for gate in circuit.gates if gate.operator == "and")
    down = gate.offsets[0][0] - gate.offsets[1][0]
    right = gate.offsets[0][1] - gate.offsets[1][1]
    words = {edge.condition for edge in edges if edge.source_unit == gate.sources[0] and edge.target_unit == gate.unit}
    assert words == {
        *([] if down == 0 else ["above" if down < 0 else "below"]),
        *([] if right == 0 else ["left of" if right < 0 else "right of"]),
    }
    wrong = [replace(edges[0], condition={"left of": "right of"}.get(edges[0].condition, "left of")), *edges[1:]]
    assert benchmark.sides(circuit, RelationGraph.from_edges(wrong))[0] == pytest.approx(1 - 1 / len(edges))
    false = replace(edges[0], source_layer="layer2", partner_layer="layer2", target_layer="classifier")
    assert benchmark.sides(circuit, RelationGraph.from_edges([*edges, false])) == (1.0, 1)


def test_places_are_judged_between_layers_of_maps_only(benchmark, circuit):
    edges = [edge for edge in perfect(circuit) if edge.source_layer == "layer1" and edge.partner is None]
    scores = benchmark.judge(circuit, RelationGraph.from_edges(edges), "spatial")
    assert scores["recall"] == 1
    assert scores["sign"] is None
    assert scores["operator"] is None


def test_weights_of_companions_are_those_of_the_network(benchmark, circuit):
    row = {"images": 2_000, **asdict(circuit.parameters), "causal": {"confounded": 0.5}}
    wired, others = benchmark.companion_weights([row])
    weight = circuit.module.layer2[0].weight.detach()
    gates = [gate for gate in circuit.gates if gate.companion >= 0]
    places = [(gate.unit, gate.companion, *(5 + away for away in gate.companion_offset)) for gate in gates]
    expected = sorted(float(weight[place]) for place in places)
    assert (wired, others) == (expected[:1], expected[1:])
    assert benchmark.companion_weights([{**row, "causal": {"confounded": 0.0}}]) == ([], expected)


def test_the_reference_comes_first(benchmark):
    settings = benchmark.settings(2, 300)
    first = benchmark.settings(2, 10_000)
    assert [images for images, _ in first[:5]] == [2_000] * 4 + [100]
    assert [each.saturating for _, each in first[:4]] == [False, False, True, True]
    assert {images for images, _ in settings} == {100, 300}
    more = benchmark.settings(2, 10_000, 14)
    assert len(more) == len(first) + 4
    assert [each.seed for images, each in more if images == 2_000 and each not in [one for _, one in first]] == [
        *range(10, 14)
    ]
