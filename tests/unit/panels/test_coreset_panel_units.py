"""What the coreset panel sets side by side: units of a category or a part, and concepts, each beside its match."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from workbench import explain, view
from workbench.data.scenes import SceneSource
from workbench.errors import InputError, ShapeError, UnknownNameError
from workbench.interpret import coreset
from workbench.panels import CoresetPanel, coreset_units
from workbench.stats import match_directions

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.models import ImageModel
    from workbench.store import ActivationStore

    Planted = Callable[..., tuple[xr.DataArray, np.ndarray]]

NAMES = ("left", "right", "up")


@pytest.fixture
def panel(coreset_panel: CoresetPanel) -> CoresetPanel:
    return coreset_panel


def test_a_category_sets_its_units_side_by_side(
    panel: CoresetPanel, labelled: ActivationStore, many: SceneSource
) -> None:
    panel.state.category = "house"
    result = panel.result
    expected = coreset_units(labelled, panel.coreset, category="house", images=many, labels="true", layer="1")
    for name in expected.data_vars:
        xr.testing.assert_equal(result[name].reset_coords(drop=True), expected[name].reset_coords(drop=True))
    assert panel.wait(10)
    assert panel.units_box.alt == view.coreset_units(expected).alt
    panel.state.category = ""
    assert "similarity" not in panel.result
    assert panel.units_box.source == ""


def test_everything_chosen_is_the_same_interpretation(panel: CoresetPanel) -> None:
    panel.state.fraction, panel.state.category = 1.0, "bird"
    result = panel.result
    assert float(result["similarity"]) == pytest.approx(1)
    np.testing.assert_allclose(*result["weight"].values)
    np.testing.assert_array_equal(*result["index"].values)


def test_a_click_takes_the_category_of_the_nearest_point(panel: CoresetPanel) -> None:
    result, figure = panel.result, panel.picture.figure
    at = int(panel.coreset.indices[0])
    x, y = figure.axes[0].transData.transform(result["position"].values[at])
    panel.picture_box._handle(panel.picture_box, {"point": [x / figure.bbox.width, 1 - y / figure.bbox.height]}, [])
    name = panel._names[int(result["category"][at])]
    assert panel.state.category == name
    assert panel.picture_box.said.startswith(f"{result['image'].values[at]}, {name}: chosen; it stands for ")
    panel.state.category = "star"
    assert panel.picture_box.said == "", "it was of another category"
    panel.point(2.0, 2.0)
    assert panel.state.category == "star", "nothing lies there"


def test_features_alone_are_enough(featured: CoresetPanel) -> None:
    featured.state.fraction, featured.state.category = 0.1, "right"
    result = featured.result
    assert result["ranked"].values[:, 0].tolist() == [1, 1]
    assert float(result["similarity"]) > 0.9
    assert "maps" not in result
    assert "pictures" not in result
    assert featured.wait(10)
    assert "Units for right" in featured.units_box.alt


def test_pictures_stand_beside_features_by_position(many: SceneSource, planted: Planted) -> None:
    features, category = planted(48)
    panel = CoresetPanel(features, many, labels=category, categories=NAMES)
    panel.state.category = "up"
    shown = panel.result
    first = int(shown["index"].values[0, 0, 0])
    np.testing.assert_allclose(shown["pictures"].values[0, 0, 0], many[first].image / 255, atol=1e-6)
    panel = CoresetPanel(features, SceneSource("object", 5), labels=category, categories=NAMES)
    panel.state.category = "up"
    with pytest.raises(ShapeError, match="5 images, but features of 48"):
        _ = panel.result
    assert panel.picture_box.source == panel.units_box.source == ""


def test_an_interpretation_without_units_is_refused_in_words(featured: CoresetPanel, planted: Planted) -> None:
    prepared = coreset.subject("relevant_units", featured.data, labels=featured.labels)
    cube = replace(prepared, name="concepts", interpret=lambda *_: np.zeros((3, 2, 8)))
    features, category = planted()
    panel = CoresetPanel(features, labels=category, categories=NAMES, method=cube)
    panel.state.category = "up"
    with pytest.raises(InputError, match=r"concepts gives an array of the shape \(3, 2, 8\)"):
        _ = panel.result


def test_the_target_aware_selector_sees_what_the_method_reads(panel: CoresetPanel, labelled: ActivationStore) -> None:
    panel.state.selector, panel.state.category = "target_aware", "house"
    expected = coreset.choose(
        labelled, selector="target_aware", fraction=0.4, labels="true", layer="1", target="relevant_units"
    )
    np.testing.assert_array_equal(panel.coreset.indices, expected.indices)
    shown: list[Any] = []
    exec(panel.code(), {"images": panel.images, "display": shown.append})
    assert panel.wait(10)
    assert [picture.alt for picture in shown] == [panel.picture.alt, panel.units_box.alt]


CONCEPTS = {"labels": "true", "layer": "1", "count": 3, "negative": "refuse"}


def test_concepts_stand_beside_those_that_they_are_matched_with(labelled: ActivationStore, many: SceneSource) -> None:
    prepared = coreset.subject("concepts", labelled, **CONCEPTS)
    panel = CoresetPanel(labelled, many, labels="true", method=prepared)
    panel.state.fraction, panel.state.category = 0.5, "house"
    result = panel.result
    every, few = np.flatnonzero(prepared.category >= 0), np.sort(panel.coreset.indices)
    house = list(np.unique(prepared.category)).index(panel.category_number("house"))
    whole, found = (prepared.interpret(some, None)[house] for some in (every, few))
    cosine, first, second = match_directions(whole, found)
    assert sorted(result["cosine"].values) == pytest.approx(sorted(cosine[first, second]))
    assert float(result["similarity"]) == pytest.approx(float(cosine[first, second].mean()))
    assert (np.diff(result["strength"].sel(source="all")) <= 0).all(), "the strongest first"
    names = {int(whole[row].argmax()) for row in range(3)}
    assert {int(unit) for unit in result["leading"].sel(source="all")[:, 0]} == names
    members = [few[prepared.category[few] == panel.category_number("house")]]
    shown = result["index"].sel(source="coreset").values
    assert set(shown[shown >= 0]) <= set(members[0])
    peak = result["maps"].max(("y", "x")).values
    np.testing.assert_allclose(peak[shown_places(result)], result["activation"].values[shown_places(result)], rtol=1e-5)
    assert panel.wait(20)
    assert panel.units_box.alt.startswith("Concepts of house. Matched cosine")
    assert "Concept 3: cosine" in panel.units_box.alt
    assert panel.controls.category.label.startswith("Concepts of a category")
    drawn: list[Any] = []
    exec(panel.code(), {"panel": panel, "images": many, "display": drawn.append})
    assert drawn[1].alt == panel.units_box.alt
    panel.state.fraction = 1.0
    np.testing.assert_allclose(panel.result["cosine"], 1, atol=1e-5)


def shown_places(result: xr.Dataset) -> np.ndarray:
    return result["index"].values >= 0


def test_a_category_without_images_has_no_concepts(labelled: ActivationStore) -> None:
    member = np.where(np.asarray(labelled.labels) == 0, 1, labelled.labels)
    prepared = coreset.subject("concepts", labelled, **{**CONCEPTS, "labels": member})
    chosen = coreset.choose(labelled, selector="random", fraction=0.5, labels=member, layer="1")
    with pytest.raises(InputError, match="so it has no concepts"):
        coreset_units(labelled, chosen, category=0, labels=member, layer="1", interpretation=prepared)


def test_a_dissection_sets_the_units_of_a_part_side_by_side(labelled: ActivationStore, many: SceneSource) -> None:
    masks = some_masks()
    prepared = coreset.subject("dissect", labelled, labels="true", layer="1", masks=masks)
    panel = CoresetPanel(labelled, many, labels="true", method=prepared)
    assert list(panel.state.rows) == [str(part) for part in masks["part"].values]
    panel.state.fraction, panel.state.category = 0.5, str(masks["part"].values[1])
    result = panel.result
    every = prepared.interpret(np.arange(48), None)[:, 1]
    np.testing.assert_allclose(result["weight"].sel(source="all"), np.where(every >= 0.04, every, 0))
    few = prepared.interpret(np.sort(panel.coreset.indices), None)[:, 1]
    np.testing.assert_allclose(result["weight"].sel(source="coreset"), np.where(few >= 0.04, few, 0))
    assert panel.wait(20)
    assert panel.units_box.alt.startswith(f"Units for {masks['part'].values[1]}. Cosine")
    assert "By category" in panel.picture.alt, "a part is no category that could be brought out"
    before = panel.state.category
    figure = panel.picture.figure
    x, y = figure.axes[0].transData.transform(result["position"].values[3])
    panel.point(x / figure.bbox.width, 1 - y / figure.bbox.height)
    assert panel.state.category == before, "a click on an image says nothing of a part"
    assert "knows parts, not categories" in panel.picture_box.hint
    with pytest.raises(UnknownNameError, match=r"category 'house'.*knows parts"):
        panel.state.category = "house"
    drawn: list[Any] = []
    exec(panel.code(), {"panel": panel, "images": many, "display": drawn.append})
    assert [picture.alt for picture in drawn] == [panel.picture.alt, panel.units_box.alt]


def some_masks() -> xr.DataArray:
    marked = np.random.default_rng(0).random((48, 3, 8, 8)) > 0.6
    return xr.DataArray(marked, dims=("image", "part", "y", "x"), coords={"part": ["roof", "wing", "leg"]})


def test_rules_set_the_units_of_a_category_side_by_side(
    labelled: ActivationStore, model: ImageModel, many: SceneSource
) -> None:
    heat = explain.gradcam(model, many, layer="1")
    prepared = coreset.subject("rules", labelled, labels="true", layer="1", heatmaps=heat, size=8, most_patches=2)
    panel = CoresetPanel(labelled, many, labels="true", method=prepared)
    panel.state.fraction, panel.state.category = 0.5, "house"
    expected = prepared.interpret(np.arange(48), None)[panel.category_number("house")]
    np.testing.assert_allclose(panel.result["weight"].sel(source="all"), expected)


def test_weights_chosen_with_the_images_are_given_to_the_method(labelled: ActivationStore) -> None:
    prepared = coreset.subject("relevant_units", labelled, labels="true", layers=["1"])
    chosen = coreset.choose(prepared.reading(), selector="target_aware", fraction=0.4, labels=prepared.category)
    result = coreset_units(labelled, chosen, category="house", labels="true", layer="1", interpretation=prepared)
    house = prepared.interpret(chosen.indices, chosen.weights)[labelled.label_categories.index("house")]
    np.testing.assert_allclose(result["weight"].sel(source="coreset"), house, atol=1e-9)
    plain = prepared.interpret(chosen.indices, None)[labelled.label_categories.index("house")]
    assert not np.allclose(house, plain)
