"""Sets of two sources: conjunctions are found, and companions that add nothing are not."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats as scipy_stats

from workbench.errors import InputError
from workbench.interpret import MemoryActivations
from workbench.interpret.relations import association_sets

PAIRS = [("a", "b")]


@pytest.fixture(scope="module")
def store() -> MemoryActivations:
    """Target 0 needs sources 0 and 1; source 2 comes with source 0; target 1 follows source 3 alone."""
    generator = np.random.default_rng(0)
    sources = generator.uniform(size=(400, 5)) < 0.35
    sources[:, 2] = sources[:, 0] ^ (generator.uniform(size=400) < 0.1)
    targets = np.stack([sources[:, 0] & sources[:, 1], sources[:, 3]], axis=1)
    targets ^= generator.uniform(size=targets.shape) < 0.05
    dims = ("image", "unit")
    return MemoryActivations(
        {
            "a": xr.DataArray(sources.astype(np.float32), dims=dims),
            "b": xr.DataArray(targets.astype(np.float32), dims=dims),
        }
    )


def members(graph) -> set[tuple[int, int, int]]:
    return {(*sorted((edge.source_unit, edge.partner_unit)), edge.target_unit) for edge in graph}


def test_two_sources_that_are_needed_together_are_found_and_companions_are_not(store):
    graph = association_sets(store, pairs=PAIRS, quantile=0.5)
    found = members(graph.significant())
    assert (0, 1, 0) in found
    assert not {each for each in found if each[2] == 1}, "one source alone drives the second target"
    strongest = graph.significant().strongest(1).edge(0)
    assert members([strongest]) == {(0, 1, 0)}
    assert strongest.partner is not None


def test_p_values_are_the_larger_of_both_conditional_tests(store):
    active = {layer: store.maps[layer].values > 0 for layer in "ab"}
    for edge in association_sets(store, pairs=PAIRS, quantile=0.5):
        first, second = active["a"][:, edge.source_unit], active["a"][:, edge.partner_unit]
        target = active["b"][:, edge.target_unit]
        expected = 0.0
        for given, other in ((first, second), (second, first)):
            x, y = other[given], target[given]
            counts = [[(x & y).sum(), (x & ~y).sum()], [(~x & y).sum(), (~x & ~y).sum()]]
            expected = max(expected, scipy_stats.fisher_exact(counts, alternative="greater").pvalue)
        assert edge.p_value == pytest.approx(expected, rel=1e-6)
        assert edge.images == (first & second & target).sum() >= 8


def test_rare_sets_are_left_out_and_there_may_be_none(store):
    assert len(association_sets(store, pairs=PAIRS, quantile=0.5, least_support=399)) == 0


def test_bad_questions_are_refused(store):
    for options, message in (
        ({"pairs": [("a", "a")]}, "paired with itself"),
        ({"most_units": 1}, "at least 2 units"),
        ({"least_support": 0}, "least_support 0"),
        ({"pairs": []}, "pairs is empty"),
    ):
        with pytest.raises(InputError, match=message):
            association_sets(store, **{"pairs": PAIRS, **options})
