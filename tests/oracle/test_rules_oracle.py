"""Mining, measures of rules, and sums inside patches against slow loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from workbench import interpret
from workbench.interpret.rules import _judge, mine


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 4))
def test_mining_finds_every_frequent_set(seed, least_support, longest):
    fired = np.random.default_rng(seed).uniform(size=(12, 7)) < 0.4
    expected = [
        units
        for size in range(2, longest + 1)
        for units in itertools.combinations(range(7), size)
        if fired[:, list(units)].all(axis=1).sum() >= least_support
    ]
    assert mine(fired, least_support=least_support, longest=longest) == sorted(expected)


def test_measures_are_the_textbooks():
    generator = np.random.default_rng(0)
    fired, owner = generator.uniform(size=(60, 6)) < 0.5, generator.integers(0, 3, size=60)
    candidates = [(category, units) for category in range(3) for units in itertools.combinations(range(6), 2)]
    result = _judge(fired, owner, candidates, 3)
    for row, (category, units) in enumerate(candidates):
        has, of = fired[:, list(units)].all(axis=1), owner == category
        assert int(result["support"][row]) == (has & of).sum()
        assert int(result["matches"][row]) == has.sum()
        confidence = (has & of).sum() / has.sum()
        assert float(result["confidence"][row]) == pytest.approx(confidence)
        assert float(result["lift"][row]) == pytest.approx(confidence / of.mean())
        table = [[(has & of).sum(), (has & ~of).sum()], [(~has & of).sum(), (~has & ~of).sum()]]
        assert float(result["p_value"][row]) == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
        shares = [(has & (owner == other)).sum() / has.sum() for other in range(3)]
        np.testing.assert_allclose(result["distribution"][row], shares)


def test_activity_in_a_patch_is_the_sum_of_the_enlarged_map():
    generator = np.random.default_rng(1)
    maps = generator.normal(size=(4, 3, 5, 6)).astype(np.float32)
    store = interpret.MemoryActivations({"layer": xr.DataArray(maps, dims=("image", "unit", "y", "x"))})
    heat = xr.DataArray(generator.uniform(size=(4, 20, 25)), dims=("image", "y", "x"))
    patches = interpret.explained_patches(heat, size=8, most=3, margin=2)
    activity = interpret.patch_activity(store, patches)
    large = torch.nn.functional.interpolate(torch.from_numpy(maps), size=(20, 25), mode="bilinear").numpy()
    for row in range(patches.sizes["patch"]):
        image, top, left = (int(patches[name][row]) for name in ("image_index", "top", "left"))
        expected = large[image, :, top : top + 8, left : left + 8].sum(axis=(1, 2))
        np.testing.assert_allclose(activity[row], expected, atol=1e-3)


def test_patches_are_the_best_windows_one_after_the_other():
    generator = np.random.default_rng(2)
    heat = generator.uniform(size=(3, 14, 12))
    found = interpret.explained_patches(xr.DataArray(heat, dims=("image", "y", "x")), size=5, most=4, margin=1, least=0)
    for image in range(3):
        rest = heat[image].copy()
        mine_ = found.isel(patch=np.flatnonzero(found["image_index"] == image))
        assert mine_.sizes["patch"] == 4
        for step in range(4):
            means = {(top, left): rest[top : top + 5, left : left + 5].mean() for top in range(10) for left in range(8)}
            place = int(mine_["top"][step]), int(mine_["left"][step])
            assert means[place] == pytest.approx(max(means.values()))
            assert float(mine_["mean"][step]) == pytest.approx(means[place])
            rest[place[0] + 1 : place[0] + 4, place[1] + 1 : place[1] + 4] = 0
