"""Binarisers: invariants, maps that have no threshold, their text, and bad input."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import evaluate
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError, UnknownNameError

DIMS = ("image", "unit", "y", "x")
BLIND = [item for item in evaluate.BINARISER_FAMILY if not item.reads_masks]


def maps(seed: int, count: int = 3) -> xr.DataArray:
    generator = np.random.default_rng(seed)
    values = generator.exponential(size=(count, 2, 9, 7)) ** generator.integers(1, 4)
    return xr.DataArray(np.where(generator.uniform(size=values.shape) < 0.3, 0, values), dims=DIMS)


def test_the_family_holds_every_registered_binariser():
    assert {item.name for item in evaluate.BINARISER_FAMILY} == set(evaluate.binarisers)
    fractions = [dict(item.parameters)["fraction"] for item in evaluate.BINARISER_FAMILY if item.name == "fraction"]
    assert fractions == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


@pytest.mark.parametrize("binariser", evaluate.BINARISER_FAMILY, ids=str)
def test_its_text_means_the_same_binariser(binariser):
    assert evaluate.as_binariser(str(binariser)) == binariser
    assert hash(evaluate.as_binariser(str(binariser))) == hash(binariser)


@pytest.mark.parametrize("binariser", BLIND, ids=str)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), power=st.integers(-30, 30))
def test_what_is_chosen_lies_above_what_is_not_and_scale_changes_nothing(binariser, seed, power):
    heat = maps(seed)
    found = evaluate.binarise(heat, method=binariser)
    assert found.dtype == bool
    for index in np.ndindex(3, 2):
        picture, chosen = heat.values[index], found.values[index]
        if chosen.any() and not chosen.all():
            assert picture[chosen].min() > picture[~chosen].max()
            assert picture[chosen].min() >= float(found["threshold"][index])
    scaled = evaluate.binarise(heat * 2.0**power, method=binariser)
    if binariser.name != "li":  # its steps end where they are small beside the steps of the values, to rounding
        np.testing.assert_array_equal(scaled, found)


@pytest.mark.parametrize("binariser", [item for item in BLIND if item.name != "dataset_quantile"], ids=str)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_map_is_cut_the_same_alone_and_among_others(binariser, seed):
    heat = maps(seed)
    together = evaluate.binarise(heat, method=binariser)
    alone = evaluate.binarise(heat[1:2, 1:], method=binariser)
    np.testing.assert_array_equal(alone[0, 0], together[1, 1])


@pytest.mark.parametrize("binariser", [item for item in BLIND if item.name != "dataset_quantile"], ids=str)
@pytest.mark.parametrize(("constant", "expected"), [(3.0, 1.0), (0.0, 0.0), (-2.0, 0.0)])
def test_a_constant_map_has_no_threshold(binariser, constant, expected):
    heat = maps(0)
    heat[1, 0] = constant
    found = evaluate.binarise(heat, method=binariser)
    assert float(found[1, 0].mean()) == expected
    assert not bool(found[2, 1].all())


def test_values_below_zero_count_as_zero():
    heat = maps(1)
    below = heat.where(heat > 0, -7.0)
    for binariser in BLIND:
        np.testing.assert_array_equal(
            evaluate.binarise(below, method=binariser), evaluate.binarise(heat, method=binariser)
        )


def test_a_silent_unit_of_a_dataset_chooses_nothing():
    heat = maps(2) * 0
    assert not evaluate.binarise(heat, method="dataset_quantile").any()


def test_blocks_change_nothing(monkeypatch):
    heat = maps(3, count=11)
    whole = evaluate.binarise(heat, method="otsu")
    monkeypatch.setattr(importlib.import_module("workbench.evaluate.binarise"), "BLOCK", 130)
    np.testing.assert_array_equal(evaluate.binarise(heat, method="otsu"), whole)


def test_single_precision_maps_are_cut_without_losing_the_threshold():
    heat = maps(4).astype(np.float32)
    for method in ("two_means", "fraction(fraction=1)", "percentile(share=0.1)"):
        found = evaluate.binarise(heat, method=method)
        assert bool(found.any(("y", "x")).all()), method


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("otzu", UnknownNameError, "'otsu'"),
        ("fraction(level=0.2)", InputError, "no parameter 'level'.*fraction"),
        ("otsu(bins=3)", InputError, "it has none"),
        ("fraction(fraction=1.5)", InputError, r"fraction is 1.5; expected a share of the maximum in \(0, 1\]"),
        ("percentile(share=0)", InputError, "share is 0"),
        ("dataset_quantile(share=1)", InputError, "share is 1"),
        ("mean_deviations(deviations=-1)", InputError, "deviations is -1"),
        ("area_matched(areas=3)", InputError, "no parameter 'areas'"),
        ("fraction(fraction=half)", InputError, "no number"),
        ("otsu!", InputError, "no binariser"),
        (0.5, DtypeError, "expected its name"),
    ],
)
def test_a_bad_binariser_is_named(text, error, message):
    with pytest.raises(error, match=message):
        evaluate.as_binariser(text)


def test_bad_maps_are_named():
    heat = maps(0)
    with pytest.raises(NotFiniteError, match="image 1, unit 0"):
        evaluate.binarise(heat.where(xr.DataArray([True, False, True], dims="image")))
    with pytest.raises(ShapeError, match="DataArray"):
        evaluate.binarise(heat.values)
    with pytest.raises(ShapeError, match="empty"):
        evaluate.binarise(heat[:0])
    with pytest.raises(DtypeError, match="dtype"):
        evaluate.binarise(heat.astype(str))
    with pytest.raises(InputError, match="area_matched needs masks"):
        evaluate.binarise(heat, method="area_matched")
    with pytest.raises(InputError, match="otsu does not take masks"):
        evaluate.binarise(heat, masks=heat > 0)
    with pytest.raises(ShapeError, match="expected the same"):
        evaluate.binarise(heat, method="area_matched", masks=heat[:2] > 0)
