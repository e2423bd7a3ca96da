"""Every fast statistic against scipy, scikit-learn or a slow loop written from the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.linalg import orthogonal_procrustes
from scipy.stats import permutation_test as scipy_permutation_test
from sklearn.metrics import average_precision_score

from workbench import stats


@pytest.fixture
def generator():
    return np.random.default_rng(7)


@pytest.mark.parametrize("kind", ["BCa", "percentile"])
def test_bootstrap_of_the_mean_agrees_with_scipy(generator, kind):
    sample = generator.exponential(size=40)
    ours = stats.bootstrap(sample, kind=kind, resamples=20_000)
    theirs = scipy_stats.bootstrap((sample,), np.mean, method=kind, n_resamples=20_000, rng=np.random.default_rng(1))
    spread = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.value == pytest.approx(sample.mean())
    # two independent draws of 20,000 resamples
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * spread)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * spread)


def test_bootstrap_of_another_statistic_is_scipys(generator):
    sample = generator.normal(size=31)
    ours = stats.bootstrap(sample, statistic=np.median, kind="percentile", resamples=500, seed=3)
    theirs = scipy_stats.bootstrap(
        (sample,), np.median, method="percentile", n_resamples=500, rng=np.random.default_rng(3)
    )
    assert (ours.low, ours.high) == tuple(theirs.confidence_interval)


def test_sign_flip_test_agrees_with_scipy_where_exact(generator):
    first, second = generator.normal(0.4, 1, size=9), generator.normal(size=9)
    for alternative in ("two-sided", "greater", "less"):
        theirs = scipy_permutation_test(
            (first, second),
            lambda a, b: np.mean(a - b),
            permutation_type="samples",
            alternative=alternative,
            n_resamples=np.inf,
        )
        ours = stats.sign_flip_test(first, second, alternative=alternative)
        if alternative == "two-sided":  # scipy doubles the smaller tail, which is the same for a symmetric distribution
            assert ours == pytest.approx(min(theirs.pvalue, 1.0))
        else:
            assert ours == pytest.approx(theirs.pvalue)


def test_permutation_test_agrees_with_enumeration(generator):
    first, second = generator.normal(0.8, 1, size=6), generator.normal(size=7)
    pooled = np.concatenate([first, second])
    differences = []
    for chosen in itertools.combinations(range(13), 6):
        inside = np.zeros(13, dtype=bool)
        inside[list(chosen)] = True
        differences.append(pooled[inside].mean() - pooled[~inside].mean())
    differences = np.array(differences)
    observed = first.mean() - second.mean()
    exact = {
        "greater": (differences >= observed - 1e-12).mean(),
        "less": (differences <= observed + 1e-12).mean(),
    }
    for alternative, expected in exact.items():
        ours = stats.permutation_test(first, second, alternative=alternative, resamples=20_000)
        assert ours == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 20_000))


def test_holm_agrees_with_its_definition(generator):
    p_values = generator.uniform(0, 0.2, size=12)
    adjusted = stats.holm(p_values)
    for index in range(12):
        steps = [(12 - rank) * value for rank, value in enumerate(sorted(p_values)) if value <= p_values[index]]
        assert adjusted[index] == pytest.approx(min(1.0, max(steps)))


def test_benjamini_hochberg_agrees_with_its_definition(generator):
    p_values = generator.uniform(0, 0.2, size=12)
    ordered = sorted(p_values)
    for value, adjusted in zip(p_values, stats.benjamini_hochberg(p_values), strict=True):
        steps = [12 * later / (rank + 1) for rank, later in enumerate(ordered) if later >= value]
        assert adjusted == pytest.approx(min(1.0, min(steps)))


def test_cliffs_delta_agrees_with_all_pairs(generator):
    first, second = generator.integers(0, 6, size=30), generator.integers(0, 6, size=23)
    pairs = [np.sign(a - b) for a in first for b in second]
    assert stats.cliffs_delta(first, second) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlations_agree_with_scipy_row_by_row(generator, ties):
    first, second = generator.normal(size=(6, 50)), generator.normal(size=(6, 50))
    if ties:
        first, second = first.round(), second.round()
    for row in range(6):
        expected = scipy_stats.spearmanr(first[row], second[row]).statistic
        assert stats.spearman(first, second)[row] == pytest.approx(expected, abs=1e-12)
        expected = scipy_stats.kendalltau(first[row], second[row]).statistic
        assert stats.kendall_tau(first, second)[row] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_agrees_with_scikit_learn(generator, ties):
    scores, truth = generator.normal(size=(8, 60)), generator.uniform(size=(8, 60)) < 0.3
    if ties:
        scores = scores.round()
    expected = [average_precision_score(hit, score) for hit, score in zip(truth, scores, strict=True)]
    np.testing.assert_allclose(stats.average_precision(scores, truth), expected, atol=1e-12)


def slow_hsic(first: np.ndarray, second: np.ndarray, debiased: bool) -> float:
    """HSIC of two linear kernels, from explicit matrices (Song et al., equation 5, or the trace with centring)."""
    count = len(first)
    left, right = first @ first.T, second @ second.T
    if not debiased:
        centre = np.eye(count) - 1 / count
        return float(np.trace(left @ centre @ right @ centre))
    left, right = left - np.diag(np.diag(left)), right - np.diag(np.diag(right))
    ones = np.ones(count)
    return float(
        np.trace(left @ right)
        + (ones @ left @ ones) * (ones @ right @ ones) / ((count - 1) * (count - 2))
        - 2 / (count - 2) * (ones @ left @ right @ ones)
    ) / (count * (count - 3))


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("sizes", [(30, 5, 8), (12, 40, 30)])
def test_cka_agrees_with_explicit_kernels(generator, debiased, sizes):
    samples, left, right = sizes
    first = generator.normal(size=(samples, left)) + 3
    second = np.concatenate([first[:, :3], generator.normal(size=(samples, right))], axis=1)
    pairs = ((first, second), (first, first), (second, second))
    between, within_first, within_second = (slow_hsic(a, b, debiased) for a, b in pairs)
    expected = between / np.sqrt(within_first * within_second)
    assert stats.linear_cka(first, second, debiased=debiased) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("sizes", [(40, 6, 6), (10, 25, 25)])
def test_procrustes_agrees_with_the_rotation_that_scipy_finds(generator, sizes):
    samples, left, right = sizes
    first, second = generator.normal(size=(samples, left)), generator.normal(size=(samples, right))
    first, second = first - first.mean(0), second - second.mean(0)
    first, second = first / np.linalg.norm(first), second / np.linalg.norm(second)
    rotation, _ = orthogonal_procrustes(second, first)
    distance = np.linalg.norm(first - second @ rotation)
    assert stats.procrustes_similarity(first, second) == pytest.approx(1 - distance**2 / 2, abs=1e-9)


def test_shape_similarity_agrees_with_its_definition(generator):
    alpha = 0.3
    first, second = generator.normal(size=(50, 4)) @ np.diag([5, 2, 1, 0.3]), generator.normal(size=(50, 4))

    def whitened(values):
        values = values - values.mean(0)
        lengths, vectors = np.linalg.eigh(values.T @ values)
        return values @ (alpha * np.eye(4) + (1 - alpha) * vectors @ np.diag(lengths**-0.5) @ vectors.T)

    scaled = [(values - values.mean(0)) / np.linalg.norm(values - values.mean(0)) * 2 for values in (first, second)]
    left, right = whitened(scaled[0]), whitened(scaled[1])
    rotation, _ = orthogonal_procrustes(right, left)
    angle = np.arccos(np.sum(left * (right @ rotation)) / (np.linalg.norm(left) * np.linalg.norm(right)))
    assert stats.shape_similarity(first, second, alpha=alpha) == pytest.approx(1 - 2 * angle / np.pi, abs=1e-9)


def slow_rank_biased_overlap(first: list, second: list, p: float) -> float:
    """Equation 32 of Webber et al., term by term."""
    short, long = sorted((first, second), key=len)
    s, l = len(short), len(long)  # noqa: E741 - the letters of the equation

    def shared(depth: int) -> int:
        return len(set(short[:depth]) & set(long[:depth]))

    seen = sum(shared(d) / d * p**d for d in range(1, l + 1))
    beyond = sum(shared(s) * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * (seen + beyond) + ((shared(l) - shared(s)) / l + shared(s) / s) * p**l


def test_rank_biased_overlap_agrees_with_the_equation(generator):
    for _ in range(20):
        first = list(generator.permutation(15)[: generator.integers(1, 15)])
        second = list(generator.permutation(15)[: generator.integers(1, 15)])
        expected = slow_rank_biased_overlap(first, second, 0.8)
        assert stats.rank_biased_overlap(first, second, persistence=0.8) == pytest.approx(expected, abs=1e-12)


def test_matching_is_the_best_of_all_permutations(generator):
    first, second = generator.normal(size=(5, 9)), generator.normal(size=(5, 9))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second)]
    cosines = np.abs(unit[0] @ unit[1].T)
    best = max(sum(cosines[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(5)))
    assert stats.matched_cosine(first, second) == pytest.approx(best / 5)
