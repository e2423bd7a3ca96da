"""The explanation panel from code: state, result, code, files, errors."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from workbench import data, explain, models
from workbench.errors import DamagedFileError, InputError, UnknownNameError
from workbench.explain.occlusion import Passes
from workbench.panels import ExplanationPanel
from workbench.panels.gallery import LARGEST_UPLOAD, decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workbench.data.scenes import SceneSource
    from workbench.models import ImageModel


@pytest.fixture
def panel(model: ImageModel, images: SceneSource) -> Iterator[ExplanationPanel]:
    panel = ExplanationPanel(model, images)
    yield panel
    panel.stop()
    assert panel.wait(10)


def png(height: int = 20, width: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_nothing_is_computed_before_anyone_looks(panel: ExplanationPanel) -> None:
    panel.state.image = 2
    assert not panel._computing.busy
    assert panel.picture_box.source == ""
    assert panel.result.attrs["image"] == "object-0-0000002"


def test_the_result_is_that_of_the_function(panel: ExplanationPanel, model: ImageModel, images: SceneSource) -> None:
    panel.state.image = 3
    panel.state.target = "star"
    panel.state.parameters = {"patch": 8, "stride": 4}
    expected = explain.occlusion(model, data.Subset(images, np.array([3])), target="star", patch=8, stride=4)
    result = panel.result
    np.testing.assert_array_equal(result["heatmap"].sel(explainer="Occlusion"), expected[0])
    np.testing.assert_array_equal(result["signed"][0], expected["signed"][0])
    assert (result.attrs["target"], result.attrs["complete"]) == ("star", 1)
    assert result["picture"].shape == (32, 32, 3)
    assert float(result["probability"].sum()) == pytest.approx(1)


def test_without_a_target_the_prediction_is_explained(panel: ExplanationPanel, model: ImageModel) -> None:
    result = panel.result
    assert result.attrs["target"] == str(result["probability"].idxmax().item())
    assert result.attrs["target"] in panel.target_choice.hint
    assert panel.progress.text.startswith("Done")


def test_two_methods_side_by_side(panel: ExplanationPanel) -> None:
    panel.state.compare, panel.state.second_method = True, "occlusion"
    panel.state.second_parameters = {"patch": 16}
    assert panel.result["explainer"].values.tolist() == ["Occlusion", "Occlusion (second)"]
    assert not np.array_equal(*panel.result["heatmap"].values)
    assert "2 heatmaps" in panel.picture.alt


def test_another_method_brings_its_own_parameters(panel: ExplanationPanel) -> None:
    panel.state.parameters = {"patch": 8}
    panel.state.method = "integrated_gradients"
    assert set(panel.state.parameters) == set(explain.explainers["integrated_gradients"].card.parameters)
    assert set(panel.method_controls.controls) == set(panel.state.parameters)
    assert panel.result["explainer"].item() == "Integrated gradients"


def test_how_it_is_drawn_does_not_compute_again(panel: ExplanationPanel, model: ImageModel) -> None:
    before = panel.result
    passes: list[int] = []
    hook = model.module.register_forward_hook(lambda *_: passes.append(1))
    first = panel.picture_box.source
    panel.state.opacity, panel.state.contour = 0.2, 10
    assert panel.wait(10)
    assert panel.picture_box.source != first
    panel.state.image = 1
    panel.state.image = 0
    np.testing.assert_array_equal(panel.result["heatmap"], before["heatmap"])
    panel.stop()
    hook.remove()
    assert len(passes) <= 12, "going back is answered from the cache"


def test_controls_and_state_follow_each_other(panel: ExplanationPanel) -> None:
    panel.opacity_range.value = 0.3
    panel.gallery.tiles.value = 4
    panel.method_controls.controls["patch"].value = 8
    assert (panel.state.opacity, panel.state.image, panel.state.parameters["patch"]) == (0.3, 4, 8)
    panel.state.image = 12
    assert (panel.gallery.stepper.value, panel.gallery.tiles.value) == (12, 2)
    assert panel.gallery.tiles.names == ["object-0-0000010", "object-0-0000011", "object-0-0000012", "object-0-0000013"]
    panel.gallery.stepper.value = 0
    assert (panel.state.image, panel.gallery.tiles.value) == (0, 0)


@pytest.mark.parametrize(
    ("trait", "value", "error", "words"),
    [
        ("image", 14, InputError, "image is 14; there are 14"),
        ("model", "vgg", UnknownNameError, "Unknown model 'vgg'"),
        ("target", "hous", UnknownNameError, "Did you mean 'house'"),
        ("method", "oclusion", UnknownNameError, "Did you mean 'occlusion'"),
        ("parameters", {"size": 3}, UnknownNameError, "parameter of occlusion 'size'"),
    ],
)
def test_a_state_that_cannot_be_is_refused(
    panel: ExplanationPanel, trait: str, value: Any, error: type[Exception], words: str
) -> None:
    before = getattr(panel.state, trait)
    with pytest.raises(error, match=words):
        setattr(panel.state, trait, value)
    assert getattr(panel.state, trait) == before


def test_an_error_is_shown_raised_and_overcome(panel: ExplanationPanel) -> None:
    panel.state.parameters = {"patch": 4, "stride": 16}
    with pytest.raises(InputError, match="stride of at most the patch"):
        _ = panel.result
    assert "stride" in panel.message.text
    assert panel.picture_box.source == ""
    assert not panel.actions.ready
    panel.state.parameters = {"patch": 4, "stride": 4}
    assert panel.result.attrs["complete"] == 1
    assert panel.message.text == ""
    assert panel.actions.ready


def test_stopping_keeps_what_is_known(panel: ExplanationPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Passes.scores

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.05)
        return quick(*arguments)

    monkeypatch.setattr(Passes, "scores", slowly)
    panel.state.parameters = {"patch": 2, "stride": 1}
    panel.start()
    deadline = time.monotonic() + 20
    while panel.progress.fraction < 0.05 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "left" in panel.progress.text
    panel.stop()
    result = panel.result
    monkeypatch.undo()
    assert result.attrs["complete"] == 0
    assert panel.progress.text.startswith("Stopped")
    assert 0.05 <= panel.progress.fraction < 1
    assert "not complete" in panel.picture.alt
    panel.refresh()
    assert panel.result.attrs["complete"] == 1


def test_the_code_reproduces_the_result(panel: ExplanationPanel, model: ImageModel, images: SceneSource) -> None:
    panel.state.image, panel.state.opacity = 5, 0.4
    panel.state.parameters = {"patch": 8, "baseline": "mean"}
    shown: list[Any] = []
    names: dict[str, Any] = {"model": model, "images": images, "display": shown.append}
    exec(panel.code(), names)
    np.testing.assert_array_equal(names["heat"][0], panel.result["heatmap"][0])
    assert shown[0].alt.startswith("Heatmap over the picture")
    assert panel.actions.code == panel.code()


def test_everything_can_be_saved(panel: ExplanationPanel, tmp_path: Path) -> None:
    assert panel.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in panel.save(tmp_path / "a.svg").read_text()
    with xr.open_dataset(panel.save(tmp_path / "a.nc"), engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["heatmap"], panel.result["heatmap"])
    with xr.open_zarr(panel.save(tmp_path / "a.zarr"), consolidated=False) as opened:
        np.testing.assert_array_equal(opened["heatmap"], panel.result["heatmap"])
    with pytest.raises(InputError, match=r"'\.pdf'.*\.png"):
        panel.save(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="no export 'pdf'"):
        panel.file("pdf")


def test_an_uploaded_image_is_explained(panel: ExplanationPanel) -> None:
    panel.gallery.receive("mine.png", png())
    panel.gallery.receive("mine.png", png())
    assert panel.state.image == 15
    assert panel.result.attrs["image"] == "mine (2).png"
    assert "data.as_source(['mine (2).png'])" in panel.code()
    panel.gallery.receive("broken.png", b"nothing")
    assert "broken.png cannot be decoded" in panel.gallery.message.text
    assert panel.state.image == 15


def test_uploads_are_checked() -> None:
    assert decode("a.png", png(7, 9)).shape == (7, 9, 3)
    with pytest.raises(DamagedFileError, match=r"a\.png cannot be decoded"):
        decode("a.png", png()[:40])
    with pytest.raises(InputError, match="at most 32"):
        decode("a.png", b"0" * (LARGEST_UPLOAD + 1))


def test_models_can_be_chosen_among(model: ImageModel, images: SceneSource) -> None:
    other = models.load(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 3)),
        name="other",
        categories=["crane", "duck", "crane"],
        preprocessing=models.Preprocessing(resize=16, crop=16),
    )
    panel = ExplanationPanel([model, other], images)
    panel.state.target = "house"
    panel.state.model = "other"
    assert panel.state.target == "", "the other model knows no houses"
    assert [option[0] for option in panel.target_choice.options] == ["", "0", "duck", "2"]
    panel.state.target = "2"
    assert panel.result.attrs["target"] == "crane"
    assert panel.result.attrs["model"] == "other"
    assert "target = 2" in panel.code()
    assert panel.wait(10)


def test_layers_are_offered_where_a_method_needs_one(panel: ExplanationPanel) -> None:
    panel.state.method = "gradcam"
    offered = [option[0] for option in panel.method_controls.controls["layer"].options]
    assert offered == ["", "0", "1", "2"]
    panel.state.parameters = {"layer": "1"}
    assert panel.result.attrs["complete"] == 1


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (([],), {}, InputError, "No model was given"),
        ((["twice", "twice"],), {}, InputError, "same name"),
        (("model",), {"method": "magic"}, UnknownNameError, "Unknown explainer 'magic'"),
    ],
)
def test_a_panel_that_cannot_be_is_refused(
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    error: type[Exception],
    words: str,
    model: ImageModel,
    images: SceneSource,
) -> None:
    given = {"model": model, "twice": model}
    (first,) = arguments
    chosen = given[first] if isinstance(first, str) else [given[name] for name in first]
    with pytest.raises(error, match=words):
        ExplanationPanel(chosen, images, **options)


def test_it_shows_itself_in_a_notebook(panel: ExplanationPanel) -> None:
    bundle = panel._repr_mimebundle_()
    data_part = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data_part
    assert panel.wait(20)
    assert panel.picture_box.source.startswith("data:image/png")
