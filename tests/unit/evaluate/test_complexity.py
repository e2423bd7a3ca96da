"""How much of the image a map speaks of: known answers, invariants, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench import evaluate
from workbench.errors import InputError, NotFiniteError, ShapeError

DIMS = ("image", "y", "x")
EVERY = (evaluate.sparseness, evaluate.entropy, evaluate.effective_complexity)


def maps(values) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype=float), dims=DIMS)


def test_a_worked_example():
    heat = maps([[[1, -3], [0, 0]], [[2, 2], [2, 2]], [[0, 0], [0, -7]], [[0, 0], [0, 0]]])
    np.testing.assert_allclose(evaluate.sparseness(heat)["score"], [5 / 8, 0, 3 / 4, 0])
    wanted = [-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)), np.log(4), 0, np.log(4)]
    np.testing.assert_allclose(evaluate.entropy(heat)["score"], wanted)
    np.testing.assert_allclose(evaluate.effective_complexity(heat, threshold=0.5)["score"], [1 / 4, 1, 1 / 4, 1])


@pytest.mark.parametrize("metric", EVERY)
def test_the_result(metric):
    heat = maps(np.random.default_rng(0).normal(size=(5, 6, 7))).assign_coords(image=list("abcde"))
    found = metric(heat.assign_attrs(method="noise"))
    assert found["score"].dims == ("image",)
    assert found["image"].values.tolist() == list("abcde")
    assert float(found["low"]) <= float(found["value"]) <= float(found["high"])
    assert int(found["n"]) == 5
    assert found.attrs["better"] == evaluate.metrics[metric.__name__].card.better
    assert found.attrs["explanation_method"] == "noise"
    xr.testing.assert_identical(found, metric(heat.assign_attrs(method="noise").transpose("x", "image", "y")))
    alone = metric(heat[:1])
    np.testing.assert_allclose(alone["score"], found["score"][:1])
    assert np.isnan(alone["low"])


@given(
    values=arrays.arrays(np.float64, (2, 4, 5), elements=st.floats(-100, 100, allow_subnormal=False)),
    factor=st.floats(0.01, 100),
    metric=st.sampled_from(EVERY),
)
def test_only_proportions_count_and_scores_are_bounded(values, factor, metric):
    values[np.abs(values) < 1e-3] = 0  # so that no product underflows
    score = metric(maps(values))["score"]
    # a pixel just at the threshold may change sides: one in twenty
    slack = 1 / 20 if metric is evaluate.effective_complexity else 0
    np.testing.assert_allclose(metric(maps(-factor * values))["score"], score, atol=slack + 1e-9)
    np.testing.assert_allclose(metric(maps(values[:, ::-1, ::-1]))["score"], score, atol=1e-9)
    top = {"sparseness": 1, "entropy": np.log(20) + 1e-9, "effective_complexity": 1}[metric.__name__]
    assert 0 <= float(score.min()) <= float(score.max()) <= top


@pytest.mark.parametrize("metric", EVERY)
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e300])
def test_tiny_and_huge_maps(metric, scale):
    heat = np.random.default_rng(0).normal(size=(3, 6, 7))
    np.testing.assert_allclose(metric(maps(heat * scale))["score"], metric(maps(heat))["score"])


@pytest.mark.parametrize("metric", EVERY)
def test_bad_input_is_named(metric):
    heat = maps(np.ones((2, 3, 3)))
    with pytest.raises(ShapeError, match="expected a DataArray"):
        metric(heat.values)
    with pytest.raises(ShapeError, match="'photo'"):
        metric(heat.rename(image="photo"))
    with pytest.raises(NotFiniteError, match="image 1"):
        metric(heat.where(xr.DataArray([True, False], dims="image")))
    with pytest.raises(ShapeError, match="empty"):
        metric(heat[:0])


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_bad_thresholds_are_named(threshold):
    with pytest.raises(InputError, match="threshold is"):
        evaluate.effective_complexity(maps(np.ones((2, 3, 3))), threshold=threshold)
