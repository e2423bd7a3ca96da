"""The occlusion panel in a real JupyterLab, by mouse, by keyboard and from code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cells import MODEL, OCCLUSION, Notebook
from pages import Screen, changes, picture, rest, violations
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator

SECONDS = 30_000
NOTEBOOK = Notebook(
    "occlusion.ipynb",
    (MODEL, OCCLUSION),
    1400,
    "state = occlusion.state\n"
    "state.image, state.target, state.compare, state.pointed, state.measured = 0, '', False, -1, True\n"
    "state.parameters = {'patch': 8, 'budget': 64}\n"
    "assert occlusion.wait(60)",
)


def said(panel: Locator) -> Locator:
    """What is said of the window that is pointed at."""
    return panel.locator(".workbench-windows + .workbench-said")


def test_it_shows_map_cost_and_trust(opened: Screen, panel: Locator) -> None:
    alt = picture(panel).get_attribute("alt") or ""
    assert "object-0-0000000" in alt
    assert "windows were measured" in alt
    gauge = panel.get_by_role("meter", name="Cost")
    assert gauge.is_visible()
    assert "forward passes" in (gauge.get_attribute("aria-valuetext") or "")
    assert panel.locator(".workbench-gauge").get_by_text("map of all windows").is_visible()
    assert violations(opened.page) == []


def test_the_mouse_looks_under_a_window(opened: Screen, panel: Locator) -> None:
    box = picture(panel).bounding_box()
    assert box is not None
    # A point inside the map, which stands at the right of the picture.
    opened.page.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 0.5 * box["height"])
    expect(said(panel)).to_contain_text("8 by 8 pixels hidden", timeout=SECONDS)
    expect(said(panel)).to_contain_text("logit", timeout=SECONDS)
    assert panel.locator(".workbench-mark").count() == 2, "on the picture and on the map"
    look = panel.locator("img.workbench-picture").nth(1)
    expect(look).to_be_visible()
    assert look.get_attribute("alt") == said(panel).inner_text()
    mark = panel.locator(".workbench-mark").nth(1).bounding_box()
    assert mark is not None
    assert mark["x"] <= box["x"] + 0.62 * box["width"] <= mark["x"] + mark["width"]
    assert mark["y"] <= box["y"] + 0.5 * box["height"] <= mark["y"] + mark["height"]
    assert violations(opened.page) == []


def test_the_arrow_keys_look_under_windows(opened: Screen, panel: Locator) -> None:
    windows = panel.get_by_role("application")
    windows.focus()
    cells = opened.cells()
    opened.page.keyboard.press("ArrowRight")
    expect(said(panel)).to_contain_text("8 by 8 pixels hidden in the centre", timeout=SECONDS)
    before = said(panel).inner_text()
    opened.page.keyboard.press("ArrowDown")
    expect(said(panel)).not_to_have_text(before, timeout=SECONDS)
    opened.page.keyboard.press("Home")
    expect(said(panel)).to_contain_text("left (x 0,", timeout=SECONDS)
    opened.page.keyboard.press("PageUp")
    expect(said(panel)).to_contain_text("upper left (x 0, y 0)", timeout=SECONDS)
    for key in ("b", "a", "d", "d", "x"):
        opened.page.keyboard.press(key)
    assert opened.cells() == cells, "a key meant for the picture reached the notebook"
    opened.code("assert occlusion.state.pointed == next(iter(occlusion._grids)).start")
    opened.page.keyboard.press("Escape")
    expect(panel.locator(".workbench-mark")).to_have_count(0)


def test_another_window_size_is_chosen(opened: Screen, panel: Locator) -> None:
    opened.code("occlusion.state.pointed = occlusion._grids[0].start + 30")
    expect(said(panel)).to_contain_text("8 by 8 pixels", timeout=SECONDS)
    panel.get_by_label("Window under the pointer").select_option("2")
    expect(said(panel)).to_contain_text("32 by 32 pixels", timeout=SECONDS)


def test_a_slider_changes_the_windows(panel: Locator) -> None:
    alt = changes(panel, lambda: panel.get_by_label("Patch", exact=True).fill("16"))
    assert "windows were measured" in alt


def test_what_was_measured_is_dotted_or_not(panel: Locator) -> None:
    changes(panel, lambda: panel.get_by_label("Dot what was measured").uncheck())


def test_two_methods_stand_side_by_side(opened: Screen, panel: Locator) -> None:
    panel.get_by_label("Compare with a second method").focus()
    changes(panel, lambda: opened.page.keyboard.press("Space"), until="2 heatmaps")
    second = panel.get_by_label("Second method", exact=True)
    changes(panel, lambda: second.select_option("occlusion"), until="Occlusion for")
    expect(panel.locator(".workbench-gauge")).to_contain_text("evaluations of the network")
    assert violations(opened.page) == []


def test_an_error_stands_in_the_panel_and_goes_away(opened: Screen, panel: Locator) -> None:
    patch, stride = panel.get_by_label("Patch", exact=True), panel.get_by_label("Stride", exact=True)
    stride.fill("16")
    alert = panel.get_by_role("alert").filter(has_text="stride")
    alert.wait_for()
    assert picture(panel).is_hidden()
    assert violations(opened.page) == []
    changes(panel, lambda: patch.fill("16"))
    assert alert.is_hidden()


@pytest.fixture
def slow(opened: Screen) -> Iterator[None]:
    """Searches that take their time, so that there is something to watch and to stop."""
    opened.code(
        "import time\n"
        "import workbench.panels.occlusion as module\n"
        "quick = module.multi_resolution_steps\n"
        "def slowly(*arguments, **options):\n"
        "    for found in quick(*arguments, **options):\n"
        "        time.sleep(0.5)\n"
        "        yield found\n"
        "module.multi_resolution_steps = slowly"
    )
    yield
    opened.code("module.multi_resolution_steps = quick")


@pytest.mark.usefixtures("slow")
def test_it_refines_is_stopped_and_goes_on(opened: Screen, panel: Locator) -> None:
    seen = {picture(panel).get_attribute("src")}
    opened.code("occlusion.state.parameters = {'patch': 8, 'budget': 64, 'baseline': 'blur'}")
    progress = panel.locator(".workbench-progress")
    progress.get_by_role("button", name="Stop").and_(opened.page.locator(":enabled")).wait_for()
    while len(seen) < 3:  # two pictures after the one before
        seen.add(picture(panel).get_attribute("src"))
        opened.page.wait_for_timeout(50)
    stop = panel.get_by_role("button", name="Stop")
    stop.focus()
    opened.page.keyboard.press("Enter")
    progress.get_by_text("Stopped").wait_for()
    rest(panel)
    opened.code("early = occlusion.result\nassert early.attrs['complete'] == 0")
    resume = panel.get_by_role("button", name="Continue")
    expect(resume).to_have_attribute("aria-disabled", "false")
    assert panel.get_by_text("goes on where it was stopped").is_visible()
    resume.focus()
    changes(panel, lambda: opened.page.keyboard.press("Enter"))
    progress.get_by_text("Done").wait_for()
    opened.code(
        "late = occlusion.result\n"
        "assert late.attrs['complete'] == 1\n"
        "assert float(late['forward_equivalents']) > float(early['forward_equivalents'])"
    )


def test_a_spent_budget_is_doubled_by_mouse(opened: Screen, panel: Locator) -> None:
    opened.code("occlusion.state.parameters = {'patch': 8, 'budget': 16}\nassert occlusion.wait(60)")
    panel.get_by_role("button", name="Continue with a budget of 32").click()
    opened.code("assert occlusion.wait(60) and occlusion.state.parameters['budget'] == 32")
    assert violations(opened.page) == []
