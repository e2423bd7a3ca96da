"""The unit panel in a real JupyterLab, by mouse, by keyboard and from code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pages import changes, picture, rest, violations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pages import Screen
    from playwright.sync_api import Locator


@pytest.fixture
def panel(screen: Screen) -> Iterator[Locator]:
    """The panel, in the state in which it began."""
    panel = screen.panel(1)
    yield panel
    screen.code("units.state.layer, units.state.unit, units.state.category = '1', 0, ''\nunits.wait(30)")
    rest(panel)
    assert screen.errors == []


def test_it_renders_top_images_and_a_histogram(screen: Screen, panel: Locator) -> None:
    alt = picture(panel).get_attribute("alt") or ""
    assert "Unit 0 of 1: the 8 images" in alt
    assert "Histogram" in alt
    assert violations(screen.page) == []


def test_the_mouse_steps_to_the_next_unit_and_back(panel: Locator) -> None:
    assert "Unit 1 of 1" in changes(panel, lambda: panel.get_by_role("button", name="Next unit").click())
    assert "Unit 0 of 1" in changes(panel, lambda: panel.get_by_role("button", name="Previous unit").click())


def test_the_keyboard_steps_through_units(screen: Screen, panel: Locator) -> None:
    cells = screen.cells()
    panel.get_by_role("button", name="Next unit").focus()
    assert "Unit 1 of 1" in changes(panel, lambda: screen.page.keyboard.press("ArrowRight"))
    assert "Unit 2 of 1" in changes(panel, lambda: screen.page.keyboard.press("Enter"))
    assert "Unit 1 of 1" in changes(panel, lambda: screen.page.keyboard.press("ArrowLeft"))
    assert "Unit 7 of 1" in changes(panel, lambda: screen.page.keyboard.press("PageUp"))
    assert screen.cells() == cells


def test_a_number_is_typed(screen: Screen, panel: Locator) -> None:
    field = panel.get_by_label("Unit", exact=True)
    field.fill("6")
    assert "Unit 6 of 1" in changes(panel, lambda: screen.page.keyboard.press("Enter"))


def test_another_layer_is_chosen(panel: Locator) -> None:
    assert "Unit 0 of 4" in changes(panel, lambda: panel.get_by_label("Layer").select_option("4"))


def test_units_are_found_for_a_category(screen: Screen, panel: Locator) -> None:
    alt = changes(panel, lambda: panel.get_by_label("Find units for").select_option("house"))
    assert "In front, house" in alt
    found = panel.locator(".workbench-chip")
    found.first.wait_for()
    names = found.all_inner_texts()
    assert len(names) == 8
    last = names[-1].split()[0]
    assert f"Unit {last} of 1" in changes(panel, lambda: found.last.click())
    assert violations(screen.page) == []


def test_code_sets_the_panel(screen: Screen, panel: Locator) -> None:
    changes(panel, lambda: screen.code("units.state.layer = '4'; units.state.unit = 3"), until="Unit 3 of 4")
    screen.code("assert units.result.attrs['unit'] == 3")
    assert panel.get_by_label("Layer").input_value() == "4"
