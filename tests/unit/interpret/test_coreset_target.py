"""What methods read, the selector that matches it, its weights, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import interpret
from workbench.errors import InputError, ShapeError, UnknownNameError
from workbench.interpret import coreset
from workbench.interpret.coreset.search import _competing, search
from workbench.interpret.coreset.subjects import mean_cosine

METHODS = ("relevant_units", "concepts", "rules", "dissect")


def patches_of(planted) -> xr.Dataset:
    heat = planted.masks.any("part").astype(float)
    return interpret.explained_patches(heat, size=6, most=2)


@pytest.mark.parametrize("target", METHODS)
def test_a_coreset_for_each_method(planted, target):
    patches = patches_of(planted) if target == "rules" else None
    read = coreset.reading(planted.store, target, patches=patches)
    assert read.sizes["image"] == 120
    assert read.dtype == np.float32
    found = coreset.choose(read, selector="target_aware", fraction=0.1, labels=planted.labels)
    np.testing.assert_array_equal(np.bincount(found.labels), np.round(0.1 * np.bincount(planted.labels)))
    assert found.parameters["target"] == target
    assert found.weights.sum() == pytest.approx(120)
    assert (found.weights >= 0).all()
    if target != "rules":
        same = coreset.choose(
            planted.store, selector="target_aware", target=target, fraction=0.1, labels=planted.labels
        )
        np.testing.assert_array_equal(found.indices, same.indices)
        np.testing.assert_allclose(found.weights, same.weights)


def test_projected_products_keep_what_matters(planted):
    full = coreset.reading(planted.store, "concepts").values.astype(float)
    few = coreset.reading(planted.store, "concepts", widest=12).values.astype(float)
    assert few.shape[1] == 12 * 13 // 2
    products, projected = full @ full.T, few @ few.T
    assert np.linalg.norm(products - projected) < 0.1 * np.linalg.norm(products)


@given(st.integers(4, 30), st.integers(1, 4), st.data())
def test_no_exchange_brings_the_mean_nearer(images, columns, data):
    seed = data.draw(st.integers(0, 2**32 - 1))
    count = data.draw(st.integers(1, images - 1))
    features = np.random.default_rng(seed).normal(size=(images, columns)).astype(np.float32)
    chosen = coreset.target_aware(features, count, generator=np.random.default_rng(0), rounds=1000)
    rows = features.astype(float) - features.mean(axis=0, dtype=float)
    reached = float((rows[chosen].sum(axis=0) ** 2).sum())
    for place in range(count):
        for other in set(range(images)) - set(chosen.tolist()):
            swapped = chosen.copy()
            swapped[place] = other
            assert reached <= float((rows[swapped].sum(axis=0) ** 2).sum()) + 1e-4


def test_matching_is_nearer_than_herding_and_random():
    features = np.random.default_rng(0).gamma(1.0, size=(500, 8)).astype(np.float32)

    def distance(chosen: np.ndarray) -> float:
        return float(np.linalg.norm(features[chosen].mean(axis=0) - features.mean(axis=0)))

    for count in (5, 20, 60):
        found = {
            name: distance(coreset.selectors[name](features, count, generator=np.random.default_rng(1)))
            for name in ("target_aware", "herding", "random")
        }
        assert found["target_aware"] < found["herding"] < found["random"]
        many = coreset.target_aware(features, count, generator=np.random.default_rng(1), exact_up_to=10)
        assert distance(many) < 0.5 * found["random"]


def test_weights_bring_sums_back():
    generator = np.random.default_rng(0)
    features = generator.gamma(1.0, size=(200, 6)).astype(np.float32)
    skewed = np.argsort(-features[:, 2])[:40]
    weights = coreset.calibrated_weights(features, skewed, leading=2, ridge=1e-6)
    assert weights.sum() == pytest.approx(200)
    plain = np.linalg.norm(features[skewed, 2:].mean(axis=0) - features[:, 2:].mean(axis=0))
    matched = np.linalg.norm(weights @ features[skewed, 2:] / 200 - features[:, 2:].mean(axis=0))
    assert matched < 0.5 * plain
    everything = coreset.calibrated_weights(features, np.arange(200), leading=2, ridge=1.0)
    np.testing.assert_allclose(everything, 1, rtol=0.6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_a_search_brings_relevant_units_nearer_to_those_of_all_images(seed, each):
    generator = np.random.default_rng(seed)
    category = np.arange(60) % 4 - 1  # a quarter of the images belongs to no category
    rows = generator.gamma(1.0, size=(60, 6)).astype(np.float32)
    rows[np.arange(60), np.maximum(category, 0)] += 2
    begin = np.concatenate([np.flatnonzero(category == one)[:each] for one in range(3)])
    even = np.full(len(begin), 45 / len(begin))

    def nearness(positions: np.ndarray, weights: np.ndarray) -> float:
        counts = np.zeros(60)
        counts[positions] = weights
        found, wanted = (
            interpret.relevant_units_of_features(
                xr.DataArray(rows, dims=("image", "unit")), category, categories="abc", sparsity=0.5, weights=given
            )["weight"].values
            for given in (counts, None)
        )
        return mean_cosine(found, wanted)

    chosen, weights = search(rows, category, begin, even, generator=np.random.default_rng(0), budget=0.5)
    assert nearness(chosen, weights) >= nearness(begin, even) - 1e-3
    np.testing.assert_array_equal(category[chosen], category[begin])
    assert len(set(chosen.tolist())) == len(begin)
    assert weights.sum() == pytest.approx(45)
    assert (weights >= 0).all()
    again = search(rows, category, begin, even, generator=np.random.default_rng(0), budget=0.5)
    np.testing.assert_array_equal(chosen, again[0])
    np.testing.assert_array_equal(weights, again[1])


def test_of_many_units_those_compete_that_are_relevant_or_fire_most(monkeypatch):
    weights = np.zeros((2, 6))
    weights[1, 5] = 1
    energy = np.array([1.0, 5, 2, 4, 3, 0])
    monkeypatch.setattr("workbench.interpret.coreset.search.MOST_UNITS", 3)
    np.testing.assert_array_equal(_competing(weights, energy), [1, 3, 5])
    generator = np.random.default_rng(0)
    category = np.arange(40) % 2
    rows = generator.gamma(1.0, size=(40, 6)).astype(np.float32)
    rows[np.arange(40), category] += 2
    chosen, counts = search(rows, category, np.array([0, 1]), np.ones(2), generator=generator)
    np.testing.assert_array_equal(category[chosen], [0, 1])
    assert counts.sum() == pytest.approx(40)


def test_a_few_images_found_by_search_give_the_units_of_all(planted):
    subject = coreset.subject("relevant_units", planted.store, labels="true", units_per_category=2)
    whole = subject.interpret(np.arange(120), None)
    reached = {}
    for selector in ("target_aware", "herding"):
        table = subject.reading() if selector == "target_aware" else coreset.pooled_features(planted.store)
        found = coreset.choose(table, selector=selector, fraction=0.1, labels=planted.labels)
        weights = found.weights if found.weighted else None
        reached[selector] = subject.similarity(subject.interpret(found.indices, weights), whole)
    assert reached["target_aware"] > reached["herding"]
    assert reached["target_aware"] > 0.95


def test_bad_input_is_named(planted):
    with pytest.raises(UnknownNameError, match="concepts"):
        coreset.reading(planted.store, "concept")
    with pytest.raises(InputError, match="patches="):
        coreset.reading(planted.store, "rules")
    with pytest.raises(InputError, match="widest is 0"):
        coreset.reading(planted.store, "concepts", widest=0)
    pooled = coreset.pooled_features(planted.store)
    with pytest.raises(InputError, match="no reading"):
        coreset.choose(pooled, selector="target_aware", target="dissect", fraction=0.1)
    read = coreset.reading(planted.store, "concepts")
    with pytest.raises(InputError, match="the reading of concepts"):
        coreset.choose(read, selector="target_aware", target="dissect", fraction=0.1)
    with pytest.raises(UnknownNameError, match="dissect"):
        coreset.target_aware(pooled.values, 3, generator=np.random.default_rng(0), target="disect")
    with pytest.raises(ShapeError, match="none to be matched"):
        coreset.calibrated_weights(pooled.values, np.arange(3), leading=16)
