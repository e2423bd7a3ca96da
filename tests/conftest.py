"""Fixtures for every test: the mirror of real data, and a cache that is not the user's."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

# Two busy cores make a single example slow now and then; that is no finding about the code under test.
settings.register_profile("workbench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("workbench")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real photographs and weights; the test is skipped where there is none."""
    setting = os.environ.get("WORKBENCH_MIRROR")
    if not setting:
        pytest.skip("needs real data: set WORKBENCH_MIRROR to the folder that holds the mirror")
    folder = Path(setting)
    if not folder.is_dir():
        pytest.skip(f"needs real data: WORKBENCH_MIRROR is {setting!r}, which is not a folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A function from a name to the module of that name in tools/."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "tools"))
    return importlib.import_module
