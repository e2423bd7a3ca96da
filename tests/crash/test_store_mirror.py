"""Two layers of a real network over all sample photographs: killed on the way, resumed, equal to the last bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType

import pytest

from workbench.errors import StoreError
from workbench.store import ActivationStore

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.mirror, pytest.mark.timeout(900)]


def test_imagenet_network_killed_once(
    mirror: Path,
    work: ModuleType,
    processes: BaseContext,
    contents: Callable[[Path], dict[str, bytes]],
    tmp_path: Path,
) -> None:
    whole, path = tmp_path / "uninterrupted", tmp_path / "killed"
    store = work.extract_imagenet(whole, mirror)
    assert len(store) == 600
    assert list(store.layers) == ["features.13", "features.18"]

    writer = processes.Process(target=work.extract_imagenet, args=(path, mirror))
    writer.start()
    while not (path / "receipts" / "00000001.json").exists():
        assert writer.is_alive(), "it ended before it could be killed"
        time.sleep(0.01)
    writer.kill()
    writer.join()
    with pytest.raises(StoreError, match="is not finished"):
        ActivationStore.open(path)
    kept = ActivationStore.open(path, allow_partial=True)
    assert 0 < len(kept) < 600

    work.extract_imagenet(path, mirror)
    assert ActivationStore.open(path).verify().ok
    assert contents(path) == contents(whole)
