"""Where fetched files are kept, and what is remembered about them: checks that passed, hashes that were trusted."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import DiskSpaceError, MissingFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from filelock import BaseFileLock

    from workbench.data.croissant import Manifest, ManifestFile

CACHE_VARIABLE = "WORKBENCH_CACHE"
MIRROR_VARIABLE = "WORKBENCH_MIRROR"
TRUSTED = "trusted.lock.json"


def cache_folder() -> Path:
    """The cache: ``WORKBENCH_CACHE`` where it is set, else the platform's own place for caches."""
    setting = os.environ.get(CACHE_VARIABLE)
    if setting:
        return Path(setting).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("interpretation-workbench"))


def mirror_folder() -> Path | None:
    """The mirror named by ``WORKBENCH_MIRROR``, or None where that is not set.

    Raises:
        MissingFileError: it is set to something that is no folder.
    """
    setting = os.environ.get(MIRROR_VARIABLE)
    if not setting:
        return None
    folder = Path(setting).expanduser().absolute()
    if not folder.is_dir():
        raise MissingFileError(
            f"{MIRROR_VARIABLE} is {setting!r}, which is not a folder. Set it to the folder that holds one folder "
            "a dataset, or unset it."
        )
    return folder


def make_folder(folder: Path) -> Path:
    """Make a folder of the cache.

    Raises:
        DiskSpaceError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskSpaceError(
            f"The cache folder {folder} cannot be made ({error.strerror}). Set {CACHE_VARIABLE} to a folder that can."
        ) from error
    return folder


def read_record(path: Path) -> dict[str, Any]:
    """A small JSON file of the cache; {} where there is none, or where it was cut off while it was written."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Replace a small JSON file of the cache in one step.

    Raises:
        DiskSpaceError: the cache cannot be written to.
    """
    make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DiskSpaceError(
            f"{path} cannot be written ({error.strerror}). Set {CACHE_VARIABLE} to a folder that can be written to."
        ) from error


def stamps_path(name: str, root: Path) -> Path:
    """Where the checks of one dataset at one place are remembered."""
    place = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    return cache_folder() / ".stamps" / f"{name}-{place}.json"


def trusted_hashes(name: str) -> dict[str, dict[str, Any]]:
    """Hashes that were recorded when a file was trusted on first use: file name to sha256, size, place and date."""
    known = read_record(cache_folder() / TRUSTED).get(name, {})
    return known if isinstance(known, dict) else {}


def record_trusted(data: Manifest, file: ManifestFile, *, sha256: str, size: int, place: str) -> None:
    """Remember the hash of a file that no manifest vouches for; from now on it must not change."""
    path = cache_folder() / TRUSTED
    with lock("records"):
        record = read_record(path)
        record.setdefault(data.name, {})[file.name] = {
            "sha256": sha256,
            "size": size,
            "place": place,
            "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_record(path, record)


def first_notice(name: str) -> bool:
    """Whether the terms of a dataset were not shown yet; true once a cache."""
    path = cache_folder() / "notices.json"
    if name in read_record(path):
        return False
    with lock("records"):
        record = read_record(path)
        write_record(path, {**record, name: datetime.now(UTC).isoformat(timespec="seconds")})
    return name not in record


def lock(name: str) -> BaseFileLock:
    """A lock between processes that share the cache."""
    from filelock import FileLock

    return FileLock(make_folder(cache_folder() / ".locks") / f"{name}.lock")
