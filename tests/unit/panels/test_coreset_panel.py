"""The coreset panel from code: choice, projection, errors in words, what it can be given, and the code it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from workbench import view
from workbench.errors import InputError, NotFiniteError, ShapeError, UnknownNameError
from workbench.interpret import coreset
from workbench.panels import CoresetPanel, coreset_map
from workbench.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workbench.data.scenes import SceneSource
    from workbench.store import ActivationStore

    Planted = Callable[..., tuple[xr.DataArray, np.ndarray]]

NAMES = ("left", "right", "up")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves of two splits: what is tested is what the panel does with them."""
    monkeypatch.setattr("workbench.panels.coreset.SPLITS", 2)
    monkeypatch.setattr("workbench.panels.coreset.RANDOM_DRAWS", 1)


@pytest.fixture
def panel(coreset_panel: CoresetPanel) -> CoresetPanel:
    return coreset_panel


def test_the_result_is_that_of_the_functions(panel: CoresetPanel, labelled: ActivationStore) -> None:
    panel.state.selector, panel.state.seed, panel.state.pool = "random", 3, "max"
    chosen = coreset.choose(labelled, selector="random", fraction=0.4, labels="true", layer="1", pool="max", seed=3)
    xr.testing.assert_identical(panel.result, coreset_map(labelled, chosen, labels="true", layer="1", pool="max"))
    assert sorted(np.flatnonzero(panel.result["chosen"])) == sorted(panel.coreset.indices)
    assert panel.controls.fraction.hint == f"{len(chosen)} of 48 images"
    assert panel.picture_box.alt == panel.picture.alt


def test_controls_set_the_state_and_follow_it(panel: CoresetPanel) -> None:
    controls, state = panel.controls, panel.state
    controls.selector.value = "d2"
    assert state.selector == "d2"
    assert set(controls.parameters.controls) == {"neighbour_count", "gamma"}
    controls.parameters.controls["neighbour_count"].value = 4
    assert state.parameters == {"neighbour_count": 4, "gamma": 1.0}
    controls.fraction.value = 25
    controls.within.value = "all"
    controls.seed.value = 5
    assert (state.fraction, state.within, state.seed) == (0.25, "all", 5)
    controls.category.value = 2
    assert state.category == controls_category(panel, 2)
    state.category = ""
    assert controls.category.value == 0
    assert panel.coreset.parameters["neighbour_count"] == 4


def controls_category(panel: CoresetPanel, index: int) -> str:
    return list(panel.state.categories)[index - 1]


def test_a_fraction_between_two_steps_of_the_slider_is_kept(panel: CoresetPanel) -> None:
    panel.state.fraction = 0.333
    assert panel.controls.fraction.value == 33.5
    assert panel.state.fraction == 0.333
    assert panel.coreset.parameters["fraction"] == 0.333


