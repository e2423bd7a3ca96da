"""Counterfactual tests of edges: exact where a network is linear, and against interventions in the whole network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from workbench import models
from workbench.data import scenes
from workbench.errors import InputError, Interrupted, ShapeError, StoreMismatchError, UnknownNameError
from workbench.interpret import observe
from workbench.interpret.relations import (
    Edge,
    RelationGraph,
    answers_to,
    by_place,
    causal_edges,
    change_scene,
    compare,
    hold_unit,
    wiring,
    with_names,
)
from workbench.models import Preprocessing, capture, replace_output

SIZE = 24


def network(units: int = 5, targets: int = 3) -> torch.nn.Sequential:
    """Targets that are linear in the means of the units' maps, so that an edge's slope is a weight."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, units, 5, 4, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
            torch.nn.Linear(units, targets),
        )  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return models.load(
        network(), preprocessing=Preprocessing(resize=SIZE, crop=SIZE, mean=0.5, std=0.25), name="linear"
    )


@pytest.fixture(scope="module")
def drawn():
    return [scenes.sample_scene("relation", index, seed=8).scene for index in range(40)]


@pytest.fixture(scope="module")
def before(drawn):
    return np.stack([scene.render(SIZE).image for scene in drawn])


@pytest.fixture(scope="module")
def after(drawn):
    return np.stack([scene.swap(0, 1).remove(0).render(SIZE).image for scene in drawn])


@pytest.fixture(scope="module")
def store(model, before):
    return observe(model, before, layers=["1", "4"])


@pytest.fixture(scope="module")
def graph(model, before):
    return causal_edges(model, before, source="1", target="4", interactions=0)


@pytest.fixture(scope="module")
def wires(graph, store):
    return wiring(graph, store, q=None)


def test_slopes_are_the_weights_of_a_linear_network(wires, model):
    assert (wires.source, wires.target) == ("1", "4")
    np.testing.assert_array_equal(wires.units, np.arange(3))
    weights = model.module[4].weight.detach().numpy().T
    np.testing.assert_allclose(wires.slope[wires.wired], weights[wires.wired], rtol=1e-3)
    assert wires.wired.sum() >= 9


def test_a_linear_network_moves_as_foretold(wires, model, before, after):
    found = change_scene(wires, model, before, after, batch_size=16)
    missing = ~wires.wired.all(axis=1)
    rest = found["source_change"].values[:, missing] @ model.module[4].weight.detach().numpy().T[missing]
    np.testing.assert_allclose(found["predicted"] + rest, found["measured"], atol=1e-4)
    np.testing.assert_allclose(found["value_after"] - found["value_before"], found["measured"])
    assert np.abs(found["measured"]).max() > 0.01


def test_transplanting_is_an_intervention_in_the_whole_network(wires, model, before, after):
    edge = tuple(int(each) for each in np.argwhere(wires.wired)[0])
    found = change_scene(wires, model, before, after, only=edge)
    inputs, others = model.prepare(before), model.prepare(after)
    with torch.no_grad(), capture(model, "1") as seen:
        model.module(others)
    maps = seen["1"]

    def change(output: torch.Tensor) -> torch.Tensor:
        output[:, edge[0]] = maps[:, edge[0]]
        return output

    with torch.no_grad():
        plain = model.module(inputs)
        with replace_output(model, {"1": change}):
            moved = model.module(inputs)
    expected = (moved - plain)[:, edge[1]].numpy()
    np.testing.assert_allclose(found["transplanted"].values[:, 0], expected, atol=1e-5)
    # the rest of the picture moved too
    assert not np.allclose(found["measured"].values[:, 0], expected, atol=1e-3)


def test_a_held_unit_moves_its_targets_along_a_line(wires, model, before):
    unit = int(np.flatnonzero(wires.wired.any(axis=1))[0])
    found = hold_unit(wires, model, before[:6], unit=unit, factors=(0, 1, 3))
    assert found["measured"].dims == ("image", "factor", "target")
    wired = wires.wired[unit]
    np.testing.assert_allclose(found["measured"].values[..., wired], found["predicted"].values[..., wired], atol=1e-4)
    assert (found["measured"].sel(factor=1) == 0).all()


def test_slopes_by_place_tell_here_from_there(before):
    """A target that a unit excites in the left half and inhibits in the right half has no slope that holds anywhere."""
    flat = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 5, 4, 2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(72, 1, bias=False)
    )
    side = torch.ones(2, 6, 6)
    side[:, :, 3:] = -2
    flat[3].weight.data = side.reshape(1, -1)
    torch.nn.init.constant_(flat[0].bias, 0.3)
    model = models.load(flat, preprocessing=Preprocessing(resize=SIZE, crop=SIZE, mean=0.5, std=0.25), name="sided")
    edges = [Edge("1", unit, "3", 0, "causal", "excites", 1.0, 0.5, 1.5, 0.001, 0.001, 40) for unit in (0, 1)]
    wires = wiring(RelationGraph.from_edges(edges), observe(model, before, layers=["1", "3"]))
    placed = by_place(wires, model, before[:20], cells=2)
    # nine positions a cell, and the mean over them
    np.testing.assert_allclose(placed.placed[:, :, 0], np.tile([9.0, -18.0], (2, 2)), rtol=1e-3)
    found = change_scene(placed, model, before[:20], before[20:])
    np.testing.assert_allclose(found["predicted"], found["measured"], rtol=1e-2, atol=1e-3)
    one = change_scene(placed, model, before[:20], before[20:], only=(0, 0))
    np.testing.assert_allclose(one["predicted"], one["transplanted"], rtol=1e-2, atol=1e-3)
    held = hold_unit(placed, model, before[:3], unit=1)
    np.testing.assert_allclose(held["predicted"], held["measured"], rtol=1e-2, atol=1e-3)
    with pytest.raises(InputError, match="6 x 6"):
        by_place(wires, model, before[:2], cells=7)
    with pytest.raises(Interrupted):
        by_place(wires, model, before[:2], stop=lambda: True)


