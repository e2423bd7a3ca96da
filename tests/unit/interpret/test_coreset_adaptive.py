"""Adaptive coresets: they stop when they may, never look at the rest, and their certificate covers the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from workbench.errors import InputError, ShapeError
from workbench.interpret import coreset
from workbench.interpret.coreset.calibration import measured


def means_subject(rows: np.ndarray, category: np.ndarray, asked: set[int] | None = None) -> coreset.Subject:
    """The interpretation is the mean of each category; how alike two are, the mean cosine."""

    def interpret(indices, weights):
        if asked is not None:
            asked.update(indices.tolist())
        return np.stack([rows[indices[category[indices] == each]].mean(axis=0) for each in np.unique(category)])

    def similarity(first, second):
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        return float(((first * second).sum(axis=1) / norms).mean())

    return coreset.Subject("means", interpret, similarity, lambda result, _: result, category)


def population(seed: int, images: int = 600, noise: float = 1.0):
    generator = np.random.default_rng(seed)
    category = generator.integers(0, 3, size=images)
    rows = generator.normal(size=(3, 12))[category] + noise * generator.normal(size=(images, 12))
    return rows, category, xr.DataArray(rows.astype(np.float32), dims=("image", "unit"))


def test_it_stops_early_where_little_is_enough_and_late_where_not():
    sizes = {}
    for noise in (0.2, 2.0):
        rows, category, features = population(0, noise=noise)
        found = coreset.adaptive_coreset(means_subject(rows, category), features, wanted=0.95)
        assert found.settled
        assert found.similarity.low >= 0.95
        sizes[noise] = len(found.coreset)
        assert found.history.sizes["images"] == len(found.history["low"])
        assert (np.diff(found.history["images"]) > 0).all()
    assert sizes[0.2] < 0.1 * 600
    assert sizes[2.0] > 2 * sizes[0.2]


def test_only_images_of_the_coreset_are_asked_for():
    rows, category, features = population(1)
    asked: set[int] = set()
    found = coreset.adaptive_coreset(means_subject(rows, category, asked), features, wanted=0.9)
    assert len(found.coreset) < 300
    assert len(asked) < 450  # a larger coreset of another round need not contain the smaller one
    last = set(found.coreset.indices.tolist())
    assert last <= asked


def test_the_interval_covers_the_true_similarity_at_its_nominal_rate():
    covered = []
    for seed in range(150):
        rows, category, features = population(seed, images=300)
        subject = means_subject(rows, category)
        found = coreset.adaptive_coreset(
            subject, features, wanted=-1.0, level=0.8, selector="random", start=0.1, seed=seed
        )
        true = subject.similarity(found.interpretation, subject.interpret(np.arange(300), None))
        covered.append(true in found.similarity)
    # 150 trials at 0.8 have a standard deviation of 0.033
    assert 0.7 <= np.mean(covered) <= 0.9


def test_a_better_selector_makes_the_certificate_cautious():
    above = []
    for seed in range(40):
        rows, category, features = population(seed, images=300)
        subject = means_subject(rows, category)
        found = coreset.adaptive_coreset(subject, features, wanted=-1.0, start=0.1, seed=seed)
        true = subject.similarity(found.interpretation, subject.interpret(np.arange(300), None))
        above.append(true >= found.similarity.low)
    assert np.mean(above) >= 0.95


def test_what_was_not_reached_is_said():
    rows, category, features = population(2, noise=20.0)
    found = coreset.adaptive_coreset(means_subject(rows, category), features, wanted=0.99, most=0.2)
    assert not found.settled
    assert len(found.coreset) == pytest.approx(120, abs=3)
    everything = coreset.adaptive_coreset(means_subject(rows, category), features, wanted=1.0, start=0.5)
    assert everything.settled
    assert everything.similarity.value == 1
    assert len(everything.coreset) == 600


def test_relevant_units_of_the_planted_network_settle(planted):
    subject = coreset.subject("relevant_units", planted.store, labels="true", units_per_category=2)
    features = coreset.pooled_features(planted.store, pool="both")
    found = coreset.adaptive_coreset(subject, features, wanted=0.8, resamples=20)
    assert found.settled
    for category in range(3):
        assert set(np.argsort(-found.interpretation[category])[:1].tolist()) <= planted.true_units(category)
    assert found.history.attrs["subject"] == "relevant_units"


@pytest.mark.parametrize("method", ["relevant_units", "dissect"])
def test_weights_that_were_chosen_with_the_images_are_used_and_kept(planted, method):
    options = {"masks": planted.masks} if method == "dissect" else {"units_per_category": 2}
    subject = coreset.subject(method, planted.store, labels="true", **options)
    given: list[tuple[np.ndarray, np.ndarray]] = []

    def watched(indices, weights):
        given.append((indices, weights))
        return subject.interpret(indices, weights)

    found = coreset.adaptive_coreset(
        replace(subject, interpret=watched), subject.reading(), selector="target_aware", wanted=0.7, resamples=20,
        start=0.1, most=0.5, calibration=None,
    )  # fmt: skip
    chosen = found.coreset
    assert chosen.weighted
    np.testing.assert_array_equal(found.interpretation, subject.interpret(chosen.indices, chosen.weights))
    assert len(given) == 21 * found.history.sizes["images"]
    held = planted.labels if method == "relevant_units" else np.zeros(120, dtype=int)
    for indices, weights in given[-20:]:
        assert set(indices) <= set(chosen.indices[chosen.weights > 0])
        np.testing.assert_allclose(
            np.bincount(held[indices], weights), np.bincount(held[chosen.indices], chosen.weights)
        )
    whole = subject.interpret(np.arange(120), None)
    assert found.settled == (found.similarity.low >= 0.7)
    everything = coreset.adaptive_coreset(
        subject, subject.reading(), selector="target_aware", wanted=1.0, resamples=20, start=1.0
    )
    np.testing.assert_allclose(everything.interpretation, whole)


def test_bad_input_is_named():
    rows, category, features = population(0, images=60)
    subject = means_subject(rows, category)
    for bad in ({"level": 1}, {"start": 0}, {"most": 1.5}, {"growth": 1}, {"resamples": 5}, {"wanted": 1.1}):
        with pytest.raises(InputError, match=f"{next(iter(bad))}"):
            coreset.adaptive_coreset(subject, features, **bad)
    with pytest.raises(ShapeError, match="60 images, the features 10"):
        coreset.adaptive_coreset(subject, features.isel(image=slice(10)))
    weighing = features.assign_attrs(target="dissect", leading=4)
    with pytest.raises(InputError, match="together with weights, which means does not take"):
        coreset.adaptive_coreset(subject, weighing, selector="target_aware")
    with pytest.raises(InputError, match="bootstrap needs"):
        coreset.adaptive_coreset(subject, features, most=0.01, start=0.01)


def test_a_calibration_gives_the_ratio_that_was_there():
    def cases(seeds):
        for seed in seeds:
            rows, category, features = population(seed, images=300)
            yield means_subject(rows, category), features

    learned = coreset.calibrate(cases(range(1000, 1012)), shares=(0.1, 0.2), selector="random", resamples=20)
    assert learned.trials == 24
    # random coresets of a smooth method: the bootstrap is right as it is
    assert abs(learned.mean) < 3 * learned.spread / np.sqrt(learned.trials) + 0.1
    low, middle, high = learned.ratios(0.9)
    assert low < middle < high
    narrow = learned.ratios(0.5)
    assert low < narrow[0] < narrow[1] == middle < narrow[2] < high
    better = coreset.calibrate(cases(range(1000, 1012)), shares=(0.1, 0.2), resamples=20)
    assert better.mean < learned.mean  # kernel herding is nearer than its own draws tell


def test_a_calibrated_interval_covers_with_a_selector_that_is_better_than_random():
    def case(seed):
        rows, category, features = population(seed, images=300)
        return means_subject(rows, category), features

    learned = coreset.calibrate((case(seed) for seed in range(2000, 2020)), shares=(0.1,), resamples=20)
    covered = []
    for seed in range(60):
        subject, features = case(seed)
        found = coreset.adaptive_coreset(
            subject, features, wanted=-1.0, level=0.8, start=0.1, resamples=20, calibration=learned, seed=seed
        )
        true = subject.similarity(found.interpretation, subject.interpret(np.arange(300), None))
        covered.append(true in found.similarity)
        assert found.similarity.method == "calibrated bootstrap of the coreset"
    # 60 trials at 0.8 have a standard deviation of 0.052
    assert 0.65 <= np.mean(covered) <= 0.95


def test_what_was_measured_is_of_a_method_and_a_selector():
    assert measured("relevant_units", "kernel_herding").trials >= 24
    assert measured("relevant_units", "moderate") is None
    assert measured("means", "kernel_herding") is None


def test_a_calibration_needs_cases():
    rows, category, features = population(0, images=60)
    with pytest.raises(InputError, match="2 coresets differ"):
        coreset.calibrate([(means_subject(rows, category), features)], shares=(0.1, 0.2), resamples=20)
