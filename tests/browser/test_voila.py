"""A panel under Voila: a page without a notebook around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cells import EXPLANATION, MODEL, write_notebook
from pages import Screen, changes, violations
from servers import voila

if TYPE_CHECKING:
    import pytest
    from playwright.sync_api import Browser


def test_a_panel_reacts_under_voila(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    notebook = tmp_path_factory.mktemp("voila") / "panel.ipynb"
    write_notebook(notebook, MODEL, EXPLANATION)
    with voila(notebook, tmp_path_factory.mktemp("jupyter")) as server:
        screen = Screen.blank(browser)
        screen.page.goto(server.url, timeout=90_000)
        panel = screen.panel()
        changes(panel, lambda: panel.locator(".workbench-tile").nth(2).click(), until="object-0-0000002")
        panel.get_by_label("Opacity").focus()
        changes(panel, lambda: screen.page.keyboard.press("ArrowLeft"))
        assert violations(screen.page) == []
        assert screen.errors == []
        screen.close()
