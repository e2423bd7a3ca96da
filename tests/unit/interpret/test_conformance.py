"""What holds for every registered interpretation method, selector and localisation metric."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
import xarray as xr

from workbench import evaluate, interpret
from workbench.interpret import coreset

WITHOUT_MAPS = ("ablation_curve", "relations.discover")


@pytest.fixture(scope="module")
def results(planted, held_out):
    """One result of every registered method: a new method must be added here."""
    store, head = planted.store, interpret.Head(planted.model, "activation")
    units = interpret.relevant_units(store, units_per_category=2)
    heat = planted.masks.any("part").astype(float)
    shown = {"red": np.flatnonzero(planted.labels == 0)}
    return {
        "relevant_units": units,
        "dissect": interpret.dissect(store, planted.masks, quantile=0.95),
        "concepts": interpret.concepts(store, head=head, count=3),
        "concept_vectors": interpret.concept_vectors(store, shown, head=head, draws=2, random_concepts=19),
        "rules": interpret.rules(store, heat, size=6, top_units=6, least_confidence=0.1),
        "relations.discover": interpret.relations.discover(
            store, planted.model, kinds=("association", "spatial"), layers=["activation"], within=True
        ).dataset,
        "ablation_curve": interpret.ablation_curve(
            planted.model,
            held_out.pictures,
            {"units": units["weight"]},
            store=store,
            labels=held_out.labels,
            counts=(0, 1),
        ),
    }


def test_every_method_is_tested_here(results):
    assert set(results) == set(interpret.interpreters)


@pytest.mark.parametrize("name", list(interpret.interpreters))
def test_results_say_where_they_come_from_and_survive_a_file(results, name, tmp_path):
    result = results[name]
    assert isinstance(result, xr.Dataset)
    assert result.attrs["method"] == name
    assert result.attrs["model"] == "planted"
    assert json.loads(result.attrs["versions"])["python"]
    result.to_zarr(tmp_path / "result.zarr", consolidated=False)
    opened = xr.open_zarr(tmp_path / "result.zarr", consolidated=False).load()
    xr.testing.assert_equal(opened, result)
    for variable in result.variables.values():
        assert all(isinstance(dim, str) and not dim.startswith("dim_") for dim in variable.dims)


@pytest.mark.parametrize("name", [name for name in interpret.interpreters if name not in WITHOUT_MAPS])
def test_what_was_found_can_be_drawn_on_other_images(results, held_out, name):
    category = "red" if name == "concepts" else None
    drawn = interpret.heatmaps(results[name], held_out.store, category=category, images=[0, 5], size=(20, 24))
    assert drawn.sizes["image"] == 2
    assert drawn.shape[-2:] == (20, 24)
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1
    assert list(drawn["image"].values) == ["picture 1-0", "picture 1-5"]


@pytest.mark.parametrize(
    "registry",
    [interpret.interpreters, interpret.relations.relation_kinds, coreset.selectors, evaluate.metrics],
    ids=lambda r: r.kind,
)
def test_cards_and_parameters_agree_with_the_functions(registry):
    for method in registry.values():
        known = inspect.signature(method.function).parameters
        assert set(method.card.parameters) <= set(known), method.card.name
        assert method.card.title
        assert method.card.returns
        for name, (_, default, *_rest) in method.card.parameters.items():
            assert known[name].default == default, f"{method.card.name}: {name}"


@pytest.mark.parametrize("name", list(coreset.selectors))
def test_selectors_choose_distinct_images_in_the_same_order(name):
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    first, second = (coreset.selectors[name](features, 20, generator=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.int64
    assert len(set(first.tolist())) == 20
