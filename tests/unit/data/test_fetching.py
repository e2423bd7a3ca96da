"""Fetching: the right place first, nothing unverified, nothing lost, and words for what went wrong."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench import data
from workbench.errors import (
    DamagedFileError,
    DiskSpaceError,
    InputError,
    ManifestError,
    MissingFileError,
    UnsafeArchiveError,
)

GOOD, BAD = b"the right content", b"the wrong content"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content was hashed."""
    import pooch

    names: list[str] = []
    original = pooch.file_hash

    def counted(name: str, alg: str = "sha256") -> str:
        names.append(Path(name).name)
        return str(original(name, alg=alg))

    monkeypatch.setattr(pooch, "file_hash", counted)
    return names


def test_a_file_is_downloaded_verified_and_kept(server: Any, cache: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = GOOD
    path = make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")})
    found = data.fetch(path, progress=False)
    assert found == cache / "one" / "a.txt"
    assert found.read_bytes() == GOOD
    assert data.fetch(path) == found
    assert server.asked == ["a.txt"]


def test_progress_is_shown_while_downloading(
    server: Any, cache: Path, make_manifest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["a.txt"] = GOOD
    data.fetch(make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")}), progress=True)
    assert "one: a.txt" in capsys.readouterr().err


def test_a_download_with_another_hash_is_kept_aside_and_reported(server: Any, cache: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = BAD
    path = make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")})
    for kept in ("a.txt.bad", "a.txt.bad1"):
        with pytest.raises(DamagedFileError) as caught:
            data.fetch(path)
        assert f"expected sha256 {sha256(GOOD)}, got {sha256(BAD)}" in str(caught.value)
        assert str(cache / "one" / kept) in str(caught.value)
        assert (cache / "one" / kept).read_bytes() == BAD
    assert not (cache / "one" / "a.txt").exists()
    server.files["a.txt"] = GOOD
    assert data.fetch(path).read_bytes() == GOOD
    assert (cache / "one" / "a.txt.bad").read_bytes() == BAD, "what was kept aside is still there"


def test_a_download_of_another_size_says_both_sizes(server: Any, cache: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = GOOD + b"!"
    path = make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")})
    with pytest.raises(DamagedFileError, match=r"expected 17 bytes, got 18\."):
        data.fetch(path)


def test_md5_is_enforced_where_that_is_what_the_publisher_gives(server: Any, cache: Path, tmp_path: Path) -> None:
    server.files["a.txt"] = GOOD
    document = {
        "name": "one",
        "description": "d",
        "license": "MIT",
        "citeAs": "c",
        "distribution": [{"@type": "cr:FileObject", "name": "a.txt", "contentUrl": server.url("a.txt")}],
    }
    entry: Any = document["distribution"][0]
    entry["md5"] = hashlib.md5(GOOD).hexdigest()
    (tmp_path / "m.json").write_text(json.dumps(document))
    assert data.fetch(tmp_path / "m.json").read_bytes() == GOOD
    entry["md5"] = hashlib.md5(BAD).hexdigest()
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(DamagedFileError, match="expected md5"):
        data.fetch(tmp_path / "m.json")


def test_a_cached_file_that_changed_is_kept_aside_not_deleted(server: Any, cache: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = GOOD
    path = make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")})
    found = data.fetch(path)
    found.write_bytes(b"notes of the user, not seventeen bytes")
    with pytest.raises(DamagedFileError, match="kept as"):
        data.fetch(path)
    assert (cache / "one" / "a.txt.bad").read_bytes() == b"notes of the user, not seventeen bytes"
    assert data.fetch(path).read_bytes() == GOOD


def test_a_file_put_into_the_cache_by_hand_is_used(server: Any, cache: Path, make_manifest: Any) -> None:
    put(cache / "one", "a.txt", GOOD)
    path = make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")})
    assert data.fetch(path).read_bytes() == GOOD
    assert server.asked == []


def test_the_order_is_cache_mirror_address(server: Any, cache: Path, own_mirror: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = GOOD
    path = make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")})
    in_mirror = put(own_mirror / "one", "a.txt", GOOD)
    assert data.fetch(path) == in_mirror
    in_cache = put(cache / "one", "a.txt", GOOD)
    assert data.fetch(path) == in_cache
    assert server.asked == []
    in_cache.unlink()
    in_mirror.unlink()
    assert data.fetch(path) == in_cache
    assert server.asked == ["a.txt"]


def test_the_mirror_is_used_in_place_and_never_written_to(own_mirror: Path, cache: Path, make_manifest: Any) -> None:
    put(own_mirror / "elsewhere", "a/x.txt", GOOD)
    put(own_mirror / "elsewhere", "y.txt", BAD)
    before = sorted(own_mirror.rglob("*"))
    path = make_manifest("two", {"a/x.txt": GOOD, "y.txt": BAD}, **{"wb:folder": "elsewhere"})
    assert data.fetch(path) == own_mirror / "elsewhere"
    assert sorted(own_mirror.rglob("*")) == before
    assert not (cache / "two").exists(), "nothing was copied"


def test_a_bad_file_of_the_mirror_is_left_and_reported(own_mirror: Path, cache: Path, make_manifest: Any) -> None:
    bad = put(own_mirror / "two", "x.txt", BAD)
    put(own_mirror / "two", "y.txt", GOOD)
    with pytest.raises(DamagedFileError) as caught:
        data.fetch(make_manifest("two", {"x.txt": GOOD, "y.txt": GOOD}))
    assert "1 of 2 files" in str(caught.value)
    assert f"expected sha256 {sha256(GOOD)}, got {sha256(BAD)}" in str(caught.value)
    assert "left as it is" in str(caught.value)
    assert bad.read_bytes() == BAD
    assert sorted(p.name for p in (own_mirror / "two").iterdir()) == ["x.txt", "y.txt"]


def test_every_bad_file_is_counted(own_mirror: Path, cache: Path, make_manifest: Any) -> None:
    files = {f"{index}.txt": GOOD for index in range(9)}
    for name in files:
        put(own_mirror / "many", name, BAD)
    with pytest.raises(DamagedFileError, match=r"9 of 9 files[\s\S]*and 4 more"):
        data.fetch(make_manifest("many", files))


def test_a_mirror_that_is_no_folder_is_named(cache: Path, make_manifest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_MIRROR", "/nowhere/at/all")
    with pytest.raises(MissingFileError, match="/nowhere/at/all"):
        data.fetch(make_manifest("one", {"a.txt": GOOD}))


def test_without_network_the_error_says_which_file_to_put_where(cache: Path, make_manifest: Any) -> None:
    address = "http://127.0.0.1:1/a.txt"  # nothing listens there
    with pytest.raises(MissingFileError) as caught:
        data.fetch(make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": address}))
    message = str(caught.value)
    assert "there is no connection to the server" in message
    assert str(cache / "one" / "a.txt") in message
    assert f"sha256:{sha256(GOOD)}" in message
    assert "17 bytes" in message
    assert "WORKBENCH_MIRROR to a folder that holds one/a.txt" in message
    assert not list((cache / "one").iterdir())


def test_a_file_that_is_only_in_a_mirror_says_so(cache: Path, make_manifest: Any) -> None:
    with pytest.raises(MissingFileError) as caught:
        data.fetch(make_manifest("two", {"a.txt": GOOD, "b.txt": GOOD}))
    assert "2 of 2 files of 'two' are missing" in str(caught.value)
    assert "it was made from https://example.org/source" in str(caught.value)


def test_an_address_that_answers_404(server: Any, cache: Path, make_manifest: Any) -> None:
    with pytest.raises(MissingFileError, match="the server answers 404"):
        data.fetch(make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")}))


def test_a_connection_that_breaks_off_leaves_nothing(server: Any, cache: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = GOOD * 1000
    server.cut_off.add("a.txt")
    path = make_manifest("one", {"a.txt": GOOD * 1000}, urls={"a.txt": server.url("a.txt")})
    with pytest.raises(MissingFileError, match="broke off"):
        data.fetch(path)
    assert not list((cache / "one").iterdir())


def test_an_address_of_an_unknown_kind(cache: Path, make_manifest: Any) -> None:
    with pytest.raises(InputError, match="gopher"):
        data.fetch(make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": "gopher://example.org/a.txt"}))


def test_a_disk_that_is_too_small_is_noticed_before_the_download(
    server: Any, cache: Path, make_manifest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(DiskSpaceError, match=r"needs 17 bytes.*10 left"):
        data.fetch(make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")}))
    assert server.asked == []


def test_a_cache_that_cannot_be_made_is_named(
    tmp_path: Path, make_manifest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "file", b"in the way")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DiskSpaceError, match="WORKBENCH_CACHE"):
        data.fetch(make_manifest("one", {"a.txt": GOOD}))


def test_no_hash_no_trust(server: Any, cache: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = GOOD
    path = make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")}, hashed=False)
    with pytest.raises(ManifestError, match="trust_on_first_use=True"):
        data.fetch(path)
    assert server.asked == [], "not even downloaded"


def test_trust_on_first_use_records_the_hash_and_enforces_it(server: Any, cache: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = GOOD
    path = make_manifest("one", {"a.txt": GOOD}, urls={"a.txt": server.url("a.txt")}, hashed=False)
    found = data.fetch(path, trust_on_first_use=True)
    recorded = json.loads((cache / "trusted.lock.json").read_text())["one"]["a.txt"]
    assert recorded["sha256"] == sha256(GOOD)
    assert recorded["size"] == len(GOOD)
    assert recorded["place"] == server.url("a.txt")
    assert data.fetch(path) == found, "known by now: no need to trust again"
    found.unlink()
    server.files["a.txt"] = BAD  # of the same size
    for trust in (False, True):
        with pytest.raises(DamagedFileError, match=sha256(GOOD)):
            data.fetch(path, trust_on_first_use=trust)
    assert json.loads((cache / "trusted.lock.json").read_text())["one"]["a.txt"] == recorded


def test_a_second_fetch_does_not_hash_again_unless_asked(
    own_mirror: Path, cache: Path, make_manifest: Any, hashed: list[str]
) -> None:
    files = {f"{index}.txt": f"content {index}".encode() for index in range(5)}
    for name, content in files.items():
        put(own_mirror / "many", name, content)
    path = make_manifest("many", files)
    data.fetch(path)
    assert len(hashed) == 5
    data.fetch(path)
    assert len(hashed) == 5
    data.fetch(path, verify="always")
    assert len(hashed) == 10
    (own_mirror / "many" / "3.txt").write_bytes(files["3.txt"])  # same content, another time of change
    data.fetch(path)
    assert hashed[10:] == ["3.txt"]


def test_verify_always_finds_what_size_and_time_hide(own_mirror: Path, cache: Path, make_manifest: Any) -> None:
    import os

    file = put(own_mirror / "one", "a.txt", GOOD)
    path = make_manifest("one", {"a.txt": GOOD})
    data.fetch(path)
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_bytes(BAD)
    os.utime(file, ns=times)
    assert data.fetch(path) == file, "documented: the last check is trusted while size and time stay"
    with pytest.raises(DamagedFileError):
        data.fetch(path, verify="always")


def test_a_cut_off_stamp_file_only_means_hashing_again(
    own_mirror: Path, cache: Path, make_manifest: Any, hashed: list[str]
) -> None:
    put(own_mirror / "one", "a.txt", GOOD)
    path = make_manifest("one", {"a.txt": GOOD})
    data.fetch(path)
    (stamps,) = (cache / ".stamps").iterdir()
    stamps.write_text('{"a.txt": [17, ')
    data.fetch(path)
    assert hashed == ["a.txt", "a.txt"]


def test_bad_arguments(cache: Path, make_manifest: Any) -> None:
    with pytest.raises(InputError, match="'sometimes'"):
        data.fetch(make_manifest("one", {"a.txt": GOOD}), verify="sometimes")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"workbench\.data\.scenes\.generate"):
        data.fetch("scenes")


def test_terms_are_shown_once(
    own_mirror: Path, cache: Path, make_manifest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    put(own_mirror / "one", "a.txt", GOOD)
    path = make_manifest("one", {"a.txt": GOOD})
    data.fetch(path)
    first = capsys.readouterr().out
    assert "CC0-1.0 (https://spdx.org/licenses/CC0-1.0)" in first
    assert "@misc{nobody" in first
    data.fetch(path)
    assert capsys.readouterr().out == ""


def test_two_at_once_download_once(server: Any, cache: Path, make_manifest: Any) -> None:
    server.files["a.txt"] = GOOD * 100_000
    path = make_manifest("one", {"a.txt": GOOD * 100_000}, urls={"a.txt": server.url("a.txt")})
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(data.fetch(path, progress=False))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / "one" / "a.txt"] * 4
    assert server.asked == ["a.txt"]


def test_archives_are_unpacked_together_and_once(server: Any, cache: Path, make_manifest: Any) -> None:
    contents = {"a.zip": zipped(x__1=b"one"), "b.zip": zipped(x__2=b"two")}
    server.files.update(contents)
    path = make_manifest("arc", contents, urls={name: server.url(name) for name in contents})
    found = data.fetch(path)
    assert found == cache / "arc" / "unpacked"
    assert {p.name: p.read_bytes() for p in (found / "x").iterdir()} == {"1": b"one", "2": b"two"}
    (found / "x" / "1").write_bytes(b"mine")
    assert (data.fetch(path) / "x" / "1").read_bytes() == b"mine", "not unpacked again"
    assert (data.fetch(path, verify="always") / "x" / "1").read_bytes() == b"one"
    kept = list((cache / "arc").glob("unpacked-before-*/unpacked/x/1"))
    assert [item.read_bytes() for item in kept] == [b"mine"], "the changed one was kept aside"
    assert server.asked == ["a.zip", "b.zip"]


def test_an_archive_in_the_mirror_is_unpacked_into_the_cache(own_mirror: Path, cache: Path, make_manifest: Any) -> None:
    contents = {"a.zip": zipped(x=b"one"), "list.txt": b"x"}
    for name, content in contents.items():
        put(own_mirror / "arc", name, content)
    found = data.fetch(make_manifest("arc", contents))
    assert found == cache / "arc" / "unpacked"
    assert (found / "x").read_bytes() == b"one"
    assert not (cache / "arc" / "a.zip").exists()


def test_an_archive_that_tries_to_escape_leaves_nothing(own_mirror: Path, cache: Path, make_manifest: Any) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("fine.txt", "../../escaped.txt"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
    put(own_mirror / "arc", "a.tar", out.getvalue())
    with pytest.raises(UnsafeArchiveError, match="escaped"):
        data.fetch(make_manifest("arc", {"a.tar": out.getvalue()}))
    assert not list(cache.parent.rglob("escaped.txt"))
    assert not list(cache.rglob("fine.txt"))
    assert not list((cache / "arc").iterdir())


def test_what_a_killed_process_left_behind_is_cleared(own_mirror: Path, cache: Path, make_manifest: Any) -> None:
    content = zipped(x=b"one")
    put(own_mirror / "arc", "a.zip", content)
    put(cache / "arc" / "unpacking-abc", "half", b"of a file")
    found = data.fetch(make_manifest("arc", {"a.zip": content}))
    assert [item.name for item in found.iterdir()] == ["x"]
    assert sorted(item.name for item in (cache / "arc").iterdir()) == ["unpacked", "unpacked.json"]


def test_the_unpack_limit_counts_all_archives(own_mirror: Path, cache: Path, make_manifest: Any) -> None:
    contents = {"a.zip": zipped(x=bytes(600)), "b.zip": zipped(y=bytes(600))}
    for name, content in contents.items():
        put(own_mirror / "arc", name, content)
    path = make_manifest("arc", contents)
    with pytest.raises(UnsafeArchiveError, match="unpack_limit"):
        data.fetch(path, unpack_limit=1000)
    assert data.fetch(path, unpack_limit=1200).is_dir()


def test_a_full_disk_while_unpacking_is_told_as_such(
    own_mirror: Path, cache: Path, make_manifest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import importlib

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    content = zipped(x=b"one")
    put(own_mirror / "arc", "a.zip", content)
    monkeypatch.setattr(importlib.import_module("workbench.data.fetching"), "unpack", full)
    with pytest.raises(DiskSpaceError, match="does not fit"):
        data.fetch(make_manifest("arc", {"a.zip": content}))
    assert not list((cache / "arc").iterdir())


def test_part_in_the_mirror_and_part_at_an_address_end_up_together(
    server: Any, own_mirror: Path, cache: Path, make_manifest: Any
) -> None:
    put(own_mirror / "two", "a.txt", GOOD)
    server.files["b.txt"] = BAD
    found = data.fetch(make_manifest("two", {"a.txt": GOOD, "b.txt": BAD}, urls={"b.txt": server.url("b.txt")}))
    assert found == cache / "two"
    assert {p.name: p.read_bytes() for p in found.iterdir()} == {"a.txt": GOOD, "b.txt": BAD}


@pytest.mark.mirror
def test_everything_in_the_mirror_is_fetched_in_place(
    mirror: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_MIRROR", str(mirror))
    for name in data.manifests():
        found = data.manifest(name)
        if found.files and all(file.verified for file in found.files) and found.package is None:
            path = data.fetch(name, progress=False)
            assert path.is_relative_to(mirror)
            assert path.is_file() is (found.file is not None)


def test_what_comes_with_packages_needs_neither_mirror_nor_network(cache: Path) -> None:
    assert data.fetch("digits").name == "digits.csv.gz"
    assert (data.fetch("photographs") / "astronaut.png").is_file()
