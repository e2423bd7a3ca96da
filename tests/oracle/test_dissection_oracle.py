"""Dissection against a slow loop over images, units and parts, and enlarging against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench.interpret import MemoryActivations, dissect
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
