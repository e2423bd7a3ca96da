"""Properties that hold for every input: bounds, symmetry, invariance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench import stats

numbers = st.floats(-1000, 1000, width=32)


def samples(least: int = 3, most: int = 25):
    return st.integers(least, most).flatmap(lambda size: arrays(np.float64, size, elements=numbers))


def pairs(least: int = 3, most: int = 25):
    return st.integers(least, most).flatmap(lambda size: arrays(np.float64, (2, size), elements=numbers))


@given(samples())
def test_percentile_interval_of_the_mean_lies_within_the_sample(sample):
    estimate = stats.bootstrap(sample, kind="percentile", resamples=100)
    slack = 1e-9 * (1 + np.abs(sample).max())
    assert sample.min() - slack <= estimate.low <= estimate.high <= sample.max() + slack
    assert estimate.n == len(sample)


@given(samples(), st.floats(-50, 50), st.sampled_from(["BCa", "percentile"]))
def test_interval_moves_with_the_sample(sample, shift, kind):
    before = stats.bootstrap(sample, kind=kind, resamples=100)
    after = stats.bootstrap(sample + shift, kind=kind, resamples=100)
    scale = 1e-6 * (1 + np.abs(sample).max())
    if np.ptp(sample) > 1:  # below, rounding of the shifted sample decides which quantile BCa picks
        assert after.low == pytest.approx(before.low + shift, abs=scale)
        assert after.high == pytest.approx(before.high + shift, abs=scale)


@given(pairs())
def test_paired_tests_do_not_depend_on_the_side(pair):
    first, second = pair
    assert stats.sign_flip_test(first, second) == pytest.approx(stats.sign_flip_test(second, first), abs=0.05)
    assert stats.cliffs_delta(first, second) == pytest.approx(-stats.cliffs_delta(second, first))
    assert -1 <= stats.cliffs_delta(first, second) <= 1
    assert 0 < stats.sign_flip_test(first, second) <= 1


@given(pairs(least=2))
def test_one_sided_tests_cover_everything(pair):
    first, second = pair
    total = stats.sign_flip_test(first, second, alternative="greater") + stats.sign_flip_test(
        first, second, alternative="less"
    )
    assert total >= 1 - 1e-9  # the observed arrangement counts in both tails


@given(arrays(np.float64, st.integers(0, 30), elements=st.floats(0, 1)))
def test_corrections_raise_p_values_and_keep_their_order(p_values):
    for adjusted in (stats.holm(p_values), stats.benjamini_hochberg(p_values)):
        assert np.all(adjusted >= p_values - 1e-12)
        assert np.all(adjusted <= 1)
        order = np.argsort(p_values, kind="stable")
        assert np.all(np.diff(adjusted[order]) >= -1e-12)
    assert np.all(stats.holm(p_values) >= stats.benjamini_hochberg(p_values) - 1e-12)


@given(pairs(), st.integers(0, 2**32 - 1))
def test_rank_correlations_see_order_alone(pair, seed):
    first, second = pair
    order = np.random.default_rng(seed).permutation(len(first))
    for correlation in (stats.spearman, stats.kendall_tau):
        value = correlation(first, second)
        np.testing.assert_allclose(value, correlation(second, first))
        np.testing.assert_allclose(value, correlation(first[order], second[order]), atol=1e-12)
        np.testing.assert_allclose(value, correlation(8 * first, second), atol=1e-12)  # doubling thrice is exact
        np.testing.assert_allclose(value, -correlation(-first, second), atol=1e-12)
        assert np.isnan(value) == (np.ptp(first) == 0 or np.ptp(second) == 0)
        assert np.isnan(value) or -1 <= value <= 1


@given(samples(), st.integers(0, 2**32 - 1))
def test_average_precision_is_bounded_and_perfect_for_the_truth_itself(scores, seed):
    truth = np.random.default_rng(seed).uniform(size=len(scores)) < 0.4
    value = stats.average_precision(scores, truth)
    if not truth.any():
        assert np.isnan(value)
        return
    assert 0 < value <= 1
    assert stats.average_precision(truth.astype(float), truth) == 1
    assert stats.average_precision(np.zeros(len(truth)), truth) == pytest.approx(truth.mean())
    assert stats.average_precision(8 * scores, truth) == value


@given(st.integers(6, 20), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_similarities_of_representations_are_symmetric_and_blind_to_rotation(count, features, seed):
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(count, features)), generator.normal(size=(count, 5))
    rotation, _ = np.linalg.qr(generator.normal(size=(features, features)))
    order = generator.permutation(count)
    for similarity in (stats.linear_cka, stats.procrustes_similarity, stats.shape_similarity):
        value = similarity(first, second)
        assert value == pytest.approx(similarity(second, first), abs=1e-8)
        assert value == pytest.approx(similarity(7 * first @ rotation - 3, second), abs=1e-6)
        assert value == pytest.approx(similarity(first[order], second[order]), abs=1e-8)
        assert value <= 1
        assert similarity(first, 0.1 * first @ rotation) == pytest.approx(1, abs=1e-6)
        if similarity is not stats.linear_cka:
            assert value >= 0
    assert 0 <= stats.linear_cka(first, second, debiased=False) <= 1


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_matched_cosine_ignores_order_sign_and_length(first_count, second_count, seed):
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(first_count, 6)), generator.normal(size=(second_count, 6))
    value = stats.matched_cosine(first, second)
    changed = first[generator.permutation(first_count)] * generator.choice([-2.0, 0.5], size=(first_count, 1))
    assert value == pytest.approx(stats.matched_cosine(changed, second))
    assert value == pytest.approx(stats.matched_cosine(second, first))
    assert stats.matched_cosine(changed, first) == pytest.approx(1)
    assert 0 <= value <= min(first_count, second_count) / max(first_count, second_count)


rankings = st.lists(st.integers(0, 12), unique=True, max_size=10)


@given(rankings, rankings, st.floats(0.05, 0.95))
def test_overlaps_are_bounded_and_symmetric(first, second, persistence):
    value = stats.rank_biased_overlap(first, second, persistence=persistence)
    assert 0 <= value <= 1
    assert value == stats.rank_biased_overlap(second, first, persistence=persistence)
    assert stats.rank_biased_overlap(first, first, persistence=persistence) == pytest.approx(1)
    assert stats.jaccard(first, second) == stats.jaccard(second, first)
    if not set(first) & set(second) and (first or second):
        assert value == 0
        assert stats.jaccard(first, second) == 0


@given(pairs(least=1), st.data())
def test_overlap_at_k_is_bounded_and_full_at_the_end(pair, data):
    first, second = pair
    k = data.draw(st.integers(1, len(first)))
    assert 0 <= stats.overlap_at_k(first, second, k=k) <= 1
    assert stats.overlap_at_k(first, second, k=len(first)) == 1
    assert stats.overlap_at_k(first, first, k=k) == 1
