"""Dissection against a slow loop over images, units and parts, and enlarging against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench.interpret import MemoryActivations, dissect, select
from workbench.interpret.reading import quantile, weighted_quantile
from workbench.interpret.upsampling import upsample


@given(st.tuples(*[st.integers(1, 9)] * 2), st.tuples(*[st.integers(1, 20)] * 2), st.integers(0, 2**32 - 1))
def test_enlarging_is_torchs(source, target, seed):
    maps = np.random.default_rng(seed).normal(size=(2, 3, *source)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(maps), size=target, mode="bilinear").numpy()
    np.testing.assert_allclose(upsample(maps, target), expected, atol=1e-5)


@pytest.mark.parametrize("quantile", [0.8, 0.97])
def test_dissection_is_the_loop(quantile):
    generator = np.random.default_rng(0)
    images, units, parts, small, large = 9, 5, 3, (4, 5), (13, 17)
    maps = np.maximum(generator.normal(size=(images, units, *small)), 0).astype(np.float32)
    maps[:, 4] = 0  # a dead unit
    masks = generator.uniform(size=(images, parts, *large)) < 0.1
    masks[3:, 2] = False
    store = MemoryActivations({"layer": xr.DataArray(maps, dims=("image", "unit", "y", "x"))})
    result = dissect(store, xr.DataArray(masks, dims=("image", "part", "y", "x")), quantile=quantile)
    for unit in range(units):
        threshold = np.quantile(maps[:, unit].astype(float), quantile)
        for part in range(parts):
            shared = union = 0
            for image in range(images):
                enlarged = torch.nn.functional.interpolate(
                    torch.from_numpy(maps[image : image + 1, unit : unit + 1]), size=large, mode="bilinear"
                ).numpy()[0, 0]
                on, true = enlarged > threshold, masks[image, part]
                shared += int((on & true).sum())
                union += int((on | true).sum())
            # a pixel or two may fall on either side of the threshold by rounding
            assert abs(int(result["intersection"][unit, part]) - shared) <= 1
            assert abs(int(result["union"][unit, part]) - union) <= 1
            assert float(result["iou"][unit, part]) == pytest.approx(shared / union, abs=0.01)


def weighted_example(images: int = 9):
    generator = np.random.default_rng(1)
    maps = np.maximum(generator.normal(size=(images, 4, 4, 5)), 0).astype(np.float32)
    masks = generator.uniform(size=(images, 3, 9, 11)) < 0.2
    store = MemoryActivations({"layer": xr.DataArray(maps, dims=("image", "unit", "y", "x"))})
    return store, xr.DataArray(masks, dims=("image", "part", "y", "x"))


def test_equal_weights_are_no_weights_and_zero_leaves_an_image_out():
    store, masks = weighted_example()
    plain, equal = dissect(store, masks, quantile=0.9), dissect(store, masks, quantile=0.9, weights=np.full(9, 2.5))
    np.testing.assert_allclose(equal["threshold"], plain["threshold"], rtol=1e-6)
    np.testing.assert_allclose(equal["iou"], plain["iou"], rtol=1e-12)
    np.testing.assert_allclose(equal["area"], 2.5 * plain["area"])
    without = dissect(store, masks, quantile=0.9, weights=np.append(np.zeros(2), np.ones(7)))
    kept = dissect(select(store, np.arange(2, 9)), masks.isel(image=slice(2, None)), quantile=0.9)
    np.testing.assert_allclose(without["iou"], kept["iou"])
    np.testing.assert_allclose(without["part_area"], kept["part_area"])


@given(st.lists(st.integers(0, 4), min_size=9, max_size=9).filter(any), st.floats(0, 1))
def test_whole_weights_are_repeated_images(times, q):
    store, _ = weighted_example()
    weights = np.array(times, dtype=float)
    found = weighted_quantile(store, "layer", q, weights).values
    repeated = np.repeat(np.arange(9), times)
    many = np.repeat(np.sort(store.maps["layer"].values[repeated].transpose(1, 0, 2, 3).reshape(4, -1), axis=1), 50, 1)
    # where values repeat, interpolation stands between the same neighbours: exact at the limit of many copies
    low, high = (np.quantile(many, np.clip(q + by, 0, 1), axis=1) for by in (-0.06, 0.06))
    assert (low - 1e-6 <= found).all()
    assert (found <= high + 1e-6).all()
    if len(set(times) - {0}) == 1:
        expected = quantile(select(store, np.flatnonzero(weights)), "layer", q)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weighted_areas_are_those_of_repeated_images():
    store, masks = weighted_example()
    weights = np.array([3, 1, 0, 2, 1, 1, 4, 1, 2.0])
    found = dissect(store, masks, quantile=0.9, weights=weights)
    for unit in range(4):
        for part in range(3):
            shared = union = 0.0
            for image, often in enumerate(weights):
                large = upsample(store.maps["layer"].values[image : image + 1, unit : unit + 1], (9, 11))[0, 0]
                on, true = large > float(found["threshold"][unit]), masks.values[image, part]
                shared += often * int((on & true).sum())
                union += often * int((on | true).sum())
            assert float(found["intersection"][unit, part]) == pytest.approx(shared, abs=4)
            assert float(found["iou"][unit, part]) == pytest.approx(shared / union, abs=0.02)
