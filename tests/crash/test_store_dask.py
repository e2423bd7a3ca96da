"""The extraction on dask workers: the same bytes as the serial reference, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from distributed import Client, LocalCluster

from workbench.store import ActivationStore

pytestmark = [pytest.mark.crash, pytest.mark.slow]
Read = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def client(work: ModuleType) -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as found,
    ):
        yield found


def test_same_bytes_and_one_load_a_worker(
    client: Client, work: ModuleType, reference: Path, contents: Read, tmp_path: Path
) -> None:
    store = work.extract(tmp_path / "store", engine=client, log=tmp_path / "loads")
    assert store.verify().ok
    assert contents(tmp_path / "store") == contents(reference)
    loads = (tmp_path / "loads").read_text().split()
    assert len(loads) == len(set(loads)) == 2
    assert len(store.plan.blocks) > 2  # so that each worker had several tasks


def test_resume_on_workers(client: Client, work: ModuleType, reference: Path, contents: Read, tmp_path: Path) -> None:
    work.extract(tmp_path / "store")
    for block in (1, 5):
        (tmp_path / "store" / f"layers/1/maps/c/{block}/0/0/0").unlink()
    partial = ActivationStore.open(tmp_path / "store", allow_partial=True)
    partial.resume(work.small_model(), work.pictures(), engine=client, progress=False)
    assert contents(tmp_path / "store") == contents(reference)


def test_killed_worker_loses_nothing(
    client: Client, work: ModuleType, reference: Path, contents: Read, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    pids = client.run(os.getpid)
    killed = threading.Event()

    def kill_one() -> None:
        while len(list(path.glob("receipts/0*.json"))) < 2:
            time.sleep(0.002)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        killed.set()

    killer = threading.Thread(target=kill_one)
    killer.start()
    work.extract(path, engine=client)
    killer.join()
    assert killed.is_set()
    assert contents(path) == contents(reference)


def test_an_error_on_a_worker_arrives(client: Client, work: ModuleType, tmp_path: Path) -> None:
    model, images = work.small_model(), work.pictures()
    prepared = model.prepare(images)
    prepared[20] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        ActivationStore.extract(
            model, prepared, layers="1", path=tmp_path / "store", engine=client, batch_size=3, progress=False
        )
