"""Sets of scenes: tasks, labels, cues, and the forms in which they are given."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data import as_source, scenes
from workbench.data.scenes.source import BLOCK
from workbench.data.scenes.tasks import BACKGROUNDS, TASKS, Confound
from workbench.data.source import ImageSource
from workbench.errors import InputError, UnknownNameError

TASK_NAMES = sorted(TASKS)


@settings(max_examples=40)
@given(st.sampled_from(TASK_NAMES), st.integers(0, 10**9), st.integers(0, 2**40))
def test_the_label_function_finds_the_drawn_label(task: str, index: int, seed: int) -> None:
    sample = scenes.sample_scene(task, index, seed=seed)
    kind = TASKS[task]
    assert kind.label(sample.scene, kind.categories) == sample.label
    assert sample == scenes.sample_scene(task, index, seed=seed)
    assert len(sample.scene.objects) <= kind.most_objects
    names = {name for item in sample.scene.objects for name in item.part_names}
    assert names <= set(kind.parts)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_run_of_images_is_balanced(task: str) -> None:
    count = len(TASKS[task].categories)
    labels = scenes.labels(task, range(20 * count), seed=7).reshape(20, count)
    np.testing.assert_array_equal(np.sort(labels, axis=1), np.tile(np.arange(count), (20, 1)))
    assert len({tuple(row) for row in labels}) > count / 2
    np.testing.assert_array_equal(scenes.labels(task, [33, 5], seed=7), labels.ravel()[[33, 5]])
    assert (scenes.labels(task, range(200), seed=8) != scenes.labels(task, range(200), seed=7)).any()


def test_relation_scenes_hold_what_their_label_says() -> None:
    for index in range(40):
        sample = scenes.sample_scene("relation", index, seed=1)
        assert scenes.holds(sample.scene, TASKS["relation"].categories[sample.label])
        first, second = sample.scene.find("red square"), sample.scene.find("blue circle")
        assert (
            TASKS["relation"].label(sample.scene.swap(first, second), TASKS["relation"].categories) == sample.label ^ 1
        )


def test_relations_of_a_pair_of_your_own() -> None:
    task = scenes.relation_task(("green", "star"), ("pink", "heart"))
    for index in range(24):
        sample = scenes.sample_scene(task, index, seed=2)
        assert scenes.holds(sample.scene, task.categories[sample.label])
        assert task.label(sample.scene, task.categories) == sample.label
    with pytest.raises(UnknownNameError, match="'bird'"):
        scenes.relation_task(("green", "bird"), ("pink", "heart"))
    with pytest.raises(UnknownNameError, match="object colour"):
        scenes.relation_task(("greenish", "star"), ("pink", "heart"))
    with pytest.raises(InputError, match="red star twice"):
        scenes.relation_task(("red", "star"), ("red", "star"))


@pytest.mark.parametrize("part", scenes.PART_NAMES)
def test_presence_of_a_part(part: str) -> None:
    task = scenes.presence_task(part)
    data = scenes.generate(task, 16, seed=4, size=48)
    np.testing.assert_array_equal(data.part_present.sel(part=part), data.label.astype(bool))
    np.testing.assert_array_equal(data.part_mask.sel(part=part).any(("y", "x")), data.label.astype(bool))
    assert data.label.mean() == 0.5
    assert data.attrs["task"] == f"presence of {part}"


def test_a_task_without_a_part_or_a_background_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Unknown part 'fin'"):
        scenes.presence_task("fin")
    many = replace(TASKS["object"], categories=tuple("abcdefghijkl"))
    with pytest.raises(InputError, match="12 categories need as many backgrounds"):
        scenes.SceneSource(many, 3, confound="background")


def test_part_scenes_show_the_decisive_part() -> None:
    data = scenes.generate("part", 90, seed=2, size=96)
    for row in range(90):
        name = json.loads(data.attrs["categories"])[int(data.label[row])]
        assert bool(data.part_present.sel(part=name)[row])
        assert int(data.part_mask.sel(part=name)[row].sum()) >= 6


@pytest.mark.parametrize("confound", ["background", "watermark"])
@pytest.mark.parametrize("agreement", [0.0, 0.7, 1.0])
def test_the_cue_agrees_in_the_chosen_share(confound: Confound, agreement: float) -> None:
    source = scenes.SceneSource("object", 600, seed=4, confound=confound, agreement=agreement)
    samples = [source.sample(index) for index in range(600)]
    agrees = np.array([sample.cue == sample.label for sample in samples])
    assert abs(agrees.mean() - agreement) <= (0 if agreement in (0, 1) else 0.08)
    for sample in samples:
        if confound == "background":
            assert sample.scene.background.colour == BACKGROUNDS[sample.cue]
        else:
            assert sample.scene.watermark == scenes.watermark(sample.cue)
    # where it does not agree, it points to every other category
    others = {(sample.label, sample.cue) for sample in samples if sample.cue != sample.label}
    assert agreement == 1 or len(others) > 40


def test_a_confounded_task_differs_from_the_clean_one_by_its_cue_alone() -> None:
    clean = scenes.sample_scene("object", 9, seed=6)
    marked = scenes.sample_scene("object_confounded", 9, seed=6)
    assert marked.scene.set_watermark(None) == clean.scene
    assert marked.label == clean.label
    assert clean.cue == -1


def test_watermarks_and_backgrounds_differ_between_categories() -> None:
    for task in TASKS.values():
        count = len(task.categories)
        assert len({scenes.watermark(category) for category in range(count)}) == count
        assert len(BACKGROUNDS) >= count


@settings(max_examples=8)
@given(st.sampled_from(TASK_NAMES), st.integers(1, 12), st.integers(0, 30), st.integers(0, 5))
def test_an_image_does_not_depend_on_the_set_around_it(task: str, n: int, start: int, seed: int) -> None:
    part = scenes.generate(task, n, seed=seed, size=32, start=start)
    whole = scenes.generate(task, n + start + 3, seed=seed, size=32)
    xr.testing.assert_identical(part, whole.isel(image=slice(start, start + n)))
    assert part.pixels.values.tobytes() == whole.pixels.values[start : start + n].tobytes()


def test_processes_and_laziness_change_nothing() -> None:
    count = BLOCK + 5
    serial = scenes.generate("relation", count, seed=3, size=16)
    xr.testing.assert_identical(scenes.generate("relation", count, seed=3, size=16, processes=2), serial)
    lazy = scenes.generate("relation", count, seed=3, size=16, lazy=True)
    assert lazy.pixels.chunks is not None
    assert lazy.pixels.chunks[0] == (BLOCK, 5)
    xr.testing.assert_identical(lazy.compute(), serial)


def test_a_million_images_cost_nothing_until_they_are_asked_for() -> None:
    source = scenes.SceneSource("object", 1_000_000, seed=1, size=64)
    assert len(source) == 1_000_000
    assert source.identifiers[999_999] == "object-1-0999999"
    image = source[999_999]
    last = scenes.generate("object", 1, seed=1, size=64, start=999_999)
    np.testing.assert_array_equal(image.image, last.pixels.values[0])
    assert image.label == int(last.label[0]) == int(source.labels[999_999])
    lazy = scenes.generate("object", 20_000, seed=1, size=64, lazy=True)
    np.testing.assert_array_equal(lazy.pixels[19_999].values, source[19_999].image)


def test_the_dataset_and_the_source_say_the_same() -> None:
    data = scenes.generate("part_confounded", 12, seed=5, size=64)
    source = scenes.SceneSource("part_confounded", 12, seed=5, size=64)
    assert isinstance(source, ImageSource)
    assert as_source(source) is source
    assert data.attrs["manifest_hash"] == source.manifest_hash
    assert tuple(json.loads(data.attrs["categories"])) == source.categories
    np.testing.assert_array_equal(data.label, source.labels)
    assert list(data.image.values) == source.identifiers[:]
    for row in range(12):
        image = source[row]
        np.testing.assert_array_equal(image.image, data.pixels.values[row])
        assert image.caption == data.caption.values[row]
        np.testing.assert_array_equal(image.masks["watermark"], data.watermark_mask.values[row])
        for name in data.part.values:
            mask = data.part_mask.sel(part=name).values[row]
            assert (name in image.masks) == mask.any()
            if name in image.masks:
                np.testing.assert_array_equal(image.masks[name], mask)
        main = image.boxes[0]
        inside = data.object_mask.values[row, 0]
        assert inside[int(main.top) : int(main.bottom), int(main.left) : int(main.right)].sum() == inside.sum()
        assert inside[int(main.top)].any()
        assert inside[:, int(main.right) - 1].any()
    assert as_source(data).identifiers[3] == source.identifiers[3]


def test_the_dataset_holds_the_factors() -> None:
    data = scenes.generate("relation", 16, seed=2, size=32)
    assert set(data.data_vars) >= {
        "pixels", "label", "caption", "object_mask", "part_mask", "watermark_mask", "shape", "colour", "texture",
        "object_size", "rotation", "position_x", "position_y", "depth", "background", "pattern", "light",
        "part_present", "relation_holds", "cue",
    }  # fmt: skip
    assert data.sizes["object"] == 4
    assert data.sizes["part"] == 0
    for row, label in enumerate(data.label.values):
        name = ["left of", "right of", "above", "below"][label]
        assert bool(data.relation_holds.sel(relation=name)[row, 0, 1])
    absent = data["shape"].values == ""
    assert absent.any()
    np.testing.assert_array_equal(np.isnan(data.depth.values), absent)
    assert (data.cue.values == -1).all()
    assert "part_mask" not in scenes.generate("object", 2, size=32, masks=False)


def test_a_dataset_survives_being_saved(tmp_path: str) -> None:
    data = scenes.generate("object", 3, seed=1, size=32)
    data.to_netcdf(f"{tmp_path}/scenes.nc", engine="h5netcdf")
    with xr.open_dataset(f"{tmp_path}/scenes.nc", engine="h5netcdf") as read:
        np.testing.assert_array_equal(read.pixels.values, data.pixels.values)
        assert list(read.caption.values) == list(data.caption.values)
        assert read.attrs["manifest_hash"] == data.attrs["manifest_hash"]


def test_the_manifest_hash_says_when_sets_differ() -> None:
    described = [
        scenes.parameters("object"),
        scenes.parameters("object", seed=1),
        scenes.parameters("object", size=64),
        scenes.parameters("object", confound="background"),
        scenes.parameters("object", confound="watermark"),
        scenes.parameters("object", confound="watermark", agreement=0.5),
        scenes.parameters("part"),
    ]
    hashes = [scenes.manifest_hash(item) for item in described]
    for first, second in itertools.combinations(hashes, 2):
        assert first != second
    assert scenes.manifest_hash(json.loads(json.dumps(described[0]))) == hashes[0]
    assert scenes.parameters("object_confounded") == scenes.parameters("object", confound="watermark")
    assert scenes.generate("object", 2, size=32).attrs["manifest_hash"] == scenes.manifest_hash(
        scenes.parameters("object", size=32)
    )


def test_a_torch_dataset_feeds_a_loader() -> None:
    source = scenes.SceneSource("object", 10, seed=3, size=32)
    pictures, labels = next(iter(torch.utils.data.DataLoader(scenes.SceneDataset(source), batch_size=10)))
    assert pictures.dtype == torch.uint8
    np.testing.assert_array_equal(
        pictures.permute(0, 2, 3, 1).numpy(), scenes.generate("object", 10, seed=3, size=32).pixels.values
    )
    np.testing.assert_array_equal(labels.numpy(), source.labels)
    scaled = scenes.SceneDataset(source, transform=lambda picture: picture.float() / 255)
    assert scaled[4][0].max() <= 1
    with pytest.raises(IndexError):
        scaled[10]


def test_a_torch_dataset_gives_masks_that_collate() -> None:
    source = scenes.SceneSource("part_confounded", 6, seed=3, size=32)
    data = scenes.generate("part_confounded", 6, seed=3, size=32)
    loader = torch.utils.data.DataLoader(scenes.SceneDataset(source, masks=True), batch_size=6)
    pictures, labels, masks = next(iter(loader))
    np.testing.assert_array_equal(pictures.permute(0, 2, 3, 1).numpy(), data.pixels)
    np.testing.assert_array_equal(labels.numpy(), data.label)
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask.numpy(), data[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "objects"}, "Did you mean 'object'"),
        ({"task": "object", "confound": "sound"}, "Unknown confound 'sound'"),
        ({"task": "object", "n": 0}, "at least 1; got 0"),
        ({"task": "object", "n": 2.5}, "whole number of images"),
        ({"task": "object", "seed": -1}, "seed must be a whole number from 0; got -1"),
        ({"task": "object", "start": -3}, "index must be"),
        ({"task": "object", "size": 10}, "from 16 to 4096; got 10"),
        ({"task": "object", "agreement": 1.2}, "from 0 to 1; got 1.2"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, object], message: str) -> None:
    task = arguments.pop("task")
    count = arguments.pop("n", 2)
    with pytest.raises((InputError, UnknownNameError), match=message):
        scenes.generate(task, count, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("indices", "seed"), [([0, -1], 0), ([0], -1), ([0], 1.5)])
def test_labels_of_impossible_images_are_refused(indices: list[int], seed: int) -> None:
    with pytest.raises(InputError, match="must be a whole number from 0"):
        scenes.labels("object", indices, seed=seed)


def test_a_source_has_no_image_beyond_its_end() -> None:
    source = scenes.SceneSource("object", 5, size=32)
    np.testing.assert_array_equal(source[-1].image, source[4].image)
    with pytest.raises(IndexError):
        source[5]
    assert len(list(source)) == 5
