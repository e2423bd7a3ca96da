"""Association and places: what they find in a planted circuit, what fools them, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import InputError, Interrupted, NotFiniteError, UnknownNameError
from workbench.interpret import MemoryActivations, select
from workbench.interpret.relations import RelationGraph, association_edges, layer_pairs, relation_kinds, spatial_edges

PAIRS = [("layer1", "layer2")]


def ends(graph) -> set[tuple[int, int]]:
    return {(edge.source_unit, edge.target_unit) for edge in graph}


def excited(circuit) -> set[tuple[int, int]]:
    return ends(circuit.truth.filter(source_layer="layer1", relation="excites"))


@pytest.fixture(scope="module")
def associated(grown):
    # gates are on or off: half of the images is as selective a threshold as they bear
    return association_edges(grown.store, pairs=PAIRS, quantile=0.5)


@pytest.fixture(scope="module")
def placed(grown):
    return spatial_edges(grown.store, grown.circuit.model, pairs=PAIRS)


def changed(store, layer, change) -> MemoryActivations:
    maps = {name: array.copy() for name, array in store.maps.items()}
    change(maps[layer])
    return MemoryActivations(maps, store.categories, store.labels, store.logits, store.identifiers, store.attrs)


def test_every_exciting_wire_is_an_association_and_so_is_every_confounded_pair(grown, associated):
    found = ends(associated.significant())
    assert excited(grown.circuit) <= found
    assert set(grown.circuit.confounded_pairs) <= found


def test_places_follow_wires_at_their_offset(grown, placed):
    truth = {(edge.source_unit, edge.target_unit): edge for edge in grown.circuit.truth.filter(relation="excites")}
    significant = placed.significant().filter(source_layer="layer1")
    assert excited(grown.circuit) <= ends(significant)
    for edge in significant:
        planted = truth.get((edge.source_unit, edge.target_unit))
        if planted is None:
            continue
        assert abs(edge.offset_y - planted.offset_y) <= 1
        assert abs(edge.offset_x - planted.offset_x) <= 1
        vertical = {"above": edge.offset_y > 0, "below": edge.offset_y < 0}
        horizontal = {"left of": edge.offset_x > 0, "right of": edge.offset_x < 0}
        assert {**vertical, **horizontal, "overlapping": True}.get(edge.relation), edge


def test_edges_say_what_they_rest_on(grown, associated, placed):
    for graph in (associated, placed):
        assert graph.dataset.attrs["model"] == "planted 0"
        tested = graph.filter(tested=True)
        low, effect, high = (tested.column(name) for name in ("low", "effect", "high"))
        assert (low <= effect).all()
        assert (effect <= high).all()
        assert all(len(edge.exemplars) == 3 for edge in graph.significant())
        left = graph.filter(tested=False)
        assert len(left) + len(tested) == 144
        assert all(edge.reason and np.isnan(edge.effect) for edge in left)


def test_exemplars_show_both_units(grown, associated):
    names = list(grown.store.identifiers)
    for edge in associated.significant():
        for name in edge.exemplars:
            image = names.index(name)
            assert grown.store.maps["layer1"][image, edge.source_unit].max() > 0
            assert grown.store.maps["layer2"][image, edge.target_unit].max() > 0


def random_store(seed: int) -> MemoryActivations:
    """Sparse maps of two layers, the second partly following the first."""
    generator = np.random.default_rng(seed)
    maps = generator.gamma(0.3, size=(2, 40, 3, 6, 6)) * (generator.uniform(size=(2, 40, 3, 1, 1)) < 0.8)
    maps[1, :, 0] = np.roll(maps[0, :, 0], seed % 3, axis=-1) * generator.uniform(0.5, 1, size=(40, 1, 1))
    dims = ("image", "unit", "y", "x")
    return MemoryActivations({"a": xr.DataArray(maps[0], dims=dims), "b": xr.DataArray(maps[1], dims=dims)})


class Sized:
    input_shape = (3, 48, 48)


def both_kinds(store: MemoryActivations, pairs: list[tuple[str, str]]) -> list[RelationGraph]:
    options = {"pairs": pairs, "quantile": 0.3, "q": 0.9}
    return [association_edges(store, **options), spatial_edges(store, Sized(), **options)]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_swapping_source_and_target_turns_edges_round(seed):
    store = random_store(seed)
    for there, back in zip(both_kinds(store, [("a", "b")]), both_kinds(store, [("b", "a")]), strict=True):
        reverse = {(edge.target_unit, edge.source_unit): edge for edge in back}
        opposite = {"left of": "right of", "above": "below", "inside": "around"}
        opposite |= {after: before for before, after in opposite.items()}
        for edge in there:
            other = reverse[edge.source_unit, edge.target_unit]
            assert edge.tested == other.tested
            for name in ("effect", "low", "high", "p_value", "q_value", "images"):
                np.testing.assert_allclose(getattr(edge, name), getattr(other, name), rtol=1e-7, atol=1e-12)
            np.testing.assert_allclose([edge.offset_y, edge.offset_x], [-other.offset_y, -other.offset_x], atol=1e-9)
            if (
                edge.tested
                and abs(abs(edge.offset_y) - abs(edge.offset_x)) > 1e-6
                and 0 not in (edge.offset_x, edge.offset_y)
            ):
                assert opposite.get(edge.relation, edge.relation) == other.relation


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(40)), st.sampled_from([0.25, 2.0, 64.0]))
def test_the_order_of_images_and_the_scale_of_activations_do_not_matter(seed, order, factor):
    store = random_store(seed)
    changed_store = MemoryActivations({layer: maps[list(order)] * factor for layer, maps in store.maps.items()})
    for first, second in zip(both_kinds(store, [("a", "b")]), both_kinds(changed_store, [("a", "b")]), strict=True):
        for name in ("effect", "low", "high", "p_value", "offset_y", "offset_x", "images"):
            np.testing.assert_allclose(first.column(name), second.column(name), rtol=1e-7, atol=1e-9)
        np.testing.assert_array_equal(first.column("relation"), second.column("relation"))


def test_nothing_is_found_where_images_are_shuffled_apart(grown):
    generator = np.random.default_rng(0)
    order = generator.permutation(len(grown.store.identifiers))
    shuffled = changed(grown.store, "layer2", lambda maps: maps.__setitem__(..., maps.values[order]))
    for graph in (
        association_edges(shuffled, pairs=PAIRS),
        spatial_edges(shuffled, grown.circuit.model, pairs=PAIRS),
    ):
        assert len(graph.significant()) <= 2
        p_values = graph.filter(tested=True).column("p_value")
        assert (p_values < 0.05).mean() < 0.12


def test_pairs_within_a_layer_come_once(grown):
    graph = spatial_edges(grown.store, grown.circuit.model, pairs=[("layer1", "layer1")])
    assert len(graph) == 66
    assert (graph.column("source_unit") < graph.column("target_unit")).all()
    gates = [gate for gate in grown.circuit.gates if gate.redundant]
    first, second = sorted(zip(gates[0].sources, gates[0].offsets, strict=True))
    (edge,) = (e for e in graph.significant() if (e.source_unit, e.target_unit) == (first[0], second[0]))
    assert (edge.offset_y, edge.offset_x) == (second[1][0] - first[1][0], second[1][1] - first[1][1])
    assert edge.effect > 0.99


def test_several_pairs_of_layers_are_corrected_together(grown, associated):
    both = association_edges(grown.store, pairs=[*PAIRS, ("layer2", "classifier")], quantile=0.5)
    assert len(both) == 144 + 36
    first = both.filter(source_layer="layer1")
    np.testing.assert_array_equal(first.column("p_value"), associated.column("p_value"))
    assert (
        first.column("q_value")[first.column("tested")] != associated.column("q_value")[first.column("tested")]
    ).any()


def test_some_units_only(grown, placed):
    wanted = {"layer1": [3, 1], "layer2": [0, 5, 6]}
    graph = spatial_edges(grown.store, grown.circuit.model, pairs=PAIRS, units=wanted)
    assert ends(graph) == {(first, second) for first in (1, 3) for second in (0, 5, 6)}
    all_of = {(edge.source_unit, edge.target_unit): edge for edge in placed}
    for edge in graph:
        np.testing.assert_equal(edge.effect, all_of[edge.source_unit, edge.target_unit].effect)
        np.testing.assert_allclose(edge.p_value, all_of[edge.source_unit, edge.target_unit].p_value, rtol=1e-9)


def test_areas_name_what_lies_inside():
    """A small square that moves within a large one, and beside a third."""
    generator = np.random.default_rng(0)
    maps = np.zeros((40, 3, 16, 16), dtype=np.float32)
    for image in range(40):
        row, column = generator.integers(0, 9, size=2)
        dy, dx = generator.integers(1, 3, size=2)
        maps[image, 0, row : row + 5, column : column + 5] = 1
        maps[image, 1, row + dy : row + dy + 2, column + dx : column + dx + 2] = 1
        maps[image, 2, row : row + 5, column + 5 : column + 7] = 1
        maps[image] *= generator.uniform(0.5, 1)
    store = MemoryActivations({"a": xr.DataArray(maps, dims=("image", "unit", "y", "x"))})

    class Sized:
        input_shape = (3, 64, 64)

    graph = spatial_edges(store, Sized(), pairs=[("a", "a")], quantile=0.2)
    assert [edge.relation for edge in graph] == ["around", "left of", "left of"]
    for image in maps:
        image[[0, 1]] = image[[1, 0]]
    graph = spatial_edges(store, Sized(), pairs=[("a", "a")], quantile=0.2)
    assert [edge.relation for edge in graph] == ["inside", "left of", "left of"]


def test_units_that_cannot_be_judged_are_marked(grown):
    def spoil(maps):
        maps[:, 4] = 0.25
        maps[:, 7] = 0
        maps[0, 7, 3, 3] = 1

    store = changed(grown.store, "layer2", spoil)
    for graph in (association_edges(store, pairs=PAIRS), spatial_edges(store, grown.circuit.model, pairs=PAIRS)):
        reasons = {edge.reason for edge in graph.filter(unit=("layer2", 4))}
        assert reasons == {"unit 4 of layer2 has the same height in every image"}
        assert not graph.filter(unit=("layer2", 7)).column("tested").any()
        assert graph.filter(unit=("layer2", 0)).column("tested").any()
        assert np.isnan(graph.filter(tested=False).column("q_value")).all()


def test_a_place_that_never_changes_is_marked(grown):
    def fix(maps):
        maps[:, 3] = 0
        maps[::2, 3, 5, 5] = 1

    graph = spatial_edges(changed(grown.store, "layer1", fix), grown.circuit.model, pairs=PAIRS)
    assert any("same place" in edge.reason for edge in graph.filter(unit=("layer1", 3)))
    assert not graph.filter(unit=("layer1", 3)).column("tested").any()


def test_too_few_images_to_reach_q_are_an_error_or_marked(grown):
    few = select(grown.store, np.arange(9))
    with pytest.raises(InputError, match=r"none can reach q 0\.05 with 9 images"):
        association_edges(few, pairs=PAIRS)
    with pytest.raises(InputError, match="No two units are active together in 8 images"):
        spatial_edges(few, grown.circuit.model, pairs=PAIRS)
    with pytest.raises(InputError, match="3 images"):
        association_edges(select(grown.store, np.arange(3)), pairs=PAIRS)
    some = spatial_edges(select(grown.store, np.arange(60)), grown.circuit.model, pairs=PAIRS)
    assert any("fewer than 8 images" in reason for reason in some.column("reason"))
    strict = association_edges(select(grown.store, np.arange(60)), pairs=PAIRS, q=1e-9)
    assert any("too few images to reach" in reason for reason in strict.column("reason"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pairs": []}, InputError, "pairs is empty"),
        ({"pairs": [("layer1", "layer9")]}, UnknownNameError, "layer9"),
        ({"quantile": 1.0}, InputError, "quantile is 1"),
        ({"q": 0}, InputError, "q is 0"),
        ({"units": {"layer1": [12]}}, InputError, "units 0 to 11"),
        ({"units": {"layer1": [-1]}}, InputError, "reach from -1"),
        ({"units": {"layer1": []}}, InputError, "at least one index"),
        ({"units": {"layer1": [1, 1]}}, InputError, "twice"),
        ({"units": {"layer1": [0]}, "pairs": [("layer1", "layer1")]}, InputError, "two units"),
        ({"stop": lambda: True}, Interrupted, "Stopped on request"),
    ],
)
@pytest.mark.parametrize("kind", ["association", "spatial"])
def test_bad_questions_are_refused(grown, kind, options, error, message):
    with pytest.raises(error, match=message):
        relation_kinds[kind](grown.store, grown.circuit.model, None, **{"pairs": PAIRS, **options})


def test_layers_without_places_have_no_spatial_relations(grown):
    with pytest.raises(InputError, match="Choose a convolutional layer"):
        spatial_edges(grown.store, grown.circuit.model, pairs=[("layer2", "classifier")])


def test_numbers_that_are_none_are_refused(grown):
    for kind, where in (("association", (5, 2)), ("spatial", (5, 2)), ("spatial", (5, 2, 0, 0))):
        broken = changed(grown.store, "layer1", lambda maps, at=where: maps.__setitem__(at, np.nan))
        with pytest.raises(NotFiniteError, match="planted 0-0-5"):
            relation_kinds[kind](broken, grown.circuit.model, None, pairs=PAIRS)


def test_progress_is_told(grown):
    seen: list[float] = []
    spatial_edges(grown.store, grown.circuit.model, pairs=PAIRS, progress=lambda state: seen.append(state.fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_layers_run_from_earlier_to_later(grown):
    model = grown.circuit.model
    assert layer_pairs(model, ["layer1", "layer2", "classifier"]) == [("layer1", "layer2"), ("layer2", "classifier")]
    assert layer_pairs(model, ["layer2"], within=True) == [("layer2", "layer2")]
    with pytest.raises(InputError, match=r"layers=\['layer1', 'layer2'\]"):
        layer_pairs(model, ["layer2", "layer1"])
    with pytest.raises(InputError, match="not computed before"):
        layer_pairs(model, ["layer1", "layer1"])
    with pytest.raises(InputError, match="at least two"):
        layer_pairs(model, ["layer1"])
    with pytest.raises(UnknownNameError, match="layer3"):
        layer_pairs(model, ["layer1", "layer3"])


def test_labels_name_the_category_of_edges(grown):
    labels = (grown.store.maps["layer2"].values[:, grown.circuit.gates[0].unit].max((1, 2)) > 0).astype(np.int64)
    store = replace(grown.store, labels=labels, categories=("without", "with", "other"))
    graph = association_edges(store, pairs=PAIRS).significant()
    edges = graph.filter(unit=("layer2", grown.circuit.gates[0].unit))
    assert len(edges)
    assert set(edges.column("category")) == {"with"}
