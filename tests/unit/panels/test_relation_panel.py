"""The relation panel from code: filters, an edge's evidence, its test on a scene, errors in words, and its code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import xarray as xr
from traitlets import TraitError

from workbench import models, panels, view
from workbench.data.scenes import SceneSource
from workbench.errors import InputError, StoreMismatchError, UnknownNameError
from workbench.interpret import observe, relations
from workbench.interpret.relations import Edge, RelationGraph
from workbench.panels import RelationPanel
from workbench.panels.relation_profile import can_be_tested

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workbench.interpret import Activations
    from workbench.models import ImageModel

CONCEPT = Edge("1", 0, "3", 1, "concept", "excites", 0.4, q_value=0.01, source_name="wheel", target_name="car")
UNTESTED = Edge("1", 0, "3", 1, "causal", "excites", tested=False, reason="active in no image")
JOINT = Edge("1", 0, "3", 1, "causal", "and", 0.4, q_value=0.01, partner_layer="1", partner_unit=2)


@pytest.fixture(scope="module")
def images() -> SceneSource:
    return SceneSource("relation", 80, seed=3)


@pytest.fixture(scope="module")
def model(images: SceneSource) -> ImageModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 5, 5, 4, 2), torch.nn.ReLU(), torch.nn.Conv2d(5, 4, 3, 1, 1), torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(16, 4),
        )  # fmt: skip
    preparation = models.Preprocessing(resize=48, crop=48, mean=0.5, std=0.25)
    return models.load(network, name="small", categories=images.categories, preprocessing=preparation)


@pytest.fixture(scope="module")
def store(model: ImageModel, images: SceneSource) -> Activations:
    return observe(model, images, layers=["1", "3"])


@pytest.fixture(scope="module")
def graph(model: ImageModel, images: SceneSource, store: Activations) -> RelationGraph:
    found = relations.discover(store, model, images, kinds=["spatial", "causal"], q=0.2)
    return RelationGraph.concatenate([found, RelationGraph.from_edges([CONCEPT, UNTESTED, JOINT])])


@pytest.fixture
def panel(graph: RelationGraph, model: ImageModel, images: SceneSource, store: Activations) -> Iterator[RelationPanel]:
    panel = RelationPanel(graph, model, images, store=store)
    panel.state.significant = False
    yield panel
    panel.stop()
    assert panel.wait(30)


def of_kind(graph: RelationGraph, **wanted: Any) -> int:
    return next(
        position
        for position, edge in enumerate(graph)
        if edge.tested
        and edge.effect
        and edge.partner is None
        and all(getattr(edge, key) == value for key, value in wanted.items())
    )


def test_filters_leave_the_strongest_of_each_kind(panel: RelationPanel, graph: RelationGraph) -> None:
    state = panel.state
    state.kind = "spatial"
    assert {graph.edge(each).kind for each in panel.positions()} == {"spatial"}
    everything = len(panel.positions())
    state.strength = 60
    size = [abs(graph.edge(each).effect) for each in panel.positions()]
    assert 0 < len(size) < everything
    assert min(size) >= 0.6 * max(size)
    state.most = 1
    assert len(panel.positions()) == 1
    state.significant = True
    assert all(graph.edge(each).q_value <= 0.05 for each in panel.positions())
    values = [value for value, _ in panel.controls.edge.options]
    assert set(values) >= {str(each) for each in panel.positions()}


def test_a_spatial_edge_has_exemplars_displacements_and_chance(panel: RelationPanel, graph: RelationGraph) -> None:
    panel.state.edge = of_kind(graph, kind="spatial")
    result, edge = panel.result, graph.edge(panel.state.edge)
    assert result["source_maps"].shape[1:] == (12, 12)
    np.testing.assert_allclose(
        np.median(result["displacement"].values, axis=0), [edge.offset_y, edge.offset_x], atol=1e-6
    )
    assert len(result["displacement"]) == edge.images
    assert abs(float(result["chance"].mean())) < 0.1  # by chance, nothing is gained on average
    assert float(result["kept"]) == pytest.approx(edge.effect, abs=1e-6)
    assert float((result["chance"] >= edge.effect).mean()) == pytest.approx(edge.p_value, abs=0.06)
    away = result["displacement"].values
    assert "foretold" not in result
    assert panel.wait(30)
    assert panel.test_box.source == ""
    assert result.attrs["sentence"] in panel.exemplar_box.alt
    assert f"median of {len(away)} images" in panel.exemplar_box.alt
    assert panel.picture_box.said == result.attrs["sentence"]


def test_causal_edges_between_maps_have_displacements_too(panel: RelationPanel, graph: RelationGraph) -> None:
    panel.state.edge = of_kind(graph, kind="causal")
    result = panel.result
    assert result["displacement"].shape == (result.sizes["witness"], 2)
    first, second = result["displacement"].values.T
    assert float(result["kept"]) <= 1
    assert result.attrs["beside"] == "target"
    assert abs(float(result["chance"].mean())) < 0.1
    assert panel.wait(30)
    assert f"median of {len(first)} images" in panel.exemplar_box.alt
    assert np.ptp(first) + np.ptp(second) > 0
    assert "Pairing removes" in panel.exemplar_box.alt


def test_moving_an_object_and_holding_the_unit_move_both_predictions(
    panel: RelationPanel, graph: RelationGraph
) -> None:
    def move(edge: int) -> float:
        asked = replace(panel.request(), edge=edge)
        return float(panel.compute(asked, stop=lambda: False, report=lambda *_: None)["measured"].sel(change="scene"))

    panel.state.across = 0.3
    # the maximum of some units stays where it is
    panel.state.edge = next(each for each, edge in enumerate(graph) if can_be_tested(edge) and move(each) != 0)
    moved = panel.result
    assert float(moved["foretold"].sel(change="scene")) != 0
    assert not np.array_equal(moved["probability"][0], moved["probability"][1])
    assert float(moved["foretold"].sel(change="unit")) == 0
    panel.state.across = 0.0
    assert float(panel.result["measured"].sel(change="scene")) == 0
    panel.state.across = 0.3
    panel.state.hold = 0.0
    held = panel.result
    assert float(held["foretold"].sel(change="unit")) != 0
    assert np.sign(held["measured"].sel(change="unit")) == np.sign(held["foretold"].sel(change="unit"))
    assert panel.wait(30)
    assert panel.test_box.alt == view.counterfactual(held).alt
    assert "Unit held at 0" in panel.test_box.alt


def test_other_edges_are_shown_but_not_tested(panel: RelationPanel, graph: RelationGraph) -> None:
    count = len(graph)
    for position, words in ((count - 3, "wheel"), (count - 2, "not tested"), (count - 1, "and unit 2 of 1")):
        panel.state.edge = position
        assert words in panel.result.attrs["sentence"]
        assert "foretold" not in panel.result
    panel.state.edge = count - 3
    assert "source_maps" not in panel.result
    assert panel.wait(30)
    assert panel.exemplar_box.source


def test_a_click_chooses_the_nearest_edge(panel: RelationPanel, graph: RelationGraph) -> None:
    panel.state.kind, panel.state.edge = "causal", of_kind(graph, kind="causal")
    picture = panel.picture
    assert panel.wait(30)
    wanted = next(each for each in panel.positions() if each != panel.state.edge and graph.edge(each).partner is None)
    line = next(
        patch for patch in picture.figure.axes[0].patches
        if patch.get_gid() == repr((graph.edge(wanted).source, graph.edge(wanted).target, "causal",
                                    graph.edge(wanted).relation, None, ""))
    )  # fmt: skip
    start, first, second, end = line.get_transform().transform(line.get_path().vertices)
    x, y = (start + 3 * first + 3 * second + end) / 8
    panel.point(x / picture.figure.bbox.width, 1 - y / picture.figure.bbox.height)
    assert panel.state.edge == wanted
    panel.point(0.0, 0.0)
    assert panel.state.edge == wanted


def test_the_code_makes_what_the_panel_shows(
    panel: RelationPanel, graph: RelationGraph, model: ImageModel, images: SceneSource
) -> None:
    panel.state.edge = of_kind(graph, kind="causal")
    panel.state.down, panel.state.hold, panel.state.scene = -0.2, 0.5, 4
    made: list[Any] = []
    variables = {"graph": graph, "model": model, "images": images, "store": panel.store, "display": made.append}
    exec(panel.code(), variables)
    assert panel.result is not None
    assert panel.wait(30)
    assert [picture.alt for picture in made][1:] == [panel.exemplar_box.alt, panel.test_box.alt]
    test = variables["test"]
    xr.testing.assert_allclose(panel.result["measured"], test["measured"])


def test_pictures_without_scenes_can_be_held(graph: RelationGraph, model: ImageModel, images: SceneSource) -> None:
    pictures = np.stack([each.image for each in images])
    panel = RelationPanel(graph, model, pictures)
    panel.state.significant = False
    panel.state.edge = of_kind(graph, kind="causal")
    panel.state.hold = 2.0
    with pytest.raises(StoreMismatchError, match="no activations"):
        assert panel.result is not None  # exemplars are named after the scenes
    assert "no activations" in panel.message.text
    own = relations.causal_edges(model, pictures, source="1", target="3", interactions=0, q=0.2)
    panel = RelationPanel(own, model, pictures)
    panel.state.significant, panel.state.hold = False, 2.0
    panel.state.edge = of_kind(own, kind="causal")
    assert float(panel.result["measured"].sel(change="scene")) == 0
    assert panel.controls.across.layout.display == "none"
    assert "images[0].image" in panel.code()
    assert panel.wait(30)


def test_the_outputs_are_called_after_categories(model: ImageModel, images: SceneSource) -> None:
    edge = Edge("1", 0, "6", 2, "causal", "excites", 0.4, q_value=0.01)
    assert RelationPanel(RelationGraph.from_edges([edge]), model, images).names == {("6", 2): images.categories[2]}
    own = {("6", 2): "above"}
    assert RelationPanel(RelationGraph.from_edges([edge]), model, images, names=own).names == own


def test_what_cannot_be_is_refused_in_words(panel: RelationPanel, model: ImageModel, images: SceneSource) -> None:
    for trait, value, error in (
        ("kind", "magic", UnknownNameError), ("kind", "association", UnknownNameError), ("edge", 10**6, InputError),
        ("scene", 80, InputError), ("object", 9, InputError), ("hold", 3.0, TraitError), ("across", 1.0, TraitError),
    ):  # fmt: skip
        with pytest.raises(error):
            setattr(panel.state, trait, value)
    with pytest.raises(InputError, match="no edges"):
        RelationPanel(RelationGraph.from_edges([]), model, images)
    panel.state.edge = -1
    with pytest.raises(InputError, match="No edge is chosen"):
        assert panel.result
    assert "No edge is chosen" in panel.message.text
    with pytest.raises(StoreMismatchError, match="images"):
        panels.edge_profile(panel.graph, 0, panel.store, model, SceneSource("relation", 3))
    with pytest.raises(InputError, match="intervention"):
        panels.edge_wiring(panel.graph, of_kind(panel.graph, kind="spatial"), panel.store, model, images)


def test_drawings_refuse_other_results() -> None:
    for draw in (view.relation_edge, view.counterfactual):
        with pytest.raises(InputError, match="no variable"):
            draw(xr.Dataset())
