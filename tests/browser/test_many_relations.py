"""The relation panel over thousands of edges: what 200 of them look like, thinned out by filters, by keyboard."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cells import MANY_RELATIONS, Notebook
from pages import changes, picture, rest, violations
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pages import Screen
    from playwright.sync_api import Locator

NOTEBOOK = Notebook(
    "many.ipynb",
    (MANY_RELATIONS,),
    2600,
    "state = many.state\nstate.kind, state.strength = '', 0\nstate.edge = many.positions()[0]\nassert many.wait(60)",
)
# sizes are shares of the picture's width
LABELS = """
from workbench.panels.parts.panel import drawing

with drawing:
    figure = many.picture.figure
    figure.canvas.draw()
    texts = [each for each in figure.axes[0].texts if each.get_text()]
    boxes = [each.get_window_extent() for each in texts]
    smallest = min(each.get_fontsize() for each in texts) * figure.dpi / 72 / figure.bbox.width
overlapping = [
    (first.get_text(), second.get_text())
    for at, (first, one) in enumerate(zip(texts, boxes))
    for second, other in zip(texts[at + 1 :], boxes[at + 1 :])
    if min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
]
written = " | ".join(" ".join(each.get_text().split()) for each in texts)
"""
LETTER = 8  # pixels of the screen, the least height of a line of letters


def edges_in(alt: str) -> int:
    """How many edges the text of a drawing counts."""
    found = re.search(r"; (\d+) edges?:", alt)
    assert found is not None, alt
    return int(found[1])


def brought_out(alt: str) -> str:
    return alt.split("Brought out: ")[1].split(" (")[0]


def test_names_of_two_hundred_edges_can_be_read(opened: Screen, panel: Locator) -> None:
    expect(panel.locator("img.workbench-picture:not([hidden])")).to_have_count(3)
    folder = os.environ.get("WORKBENCH_SCREENSHOTS")
    if folder:
        panel.screenshot(path=Path(folder, "many_relations.png"))
    assert edges_in(picture(panel).get_attribute("alt") or "") == 200
    opened.code(LABELS)
    assert int(opened.value("len(texts)")) > 60
    assert opened.value("overlapping") == "[]"
    shown = picture(panel).bounding_box()
    assert shown is not None
    assert float(opened.value("smallest")) * shown["width"] >= LETTER
    assert "red square left of blue circle" in opened.value("written")  # outputs are called after categories, in full
    assert violations(opened.page) == []


def test_the_chosen_edge_stands_out_and_those_of_its_units_less(opened: Screen, panel: Locator) -> None:
    opened.code(
        "lines = {each.get_gid(): each for each in many.picture.figure.axes[0].patches if each.get_gid()}\n"
        "chosen = graph.edge(many.state.edge)\n"
        "ends = (repr(chosen.source), repr(chosen.target))\n"
        "alphas = {name: each.get_alpha() for name, each in lines.items()}\n"
        "beside = [value for name, value in alphas.items() if any(end in name for end in ends) and value < 1]\n"
        "away = [value for name, value in alphas.items() if not any(end in name for end in ends)]\n"
        "assert sum(value == 1 for value in alphas.values()) == 1\n"
        "assert beside and away and sum(beside) / len(beside) > 1.5 * sum(away) / len(away)\n"
    )


def test_filters_leave_fewer_lines_and_the_keyboard_goes_from_edge_to_edge(opened: Screen, panel: Locator) -> None:
    causal = changes(panel, lambda: panel.get_by_label("Kind", exact=True).select_option("causal"))
    assert 20 < edges_in(causal) < 100
    panel.get_by_label("Strength at least").focus()
    stronger = changes(panel, lambda: opened.page.keyboard.press("PageUp"))
    assert 0 < edges_in(stronger) < edges_in(causal)
    edge, other = panel.get_by_label("Edge", exact=True), panel.get_by_label("Kind", exact=True)
    opened.page.keyboard.press("Shift+Tab")  # from here on the browser shows the focus
    edge.focus()
    looks = [
        each.evaluate("each => { const look = getComputedStyle(each); return look.outlineStyle + look.boxShadow; }")
        for each in (edge, other)
    ]
    assert looks[0] != looks[1]
    moved = changes(panel, lambda: opened.page.keyboard.press("ArrowDown"))
    rest(panel)
    assert brought_out(moved) != brought_out(stronger)
    assert edges_in(moved) == edges_in(stronger)
    expect(panel.locator(".workbench-points .workbench-said")).to_contain_text(brought_out(moved)[1:].split(",")[0])
