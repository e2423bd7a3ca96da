"""The protocol on a network whose true units are known: these come first, and random units come last."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from workbench import evaluate, interpret
from workbench.interpret.heatmaps import MAKERS

SIZE = (16, 16)


def all_units(found) -> xr.DataArray:
    """The maps of all units of the layer."""
    count = len(found.pictures)
    maps = interpret.unit_heatmaps(found.store, np.arange(count), [found.layer] * 16, np.arange(16))
    return maps.assign_coords(image=found.pictures["image"].values)


@pytest.fixture(scope="module")
def results(planted) -> dict[str, xr.Dataset]:
    """What each method found on some pictures."""
    store, head = planted.store, interpret.Head(planted.model, planted.layer)
    names = list(planted.masks["part"].values)
    shown = {name: np.flatnonzero(planted.labels == index) for index, name in enumerate(names)}
    heat = planted.masks.any("part").astype(float)
    return {
        "relevant_units": interpret.relevant_units(store, units_per_category=5),
        "dissect": interpret.dissect(store, planted.masks, quantile=0.9),
        "concept_vectors": interpret.concept_vectors(store, shown, head=head, draws=2, random_concepts=19),
        "rules": interpret.rules(store, heat, size=6, top_units=6, least_confidence=0.1),
        "concepts": interpret.concepts(store, head=head, count=3),
    }


@pytest.fixture(scope="module")
def maps(results, planted, held_out) -> dict[str, xr.DataArray]:
    """What was found, drawn on other pictures; and the true units' maps there."""
    true = sorted(unit for category in range(3) for unit in planted.true_units(category))
    drawn = {"true units": all_units(held_out)[:, true]}
    for name, result in results.items():
        if name == "concepts":  # are found by category
            each = [
                interpret.heatmaps(result, held_out.store, category=str(category), size=SIZE)
                for category in result["category"].values
            ]
            drawn[name] = xr.concat(each, "concept")
        else:
            drawn[name] = interpret.heatmaps(result, held_out.store, size=SIZE)
    return drawn


def shown_on(name, drawn, results, planted, held_out):
    """Units of a category explain its pictures, where they respond; what is no category's own, where it responds."""
    responding = (drawn.max(("y", "x")) > 0).values
    if name == "true units":
        belongs = np.array([[unit in planted.true_units(category) for unit in range(6)] for category in range(3)])
    elif name == "relevant_units":
        belongs = results[name]["weight"].sel(unit=drawn["unit"].values).values > 0
    elif name == "concepts":
        belongs = np.repeat(np.eye(3, dtype=bool), drawn.sizes["concept"] // 3, axis=1)
    else:
        return "responding"
    return responding & belongs[held_out.labels]


@pytest.fixture(scope="module")
def scores(maps, results, planted, held_out) -> dict[str, xr.Dataset]:
    pool = all_units(held_out)
    return {
        name: evaluate.waiou(drawn, held_out.masks, shown=shown_on(name, drawn, results, planted, held_out), pool=pool)
        for name, drawn in maps.items()
    }


def test_every_method_that_draws_maps_takes_part(maps):
    assert set(maps) == {"true units", *MAKERS}


def test_the_true_units_come_first(maps, scores):
    best = float(scores["true units"]["value"])
    assert best > 0.9
    for name, found in scores.items():
        value = float(found["value"])
        # a method that found just these units has their score, to the last bit; any other has less
        same = "unit" in maps[name].coords and set(maps[name]["index"].values.tolist()) == set(range(6))
        assert value == best if name == "true units" or same else value < best, name


def test_random_units_come_last(scores):
    # of random units: as many as there are true ones
    random = scores["true units"].sel(control="random units")
    assert int(random["control_n"]) == 20
    for name, found in scores.items():
        assert float(found["value"]) > float(random["control_value"]), name
    assert float(random["control_high"]) < float(scores["true units"]["low"])


def test_the_score_is_above_its_other_controls_too(scores):
    for name in ("true units", "relevant_units", "dissect", "concept_vectors"):
        found = scores[name]
        for control in ("shuffled images", "chance"):
            assert float(found["low"]) > float(found["control_high"].sel(control=control)), (name, control)


def test_units_are_linked_to_the_category_that_they_were_made_for(scores):
    assert scores["true units"]["label"].values.tolist() == ["red", "green", "blue"] * 2


def test_leaving_unlinked_units_out_lets_random_ones_catch_up(maps, held_out):
    options = {"shown": "responding", "pool": all_units(held_out)}
    strict = evaluate.waiou(maps["true units"], held_out.masks, **options)
    lenient = evaluate.waiou(maps["true units"], held_out.masks, unlinked="left out", **options)
    random = [float(found["control_value"].sel(control="random units")) for found in (strict, lenient)]
    assert random[0] < 0.6 * float(strict["value"])
    assert random[1] > 0.9 * float(lenient["value"])
