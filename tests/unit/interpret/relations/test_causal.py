"""Causal edges find what was planted, go on after an interruption, and refuse what cannot be asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from workbench import models
from workbench.data import AnnotatedImage
from workbench.data.source import ArraySource
from workbench.errors import (
    DamagedFileError,
    InputError,
    Interrupted,
    NotFiniteError,
    ShapeError,
    StoreMismatchError,
    UnknownNameError,
)
from workbench.explain import Progress
from workbench.interpret.relations import RelationGraph, causal_edges, relation_kinds
from workbench.interpret.relations.planted import Parameters, plant

SIZE = 12


@pytest.fixture(scope="module")
def gates(grown) -> RelationGraph:
    return causal_edges(grown.circuit.model, grown.images, source="layer1", target="layer2", batch_size=100)


def single(graph: RelationGraph) -> dict[tuple[int, int], object]:
    return {(edge.source_unit, edge.target_unit): edge for edge in graph if edge.partner is None}


def truth_between(grown, source: str) -> dict[tuple[int, int], object]:
    return single(grown.circuit.truth.filter(source_layer=source))


def test_planted_edges_are_found_with_their_signs_and_nothing_else(grown, gates):
    found, truth = single(gates.significant()), truth_between(grown, "layer1")
    assert set(found) == set(truth)
    assert all(found[pair].relation == truth[pair].relation for pair in truth)
    assert all(np.sign(edge.effect) == (1 if edge.relation == "excites" else -1) for edge in found.values())
    for edge in found.values():
        assert edge.low <= edge.effect <= edge.high
        assert edge.low * edge.high > 0
        assert 0 < len(edge.exemplars) <= 5
        assert set(edge.exemplars) <= set(grown.images["image"].values)
    assert not set(grown.circuit.confounded_pairs) & set(found)


def test_planted_displacements_are_found(grown, gates):
    found, truth = single(gates.significant()), truth_between(grown, "layer1")
    for pair, edge in truth.items():
        assert (found[pair].offset_y, found[pair].offset_x) == (edge.offset_y, edge.offset_x)


def test_planted_operators_are_found_and_no_others(grown, gates):
    expected = {
        (gate.operator, gate.unit, gate.sources if gate.operator == "and-not" else tuple(sorted(gate.sources)))
        for gate in grown.circuit.gates
        if len(gate.sources) == 2
    }
    edges = [edge for edge in gates.significant().filter(conditional=False) if edge.partner is not None]
    assert {(edge.relation, edge.target_unit, (edge.source_unit, edge.partner_unit)) for edge in edges} == expected


def test_planted_places_are_found_as_conditions_and_none_where_no_place_matters(grown, gates):
    sided = {}
    for gate in grown.circuit.gates:
        for own, other in ((0, 1), (1, 0)) if len(gate.sources) == 2 else ():
            away = np.subtract(gate.offsets[own], gate.offsets[other])
            words = ["above" if away[0] < 0 else "below", "left of" if away[1] < 0 else "right of"]
            for axis in np.flatnonzero(away):
                sided[gate.sources[own], gate.unit, gate.sources[other], words[axis]] = gate
    edges = gates.significant().filter(conditional=True)
    found = {(edge.source_unit, edge.target_unit, edge.partner_unit, edge.condition): edge for edge in edges}
    # a plain "or" of both at their places rises above what either gives, so that it has a side as well
    assert set(found) <= set(sided)
    assert not any(sided[key].redundant for key in found)
    assert set(found) >= {key for key, gate in sided.items() if gate.operator == "and"}
    assert {sided[key].operator for key, edge in found.items() if edge.relation == "inhibits"} == {"and-not"}


def test_sources_that_stand_in_for_each_other_are_found_by_taking_both_away(grown, gates):
    (gate,) = (gate for gate in grown.circuit.gates if gate.redundant)
    without = causal_edges(
        grown.circuit.model, grown.images, source="layer1", target="layer2", sources=list(gate.sources),
        targets=[gate.unit], interactions=0,
    )  # fmt: skip
    found, alone = single(gates.significant()), single(without)
    for source in gate.sources:
        # nearly nothing happens when it goes alone, and the gate falls silent when its twin is away already
        assert abs(alone[source, gate.unit].effect) < 0.3 * found[source, gate.unit].effect


def test_a_sum_has_no_operator(grown):
    graph = causal_edges(grown.circuit.model, grown.images, source="layer2", target="classifier", batch_size=200)
    found, truth = single(graph.significant()), truth_between(grown, "layer2")
    assert set(found) == set(truth)
    assert {pair: edge.relation for pair, edge in found.items()} == {pair: e.relation for pair, e in truth.items()}
    assert all(edge.partner is None for edge in graph.significant())
    assert all(np.isnan([edge.offset_y, edge.offset_x]).all() for edge in found.values())


def test_screening_keeps_what_matters(grown, gates):
    pairs = len(truth_between(grown, "layer1"))
    graph = causal_edges(
        grown.circuit.model, grown.images, source="layer1", target="layer2", confirm=2 * pairs, interactions=0,
        screen_images=16, batch_size=100,
    )  # fmt: skip
    assert graph.dataset.attrs["pairs_left_out"] > 50
    measured = single(graph.filter(tested=True))
    assert len(measured) == 2 * pairs
    assert set(measured) >= set(truth_between(grown, "layer1"))


def test_maps_of_other_images_take_their_place_as_well(grown, gates):
    wired = sorted({gate.unit for gate in grown.circuit.gates if gate.operator in ("and-not", "alone")})
    graph = causal_edges(
        grown.circuit.model, grown.images, source="layer1", target="layer2", targets=wired, baseline="swap",
        interactions=0, batch_size=100,
    )  # fmt: skip
    expected = {pair: edge.relation for pair, edge in single(gates.significant()).items() if pair[1] in wired}
    assert {pair: edge.relation for pair, edge in single(graph.significant()).items()} == expected


class Wired(nn.Module):
    """Two layers of 1 x 1 convolutions: the first unit of the second layer follows the first of the first."""

    def __init__(self, *, free: bool = False) -> None:
        super().__init__()
        self.free = free
        self.one = nn.Conv2d(3, 4, 1)
        self.two = nn.Conv2d(4, 3, 1)
        self.beside = nn.Conv2d(3, 2, 1)
        self.end = nn.Linear(3, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.one.weight[:3, :, 0, 0] = torch.eye(3)
            self.two.weight[0, 0] = self.two.weight[1, 1] = 1
            self.end.weight[0, 0] = 1

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.one(inputs))
        self.beside(inputs)
        if self.free and float(maps.sum()) < -1:  # cannot be traced
            return inputs.sum((2, 3))
        return self.end(torch.relu(self.two(maps)).mean((2, 3)))


@pytest.fixture
def wired() -> models.ImageModel:
    return models.load(Wired(), preprocessing=models.Preprocessing(resize=(SIZE, SIZE)), name="wired")


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    """Each colour is a dot somewhere, in half of the images."""
    generator = np.random.default_rng(0)
    inputs = np.zeros((60, 3, SIZE, SIZE), dtype=np.float32)
    for image in range(len(inputs)):
        for colour in np.flatnonzero(generator.uniform(size=3) < 0.5):
            inputs[image, colour, *generator.integers(SIZE, size=2)] = generator.uniform(0.8, 1)
    return torch.from_numpy(inputs)


def test_batches_do_not_matter(wired, points):
    first, second = (
        causal_edges(wired, points, source="one", target="two", confirm=4, batch_size=size) for size in (64, 7)
    )
    for name in ("source_unit", "effect", "low", "p_value", "q_value", "offset_y", "images"):
        np.testing.assert_allclose(second.column(name), first.column(name), rtol=1e-4, atol=1e-6)
    assert first.dataset.attrs["rerun"] == "the part between the layers"


def test_what_cannot_be_tested_says_why(wired, points):
    rare = points.clone()
    rare[4:, 2] = 0
    graph = causal_edges(wired, rare, source="one", target="two")
    edges = single(graph)
    assert "unit 3 of one has the same maximum in every image" in edges[3, 0].reason
    assert "unit 2 of one is active in" in edges[2, 0].reason
    assert "hardly varies" in edges[0, 2].reason
    assert not any(edges[pair].tested for pair in ((3, 0), (2, 0), (0, 2)))
    assert set(single(graph.significant())) == {(0, 0), (1, 1)}
    assert edges[0, 1].effect == 0
    assert edges[0, 1].p_value == 1
    assert (edges[0, 0].offset_y, edges[0, 0].offset_x) == (0, 0)


def test_a_network_that_cannot_be_traced_gives_the_same_slowly(wired, points):
    free = models.load(Wired(free=True), preprocessing=models.Preprocessing(resize=(SIZE, SIZE)), name="free")
    fast, slow = (causal_edges(model, points, source="one", target="end") for model in (wired, free))
    assert slow.dataset.attrs["rerun"] == "the whole network"
    for name in ("effect", "p_value", "images"):
        np.testing.assert_allclose(slow.column(name), fast.column(name), rtol=1e-5, atol=1e-6)


def test_an_array_takes_the_place_of_the_maps(wired, points):
    with torch.no_grad():
        mean = wired.module.one(points).mean(0).numpy()
    expected, found = (causal_edges(wired, points, source="one", target="two", baseline=b) for b in ("mean", mean))
    np.testing.assert_allclose(found.column("effect"), expected.column("effect"), atol=1e-5)
    with pytest.raises(ShapeError, match=r"layer 'one' gives \(4, 12, 12\)"):
        causal_edges(wired, points, source="one", target="two", baseline=mean[:2])
    with pytest.raises(UnknownNameError, match="'mean', 'swap', 'zero'"):
        causal_edges(wired, points, source="one", target="two", baseline="nothing")


def test_the_model_is_left_as_it_was(wired, points):
    before = wired.weights_hash
    causal_edges(wired, points, source="one", target="two", confirm=3)
    assert wired.weights_hash == before
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in wired.module.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in wired.module.parameters())


@pytest.mark.parametrize("stop_after", [1, 4, 9, 14, 18])
def test_work_goes_on_where_it_was_left(wired, points, tmp_path, stop_after):
    options = {"source": "one", "target": "two", "batch_size": 16, "confirm": 5, "screen_images": 8}
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == stop_after

    path = tmp_path / "work"
    with pytest.raises(Interrupted, match="after"):
        causal_edges(wired, points, path=path, stop=stop, **options)
    reports: list[Progress] = []
    resumed = causal_edges(wired, points, path=path, progress=reports.append, **options)
    xr.testing.assert_identical(resumed.dataset, causal_edges(wired, points, **options).dataset)
    assert reports[-1].fraction == 1
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    with pytest.raises(StoreMismatchError, match="seed = 0; asked is 1"):
        causal_edges(wired, points, path=path, seed=1, **options)
    with pytest.raises(InputError, match="images of batch 0 are not those"):
        causal_edges(wired, points.flip(0), path=path, **options)


def test_damaged_and_foreign_folders_are_named(wired, points, tmp_path):
    options = {"source": "one", "target": "two", "path": tmp_path / "work"}
    causal_edges(wired, points, **options)
    (tmp_path / "work" / "survey.npz").write_bytes(b"no archive")
    with pytest.raises(DamagedFileError, match="Delete it"):
        causal_edges(wired, points, **options)
    (tmp_path / "work" / "plan.json").write_text("{")
    with pytest.raises(DamagedFileError, match="to begin again"):
        causal_edges(wired, points, **options)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="something else"):
        causal_edges(wired, points, **{**options, "path": tmp_path / "other"})


def test_bad_input_is_named(wired, points):
    def ask(images=points, source="one", target="two", **options):
        return causal_edges(wired, images, source=source, target=target, **options)

    with pytest.raises(InputError, match="'one' comes before it"):
        ask(source="two", target="one")
    with pytest.raises(InputError, match="is the source itself"):
        ask(target="one")
    with pytest.raises(InputError, match="'beside' does not depend on layer 'one'"):
        ask(target="beside")
    with pytest.raises(UnknownNameError, match="'tow'"):
        ask(target="tow")
    for units, match in (([4], "units 0 to 3"), ([-1], "units 0 to 3"), ([1, 1], "twice"), ([], "one or more")):
        with pytest.raises(InputError, match=match):
            ask(sources=units)
    with pytest.raises(InputError, match=r"5 images; to reach q = 0.05 over 4 x 3 pairs at least 9"):
        ask(points[:5])
    broken = points.clone()
    broken[3, 0] = 3e38
    with torch.no_grad():
        wired.module.two.weight[0, 0] = 1e38
    with pytest.raises(NotFiniteError, match="'two' holds NaN or infinity in image '3'"):
        ask(broken)
    with torch.no_grad():
        wired.module.two.weight[0, 0] = 1
    for option in ({"active": 1.0}, {"least_share": -0.1}, {"q": 0.0}):
        with pytest.raises(InputError, match="expected shares"):
            ask(**option)
    for option in ({"confirm": 0}, {"screen_images": 1}, {"interactions": -1}):
        with pytest.raises(InputError, match="at least 1 pair"):
            ask(**option)


def test_images_that_change_from_reading_to_reading_are_refused(wired, points):
    class Flickering(ArraySource):
        """A source whose pictures are new each time."""

        def __getitem__(self, index: int, /) -> AnnotatedImage:
            pixels = np.random.default_rng().integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)
            return AnnotatedImage(pixels, str(self.identifiers[index]))

    images = Flickering(np.zeros((40, SIZE, SIZE, 3), dtype=np.uint8), tuple(map(str, range(40))))
    with pytest.raises(InputError, match="random augmentation"):
        causal_edges(wired, images, source="one", target="two")


def test_the_kind_covers_several_pairs_of_layers(grown):
    kind = relation_kinds["causal"]
    pairs = [("layer1", "layer2"), ("layer2", "classifier")]
    units = {"layer1": [0, 1], "layer2": [0, 1, 2]}
    options = {"batch_size": 200, "interactions": 0}
    model, images = grown.circuit.model, grown.images.isel(image=slice(120))
    reports: list[Progress] = []
    graph = kind(grown.store, model, images, pairs=pairs, units=units, progress=reports.append, **options)
    assert {(edge.source_layer, edge.target_layer) for edge in graph} == set(pairs)
    alone = [
        causal_edges(model, images, source=source, target=target, sources=units[source], targets=units.get(target),
                     **options)
        for source, target in pairs
    ]  # fmt: skip
    together = RelationGraph.concatenate(alone)
    np.testing.assert_array_equal(graph.column("p_value"), together.column("p_value"))
    single_ones = (graph.column("partner_unit") < 0) & graph.column("tested")
    p_values, q_values = graph.column("p_value")[single_ones], graph.column("q_value")[single_ones]
    order = np.argsort(p_values)
    steps = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    np.testing.assert_allclose(q_values[order], np.minimum.accumulate(steps[::-1])[::-1], rtol=1e-9)
    done = [report.done / report.total for report in reports]
    assert done == sorted(done)
    assert done[-1] == 1
    with pytest.raises(StoreMismatchError):
        kind(grown.store, plant(Parameters(seed=3)).model, grown.images, pairs=pairs)
    with pytest.raises(InputError, match="images is None"):
        kind(grown.store, grown.circuit.model, None, pairs=pairs)
    with pytest.raises(InputError, match="pairs is empty"):
        kind(grown.store, grown.circuit.model, grown.images, pairs=[])
