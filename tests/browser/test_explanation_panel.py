"""The explanation panel in a real JupyterLab, by mouse, by keyboard and from code."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from pages import changes, picture, rest, violations
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pages import Screen
    from playwright.sync_api import Locator


@pytest.fixture
def panel(screen: Screen) -> Iterator[Locator]:
    """The panel, in the state in which it began."""
    panel = screen.panel(0)
    yield panel
    screen.code(
        "state = explanation.state\n"
        "state.image, state.target, state.compare = 0, '', False\n"
        "state.method, state.parameters = 'occlusion', {}\n"
        "state.opacity, state.contour, state.clip = 0.65, 0, 0\n"
        "explanation.wait(30)"
    )
    rest(panel)
    assert screen.errors == []


def test_it_renders_a_picture_that_says_what_it_shows(screen: Screen, panel: Locator) -> None:
    alt = picture(panel).get_attribute("alt") or ""
    assert "object-0-0000000" in alt
    assert "Occlusion" in alt
    assert panel.get_by_text("Done").is_visible()
    assert violations(screen.page) == []


def test_the_mouse_picks_another_image(panel: Locator) -> None:
    alt = changes(panel, lambda: panel.locator(".workbench-tile").nth(3).click())
    assert "object-0-0000003" in alt
    assert panel.get_by_label("Image number", exact=True).input_value() == "3"


def test_the_mouse_moves_a_slider(panel: Locator) -> None:
    slider = panel.get_by_label("Opacity")
    box = slider.bounding_box()
    assert box is not None
    changes(panel, lambda: panel.page.mouse.click(box["x"] + 0.1 * box["width"], box["y"] + box["height"] / 2))
    assert float(slider.input_value()) < 0.3


def test_the_keyboard_moves_a_slider_and_nothing_else(screen: Screen, panel: Locator) -> None:
    slider = panel.get_by_label("Opacity")
    slider.focus()
    cells = screen.cells()
    changes(panel, lambda: screen.page.keyboard.press("ArrowRight"))
    assert slider.input_value() == "0.7"
    assert panel.locator("output").filter(has_text="0.70").is_visible()
    for key in ("ArrowDown", "ArrowUp", "b", "a", "d", "d", "x"):
        screen.page.keyboard.press(key)
    assert screen.cells() == cells, "a key meant for the slider reached the notebook"
    assert slider.evaluate("input => input === document.activeElement")


def test_the_arrow_keys_walk_along_the_images(screen: Screen, panel: Locator) -> None:
    panel.locator(".workbench-tile input").first.focus()
    alt = changes(panel, lambda: screen.page.keyboard.press("ArrowRight"))
    assert "object-0-0000001" in alt
    assert "object-0-0000002" in changes(panel, lambda: screen.page.keyboard.press("ArrowRight"))


def test_two_methods_stand_side_by_side(screen: Screen, panel: Locator) -> None:
    panel.get_by_label("Compare with a second method").focus()
    alt = changes(panel, lambda: screen.page.keyboard.press("Space"))
    assert "2 heatmaps" in alt
    second = panel.get_by_label("Second method", exact=True)
    options = second.locator("option").evaluate_all("options => options.map(option => option.value)")
    assert "2 heatmaps" in changes(panel, lambda: second.select_option(options[-1]))
    assert violations(screen.page) == []


def test_another_category_is_explained(panel: Locator) -> None:
    alt = changes(panel, lambda: panel.get_by_label("Explained category").select_option("star"))
    assert "for star" in alt


def test_an_error_stands_in_the_panel_and_goes_away(screen: Screen, panel: Locator) -> None:
    patch, stride = panel.get_by_label("Patch", exact=True), panel.get_by_label("Stride", exact=True)
    changes(panel, lambda: patch.fill("4"))
    stride.fill("16")
    alert = panel.get_by_role("alert").filter(has_text="stride")
    alert.wait_for()
    assert "at most the patch" in alert.inner_text()
    assert picture(panel).is_hidden()
    assert violations(screen.page) == []
    changes(panel, lambda: stride.fill("4"))
    assert alert.is_hidden()


SLOWLY = """
import time
from workbench.explain.occlusion import Passes
quick = Passes.scores
def slowly(*arguments):
    time.sleep(0.2)
    return quick(*arguments)
