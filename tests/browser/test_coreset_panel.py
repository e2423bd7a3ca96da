"""The coreset panel in a real JupyterLab, by mouse, by keyboard and from code."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cells import CORESET, CORESET_CONCEPTS, MODEL, Notebook
from pages import Screen, changes, picture, rest, violations
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator

SECONDS = 30_000
NOTEBOOK = Notebook(
    "coreset.ipynb",
    (MODEL, CORESET, CORESET_CONCEPTS),
    1900,
    "state = coresets.state\n"
    "state.selector, state.within, state.seed, state.fraction = 'herding', 'category', 0, 0.2\n"
    "state.category, state.curve = '', False\n"
    "assert coresets.wait(60)",
)


def pictures(panel: Locator) -> Locator:
    """Points, units and curve, those that are shown."""
    return panel.locator("img.workbench-picture:not([hidden])")


def test_it_shows_points_and_what_was_chosen(opened: Screen, panel: Locator) -> None:
    alt = picture(panel).get_attribute("alt") or ""
    assert "96 images as points: principal component 1" in alt
    assert "chosen by Herding, within each category" in alt
    assert panel.get_by_text("16 of 96 images").is_visible()
    assert pictures(panel).count() == 1
    assert violations(opened.page) == []


def test_controls_change_the_choice(opened: Screen, panel: Locator) -> None:
    assert "Random" in changes(panel, lambda: panel.get_by_label("Selector", exact=True).select_option("random"))
    assert "over all images" in changes(panel, lambda: panel.get_by_label("Choose", exact=True).select_option("all"))
    assert "48 of them (50 %)" in changes(panel, lambda: panel.get_by_label("Images chosen").fill("50"))
    panel.get_by_role("button", name="Next seed").focus()
    changes(panel, lambda: opened.page.keyboard.press("Enter"))
    opened.code(
        "assert (coresets.state.seed, coresets.state.within, coresets.state.fraction) == (1, 'all', 0.5)\n"
        "assert int(coresets.result['chosen'].sum()) == 48"
    )


def test_arrow_keys_choose_the_fraction(opened: Screen, panel: Locator) -> None:
    cells = opened.cells()
    slider = panel.get_by_label("Images chosen")
    slider.focus()
    changes(panel, lambda: opened.page.keyboard.press("End"), until="96 of them (100 %)")
    changes(panel, lambda: opened.page.keyboard.press("Home"), until="8 of them (8 %)")
    assert opened.cells() == cells


def test_a_click_on_a_point_shows_the_units_of_its_class(opened: Screen, panel: Locator) -> None:
    opened.code(
        "from workbench.panels.parts.panel import drawing\n"
        "result, figure = coresets.result, coresets.picture.figure\n"
        "with drawing:\n"
        "    x, y = figure.axes[0].transData.transform(result['position'].values[5])\n"
        "coresets.picture_box.label = f'{x / figure.bbox.width} {1 - y / figure.bbox.height}'\n"
        "clicked = str(result['image'].values[5])"
    )
    across, down = (float(share) for share in read(opened, "coresets.picture_box.label").split())
    box = picture(panel).bounding_box()
    assert box is not None
    opened.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
    said = panel.locator(".workbench-points .workbench-said")
    expect(said).to_contain_text(f"{read(opened, 'clicked')}, ", timeout=SECONDS)
    expect(pictures(panel)).to_have_count(2, timeout=SECONDS)
    rest(panel)
    name = read(opened, "coresets.result.attrs['category']")
    assert name in said.inner_text()
    assert f"Brought out: {name}" in (picture(panel).get_attribute("alt") or "")
    assert f"Units for {name}." in (pictures(panel).nth(1).get_attribute("alt") or "")
    assert violations(opened.page) == []


def test_arrow_keys_go_from_class_to_class(opened: Screen, panel: Locator) -> None:
    cells = opened.cells()
    panel.get_by_role("radio", name="none").focus()
    assert "Brought out: circle" in changes(panel, lambda: opened.page.keyboard.press("ArrowRight"))
    assert "Brought out: square" in changes(panel, lambda: opened.page.keyboard.press("ArrowRight"))
    units = pictures(panel).nth(1)
    expect(units).to_have_attribute("alt", re.compile("Units for square"), timeout=SECONDS)
    assert "From the coreset (16 images)" in (units.get_attribute("alt") or "")
    changes(panel, lambda: opened.page.keyboard.press("ArrowLeft"))
    changes(panel, lambda: opened.page.keyboard.press("ArrowLeft"), until="By category")
    expect(pictures(panel)).to_have_count(1)
    assert opened.cells() == cells


def read(screen: Screen, expression: str) -> str:
    """What an expression is in the kernel, as text."""
    found: str = screen.page.evaluate(
        """async (code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const reply = await kernel.requestExecute({ code: '', user_expressions: { value: code } }).done;
            return reply.content.user_expressions.value.data['text/plain'];
        }""",
        f"str({expression})",
    )
    return found.strip("'\"")


def test_the_curve_is_computed_with_ceiling_and_floor(opened: Screen, panel: Locator, tmp_path: Path) -> None:
    opened.code("coresets.state.category = 'house'\nassert coresets.wait(60)")
    panel.get_by_label("Similarity curve").focus()
    opened.page.keyboard.press("Space")
    expect(pictures(panel)).to_have_count(3, timeout=SECONDS)
    rest(panel)
    alt = pictures(panel).nth(2).get_attribute("alt") or ""
    for words in ("ceiling, all images of one half", "floor, random units", "random:", "herding:"):
        assert words in alt
    assert panel.get_by_text("of the ceiling").first.is_visible()
    assert violations(opened.page) == []
    panel.screenshot(path=os.environ.get("WORKBENCH_CORESET_FIGURE", tmp_path / "coreset.png"))


def test_concepts_stand_beside_their_matches(opened: Screen, tmp_path: Path) -> None:
    beside = opened.panel(1)
    expect(pictures(beside)).to_have_count(2, timeout=SECONDS)
    alt = pictures(beside).nth(1).get_attribute("alt") or ""
    assert alt.startswith("Concepts of house. Matched cosine")
    assert "Concept 3: cosine" in alt
    across = beside.get_by_role("radio", name="bird")
    across.locator("..").click()
    expect(pictures(beside).nth(1)).to_have_attribute("alt", re.compile("Concepts of bird"), timeout=SECONDS)
    rest(beside)
    beside.screenshot(path=os.environ.get("WORKBENCH_CONCEPTS_FIGURE", tmp_path / "concepts.png"))
    assert violations(opened.page) == []


@pytest.fixture
def slow(opened: Screen) -> Iterator[None]:
    """Interpretations that take their time, so that there is something to watch and to stop."""
    opened.code(
        "import time\n"
        "import workbench.panels.coreset as module\n"
        "from dataclasses import replace\n"
        "quick = module.subject\n"
        "def slowly(*arguments, **options):\n"
        "    found = quick(*arguments, **options)\n"
        "    def interpret(*given):\n"
        "        time.sleep(0.3)\n"
        "        return found.interpret(*given)\n"
        "    return replace(found, interpret=interpret)\n"
        "module.subject = slowly\n"
        "for kept in (coresets._subjects, coresets._memories, coresets._curves):\n"
        "    kept._known.clear()"
    )
    yield
    opened.code("module.subject = quick\ncoresets._subjects._known.clear()")


@pytest.mark.usefixtures("slow")
def test_the_curve_is_stopped_and_the_panel_stays_responsive(opened: Screen, panel: Locator) -> None:
    opened.code("coresets.state.seed = 7\nassert coresets.wait(60)")
    panel.get_by_label("Similarity curve").check()
    progress = panel.locator(".workbench-progress").nth(1)
    expect(progress).to_contain_text("left", timeout=SECONDS)
    panel.get_by_label("Images chosen").fill("40")  # while the curve is being computed
    expect(picture(panel)).to_have_attribute("alt", re.compile(r"\(42 %\) are chosen"), timeout=SECONDS)
    expect(progress).to_contain_text("left")
    stop = progress.get_by_role("button", name="Stop")
    stop.focus()
    opened.page.keyboard.press("Enter")
    expect(progress).to_contain_text("Stopped", timeout=SECONDS)
    opened.code("assert coresets.curve is None and coresets.error is None")


def test_an_error_stands_in_the_panel_and_goes_away(opened: Screen, panel: Locator) -> None:
    opened.code(
        "broken, coresets.images = coresets.images, SceneSource('object', 3, seed=9)\n"
        "coresets.state.category = 'bird'\nassert coresets.wait(60)"
    )
    alert = panel.get_by_role("alert").filter(has_text="Give the images that the store was made of")
    alert.wait_for()
    assert picture(panel).is_hidden()
    assert violations(opened.page) == []
    opened.code("coresets.images = broken")
    panel.get_by_role("radio", name="none").locator("..").click()
    expect(picture(panel)).to_be_visible(timeout=SECONDS)
    rest(panel)
    assert alert.is_hidden()
