"""Running a protocol: cells that are resumed and refused, one table whoever computed it, and how to stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import xarray as xr
from joblib import parallel_config
from protocols import METHODS, METRICS, cells_of, protocol

from workbench.data.scenes import SceneSource
from workbench.errors import InputError, Interrupted, StoreDamagedError, StoreMismatchError
from workbench.evaluate.protocol import running, scoring


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """What another process left that said its protocol's hash and was killed as soon as it had written a cell."""
    folder = tmp_path_factory.mktemp("killed")
    code = f"""
import os, signal
from workbench import evaluate
from workbench.data.scenes import SceneSource

protocol = evaluate.Protocol(
    methods={METHODS!r}, models=["scenes_part"], data=[SceneSource("part", 6, seed=5)], metrics={METRICS!r},
    binarisers=["otsu", "fraction(fraction=0.3)"],
)
print(protocol.hash, flush=True)
protocol.run(path={str(folder)!r}, progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    return folder, done


def test_the_hash_is_the_same_in_another_process(small, killed):
    assert killed[1].stdout.split()[-1] == small.hash, killed[1].stderr


def test_work_that_was_killed_goes_on(small, table, killed, monkeypatch):
    folder, done = killed
    assert done.returncode == -signal.SIGKILL
    assert len(cells_of(folder)) == 1
    computed = []
    original = running.score_cell
    monkeypatch.setattr(running, "score_cell", lambda *args, **kw: computed.append(args[2]) or original(*args, **kw))
    xr.testing.assert_identical(small.run(path=folder), table)
    assert [cell.method for cell in computed] == ["saliency", "random_maps"]


def test_a_second_run_computes_nothing(small, table, tmp_path, monkeypatch):
    xr.testing.assert_identical(small.run(path=tmp_path), table)
    assert len(cells_of(tmp_path)) == 3

    def refuse(*_, **__):
        raise AssertionError("this cell was there already")

    monkeypatch.setattr(running, "score_cell", refuse)
    xr.testing.assert_identical(small.run(path=tmp_path), table)
    assert next(tmp_path.iterdir()).name == small.hash[:16]


def test_stopped_work_goes_on_where_it_was(small, table, tmp_path, monkeypatch):
    seen = []
    with pytest.raises(Interrupted):
        small.run(path=tmp_path, progress=seen.append, stop=lambda: len(seen) == 2)
    assert len(cells_of(tmp_path)) == 2
    partly = small.table(tmp_path)
    assert partly["done"].values.ravel().tolist() == [True, True, False]
    assert "not been computed" in str(partly["note"].values[2, 0, 0, 0])
    xr.testing.assert_equal(partly["value"].isel(method=[0, 1]), table["value"].isel(method=[0, 1]))
    computed = []
    original = running.score_cell
    monkeypatch.setattr(running, "score_cell", lambda *args, **kw: computed.append(args[2]) or original(*args, **kw))
    xr.testing.assert_identical(small.run(path=tmp_path), table)
    assert [cell.method for cell in computed] == ["random_maps"]


def test_a_cell_is_stopped_between_its_metrics(small, tmp_path, monkeypatch):
    scored = []
    original = scoring._Explanations.score
    monkeypatch.setattr(scoring._Explanations, "score", lambda self, c: scored.append(c.label) or original(self, c))
    with pytest.raises(Interrupted, match="while scoring gradcam"):
        small.run(path=tmp_path, stop=lambda: len(scored) == 2)
    assert len(scored) == 2
    assert cells_of(tmp_path) == []


@pytest.mark.parametrize("method", ["relevant_units", "random_units"])
def test_interpretations_are_stopped_before_they_are_scored(method):
    units = protocol(methods=[method], metrics=["waiou"], data=[SceneSource("part", 8, seed=5)], binarisers=["otsu"])
    asked = iter([False] * 3)  # two halves of the images and the activations
    with pytest.raises(Interrupted, match="Stopped on request"):
        units.run(errors="keep", stop=lambda: next(asked, True))


def test_a_half_written_cell_is_no_cell(small, table, tmp_path):
    small.run(path=tmp_path)
    last = cells_of(tmp_path)[0]
    last.rename(last.with_name(f"{last.name}.77.part"))  # as a killed process leaves it
    xr.testing.assert_identical(small.run(path=tmp_path), table)


def test_damaged_cells_and_those_of_others_are_refused(small, tmp_path):
    small.run(path=tmp_path)
    first = cells_of(tmp_path)[0]
    written = first.read_bytes()
    first.write_bytes(written.replace(b"0.", b"1.", 1))
    with pytest.raises(StoreDamagedError, match="Delete it"):
        small.run(path=tmp_path)
    first.write_bytes(written[:-20])
    with pytest.raises(StoreDamagedError, match="Delete it"):
        small.table(tmp_path)
    other = protocol(seeds=(0, 1), methods=METHODS)
    seen = []
    with pytest.raises(Interrupted):
        other.run(path=tmp_path, progress=seen.append, stop=lambda: bool(seen))
    stranger = next(path for path in cells_of(tmp_path) if path.parent.name == other.hash[:16])
    first.write_bytes(stranger.read_bytes())
    with pytest.raises(StoreMismatchError, match="belongs to the protocol"):
        small.run(path=tmp_path)
    second = cells_of(tmp_path / small.hash[:16])[1]
    first.write_bytes(second.read_bytes())
    with pytest.raises(StoreMismatchError, match="another cell"):
        small.run(path=tmp_path)


def test_joblib_gives_the_same_table(small, table, tmp_path):
    with parallel_config(backend="threading"):
        found = small.run("joblib", workers=2, path=tmp_path)
    xr.testing.assert_identical(found, table)
    assert len(cells_of(tmp_path)) == 3


def test_dask_gives_the_same_table(small, table):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, worker_dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = small.run(client)
    xr.testing.assert_identical(found, table)


def test_workers_keep_a_network_of_their_own(small):
    """Threads hang hooks into the network; none may see those of another."""
    ready = small.at_hand()
    modules, barrier = [], threading.Barrier(2)

    def work() -> None:
        cell = running.cells(ready)[1]
        running._elsewhere(ready, cell, "a key of this test", "raise")
        modules.append(running._here.situation.model.module)
        barrier.wait(timeout=60)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(module) for module in [*modules, ready.models[0].model.module]}) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [({"engine": "fast"}, "engine"), ({"workers": 0}, "workers"), ({"errors": "ignore"}, "errors")],
)
def test_bad_options_of_a_run_are_refused(small, options, words):
    with pytest.raises(InputError, match=words):
        small.run(**options)
