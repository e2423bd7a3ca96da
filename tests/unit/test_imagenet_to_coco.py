"""The table by which ImageNet's classes count as COCO's categories."""

import csv
from pathlib import Path

from torchvision.models import MobileNet_V2_Weights

from workbench.data.loaders.voc import VOC_CATEGORIES

TABLE = Path(__file__).parents[2] / "benchmarks" / "imagenet_to_coco.csv"
# VOC's names for what COCO calls otherwise; all of VOC is part of COCO
COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def _rows() -> list[dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_each_row_names_the_class_of_its_index():
    names = MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    assert [row["imagenet"] for row in _rows()] == [names[int(row["index"])] for row in _rows()]


def test_no_class_is_of_two_categories():
    indices = [int(row["index"]) for row in _rows()]
    assert indices == sorted(set(indices))


def test_dogs_cats_and_birds_are_complete():
    found = {
        kind: {int(row["index"]) for row in _rows() if row["coco"] == kind} for kind in ("dog", "cat", "bird", "bear")
    }
    assert found["dog"] == set(range(151, 269))
    assert found["cat"] == set(range(281, 286))
    assert found["bird"] == {*range(7, 25), *range(80, 101), *range(127, 147)}
    assert found["bear"] == set(range(294, 298))


def test_every_category_of_voc_has_a_class():
    known = {row["coco"] for row in _rows()}
    assert {COCO_NAMES.get(name, name) for name in VOC_CATEGORIES} <= known


def test_coco_of_the_mirror_knows_every_category(mirror: Path):
    from workbench import data

    assert {row["coco"] for row in _rows()} <= set(data.coco_train128().categories)
