"""One browser and one JupyterLab for all tests of this folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cells import EXPLANATION, MODEL, UNITS, Notebook, write_notebook
from chromium import launch, required
from pages import Screen, rest
from servers import Server, jupyterlab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for one file: while it runs, so does its event loop, and no other test of the process can have one."""
    required()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab over an empty folder; asks for the browser first, so that nothing starts without one."""
    required()
    with jupyterlab(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="module")
def screen(lab: Server, browser: Browser) -> Iterator[Screen]:
    """A notebook with both panels in it, run: the first panel explains, the second shows units."""
    write_notebook(lab.folder / "panels.ipynb", MODEL, EXPLANATION, UNITS)
    opened = Screen.blank(browser).open_notebook(lab, "panels.ipynb").run_all()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, lab: Server, browser: Browser) -> Iterator[Screen]:
    """The ``NOTEBOOK`` of the file, run."""
    notebook: Notebook = request.module.NOTEBOOK
    write_notebook(lab.folder / notebook.name, *notebook.cells)
    screen = Screen.blank(browser, height=notebook.height).open_notebook(lab, notebook.name).run_all()
    yield screen
    screen.close()


@pytest.fixture
def panel(request: pytest.FixtureRequest, opened: Screen) -> Iterator[Locator]:
    """The panel in that notebook, in the state in which it began."""
    notebook: Notebook = request.module.NOTEBOOK
    panel = opened.panel(0)
    yield panel
    opened.code(notebook.reset)
    rest(panel)
    assert opened.errors == []
