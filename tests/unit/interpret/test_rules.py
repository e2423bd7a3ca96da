"""Rules: planted truth, when patches end, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from workbench import interpret
from workbench.errors import InputError, NotFiniteError, ShapeError

OPTIONS = {"size": 6, "margin": 1, "most_patches": 3, "top_units": 2}


@pytest.fixture(scope="module")
def explained(planted):
    """Where the labelled square is: what a perfect explanation would show."""
    return planted.masks.any("part").astype(float)


@pytest.fixture(scope="module")
def pairs(planted, explained):
    """A store in which each category lights two units together: the planted ones, whichever of them was shown."""
    maps = planted.store.maps["activation"].copy()
    for first, second in ((0, 3), (1, 4), (2, 5)):
        both = maps[:, [first, second]].sum("unit")
        maps[:, first] = both
        maps[:, second] = both
    return interpret.MemoryActivations(
        {"activation": maps}, planted.store.categories, planted.labels, planted.store.logits, planted.store.identifiers
    )


def test_planted_pairs_are_the_rules(planted, pairs, explained, record_property):
    result = interpret.rules(pairs, explained, labels="true", **OPTIONS)
    found = {
        (int(result["category_index"][row]), tuple(np.flatnonzero(result["member"].values[row])))
        for row in range(result.sizes["rule"])
    }
    true = {(category, (category, 3 + category)) for category in range(3)}
    record_property("precision", len(found & true) / len(found))
    record_property("recall", len(found & true) / len(true))
    assert true <= found
    best = result.isel(rule=[int(np.argmax(result["category_index"].values == c)) for c in range(3)])
    np.testing.assert_array_equal(best["confidence"], np.ones(3))
    assert bool(best["significant"].all())
    assert not bool(best["shared"].any())
    assert float(best["lift"].min()) > 2
    for category in range(3):
        leading = np.argsort(-result["weight"].values[category])[:2]
        assert set(leading.tolist()) == planted.true_units(category)


def test_rules_can_be_drawn(planted, pairs, explained):
    result = interpret.rules(pairs, explained, labels="true", **OPTIONS)
    drawn = interpret.heatmaps(result, pairs, images=[0], category="red", size=(8, 8))
    assert drawn.dims == ("image", "rule", "y", "x")
    assert set(drawn["category_of_rule"].values) == {"red"}


def test_a_longer_rule_must_be_better_than_what_it_contains(pairs, explained):
    result = interpret.rules(
        pairs, explained, labels="true", longest=4, per_category=100, **{**OPTIONS, "top_units": 6}
    )
    member, of = result["member"].values, result["category_index"].values
    for row in range(len(of)):
        for other in range(len(of)):
            if of[row] == of[other] and row != other and (member[other] <= member[row]).all():
                assert float(result["confidence"][row]) > float(result["confidence"][other])


def test_redundant_rules_are_those_that_a_look_at_all_finds(pairs, explained):
    options = {**OPTIONS, "top_units": 8, "most_patches": 2}
    everything = interpret.rules(pairs, explained, labels="true", longest=4, per_category=10_000, **options)
    few = interpret.rules(pairs, explained, labels="true", longest=4, per_category=3, **options)
    for category in range(3):
        rows = np.flatnonzero(everything["category_index"].values == category)[:3]
        mine = np.flatnonzero(few["category_index"].values == category)
        np.testing.assert_array_equal(everything["member"].values[rows], few["member"].values[mine])


def test_units_that_never_fire_together_give_no_rule(planted, explained):
    maps = planted.store.maps["activation"].copy()
    maps[:, 1:] = 0
    alone = interpret.MemoryActivations(
        {"activation": maps}, planted.store.categories, planted.labels, identifiers=planted.store.identifiers
    )
    result = interpret.rules(alone, explained, labels="true", **OPTIONS)
    assert result.sizes["rule"] == 0
    assert not result["weight"].values.any()
    with pytest.raises(InputError, match="No rule"):
        interpret.heatmaps(result, alone)


def test_patches_end_where_the_network_has_lost_its_reason(planted, explained):
    by_map = interpret.explained_patches(explained, size=6, margin=0, most=3)
    np.testing.assert_array_equal(by_map["order"], np.zeros(120))  # the square is one patch, nothing is left
    blurred = explained + 0.01
    many = interpret.explained_patches(blurred, size=6, margin=0, most=3, least=0.001)
    assert many.sizes["patch"] == 360
    asked = interpret.explained_patches(
        blurred, size=6, margin=0, most=3, model=planted.model, images=planted.pictures, drop=0.1
    )
    assert asked.sizes["patch"] == 120


def test_an_explanation_without_positive_values_has_no_patch(planted, explained):
    heat = explained.copy()
    heat[5] = -1
    found = interpret.explained_patches(heat, size=6)
    assert 5 not in found["image_index"]
    with pytest.raises(InputError, match="No explained patch"):
        interpret.rules(planted.store, explained * 0, labels="true", **OPTIONS)


def test_bad_input_is_named(planted, explained):
    with pytest.raises(ShapeError, match="DataArray"):
        interpret.rules(planted.store, explained.values, **OPTIONS)
    with pytest.raises(NotFiniteError, match="heatmaps"):
        interpret.rules(planted.store, explained.where(explained > 0), **OPTIONS)
    with pytest.raises(InputError, match="size is 56"):
        interpret.rules(planted.store, explained)
    heat = explained.isel(image=[0]).assign_coords(image=["elsewhere"])
    with pytest.raises(InputError, match="'elsewhere'"):
        interpret.rules(planted.store, heat, **OPTIONS)
    for bad in ({"top_units": 1}, {"longest": 1}, {"least_confidence": 2}, {"level": 0}, {"least_support": 0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            interpret.rules(planted.store, explained, **{**OPTIONS, **bad})
    with pytest.raises(InputError, match="margin 3"):
        interpret.explained_patches(explained, size=6, margin=3)
    with pytest.raises(InputError, match="go together"):
        interpret.explained_patches(explained, size=6, margin=1, model=planted.model)
    with pytest.raises(ShapeError, match="10 images for 120"):
        interpret.explained_patches(
            explained, size=6, margin=1, model=planted.model, images=planted.pictures.isel(image=slice(10))
        )
    with pytest.raises(InputError, match="one category"):
        interpret.rules(planted.store, explained, labels=np.zeros(120, dtype=int), **OPTIONS)


def test_patches_at_hand_are_used(planted, pairs, explained):
    patches = interpret.explained_patches(explained, size=6, most=3, margin=1)
    given = interpret.rules(pairs, xr.DataArray(0.0), labels="true", patches=patches, **OPTIONS)
    xr.testing.assert_equal(given, interpret.rules(pairs, explained, labels="true", **OPTIONS))
