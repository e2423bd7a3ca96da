"""Tails, moments and edges against slow forms: tables by scipy, permutations one by one, pairs in loops."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from workbench.interpret import MemoryActivations
from workbench.interpret.relations import association_edges, spatial_edges
from workbench.interpret.relations.chance import (
    PlaneMoments,
    fisher_tail,
    least_fisher_tail,
    permutation_moments,
    permutation_tail,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fisher_tail_is_that_of_scipy(data):
    total = data.draw(st.integers(4, 400))
    first, second = data.draw(st.integers(1, total - 1)), data.draw(st.integers(1, total - 1))
    low, high = max(0, first + second - total), min(first, second)
    both = data.draw(st.integers(low, high))
    found = fisher_tail(np.array([both]), np.array([first]), np.array([second]), total)[0]
    table = [[both, first - both], [second - both, total - first - second + both]]
    expected = scipy_stats.fisher_exact(table, alternative="greater").pvalue
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-300)
    least = least_fisher_tail(np.array([first]), np.array([second]), total)[0]
    best = [[high, first - high], [second - high, total - first - second + high]]
    assert least == pytest.approx(scipy_stats.fisher_exact(best, alternative="greater").pvalue, rel=1e-7)


def plane(points: np.ndarray) -> PlaneMoments:
    """(image, 2) centred points to sums of products, of one edge."""
    return PlaneMoments(
        np.einsum("ia,ib->ab", points, points)[..., None],
        np.einsum("ia,ib,ic->abc", points, points, points)[..., None],
        np.einsum("ia,ib,ic,id->abcd", points, points, points, points)[..., None],
    )


def centred(points: np.ndarray) -> np.ndarray:
    return points - points.mean(axis=0)


@pytest.mark.parametrize("count", [4, 5, 7])
def test_moments_are_those_of_all_permutations(count):
    generator = np.random.default_rng(count)
    first, second = (centred(generator.exponential(size=(count, 2))) for _ in range(2))
    sums = np.array([(first * second[list(order)]).sum() for order in permutations(range(count))])
    found = permutation_moments(np.array([float(count)]), plane(first), plane(second))
    assert sums.mean() == pytest.approx(0, abs=1e-10)
    assert found.variance[0] == pytest.approx((sums**2).mean())
    assert found.skewness[0] == pytest.approx((sums**3).mean() / (sums**2).mean() ** 1.5)
    assert found.kurtosis[0] == pytest.approx((sums**4).mean() / (sums**2).mean() ** 2)


@pytest.mark.parametrize("drawn", ["uniform", "clusters", "outliers"])
@pytest.mark.parametrize("count", [10, 60])
def test_the_fitted_tail_follows_sampled_permutations(drawn, count):
    generator = np.random.default_rng(7)

    def points() -> np.ndarray:
        if drawn == "uniform":
            return centred(generator.uniform(0, 30, size=(count, 2)))
        if drawn == "clusters":
            return centred(generator.integers(0, 2, size=(count, 2)) * 20.0 + generator.normal(size=(count, 2)))
        return centred(generator.standard_t(3, size=(count, 2)) * 5)

    first, second = points(), points()
    orders = generator.permuted(np.tile(np.arange(count), (60_000, 1)), axis=1)
    sums = np.einsum("ia,pia->p", first, second[orders])
    moments = permutation_moments(np.array([float(count)]), plane(first), plane(second))
    for level in (0.5, 0.1, 0.01, 0.001):
        at = np.quantile(sums, 1 - level)
        found = permutation_tail(np.array([at]), moments)[0]
        sampled = (sums >= at).mean()
        # three standard errors of sampling, and a quarter for the fit
        slack = 3 * np.sqrt(sampled / len(sums)) + 0.25 * sampled
        assert found >= sampled - slack
        # heavy tails are bounded from above on purpose, and ten images in four clusters have few different sums
        coarse = drawn == "outliers" or (drawn == "clusters" and count == 10)
        assert found <= (2.5 if coarse else 1) * sampled + slack


def random_store(seed: int = 0) -> MemoryActivations:
    """Two layers of sparse maps of different sizes, in which some units follow others at a distance."""
    generator = np.random.default_rng(seed)
    images, rows = 60, 8
    first, second = np.zeros((images, 3, rows, rows)), np.zeros((images, 4, rows // 2, rows // 2))
    for image in range(images):
        for unit in range(3):
            if generator.uniform() < 0.7:
                row, column = generator.integers(0, (rows, rows - 2))
                first[image, unit, row, column] = generator.uniform(0.5, 1)
                if unit < 2 and generator.uniform() < 0.8:
                    second[image, unit, row // 2, column // 2 + 1] = generator.uniform(0.5, 1)
        second[image, 2:] = generator.uniform(size=(2, 4, 4))
    dims = ("image", "unit", "y", "x")
    return MemoryActivations({"a": xr.DataArray(first, dims=dims), "b": xr.DataArray(second, dims=dims)})


def active_of(maps: np.ndarray) -> np.ndarray:
    """(image, unit), written out."""
    result = np.zeros(maps.shape[:2], dtype=bool)
    for unit in range(maps.shape[1]):
        heights = np.array([maps[image, unit].max() for image in range(len(maps))])
        threshold = np.quantile(heights, 0.8)
        result[:, unit] = [height >= threshold and height > heights.min() for height in heights]
    return result


def test_association_is_that_of_counting():
    store = random_store()
    active = {layer: active_of(store.maps[layer].values.astype(np.float32)) for layer in "ab"}
    graph = association_edges(store, pairs=[("a", "b")])
    assert len(graph) == 12
    for edge in graph:
        first, second = active["a"][:, edge.source_unit], active["b"][:, edge.target_unit]
        table = [[sum(x & y for x, y in zip(first == p, second == q, strict=True)) for q in (1, 0)] for p in (1, 0)]
        both, n = table[0][0], len(first)
        lift = (both + 0.5) * (n + 0.5) / ((first.sum() + 0.5) * (second.sum() + 0.5))
        assert edge.images == both
        assert edge.effect == pytest.approx(np.log2(lift))
        assert edge.p_value == pytest.approx(scipy_stats.fisher_exact(table, alternative="greater").pvalue)


def soft_place(maps: np.ndarray, size: float) -> np.ndarray:
    """y and x of one map's soft maximum in pixels, written out."""
    row, column = np.unravel_index(maps.argmax(), maps.shape)
    around = {
        (r, c): maps[r, c]
        for r in range(row - 1, row + 2)
        for c in range(column - 1, column + 2)
        if 0 <= r < maps.shape[0] and 0 <= c < maps.shape[1]
    }
    lowest = min(around.values())
    total = sum(value - lowest for value in around.values())
    mean = [sum(place[axis] * (value - lowest) for place, value in around.items()) / total for axis in (0, 1)]
    return (np.array(mean) + 0.5) * size / maps.shape[0] - 0.5


