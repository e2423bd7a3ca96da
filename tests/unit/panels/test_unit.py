"""The unit panel from code, and its two functions against their definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from workbench import data
from workbench.data.scenes import SceneSource
from workbench.errors import InputError, Interrupted, StoreMismatchError, UnknownNameError
from workbench.panels import UnitPanel, rank_units, unit_profile
from workbench.panels.unit_profile import as_grid

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.models import ImageModel
    from workbench.store import ActivationStore


@pytest.fixture
def panel(store: ActivationStore, images: SceneSource) -> UnitPanel:
    return UnitPanel(store, images)


def test_a_profile_holds_the_top_images_and_every_maximum(
    store: ActivationStore, images: SceneSource, model: ImageModel
) -> None:
    profile = unit_profile(store, images, layer="1", unit=2, count=3)
    maps = store.unit_map("1", 2).values.astype(np.float32)
    greatest = maps.max((1, 2))
    order = np.argsort(-greatest, kind="stable")[:3]
    np.testing.assert_array_equal(profile["maps"], maps[order])
    np.testing.assert_array_equal(profile["greatest"], store.dataset("1")["max"].values[:, 2])
    assert profile["identifier"].values.tolist() == [store.identifiers[i] for i in order]
    seen = model.pictures(model.prepare(data.Subset(images, order)))
    np.testing.assert_allclose(profile["pictures"], seen, atol=1e-6)
    label = images.categories[images.labels[order[0]]]
    assert profile["title"].values[0].startswith(label)


def test_the_images_may_come_in_another_order_or_be_network_input(
    store: ActivationStore, images: SceneSource, model: ImageModel
) -> None:
    straight = unit_profile(store, images, layer="1", unit=0)
    turned = unit_profile(store, data.Subset(images, np.arange(14)[::-1]), layer="1", unit=0)
    prepared = unit_profile(store, model.prepare(images), layer="1", unit=0)
    xr.testing.assert_equal(straight, turned)
    xr.testing.assert_allclose(straight, prepared)


def test_units_are_ranked_by_the_definition(store: ActivationStore, images: SceneSource) -> None:
    category = images.categories[int(images.labels[0])]
    ranking = rank_units(store, layer="1", category=category)
    maxima = store.dataset("1")["max"].values.astype(np.float64)
    inside = images.labels == images.labels[0]
    scores = (maxima[inside].mean(0) - maxima[~inside].mean(0)) / maxima.std(0)
    np.testing.assert_allclose(ranking.sortby("unit"), scores, rtol=1e-6)
    assert (np.diff(ranking) <= 0).all()


def test_ranking_can_be_stopped(store: ActivationStore, images: SceneSource) -> None:
    with pytest.raises(Interrupted):
        rank_units(store, layer="1", category=images.categories[0], stop=lambda: True)


@pytest.mark.parametrize(
    ("values", "dims", "expected"),
    [
        (np.arange(6.0).reshape(2, 3), ("y", "x"), np.arange(6.0).reshape(2, 3)),
        (np.array(5.0), (), [[5.0]]),
        (np.arange(9.0), ("token",), np.arange(9.0).reshape(3, 3)),
        (np.arange(10.0), ("token",), np.arange(1.0, 10.0).reshape(3, 3)),
        (np.arange(7.0), ("token",), [[6.0]]),
    ],
)
def test_any_layer_has_a_grid(values: np.ndarray, dims: tuple[str, ...], expected: Any) -> None:
    np.testing.assert_array_equal(as_grid(xr.DataArray(values, dims=dims)), expected)


def test_the_panel_shows_the_profile(panel: UnitPanel, store: ActivationStore, images: SceneSource) -> None:
    panel.state.unit, panel.state.count = 3, 5
    xr.testing.assert_identical(panel.result, unit_profile(store, images, layer="1", unit=3, count=5))
    assert "Unit 3 of 1: the 5 images" in panel.picture.alt
    assert panel.picture_box.alt == panel.picture.alt


def test_a_category_is_marked_and_searched_for(panel: UnitPanel, store: ActivationStore, images: SceneSource) -> None:
    category = images.categories[int(images.labels[0])]
    panel.state.category = category
    ranking = rank_units(store, layer="1", category=category)
    assert panel.result["found"].values.tolist() == ranking["unit"].values[:8].tolist()
    assert panel.result["chosen"].values.sum() == (images.labels == images.labels[0]).sum()
    assert len(panel.found_tiles.names) == 6
    panel.found_tiles.value = 1
    assert panel.state.unit == ranking["unit"].values[1]
    assert f"In front, {category}" in panel.picture.alt
    panel.state.category = ""
    assert "chosen" not in panel.result
    assert panel.found_tiles.layout.display == "none"


def test_a_smaller_layer_keeps_the_unit_in_range(panel: UnitPanel) -> None:
    panel.state.layer = "4"
    panel.state.unit = 7
    panel.state.layer = "1"
    assert panel.state.unit == 5
    assert panel.unit_stepper.max == 5
    assert panel.result.attrs["unit"] == 5


def test_controls_set_the_state(panel: UnitPanel) -> None:
    panel.unit_stepper.value = 2
    panel.count_range.value = 4.0
    panel.smooth_toggle.value = True
    assert (panel.state.unit, panel.state.count, panel.state.smooth) == (2, 4, True)
    assert isinstance(panel.state.count, int)
    assert panel.result.sizes["top"] == 4


@pytest.mark.parametrize(
    ("trait", "value", "error", "words"),
    [
        ("layer", "layer9", UnknownNameError, "Unknown layer 'layer9'"),
        ("unit", 6, InputError, "unit is 6; layer '1' has 6"),
        ("category", "hous", UnknownNameError, "Did you mean 'house'"),
    ],
)
def test_a_state_that_cannot_be_is_refused(
    panel: UnitPanel, trait: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        setattr(panel.state, trait, value)


def test_the_code_reproduces_the_result(panel: UnitPanel, images: SceneSource) -> None:
    panel.state.unit, panel.state.category, panel.state.contour = 4, "house", 10
    shown: list[Any] = []
    names: dict[str, Any] = {"images": images, "display": shown.append}
    exec(panel.code(), names)
    xr.testing.assert_equal(names["profile"], panel.result.drop_vars(["selectivity", "found"]))
    assert shown[0].alt == panel.picture.alt


def test_everything_can_be_saved(panel: UnitPanel, tmp_path: Path) -> None:
    panel.state.category = "house"
    for name in ("a.png", "a.svg", "a.nc", "a.zarr"):
        assert panel.save(tmp_path / name).exists()
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["maps"], panel.result["maps"])


def test_images_of_another_set_are_refused_in_words(store: ActivationStore) -> None:
    panel = UnitPanel(store, SceneSource("object", 5, seed=9, size=64))
    with pytest.raises(StoreMismatchError, match=r"images given \(5\) are not those of"):
        _ = panel.result
    assert "Give the images that the store was made of" in panel.message.text


def test_a_path_is_opened_and_an_unknown_layer_refused(store: ActivationStore, images: SceneSource) -> None:
    assert UnitPanel(store.path, images, layer="4").state.layer == "4"
    with pytest.raises(UnknownNameError, match="Unknown layer 'x'"):
        UnitPanel(store, images, layer="x")
