"""Finding Chromium, and starting it without a screen."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOW = (
    "needs Chromium: install it (Debian, Ubuntu: apt-get install chromium) or set WORKBENCH_CHROMIUM to its executable"
)


def executable() -> str | None:
    """The path of Chromium, or None."""
    named = os.environ.get("WORKBENCH_CHROMIUM")
    candidates = [named] if named else NAMES
    return next((path for path in map(shutil.which, candidates) if path), None)


def required() -> str:
    """The path of Chromium; without it the test is skipped, or fails where REQUIRE_BROWSER=1 says that it must run."""
    path = executable()
    if path is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"REQUIRE_BROWSER=1, but this test {HOW}")
        pytest.skip(HOW)
    return path


def launch(playwright: Playwright) -> Browser:
    """A headless browser."""
    return playwright.chromium.launch(executable_path=required(), args=list(ARGUMENTS))
