"""Unpacking archives from elsewhere without trusting them."""

from __future__ import annotations

import contextlib
import errno
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from workbench.errors import DamagedFileError, UnsafeArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_CHUNK = 1 << 20
# what Python's own readers raise on bytes that are not what they expect
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    ValueError,
)
_TAR_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
}


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive: number of files and their bytes."""

    files: int
    size: int


@dataclass(frozen=True)
class _Member:
    name: str
    content: IO[bytes] | None  # None: a folder


def is_archive_name(name: str) -> bool:
    """Whether a file of this name is unpacked; a lone ``.gz`` is a compressed file, not an archive."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def safe_member_path(name: str) -> PurePosixPath:
    """The path of an archive's member, where it stays inside the folder that it is unpacked into.

    Args:
        name: as written in the archive.

    Returns:
        A relative path without ``.`` and ``..``.

    Raises:
        UnsafeArchiveError: the name is empty, absolute, has a drive, a backslash, a NUL or ``..``.
    """
    path = PurePosixPath(name)
    reason = None
    if not path.parts:
        reason = "is empty"
    elif path.is_absolute():
        reason = "is absolute"
    elif "\\" in name or "\0" in name:
        reason = "has a backslash or a NUL"
    elif re.match(r"[A-Za-z]:", path.parts[0]):
        reason = "begins with a drive"
    elif ".." in path.parts:
        reason = "climbs out with '..'"
    if reason:
        raise UnsafeArchiveError(
            f"The name {name!r} {reason}; it would leave its folder. Nothing was kept of it. Do not use this source."
        )
    return path


def unpack(
    archive: Path,
    into: Path,
    *,
    limit_size: int,
    limit_files: int = 2_000_000,
    written: Callable[[int], object] | None = None,
) -> Unpacked:
    """Unpack a ZIP or tar archive, files and folders only.

    What the archive says of its sizes is not believed: bytes are counted as they are written. Owners, permissions
    and times are not restored. Where it fails, what was written so far stays for the caller to remove.

    Args:
        archive: a ``.zip``, or a ``.tar`` as it is or compressed with gzip, bzip2 or xz.
        into: the folder; made where it does not exist. A file in it is never overwritten: one of the same content
            stays (archives of one dataset may share a file), one of another content is an error.
        limit_size: the most bytes that may be written.
        limit_files: the most members.
        written: called with the bytes of each file after it was written.

    Returns:
        What was written.

    Raises:
        UnsafeArchiveError: a member leaves the folder, is a link, a device or encrypted, comes twice, or is too much.
        DamagedFileError: the archive cannot be read to its end.
    """
    into.mkdir(parents=True, exist_ok=True)
    members = _zip_members if archive.name.lower().endswith(".zip") else _tar_members
    count, size = 0, 0
    seen: set[PurePosixPath] = set()
    try:
        for member in members(archive):
            count += 1
            if count > limit_files:
                raise UnsafeArchiveError(f"{archive} has over {limit_files:,} members. Raise the limit if it is sound.")
            if member.content is None:
                if PurePosixPath(member.name).parts:  # many archives begin with "./", the folder itself
                    (into / safe_member_path(member.name)).mkdir(parents=True, exist_ok=True)
                continue
            target = safe_member_path(member.name)
            if target in seen:
                raise UnsafeArchiveError(f"{archive} holds {member.name!r} twice; which one is meant cannot be known.")
            seen.add(target)
            added = _write(member.content, into / target, archive, limit_size - size, limit_size)
            size += added
            if written is not None:
                written(added)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UnsafeArchiveError(
            f"{archive} holds a file and a folder, or two different files, at the same place ({error.filename})."
        ) from error
    return Unpacked(len(seen), size)


def _write(content: IO[bytes], target: Path, archive: Path, allowed: int, limit: int) -> int:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and _holds(target, content, archive):
        return 0
    written = 0
    with target.open("xb") as out:
        while chunk := _read(content, archive):
            written += len(chunk)
            if written > allowed:
                raise UnsafeArchiveError(
                    f"{archive} unpacks to more than {limit:,} bytes. It may be a decompression bomb; "
                    "raise the limit (unpack_limit) only if you know it to be sound."
                )
            out.write(chunk)
    return written


def _holds(path: Path, content: IO[bytes], archive: Path) -> bool:
    """Whether a file has this content; refuse where it has another."""
    with path.open("rb") as there:
        while chunk := _read(content, archive):
            if there.read(len(chunk)) != chunk:
                raise FileExistsError(errno.EEXIST, "a file of another content is there", str(path))
        if there.read(1):
            raise FileExistsError(errno.EEXIST, "a longer file is there", str(path))
    return True


def _read(content: IO[bytes], archive: Path) -> bytes:
    with _reading(archive):
        return content.read(_CHUNK)


@contextlib.contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Errors of reading are the archive's fault; those of writing are the disk's, and pass."""
    try:
        yield
    except UnsafeArchiveError:
        raise
    except _UNREADABLE as error:
        raise DamagedFileError(f"{archive} cannot be read to its end ({error}). Fetch it again.") from error


def _tar_members(archive: Path) -> Iterator[_Member]:
    with _reading(archive), tarfile.open(archive, "r:*") as tar:
        for item in tar:
            if not (item.isreg() or item.isdir()):
                kind = _TAR_KINDS.get(item.type, f"of unknown type {item.type!r}")
                raise UnsafeArchiveError(
                    f"{archive}: {item.name!r} is {kind}. Only files and folders are unpacked. Do not use this source."
                )
            yield _Member(item.name, None if item.isdir() else tar.extractfile(item))


def _zip_members(archive: Path) -> Iterator[_Member]:
    with _reading(archive), zipfile.ZipFile(archive) as bundle:
        for item in bundle.infolist():
            kind = stat.S_IFMT(item.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UnsafeArchiveError(
                    f"{archive}: {item.filename!r} is a link or a device. Only files and folders are unpacked. "
                    "Do not use this source."
                )
            if item.flag_bits & 0x1:
                raise UnsafeArchiveError(f"{archive}: {item.filename!r} is encrypted. Unpack it by hand.")
            if item.is_dir():
                yield _Member(item.filename, None)
                continue
            with contextlib.closing(bundle.open(item)) as content:
                yield _Member(item.filename, content)
