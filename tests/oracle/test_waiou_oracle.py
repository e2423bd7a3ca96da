"""The weighted average IoU against a loop over units, images and parts, straight from its definition."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from skimage.filters import threshold_otsu

from workbench import evaluate

IMAGES, UNITS, PARTS, SIZE = 14, 5, 3, 10
NAMES = ["beak", "wing", "leg"]


@pytest.fixture(scope="module")
def problem():
    generator = np.random.default_rng(11)
    masks = np.zeros((IMAGES, PARTS, SIZE, SIZE), dtype=bool)
    for image, part in np.ndindex(IMAGES, PARTS):
        top, left = generator.integers(0, SIZE - 4, size=2)
        masks[image, part, top : top + 4, left : left + 3] = generator.uniform() < 0.8
    maps = generator.exponential(size=(IMAGES, UNITS, SIZE, SIZE))
    for unit in range(4):  # the last unit sees nothing in particular
        maps[:, unit] += 4 * masks[:, unit % PARTS] * generator.uniform(size=(IMAGES, 1, 1))
    maps[2, 1] = 0
    relevance = generator.uniform(size=(IMAGES, UNITS))
    return (
        xr.DataArray(maps, dims=("image", "unit", "y", "x")),
        xr.DataArray(masks, dims=("image", "part", "y", "x"), coords={"part": NAMES}),
        relevance,
    )


def iou_and_chance(picture: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    chosen = picture > threshold_otsu(picture) if picture.any() else np.zeros_like(mask)
    first, second = chosen.mean(), mask.mean()
    return (chosen & mask).sum() / (chosen | mask).sum(), first * second / (first + second - first * second)


@pytest.mark.parametrize("weights", ["frequency", "relevance", "area", "uniform"])
@pytest.mark.parametrize("unlinked", ["zero", "left out"])
def test_every_weighting(problem, weights, unlinked):
    maps, masks, relevance = problem
    found = evaluate.waiou(
        maps, masks, weights=weights, relevance=relevance, seed=3, floor=0.3, unlinked=unlinked, draws=1
    )
    linking, scoring = (np.flatnonzero(found["half"].values == name) for name in ("linking", "scoring"))
    assert len(linking) == len(scoring) == IMAGES // 2
    visible = masks.values.any(axis=(2, 3))

    labels = []
    for unit in range(UNITS):
        means = []
        for part in range(PARTS):
            pairs = [
                iou_and_chance(maps.values[image, unit], masks.values[image, part])[0]
                for image in linking
                if visible[image, part]
            ]
            means.append(np.mean(pairs))
            assert float(found["linking_iou"][unit, part]) == pytest.approx(means[-1])
        labels.append(int(np.argmax(means)) if max(means) >= 0.3 else -1)
    assert found["label"].values.tolist() == [NAMES[part] if part >= 0 else "" for part in labels]
    assert -1 in labels
    assert len(set(labels)) == PARTS + 1

    pairs = []  # label, IoU, chance, weight
    for unit, part in enumerate(labels):
        for image in scoring:
            area = masks.values[image].sum(axis=(1, 2)) / max(1, masks.values[image].any(axis=0).sum())
            if part < 0 and visible[image].any() and unlinked == "zero":
                overlap, chance, share = 0.0, 0.0, area[area > 0].mean()
            elif part >= 0 and visible[image, part]:
                overlap, chance = iou_and_chance(maps.values[image, unit], masks.values[image, part])
                share = area[part]
            else:
                continue
            weight = {"relevance": relevance[image, unit], "area": share}.get(weights, 1.0)
            pairs.append((part, overlap, chance, weight))
    table = np.array(pairs)
    if weights == "frequency":
        counts = {part: labels.count(part) for part in set(table[:, 0].astype(int))}
        expected = [
            sum(n * table[table[:, 0] == part, column].mean() for part, n in counts.items()) / sum(counts.values())
            for column in (1, 2)
        ]
    else:
        expected = [(table[:, 3] * table[:, column]).sum() / table[:, 3].sum() for column in (1, 2)]
    assert float(found["value"]) == pytest.approx(expected[0])
    assert float(found["baseline_value"]) == pytest.approx(expected[1])


def test_shuffled_images_are_other_images_that_show_the_part(problem):
    maps, masks, _ = problem
    labels = ["beak", "wing", "leg", "", ""]
    found = evaluate.waiou(maps, masks, link=labels, weights="uniform", unlinked="left out", draws=400)
    visible = masks.values.any(axis=(2, 3))
    every = []
    for unit in range(3):
        showing = np.flatnonzero(visible[:, unit])
        for image in showing:
            others = [
                iou_and_chance(maps.values[image, unit], masks.values[other, unit])[0]
                for other in showing
                if other != image
            ]
            every.append(np.mean(others))
    control = float(found["control_value"].sel(control="shuffled images"))
    assert control == pytest.approx(np.mean(every), rel=0.05)
