"""The planted circuits do what their truth says: checked against logic on what was placed, not against weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.errors import InputError
from workbench.interpret import observe
from workbench.interpret.relations.planted import GRID, Gate, Parameters, PlantedCircuit, grid, plant
from workbench.interpret.relations.planted_network import REACH, SIDE
from workbench.models import capture, replace_output

COUNT = 120


def fires(gate: Gate, places: set[tuple[int, int, int]], size: int) -> bool:
    """Whether a gate is true anywhere, by looking for its sources at its offsets in a list of placements."""
    for row in range(size):
        for column in range(size):
            seen = [
                (source, row + dy, column + dx) in places
                for source, (dy, dx) in zip(gate.sources, gate.offsets, strict=True)
            ]
            answer = {
                "and": all(seen),
                "or": any(seen),
                "and-not": seen[0] and not seen[-1],
                "alone": seen[0],
            }[gate.operator]
            if answer:
                return True
    return False


def placements(images, index: int) -> set[tuple[int, int, int]]:
    table = np.stack([images[name].values[index] for name in ("primitive", "centre_y", "centre_x")], axis=1)
    return {(int(primitive), int(row), int(column)) for primitive, row, column in table if primitive >= 0}


@pytest.mark.parametrize(
    "changes", [{}, {"saturating": True}, {"confounding": "image"}, {"noise": 0.0}, {"seed": 3}], ids=str
)
def test_gates_answer_as_logic_says(changes):
    circuit = plant(Parameters(**{"noise": 0.02, **changes}))
    images = circuit.images(COUNT, seed=5)
    found = observe(circuit.model, images, layers="layer2").maps["layer2"].max(("y", "x")).values > 0.2
    for gate in circuit.gates:
        truth = [fires(gate, placements(images, index), circuit.parameters.size) for index in range(COUNT)]
        np.testing.assert_array_equal(found[:, gate.unit], truth, err_msg=str(gate))
        assert 0 < np.mean(truth) < 1
    idle = sorted(set(range(found.shape[1])) - {gate.unit for gate in circuit.gates})
    assert len(idle) == circuit.parameters.idle
    assert not found[:, idle].any()


def test_primitives_are_seen_where_they_are_and_nowhere_else():
    circuit = plant()
    images = circuit.images(COUNT)
    maps = observe(circuit.model, images, layers="layer1").maps["layer1"].values
    for index in range(COUNT):
        for primitive, row, column in placements(images, index):
            assert maps[index, primitive, row, column] == pytest.approx(1, abs=0.1)
            maps[index, primitive, row, column] = 0
    assert maps.max() < 0.1


def test_primitives_do_not_overlap_and_stay_inside():
    circuit = plant(Parameters(events=5, distractors=4))
    images = circuit.images(40)
    for index in range(40):
        centres = np.array([place[1:] for place in placements(images, index)])
        apart = np.abs(centres[:, None] - centres[None]).max(2) + SIDE * np.eye(len(centres), dtype=int)
        assert apart.min() >= SIDE
        assert centres.min() >= SIDE // 2
        assert centres.max() < circuit.parameters.size - SIDE // 2


def test_confounded_primitives_always_come_together_and_only_one_is_wired():
    for confounding in ("place", "image"):
        circuit = plant(Parameters(confounding=confounding, noise=0.0))
        images = circuit.images(COUNT)
        present = np.array([[p in {q for q, _, _ in placements(images, i)} for i in range(COUNT)] for p in range(12)])
        edges = {(edge.source_unit, edge.target_unit) for edge in circuit.truth if edge.source_layer == "layer1"}
        wired = [gate for gate in circuit.gates if gate.companion >= 0]
        assert len(wired) == len(circuit.confounded_pairs) == 2
        for gate in wired:
            np.testing.assert_array_equal(present[gate.sources[0]], present[gate.companion])
            assert (gate.sources[0], gate.unit) in edges
            assert (gate.companion, gate.unit) not in edges
            assert not circuit.module.layer2[0].weight[gate.unit, gate.companion].any()


def test_switching_off_one_redundant_source_changes_nothing_and_both_everything():
    circuit = plant(Parameters(noise=0.0))
    (gate,) = (gate for gate in circuit.gates if gate.redundant)
    inputs = circuit.model.prepare(circuit.images(COUNT))

    intact = _gate_height(circuit, inputs, gate.unit)
    assert (intact > 0.4).any()
    for source in gate.sources:
        with torch.no_grad(), replace_output(circuit.module, {"layer1": lambda out, s=source: _without(out, [s])}):
            changed = _gate_height(circuit, inputs, gate.unit)
        torch.testing.assert_close(changed, intact, atol=0.1, rtol=0)
    with torch.no_grad(), replace_output(circuit.module, {"layer1": lambda out: _without(out, list(gate.sources))}):
        assert not _gate_height(circuit, inputs, gate.unit).any()


def _without(output: torch.Tensor, units: list[int]) -> torch.Tensor:
    output[:, units] = 0
    return output


def _gate_height(circuit: PlantedCircuit, inputs: torch.Tensor, unit: int) -> torch.Tensor:
    with torch.no_grad(), capture(circuit.module, "layer2") as found:
        circuit.module(inputs)
    return found["layer2"][:, unit].amax((1, 2))


def test_the_truth_holds_every_wire_with_sign_operator_and_offset():
    circuit = plant(Parameters(noise=0.0))
    weights = circuit.module.layer2[0].weight.detach().numpy()
    single = [edge for edge in circuit.truth if edge.source_layer == "layer1" and edge.partner is None]
    rebuilt = np.zeros_like(weights)
    for edge in single:
        row, column = REACH - int(edge.offset_y), REACH - int(edge.offset_x)
        rebuilt[edge.target_unit, edge.source_unit, row, column] = edge.effect
        assert edge.relation == ("excites" if edge.effect > 0 else "inhibits")
    np.testing.assert_array_equal(rebuilt, weights)
    operators = {edge.target_unit: edge.relation for edge in circuit.truth if edge.partner is not None}
    assert operators == {gate.unit: gate.operator for gate in circuit.gates if len(gate.sources) == 2}
    assert sorted(operators.values()) == ["and", "and", "and-not", "and-not", "or", "or", "or"]
    readout = circuit.truth.filter(source_layer="layer2")
    np.testing.assert_array_equal(circuit.module.classifier.weight.detach(), circuit.wiring)
    assert len(readout) == np.count_nonzero(circuit.wiring) == 9


def test_noise_is_all_that_differs_between_circuits_of_one_seed():
    quiet, loud = (plant(Parameters(noise=noise)) for noise in (0.0, 0.2))
    assert quiet.gates == loud.gates
    difference = (loud.module.layer2[0].weight - quiet.module.layer2[0].weight).detach()
    assert float(difference.std()) == pytest.approx(0.2, rel=0.05)
    np.testing.assert_array_equal(quiet.images(3)["pixels"], loud.images(3)["pixels"])
    assert plant(Parameters(seed=1)).gates != quiet.gates


def test_a_picture_does_not_depend_on_how_many_are_drawn():
    circuit = plant()
    few, many = circuit.images(4, seed=2), circuit.images(9, seed=2)
    np.testing.assert_array_equal(few["pixels"], many["pixels"][:4])
    assert list(few["image"].values) == list(many["image"].values[:4])
    assert (circuit.images(4, seed=3)["pixels"].values != few["pixels"].values).any()


def test_the_grid_varies_each_axis_around_the_reference():
    settings = list(grid())
    assert settings[0] == (2_000, Parameters())
    assert len(set(settings)) == len(settings) == 10 * (5 + 4 + 1 + 1)
    assert {images for images, _ in settings} == set(GRID["images"])
    assert {parameters.noise for _, parameters in settings} == set(GRID["noise"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conjunctions": -1}, "3 wired gates"),
        ({"shared": 3}, "too few"),
        ({"size": 12}, "size is 12"),
        ({"events": 0}, "events is 0"),
        ({"noise": -0.1}, "noise -0.1"),
        ({"confounding": "never"}, "'place' or 'image'"),
    ],
)
def test_circuits_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        Parameters(**changes)


def test_no_pictures_are_refused():
    with pytest.raises(InputError, match="count is 0"):
        plant().images(0)
