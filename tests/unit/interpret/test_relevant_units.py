"""Relevant units: planted truth, the path, weights, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from workbench import interpret
from workbench.errors import InputError, NotFiniteError, ShapeError, UnknownNameError


def precision_and_recall(result: xr.Dataset, planted) -> tuple[float, float]:
    found = [
        (category, int(unit))
        for category in range(3)
        for unit in result["index"].values[result["weight"].values[category] > 0]
    ]
    true = {(category, unit) for category in range(3) for unit in planted.true_units(category)}
    hits = len(true & set(found))
    return hits / len(found), hits / len(true)


@pytest.mark.parametrize("normalisation", ["norm", "norm share", "energy share"])
@pytest.mark.parametrize("labels", ["predicted", "true"])
def test_planted_units_are_found(planted, normalisation, labels, record_property):
    result = interpret.relevant_units(planted.store, labels, normalisation=normalisation, units_per_category=2)
    for category in range(3):
        best = int(result["index"][result["weight"][category].argmax("unit")])
        assert best in planted.true_units(category)
    precision, recall = precision_and_recall(result, planted)
    record_property("precision", precision)
    record_property("recall", recall)
    assert precision == 1
    assert recall == 1


def test_the_result_says_what_it_is(planted):
    result = interpret.relevant_units(planted.store, sparsity=0.1)
    assert result["weight"].dims == ("category", "unit")
    assert list(result["category"].values) == ["red", "green", "blue"]
    assert result["unit"].values[3] == "activation:3"
    assert result.attrs["method"] == "relevant_units"
    assert result.attrs["model"] == "planted"
    assert result.attrs["sparsity"] == 0.1
    assert float(result["weight"].sum("unit").max()) <= 0.1 * (1 + 1e-9)
    np.testing.assert_array_equal(result["images"], np.bincount(planted.store.predicted))
    assert float(result["gap"].max()) < 1e-6


def test_the_error_falls_along_the_path_and_each_point_is_the_single_solution(planted):
    path = interpret.relevant_units(planted.store, sparsity=[0.2, 0.05, 0.1])
    np.testing.assert_array_equal(path["sparsity"], [0.2, 0.05, 0.1])
    ordered = path.sortby("sparsity")["objective"]
    assert (np.diff(ordered.values, axis=0) <= 1e-9).all()
    single = interpret.relevant_units(planted.store, sparsity=0.1)
    np.testing.assert_allclose(path["objective"].sel(sparsity=0.1), single["objective"], rtol=1e-8)
    assert path["weight"].dims == ("sparsity", "category", "unit")


def test_the_objective_is_the_squared_error(planted):
    result = interpret.relevant_units(planted.store, "true", sparsity=0.05)
    features = interpret.unit_features(planted.store).values.astype(float)
    member = np.eye(3)[planted.labels]
    error = ((features @ result["weight"].values.T - member) ** 2).sum(axis=0)
    np.testing.assert_allclose(result["objective"], error, rtol=1e-5)
    np.testing.assert_allclose(result["explained"], 1 - error / member.sum(axis=0), rtol=1e-4)


def test_weighted_images_count_as_often_as_they_are_repeated(planted):
    features = interpret.unit_features(planted.store)
    often = np.random.default_rng(0).integers(0, 4, size=len(planted.labels))
    repeated = np.repeat(np.arange(len(often)), often)
    options = {"categories": ("red", "green", "blue"), "sparsity": 0.08}
    weighted = interpret.relevant_units_of_features(features, planted.labels, weights=often, **options)
    copied = interpret.relevant_units_of_features(features.isel(image=repeated), planted.labels[repeated], **options)
    np.testing.assert_allclose(weighted["objective"], copied["objective"], rtol=1e-6)
    np.testing.assert_allclose(weighted["images"], copied["images"])


def test_a_selection_gives_what_its_images_give(planted):
    chosen = np.arange(0, 120, 3)
    part = interpret.select(planted.store, chosen)
    direct = interpret.relevant_units_of_features(
        interpret.unit_features(planted.store).isel(image=chosen),
        planted.labels[chosen],
        categories=("red", "green", "blue"),
        sparsity=0.1,
    )
    found = interpret.relevant_units(part, "true", sparsity=0.1)
    np.testing.assert_allclose(found["objective"], direct["objective"], rtol=1e-6)
    again = interpret.select(part, [1, 0])
    assert again.identifiers == ["picture 0-3", "picture 0-0"]
    np.testing.assert_array_equal(again.labels, planted.labels[[3, 0]])
    np.testing.assert_array_equal(again.predicted, planted.store.predicted[[3, 0]])
    np.testing.assert_allclose(
        part.quantile("activation", 0.9), part.dataset("activation")["maps"].quantile(0.9, ("image", "y", "x"))
    )


@pytest.mark.parametrize("q", [0.0, 0.3, 0.995, 1.0])
def test_quantiles_sorted_and_streamed_are_numpys(planted, monkeypatch, q):
    expected = planted.store.maps["activation"].astype(float).quantile(q, ("image", "y", "x"))
    np.testing.assert_allclose(planted.store.quantile("activation", q), expected, rtol=1e-12)
    monkeypatch.setattr("workbench.interpret.reading.SORTED_BYTES", 0)
    np.testing.assert_allclose(planted.store.quantile("activation", q), expected, rtol=1e-12)
    with pytest.raises(InputError, match="q is 2"):
        planted.store.quantile("activation", 2)


def test_the_number_of_units_asked_for_is_met_on_average():
    generator = np.random.default_rng(0)
    member = generator.integers(0, 4, size=400)
    rows = np.abs(generator.normal(size=(400, 60)))
    for category in range(4):
        rows[member == category, 12 * category : 12 * category + 12] += 0.5
    features = xr.DataArray(rows, dims=("image", "unit"))
    for wanted in (1, 4, 10):
        result = interpret.relevant_units_of_features(features, member, categories="abcd", units_per_category=wanted)
        assert float((result["weight"] > 0).sum("unit").mean()) == pytest.approx(wanted, abs=0.5)


def changed(planted, **changes) -> interpret.MemoryActivations:
    store = planted.store
    fields = {name: getattr(store, name) for name in ("maps", "categories", "labels", "logits", "identifiers")}
    return interpret.MemoryActivations(**{**fields, **changes})


def test_bad_input_is_named(planted):
    maps = planted.store.maps["activation"]
    with pytest.raises(InputError, match="one category \\(red\\)"):
        interpret.relevant_units(planted.store, np.zeros(120, dtype=int))
    with pytest.raises(InputError, match="same features"):
        interpret.relevant_units(changed(planted, maps={"activation": xr.ones_like(maps)}))
    broken = maps.copy()
    broken[7, 2, 3, 3] = np.nan
    with pytest.raises(NotFiniteError, match="picture 0-7"):
        interpret.relevant_units(changed(planted, maps={"activation": broken}))
    with pytest.raises(InputError, match="no true labels"):
        interpret.relevant_units(changed(planted, labels=None), "true")
    with pytest.raises(InputError, match="no predicted labels"):
        interpret.relevant_units(changed(planted, logits=None))
    with pytest.raises(InputError, match="'best'"):
        interpret.relevant_units(planted.store, "best")
    with pytest.raises(ShapeError, match="3 labels for 120"):
        interpret.relevant_units(planted.store, [0, 1, 2])
    with pytest.raises(InputError, match="labels reach 7"):
        interpret.relevant_units(planted.store, np.arange(120) % 8)
    with pytest.raises(UnknownNameError, match="activation"):
        interpret.relevant_units(planted.store, layers="activatio")
    with pytest.raises(InputError, match="normalisation"):
        interpret.relevant_units(planted.store, normalisation="l2")
    for sparsity in (0, -1, [0.1, 0]):
        with pytest.raises(InputError, match="sparsity"):
            interpret.relevant_units(planted.store, sparsity=sparsity)
    with pytest.raises(InputError, match="units_per_category is 17"):
        interpret.relevant_units(planted.store, units_per_category=17)
    with pytest.raises(InputError, match="below 0"):
        interpret.relevant_units(planted.store, weights=-np.ones(120))
    with pytest.raises(ShapeError, match="3 weights"):
        interpret.relevant_units(planted.store, weights=np.ones(3))


def test_selections_out_of_range_are_refused(planted):
    with pytest.raises(InputError, match="within the 120"):
        interpret.select(planted.store, [0, 120])
    with pytest.raises(ShapeError, match="empty"):
        interpret.select(planted.store, np.array([], dtype=int))


def test_layers_compete_and_sequences_work(planted):
    maps = planted.store.maps["activation"]
    tokens = (
        maps.stack(token=("y", "x")).transpose("image", "token", "unit").drop_vars(["token", "y", "x"], errors="ignore")
    )
    both = changed(planted, maps={"first": maps * 0, "second": tokens})
    result = interpret.relevant_units(both, sparsity=0.1)
    assert list(np.unique(result["layer"])) == ["first", "second"]
    assert float(result["weight"].where(result["layer"] == "first").sum()) == 0
    alone = interpret.relevant_units(planted.store, sparsity=0.1)
    np.testing.assert_allclose(result["objective"], alone["objective"], rtol=1e-6)
