"""What the statistics give for known input, and what they say to bad input."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from workbench import stats
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError


def test_an_estimate_prints_its_interval_and_count():
    estimate = stats.Estimate(0.5, 0.4, 0.6, 12, 0.95, "BCa bootstrap")
    assert str(estimate) == "0.5 [0.4, 0.6] (n = 12, 95% BCa bootstrap)"
    assert 0.45 in estimate
    assert 0.3 not in estimate
    assert estimate.width == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.5, 0.4, 0.6, 0), "n = 0"),
        ((0.5, 0.4, 0.6, 3, 1.0), "level"),
        ((0.5, 0.7, 0.6, 3), "upside down"),
    ],
)
def test_an_estimate_that_says_nothing_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        stats.Estimate(*arguments)


def test_coverage_of_the_interval_is_near_nominal():
    generator = np.random.default_rng(0)
    hits = sum(
        0.0 in stats.bootstrap(generator.normal(size=50), level=0.9, resamples=400, seed=trial) for trial in range(400)
    )
    # 400 trials at 0.9 have a standard deviation of 0.015; BCa at n = 50 is a point or two short of nominal
    assert 0.84 <= hits / 400 <= 0.94


def test_a_constant_sample_has_an_interval_of_one_point_and_says_so():
    for statistic in (None, np.median):
        estimate = stats.bootstrap([2.0, 2.0, 2.0], statistic=statistic)
        assert (estimate.value, estimate.low, estimate.high) == (2, 2, 2)
        assert "all resamples agree" in estimate.method


def test_pairs_are_resampled_together():
    noise = np.random.default_rng(0).normal(size=60) * 100
    paired = stats.bootstrap_paired(noise + 1, noise)
    assert paired.low == pytest.approx(1)
    assert paired.high == pytest.approx(1)
    ratio = stats.bootstrap_paired(
        noise * 3, noise, statistic=lambda a, b, axis: np.std(a, axis=axis) / np.std(b, axis=axis), resamples=200
    )
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3, 3, 3))


def test_bootstrap_dataset_is_the_single_bootstrap_in_every_column():
    values = xr.DataArray(
        np.random.default_rng(0).exponential(size=(3, 30, 2)),
        dims=("method", "image", "metric"),
        coords={"method": ["a", "b", "c"], "image": range(30)},
    )
    table = stats.bootstrap_dataset(values, over="image", resamples=500, seed=5)
    assert table["value"].dims == ("method", "metric")
    assert list(table["method"].values) == ["a", "b", "c"]
    single = stats.bootstrap(values.sel({"method": "b"}).isel(metric=1), resamples=500, seed=5)
    entry = table.sel({"method": "b"}).isel(metric=1)
    assert float(entry["low"]) == pytest.approx(single.low)
    assert float(entry["high"]) == pytest.approx(single.high)
    assert int(entry["n"]) == 30


def test_bootstrap_dataset_leaves_missing_observations_out():
    values = xr.DataArray([[1.0, np.nan, 3.0], [np.nan, np.nan, 5.0], [np.nan] * 3], dims=("method", "image"))
    table = stats.bootstrap_dataset(values, over="image", kind="percentile")
    np.testing.assert_array_equal(table["n"], [2, 1, 0])
    np.testing.assert_array_equal(table["value"], [2, 5, np.nan])
    np.testing.assert_array_equal(table["low"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(table["high"], [3, np.nan, np.nan])


def test_compare_paired_reports_difference_p_and_effects():
    generator = np.random.default_rng(1)
    base = generator.normal(size=40)
    found = stats.compare_paired(base + 0.5 + 0.2 * generator.normal(size=40), base)
    assert found.difference.low > 0.3
    assert found.p_value == pytest.approx(1e-4)  # the smallest that 9999 resamples can give
    assert found.cohens_d > 1.5
    assert "p = " in str(found)
    same = stats.compare_paired(base, base, test="wilcoxon")
    assert (same.p_value, same.cohens_d) == (1, 0)


def test_effects_of_known_samples():
    assert stats.cohens_d([1, 2, 3], [0, 1, 2]) == pytest.approx(1)
    assert stats.cohens_d([1, 1], [0, 0]) == np.inf
    assert stats.cohens_d([1, 2, 4], [0, 0, 1], paired=True) == pytest.approx(2 / 1)
    assert stats.cliffs_delta([3, 4], [1, 2]) == 1
    assert stats.cliffs_delta([1, 1], [1, 1]) == 0


def test_corrections_leave_tests_that_were_not_made_alone():
    p_values = np.array([[0.01, np.nan], [0.04, 0.03]])
    np.testing.assert_allclose(stats.holm(p_values), [[0.03, np.nan], [0.06, 0.06]])
    np.testing.assert_allclose(stats.benjamini_hochberg(p_values), [[0.03, np.nan], [0.04, 0.04]])


def test_unrelated_wide_representations_are_alike_to_the_biased_cka_alone():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(30, 2000)), generator.normal(size=(30, 2000))
    assert stats.linear_cka(first, second, debiased=False) > 0.9
    assert abs(stats.linear_cka(first, second)) < 0.05


def test_shape_similarity_at_its_ends():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(40, 5)), generator.normal(size=(40, 5))
    cosine = stats.procrustes_similarity(first, second)
    assert stats.shape_similarity(first, second, alpha=1) == pytest.approx(1 - 2 * np.arccos(cosine) / np.pi)
    skew = generator.normal(size=(5, 5))
    assert stats.shape_similarity(first, first @ skew, alpha=0) == pytest.approx(1, abs=1e-6)
    assert stats.shape_similarity(first, first @ skew, alpha=1) < 0.95


def test_constant_representations_have_no_similarity():
    varied = np.random.default_rng(0).normal(size=(10, 3))
    for constant in (np.ones((10, 3)), np.full((10, 3), 0.1), np.zeros((10, 3))):
        for similarity in (stats.linear_cka, stats.procrustes_similarity, stats.shape_similarity):
            assert np.isnan(similarity(constant, varied))
            assert np.isnan(similarity(varied, constant))


def test_overlap_takes_the_earlier_of_equal_scores():
    assert stats.overlap_at_k([1, 1, 0], [1, 0, 1], k=1) == 1
    np.testing.assert_allclose(stats.overlap_at_k([[3, 2, 1], [3, 2, 1]], [[3, 1, 2], [1, 2, 3]], k=2), [0.5, 0.5])


def test_directions_without_a_partner_count_nothing():
    assert stats.matched_cosine([[1, 0], [0, 1]], [[0, -3]]) == 0.5
    assert stats.matched_cosine([[0, 0]], [[0, -3]]) == 0
    np.testing.assert_allclose(stats.cosine([[1, 0], [1e-300, 0]], [[1, 1], [-1, 0]]), [np.sqrt(0.5), -1])
    assert np.isnan(stats.cosine([0, 0], [1, 0]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: stats.bootstrap([1.0]), ShapeError, "at least two"),
        (lambda: stats.bootstrap([[1.0, 2.0]]), ShapeError, "dimensions"),
        (lambda: stats.bootstrap([1.0, np.nan]), NotFiniteError, "observation 1"),
        (lambda: stats.bootstrap([1.0, 2.0], kind="basic"), InputError, "basic"),
        (lambda: stats.bootstrap([1.0, 2.0], level=95), InputError, "level is 95"),
        (lambda: stats.bootstrap([1.0, 2.0], resamples=5), InputError, "resamples is 5"),
        (lambda: stats.bootstrap_paired([1.0, 2.0], [1.0, 2.0, 3.0]), ShapeError, "equally many"),
        (lambda: stats.bootstrap_dataset(xr.DataArray([1.0, 2.0], dims="a"), over="image"), ShapeError, "'image'"),
        (lambda: stats.bootstrap_dataset(xr.DataArray([1.0, np.inf], dims="a"), over="a"), InputError, "infinity"),
        (lambda: stats.compare_paired([1, 2], [3, 4], test="t"), InputError, "Unknown paired test 't'"),
        (lambda: stats.sign_flip_test([1, 2], [3, 4], alternative="both"), InputError, "'both'"),
        (lambda: stats.permutation_test([1], [3, 4]), ShapeError, "at least two"),
        (lambda: stats.permutation_test([1, 2], [3, 4], resamples=0), InputError, "resamples is 0"),
        (lambda: stats.cohens_d([1], [3, 4]), ShapeError, "no spread"),
        (lambda: stats.holm([0.5, 1.5]), InputError, "1.5"),
        (lambda: stats.spearman([1, 2, 3], [1, 2]), ShapeError, "shape"),
        (lambda: stats.spearman(np.ones((2, 3)), np.ones((4, 3))), ShapeError, "broadcast"),
        (lambda: stats.spearman([1, np.nan], [1, 2]), NotFiniteError, "first"),
        (lambda: stats.spearman(["a", "b"], [1, 2]), InputError, "dtype"),
        (lambda: stats.average_precision([0.1, 0.2], [0.0, 1.0]), DtypeError, "float64"),
        (lambda: stats.average_precision([0.1, 0.2], [0, 2]), DtypeError, "0 or 1"),
        (lambda: stats.average_precision([0.1, 0.2], [True]), ShapeError, "shape"),
        (lambda: stats.average_precision([0.1, np.inf], [True, False]), NotFiniteError, "scores"),
        (lambda: stats.linear_cka(np.ones((5, 2)), np.ones((6, 2))), ShapeError, "same samples"),
        (lambda: stats.linear_cka(np.ones((3, 2)), np.ones((3, 2))), ShapeError, "at least 4"),
        (lambda: stats.shape_similarity(np.ones((5, 2)), np.ones((5, 2)), alpha=2), InputError, "alpha is 2"),
        (lambda: stats.overlap_at_k([1, 2], [1, 2], k=3), InputError, "k is 3"),
        (lambda: stats.overlap_at_k([1, 2], [1], k=1), ShapeError, "shape"),
        (lambda: stats.rank_biased_overlap([1, 1], [2]), InputError, "more than once"),
        (lambda: stats.rank_biased_overlap([1], [2], persistence=1), InputError, "persistence is 1"),
        (lambda: stats.match_directions(np.ones((2, 3)), np.ones((2, 4))), ShapeError, "features"),
        (lambda: stats.cosine([np.nan], [1.0]), NotFiniteError, "NaN"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_room_does_not_import_torch():
    code = "import sys, workbench.stats; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
