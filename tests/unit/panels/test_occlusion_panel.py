"""The occlusion panel from code: it refines, stops, goes on, looks under windows, and says what it cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import xarray as xr

from workbench import data, explain
from workbench.errors import InputError, UnknownNameError
from workbench.panels import ExplanationPanel, OcclusionPanel
from workbench.panels.explained import Call
from workbench.panels.occlusion import LARGEST_BUDGET, alike_but_budget
from workbench.panels.refinement import Grid, sizes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workbench.data.scenes import SceneSource
    from workbench.models import ImageModel

QUICK = {"patch": 8, "resolutions": 2, "budget": 16}  # 49 windows of 8 pixels, 9 of 16


@pytest.fixture
def panel(model: ImageModel, images: SceneSource) -> Iterator[OcclusionPanel]:
    panel = OcclusionPanel(model, images)
    panel.state.parameters = QUICK
    yield panel
    panel.stop()
    assert panel.wait(20)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Searches that take at least 50 ms a step; one entry a step."""
    steps: list[float] = []
    original = explain.multi_resolution_steps

    def slowly(*arguments: Any, **options: Any) -> Any:
        for found in original(*arguments, **options):
            steps.append(float(found.heatmap["forward_equivalents"][0]))
            time.sleep(0.05)
            yield found

    monkeypatch.setattr("workbench.panels.occlusion.multi_resolution_steps", slowly)
    return steps


def stopped_early(panel: OcclusionPanel, steps: list[float]) -> xr.Dataset:
    panel.start()
    deadline = time.monotonic() + 30
    while (not steps or not panel.gauge.lines) and time.monotonic() < deadline:
        time.sleep(0.005)
    panel.stop()
    return panel.result


def test_the_result_is_that_of_the_function(panel: OcclusionPanel, model: ImageModel, images: SceneSource) -> None:
    panel.state.image, panel.state.target = 3, "star"
    panel.state.parameters = {**QUICK, "baseline": "blur", "stride": 8}
    expected = explain.multi_resolution_occlusion(
        model, data.Subset(images, np.array([3])), target="star", patches=[8, 16], strides=[8, 16], baseline="blur",
        budget=16,
    )  # fmt: skip
    result = panel.result
    np.testing.assert_array_equal(result["heatmap"][0], expected[0])
    for name in ("sigma", "exact", "evidence_for", "evidence_against", "certificate", "forward_equivalents"):
        np.testing.assert_array_equal(result[name], expected[name][0])
    assert (result.attrs["target"], result.attrs["complete"]) == ("star", 1)
    assert result.attrs["ended"] == str(expected["ended"][0].item())
    assert result.sizes["window"] == 16 + 4


def test_it_shares_what_the_explanation_panel_does(panel: OcclusionPanel) -> None:
    assert isinstance(panel, ExplanationPanel)
    panel.method_controls.controls["patch"].value = 4
    assert panel.state.parameters["patch"] == 4
    panel.opacity_range.value = 0.3
    assert panel.state.opacity == 0.3


def test_cost_and_trust_stand_in_words(panel: OcclusionPanel) -> None:
    panel.state.parameters = {**QUICK, "patch": 4}  # 225 windows of 4 pixels, 49 of 8
    result = panel.result
    assert panel.wait(10)
    spent = float(result["forward_equivalents"])
    assert f"The work of {spent:,.1f} forward passes" in panel.gauge.lines[0]
    assert "of the 274" in panel.gauge.lines[0]
    assert panel.gauge.fraction == pytest.approx(spent / 274)
    exact = int(result["window_exact"].sum())
    assert f"{exact} of 274 windows" in panel.gauge.lines[1]
    assert panel.gauge.lines[0] in panel.picture.alt


def test_the_map_refines_while_one_looks(panel: OcclusionPanel, slow: list[float]) -> None:
    sources: list[str] = []
    panel.picture_box.observe(lambda change: sources.append(change["new"]), "source")
    panel.state.parameters = {**QUICK, "patch": 4, "budget": 64}
    assert panel.result.attrs["complete"] == 1
    assert len(slow) > 3
    assert len(set(sources)) >= 3, "the picture changes on the way"


def test_stopped_and_continued_from_where_it_was(panel: OcclusionPanel, slow: list[float]) -> None:
    panel.state.parameters = {**QUICK, "patch": 4, "budget": 64}
    early = stopped_early(panel, slow)
    assert early.attrs["complete"] == 0
    assert early.attrs["ended"] == "running"
    assert panel.progress.text.startswith("Stopped")
    assert not panel.resume_button.disabled
    assert "where it was stopped" in panel.resume_button.hint
    before = len(slow)
    panel.resume()
    late = panel.result
    assert late.attrs["complete"] == 1
    assert float(late["forward_equivalents"]) > float(early["forward_equivalents"])
    assert slow == sorted(slow), "no step was taken twice"
    assert len(slow) > before


