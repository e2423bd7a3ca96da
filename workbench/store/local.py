"""A local Zarr store whose writes survive a power cut: zarr renames atomically, but never calls fsync."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

PARTIAL = ".partial"
Buffers = bytes | bytearray | memoryview


class DurableLocalStore(LocalStore):
    """``zarr.storage.LocalStore`` that fsyncs every file it writes, and the folders that name it."""

    async def _set(self, key: str, value: Buffer, exclusive: bool = False) -> None:
        if not self._is_open:
            await self._open()
        self._check_writable()
        _check_buffer(value)
        await asyncio.to_thread(write_durably, self.root, key, value.as_buffer_like(), exclusive=exclusive)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Store a value under a key, durably, from synchronous code."""
        self._ensure_open_sync()
        self._check_writable()
        _check_buffer(value)
        write_durably(self.root, key, value.as_buffer_like())


def write_durably(root: Path, key: str, data: Buffers, *, exclusive: bool = False) -> None:
    """Write a file under another name, fsync it, give it its name, fsync the folders.

    Args:
        root: folder of the store.
        key: path of the file below it, with ``/``.
        data: the bytes.
        exclusive: refuse to replace a file that is there.

    Raises:
        FileExistsError: the file is there and ``exclusive`` was asked for.
        OSError: what the system said; no file of that name is left half written.
    """
    path = root / key
    changed = _make_folders(path.parent)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)
            temporary.unlink()
        else:
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    for folder in (path.parent, *changed):
        _sync_folder(folder)


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and its parents; give back the folders that gained an entry."""
    changed = []
    for parent in (folder, *folder.parents):
        if parent.exists():
            break
        changed.append(parent.parent)
    folder.mkdir(parents=True, exist_ok=True)
    return changed


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; NTFS journals its entries
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_buffer(value: object) -> None:
    if not isinstance(value, Buffer):
        # zarr's own conformance tests expect this type and this wording
        raise TypeError(
            f"DurableLocalStore.set(): `value` must be a Buffer instance. Got an instance of {type(value)} instead."
        )
