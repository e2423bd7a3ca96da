"""CUB70: every pitfall of the dataset, on a small copy of its layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from workbench import data
from workbench.data.loaders.cub import CUB70_PARTS, split_part
from workbench.errors import DamagedFileError, InputError, ManifestError, MissingFileError

CLASSES = ["001.Black_footed_Albatross", "002.Yellow_headed_Blackbird", "003.Sooty_Albatross", "004.Left_wing_Gull"]
# name, class, training
IMAGES = [
    (f"{CLASSES[0]}/Black_Footed_Albatross_0001_1.jpg", 1, 0),
    (f"{CLASSES[0]}/Black_Footed_Albatross_0002_2.jpg", 1, 1),
    (f"{CLASSES[0]}/Black_Footed_Albatross_0003_3.jpg", 1, 0),
    (f"{CLASSES[1]}/Yellow_Headed_Blackbird_0001_8337.jpg", 2, 0),
    (f"{CLASSES[2]}/Sooty_Albatross_0001_5.jpg", 3, 0),
    (f"{CLASSES[3]}/Left_Wing_Gull_0001_6.jpg", 4, 0),
]
SIZE = (10, 8)  # width, height


def write_birds(root: Path) -> Path:
    folder = root / "CUB_200_2011"
    for name, _, _ in IMAGES:
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, (9, 9, 9)).save(path)
    # CUB's numbers are not in the order of anything else
    numbers = [7, 3, 11, 5, 2, 13]
    rows = list(zip(numbers, IMAGES, strict=True))
    (folder / "images.txt").write_text("".join(f"{n} {name}\n" for n, (name, _, _) in rows))
    (folder / "image_class_labels.txt").write_text("".join(f"{n} {c}\n" for n, (_, c, _) in reversed(rows)))
    (folder / "train_test_split.txt").write_text("".join(f"{n} {t}\n" for n, (_, _, t) in rows))
    (folder / "bounding_boxes.txt").write_text("".join(f"{n} 1.0 2.0 {n}.0 4.5\n" for n, _ in rows))
    (folder / "classes.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(CLASSES)))
    return folder


def square(left: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE[1], SIZE[0]), dtype=bool)
    mask[2:5, left : left + 3] = True
    return mask


def write_mask(root: Path, number: int, stem: str, mask: NDArray[np.bool_], mode: str = "L", top: int = 255) -> None:
    path = root / "AnnotationMasksPerclass" / str(number) / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((mask * top).astype(np.uint8)).convert(mode).save(path)


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    write_birds(tmp_path)
    return tmp_path


def test_masks_meet_their_images(birds: Path) -> None:
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_head", square(0))
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_left_wing", square(4), mode="RGB")
    write_mask(birds, 2, "Yellow_Headed_Blackbird_0001_8337_right_eye", square(1), mode="1")
    with pytest.warns(UserWarning, match="classes without masks"):
        found = data.cub70(birds, birds=birds)
    assert isinstance(found, data.ImageSource)
    assert found.identifiers == (IMAGES[0][0], IMAGES[3][0])
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1]
    assert found.categories[:2] == ("Black_footed_Albatross", "Yellow_headed_Blackbird")
    assert found.mask_names == CUB70_PARTS
    first = found[0]
    assert list(first.masks) == ["head", "left_wing"], "in the dataset's order; what is not visible has no entry"
    assert np.array_equal(first.masks["head"], square(0))
    assert np.array_equal(first.masks["left_wing"], square(4)), "three channels are one mask"
    assert first.masks["head"].dtype == bool
    assert np.array_equal(found[1].masks["right_eye"], square(1))
    assert first.boxes == (data.Box("Black_footed_Albatross", 1.0, 2.0, 8.0, 6.5),)


@pytest.mark.parametrize(
    ("mode", "top"),
    [("1", 255), *((mode, top) for mode in ("L", "RGB", "RGBA", "LA", "P") for top in (1, 255))],
)
def test_every_way_to_write_a_mask_reads_the_same(birds: Path, mode: str, top: int) -> None:
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_head", square(2), mode=mode, top=top)
    with pytest.warns(UserWarning, match="CUB70:"):
        found = data.cub70(birds, birds=birds)
    assert np.array_equal(found[0].masks["head"], square(2))


def test_the_part_is_matched_at_the_end_only(birds: Path) -> None:
    write_mask(birds, 2, "Yellow_Headed_Blackbird_0001_8337_body", square(0))
    write_mask(birds, 4, "Left_Wing_Gull_0001_6_tail", square(1))
    with pytest.warns(UserWarning, match="CUB70:"):
        found = data.cub70(birds, birds=birds)
    assert [list(found[i].masks) for i in range(2)] == [["body"], ["tail"]]


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("Yellow_headed_Blackbird_0003_8337_head", ("Yellow_headed_Blackbird_0003_8337", "head")),
        ("Left_wing_Gull_0001_6_right_wing", ("Left_wing_Gull_0001_6", "right_wing")),
        ("Left_wing_Gull_0001_left_wing", ("Left_wing_Gull_0001", "left_wing")),
        ("Bird_head_0001_6", None),
        ("Bird_0001_wing", None),
        ("Birdhead", None),
        ("head", None),
    ],
)
def test_split_part(stem: str, expected: tuple[str, str] | None) -> None:
    assert split_part(stem) == expected


@given(st.text(alphabet="abc_", min_size=1), st.sampled_from(CUB70_PARTS))
def test_split_part_undoes_joining(stem: str, part: str) -> None:
    assert split_part(f"{stem}_{part}") == (stem, part)


def test_absences_are_told(birds: Path) -> None:
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_head", square(0))
    write_mask(birds, 1, "Black_Footed_Albatross_0002_2_head", square(0))
    write_mask(birds, 3, "Sooty_Albatross_0001_5_head", square(0))
    with pytest.warns(UserWarning, match="2 classes without masks"):
        found = data.cub70(birds, birds=birds)
    assert found.findings["classes without masks"] == ("2 Yellow_headed_Blackbird", "4 Left_wing_Gull")
    assert found.findings["test images without masks"] == (IMAGES[2][0],)
    assert found.findings["training images with masks"] == (IMAGES[1][0],)


def test_files_that_belong_nowhere_are_told(birds: Path) -> None:
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_head", square(0))
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_antler", square(0))
    write_mask(birds, 1, "Dodo_0001_1_head", square(0))
    write_mask(birds, 3, "Black_Footed_Albatross_0003_3_beak", square(0))
    with pytest.warns(UserWarning, match="CUB70:"):
        found = data.cub70(birds, birds=birds)
    assert found.findings["files that name no part"] == ("1/Black_Footed_Albatross_0001_1_antler.png",)
    assert found.findings["masks whose image is not in CUB"] == ("1/Dodo_0001_1_head.png",)
    other = found.findings["masks in the folder of another class"]
    assert other == ("3/Black_Footed_Albatross_0003_3_beak.png",)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0], "the image's own class counts, not the folder's"


def test_a_mask_of_another_size_is_left_out_and_told(birds: Path) -> None:
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_head", square(0))
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_tail", square(0).T)
    with pytest.warns(UserWarning, match="another size"):
        found = data.cub70(birds, birds=birds)
    assert list(found[0].masks) == ["head"]
    (told,) = found.findings["masks of another size than their image, left out"]
    assert told == f"{IMAGES[0][0]} tail: (8, 10) for (10, 8)"
    with pytest.warns(UserWarning, match="CUB70:"):
        unchecked = data.cub70(birds, birds=birds, check_sizes=False)
    with pytest.raises(DamagedFileError, match="check_sizes=True"):
        unchecked[0]


def test_overlaps_and_empty_masks_are_measured(birds: Path) -> None:
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_head", square(0))
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_beak", square(2))
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_tail", np.zeros_like(square(0)))
    with pytest.warns(UserWarning, match="CUB70:"):
        found = data.cub70(birds, birds=birds)
    assert list(found[0].masks) == ["head", "beak"], "an empty mask is a part that is not visible"
    report = data.inspect_masks(found, progress=False)
    assert report.area.dims == ("image", "part")
    assert report.part.values.tolist() == list(CUB70_PARTS)
    assert report.area.sel(part="head").item() == 9
    assert report.visible.sum().item() == 2
    assert report.overlap.values.tolist() == [3]
    assert report.unnamed.values.tolist() == [80 - 15]


def test_a_damaged_mask_is_named(birds: Path) -> None:
    write_mask(birds, 1, "Black_Footed_Albatross_0001_1_head", square(0))
    path = birds / "AnnotationMasksPerclass" / "1" / "Black_Footed_Albatross_0001_1_head.png"
    path.write_bytes(b"no image")
    with pytest.raises(DamagedFileError, match="0001_1_head"):
        data.cub70(birds, birds=birds)


def test_what_is_missing_is_named(birds: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere"):
        data.cub70(tmp_path / "nowhere", birds=birds)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match=r"images\.txt"):
        data.cub70(birds, birds=tmp_path / "empty")
    with pytest.raises(InputError, match="holds no image of this dataset"):
        data.cub70(tmp_path / "empty", birds=birds)
    (birds / "CUB_200_2011" / "bounding_boxes.txt").unlink()
    with pytest.raises(MissingFileError, match=r"bounding_boxes\.txt"):
        data.cub70(birds, birds=birds)


def test_fetching_cub70_needs_trust(cache: Path) -> None:
    with pytest.raises(ManifestError, match="trust_on_first_use=True"):
        data.cub70()


@pytest.mark.mirror
def test_crops_and_attributes(mirror: Path) -> None:
    crops = data.cub_crops()
    assert len(crops) == 600
    assert len(crops.categories) == 200
    assert crops.labels is not None
    assert len(set(crops.labels.tolist())) == 100
    for index in (0, 300, 599):
        item = crops[index]
        assert item.label is not None
        assert item.identifier.split("/")[0] == f"{item.label + 1:03d}.{crops.categories[item.label]}"
        assert item.image.shape == (227, 227, 3)
    attributes = data.cub_attributes()
    assert attributes.shape == (200, 312)
    assert float(attributes.max()) <= 1
    assert float(attributes.min()) >= 0
    assert attributes.sel(category="Black_footed_Albatross", attribute="has_bill_shape::dagger").item() > 0.02