def test_a_stopped_search_ends_as_one_that_was_not(
    panel: OcclusionPanel, model: ImageModel, images: SceneSource, slow: list[float]
) -> None:
    panel.state.parameters = {**QUICK, "patch": 4, "budget": 64}
    stopped_early(panel, slow)
    panel.resume()
    whole = explain.multi_resolution_occlusion(model, data.Subset(images, np.array([0])), patches=[4, 8], budget=64)
    np.testing.assert_array_equal(panel.result["heatmap"][0], whole[0])


def test_a_spent_budget_is_doubled(panel: OcclusionPanel) -> None:
    panel.state.parameters = {**QUICK, "patch": 4}
    first = panel.result
    assert first.attrs["ended"] == "budget"
    assert panel.resume_button.label == "Continue with a budget of 32"
    assert "planned anew" in panel.resume_button.hint
    shown: list[float] = []
    panel.gauge.observe(lambda change: shown.append(change["new"]), "fraction")
    panel.resume()
    assert panel.state.parameters["budget"] == 32
    second = panel.result
    assert float(second["forward_equivalents"]) > float(first["forward_equivalents"])
    assert shown == sorted(shown), "the picture never goes back to knowing less"
    panel.state.parameters = {**panel.state.parameters, "budget": 16}
    np.testing.assert_array_equal(panel.result["heatmap"], first["heatmap"])


def test_nothing_left_to_measure(panel: OcclusionPanel) -> None:
    panel.state.parameters = {"patch": 16, "resolutions": 1, "budget": LARGEST_BUDGET}
    assert panel.result.attrs["ended"] == "exact"
    assert panel.result["window_exact"].all()
    assert "Exact" in panel.gauge.lines[1]
    assert panel.resume_button.disabled
    assert "Nothing is left" in panel.resume_button.hint
    before = dict(panel.state.parameters)
    panel.resume()
    assert panel.state.parameters == before


def test_one_resolution_measured_in_full_is_dense_occlusion(
    panel: OcclusionPanel, model: ImageModel, images: SceneSource
) -> None:
    panel.state.parameters = {"patch": 8, "resolutions": 1, "budget": LARGEST_BUDGET}
    dense = explain.occlusion(model, data.Subset(images, np.array([0])), patch=8, baseline="mean")
    np.testing.assert_allclose(panel.result["heatmap"][0], dense[0], atol=2e-5)


def test_looking_under_a_window(panel: OcclusionPanel, model: ImageModel, images: SceneSource) -> None:
    result = panel.result
    assert panel.look_box.source == ""
    window = int(np.flatnonzero(result["window_exact"])[5])
    panel.state.pointed = window
    assert panel.wait(10)
    row, column, height, width = (int(result[name][window]) for name in ("row", "column", "height", "width"))
    inputs = model.prepare(data.Subset(images, np.array([0])))
    hidden = inputs.clone()
    hidden[..., row : row + height, column : column + width] = inputs.mean((2, 3), keepdim=True)
    with torch.no_grad():
        index = model.category_index(result.attrs["target"])
        before, after = (float(model.logits(one)[0, index]) for one in (inputs, hidden))
    assert float(result["window_fall"][window]) == pytest.approx(before - after, abs=1e-4)
    said = panel.picture_box.said
    assert f"{height} by {width} pixels hidden" in said
    assert f"(x {column}, y {row})" in said
    assert "measured" in said
    assert panel.look_box.alt == said
    assert panel.look_box.source.startswith("data:image/png")
    panel.state.pointed = -1
    assert (panel.look_box.source, panel.picture_box.said) == ("", "")


def test_the_cursor_and_the_state_follow_each_other(panel: OcclusionPanel) -> None:
    result = panel.result
    assert panel.wait(10)
    grids = Grid.all(result)
    assert [grid.patch for grid in grids] == [(8, 8), (16, 16)]
    panel.picture_box.cursor = 10
    assert panel.state.pointed == grids[0].start + 10
    panel.state.pointed = grids[1].start + 4
    assert panel.size_choice.value == "1"
    assert panel.picture_box.cursor == 4
    assert panel.picture_box.patch == [0.5, 0.5]
    panel.size_choice.value = "0"
    assert panel.state.pointed in grids[0]
    row, column = (int(result[name][panel.state.pointed]) for name in ("row", "column"))
    assert (row, column) == (12, 12), "the small window in the middle of the large one"
    assert len(panel.picture_box.areas) == 2


