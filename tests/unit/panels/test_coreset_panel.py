"""The coreset panel from code: choice, units of a category, curve, errors in words, and what it can be given."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from workbench import view
from workbench.data.scenes import SceneSource
from workbench.errors import InputError, Interrupted, NotFiniteError, ShapeError, UnknownNameError
from workbench.interpret import coreset
from workbench.interpret.reading import map_blocks
from workbench.panels import CoresetPanel, coreset_map, coreset_units
from workbench.panels.coreset_work import Memory, Stoppable
from workbench.registry import Registry
from workbench.store import ActivationStore
from workbench.view.coreset_curve import enough_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workbench.models import ImageModel

NAMES = ("left", "right", "up")
SPLITS, RANDOM_DRAWS = 2, 1
INTERPRETATIONS = SPLITS * (2 + 8 * (RANDOM_DRAWS + 1))  # of a curve: both halves, and eight fractions


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves of two splits: what is tested is what the panel does with them."""
    monkeypatch.setattr("workbench.panels.coreset.SPLITS", SPLITS)
    monkeypatch.setattr("workbench.panels.coreset.RANDOM_DRAWS", RANDOM_DRAWS)


@pytest.fixture(scope="module")
def many() -> SceneSource:
    return SceneSource("object", 48, size=64)