def test_spatial_edges_are_those_of_permuting_images():
    store, size = random_store(), 32
    graph = spatial_edges(store, SimpleNamespace(input_shape=(3, size, size)), pairs=[("a", "b")], quantile=0.3)
    maps = {layer: store.maps[layer].values.astype(np.float32) for layer in "ab"}
    generator = np.random.default_rng(0)
    followed = 0
    for edge in graph:
        heights = [maps["a"][:, edge.source_unit].max((1, 2)), maps["b"][:, edge.target_unit].max((1, 2))]
        active = [(each >= np.quantile(each, 0.3)) & (each > each.min()) for each in heights]
        both = np.flatnonzero(active[0] & active[1])
        first = np.array([soft_place(maps["a"][image, edge.source_unit], size) for image in both])
        second = np.array([soft_place(maps["b"][image, edge.target_unit], size) for image in both])
        traces = []
        for _ in range(4000):
            drawn = second[generator.permutation(len(both))] - first
            traces.append(drawn.var(axis=0).sum())
        observed = (second - first).var(axis=0).sum()
        assert edge.images == len(both)
        assert edge.effect == pytest.approx(1 - observed / np.mean(traces), abs=0.02)
        assert [edge.offset_y, edge.offset_x] == pytest.approx(np.median(second - first, axis=0), abs=1e-4)
        sampled = (np.sum(np.array(traces) <= observed + 1e-9) + 1) / 4001
        assert edge.p_value == pytest.approx(sampled, rel=0.25, abs=0.012)
        if edge.source_unit == edge.target_unit < 2:
            followed += 1
            assert edge.p_value < 0.01
    assert followed == 2
