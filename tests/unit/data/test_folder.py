"""A folder of the user's own images: categories, order, and files that are damaged."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workbench import data
from workbench.data.loaders.base import object_names
from workbench.errors import DamagedFileError, InputError, MissingFileError, UnknownNameError


def picture(path: Path, colour: tuple[int, int, int] = (10, 20, 30), size: tuple[int, int] = (6, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def damaged(path: Path) -> Path:
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:800])
    return path


def test_subfolders_are_categories_in_sorted_order(tmp_path: Path) -> None:
    picture(tmp_path / "dog" / "b.png", (1, 2, 3))
    picture(tmp_path / "cat" / "deep" / "a.jpg")
    picture(tmp_path / "dog" / "A.PNG")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    found = data.folder(tmp_path)
    assert isinstance(found, data.ImageSource)
    assert found.identifiers == ("cat/deep/a.jpg", "dog/A.PNG", "dog/b.png")
    assert found.categories == ("cat", "dog")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 1]
    assert len(found) == 3
    item = found[2]
    assert (item.identifier, item.label) == ("dog/b.png", 1)
    assert item.image.shape == (4, 6, 3)
    assert item.image[0, 0].tolist() == [1, 2, 3]


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    found = data.folder(tmp_path)
    assert found.labels is None
    assert found[0].label is None
    assert found.categories == ()


def test_a_file_beside_the_categories_has_no_label(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "dog" / "b.png")
    found = data.folder(tmp_path)
    assert found.labels is not None
    assert found.labels.tolist() == [-1, 0]
    assert found[0].label is None


def test_the_order_of_categories_can_be_given(tmp_path: Path) -> None:
    picture(tmp_path / "dog" / "b.png")
    picture(tmp_path / "cat" / "a.png")
    found = data.folder(tmp_path, categories=["dog", "bird", "cat"])
    assert found.labels is not None
    assert found.labels.tolist() == [2, 0]
    with pytest.raises(UnknownNameError, match=r"'cat'.*has a subfolder of that name"):
        data.folder(tmp_path, categories=["dog", "bird"])


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp"])
def test_a_damaged_file_is_named_and_refused(tmp_path: Path, suffix: str) -> None:
    picture(tmp_path / "good.png")
    damaged(tmp_path / f"bad.{suffix}")
    with pytest.raises(DamagedFileError, match=rf"1 of 2 image files[\s\S]*bad\.{suffix}"):
        data.folder(tmp_path)


def test_damaged_files_are_skipped_with_a_report_when_asked(tmp_path: Path) -> None:
    picture(tmp_path / "dog" / "good.png")
    damaged(tmp_path / "dog" / "bad.png")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "empty.jpg").touch()
    with pytest.warns(UserWarning, match="2 files that cannot be decoded were skipped"):
        found = data.folder(tmp_path, corrupt="skip")
    assert found.identifiers == ("dog/good.png",)
    assert [line.partition(":")[0] for line in found.skipped] == ["cat/empty.jpg", "dog/bad.png"]
    assert found.categories == ("cat", "dog"), "labels do not shift because a file is damaged"
    assert found.findings["files that cannot be decoded were skipped"] == found.skipped


def test_without_a_check_the_damaged_file_is_found_when_it_is_read(tmp_path: Path) -> None:
    damaged(tmp_path / "bad.png")
    found = data.folder(tmp_path, check=False)
    with pytest.raises(DamagedFileError, match=r"bad\.png"):
        found[0]
    with pytest.raises(InputError, match="needs check=True"):
        data.folder(tmp_path, corrupt="skip", check=False)


def test_bad_folders_and_arguments(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere"):
        data.folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no image"):
        data.folder(tmp_path)
    with pytest.raises(InputError, match=r"'ignore'; expected one of 'refuse', 'skip'"):
        data.folder(tmp_path, corrupt="ignore")  # type: ignore[arg-type]
    damaged(tmp_path / "bad.png")
    with pytest.raises(InputError, match="1 were found"):
        data.folder(tmp_path, corrupt="skip")


def test_a_source_survives_pickling_and_ends_like_a_sequence(tmp_path: Path) -> None:
    picture(tmp_path / "dog" / "a.png")
    found = data.folder(tmp_path)
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again[0].image, found[0].image)
    with pytest.raises(IndexError):
        found[1]


def test_as_source_takes_a_folder(tmp_path: Path) -> None:
    picture(tmp_path / "dog" / "a.png")
    found = data.as_source(tmp_path)
    assert found.categories == ("dog",)
    assert len(data.as_source(str(tmp_path))) == 1


@settings(max_examples=150)
@given(
    suffix=st.sampled_from(["png", "jpg", "gif", "bmp", "tiff", "webp"]),
    flips=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 255)), max_size=6),
    keep=st.floats(0, 1),
)
# Pillow warns of odd metadata in TIFF files that it then decodes all the same
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_whatever_the_bytes_an_image_is_decoded_or_called_damaged(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, flips: list[tuple[int, int]], keep: float
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / f"x.{suffix}"
    values = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    raw = bytearray(path.read_bytes())
    for position, value in flips:
        raw[position % len(raw)] ^= value
    path.write_bytes(bytes(raw[: int(len(raw) * keep)]))
    with contextlib.suppress(DamagedFileError):
        image = data.read_image(path)
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3


@given(st.lists(st.sampled_from(["dog", "cat", "bird"])))
def test_object_names_are_unique_and_keep_their_category(categories: list[str]) -> None:
    names = object_names(categories)
    assert len(set(names)) == len(names)
    assert [name.rpartition(" ")[0] for name in names] == categories
