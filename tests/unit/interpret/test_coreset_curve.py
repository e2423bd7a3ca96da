"""The coreset curve: the split design, its numbers from a hand-made subject, resuming, workers, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError, StoreMismatchError, UnknownNameError
from workbench.interpret import coreset

QUICK = {"fractions": (0.1, 0.5, 1.0), "splits": 3, "random_draws": 2, "progress": False}


@given(st.lists(st.integers(2, 9), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_halves_share_no_image_and_hold_half_of_each_category(sizes, seed):
    category = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    first, second = coreset.split_halves(category, np.random.default_rng(seed))
    assert not set(first) & set(second)
    assert len(first) + len(second) == len(category)
    halves = np.bincount(category[first], minlength=len(sizes)), np.bincount(category[second], minlength=len(sizes))
    assert set((halves[0] - halves[1]).tolist()) <= {0, 1}


@pytest.mark.parametrize("method", ["relevant_units", "concepts"])
def test_the_curve_of_a_method(planted, method):
    options = {"count": 3} if method == "concepts" else {"units_per_category": 2}
    curve = coreset.coreset_curve(
        method, planted.store, ("random", "k_center_greedy", "moderate"), labels="true", **QUICK, **options
    )
    assert curve["score"].dims == ("split", "selector", "fraction")
    # all of A is all of A, whoever chooses
    np.testing.assert_allclose(curve["score"].sel(fraction=1.0), curve["ceiling"].expand_dims(selector=3).T, rtol=1e-3)
    assert (curve["ceiling"] > curve["floor"] + 0.3).all()
    assert float(curve["value"].sel(fraction=1.0).min()) > 0.99
    assert (curve["enough"].dropna("selector") <= 1).all()
    np.testing.assert_array_equal(curve["images"], [6, 30, 60])
    assert curve["p_value"].sel(selector="random").isnull().all()
    assert curve["p_value"].sel(selector="moderate").notnull().all()


@pytest.mark.parametrize(
    ("method", "needs", "options"),
    [("rules", "heatmaps", {"size": 6, "top_units": 4}), ("dissect", "masks", {"quantile": 0.95})],
)
def test_methods_that_need_more_say_so(planted, method, needs, options):
    with pytest.raises(InputError, match=needs):
        coreset.coreset_curve(method, planted.store, labels="true", **QUICK)
    given_ = {"heatmaps": planted.masks.any("part").astype(float), "masks": planted.masks}[needs]
    curve = coreset.coreset_curve(
        method, planted.store, ("random",), labels="true", **QUICK, **options, **{needs: given_}
    )
    assert float(curve["ceiling"].mean()) > float(curve["floor"].mean())
    np.testing.assert_allclose(curve["score"].sel(fraction=1.0, selector="random"), curve["ceiling"], rtol=1e-6)


def counting_subject(calls: list[int]) -> coreset.Subject:
    """An interpretation that is one number, whose similarity is known: the share of images that it rests on."""
    category = np.repeat([0, 1], 50)

    def interpret(indices, weights):
        calls.append(len(indices))
        return np.array([[len(indices) / 50]])

    return coreset.Subject(
        "count", interpret, lambda a, b: float(min(a.item(), b.item())), lambda result, _: result * 0.2, category
    )


def test_numbers_follow_from_the_similarities(planted):
    store = planted.store
    features = np.random.default_rng(0).normal(size=(100, 2, 1, 1)).astype(np.float32)
    maps = {"layer": xr.DataArray(features, dims=("image", "unit", "y", "x"))}
    store = type(store)(maps, ("a", "b"), np.repeat([0, 1], 50))
    curve = coreset.coreset_curve(
        counting_subject([]), store, ("random", "herding"), labels="true", **{**QUICK, "fractions": (0.2, 0.6, 1.0)}
    )
    np.testing.assert_allclose(curve["ceiling"], 1)
    np.testing.assert_allclose(curve["floor"], 0.2)
    np.testing.assert_allclose(curve["value"].sel(selector="herding"), [0, 0.5, 1], atol=0.02)
    np.testing.assert_allclose(curve["area"], 0.5, atol=0.02)
    np.testing.assert_array_equal(curve["enough"], [1, 1])
    np.testing.assert_allclose(curve["against_random"], 0)
    np.testing.assert_array_equal(curve["area_p_value"].sel(selector="herding"), 1)


def test_a_floor_that_touches_the_ceiling_leaves_the_score_undefined():
    from workbench.interpret.coreset.curve import summarise

    curve = xr.Dataset(
        {
            "score": (("split", "selector", "fraction"), np.full((3, 1, 2), 0.5)),
            "ceiling": ("split", [0.5, 0.52, 0.6]),
            "floor": ("split", [0.48, 0.5, 0.4]),
        },
        coords={"selector": ["random"], "fraction": [0.1, 0.2]},
    )
    found = summarise(curve)
    np.testing.assert_array_equal(found["n"], [[1, 1]])
    assert found["normalised"][:2].isnull().all()
    np.testing.assert_allclose(found["normalised"][2], 0.5)


def test_one_worker_and_four_agree(planted):
    first, second = (
        coreset.coreset_curve(
            "relevant_units", planted.store, ("random", "k_medoids"), labels="true", workers=workers, **QUICK
        )
        for workers in (1, 4)
    )
    xr.testing.assert_equal(first, second)


def test_what_was_computed_is_not_computed_again(planted, tmp_path):
    calls: list[int] = []
    path = tmp_path / "curve.jsonl"
    store = planted.store
    labels = counting_subject([]).category
    maps = {"activation": store.maps["activation"][:100].drop_vars("image", errors="ignore")}
    small = type(store)(maps, store.categories, labels)
    first = coreset.coreset_curve(counting_subject(calls), small, ("random",), path=path, **QUICK)
    full = len(calls)
    lines = path.read_text().splitlines()
    assert len(lines) == 1 + 3 * 3 * 2
    # as a crash leaves it: some results missing, one cut off in the middle
    path.write_text("\n".join(lines[:10]) + "\n" + lines[10][:15])
    calls.clear()
    again = coreset.coreset_curve(counting_subject(calls), small, ("random",), path=path, **QUICK)
    xr.testing.assert_equal(first, again)
    assert len(calls) == full - 9
    with pytest.raises(StoreMismatchError, match="another curve"):
        coreset.coreset_curve(counting_subject([]), small, ("random",), path=path, seed=1, **QUICK)


def test_weights_reach_the_method(planted):
    options = {"labels": "true", "units_per_category": 2, **QUICK}
    plain, weighted = (
        coreset.coreset_curve("relevant_units", planted.store, ("k_center_greedy",), weighted=each, **options)
        for each in (False, True)
    )
    part = {"selector": "k_center_greedy", "fraction": 0.1}
    assert (plain["score"].sel(part) != weighted["score"].sel(part)).any()
    with pytest.raises(InputError, match="weighted=False"):
        coreset.coreset_curve("concepts", planted.store, ("random",), labels="true", weighted=True, count=2, **QUICK)


@pytest.mark.parametrize("similarity", ["cosine", "jaccard", "overlap", "rank biased overlap"])
def test_similarities_of_units(planted, similarity):
    prepared = coreset.subject("relevant_units", planted.store, labels="true", similarity=similarity)
    result = prepared.interpret(np.arange(120), None)
    assert prepared.similarity(result, result) == pytest.approx(1)
    shuffled = prepared.chance(result, np.random.default_rng(0))
    assert prepared.similarity(result, shuffled) < 0.8
    np.testing.assert_allclose(np.sort(result, axis=1), np.sort(shuffled, axis=1))


def test_bad_input_is_named(planted):
    for bad in ({"fractions": (0.0, 0.5)}, {"fractions": (0.5, 1.2)}, {"fractions": ()}):
        with pytest.raises(InputError, match="fractions"):
            coreset.coreset_curve("relevant_units", planted.store, **{**QUICK, **bad})
    with pytest.raises(InputError, match="splits is 1"):
        coreset.coreset_curve("relevant_units", planted.store, **{**QUICK, "splits": 1})
    with pytest.raises(UnknownNameError, match="relevant_units"):
        coreset.coreset_curve("relevant_unit", planted.store, **QUICK)
    with pytest.raises(UnknownNameError, match="moderate"):
        coreset.coreset_curve("relevant_units", planted.store, ("moderat",), **QUICK)
    with pytest.raises(UnknownNameError, match="jaccard"):
        coreset.coreset_curve("relevant_units", planted.store, similarity="jacard", **QUICK)
    alone = np.where(np.arange(120) == 5, 2, np.arange(120) % 2)
    with pytest.raises(InputError, match="category 2 has a single image"):
        coreset.coreset_curve("relevant_units", planted.store, labels=alone, **QUICK)
