"""How many images a test needs, tests from sums, and Benjamini-Hochberg over what was left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from workbench.interpret.relations.evidence import adjusted, images_needed, intervals, mean_test, student_interval


@given(st.floats(1e-6, 0.99), st.integers(1, 10**6))
def test_the_images_needed_are_just_enough(level, tests):
    count = images_needed(level, tests)
    assert 2.0 ** (1 - count) <= level / tests * (1 + 1e-9)
    assert count == 2 or 2.0 ** (2 - count) > level / tests * (1 - 1e-9)


@given(st.lists(st.floats(-10, 10).filter(lambda x: abs(x) > 1e-3), min_size=3, max_size=40))
def test_means_are_tested_as_scipy_does_but_never_beyond_what_signs_allow(values):
    sample = np.array(values)
    if sample.std() < 1e-3:
        return
    sums = sample.sum(), (sample**2).sum(), len(sample), len(sample)
    least = 2.0 ** (1 - len(sample))
    expected = scipy_stats.ttest_1samp(sample, 0).pvalue
    assert mean_test(*sums) == pytest.approx(max(expected, least), rel=1e-5)
    expected = scipy_stats.ttest_1samp(sample, 0, alternative="greater").pvalue
    assert mean_test(*sums, one_sided=True) == pytest.approx(max(expected, least), rel=1e-5)


def test_a_few_equal_effects_are_not_certain():
    assert mean_test(5.0, 5.0, 5, 5) == 2.0**-4
    assert mean_test(5.0, 5.0, 400, 5) >= 2.0**-4  # zeros say nothing of a sign
    assert mean_test(0.0, 0.0, 400, 0) == 1
    assert mean_test(1.0, 1.0, 1, 1) == 1


def test_left_out_tests_count_as_failed():
    p_values = np.array([0.001, 0.02, np.nan])
    np.testing.assert_allclose(adjusted(p_values, untried=0)[:2], [0.002, 0.02])
    np.testing.assert_allclose(adjusted(p_values, untried=8)[:2], [0.01, 0.1])


def test_intervals_hold_their_means():
    generator = np.random.default_rng(0)
    values = generator.exponential(size=(300, 40))
    values[:, 30:] = np.nan
    mean, low, high = intervals(values, seed=0)
    np.testing.assert_allclose(mean, np.nanmean(values, axis=1))
    assert ((low <= mean) & (mean <= high)).all()
    assert 0.88 < ((low <= 1) & (high >= 1)).mean() < 0.98
    sample = values[0, :30]
    found = student_interval(*(np.array([x]) for x in (sample.sum(), (sample**2).sum(), 30.0)))
    expected = scipy_stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    np.testing.assert_allclose(np.concatenate(found), [sample.mean(), expected.low, expected.high])
