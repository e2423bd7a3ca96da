"""Where the bytes of a store lie: a local folder or an S3 prefix, behind one small interface."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout

from workbench.errors import DiskSpaceError, InputError, StoreLockedError
from workbench.store.local import PARTIAL, Buffers, DurableLocalStore, write_durably
from workbench.store.receipts import FileRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zarr.abc.store import Store

LOCK_KEY = ".lock"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class Lock(Protocol):
    """A writer's hold on a store."""

    def check(self) -> None:
        """Raise StoreLockedError where the hold was lost."""


class Backend(Protocol):
    """What a store needs of the place where it lies. Keys are relative, with ``/``."""

    @property
    def location(self) -> str:
        """The path, as messages show it."""

    def read(self, key: str) -> bytes | None:
        """The bytes of a file, or None where there is none."""

    def record(self, key: str) -> FileRecord | None:
        """Size and hash of a file as it is there now, or None where there is none."""

    def write(self, key: str, data: Buffers) -> None:
        """Write a file, durably; readers see all of it or nothing."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a file only if there is none; False where there is one."""

    def delete(self, key: str) -> None:
        """Remove a file, if it is there."""

    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by key, without the lock."""

    def free_bytes(self) -> int | None:
        """Bytes that can still be written, or None where that has no answer."""

    def lock(self) -> AbstractContextManager[Lock]:
        """Hold the store as its only writer."""

    def zarr_store(self) -> Store:
        """The same place as a read-only Zarr store."""


def is_debris(key: str) -> bool:
    """Whether a file is what a killed writer leaves behind: never renamed, so never part of the store."""
    return key.endswith(PARTIAL)


def open_backend(path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> Backend:
    """The backend for a path.

    Args:
        path: a local folder, or ``s3://bucket/prefix``.
        storage_options: what s3fs needs to reach the bucket (endpoint, keys); nothing for a local folder.

    Raises:
        InputError: another scheme, an empty path, or options for a local folder.
    """
    text = os.fspath(path)
    if not text:
        raise InputError("path is empty; expected a folder or s3://bucket/prefix.")
    if text.startswith("s3://"):
        from workbench.store.s3 import S3Backend

        return S3Backend(text.rstrip("/"), dict(storage_options or {}))
    if "://" in text:
        raise InputError(f"path {text!r} is neither a local folder nor s3://bucket/prefix.")
    if storage_options:
        raise InputError(f"storage_options are for s3:// paths; {text!r} is a local folder.")
    return LocalBackend(Path(text).expanduser().absolute())


@dataclass(frozen=True)
class LocalBackend:
    """A folder on a file system."""

    root: Path

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.root)

    def read(self, key: str) -> bytes | None:
        """The bytes of a file, or None where there is none."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def record(self, key: str) -> FileRecord | None:
        """Size and hash of a file as it is there now, or None where there is none."""
        try:
            return FileRecord.of_file(self.root / key)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, key: str, data: Buffers) -> None:
        """Write a file, durably; readers see all of it or nothing."""
        with writing(self.location):
            write_durably(self.root, key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a file only if there is none; False where there is one."""
        try:
            with writing(self.location):
                write_durably(self.root, key, data, exclusive=True)
        except FileExistsError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove a file, if it is there."""
        with writing(self.location):
            (self.root / key).unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by key, without the lock."""
        found: dict[str, int] = {}
        folders = [(self.root, "")] if self.root.is_dir() else []
        while folders:
            folder, prefix = folders.pop()
            for entry in os.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    folders.append((Path(entry.path), f"{prefix}{entry.name}/"))
                else:
                    found[prefix + entry.name] = entry.stat(follow_symlinks=False).st_size
        found.pop(LOCK_KEY, None)
        return found

    def free_bytes(self) -> int | None:
        """Bytes that the file system still holds."""
        folder = self.root
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """Hold a file lock, which the system releases when this process ends, however it ends."""
        with writing(self.location):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / LOCK_KEY, timeout=0, is_singleton=False)
        try:
            with writing(self.location):
                lock.acquire()
        except Timeout:
            raise StoreLockedError(
                f"Another process is writing {self.location} (it holds {LOCK_KEY}). "
                "Wait until it is done, or stop it; what it has written is kept."
            ) from None
        try:
            yield _FileHold()
        finally:
            lock.release()

    def zarr_store(self) -> Store:
        """The folder as a read-only Zarr store."""
        return DurableLocalStore(self.root, read_only=True)


@dataclass(frozen=True)
class _FileHold:
    """The system keeps a file lock for as long as the process lives: there is nothing to check."""

    kind: str = field(default="file lock")

    def check(self) -> None:
        """Never lost."""


@contextmanager
def writing(location: str) -> Iterator[None]:
    """Turn the system's refusals to write into errors that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskSpaceError(
                error.errno,
                f"The disk that holds {location} is full ({error.strerror}). What was finished is kept: "
                "free some space and run the same extraction again, it goes on where it stopped.",
            ) from error
        if error.errno in _FORBIDDEN or isinstance(error, NotADirectoryError):
            raise DiskSpaceError(
                error.errno,
                f"{location} cannot be written ({error.strerror}: {error.filename}). "
                "Choose a folder that you may write to, or change its permissions.",
            ) from error
        raise
