"""Whatever happens to a file is found, named, and put right by resume()."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workbench.errors import ShardMissingError, StoreDamagedError, StoreError, StoreLockedError
from workbench.models import ImageModel
from workbench.store import ActivationStore
from workbench.store.backends import open_backend

Arguments = dict[str, Any]
Read = Callable[[Path], dict[str, bytes]]
SHARD = "layers/3/maps/c/1/0/0/0"


def flip(file: Path, position: float = 0.5) -> None:
    data = bytearray(file.read_bytes())
    data[int(position * (len(data) - 1))] ^= 16
    file.write_bytes(data)


def test_whole_store_is_ok(reference: Path) -> None:
    report = ActivationStore.open(reference, content=True).verify()
    assert report.ok
    assert report.findings == report.blocks == report.layers == report.images == ()
    assert "finished" in str(report)


def test_flipped_bit(path: Path, reference: Path, model: ImageModel, images: NDArray[np.uint8], contents: Read) -> None:
    flip(path / SHARD)
    store = ActivationStore.open(path)
    report = store.verify()
    block = store.plan.blocks[1]
    assert not report.ok
    assert [(finding.key, finding.kind) for finding in report.findings] == [(SHARD, "damaged")]
    assert report.layers == ("3",)
    assert report.images == tuple(str(index) for index in range(block.start, block.stop))
    assert f"damaged {SHARD}: 3 of images {block.start} to {block.stop - 1}" in str(report)
    with pytest.raises(StoreDamagedError, match="layers/3/maps cannot be read"):
        store.dataset("3")["maps"].load()
    store.dataset("1")["maps"].load()
    with pytest.raises(StoreDamagedError, match="is damaged"):
        ActivationStore.open(path, content=True)
    store.resume(model, images, progress=False)
    assert contents(path) == contents(reference)


def test_truncated_shard(
    path: Path, reference: Path, model: ImageModel, images: NDArray[np.uint8], contents: Read
) -> None:
    (path / SHARD).write_bytes((path / SHARD).read_bytes()[:-7])
    with pytest.raises(StoreDamagedError, match=SHARD):
        ActivationStore.open(path)
    store = ActivationStore.open(path, allow_partial=True)
    assert [finding.kind for finding in store.verify().findings] == ["truncated"]
    store.resume(model, images, progress=False)
    assert contents(path) == contents(reference)


def test_missing_shard(
    path: Path, reference: Path, model: ImageModel, images: NDArray[np.uint8], contents: Read
) -> None:
    (path / SHARD).unlink()
    with pytest.raises(ShardMissingError, match=SHARD):
        ActivationStore.open(path)
    store = ActivationStore.open(path, allow_partial=True)
    block = store.plan.blocks[1]
    lacking = tuple(str(index) for index in range(block.start, block.stop))
    assert store.missing == lacking
    assert set(store.identifiers) == {str(index) for index in range(22)} - set(lacking)
    whole = ActivationStore.open(reference).dataset("3").sel(image=list(store.identifiers))
    np.testing.assert_array_equal(store.dataset("3")["maps"], whole["maps"])
    assert [finding.kind for finding in store.verify().findings] == ["missing"]
    assert store.resume(model, images, progress=False).missing == ()
    assert contents(path) == contents(reference)


def test_shard_that_goes_missing_after_opening_is_not_read_as_zeros(path: Path) -> None:
    store = ActivationStore.open(path)
    maps = store.dataset("3")["maps"]
    (path / SHARD).unlink()
    with pytest.raises(ShardMissingError, match=r"shard 1 of .* Run store\.resume"):
        maps.load()


def test_foreign_file_is_reported_and_left_alone(
    path: Path, reference: Path, model: ImageModel, images: NDArray[np.uint8], contents: Read
) -> None:
    (path / "layers/3/maps/c/99").mkdir()
    (path / "layers/3/maps/c/99/0").write_text("mine")
    (path / "notes.txt").write_text("mine too")
    store = ActivationStore.open(path)
    report = store.verify()
    assert not report.ok
    assert report.complete
    assert {finding.key: finding.kind for finding in report.findings} == {
        "layers/3/maps/c/99/0": "foreign",
        "notes.txt": "foreign",
    }
    assert report.images == ()
    with pytest.warns(UserWarning, match="left alone"):
        store.resume(model, images, progress=False)
    left = contents(path)
    assert left.pop("notes.txt") == b"mine too"
    assert left.pop("layers/3/maps/c/99/0") == b"mine"
    assert left == contents(reference)


@pytest.mark.parametrize(
    "key",
    [
        "zarr.json",
        "layers/3/zarr.json",
        "layers/3/maps/zarr.json",
        "images/image/c/0",
        "images/label/c/0",
        "receipts/index.json",
        "receipts/00000001.json",
        "finished.json",
    ],
)
@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_every_other_kind_of_file(
    key: str,
    harm: str,
    path: Path,
    reference: Path,
    model: ImageModel,
    images: NDArray[np.uint8],
    labels: list[int],
    contents: Read,
) -> None:
    file = path / key
    if harm == "flip":
        flip(file)
    elif harm == "truncate":
        file.write_bytes(file.read_bytes()[:-5])
    else:
        file.unlink()
    store = ActivationStore.open(path, allow_partial=True)
    report = store.verify()
    assert not report.ok
    if key != "finished.json" or harm != "delete":
        assert key in {finding.key for finding in report.harmful}
    store.resume(model, images, labels=labels, progress=False)
    assert contents(path) == contents(reference)


def test_damaged_labels_are_not_replaced_by_others(path: Path, model: ImageModel, images: NDArray[np.uint8]) -> None:
    flip(path / "images/label/c/0")
    with pytest.raises(StoreError, match=r"same labels="):
        ActivationStore.open(path, allow_partial=True).resume(model, images, progress=False)


def test_damaged_plan_is_refused_with_a_way_out(path: Path) -> None:
    flip(path / "plan.json")
    with pytest.raises(StoreDamagedError, match="extract to a new path"):
        ActivationStore.open(path, allow_partial=True)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_in_any_file_is_found(data: st.DataObject, path: Path) -> None:
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name not in (".lock", "plan.json"))
    file = data.draw(st.sampled_from(files))
    before = file.read_bytes()
    bit = data.draw(st.integers(0, len(before) * 8 - 1))
    changed = bytearray(before)
    changed[bit // 8] ^= 1 << (bit % 8)
    file.write_bytes(changed)
    report = ActivationStore.open(path, allow_partial=True).verify()
    file.write_bytes(before)
    assert file.relative_to(path).as_posix() in {finding.key for finding in report.harmful}


def test_unfinished_store_is_refused(
    model: ImageModel,
    images: NDArray[np.uint8],
    arguments: Arguments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reference: Path,
    contents: Read,
) -> None:
    monkeypatch.setattr("workbench.store.extract._finish", lambda *_: None)
    with pytest.raises(StoreError, match="is not finished"):
        ActivationStore.extract(model, images, path=tmp_path / "a", **arguments)
    (tmp_path / "a" / "receipts" / "00000002.json").unlink()
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"\d+ of 22 images \(1 of \d blocks\) are not written"):
        ActivationStore.open(tmp_path / "a")
    partial = ActivationStore.open(tmp_path / "a", allow_partial=True)
    block = partial.plan.blocks[2]
    assert partial.missing == tuple(str(index) for index in range(block.start, block.stop))
    assert partial.verify().pending == (2,)
    assert "1 of" in str(partial.verify())
    ActivationStore.extract(model, images, path=tmp_path / "a", **arguments)
    assert contents(tmp_path / "a") == contents(reference)


def test_second_writer_is_refused(path: Path, model: ImageModel, images: NDArray[np.uint8]) -> None:
    (path / SHARD).unlink()
    store = ActivationStore.open(path, allow_partial=True)
    with open_backend(path).lock(), pytest.raises(StoreLockedError, match="Another process is writing"):
        store.resume(model, images, progress=False)
    store.resume(model, images, progress=False)
