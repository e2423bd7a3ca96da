"""One interface for images: what is taken, what comes along, and what is refused in which words."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from workbench import data
from workbench.errors import (
    DamagedFileError,
    DtypeError,
    InputError,
    MissingFileError,
    NotFiniteError,
    ShapeError,
)

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)


def stack(source: data.ImageSource) -> np.ndarray:
    return np.stack([source[index].image for index in range(len(source))])


@pytest.mark.parametrize(
    "images",
    [
        PIXELS,
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        xr.DataArray(PIXELS, dims=("image", "y", "x", "channel")),
        xr.DataArray(PIXELS, dims=("image", "y", "x", "channel")).transpose("channel", "image", "x", "y"),
        xr.Dataset({"pixels": (("image", "y", "x", "channel"), PIXELS)}),
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2),
        [Image.fromarray(pixels) for pixels in PIXELS],
        list(PIXELS),
        tuple(PIXELS),
        (pixels for pixels in list(PIXELS)),
    ],
    ids=[
        "uint8",
        "float64",
        "float32",
        "DataArray",
        "transposed",
        "Dataset",
        "torch",
        "PIL",
        "list",
        "tuple",
        "generator",
    ],
)
def test_every_form_gives_the_same_pictures(images: Any) -> None:
    found = data.as_source(images)
    assert isinstance(found, data.ImageSource)
    assert np.array_equal(stack(found), PIXELS)
    assert list(found.identifiers) == ["0", "1", "2"]


def test_one_image_of_each_form(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS[0]).save(path)
    for one in (PIXELS[0], Image.fromarray(PIXELS[0]), path, str(path), torch.from_numpy(PIXELS[0]).permute(2, 0, 1)):
        found = data.as_source(one)
        assert len(found) == 1
        assert np.array_equal(found[0].image, PIXELS[0])


def test_a_dataset_brings_labels_categories_names_and_provenance() -> None:
    images = data.scenes.generate("object", 4, seed=5, size=32)
    found = data.as_source(images)
    assert found.categories == data.scenes.TASKS["object"].categories
    assert found.manifest_hash == images.attrs["manifest_hash"]
    assert list(found.identifiers) == images["image"].values.tolist()
    assert found.labels is not None
    assert found.labels.tolist() == images["label"].values.tolist()


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 5, 4, 7), np.uint8), ShapeError, r"\(2, 5, 4, 7\)"),
        (np.zeros((5, 4), np.uint8), ShapeError, "2 dimensions"),
        (np.zeros((0, 5, 4, 3), np.uint8), ShapeError, "is empty"),
        (np.zeros((2, 5, 4, 3), np.int64), DtypeError, "int64"),
        (np.zeros((2, 5, 4, 3), np.uint16), DtypeError, "uint16"),
        (np.full((2, 5, 4, 3), "x"), DtypeError, "<U1"),
        (PIXELS.astype(float), InputError, "Divide by 255"),
        (PIXELS / 255 - 0.5, InputError, "lie in"),
        ([], InputError, "list of images is empty"),
        ([PIXELS[0], PIXELS[0][:2]], ShapeError, "different shapes"),
        (torch.rand(2, 3, 5, 4), DtypeError, "no picture"),
        (xr.Dataset({"other": (("image",), [1])}), InputError, "no variable 'pixels'"),
    ],
)
def test_what_is_no_picture_is_refused(images: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        data.as_source(images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_found_and_placed(value: float) -> None:
    images = PIXELS / 255
    images[1, 2, 3, 0] = value
    with pytest.raises(NotFiniteError, match="first at image 1, y 2, x 3, channel 0"):
        data.as_source(images)


def test_labels_and_identifiers_are_checked() -> None:
    found = data.as_source(PIXELS, labels=[2, -1, 0], identifiers=["a", "b", "c"])
    assert [found[index].label for index in range(3)] == [2, None, 0]
    with pytest.raises(ShapeError, match="2 labels for 3 images"):
        data.as_source(PIXELS, labels=[1, 2])
    with pytest.raises(DtypeError, match="labels"):
        data.as_source(PIXELS, labels=[0.5, 1.0, 2.0])  # type: ignore[list-item]
    with pytest.raises(InputError, match="2 of them different"):
        data.as_source(PIXELS, identifiers=["a", "a", "b"])
    with pytest.raises(InputError, match="of its own"):
        data.as_source(found, labels=[0, 0, 0])


def test_an_empty_source_is_refused() -> None:
    with pytest.raises(InputError, match="is empty"):
        data.as_source(data.Subset(data.as_source(PIXELS), np.array([], dtype=np.int64)))


def test_a_subset_keeps_order_and_origin() -> None:
    whole = data.as_source(PIXELS, labels=[5, 6, 7])
    part = data.Subset(whole, np.array([2, 0]))
    assert isinstance(part, data.ImageSource)
    assert list(part.identifiers) == ["2", "0"]
    assert part.labels is not None
    assert part.labels.tolist() == [7, 5]
    assert np.array_equal(stack(part), PIXELS[[2, 0]])


def test_files_are_named_when_they_are_missing_or_damaged(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    found = data.as_source([bad, tmp_path / "gone.png"])
    assert list(found.identifiers) == ["bad.png", "gone.png"]
    with pytest.raises(DamagedFileError, match=re.escape(str(bad))):
        found[0]
    with pytest.raises(MissingFileError, match=r"gone\.png"):
        found[1]


def test_files_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "x.png" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        Image.fromarray(PIXELS[0]).save(path)
    assert list(data.as_source(paths).identifiers) == [str(path) for path in paths]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(PIXELS[0]).convert(mode)
    suffix = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    picture.save(tmp_path / f"x.{suffix}")
    image = data.read_image(tmp_path / f"x.{suffix}")
    assert image.shape == (5, 4, 3)
    assert image.dtype == np.uint8


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 300, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    image = data.read_image(tmp_path / "x.png")
    assert image[0, :, 0].tolist() == [0, 1, 1, 128, 255]
    assert image.shape == (1, 5, 3)


def test_numbers_without_a_known_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.5, 2e9]], dtype=np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(DtypeError, match="32-bit"):
        data.read_image(tmp_path / "x.tiff")


def test_importing_data_loads_neither_torch_nor_a_download_library() -> None:
    heavy = {"torch", "requests", "sklearn", "skimage"}
    code = f"import sys; from workbench import data; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
