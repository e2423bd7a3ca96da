"""Each localisation metric against a slow loop from its definition, or against scikit-learn and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from skimage.measure import label as label_blobs
from skimage.measure import regionprops
from sklearn.metrics import average_precision_score

from workbench import evaluate

SIZE = 14


@pytest.fixture
def problem():
    generator = np.random.default_rng(3)
    heat = generator.normal(size=(12, SIZE, SIZE)).cumsum(1).cumsum(2)  # smooth, of both signs
    heat[:6] = heat[:6].round()  # with ties
    masks = np.zeros(heat.shape, dtype=bool)
    for mask in masks:
        top, left = generator.integers(0, SIZE - 5, size=2)
        mask[top : top + 5, left : left + 4] = True
        mask[top, left] = False
    dims = ("image", "y", "x")
    return xr.DataArray(heat, dims=dims), xr.DataArray(masks, dims=dims)


def positive(heat: xr.DataArray) -> np.ndarray:
    return np.clip(heat.values, 0, None)


@pytest.mark.parametrize("tolerance", [0, 2.5])
def test_pointing_game(problem, tolerance):
    heat, masks = problem
    result = evaluate.pointing_game(heat, masks, tolerance=tolerance)
    for index, (picture, mask) in enumerate(zip(positive(heat), masks.values, strict=True)):
        inside = np.argwhere(mask)
        hits = [
            np.sqrt(((inside - point) ** 2).sum(1)).min() <= tolerance
            for point in np.argwhere(picture == picture.max())
        ]
        assert float(result["score"][index]) == pytest.approx(np.mean(hits))
        middle = [(row, column) for row in (6, 7) for column in (6, 7)]
        hits = [np.sqrt(((inside - point) ** 2).sum(1)).min() <= tolerance for point in middle]
        assert float(result["centre"][index]) == pytest.approx(np.mean(hits))


def test_relevance_mass_and_energy(problem):
    heat, masks = problem
    mass, energy = evaluate.relevance_mass(heat, masks), evaluate.energy_pointing_game(heat, masks)
    for index, (picture, mask) in enumerate(zip(positive(heat), masks.values, strict=True)):
        uniform = picture if picture.any() else np.ones_like(picture)
        assert float(mass["score"][index]) == pytest.approx(uniform[mask].sum() / uniform.sum())
        rows, columns = np.nonzero(mask)
        box = uniform[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert float(energy["score"][index]) == pytest.approx(box.sum() / uniform.sum())


def test_relevance_rank(problem):
    heat, masks = problem
    result = evaluate.relevance_rank(heat, masks)
    generator = np.random.default_rng(0)
    for index, (picture, mask) in enumerate(zip(positive(heat), masks.values, strict=True)):
        count = mask.sum()
        shares = []
        for _ in range(400):  # ties in random order
            order = np.lexsort((generator.uniform(size=picture.size), -picture.ravel()))
            shares.append(mask.ravel()[order[:count]].mean())
        assert float(result["score"][index]) == pytest.approx(np.mean(shares), abs=5 * np.std(shares) / 20 + 1e-12)


def test_average_precision(problem):
    heat, masks = problem
    result = evaluate.mask_average_precision(heat, masks)
    for index, (picture, mask) in enumerate(zip(positive(heat), masks.values, strict=True)):
        expected = average_precision_score(mask.ravel(), picture.ravel())
        assert float(result["score"][index]) == pytest.approx(expected)


def test_mask_iou_and_box_iou(problem):
    heat, masks = problem
    thresholds = (0.2, 0.5, 0.9)
    by_mask = evaluate.mask_iou(heat, masks, thresholds=thresholds)
    by_box = evaluate.box_iou(heat, masks, thresholds=thresholds)
    for index, (picture, mask) in enumerate(zip(positive(heat), masks.values, strict=True)):
        for position, threshold in enumerate(thresholds):
            chosen = picture >= threshold * picture.max()
            expected = (chosen & mask).sum() / (chosen | mask).sum()
            assert float(by_mask["score"][index, position]) == pytest.approx(expected)
            blobs = regionprops(label_blobs(chosen, connectivity=2))
            blob = max(blobs, key=lambda blob: blob.area)  # the first of equals, as in the code under test
            found, truth = np.zeros_like(mask), np.zeros_like(mask)
            found[blob.bbox[0] : blob.bbox[2], blob.bbox[1] : blob.bbox[3]] = True
            rows, columns = np.nonzero(mask)
            truth[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
            expected = (found & truth).sum() / (found | truth).sum()
            assert float(by_box["score"][index, position]) == pytest.approx(expected)
            assert tuple(by_box["box"].values[index, position]) == blob.bbox
