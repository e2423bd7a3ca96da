"""COCO: polygons, runs, crowds, captions, panoptic colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workbench import data
from workbench.errors import DamagedFileError, InputError, MissingFileError

WIDTH, HEIGHT = 12, 9
RECTANGLE = [2, 1, 8, 1, 8, 5, 2, 5]  # x, y pairs: columns 2..7, rows 1..4


def runs_of(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed runs, straight from their definition: column by column, zeros first."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if bool(pixel) != value:
            runs.append(0)
            value = not value
        runs[-1] += 1
    return runs


def write(root: Path, annotations: list[dict[str, Any]], names: tuple[str, ...] = ("a.jpg",)) -> Path:
    (root / "images").mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT), (7, 7, 7)).save(root / "images" / name)
    document = {
        "images": [{"id": i + 1, "file_name": n, "height": HEIGHT, "width": WIDTH} for i, n in enumerate(names)],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [{"id": i + 1, "image_id": 1, "iscrowd": 0, **item} for i, item in enumerate(annotations)],
    }
    path = root / "instances.json"
    path.write_text(json.dumps(document))
    return path


def polygon(category: int = 18) -> dict[str, Any]:
    return {"category_id": category, "bbox": [2, 1, 6, 4], "segmentation": [RECTANGLE]}


def test_boxes_masks_and_captions(tmp_path: Path) -> None:
    path = write(tmp_path, [polygon()], names=("a.jpg", "b.jpg"))
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"annotations": [
        {"image_id": 1, "caption": "A dog. "}, {"image_id": 1, "caption": "Still a dog."},
    ]}))  # fmt: skip
    found = data.coco(path, tmp_path / "images", captions=captions)
    assert isinstance(found, data.ImageSource)
    assert found.identifiers == ("a.jpg", "b.jpg")
    assert found.categories == ("dog", "person")
    first, second = found[0], found[1]
    assert first.boxes == (data.Box("dog", 2, 1, 8, 5),)
    expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected[1:5, 2:8] = True
    assert np.array_equal(first.masks["dog"], expected)
    assert first.caption == "A dog."
    assert found.captions[0] == ("A dog.", "Still a dog.")
    assert (second.masks, second.boxes, second.caption) == ({}, (), None)


def test_a_category_unites_objects_and_crowds_have_no_box(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[7:, 9:] = True
    crowd = {
        "category_id": 18,
        "iscrowd": 1,
        "bbox": [9, 7, 3, 2],
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs_of(mask)},
    }
    path = write(tmp_path, [polygon(), crowd, polygon(1)])
    united = data.coco(path, tmp_path / "images")[0]
    assert set(united.masks) == {"dog", "person"}
    assert united.masks["dog"].sum() == 24 + mask.sum()
    assert [box.category for box in united.boxes] == ["dog", "person"]
    apart = data.coco(path, tmp_path / "images", masks="object")[0]
    assert list(apart.masks) == ["dog 1", "dog 2", "person 1"]
    assert np.array_equal(apart.masks["dog 2"], mask)


@settings(max_examples=40)
@given(st.lists(st.booleans(), min_size=WIDTH * HEIGHT, max_size=WIDTH * HEIGHT))
def test_runs_give_back_the_mask_they_were_made_of(
    tmp_path_factory: pytest.TempPathFactory, pixels: list[bool]
) -> None:
    from pycocotools import mask as coder

    root = tmp_path_factory.getbasetemp() / "coco-runs"
    root.mkdir(exist_ok=True)  # one folder for all examples
    mask = np.array(pixels).reshape(HEIGHT, WIDTH)
    shape: dict[str, Any] = {"size": [HEIGHT, WIDTH], "counts": runs_of(mask)}
    packed = coder.frPyObjects(shape, HEIGHT, WIDTH)
    compressed = {"size": packed["size"], "counts": packed["counts"].decode("ascii")}
    items = [{"category_id": 18, "bbox": [0, 0, 1, 1], "segmentation": form} for form in (shape, compressed)]
    found = data.coco(write(root, items), root / "images", masks="object")[0].masks
    assert list(found) == (["dog 1", "dog 2"] if mask.any() else [])
    for result in found.values():
        assert np.array_equal(result, mask)


def test_images_that_are_not_there_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, [polygon()], names=("a.jpg", "b.jpg"))
    (tmp_path / "images" / "b.jpg").unlink()
    with pytest.warns(UserWarning, match=r"1 images that are listed but not there.*b\.jpg"):
        found = data.coco(path, tmp_path / "images")
    assert found.identifiers == ("a.jpg",)
    assert found.findings["images that are listed but not there, left out"] == ("b.jpg",)
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(InputError, match="holds no image"):
        data.coco(path, tmp_path / "images")


def test_a_resized_photograph_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [polygon()])
    Image.new("RGB", (WIDTH * 2, HEIGHT)).save(tmp_path / "images" / "a.jpg")
    with pytest.raises(DamagedFileError, match=r"\(9, 24\).*\(9, 12\)"):
        data.coco(path, tmp_path / "images")[0]


@pytest.mark.parametrize("box", [[0, 0, float("nan"), 1], [0, 0, float("inf"), 1], [3, 3, -1, 1]])
def test_a_box_that_cannot_be_is_refused(tmp_path: Path, box: list[float]) -> None:
    path = write(tmp_path, [{**polygon(), "bbox": box}])
    with pytest.raises(DamagedFileError, match="Annotation 1 has the box"):
        data.coco(path, tmp_path / "images")[0]


def test_files_that_are_not_cocos(tmp_path: Path) -> None:
    path = write(tmp_path, [polygon()])
    with pytest.raises(MissingFileError, match="photographs"):
        data.coco(path)
    with pytest.raises(MissingFileError, match=r"nothing\.json"):
        data.coco(tmp_path / "nothing.json", tmp_path / "images")
    with pytest.raises(InputError, match="'parts'"):
        data.coco(path, tmp_path / "images", masks="parts")  # type: ignore[arg-type]
    path.write_text("{")
    with pytest.raises(DamagedFileError, match="not JSON"):
        data.coco(path, tmp_path / "images")
    path.write_text('{"images": []}')
    with pytest.raises(DamagedFileError, match="'annotations'"):
        data.coco(path, tmp_path / "images")


def test_panoptic_colours_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "panoptic").mkdir()
    Image.new("RGB", (3, 1)).save(tmp_path / "images" / "a.jpg")
    numbers = [5, 256 * 3 + 1, 65536 * 2 + 7]
    colours = np.array([[[n % 256, n // 256 % 256, n // 65536] for n in numbers]], dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "panoptic" / "a.png")
    kinds = [1, 1, 200]
    infos = [
        {"id": n, "category_id": k, "iscrowd": 0, "bbox": [0, 0, 1, 1]} for n, k in zip(numbers, kinds, strict=True)
    ]
    document = {
        "categories": [{"id": 1, "name": "person"}, {"id": 200, "name": "rug"}],
        "annotations": [{"image_id": 4, "file_name": "a.png", "segments_info": infos}],
    }
    path = tmp_path / "panoptic.json"
    path.write_text(json.dumps(document))
    united = data.coco_panoptic(path, tmp_path / "images")[0].masks
    assert {name: mask.tolist() for name, mask in united.items()} == {
        "person": [[True, True, False]],
        "rug": [[False, False, True]],
    }
    apart = data.coco_panoptic(path, tmp_path / "images", masks="object")[0].masks
    assert list(apart) == ["person 1", "person 2", "rug 1"]
    Image.fromarray(colours[:, :2]).save(tmp_path / "panoptic" / "a.png")
    with pytest.raises(DamagedFileError, match=r"a\.png has shape"):
        data.coco_panoptic(path, tmp_path / "images")[0]


@pytest.mark.mirror
def test_train128_masks_have_the_areas_that_coco_states(mirror: Path) -> None:
    found = data.load("coco-train128")
    assert len(found) == 128
    assert sum(len(found[index].boxes) for index in range(128)) > 850
    document = json.loads((mirror / "coco-train128" / "instances.json").read_text())
    assert len(document["annotations"]) == 939
    apart = data.coco_train128(masks="object")
    numbers = {item["file_name"]: item["id"] for item in document["images"]}
    ratios = []
    for index in range(30):
        stated = [a["area"] for a in document["annotations"] if a["image_id"] == numbers[apart.identifiers[index]]]
        measured = [float(mask.sum()) for mask in apart[index].masks.values()]
        if len(stated) == len(measured):
            ratios += [m / s for m, s in zip(measured, stated, strict=True) if s > 400]
    assert len(ratios) > 50
    assert 0.98 < float(np.median(ratios)) < 1.06


@pytest.mark.mirror
def test_val_masks_agree_with_the_semantic_masks_beside_them(mirror: Path) -> None:
    found = data.load("coco-val")
    assert isinstance(found, data.loaders.CocoPanopticSource)
    assert len(found) == 60
    assert sum(map(len, found.captions)) == 300
    numbers = {name: number for number, name in found.names.items()}
    for index in (0, 30, 59):
        item = found[index]
        assert item.caption
        semantic = np.asarray(Image.open(mirror / "coco-val" / "semantic" / f"{Path(item.identifier).stem}.png"))
        for name, mask in item.masks.items():
            assert (semantic[mask] == numbers[name]).mean() > 0.99
