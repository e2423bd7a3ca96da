"""Masks follow their pictures through the preprocessing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from workbench import evaluate
from workbench.errors import DtypeError, ShapeError
from workbench.evaluate.regions import object_boxes
from workbench.models.preprocessing import Preprocessing


def seen_by(**geometry):
    return SimpleNamespace(preprocessing=Preprocessing(**geometry))


def test_masks_land_where_the_picture_lands():
    generator = np.random.default_rng(0)
    blocks = generator.uniform(size=(2, 6, 8)) < 0.5
    masks = np.kron(blocks, np.ones((10, 10), dtype=bool))
    preparation = Preprocessing(resize=30, crop=20)
    model = SimpleNamespace(preprocessing=preparation)
    pictures = (masks[..., None] * np.uint8(255)).repeat(3, -1)
    prepared = preparation.apply(pictures, names=["a", "b"])[:, 0].numpy()
    placed = evaluate.masks_on_grid(xr.DataArray(masks, dims=("image", "y", "x")), model)
    # antialiasing greys the pixels at an edge; all others must agree
    clear = (prepared < 0.05) | (prepared > 0.95)
    assert clear.mean() > 0.3
    np.testing.assert_array_equal(placed.values[clear], prepared[clear] > 0.5)


def test_masks_of_many_sizes_become_one_array():
    masks = [np.ones((40, 60), dtype=bool), np.zeros((50, 50), dtype=bool)]
    placed = evaluate.masks_on_grid(masks, seen_by(resize=20, crop=16))
    assert placed.shape == (2, 16, 16)
    np.testing.assert_array_equal(placed.mean(("y", "x")), [1, 0])


def test_parts_and_coordinates_survive():
    masks = xr.DataArray(
        np.ones((2, 3, 12, 12), dtype=bool),
        dims=("image", "part", "y", "x"),
        coords={"image": ["a", "b"], "part": ["beak", "eye", "wing"]},
    )
    placed = evaluate.masks_on_grid(masks, seen_by(crop=8))
    assert placed.dims == ("image", "part", "y", "x")
    assert list(placed["part"].values) == ["beak", "eye", "wing"]
    assert placed.shape == (2, 3, 8, 8)


def test_masks_that_cannot_follow_are_refused():
    with pytest.raises(ShapeError, match="smaller than the crop"):
        evaluate.masks_on_grid([np.ones((5, 5), dtype=bool)], seen_by(crop=8))
    with pytest.raises(ShapeError, match="expected one"):
        evaluate.masks_on_grid([np.ones((5, 5), dtype=bool), np.ones((5, 6), dtype=bool)], seen_by())
    with pytest.raises(DtypeError, match="mask 1"):
        evaluate.masks_on_grid([np.ones((5, 5), dtype=bool), np.ones((5, 6))], seen_by())


def test_boxes_surround_their_masks():
    masks = np.zeros((2, 5, 6), dtype=bool)
    masks[0, 1:3, 2] = True
    masks[0, 4, 5] = True
    np.testing.assert_array_equal(object_boxes(masks), [[1, 2, 5, 6], [0, 0, 0, 0]])
