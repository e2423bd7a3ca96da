"""VOC's layout: boxes from 1, class and object masks, void."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench import data
from workbench.data.loaders.voc import VOC_CATEGORIES
from workbench.errors import DamagedFileError, InputError, MissingFileError

BOX = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
CLASSES = np.array([[0, 0, 12, 12, 255, 15], [0, 12, 12, 255, 12, 12], [0, 0, 255, 12, 12, 12]], dtype=np.uint8)
OBJECTS = np.array([[0, 0, 1, 1, 255, 3], [0, 1, 1, 255, 2, 2], [0, 0, 255, 2, 2, 2]], dtype=np.uint8)


def palette(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    picture.putpalette([(37 * i) % 256 for i in range(768)])
    picture.save(path)


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    root = tmp_path / "VOCdevkit" / "VOC2007"
    for name in ("000001", "000002"):
        path = root / "JPEGImages" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 3), (1, 1, 1)).save(path)
    (root / "Annotations").mkdir()
    boxes = BOX.format("dog", 1, 1, 6, 3) + BOX.format("person", 6, 1, 6, 1)
    (root / "Annotations" / "000001.xml").write_text(f"<annotation>{boxes}</annotation>")
    palette(root / "SegmentationClass" / "000001.png", CLASSES)
    palette(root / "SegmentationObject" / "000001.png", OBJECTS)
    for kind, names in (("Main", "000002  1\n000001 -1\n"), ("Segmentation", "000001\n")):
        (root / "ImageSets" / kind).mkdir(parents=True)
        (root / "ImageSets" / kind / "val.txt").write_text(names)
    return tmp_path


def test_boxes_count_from_one_and_include_the_last_pixel(devkit: Path) -> None:
    found = data.voc(devkit)
    assert found.identifiers == ("000001", "000002")
    assert found[0].boxes == (data.Box("dog", 0, 0, 6, 3), data.Box("person", 5, 0, 6, 1))
    assert found[1].boxes == ()
    assert data.voc(devkit, one_based=False)[0].boxes[0] == data.Box("dog", 1, 1, 6, 3)


def test_category_masks_leave_void_out(devkit: Path) -> None:
    found = data.voc(devkit)
    masks = found[0].masks
    assert set(masks) == {"dog", "person"}
    assert np.array_equal(masks["dog"], CLASSES == 12)
    assert not any(mask[CLASSES == 255].any() for mask in masks.values())
    assert found[1].masks == {}
    assert found.mask_names == found.categories == VOC_CATEGORIES
    assert found.labels is None


def test_object_masks_are_named_after_their_category(devkit: Path) -> None:
    masks = data.voc(devkit, masks="object")[0].masks
    assert list(masks) == ["dog 1", "dog 2", "person 1"]
    for index, name in enumerate(masks, start=1):
        assert np.array_equal(masks[name], index == OBJECTS)


def test_splits_choose_and_order(devkit: Path) -> None:
    assert data.voc(devkit, split="val").identifiers == ("000002", "000001")
    assert data.voc(devkit, split="val", segmented=True).identifiers == ("000001",)
    assert data.voc(devkit, segmented=True).identifiers == ("000001",)
    assert data.voc(devkit / "VOCdevkit" / "VOC2007").identifiers == ("000001", "000002")


def test_what_is_missing_or_damaged_is_named(devkit: Path, tmp_path: Path) -> None:
    root = devkit / "VOCdevkit" / "VOC2007"
    with pytest.raises(MissingFileError, match=r"train\.txt"):
        data.voc(devkit, split="train")
    with pytest.raises(InputError, match="'part'"):
        data.voc(devkit, masks="part")  # type: ignore[arg-type]
    with pytest.raises(MissingFileError, match="JPEGImages"):
        data.voc(devkit, year=2012)
    (root / "Annotations" / "000001.xml").write_text("<annotation><object>")
    with pytest.raises(DamagedFileError, match=r"000001\.xml"):
        data.voc(devkit)[0]
    (root / "Annotations" / "000001.xml").write_text(f"<annotation>{BOX.format('dog', '', 1, 2, 3)}</annotation>")
    with pytest.raises(DamagedFileError, match=r"000001\.xml"):
        data.voc(devkit)[0]
    (root / "Annotations" / "000001.xml").unlink()
    palette(root / "SegmentationClass" / "000001.png", CLASSES.T)
    with pytest.raises(DamagedFileError, match=r"\(6, 3\).*\(3, 6\)"):
        data.voc(devkit)[0]
    palette(root / "SegmentationClass" / "000001.png", np.full_like(CLASSES, 77))
    with pytest.raises(DamagedFileError, match="class 77"):
        data.voc(devkit)[0]
    (root / "JPEGImages" / "000002.jpg").unlink()
    with pytest.raises(MissingFileError, match="'000002'"):
        data.voc(devkit, split="val")


@pytest.mark.mirror
def test_the_sample_has_boxes_around_its_masks(mirror: Path) -> None:
    found = data.load("voc-sample")
    assert len(found) == 3
    assert found.manifest_hash == data.manifest("voc-sample").hash
    for index in range(3):
        item = found[index]
        assert item.masks
        for box in item.boxes:
            mask = item.masks[box.category]
            inside = mask[round(box.top) : round(box.bottom), round(box.left) : round(box.right)]
            assert inside.mean() > 0.25, "a box is around something of its category"
    objects = data.loaders.voc_sample(masks="object")[0].masks
    assert len(objects) >= 2
