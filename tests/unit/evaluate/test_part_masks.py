"""From a folder with every oddity of CUB70 to a score: nothing odd is accepted in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from torch import nn

from workbench import data, evaluate, models
from workbench.data.loaders.cub import CUB70_PARTS
from workbench.data.source import AnnotatedImage
from workbench.errors import InputError, ShapeError, UnknownNameError

CLASSES = ["001.Black_footed_Albatross", "002.Yellow_headed_Blackbird", "003.Sooty_Albatross"]
COUNT, SIZE = 8, 24  # images a class, pixels a side


def model(**preprocessing) -> models.ImageModel:
    return models.load(nn.Identity(), preprocessing=models.Preprocessing(**preprocessing))


def square(top: int, left: int, side: int = 6) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Two classes of birds with masks, in three ways to write them, and one without; every known pitfall once."""
    root = tmp_path_factory.mktemp("birds")
    folder, annotations = root / "CUB_200_2011", root / "AnnotationMasksPerclass"
    names = [
        f"{CLASSES[number]}/{CLASSES[number][4:]}_{image:04d}_{image}.jpg"
        for number in range(3)
        for image in range(COUNT)
    ]
    for name in names:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE, SIZE), (90, 120, 90)).save(folder / "images" / name)
    numbers = range(1, len(names) + 1)
    (folder / "images.txt").write_text("".join(f"{n} {name}\n" for n, name in zip(numbers, names, strict=True)))
    (folder / "image_class_labels.txt").write_text("".join(f"{n} {(n - 1) // COUNT + 1}\n" for n in numbers))
    (folder / "train_test_split.txt").write_text("".join(f"{n} 0\n" for n in numbers))
    (folder / "bounding_boxes.txt").write_text("".join(f"{n} 0 0 9 9\n" for n in numbers))
    (folder / "classes.txt").write_text("".join(f"{n + 1} {name}\n" for n, name in enumerate(CLASSES)))

    def write(name: str, part: str, mask: np.ndarray, mode: str = "L") -> None:
        number, stem = int(name[:3]), Path(name).stem
        path = annotations / str(number) / f"{stem}_{part}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((mask * 255).astype(np.uint8)).convert(mode).save(path)

    for index, name in enumerate(names[: 2 * COUNT]):
        # the second class is called "Yellow_headed_Blackbird": a part's name inside an image's
        write(name, "head", square(index % 4, index % 9), mode="RGB" if index % 2 else "L")
        if index % 3:
            write(name, "tail", square(14, 12 + index % 5))
    write(names[1], "beak", square(0, 0, 20)[:, : SIZE // 2])  # of another size than its image
    write(names[2], "body", square(2, 2, 12))  # over the head
    write(names[3], "antler", square(0, 0))  # no part
    return root


@pytest.fixture(scope="module")
def birds(tree):
    with pytest.warns(UserWarning, match="another size"):
        return data.cub70(tree, birds=tree)


def test_the_loader_tells_what_is_odd(birds):
    assert len(birds) == 2 * COUNT
    assert birds.findings["classes without masks"] == ("3 Sooty_Albatross",)
    assert birds.findings["files that name no part"] == ("1/Black_footed_Albatross_0003_3_antler.png",)
    (other,) = birds.findings["masks of another size than their image, left out"]
    assert "beak" in other


def test_masks_reach_the_grid_and_what_is_odd_is_told_again(birds):
    with pytest.warns(UserWarning, match="part masks: ") as told:
        masks = evaluate.part_masks(birds, model(resize=(2 * SIZE, 2 * SIZE)))
    (message,) = [str(warning.message) for warning in told]
    assert "8 parts that no image shows (neck, beak, right_wing, ...)" in message
    assert "1 images on which parts overlap (001.Black_footed_Albatross" in message
    assert masks.dims == ("image", "part", "y", "x")
    assert masks["part"].values.tolist() == list(CUB70_PARTS)
    assert masks.sizes["y"] == 2 * SIZE
    assert masks.sel(part="head").any(("y", "x")).all()
    np.testing.assert_array_equal(masks.sel(part="tail").any(("y", "x")), np.arange(2 * COUNT) % 3 > 0)
    np.testing.assert_array_equal(masks["overlap"].values > 0, np.arange(2 * COUNT) == 2)
    head = np.repeat(np.repeat(square(1, 1), 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(masks[1].sel(part="head"), head)


def test_a_score_from_the_folder(birds):
    masks = evaluate.part_masks(birds, model(resize=(SIZE, SIZE)), parts=["head", "tail"])
    heatmaps = xr.DataArray(
        masks.values.astype(float), dims=("image", "unit", "y", "x"), coords={"image": masks["image"]}
    )
    found = evaluate.waiou(heatmaps, masks)
    assert float(found["value"]) == 1
    assert found["label"].values.tolist() == ["head", "tail"]
    np.testing.assert_array_equal(found["overlap"], 0)


def test_overlapping_parts_are_counted_in_the_score(birds):
    with pytest.warns(UserWarning, match="overlap"):
        masks = evaluate.part_masks(birds, model(resize=(SIZE, SIZE)), parts=["body", "head"])
    heatmaps = xr.DataArray(masks.values.astype(float), dims=("image", "unit", "y", "x"))
    found = evaluate.waiou(heatmaps, masks.drop_vars("image"), link=["body", "head"])
    assert int(found["overlap"].sum()) == int(masks["overlap"].sum()) > 0


def test_parts_lost_to_the_crop_are_told(birds):
    with pytest.warns(UserWarning, match=r"parts that the crop or the grid has lost \(head of 001"):
        evaluate.part_masks(birds, model(resize=(SIZE, SIZE), crop=4), parts=["head", "tail"])


def test_what_is_not_there_is_named(birds):
    with pytest.raises(UnknownNameError, match=r"Unknown part 'beek'.*'beak'"):
        evaluate.part_masks(birds, model(resize=(SIZE, SIZE)), parts=["head", "beek"])
    with pytest.raises(InputError, match="parts are empty"):
        evaluate.part_masks(birds, model(resize=(SIZE, SIZE)), parts=[])
    with pytest.raises(InputError, match="No image of this source has a mask"):
        evaluate.part_masks(birds, model(resize=(SIZE, SIZE)), parts=["neck"])
    with pytest.raises(ShapeError, match="smaller than the crop"):
        evaluate.part_masks(birds, model(crop=50))


class Pictures(list):
    """A source whose names of masks nobody has declared."""

    identifiers = ("first", "second")
    labels = None
    categories = ()
    manifest_hash = ""


def test_a_source_without_declared_names_has_those_that_are_seen():
    pixels = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    source = Pictures([AnnotatedImage(pixels, "first", masks={"cup": square(0, 0)}), AnnotatedImage(pixels, "second")])
    with pytest.warns(UserWarning, match=r"1 images that show no part \(second\)"):
        masks = evaluate.part_masks(source, model(resize=(SIZE, SIZE)))
    assert masks["part"].values.tolist() == ["cup"]
    with pytest.raises(UnknownNameError, match="'cup'"):
        evaluate.part_masks(source, model(resize=(SIZE, SIZE)), parts=["cap"])
    wide = AnnotatedImage(pixels[:, :20], "second", masks={"cup": square(0, 0)[:, :20]})
    with pytest.raises(ShapeError, match="expected one"):
        evaluate.part_masks(Pictures([source[0], wide]), model(resize=12))
