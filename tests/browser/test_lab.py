"""The lab as `make lab` opens it: locked without the token, and its start notebook reacts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import Screen, changes, picture, rest, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from servers import Server

START = Path(__file__).parents[2] / "notebooks" / "00_start.ipynb"


def test_the_lab_answers_to_the_token_only(lab: Server) -> None:
    assert lab.status("/api/contents") == 403
    assert lab.status("/api/contents", token="not-" + lab.token) == 403
    assert lab.status("/api/contents", token=lab.token) == 200
    assert lab.url.startswith("http://127.0.0.1:")


def test_the_start_notebook_reacts_and_makes_the_figure(lab: Server, browser: Browser, tmp_path: Path) -> None:
    """And a photograph of the first is taken: for the README, where WORKBENCH_FIGURE says so (`make figure`)."""
    shutil.copy(START, lab.folder / START.name)
    screen = (
        Screen.blank(browser, width=1440, height=1000, scale=1.5).open_notebook(lab, START.name, mode="lab").run_all()
    )
    explanation = screen.panel(0)
    changes(explanation, lambda: explanation.locator(".workbench-tile").nth(1).click())
    explanation.get_by_label("Opacity").focus()
    changes(explanation, lambda: screen.page.keyboard.press("ArrowRight"))
    units = screen.panel(1)
    changes(units, lambda: units.get_by_role("button", name="Next unit").click())
    units.get_by_role("button", name="Next unit").focus()
    changes(units, lambda: screen.page.keyboard.press("ArrowRight"))
    assert violations(screen.page) == []
    assert screen.errors == []
    take_figure(screen, Path(os.environ.get("WORKBENCH_FIGURE", tmp_path / "figure.png")))
    screen.close()


def take_figure(screen: Screen, path: Path) -> None:
    """A photograph of the lab with the explanation panel in it."""
    panel = screen.panel(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    panel.evaluate("panel => panel.scrollIntoView({ block: 'center' })")
    rest(panel)
    screen.page.screenshot(path=path)
    assert path.stat().st_size > 50_000
    assert picture(panel).is_visible()


@pytest.mark.parametrize("name", ["chromium", "REQUIRE_BROWSER"])
def test_a_missing_browser_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import chromium

    monkeypatch.setenv("WORKBENCH_CHROMIUM", "/nowhere/chromium")
    if name == "chromium":
        monkeypatch.delenv("REQUIRE_BROWSER", raising=False)
        with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
            chromium.required()
    else:
        monkeypatch.setenv("REQUIRE_BROWSER", "1")
        with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
            chromium.required()
