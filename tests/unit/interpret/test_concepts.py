"""Concepts and concept vectors: planted truth, fidelity, heatmaps, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.optimize import nnls

from workbench import interpret
from workbench.errors import InputError, StoreMismatchError, UnknownNameError


@pytest.fixture(scope="module")
def head(planted):
    return interpret.Head(planted.model, "activation")


@pytest.fixture(scope="module")
def found(planted, head):
    return interpret.concepts(planted.store, "true", head=head, count=3)


def test_planted_units_become_the_important_concepts(planted, found):
    assert found["direction"].dims == ("category", "concept", "unit")
    for category in range(3):
        leading = found["direction"][category, :2].argmax("unit").values
        assert set(found["index"].values[leading]) == planted.true_units(category)
    assert (np.diff(found["importance"].values, axis=1) <= 0).all()
    np.testing.assert_allclose((found["direction"] ** 2).sum("unit"), 1, atol=1e-5)


def test_enough_concepts_are_faithful(planted, head, found):
    assert float(found["reconstruction_error"].max()) < 0.2
    assert float(found["logit_error"].max()) < 0.05
    fewer = interpret.concepts(planted.store, "true", head=head, count=1)
    assert (fewer["reconstruction_error"] > found["reconstruction_error"]).all()


def test_importance_is_the_derivative_of_the_logit(planted, head, found):
    category, concept, step = 1, 0, 1e-3
    maps = torch.from_numpy(planted.store.maps["activation"].values[planted.labels == category])
    direction = torch.from_numpy(found["direction"].values[category, concept])[:, None, None]
    moved, still = head.tensor(maps + step * direction), head.tensor(maps)
    slope = (moved - still)[:, category].mean().item() / step
    assert float(found["importance"][category, concept]) == pytest.approx(slope, rel=1e-2)


def test_strengths_are_non_negative_least_squares():
    generator = np.random.default_rng(0)
    maps, directions = generator.uniform(size=(3, 6, 5)).astype(np.float32), generator.uniform(size=(4, 6))
    strengths = interpret.concept_strengths(maps, directions.astype(np.float32))
    for image, position in np.ndindex(3, 5):
        expected, _ = nnls(directions.T, maps[image, :, position].astype(float))
        np.testing.assert_allclose(strengths[image, :, position], expected, atol=1e-3)


def test_the_same_seed_gives_the_same_concepts(planted, found, head):
    again = interpret.concepts(planted.store, "true", head=head, count=3)
    xr.testing.assert_equal(found, again)


def test_values_below_zero_are_refused_or_clipped(planted):
    maps = {"activation": planted.store.maps["activation"] - 0.1}
    shifted = interpret.MemoryActivations(maps, planted.store.categories, planted.labels)
    with pytest.raises(InputError, match="ReLU"):
        interpret.concepts(shifted, "true", count=2)
    clipped = interpret.concepts(shifted, "true", count=2, negative="clip")
    assert float(clipped["direction"].min()) >= 0


def test_the_head_must_belong_to_the_maps(planted, head):
    other = planted.store.maps["activation"] * 2
    store = interpret.MemoryActivations(
        {"activation": other}, planted.store.categories, planted.labels, planted.store.logits
    )
    with pytest.raises(StoreMismatchError, match="other logits"):
        interpret.concepts(store, "true", head=head, count=2)
    unlabelled = interpret.MemoryActivations({"activation": other}, planted.store.categories, planted.labels)
    with pytest.raises(InputError, match="no logits"):
        interpret.concepts(unlabelled, "true", head=head, count=2)


def test_bad_input_of_concepts_is_named(planted):
    with pytest.raises(InputError, match="Ask for fewer concepts"):
        interpret.concepts(planted.store, count=17)
    with pytest.raises(UnknownNameError, match="'pink'"):
        interpret.concepts(planted.store, categories=["pink"])
    with pytest.raises(InputError, match="count is 0"):
        interpret.concepts(planted.store, count=0)
    with pytest.raises(InputError, match="'zero'"):
        interpret.concepts(planted.store, negative="zero")
    maps = {"activation": planted.store.maps["activation"] * 0}
    dead = interpret.MemoryActivations(maps, planted.store.categories, planted.labels)
    with pytest.raises(InputError, match="zero on all"):
        interpret.concepts(dead, "true", count=2)


@pytest.fixture(scope="module")
def vectors(planted, head):
    white = planted.store.maps["activation"].values[:, 6:].max(axis=(1, 2, 3)) > 0
    shown = {"white": white, "red": np.flatnonzero(planted.labels == 0), "even": np.arange(0, 120, 2)}
    return interpret.concept_vectors(planted.store, shown, head=head, labels="true", draws=10)


def test_vectors_tell_their_concept_and_only_used_ones_move_the_logit(planted, vectors):
    accuracy = vectors["accuracy"].mean("draw")
    assert float(accuracy.sel(concept="red")) > 0.9
    assert float(accuracy.sel(concept="white")) > 0.9
    assert float(accuracy.sel(concept="even")) < 0.7
    assert float(vectors["value"].sel(concept="red", category="red")) == 1
    assert bool(vectors["used"].sel(concept="red", category="red"))
    assert not bool(vectors["used"].sel(concept="even").any())
    assert float(vectors["sensitivity"].sel(concept="red", category="blue")) < 0
    np.testing.assert_allclose((vectors["vector"] ** 2).sum("unit"), 1)
    assert float(vectors["score"].min()) >= 0
    assert float(vectors["score"].max()) <= 1
    assert (vectors["adjusted"] >= vectors["p_value"] - 1e-12).all()


def test_scores_are_the_share_of_rising_logits(planted, head, vectors):
    maps = torch.from_numpy(planted.store.maps["activation"].values[planted.labels == 2])
    vector = vectors["vector"].sel(concept="red")[3].values.astype(np.float32)
    rising = (head.tensor(maps + 1e-2 * torch.from_numpy(vector)[:, None, None]) - head.tensor(maps))[:, 2] > 0
    found = float(vectors["score"].sel(concept="red", category="blue")[3])
    assert found == pytest.approx(rising.float().mean().item())


def test_random_sets_of_images_are_rarely_found_to_be_used(planted, head):
    generator = np.random.default_rng(5)
    sets = {str(index): generator.choice(120, size=40, replace=False) for index in range(25)}
    result = interpret.concept_vectors(planted.store, sets, head=head, labels="true", draws=3, level=0.05)
    assert float((result["p_value"] < 0.1).mean()) < 0.2  # 75 p-values, in threes that depend on each other
    assert int(result["used"].sum()) <= 2


def test_bad_input_of_concept_vectors_is_named(planted, head):
    with pytest.raises(InputError, match="examples is empty"):
        interpret.concept_vectors(planted.store, {}, head=head)
    with pytest.raises(InputError, match="'rare' has 3 examples"):
        interpret.concept_vectors(planted.store, {"rare": [0, 1, 2]}, head=head)
    with pytest.raises(InputError, match="there are 120"):
        interpret.concept_vectors(planted.store, {"far": [0, 500]}, head=head)
    with pytest.raises(InputError, match="4 truth values"):
        interpret.concept_vectors(planted.store, {"short": [True, False, True, True]}, head=head)
    with pytest.raises(InputError, match="draws is 1,"):
        interpret.concept_vectors(planted.store, {"white": np.arange(40)}, head=head, draws=1)


def test_every_result_can_be_drawn(planted, found, vectors):
    drawn = interpret.heatmaps(found, planted.store, images=[3, 8], category="red", size=(32, 32))
    assert drawn.dims == ("image", "concept", "y", "x")
    assert drawn.shape == (2, 3, 32, 32)
    assert list(drawn["image"].values) == ["picture 0-3", "picture 0-8"]
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) == 1
    assert interpret.heatmaps(vectors, planted.store, images=[0]).shape == (1, 3, 16, 16)
    units = interpret.relevant_units(planted.store, units_per_category=2)
    drawn = interpret.heatmaps(units, planted.store, category="blue")
    assert set(drawn["index"].values) == planted.true_units(2)
    blue = planted.labels == 2
    inside = drawn.max("unit").values[blue][planted.masks.sel(part="blue").values[blue]]
    assert inside.mean() > 0.9
    labelled = interpret.heatmaps(interpret.dissect(planted.store, planted.masks, quantile=0.95), planted.store)
    assert labelled.sizes["unit"] == 6


def test_what_cannot_be_drawn_is_refused(planted, found):
    with pytest.raises(InputError, match="by category"):
        interpret.heatmaps(found, planted.store)
    with pytest.raises(UnknownNameError, match="'pink'"):
        interpret.heatmaps(found, planted.store, category="pink")
    with pytest.raises(InputError, match="method ''"):
        interpret.heatmaps(xr.Dataset(), planted.store)
    with pytest.raises(InputError, match="holds 120"):
        interpret.heatmaps(found, planted.store, category="red", images=[200])
    with pytest.raises(InputError, match="size"):
        interpret.heatmaps(found, planted.store, category="red", size=(0, 4))
