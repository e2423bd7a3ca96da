"""The fsyncing local store: zarr's own conformance tests, and the order of what it does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from zarr.core.buffer import Buffer, cpu
from zarr.core.sync import sync
from zarr.testing.store import StoreTests

from workbench.store import DurableLocalStore
from workbench.store.local import write_durably


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
class TestDurableLocalStore(StoreTests[DurableLocalStore, cpu.Buffer]):
    store_cls = DurableLocalStore
    buffer_cls = cpu.Buffer

    async def get(self, store: DurableLocalStore, key: str) -> Buffer:
        return self.buffer_cls.from_bytes((store.root / key).read_bytes())

    async def set(self, store: DurableLocalStore, key: str, value: Buffer) -> None:
        path = store.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value.to_bytes())

    @pytest.fixture
    def store_kwargs(self, tmp_path: Path) -> dict[str, Any]:
        return {"root": str(tmp_path)}

    @pytest.fixture
    def store(self, open_kwargs: dict[str, Any]) -> DurableLocalStore:  # type: ignore[override]
        # not async as in the base class: half of the tests that use it are not
        return sync(DurableLocalStore.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs: dict[str, Any]) -> DurableLocalStore:  # type: ignore[override]
        return DurableLocalStore(**store_kwargs)

    def test_store_repr(self, store: DurableLocalStore) -> None:
        assert str(store) == f"file://{store.root.as_posix()}"

    def test_store_supports_writes(self, store: DurableLocalStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: DurableLocalStore) -> None:
        assert store.supports_listing


def test_file_is_synced_before_it_gets_its_name_and_folders_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record_sync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().relative_to(tmp_path).as_posix()[:3]}")
        fsync(descriptor)

    def record_rename(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "replace", record_rename)
    write_durably(tmp_path, "a/b", b"x")
    assert done == ["sync a/b", "rename", "sync a", "sync ."]


def test_exclusive_write_keeps_what_is_there(tmp_path: Path) -> None:
    write_durably(tmp_path, "a", b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        write_durably(tmp_path, "a", b"second", exclusive=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"first"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="input/output error"):
        write_durably(tmp_path, "a", b"x")
    assert list(tmp_path.iterdir()) == []