Passes.scores = slowly
"""


@pytest.fixture
def slow(screen: Screen) -> Iterator[None]:
    """Dense occlusion that takes its time; a hook on the network would not do, since a traced form passes it by."""
    screen.code(SLOWLY)
    yield
    screen.code("Passes.scores = quick")


@pytest.mark.usefixtures("slow")
def test_the_map_grows_and_can_be_stopped(screen: Screen, panel: Locator) -> None:
    before = picture(panel).get_attribute("src")
    screen.code("explanation.state.parameters = {'patch': 6, 'stride': 2}")
    partial: set[str | None] = set()
    progress = panel.locator(".workbench-progress")
    while len(partial) < 2:
        progress.get_by_text("left").wait_for()
        partial |= {picture(panel).get_attribute("src")} - {before}
        screen.page.wait_for_timeout(50)
    assert all(source and source.startswith("data:image/png") for source in partial), "no step shows an empty picture"
    assert "not complete" in (picture(panel).get_attribute("alt") or "")
    stop = panel.get_by_role("button", name="Stop")
    stop.focus()
    screen.page.keyboard.press("Enter")
    progress.get_by_text("Stopped").wait_for()
    rest(panel)
    assert stop.is_disabled()
    screen.code("assert explanation.result.attrs['complete'] == 0")


@pytest.mark.usefixtures("slow")
def test_a_newer_request_cancels_an_older_one(screen: Screen, panel: Locator) -> None:
    screen.code("explanation.state.parameters = {'patch': 4, 'stride': 1}")  # 3721 evaluations, 12 s at the least
    panel.locator(".workbench-progress").get_by_text("left").wait_for()
    changes(panel, lambda: panel.get_by_label("Stride", exact=True).fill("4"), until="Occlusion")
    rest(panel)
    assert "not complete" not in (picture(panel).get_attribute("alt") or "")
    screen.code("assert explanation.state.parameters['stride'] == 4 and explanation.result.attrs['complete'] == 1")


def test_the_picture_and_its_data_are_saved(panel: Locator, tmp_path: Path) -> None:
    saved = {}
    for name in ("PNG", "SVG", "NetCDF"):
        with panel.page.expect_download() as download:
            panel.get_by_role("button", name=name).click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    with Image.open(saved["PNG"]) as image:
        assert image.size[0] > 600
    assert "<svg" in saved["SVG"].read_text()
    with xr.open_dataset(saved["NetCDF"], engine="h5netcdf") as data:
        assert data["heatmap"].shape == (1, 64, 64)


def test_the_code_is_copied_and_runs(screen: Screen, panel: Locator) -> None:
    panel.get_by_role("button", name="Copy as code").click()
    panel.get_by_text("Copied").wait_for()
    code = screen.page.evaluate("() => navigator.clipboard.readText()")
    assert "explain.explain('occlusion', model, image" in code
    screen.code(code + "\nimport numpy as np\nassert np.array_equal(heat[0], explanation.result['heatmap'][0])")


def test_an_image_is_uploaded(screen: Screen, panel: Locator) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    upload = panel.get_by_label("Upload an image")
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    assert "mine.png" in changes(panel, lambda: upload.set_input_files(file))
    upload.set_input_files({"name": "broken.png", "mimeType": "image/png", "buffer": b"no image"})
    panel.get_by_role("alert").filter(has_text="broken.png cannot be decoded").wait_for()
    assert violations(screen.page) == []


def test_code_sets_the_panel(screen: Screen, panel: Locator) -> None:
    changes(panel, lambda: screen.code("explanation.state.image = 5"), until="object-0-0000005")
    assert panel.locator(".workbench-tile input").nth(5).is_checked()
    screen.code("assert explanation.result.attrs['image'] == 'object-0-0000005'")
