"""A disk that is full, read-only or lying: nothing finished is lost, and the message says what to do."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from workbench.errors import DiskSpaceError, StoreDamagedError, StoreError
from workbench.store import ActivationStore
from workbench.store.backends import LocalBackend

pytestmark = pytest.mark.crash
Read = Callable[[Path], dict[str, bytes]]


def fail_after(monkeypatch: pytest.MonkeyPatch, writes: int, code: int) -> None:
    """Let fsync of files fail from some write on, as a full disk does."""
    done = [0]
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            done[0] += 1
            if done[0] > writes:
                raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)


@pytest.mark.parametrize("writes", [0, 5, 40, 130])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(
    writes: int,
    code: int,
    work: ModuleType,
    reference: Path,
    contents: Read,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "store"
    with monkeypatch.context() as patch:
        fail_after(patch, writes, code)
        with pytest.raises(DiskSpaceError, match=r"is full .* run the same extraction again") as caught:
            work.extract(path)
        assert caught.value.errno == code
    assert not (path / "finished.json").exists()
    assert not list(path.rglob("*.partial"))
    work.extract(path)
    assert contents(path) == contents(reference)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_folder_that_cannot_be_written(
    code: int, work: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DiskSpaceError, match=r"cannot be written .* Choose a folder"):
        work.extract(tmp_path / "store")


def test_path_through_a_file(work: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DiskSpaceError, match="cannot be written"):
        work.extract(tmp_path / "file" / "store")
    assert (tmp_path / "file").read_text() == "mine"


def test_disk_that_gives_back_other_bytes(work: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "store", LocalBackend.write

    def lie(self: LocalBackend, key: str, data: bytes) -> None:
        other = bytes(data)[:-1] + bytes([data[-1] ^ 1]) if key == "layers/3/max/c/4/0" else data
        write(self, key, other)

    monkeypatch.setattr(LocalBackend, "write", lie)
    with pytest.raises(StoreDamagedError, match=r"layers/3/max/c/4/0 .* does not read back"):
        work.extract(path)
    monkeypatch.undo()
    with pytest.raises(StoreError):
        ActivationStore.open(path)
    assert work.extract(path).verify().ok
