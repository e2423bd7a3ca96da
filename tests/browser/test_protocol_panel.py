"""The protocol panel in a real JupyterLab, by mouse and by keyboard."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cells import MODEL, PROTOCOL, Notebook
from pages import Screen, changes, picture, rest, violations
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

SECONDS = 30_000
MASS, IOU, ENTROPY = "relevance_mass", "binarised_iou(binarise=otsu)", "entropy"
NOTEBOOK = Notebook(
    "protocol.ipynb",
    (MODEL, PROTOCOL),
    1900,
    "state = protocols.state\n"
    f"state.method, state.metric, state.sort, state.best_first = 'saliency', {MASS!r}, {MASS!r}, True\n"
    "state.binariser, state.pairs = 'otsu', False\n"
    "assert protocols.wait(60)",
)


def header(panel: Locator, name: str) -> Locator:
    return panel.get_by_role("columnheader").filter(has_text=name)


def names(panel: Locator) -> list[str]:
    """The methods from above."""
    return panel.get_by_role("rowheader").all_inner_texts()


def cell(panel: Locator, method: str, metric: str) -> Locator:
    return panel.get_by_role("gridcell", name=re.compile("^" + re.escape(f"{method}, {metric}: ")))


def test_it_shows_numbers_with_intervals_and_the_images_behind_the_first(opened: Screen, panel: Locator) -> None:
    first = cell(panel, "saliency", MASS)
    expect(first).to_have_attribute("aria-selected", "true")
    assert re.search(r"0\.\d+ \[.*\], n 24; chance: 0", first.get_attribute("aria-label") or "")
    assert first.locator(".workbench-interval").count() == 1
    assert "behind saliency by relevance_mass" in (picture(panel).get_attribute("alt") or "")
    assert violations(opened.page) == []


def test_headers_sort_by_mouse_and_by_keyboard(opened: Screen, panel: Locator) -> None:
    cells = opened.cells()
    expect(header(panel, MASS)).to_have_attribute("aria-sort", "descending")
    header(panel, ENTROPY).get_by_role("button").click()
    expect(header(panel, ENTROPY)).to_have_attribute("aria-sort", "ascending")
    expect(header(panel, MASS)).to_have_attribute("aria-sort", "none")
    upwards = names(panel)
    opened.page.keyboard.press("Enter")  # the header that was pressed has the focus still
    expect(header(panel, ENTROPY)).to_have_attribute("aria-sort", "descending")
    assert names(panel) == upwards[::-1]
    opened.page.keyboard.press("Home")
    opened.page.keyboard.press("Space")
    expect(header(panel, "method")).to_have_attribute("aria-sort", "ascending")
    assert names(panel) == sorted(upwards)
    assert opened.cells() == cells


def test_a_click_and_the_enter_key_show_what_is_behind_a_cell(opened: Screen, panel: Locator) -> None:
    cells = opened.cells()
    wanted = cell(panel, "random_maps", IOU)
    alt = changes(panel, wanted.click, until="behind random_maps by binarised_iou")
    assert "IoU 0." in alt
    below = names(panel).index("random_maps")
    walk = "ArrowUp" if below else "ArrowDown"
    other = names(panel)[below + (-1 if below else 1)]
    opened.page.keyboard.press(walk)
    changes(panel, lambda: opened.page.keyboard.press("Enter"), until=f"behind {other} by binarised_iou")
    expect(cell(panel, other, IOU)).to_be_focused()
    expect(cell(panel, other, IOU)).to_have_attribute("aria-selected", "true")
    assert opened.cells() == cells


def test_the_slider_recomputes_the_score(opened: Screen, panel: Locator) -> None:
    gauge = panel.locator(".workbench-gauge")
    before, slider = gauge.inner_text(), panel.get_by_role("slider", name="Threshold")
    changes(panel, lambda: slider.fill("0.3"))
    expect(gauge).to_contain_text("fraction(fraction=0.3)", timeout=SECONDS)
    assert re.search(r"0\.\d+ \[0\.\d+, 0\.\d+\], 24 images", gauge.inner_text())
    assert gauge.inner_text() != before
    slider.focus()
    changes(panel, lambda: opened.page.keyboard.press("ArrowRight"))
    expect(gauge).to_contain_text("fraction(fraction=0.31)", timeout=SECONDS)
    opened.code("assert protocols.state.threshold == 0.31")


def test_pairs_that_differ_are_shown(opened: Screen, panel: Locator, tmp_path: Path) -> None:
    changes(panel, cell(panel, "saliency", IOU).click, until=IOU)
    panel.get_by_label("Which pairs of methods differ").focus()
    opened.page.keyboard.press("Space")
    pairs = panel.locator("img.workbench-picture:not([hidden])").nth(1)
    expect(pairs).to_have_attribute("alt", re.compile("of 6 pairs of methods differ at 0.05"), timeout=SECONDS)
    rest(panel)
    assert violations(opened.page) == []
    panel.screenshot(path=os.environ.get("WORKBENCH_PROTOCOL_FIGURE", tmp_path / "protocol.png"))


def test_the_table_and_the_report_are_saved(opened: Screen, panel: Locator) -> None:
    for name, ending, words in (
        ("Save the table as CSV", "csv", "method,metric"),
        ("Save the report", "html", "<!doc"),
    ):
        with opened.page.expect_download(timeout=SECONDS) as saved:
            panel.get_by_role("button", name=name).click()
        assert saved.value.suggested_filename == f"protocol.{ending}"
        assert Path(saved.value.path()).read_text().startswith(words)
