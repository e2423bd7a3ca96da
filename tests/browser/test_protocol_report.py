"""The page of a protocol in a real browser: no error, nothing asked for, all of it to be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pages import Screen, violations

from workbench import evaluate, view
from workbench.data.scenes import SceneSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report") / "report.html"
    table = evaluate.Protocol(
        methods=["gradcam", "saliency", "random_maps", "random_units(share=0.1)"],
        models=["scenes_part"],
        data=[SceneSource("part", 8, seed=5)],
        metrics=["pointing_game", "sparseness", "waiou"],
    ).run()
    view.protocol_report(table, target, resamples=199)
    return target


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Screen]:
    screen = Screen(browser.new_page(viewport={"width": 1300, "height": 900}))
    screen.page.on("console", screen._listen)
    screen.page.on("pageerror", lambda error: screen.errors.append(str(error)))
    screen.asked: list[str] = []
    screen.page.on("request", lambda request: screen.asked.append(request.url))
    screen.page.goto(report.as_uri())
    yield screen
    screen.page.close()


def test_it_opens_without_errors_and_asks_for_nothing(opened: Screen, report: Path) -> None:
    assert opened.page.title() == "Evaluation protocol"
    assert opened.errors == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [report.as_uri()]


def test_numbers_drawings_and_differences_are_there(opened: Screen) -> None:
    table = opened.page.get_by_role("region", name="Explanation methods")
    assert table.get_by_role("row").count() == 4
    assert "n = 8" in table.inner_text()
    assert table.get_by_role("img").count() == 6
    differences = opened.page.locator("summary", has_text="sparseness:")
    differences.click()
    assert opened.page.get_by_role("region", name="Differences by sparseness").is_visible()


def test_it_can_be_used_by_everybody(opened: Screen) -> None:
    for details in opened.page.locator("details").all():
        details.locator("summary").click()
    assert violations(opened.page, "main") == []
    # a wide table is scrolled within itself, not the page
    assert opened.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