@pytest.mark.parametrize("options", [{"q": 1e-12}, {"target": "nowhere"}, {"active": 1.0}, {"baseline": "swap"}])
def test_what_cannot_be_wired_is_refused(graph, store, options):
    with pytest.raises(InputError):
        wiring(graph, store, **options)


def test_edges_of_another_model_are_refused(store):
    edge = Edge("1", 99, "4", 0, "causal", "excites", 1.0, 0.5, 1.5, 0.001, 0.001, 40)
    with pytest.raises(StoreMismatchError, match="units"):
        wiring(RelationGraph.from_edges([edge]), store)


def test_bad_input_is_named(wires, model, before, after):
    with pytest.raises(ShapeError, match="40 pictures before and 3 after"):
        change_scene(wires, model, before, after[:3])
    with pytest.raises(UnknownNameError, match="lead"):
        change_scene(wires, model, before, after, only=(0, 77))
    with pytest.raises(InputError, match="numbered from 0"):
        hold_unit(wires, model, before, unit=5)
    with pytest.raises(InputError, match="finite"):
        hold_unit(wires, model, before, unit=0, factors=[np.nan])
    with pytest.raises(Interrupted):
        change_scene(wires, model, before, after, stop=lambda: True)
    with pytest.raises(Interrupted):
        hold_unit(wires, model, before, unit=0, stop=lambda: True)


def marked(agreement: float = 0.5, count: int = 240):
    samples = [scenes.sample_scene("object_confounded", index, seed=91, agreement=agreement) for index in range(count)]
    return samples, np.stack([sample.scene.render(96).image for sample in samples])


@pytest.fixture(scope="module")
def cued():
    samples, pictures = marked()
    changed = {
        "mark": np.stack([sample.scene.set_watermark(None).render(96).image for sample in samples]),
        "object": np.stack([sample.scene.remove(0).render(96).image for sample in samples]),
    }
    groups = {"mark": [sample.cue for sample in samples], "object": [sample.label for sample in samples]}
    return pictures, changed, groups


def test_the_confounded_network_answers_to_the_mark_and_the_clean_one_does_not(cued):
    pictures, changed, groups = cued
    graphs = {}
    for name in ("scenes_object", "scenes_object_confounded"):
        model = models.load(name)
        found = answers_to(model, pictures, changed, layer="layer4", groups=groups, categories=model.categories)
        assert found["moved"].dims == ("change", "unit")
        share = np.mean([str(each).startswith("mark of") for each in found["name"].values])
        assert share > 0.6 if name.endswith("confounded") else share == 0
        graph = causal_edges(model, pictures, source="layer4", target="classifier", interactions=0)
        called = {("layer4", unit): str(each) for unit, each in enumerate(found["name"].values)}
        graphs[name] = with_names(graph, called | {("classifier", k): c for k, c in enumerate(model.categories)})
    drift = compare(graphs["scenes_object"], graphs["scenes_object_confounded"], by="name")
    first = drift.isel(edge=slice(0, 3))
    shortcuts = [
        (str(status.values), str(source.values))
        for status, source, target in zip(first["status"], first["source_name"], first["target_name"], strict=True)
        if str(source.values) == f"mark of {target.values}"
    ]
    assert shortcuts
    assert all(status == "appeared" for status, _ in shortcuts)


def test_what_nothing_moves_has_no_name(model, before):
    found = answers_to(model, before[:4], {"nothing": before[:4]}, layer="1")
    assert set(found["name"].values) == {""}
    with pytest.raises(InputError, match="empty"):
        answers_to(model, before, {}, layer="1")
    with pytest.raises(ShapeError, match="as many"):
        answers_to(model, before, {"one": before[:1]}, layer="1")
    with pytest.raises(ShapeError, match="category"):
        answers_to(model, before, {"all": before}, layer="1", groups={"all": [0]}, categories=["a"])
    with pytest.raises(InputError, match="have names"):
        answers_to(model, before[:2], {"all": before[:2]}, layer="1", groups={"all": [0, 3]}, categories=["a"])


def test_names_are_given_to_the_ends_that_are_named(graph):
    named = with_names(graph, {("1", 0): "red"})
    for edge in named:
        assert (edge.source_name, edge.target_name) == ("red" if edge.source_unit == 0 else "", "")
    xr.testing.assert_identical(named.dataset.drop_vars(["source_name"]), graph.dataset.drop_vars(["source_name"]))
