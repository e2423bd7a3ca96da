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


def test_images_without_a_part_say_nothing_of_any_unit(planted):
    masks = planted.masks.copy()
    masks[:30] = False
    prepared = coreset.subject("dissect", planted.store, labels="true", masks=masks, quantile=0.95)
    nothing = prepared.interpret(np.arange(10), None)
    assert nothing.shape == (16, 3)
    assert not nothing.any()
    weights = np.r_[np.ones(10), np.zeros(10)]
    assert not prepared.interpret(np.r_[np.arange(10), np.arange(30, 40)], weights).any()
    assert prepared.interpret(np.arange(25, 40), None).any()


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
    lines = path.read_text().splitlines()
    assert len(lines) == 1 + 3 * 2 + 3 * 3 * 2
    calls.clear()
    xr.testing.assert_equal(
        first, coreset.coreset_curve(counting_subject(calls), small, ("random",), path=path, **QUICK)
    )
    assert not calls
    # as a crash leaves it: some results missing, one cut off in the middle
    path.write_text("\n".join(lines[:16]) + "\n" + lines[16][:15])
    calls.clear()
    again = coreset.coreset_curve(counting_subject(calls), small, ("random",), path=path, **QUICK)
    xr.testing.assert_equal(first, again)
    # half of the coresets, and what the two splits that are not complete are compared with
    assert len(calls) == 9 + 2
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


@pytest.mark.parametrize("method", ["relevant_units", "concepts", "rules", "dissect"])
def test_the_target_aware_selector_reads_for_the_method(planted, method):
    options = {
        "relevant_units": {"units_per_category": 2},
        "concepts": {"count": 3, "iterations": 50},
        "rules": {"heatmaps": planted.masks.any("part").astype(float), "size": 6, "top_units": 4},
        "dissect": {"masks": planted.masks, "quantile": 0.95},
    }[method]
    curve = coreset.coreset_curve(method, planted.store, ("target_aware",), labels="true", **QUICK, **options)
    assert '"target_aware": "reading"' in curve.attrs["pools"]
    aware = curve.sel(selector="target_aware")
    np.testing.assert_allclose(aware["score"].sel(fraction=1.0), curve["ceiling"], atol=0.05)
    half = curve["value"].sel(fraction=0.5)
    # where half of the images at random give little, as in dissecting the planted network, more than they give
    assert float(half.sel(selector="target_aware")) > min(0.8, float(half.sel(selector="random")))
    pooled = coreset.coreset_curve(
        method,
        planted.store,
        ("target_aware",),
        labels="true",
        pools={"target_aware": "max"},
        **{**QUICK, "splits": 2},
        **options,
    )
    assert '"target_aware": "max"' in pooled.attrs["pools"]


@pytest.mark.parametrize("similarity", ["heatmap iou", "heatmap spearman"])
@pytest.mark.parametrize("method", ["relevant_units", "concepts", "dissect"])
def test_what_two_interpretations_mark_on_images_held_out(planted, method, similarity):
    options = {"masks": planted.masks, "quantile": 0.95} if method == "dissect" else {}
    if method == "concepts":
        options = {"count": 3, "iterations": 50}
    prepared = coreset.subject(method, planted.store, labels="true", similarity=similarity, **options)
    held = np.flatnonzero(prepared.category < 0)
    assert 3 <= len(held) <= 32
    assert prepared.facts["held_out"] == held.tolist()
    result = prepared.interpret(np.flatnonzero(prepared.category >= 0), None)
    assert prepared.similarity(result, result) == pytest.approx(1)
    shuffled = prepared.chance(result, np.random.default_rng(0))
    assert prepared.similarity(result, shuffled) < 0.9
    chosen = coreset.subject(
        method, planted.store, labels="true", similarity=similarity, held_out=[3, 40, 90], **options
    )
    np.testing.assert_array_equal(np.flatnonzero(chosen.category < 0), [3, 40, 90])
    curve = coreset.coreset_curve(chosen, planted.store, ("random",), labels="true", **QUICK)
    assert float(curve["images"][-1]) <= 59
    assert float(curve["ceiling"].mean()) > float(curve["floor"].mean())


def test_heatmaps_are_compared_where_they_are(planted):
    from workbench.interpret.coreset.heat import heatmap_similarity

    # three units: marked on the left half, on the right half, on the left three quarters
    maps = np.zeros((2, 3, 4, 4), dtype=np.float32)
    for unit, columns in enumerate((slice(0, 2), slice(2, 4), slice(0, 3))):
        maps[:, unit, :, columns] = 2
    store = type(planted.store)({"layer": xr.DataArray(maps, dims=("image", "unit", "y", "x"))})
    left, right, wide, nothing = *np.eye(3)[:, None], np.zeros((1, 3))
    overlap = heatmap_similarity(store, ["layer"], np.arange(2), "heatmap iou", matched=False)
    assert overlap(left, 3 * left) == 1
    assert overlap(left, right) == 0
    assert overlap(left, wide) == pytest.approx(2 / 3)
    ranks = heatmap_similarity(store, ["layer"], np.arange(2), "heatmap spearman", matched=False)
    assert ranks(left, 3 * left) == pytest.approx(1)
    assert ranks(left, right) == pytest.approx(-1)
    for compare in (overlap, ranks):
        assert compare(nothing, nothing) == 1
        assert compare(nothing, left) == 0
    matched = heatmap_similarity(store, ["layer"], np.arange(2), "heatmap iou", matched=True)
    assert matched(np.eye(3)[None, :2], np.eye(3)[None, 1::-1]) == 1


class Counting:
    """A store that remembers whose maps were asked for."""

    def __init__(self, store):
        self.store, self.read = store, set()

    def __getattr__(self, name):
        return getattr(self.store, name)

    def dataset(self, layer):
        outer = self

        class Watched(type(self.store.maps[layer])):
            __slots__ = ()

            def isel(self, indexers=None, **more):
                rows = (indexers or more).get("image")
                outer.read |= set(np.arange(len(outer.store.identifiers))[rows].tolist())
                return super().isel(indexers, **more)

        data = self.store.dataset(layer)
        maps = data["maps"]
        watched = Watched(maps.values, dims=maps.dims, coords=maps.coords)

        class Dataset(dict):
            attrs = data.attrs

            def isel(self, indexers):
                outer.read |= set(np.asarray(indexers["image"]).tolist())
                return data.isel(indexers)

        return Dataset({**{name: data[name] for name in ("max", "mean")}, "maps": watched})


def test_features_of_images_that_nobody_asked_for_are_not_read(planted):
    watched = Counting(planted.store)
    prepared = coreset.subject("relevant_units", watched, labels="true", sparsity=1.0)
    assert not watched.read
    first = prepared.interpret(np.arange(30, 50), None)
    assert watched.read == set(range(30, 50))
    watched.read.clear()
    np.testing.assert_array_equal(prepared.interpret(np.arange(30, 50), None), first)
    assert not watched.read


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
    for bad, said in (
        ({"held_out": [500]}, "one or more of the 120"),
        ({"held_out": range(119)}, "fewer than the two"),
    ):
        with pytest.raises(InputError, match=said):
            coreset.subject("relevant_units", planted.store, labels="true", similarity="heatmap iou", **bad)
    with pytest.raises(InputError, match="held_out is for"):
        coreset.subject("relevant_units", planted.store, labels="true", held_out=[1])
    alone = np.where(np.arange(120) == 5, 2, np.arange(120) % 2)
    with pytest.raises(InputError, match="category 2 has a single image"):
        coreset.coreset_curve("relevant_units", planted.store, labels=alone, **QUICK)
