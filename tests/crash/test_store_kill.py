"""A writer that is killed at any moment leaves a store that says what it lacks, and that can be finished."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from workbench.errors import MissingFileError, StoreError, StoreLockedError
from workbench.store import ActivationStore
from workbench.store.backends import open_backend

pytestmark = pytest.mark.crash
Read = Callable[[Path], dict[str, bytes]]


def check_what_is_left(path: Path, whole: ActivationStore) -> int:
    """Whatever can be read is right; the rest is said to be missing. Gives the number of images that can be read."""
    try:
        partial = ActivationStore.open(path, allow_partial=True)
    except MissingFileError:  # killed before there was a plan
        return 0
    if not partial.state.whole:
        with pytest.raises(StoreError):
            ActivationStore.open(path)
    report = partial.verify()
    assert all(finding.kind in ("missing", "leftover") for finding in report.findings), str(report)
    if partial.state.index:
        assert set(partial.identifiers) | set(partial.missing) == set(whole.identifiers)
        for layer in whole.layers:
            expected = whole.dataset(layer).sel(image=list(partial.identifiers))
            found = partial.dataset(layer)
            for name in found.data_vars:
                np.testing.assert_array_equal(found[name], expected[name])
    return len(partial)


@pytest.mark.slow
def test_killed_at_random_moments(
    work: ModuleType, processes: BaseContext, reference: Path, contents: Read, tmp_path: Path
) -> None:
    whole, expected, chance = ActivationStore.open(reference), contents(reference), random.Random(0)
    blocks = len(whole.plan.blocks)
    kills = 0
    for attempt in range(5):
        path, before = tmp_path / f"store{attempt}", 0
        # a random moment, however busy the machine: some blocks are done, and then a few milliseconds pass
        for finished in sorted(chance.sample(range(blocks - 1), 4)):
            writer = processes.Process(target=work.extract, args=(path,))
            writer.start()
            while writer.is_alive() and len(list(path.glob("receipts/0*.json"))) < finished:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.03))
            kills += writer.is_alive()
            writer.kill()
            writer.join()
            left = check_what_is_left(path, whole)
            assert left >= before  # nothing that was finished is lost
            before = left
        work.extract(path)
        assert contents(path) == expected
    assert kills >= 15


def test_killed_right_after_each_kind_of_write(
    work: ModuleType, processes: BaseContext, reference: Path, contents: Read, tmp_path: Path
) -> None:
    whole, expected = ActivationStore.open(reference), contents(reference)
    path = tmp_path / "store"
    # the last file that may be written: the plan, metadata, index, some shards, a receipt, the last word but one
    for writes in (1, 9, 25, 33, 60, 100):
        writer = processes.Process(target=work.extract_until, args=(path, writes))
        writer.start()
        writer.join()
        assert writer.exitcode in (-9, 0)
        check_what_is_left(path, whole)
    work.extract(path)
    assert contents(path) == expected


def test_two_writers_at_once(
    work: ModuleType, processes: BaseContext, reference: Path, contents: Read, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    writer = processes.Process(target=work.extract, args=(path,), kwargs={"block_bytes": 7000})
    writer.start()
    while not (path / "receipts").is_dir():
        assert writer.is_alive()
        time.sleep(0.005)
    with pytest.raises(StoreLockedError, match="Another process is writing"):
        work.extract(path, block_bytes=7000)
    writer.join()
    assert writer.exitcode == 0
    assert ActivationStore.open(path).verify().ok


def test_lock_of_a_killed_writer_does_not_stay(work: ModuleType, processes: BaseContext, tmp_path: Path) -> None:
    path = tmp_path / "store"
    writer = processes.Process(target=work.extract, args=(path,))
    writer.start()
    while not (path / "receipts").is_dir():
        time.sleep(0.005)
    writer.kill()
    writer.join()
    with open_backend(path).lock():
        pass
