"""The relation panel in a real JupyterLab, by mouse, by keyboard and from code."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cells import RELATIONS, Notebook
from pages import Screen, changes, picture, rest, violations
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

SECONDS = 30_000
NOTEBOOK = Notebook(
    "relations.ipynb",
    (RELATIONS,),
    2300,
    "state = related.state\n"
    "state.kind, state.category, state.strength, state.across, state.hold = '', '', 0, 0, 1\n"
    "state.edge = related.positions()[0]\n"
    "assert related.wait(60)",
)


def test_it_shows_the_graph_an_edge_and_its_test(panel: Locator, opened: Screen) -> None:
    """The drawing, the evidence and the test of the first edge."""
    folder = os.environ.get("WORKBENCH_SCREENSHOTS")
    if folder:
        opened.code("related.state.across, related.state.hold = 0.3, 0.25\nassert related.wait(60)")
        rest(panel)
        panel.screenshot(path=Path(folder, "relation.png"))
        opened.code("related.state.across, related.state.hold = 0, 1\nassert related.wait(60)")
        rest(panel)
    alt = picture(panel).get_attribute("alt") or ""
    assert "Relation graph from left to right" in alt
    assert "Brought out: unit" in alt
    expect(panel.locator("img.workbench-picture:not([hidden])")).to_have_count(3, timeout=SECONDS)
    assert violations(opened.page) == []


def test_a_click_on_a_line_chooses_its_edge(opened: Screen, panel: Locator) -> None:
    opened.code(
        "from workbench.panels.parts.panel import drawing\n"
        "assert related.wait(60)\n"
        "figure = related.picture.figure\n"
        "before = related.state.edge\n"
        "line = min((each for each in figure.axes[0].patches if each.get_gid()), key=lambda each: each.get_alpha())\n"
        "with drawing:\n"
        "    figure.draw_without_rendering()\n"
        "    ends = line.get_transform().transform(line.get_path().vertices)\n"
        "x, y = (ends[0] + 3 * ends[1] + 3 * ends[2] + ends[3]) / 8\n"
        "related.actions.label = f'{x / figure.bbox.width} {1 - y / figure.bbox.height}'"
    )
    across, down = (float(share) for share in opened.value("related.actions.label").split())
    box = picture(panel).bounding_box()
    assert box is not None
    changes(panel, lambda: opened.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"]))
    said = panel.locator(".workbench-points .workbench-said")
    expect(said).to_contain_text("Unit ", timeout=SECONDS)
    opened.code("assert related.state.edge != before, related.state.edge")


def test_the_keyboard_chooses_an_edge_and_moves_the_object(opened: Screen, panel: Locator) -> None:
    cells = opened.cells()
    changes(panel, lambda: panel.get_by_label("Kind", exact=True).select_option("causal"))
    edge = panel.get_by_label("Edge", exact=True)
    edge.focus()
    changes(panel, lambda: opened.page.keyboard.press("ArrowDown"))
    opened.code("assert related.wait(60)\nassert related.state.edge == related.positions()[1]")
    test = panel.locator("img.workbench-picture").nth(2)
    shown = test.get_attribute("src")
    slider = panel.get_by_label("Move it to the right")
    slider.focus()
    opened.page.keyboard.press("PageUp")
    expect(test).not_to_have_attribute("src", shown or "", timeout=SECONDS)
    rest(panel)
    assert "Scene changed: the target moves by" in (test.get_attribute("alt") or "")
    opened.code("assert related.state.across > 0\nassert float(related.result['measured'][0]) != 0")
    assert opened.cells() == cells


def test_kinds_filter_and_places_are_plotted(opened: Screen, panel: Locator) -> None:
    changes(panel, lambda: panel.get_by_label("Kind", exact=True).select_option("spatial"))
    edge = panel.get_by_label("Edge", exact=True)
    value = opened.value("related.positions()[0]")
    evidence = panel.locator("img.workbench-picture").nth(1)
    edge.select_option(value)
    expect(evidence).to_have_attribute("alt", re.compile("permutations"), timeout=SECONDS)
    rest(panel)
    expect(panel.locator("img.workbench-picture:not([hidden])")).to_have_count(2, timeout=SECONDS)
    assert violations(opened.page) == []
