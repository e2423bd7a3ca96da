"""All pairs at once, and rankings against rankings, held to the functions that do one at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr
from scipy import stats as scipy_stats

from workbench import stats
from workbench.errors import InputError, ShapeError


def table(values: np.ndarray) -> xr.DataArray:
    names = [f"method {index}" for index in range(len(values))]
    return xr.DataArray(values, dims=("method", "image"), coords={"method": names})


@pytest.mark.parametrize("images", [9, 40])
def test_pairs_agree_with_one_comparison_at_a_time(images):
    values = np.random.default_rng(0).normal(size=(4, images)) + np.arange(4)[:, None] / 3
    values[1, 2] = values[2, [0, 5]] = np.nan
    found = stats.compare_pairs(table(values), between="method", over="image", resamples=1999)
    p_values = []
    for i, j in itertools.combinations(range(4), 2):
        both = np.isfinite(values[i]) & np.isfinite(values[j])
        one = stats.compare_paired(values[i, both], values[j, both], resamples=1999)
        cell = found.isel(first=i, second=j)
        assert int(cell["n"]) == both.sum() == one.difference.n
        assert float(cell["difference"]) == pytest.approx(one.difference.value, abs=1e-12)
        assert float(cell["p_value"]) == pytest.approx(one.p_value, abs=1e-12)
        assert float(cell["cohens_d"]) == pytest.approx(one.cohens_d)
        assert float(cell["cliffs_delta"]) == pytest.approx(one.cliffs_delta)
        if both.all():  # the resamples are the same ones
            assert float(cell["low"]) == pytest.approx(one.difference.low, abs=1e-12)
            assert float(cell["high"]) == pytest.approx(one.difference.high, abs=1e-12)
        else:
            assert float(cell["low"]) == pytest.approx(one.difference.low, abs=0.25)
        p_values.append(float(cell["p_value"]))
    adjusted = [float(found["adjusted"][i, j]) for i, j in itertools.combinations(range(4), 2)]
    np.testing.assert_allclose(adjusted, stats.holm(p_values))


def test_the_other_way_round_is_the_same_comparison():
    values = np.random.default_rng(1).normal(size=(3, 20))
    found = stats.compare_pairs(table(values), between="method", over="image")
    turned = found.transpose("second", "first")
    for name in ("difference", "cohens_d", "cliffs_delta"):
        np.testing.assert_allclose(found[name].values, -turned[name].values)
    np.testing.assert_allclose(found["low"].values, -turned["high"].values)
    np.testing.assert_array_equal(found["adjusted"].values, turned["adjusted"].values)
    assert np.isnan(np.diag(found["difference"].values)).all()
    upper = np.triu_indices(3, 1)
    assert (found["low"].values[upper] <= found["difference"].values[upper]).all()
    assert (found["difference"].values[upper] <= found["high"].values[upper]).all()


def test_a_pair_that_shares_one_image_has_no_test():
    values = np.array([[1.0, 2, np.nan], [np.nan, 1, 5], [0, 1, 2]])
    found = stats.compare_pairs(table(values), between="method", over="image", resamples=199)
    assert np.isnan(found["p_value"][0, 1])
    assert int(found["n"][0, 1]) == 1
    assert np.isfinite(found["p_value"][0, 2])


def rankings(ties: bool) -> np.ndarray:
    values = np.random.default_rng(2).normal(size=(3, 6, 25))
    return values.round() if ties else values


@pytest.mark.parametrize("ties", [False, True])
def test_rankings_agree_with_scipy(ties):
    values = rankings(ties)
    scores = xr.DataArray(values, dims=("metric", "method", "image"), coords={"metric": ["a", "b", "c"]})
    found = stats.compare_rankings(scores, ranking="metric", between="method", over="image", resamples=199)
    means = values.mean(axis=2)
    for i, j in itertools.product(range(3), repeat=2):
        expected = scipy_stats.kendalltau(means[i], means[j]).statistic
        assert float(found["tau"][i, j]) == pytest.approx(expected, abs=1e-12)
    assert (found["low"] <= found["high"] + 1e-12).all()
    assert int(found["methods"]) == 6
    assert (found["n"] == 25).all()


def test_each_resample_ranks_anew():
    values = rankings(ties=False)
    scores = xr.DataArray(values, dims=("metric", "method", "image"), coords={"metric": ["a", "b", "c"]})
    found = stats.compare_rankings(scores, ranking="metric", between="method", over="image", resamples=150, seed=3)
    draws = np.random.default_rng(3).multinomial(25, np.full(25, 1 / 25), size=150)
    taus = []
    for draw in draws:
        chosen = np.repeat(np.arange(25), draw)
        means = values[:, :, chosen].mean(axis=2)
        taus.append(scipy_stats.kendalltau(means[0], means[1]).statistic)
    expected = np.quantile(taus, [0.025, 0.975])
    np.testing.assert_allclose([found["low"][0, 1], found["high"][0, 1]], expected, atol=1e-9)


def test_the_same_ranking_is_agreed_on_and_its_opposite_is_not():
    values = np.arange(5.0)[:, None] + np.random.default_rng(0).normal(0, 0.01, size=(5, 12))
    scores = xr.DataArray(
        np.stack([values, values * 3 + 1, -values]), dims=("metric", "method", "image"), coords={"metric": list("abc")}
    )
    found = stats.compare_rankings(scores, ranking="metric", between="method", over="image")
    assert float(found["tau"][0, 1]) == pytest.approx(1)
    assert float(found["low"][0, 1]) == pytest.approx(1)
    assert float(found["tau"][0, 2]) == pytest.approx(-1)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ShapeError, match="at least two"):
        stats.compare_pairs(table(np.ones((1, 5))), between="method", over="image")
    with pytest.raises(InputError, match="infinity"):
        stats.compare_pairs(table(np.full((2, 5), np.inf)), between="method", over="image")
    scores = xr.DataArray(np.ones((2, 2, 3)), dims=("metric", "method", "image"), coords={"metric": ["a", "b"]})
    with pytest.raises(InputError, match="resamples"):
        stats.compare_rankings(scores, ranking="metric", between="method", over="image", resamples=10)
    scores[0, 1] = np.nan
    with pytest.raises(InputError, match="entry"):
        stats.compare_rankings(scores, ranking="metric", between="method", over="image")
    with pytest.raises(ShapeError, match="names"):
        stats.compare_rankings(scores.drop_vars("metric"), ranking="metric", between="method", over="image")


def test_a_measure_that_ties_all_methods_agrees_with_none():
    values = np.random.default_rng(0).normal(size=(2, 4, 10))
    values[1] = 1.0
    scores = xr.DataArray(values, dims=("metric", "method", "image"), coords={"metric": ["a", "b"]})
    found = stats.compare_rankings(scores, ranking="metric", between="method", over="image")
    assert np.isnan(found["tau"][0, 1])
    assert float(found["tau"][0, 0]) == pytest.approx(1)