def test_a_new_selector_appears_by_being_registered(
    labelled: ActivationStore, many: SceneSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry("selector")
    registry._methods.update(coreset.selectors._methods)

    @registry.register(title="The first", source=(), access="activations", returns="indices")
    def first(features: Any, count: int, *, generator: Any) -> Any:
        return np.arange(count)

    for module in ("panels.coreset_controls", "panels.coreset_profile", "interpret.coreset.choice"):
        monkeypatch.setattr(f"workbench.{module}.selectors", registry)
    panel = CoresetPanel(labelled, many, labels="true")
    assert ["first", "The first"] in panel.controls.selector.options
    panel.state.selector, panel.state.within, panel.state.fraction = "first", "all", 0.25
    assert np.flatnonzero(panel.result["chosen"]).tolist() == list(range(12))
    assert "chosen by The first, over all images" in panel.picture.alt


@pytest.mark.parametrize(
    ("trait", "value", "error", "words"),
    [
        ("layer", "layer9", UnknownNameError, "layer 'layer9'"),
        ("pool", "min", UnknownNameError, "pool 'min'"),
        ("projection", "given", UnknownNameError, "projection 'given'"),
        ("selector", "herdin", UnknownNameError, "selector 'herdin'.*herding"),
        ("parameters", {"gama": 1}, UnknownNameError, "parameter of herding 'gama'"),
        ("fraction", 0.0, InputError, r"fraction is 0\.0; expected above 0 and at most 1"),
        ("fraction", 1.5, InputError, r"fraction is 1\.5"),
        ("within", "some", UnknownNameError, "within 'some'"),
        ("category", "hous", UnknownNameError, "category 'hous'.*house"),
    ],
)
def test_a_state_that_cannot_be_is_refused(
    panel: CoresetPanel, trait: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        setattr(panel.state, trait, value)


def test_the_projection_is_computed_once(featured: CoresetPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original = featured._planes.get

    def counted(key: Any, compute: Any) -> Any:
        return original(key, lambda: (calls.append(key), compute())[1])

    monkeypatch.setattr(featured._planes, "get", counted)
    assert featured.result.sizes["image"] == 90
    for seed in range(1, 4):
        featured.state.seed = seed
        assert featured.wait(10)
    assert len(calls) == 1
    featured.state.projection = "means"
    assert "category means 1" in featured.picture.alt
    assert len(calls) == 2


def test_features_without_labels_are_chosen_over_all(many: SceneSource, planted: Planted) -> None:
    panel = CoresetPanel(planted(48)[0], many)
    assert panel.state.within == "all"
    assert panel.controls.category.layout.display == "none"
    assert "over all images" in panel.picture.alt
    with pytest.raises(UnknownNameError, match=r"within 'category'.*Give the panel labels="):
        panel.state.within = "category"
    panel.state.curve = True
    with pytest.raises(InputError, match="Give the panel labels="):
        _ = panel.curve
    assert "Give the panel labels=" in panel.similarity.message.text
    assert panel.error is None, "the points are still there"
    assert panel.picture_box.source


def test_positions_of_ones_own_are_shown(featured: CoresetPanel, planted: Planted) -> None:
    features, category = planted()
    own = np.stack([np.arange(90.0), np.zeros(90)], axis=1)
    panel = CoresetPanel(features, labels=category, categories=NAMES, positions=own)
    np.testing.assert_array_equal(panel.result["position"], own)
    assert panel.result.attrs["projection"] == "given"
    panel.state.projection = "pca"
    xr.testing.assert_equal(panel.result["position"], featured.result["position"])
    with pytest.raises(ShapeError, match="expected \\(image, axis\\) of 90 images and 2 axes"):
        CoresetPanel(features, labels=category, categories=NAMES, positions=own[:, :1])


def test_the_code_reproduces_everything(panel: CoresetPanel, many: SceneSource) -> None:
    panel.state.selector, panel.state.category, panel.state.curve = "d2", "house", True
    panel.state.parameters = {"gamma": 0.5}
    shown: list[Any] = []
    names: dict[str, Any] = {"images": many, "display": shown.append}
    exec(panel.code(), names)
    for name, values in names["result"].data_vars.items():
        xr.testing.assert_equal(values, panel.result[name])
    assert names["result"].attrs.items() <= panel.result.attrs.items()
    xr.testing.assert_identical(names["curve"], panel.curve)
    assert panel.wait(10)
    assert [picture.alt for picture in shown] == [
        panel.picture.alt, panel.units_box.alt, panel.similarity.box.alt,
    ]  # fmt: skip
    assert panel.actions.code == panel.code()


def test_the_code_says_what_the_panel_was_given(planted: Planted) -> None:
    features, category = planted()
    own = np.zeros((90, 2))
    method = coreset.subject(
        "relevant_units", CoresetPanel(features, labels=category, categories=NAMES).data, labels=category
    )
    panel = CoresetPanel(features, labels=category, categories=NAMES, positions=own, method=method)
    panel.state.category, panel.state.within = "up", "all"
    shown: list[Any] = []
    names: dict[str, Any] = {
        "data": panel.data, "labels": category, "positions": own, "panel": panel, "display": shown.append,
    }  # fmt: skip
    exec(panel.code(), names)
    assert [picture.alt for picture in shown] == [panel.picture.alt, view.coreset_units(panel.result).alt]


def test_everything_can_be_saved(panel: CoresetPanel, tmp_path: Path) -> None:
    panel.state.category = "house"
    for name in ("a.png", "a.svg", "a.nc", "a.zarr"):
        assert panel.save(tmp_path / name).exists()
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["position"], panel.result["position"])
        np.testing.assert_array_equal(opened["weight"], panel.result["weight"])


def test_bad_features_are_refused_in_words(planted: Planted) -> None:
    features, category = planted()
    constant = CoresetPanel(features * 0, labels=category, categories=NAMES)
    with pytest.raises(InputError, match="same features"):
        _ = constant.result
    assert "same features" in constant.message.text
    features[3, 2] = np.nan
    with pytest.raises(NotFiniteError):
        _ = CoresetPanel(features, labels=category, categories=NAMES).result


def test_labels_that_cannot_be_are_refused(labelled: ActivationStore, planted: Planted) -> None:
    features, category = planted()
    with pytest.raises(ShapeError, match="3 labels for 90 images"):
        CoresetPanel(features, labels=category[:3], categories=NAMES)
    with pytest.raises(InputError, match="labels is 'wrong'"):
        CoresetPanel(labelled, labels="wrong")
    with pytest.raises(UnknownNameError, match="layer 'x'"):
        CoresetPanel(labelled, labels="true", layer="x")


def test_a_path_is_opened_and_many_categories_get_a_menu(labelled: ActivationStore, planted: Planted) -> None:
    assert CoresetPanel(labelled.path, labels="true", layer="4").state.layer == "4"
    features, _ = planted(90)
    panel = CoresetPanel(features, labels=np.arange(90) % 30, categories=["same"] * 2 + [f"c{i}" for i in range(28)])
    panel.controls.category.value = "1"
    assert panel.state.category == "1", "two categories are called the same"
    panel.state.fraction = 0.9
    assert panel.result.attrs["category"] == "same"
