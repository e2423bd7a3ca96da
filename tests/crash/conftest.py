"""Work that can be done, and killed, in another process."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def work() -> Iterator[ModuleType]:
    """The module of functions that other processes run; they find it where this one does."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    import store_work

    yield store_work
    sys.path.remove(folder)


@pytest.fixture(scope="session")
def processes(work: ModuleType) -> BaseContext:
    """Processes that start in milliseconds, since a server has imported torch for them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["store_work"])
    with pytest.MonkeyPatch.context() as patch:
        # the server looks for what it preloads where its environment says, not where this process would
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(work.__file__).parent), *sys.path]))
        forkserver.ensure_running()
    return context


@pytest.fixture(scope="session")
def reference(work: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that an uninterrupted run leaves."""
    path = tmp_path_factory.mktemp("uninterrupted") / "store"
    work.extract(path)
    return path


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """The bytes of every file of a store, but for the lock, which holds none."""

    def read(path: Path) -> dict[str, bytes]:
        files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}

    return read
