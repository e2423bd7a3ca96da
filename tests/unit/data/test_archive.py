"""Archives from elsewhere: what is sound comes out whole, what is not leaves nothing outside its folder."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.archive import Unpacked, is_archive_name, safe_member_path, unpack
from workbench.errors import DamagedFileError, UnsafeArchiveError, WorkbenchError

LIMIT = 10_000_000
MODES = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tgz": "w:gz", "a.tar.bz2": "w:bz2", "a.tar.xz": "w:xz"}
ESCAPES = ["../out.txt", "a/../../out.txt", "/out.txt", "..", "C:/out.txt", "c:out.txt", "a\\..\\..\\out.txt", "\\out"]


def make_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def make_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members:
            bundle.writestr(name, content)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", [*MODES, "a.zip"])
def test_a_sound_archive_comes_out_whole(tmp_path: Path, name: str) -> None:
    wanted = {"x.txt": b"one", "deep/er/y.bin": os.urandom(3_000_000)}
    if name == "a.zip":
        archive = make_zip(tmp_path / name, ("deep/", b""), *wanted.items())
    else:
        folder = special("./", tarfile.DIRTYPE)
        members = [(tarfile.TarInfo(f"./{key}"), value) for key, value in wanted.items()]
        archive = make_tar(tmp_path / name, (folder, b""), *members, mode=MODES[name])
    assert unpack(archive, tmp_path / "out", limit_size=LIMIT) == Unpacked(2, 3_000_003)
    assert contents(tmp_path / "out") == wanted


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_would_leave_its_folder_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / "box" / "out"
    if kind == "zip":
        archive = make_zip(tmp_path / "a.zip", (name, b"bad"))
    else:
        archive = make_tar(tmp_path / "a.tar", (tarfile.TarInfo(name), b"bad"))
    with pytest.raises(UnsafeArchiveError, match="leave its folder"):
        unpack(archive, place, limit_size=LIMIT)
    assert contents(tmp_path / "box") == {}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"),
        (tarfile.FIFOTYPE, "named pipe"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, word: str) -> None:
    outside = tmp_path / "secret"
    outside.write_text("mine")
    archive = make_tar(tmp_path / "a.tar", (special("x", kind, str(outside)), b""), (tarfile.TarInfo("x"), b"evil"))
    with pytest.raises(UnsafeArchiveError, match=word):
        unpack(archive, tmp_path / "out", limit_size=LIMIT)
    assert outside.read_text() == "mine"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_a_link_in_a_zip_is_refused(tmp_path: Path, mode: int) -> None:
    info = zipfile.ZipInfo("x")
    info.external_attr = (mode | 0o777) << 16
    with pytest.raises(UnsafeArchiveError, match="link or a device"):
        unpack(make_zip(tmp_path / "a.zip", (info, b"/etc/passwd")), tmp_path / "out", limit_size=LIMIT)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.xz"])
def test_a_bomb_stops_at_the_limit(tmp_path: Path, name: str) -> None:
    content = bytes(30_000_000)
    if name == "a.zip":
        archive = make_zip(tmp_path / name, ("zeros", content))
    else:
        archive = make_tar(tmp_path / name, (tarfile.TarInfo("zeros"), content), mode="w:xz")
    assert archive.stat().st_size < 100_000
    with pytest.raises(UnsafeArchiveError, match="more than 5,000,000 bytes"):
        unpack(archive, tmp_path / "out", limit_size=5_000_000)
    assert sum(map(len, contents(tmp_path / "out").values())) <= 5_000_000


def test_the_limit_counts_all_members_together(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", *((f"{i}", bytes(1000)) for i in range(10)))
    assert unpack(archive, tmp_path / "fits", limit_size=10_000).size == 10_000
    with pytest.raises(UnsafeArchiveError, match="9,999 bytes"):
        unpack(archive, tmp_path / "out", limit_size=9_999)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", *((f"{i}", b"") for i in range(11)))
    with pytest.raises(UnsafeArchiveError, match="over 10 members"):
        unpack(archive, tmp_path / "out", limit_size=LIMIT, limit_files=10)


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", (tarfile.TarInfo("x"), b"1"), (tarfile.TarInfo("./x"), b"2"))
    with pytest.raises(UnsafeArchiveError, match="twice"):
        unpack(archive, tmp_path / "out", limit_size=LIMIT)


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", (tarfile.TarInfo("x"), b"1"), (tarfile.TarInfo("x/y"), b"2"))
    with pytest.raises(UnsafeArchiveError, match="file and a folder"):
        unpack(archive, tmp_path / "out", limit_size=LIMIT)


@pytest.mark.parametrize("theirs", [b"theirs", b"min", b"mine!", b""])
def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path, theirs: bytes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("mine")
    with pytest.raises(UnsafeArchiveError, match="two different files"):
        unpack(make_zip(tmp_path / "a.zip", ("x", theirs)), tmp_path / "out", limit_size=LIMIT)
    assert (tmp_path / "out" / "x").read_text() == "mine"


def test_two_archives_may_share_a_file(tmp_path: Path) -> None:
    first = make_zip(tmp_path / "a.zip", ("x", b"shared"), ("y", b"1"))
    second = make_tar(tmp_path / "b.tar", (tarfile.TarInfo("x"), b"shared"), (tarfile.TarInfo("z"), b"2"))
    unpack(first, tmp_path / "out", limit_size=LIMIT)
    unpack(second, tmp_path / "out", limit_size=LIMIT)
    assert contents(tmp_path / "out") == {"x": b"shared", "y": b"1", "z": b"2"}


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", ("x", b"content"))
    raw = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        raw[raw.index(mark) + offset] |= 1
    archive.write_bytes(bytes(raw))
    with pytest.raises(UnsafeArchiveError, match="encrypted"):
        unpack(archive, tmp_path / "out", limit_size=LIMIT)


@pytest.mark.parametrize("name", [*MODES, "a.zip"])
def test_a_truncated_archive_is_damaged(tmp_path: Path, name: str) -> None:
    content = os.urandom(200_000)
    if name == "a.zip":
        archive = make_zip(tmp_path / name, ("x", content))
    else:
        archive = make_tar(tmp_path / name, (tarfile.TarInfo("x"), content), mode=MODES[name])
    archive.write_bytes(archive.read_bytes()[:100_000])
    with pytest.raises(DamagedFileError, match="cannot be read to its end"):
        unpack(archive, tmp_path / "out", limit_size=LIMIT)


def test_a_wrong_checksum_is_damaged(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr("x", b"content")
    archive.write_bytes(archive.read_bytes().replace(b"content", b"c0ntent"))
    with pytest.raises(DamagedFileError, match="CRC"):
        unpack(archive, tmp_path / "out", limit_size=LIMIT)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.zip", True), ("a.TAR.XZ", True), ("a.tgz", True), ("a.csv.gz", False), ("a.jpg", False), ("tar", False)],
)
def test_which_names_are_archives(name: str, expected: bool) -> None:
    assert is_archive_name(name) is expected


parts = st.sampled_from(["..", ".", "a", "b", "", " ", "...", "..a", "C:", "c:x", "é"])
names = st.builds(
    lambda lead, items, separator: lead + separator.join(items),
    st.sampled_from(["", "/", "//", "\\", "./", "../"]),
    st.lists(parts, max_size=6),
    st.sampled_from(["/", "//", "\\"]),
)


@given(st.one_of(names, st.text(alphabet="./\\ab:\0", max_size=12), st.text(max_size=12)))
def test_a_name_is_refused_or_stays_inside(name: str) -> None:
    root = "/some/folder"
    try:
        path = safe_member_path(name)
    except UnsafeArchiveError:
        return
    resolved = os.path.normpath(os.path.join(root, str(path)))  # noqa: PTH118 - pathlib would not normalise
    assert resolved.startswith(root + "/")
    assert not str(path).startswith(("/", "\\"))
    assert ".." not in str(path).replace("\\", "/").split("/")


@given(st.text(alphabet="abc._-", min_size=1, max_size=8).filter(lambda part: part not in (".", "..")))
def test_an_ordinary_name_is_kept(name: str) -> None:
    assert safe_member_path(f"folder/{name}").parts == ("folder", name)


@pytest.mark.parametrize("build", [make_zip, make_tar], ids=["zip", "tar"])
@settings(max_examples=150)
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=8))
def test_flipped_bytes_give_the_files_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, build: Callable[..., Path], flips: list[tuple[int, int]]
) -> None:
    """Whatever the bytes, only the workbench's own errors come out, and nothing is written elsewhere."""
    place = tmp_path_factory.mktemp("fuzz")
    if build is make_zip:
        archive = make_zip(place / "a.zip", ("x", b"content"), ("d/y", b"more"))
    else:
        archive = make_tar(place / "a.tar", (tarfile.TarInfo("x"), b"content"), (tarfile.TarInfo("d/y"), b"more"))
    raw = bytearray(archive.read_bytes())
    for position, value in flips:
        raw[position % len(raw)] ^= value
    archive.write_bytes(bytes(raw))
    with contextlib.suppress(WorkbenchError):
        unpack(archive, place / "out", limit_size=LIMIT)
    assert sorted(item.name for item in place.iterdir()) == [archive.name, "out"]
