"""The bootstrap of a ratio of sums against scipy's general bootstrap, and of grouped ratios against a loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from workbench.errors import InputError, NotFiniteError, ShapeError
from workbench.stats import bootstrap_ratio


def sample(count: int = 40, groups: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = generator.integers(0, 4, size=(count, groups)).astype(float)
    return weights * generator.beta(2, 5, size=(count, groups)), weights


def test_one_ratio_and_its_interval_are_those_of_scipy():
    above, below = (table.sum(axis=1) for table in sample())
    keep = below > 0
    peer = scipy_stats.bootstrap(
        (above[keep], below[keep]),
        lambda first, second, axis: first.sum(axis) / second.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=20000,
        rng=np.random.default_rng(1),
    )
    found = bootstrap_ratio(*sample(), resamples=20000)
    assert found.value == pytest.approx(above.sum() / below.sum())
    width = peer.confidence_interval.high - peer.confidence_interval.low
    assert found.low == pytest.approx(peer.confidence_interval.low, abs=0.03 * width)
    assert found.high == pytest.approx(peer.confidence_interval.high, abs=0.03 * width)
    assert found.n == keep.sum()


def test_grouped_ratios_are_averaged_by_their_weights_in_every_resample():
    above, below = sample(count=12)
    shares = np.array([2.0, 0.0, 1.0])
    found = bootstrap_ratio(above, below, group_weights=shares, resamples=4000)

    def statistic(index: np.ndarray) -> float:
        ratios = above[index].sum(axis=0) / below[index].sum(axis=0)
        return float((2 * ratios[0] + ratios[2]) / 3)

    kept = np.flatnonzero((below[:, [0, 2]] > 0).any(axis=1))
    assert found.n == len(kept)
    assert found.value == pytest.approx(statistic(kept))
    generator = np.random.default_rng(5)
    drawn = [statistic(generator.choice(kept, size=len(kept))) for _ in range(4000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.width == pytest.approx(high - low, rel=0.15)  # BCa moves the ends, hardly their distance


def test_a_group_without_weight_in_a_resample_is_left_out():
    above, below = np.array([[0.5, 0.0], [0.2, 0.0], [0.1, 0.9]]), np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    found = bootstrap_ratio(above, below, group_weights=[1.0, 1.0])
    assert found.value == pytest.approx((0.8 / 3 + 0.9) / 2)
    assert 0.1 <= found.low <= found.value <= found.high <= 0.9


def test_equal_ratios_have_no_width_and_one_observation_no_interval():
    below = np.array([[1.0], [3.0], [2.0]])
    flat = bootstrap_ratio(below / 4, below)
    assert (flat.low, flat.value, flat.high) == pytest.approx((0.25, 0.25, 0.25))
    single = bootstrap_ratio(below[:1] / 4, below[:1])
    assert (single.value, single.n) == (0.25, 1)
    assert np.isnan([single.low, single.high]).all()


def test_the_interval_covers_as_often_as_it_says():
    hits = []
    for seed in range(200):
        above, below = sample(count=30, seed=seed)
        found = bootstrap_ratio(above, below, resamples=400, seed=seed)
        hits.append((2 / 7) in found)
    assert 0.89 <= np.mean(hits) <= 0.99


def test_bad_input_is_named():
    above, below = sample(4)
    with pytest.raises(ShapeError, match="expected one shape"):
        bootstrap_ratio(above, below[:3])
    with pytest.raises(ShapeError, match="2 group weights for 3 groups"):
        bootstrap_ratio(above, below, group_weights=[1, 1])
    with pytest.raises(NotFiniteError, match="observation 0"):
        bootstrap_ratio(above * np.nan, below)
    with pytest.raises(InputError, match="negative"):
        bootstrap_ratio(above, below - 9)
    with pytest.raises(InputError, match="nothing to average"):
        bootstrap_ratio(above, below * 0)
    with pytest.raises(InputError, match="resamples 3"):
        bootstrap_ratio(above, below, resamples=3)
