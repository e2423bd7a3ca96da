"""The solver of relevant units against a generic convex solver, and its projection against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize as generic_minimise
from scipy.optimize import nnls

from workbench.interpret.budget import minimise, project


def objective(gram, product, weights):
    return weights @ gram @ weights - 2 * product @ weights


def generic(gram, product, budget):
    """Sequential quadratic programming from several starts, with exact derivatives, brought within the bounds.

    It leaves the bounds by some 1e-8, which a steep objective rewards by more than the tolerance of the test.
    """
    best = None
    for start in (np.zeros(len(gram)), np.full(len(gram), budget / len(gram))):
        found = generic_minimise(
            lambda w: objective(gram, product, w),
            start,
            jac=lambda w: 2 * (gram @ w - product),
            bounds=[(0, None)] * len(gram),
            constraints={"type": "ineq", "fun": lambda w: budget - w.sum(), "jac": lambda w: -np.ones(len(w))},
            method="SLSQP",
            options={"maxiter": 2000, "ftol": 1e-15},
        )
        inside = np.maximum(found.x, 0)
        inside *= min(1, budget / max(inside.sum(), 1e-300))
        value = objective(gram, product, inside)
        best = (value, inside) if best is None or value < best[0] else best
    return best


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget", [0.01, 0.3, 2.0, 50.0])
@pytest.mark.parametrize("images", [9, 60])
def test_the_objective_is_that_of_a_generic_solver(seed, budget, images):
    generator = np.random.default_rng(seed)
    units, categories = 14, 3
    features = np.abs(generator.normal(size=(images, units))) * generator.uniform(0.2, 3, size=units)
    if seed % 2:
        features[:, 3] = features[:, 5]  # a copied unit: the Gram matrix is singular
    member = np.eye(categories)[generator.integers(0, categories, size=images)]
    gram, products = features.T @ features, features.T @ member
    solution = minimise(gram, products, budget=budget)
    for category in range(categories):
        expected, point = generic(gram, products[:, category], budget)
        weights = solution.weights[:, category]
        assert weights.min() >= 0
        assert weights.sum() <= budget * (1 + 1e-12)
        assert objective(gram, products[:, category], weights) <= expected + 1e-6
        assert objective(gram, products[:, category], weights) >= expected - 1e-6
        if images > units and seed % 2 == 0:  # positive definite: the minimum is one point
            np.testing.assert_allclose(weights, point, atol=1e-4)


def test_without_a_binding_budget_it_is_non_negative_least_squares():
    generator = np.random.default_rng(0)
    features, wanted = np.abs(generator.normal(size=(50, 10))), generator.uniform(size=50)
    expected, _ = nnls(features, wanted)
    solution = minimise(features.T @ features, (features.T @ wanted)[:, None], budget=1e6)
    np.testing.assert_allclose(solution.weights[:, 0], expected, atol=1e-8)


def test_the_gap_bounds_the_distance_to_the_minimum():
    generator = np.random.default_rng(1)
    features = np.abs(generator.normal(size=(40, 12)))
    gram, product = features.T @ features, features.T @ generator.uniform(size=40)
    exact = minimise(gram, product[:, None], budget=0.2)
    for steps in (1, 3, 10):
        rough = minimise(gram, product[:, None], budget=0.2, iterations=steps, tolerance=0.0)
        excess = objective(gram, product, rough.weights[:, 0]) - objective(gram, product, exact.weights[:, 0])
        assert -1e-9 <= excess <= rough.gaps[0] + 1e-9


@given(st.integers(1, 12), st.integers(1, 4), st.floats(0.01, 20), st.integers(0, 2**32 - 1))
def test_the_projection_is_the_nearest_point(units, categories, budget, seed):
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(units, categories)) * 3
    found = project(points, budget)
    assert found.min() >= 0
    assert found.sum(axis=0).max() <= budget * (1 + 1e-9)
    # the nearest point of a convex set: every other point of the set lies behind the plane through it
    for column in range(categories):
        corners = np.vstack([np.zeros(units), budget * np.eye(units)])
        behind = (corners - found[:, column]) @ (points[:, column] - found[:, column])
        assert behind.max() <= 1e-9 * (1 + np.abs(points).max() * budget)
