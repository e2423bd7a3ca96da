"""Each selector against a slow loop written from its definition."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.interpret import coreset
from workbench.interpret.coreset.distances import neighbours


@pytest.fixture(params=range(3))
def features(request):
    generator = np.random.default_rng(request.param)
    centres = generator.normal(size=(4, 6)) * 3
    return (centres[generator.integers(0, 4, size=60)] + generator.normal(size=(60, 6))).astype(np.float32)


def run(selector, features, count, **parameters):
    return selector(features, count, generator=np.random.default_rng(0), **parameters)


def test_moderate(features):
    median = np.median(features.astype(float), axis=0)
    distances = np.array([np.sqrt(((row - median) ** 2).sum()) for row in features.astype(float)])
    middle = np.median(distances)
    expected = sorted(range(60), key=lambda index: abs(distances[index] - middle))[:12]
    assert set(run(coreset.moderate, features, 12)) == set(expected)


def test_k_center_greedy(features):
    mean = features.mean(axis=0)
    chosen = [int(np.linalg.norm(features - mean, axis=1).argmin())]
    while len(chosen) < 10:
        nearest = [min(np.linalg.norm(row - features[index]) for index in chosen) for row in features]
        chosen.append(int(np.argmax(nearest)))
    np.testing.assert_array_equal(run(coreset.k_center_greedy, features, 10), chosen)


def test_herding(features):
    rows = features.astype(float) - features.mean(axis=0, dtype=float)
    chosen: list[int] = []
    while len(chosen) < 10:
        errors = [
            np.inf if index in chosen else np.linalg.norm(rows[[*chosen, index]].mean(axis=0)) for index in range(60)
        ]
        chosen.append(int(np.argmin(errors)))
    np.testing.assert_array_equal(run(coreset.herding, features, 10), chosen)


def coverage(features, chosen, scale):
    squared = ((features[:, None] - features[None, chosen]) ** 2).sum(axis=2)
    return np.exp(-squared / scale).max(axis=1).sum()


def test_facility_location_is_greedy(features):
    rows = features.astype(float)
    squared = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    probe = np.random.default_rng(0).choice(60, size=60, replace=False)
    scale = np.median(squared[probe])
    chosen: list[int] = []
    while len(chosen) < 8:
        gains = [-1 if index in chosen else coverage(rows, [*chosen, index], scale) for index in range(60)]
        chosen.append(int(np.argmax(gains)))
    found = run(coreset.facility_location, features, 8)
    for size in range(1, 9):  # two images may add the same but for rounding
        assert coverage(rows, found[:size], scale) == pytest.approx(coverage(rows, chosen[:size], scale), rel=1e-5)
    stochastic = run(coreset.facility_location, features, 8, exact_up_to=10)
    assert coverage(rows, stochastic, scale) > 0.9 * coverage(rows, chosen, scale)


def test_k_medoids_cannot_be_improved_within_clusters(features):
    rows = features.astype(float)
    distances = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=2))
    chosen = run(coreset.k_medoids, features, 4)
    cluster = distances[:, chosen].argmin(axis=1)
    for index, medoid in enumerate(chosen):
        members = np.flatnonzero(cluster == index)
        assert distances[np.ix_(members, members)].sum(axis=1).min() == pytest.approx(
            distances[medoid, members].sum(), rel=1e-5
        )
    assert (np.diff(np.bincount(cluster)) <= 0).all()
    approximate = run(coreset.k_medoids, features, 4, exact_up_to=10)
    assert distances[:, approximate].min(axis=1).sum() < 1.3 * distances[:, chosen].min(axis=1).sum()


def test_d2(features):
    rows = (features - features.mean(axis=0)) / features.std(axis=0)
    distances = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=2))
    beside = [sorted((j for j in range(60) if j != i), key=lambda j: distances[i, j])[:5] for i in range(60)]
    unit = np.median([distances[i, j] for i in range(60) for j in beside[i]])
    score = np.linalg.norm(rows, axis=1)
    rho = [score[i] + sum(np.exp(-distances[i, j] / unit) * score[j] for j in beside[i]) for i in range(60)]
    chosen: list[int] = []
    while len(chosen) < 15:
        best = max((i for i in range(60) if i not in chosen), key=lambda i: rho[i])
        chosen.append(best)
        for j in beside[best]:
            rho[j] -= np.exp(-0.5 * distances[best, j] / unit) * rho[best]
    np.testing.assert_array_equal(run(coreset.d2, features, 15, neighbour_count=5, gamma=0.5), chosen)


def test_kernel_herding(features):
    rows = (features - features.mean(axis=0)) / features.std(axis=0)
    squared = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squared / np.median(squared))

    def discrepancy(chosen):
        return kernel[np.ix_(chosen, chosen)].mean() - 2 * kernel[chosen].mean()

    chosen: list[int] = []
    while len(chosen) < 10:
        errors = [np.inf if index in chosen else discrepancy([*chosen, index]) for index in range(60)]
        chosen.append(int(np.argmin(errors)))
    np.testing.assert_array_equal(run(coreset.kernel_herding, features, 10), chosen)
    estimated = run(coreset.kernel_herding, features, 10, references=30)
    assert discrepancy(estimated) < np.mean(
        [discrepancy(np.random.default_rng(seed).permutation(60)[:10]) for seed in range(20)]
    )


def test_neighbours_are_exact_and_nearly_so_in_cells():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(400, 3)).astype(np.float32)
    distances = ((points[:, None].astype(float) - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1)[:, :5]
    which, far = neighbours(points, 5, exact_up_to=400, generator=generator)
    np.testing.assert_array_equal(which, expected)
    np.testing.assert_allclose(far, np.take_along_axis(distances, expected, axis=1), atol=1e-5)
    which, far = neighbours(points, 5, exact_up_to=100, generator=generator)
    shared = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(which, expected, strict=True)])
    assert shared > 0.6
    known = which >= 0
    np.testing.assert_allclose(far[known], distances[np.nonzero(known)[0], which[known]], atol=1e-5)
