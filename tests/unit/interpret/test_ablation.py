"""Ablation: the planted units hurt most, the loop agrees, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from workbench import interpret
from workbench.errors import InputError, ShapeError, UnknownNameError

CATEGORIES = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def true_ranking(planted):
    units = [f"activation:{index}" for index in range(16)]
    weight = np.zeros((3, 16))
    for category in range(3):
        weight[category, list(planted.true_units(category))] = [2, 1]
    return xr.DataArray(weight, dims=("category", "unit"), coords={"category": CATEGORIES, "unit": units})


def curve(planted, held_out, rankings, **options):
    options = {"counts": (0, 1, 2, 4, 8), **options}
    return interpret.ablation_curve(
        planted.model, held_out.pictures, rankings, store=planted.store, labels=held_out.labels, **options
    )


def test_the_true_units_have_the_steepest_curve(planted, held_out, true_ranking):
    found = interpret.relevant_units(planted.store, units_per_category=2)["weight"]
    wrong = true_ranking.roll(category=1, roll_coords=False)
    # each category has two units; without them no evidence is left, and a guess among equals says nothing more
    rankings = {"true": true_ranking, "relevant units": found, "wrong": wrong}
    result = curve(planted, held_out, rankings, counts=(0, 2))
    area = result["area"].to_series()
    assert area["true"] == area.min()
    assert area["relevant units"] == area["true"]
    assert area["random"] > area["true"] + 0.3
    assert area["wrong"] > area["random"]
    assert float(result["accuracy"].sel(removed=0).min()) == 1
    assert float(result["accuracy"].sel(ranking="true", removed=2)) < 0.5
    assert (result["area_low"] <= result["area"]).all()
    assert (result["area"] <= result["area_high"]).all()
    np.testing.assert_array_equal(result["n"], np.full((5, 2), 60))


def test_switching_off_is_setting_the_map_to_zero(planted, held_out, true_ranking):
    result = curve(planted, held_out, {"true": true_ranking}, counts=(0, 1, 2))
    for index in (0, 17, 42):
        label = int(held_out.labels[index])
        maps = held_out.store.maps["activation"].values[index].copy()
        for count, unit in enumerate((label, 3 + label), start=1):
            maps[unit] = 0
            logits = planted.model.module.readout(torch.from_numpy(maps).mean((1, 2)))
            expected = float(logits.argmax() == label)
            assert float(result["correct"].sel(ranking="true", removed=count)[index]) == expected


def test_the_same_seed_gives_the_same_curve(planted, held_out, true_ranking):
    first, second = (curve(planted, held_out, {"true": true_ranking}, seed=4, batch_size=size) for size in (64, 7))
    xr.testing.assert_equal(first, second)


def test_bad_input_is_named(planted, held_out, true_ranking):
    with pytest.raises(InputError, match="'picture 0-0' is in the store"):
        interpret.ablation_curve(
            planted.model, planted.pictures, {}, store=planted.store, labels=planted.labels, counts=(0, 1)
        )
    for counts in ((1, 2), (0,), (0, 2, 2)):
        with pytest.raises(InputError, match="counts"):
            curve(planted, held_out, {"true": true_ranking}, counts=counts)
    with pytest.raises(InputError, match="16 units"):
        curve(planted, held_out, {"true": true_ranking}, counts=(0, 17))
    with pytest.raises(InputError, match="baseline"):
        curve(planted, held_out, {"random": true_ranking})
    with pytest.raises(InputError, match="'blue'"):
        curve(planted, held_out, {"true": true_ranking.isel(category=[0, 1])})
    with pytest.raises(UnknownNameError, match="fc:0"):
        curve(planted, held_out, {"true": true_ranking.assign_coords(unit=[f"fc:{i}" for i in range(16)])})
    with pytest.raises(ShapeError, match="category, unit"):
        curve(planted, held_out, {"true": true_ranking.isel(category=0)})
    with pytest.raises(InputError, match="random_orders"):
        curve(planted, held_out, {}, random_orders=0)
    for labels in (held_out.labels[:5], np.append(held_out.labels, 0)):
        with pytest.raises(ShapeError, match="labels for"):
            interpret.ablation_curve(
                planted.model, held_out.pictures, {}, store=planted.store, labels=labels, counts=(0, 1)
            )
    with pytest.raises(InputError, match="labels reach"):
        interpret.ablation_curve(
            planted.model, held_out.pictures, {}, store=planted.store, labels=held_out.labels + 1, counts=(0, 1)
        )