@pytest.fixture(scope="module")
def labelled(model: ImageModel, many: SceneSource, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    path = tmp_path_factory.mktemp("store") / "many.zarr"
    return ActivationStore.extract(model, many, layers=["1", "4"], path=path, labels=many.labels, progress=False)


@pytest.fixture
def panel(labelled: ActivationStore, many: SceneSource) -> Iterator[CoresetPanel]:
    panel = CoresetPanel(labelled, many, labels="true")
    panel.state.fraction = 0.4
    yield panel
    panel.stop()
    assert panel.wait(20)


def planted(images: int = 90) -> tuple[xr.DataArray, np.ndarray]:
    """Features in which unit 0 belongs to the first category, unit 1 to the second, and unit 2 to the third."""
    generator = np.random.default_rng(0)
    category = np.arange(images) % 3
    values = generator.random((images, 8)).astype(np.float32)
    values[np.arange(images), category] += 3
    return xr.DataArray(values, dims=("image", "unit")), category


@pytest.fixture
def featured() -> Iterator[CoresetPanel]:
    features, category = planted()
    panel = CoresetPanel(features, labels=category, categories=NAMES)
    yield panel
    panel.stop()
    assert panel.wait(20)


def test_the_result_is_that_of_the_functions(panel: CoresetPanel, labelled: ActivationStore) -> None:
    panel.state.selector, panel.state.seed, panel.state.pool = "random", 3, "max"
    chosen = coreset.choose(labelled, selector="random", fraction=0.4, labels="true", layer="1", pool="max", seed=3)
    xr.testing.assert_identical(panel.result, coreset_map(labelled, chosen, labels="true", layer="1", pool="max"))
    assert sorted(np.flatnonzero(panel.result["chosen"])) == sorted(panel.coreset.indices)
    assert panel.controls.fraction.hint == f"{len(chosen)} of 48 images"
    assert panel.picture_box.alt == panel.picture.alt


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


def test_features_alone_are_enough(featured: CoresetPanel) -> None:
    featured.state.fraction, featured.state.category = 0.1, "right"
    result = featured.result
    assert result["ranked"].values[:, 0].tolist() == [1, 1]
    assert float(result["similarity"]) > 0.9
    assert "maps" not in result
    assert "pictures" not in result
    assert featured.wait(10)
    assert "Units for right" in featured.units_box.alt


def test_features_without_labels_are_chosen_over_all(many: SceneSource) -> None:
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


def test_pictures_stand_beside_features_by_position(many: SceneSource) -> None:
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


def test_positions_of_ones_own_are_shown(featured: CoresetPanel) -> None:
    features, category = planted()
    own = np.stack([np.arange(90.0), np.zeros(90)], axis=1)
    panel = CoresetPanel(features, labels=category, categories=NAMES, positions=own)
    np.testing.assert_array_equal(panel.result["position"], own)
    assert panel.result.attrs["projection"] == "given"
    panel.state.projection = "pca"
    xr.testing.assert_equal(panel.result["position"], featured.result["position"])
    with pytest.raises(ShapeError, match="expected \\(image, axis\\) of 90 images and 2 axes"):
        CoresetPanel(features, labels=category, categories=NAMES, positions=own[:, :1])


def test_the_curve_is_that_of_the_function_and_remembers(featured: CoresetPanel) -> None:
    featured.state.curve = True
    prepared = coreset.subject("relevant_units", featured.data, labels=featured.labels, layers=["features"])
    expected = coreset.coreset_curve(
        prepared,
        featured.data,
        ["random", "herding"],
        splits=SPLITS,
        random_draws=RANDOM_DRAWS,
        pools={},
        progress=False,
    )
    xr.testing.assert_identical(featured.curve, expected)
    assert featured.wait(10)
    assert "ceiling" in featured.similarity.box.alt
    assert featured.similarity.progress.text == enough_in_words(expected, "herding")
    made: list[int] = []
    inner = featured._subjects._known["features"]
    featured._subjects._known["features"] = replace(
        inner, interpret=lambda *given: (made.append(1), inner.interpret(*given))[1]
    )
    featured.state.selector = "moderate"
    assert set(featured.curve["selector"].values) == {"random", "moderate"}
    assert 0 < len(made) <= SPLITS * 8, "halves and random coresets were known"


def test_a_finished_curve_is_shown_and_nothing_is_computed(featured: CoresetPanel) -> None:
    featured.state.curve = True
    finished = featured.curve
    features, category = planted()
    panel = CoresetPanel(features, labels=category, categories=NAMES, curve=finished)
    assert panel.state.curve
    assert panel.curve is finished
    assert panel.wait(10)
    first = panel.similarity.box.source
    assert first
    panel.state.fraction = 0.3
    assert panel.wait(10)
    assert panel.similarity.box.source != first, "the mark has moved"
    panel.state.selector = "moderate"
    assert panel.wait(10)
    assert "does not hold moderate" in panel.similarity.progress.text
    assert not panel._subjects._known
    with pytest.raises(InputError, match="expected what coreset_curve gives"):
        CoresetPanel(features, labels=category, curve=xr.Dataset())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Interpretations that take at least 20 ms; one entry each."""
    made: list[int] = []
    original = coreset.subject

    def slowly(*given: Any, **options: Any) -> Any:
        prepared = original(*given, **options)

        def interpret(*some: Any) -> Any:
            made.append(1)
            time.sleep(0.02)
            return prepared.interpret(*some)

        return replace(prepared, interpret=interpret)

    monkeypatch.setattr("workbench.panels.coreset.subject", slowly)
    return made


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def test_a_curve_is_stopped_and_goes_on_where_it_was(featured: CoresetPanel, slow: list[int]) -> None:
    featured.start()
    featured.state.curve = True
    wait_for(lambda: len(slow) > 10)
    assert "left" in featured.similarity.progress.text
    assert featured.similarity.progress.running
    featured.state.fraction = 0.5
    assert featured._computing.wait(10), "the points do not wait for the curve"
    assert int(featured._result["chosen"].sum()) == 45
    featured.similarity.progress._handle(None, {"stop": True}, [])
    assert featured.similarity.wait(10)
    assert featured.curve is None
    assert featured.similarity.progress.text.startswith("Stopped.")
    assert len(slow) < INTERPRETATIONS
    featured.state.curve = False
    featured.state.curve = True
    assert featured.curve is not None
    assert len(slow) <= INTERPRETATIONS, "what was made before the stop was not made again"


def test_a_newer_curve_cancels_an_older_one(featured: CoresetPanel, slow: list[int]) -> None:
    featured.start()
    featured.state.curve = True
    wait_for(lambda: len(slow) > 5)
    featured.state.selector = "random"
    assert featured.curve["selector"].values.tolist() == ["random"]
    assert not any("herding" in str(key) for key in featured._curves._known)


def test_hiding_the_curve_stops_it(featured: CoresetPanel, slow: list[int]) -> None:
    featured.start()
    featured.state.curve = True
    wait_for(lambda: len(slow) > 5)
    featured.state.curve = False
    assert featured.wait(10)
    assert len(slow) < INTERPRETATIONS
    assert featured.similarity.widget.layout.display == "none"
    assert featured.curve is None


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


def test_the_code_says_what_the_panel_was_given() -> None:
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


def test_bad_features_are_refused_in_words() -> None:
    features, category = planted()
    constant = CoresetPanel(features * 0, labels=category, categories=NAMES)
    with pytest.raises(InputError, match="same features"):
        _ = constant.result
    assert "same features" in constant.message.text
    features[3, 2] = np.nan
    with pytest.raises(NotFiniteError):
        _ = CoresetPanel(features, labels=category, categories=NAMES).result


def test_labels_that_cannot_be_are_refused(labelled: ActivationStore) -> None:
    features, category = planted()
    with pytest.raises(ShapeError, match="3 labels for 90 images"):
        CoresetPanel(features, labels=category[:3], categories=NAMES)
    with pytest.raises(InputError, match="labels is 'wrong'"):
        CoresetPanel(labelled, labels="wrong")
    with pytest.raises(UnknownNameError, match="layer 'x'"):
        CoresetPanel(labelled, labels="true", layer="x")


def test_a_path_is_opened_and_many_categories_get_a_menu(labelled: ActivationStore) -> None:
    assert CoresetPanel(labelled.path, labels="true", layer="4").state.layer == "4"
    features, _ = planted(90)
    panel = CoresetPanel(features, labels=np.arange(90) % 30, categories=["same"] * 2 + [f"c{i}" for i in range(28)])
    panel.controls.category.value = "1"
    assert panel.state.category == "1", "two categories are called the same"
    panel.state.fraction = 0.9
    assert panel.result.attrs["category"] == "same"


def test_an_interpretation_without_units_is_refused_in_words(featured: CoresetPanel) -> None:
    prepared = coreset.subject("relevant_units", featured.data, labels=featured.labels)
    cube = replace(prepared, name="concepts", interpret=lambda *_: np.zeros((3, 2, 8)))
    features, category = planted()
    panel = CoresetPanel(features, labels=category, categories=NAMES, method=cube)
    panel.state.category = "up"
    with pytest.raises(InputError, match=r"concepts gives an array of the shape \(3, 2, 8\)"):
        _ = panel.result


def test_reading_asks_whether_to_go_on(labelled: ActivationStore) -> None:
    source = Stoppable(labelled)
    assert source.layers == labelled.layers
    assert list(source.label_categories) == list(labelled.label_categories)
    np.testing.assert_array_equal(source.labels, labelled.labels)
    np.testing.assert_array_equal(source.predicted, labelled.predicted)
    xr.testing.assert_equal(source.quantile("1", 0.5), labelled.quantile("1", 0.5))
    seen: list[str] = []
    with source.asking(lambda: True):
        with pytest.raises(Interrupted, match="Stopped on request"):
            list(map_blocks(source, "1"))
        other = threading.Thread(target=lambda: seen.append(source.dataset("1").sizes["image"]))
        other.start()
        other.join()
    assert seen == [48], "another thread asked nothing"
    assert source.dataset("1").sizes["image"] == 48, "and this one asks no more"


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


def test_memory_keeps_no_more_than_it_may(featured: CoresetPanel) -> None:
    prepared = coreset.subject("relevant_units", featured.data, labels=featured.labels)
    size = prepared.interpret(np.arange(90), None).nbytes
    memory, told = Memory(most=2 * size), []
    watched = memory.around(prepared, stop=lambda: False, told=lambda: told.append(1))
    for start in (0, 1, 2, 2):
        np.testing.assert_array_equal(
            watched.interpret(np.arange(start, 90), None), prepared.interpret(np.arange(start, 90), None)
        )
    assert len(memory) == 2
    assert len(told) == 4
    weights = np.arange(1.0, 91.0)
    assert not np.array_equal(watched.interpret(np.arange(90), None), watched.interpret(np.arange(90), weights)), (
        "weights are part of the question"
    )