def test_what_is_looked_under_follows_the_image(panel: OcclusionPanel) -> None:
    _ = panel.result
    panel.state.pointed = 20
    assert panel.wait(10)
    first = panel.look_box.source
    panel.state.image = 4
    assert panel.wait(20)
    assert panel.state.pointed == 20
    assert panel.look_box.source not in ("", first)
    panel.state.parameters = {**QUICK, "patch": 4}
    assert panel.wait(20)
    assert panel.state.pointed == -1, "other windows, other numbers"


def test_two_methods_side_by_side_with_their_costs(panel: OcclusionPanel) -> None:
    panel.state.compare, panel.state.second_method = True, "occlusion"
    panel.state.second_parameters = {"patch": 8, "stride": 4, "baseline": "mean"}
    result = panel.result
    assert result.sizes["explainer"] == 2
    assert "Occlusion took 49 evaluations of the network." in panel.gauge.lines
    assert result["passes"].values[1] == 49
    assert panel.wait(10)
    assert len(panel.picture_box.areas) == 3
    correlation = np.corrcoef(result["heatmap"].values.reshape(2, -1))[0, 1]
    assert correlation > 0.5, "both look at the same evidence"


def test_dots_are_a_matter_of_drawing(panel: OcclusionPanel) -> None:
    before = panel.result
    assert panel.wait(10)
    source = panel.picture_box.source
    panel.state.measured = False
    assert panel.wait(10)
    assert panel.picture_box.source != source
    assert panel.result is before


@pytest.mark.parametrize(
    ("trait", "value", "error", "words"),
    [
        ("method", "occlusion", InputError, "this panel shows 'multi_resolution_occlusion'"),
        ("parameters", {"patches": 3}, UnknownNameError, "parameter of multi_resolution_occlusion 'patches'"),
        ("parameters", {"budget": 1}, InputError, "expected 16 to 2048"),
        ("pointed", 3, InputError, "no map is known yet"),
        ("image", 99, InputError, "image is 99"),
    ],
)
def test_a_state_that_cannot_be_is_refused(
    panel: OcclusionPanel, trait: str, value: Any, error: type[Exception], words: str
) -> None:
    before = getattr(panel.state, trait)
    with pytest.raises(error, match=words):
        setattr(panel.state, trait, value)
    assert getattr(panel.state, trait) == before


def test_an_error_is_shown_raised_and_overcome(panel: OcclusionPanel) -> None:
    panel.state.parameters = {"patch": 40}
    with pytest.raises(InputError, match="does not fit into an image of 32 pixels"):
        _ = panel.result
    assert "does not fit" in panel.message.text
    assert panel.picture_box.source == ""
    assert panel.resume_button.disabled
    panel.state.parameters = QUICK
    assert panel.result.attrs["complete"] == 1
    assert panel.message.text == ""


def test_a_failed_search_begins_anew(panel: OcclusionPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*arguments: Any, **options: Any) -> Any:
        raise InputError("nothing works today")
        yield

    with monkeypatch.context() as patched:
        patched.setattr("workbench.panels.occlusion.multi_resolution_steps", breaks)
        with pytest.raises(InputError, match="nothing works today"):
            _ = panel.result
    panel.state.image = 1
    assert panel.result.attrs["complete"] == 1


def test_edited_weights_are_seen(panel: OcclusionPanel, model: ImageModel) -> None:
    before = panel.result
    weight = next(iter(model.module.parameters()))
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(-1)
    try:
        panel.refresh()
        assert not np.array_equal(panel.result["heatmap"], before["heatmap"])
        assert panel.result.attrs["weights_hash"] != before.attrs["weights_hash"]
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_the_code_reproduces_the_result(panel: OcclusionPanel, model: ImageModel, images: SceneSource) -> None:
    panel.state.image = 5
    panel.state.parameters = {**QUICK, "stride": 4, "baseline": "blur"}
    names: dict[str, Any] = {"model": model, "images": images, "display": lambda picture: None}
    exec(panel.code(), names)
    np.testing.assert_array_equal(names["heat"][0], panel.result["heatmap"][0])


def test_the_data_can_be_saved(panel: OcclusionPanel, tmp_path: Path) -> None:
    with xr.open_dataset(panel.save(tmp_path / "a.nc"), engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["window_fall"], panel.result["window_fall"])
        assert float(opened["certificate"]) == pytest.approx(float(panel.result["certificate"]), nan_ok=True)
    assert "<svg" in panel.save(tmp_path / "a.svg").read_text()


def test_small_decisions() -> None:
    assert sizes(16, 3, 96) == [16, 32, 64]
    assert sizes(128, 3, 96) == [128], "too large a patch is refused by the method, not hidden"
    calls = [Call("a", f'{{"budget": {budget}, "patch": 8}}') for budget in (1, 2)]
    assert alike_but_budget(calls[0]) == alike_but_budget(calls[1])
