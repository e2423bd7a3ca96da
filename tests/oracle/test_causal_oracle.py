"""Causal effects against literal loops: one image, one source, one forward pass of the whole network with a hook."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from workbench import models
from workbench.interpret.relations.causal import causal_edges
from workbench.interpret.relations.checkpoint import Checkpoint
from workbench.interpret.relations.continuation import TracedPart, continuation
from workbench.interpret.relations.experiments import PHASES, surveyed
from workbench.interpret.relations.interactions import STATISTICS, together
from workbench.interpret.relations.interventions import Setting, measure
from workbench.interpret.relations.moving import movable, moved_effects
from workbench.interpret.relations.phases import Phases
from workbench.interpret.relations.screening import screen
from workbench.interpret.relations.survey import baseline_of

SIZE = 16


class Small(nn.Module):
    """Two convolutions with a path around the second, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(5, 4, 3, stride=2, padding=1), nn.ReLU())
        self.around = nn.Conv2d(3, 4, 1, stride=2)
        self.last = nn.Linear(4, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.second(self.first(inputs)) + self.around(inputs)
        return self.last(torch.relu(maps).mean((2, 3)))


@pytest.fixture(scope="module")
def small() -> models.ImageModel:
    torch.manual_seed(0)
    return models.load(Small(), preprocessing=models.Preprocessing(resize=(SIZE, SIZE)), name="small")


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.randn((24, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(1))


def outputs(
    model: models.ImageModel, image: torch.Tensor, layer: str, changes: dict[int, torch.Tensor]
) -> torch.Tensor:
    """(unit, position) of ``layer`` for one image, with maps of units of the first layer replaced, by plain hooks."""
    found: list[torch.Tensor] = []

    def change(_module: nn.Module, _args: object, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        for unit, replacement in changes.items():
            output[0, unit] = replacement
        return output

    hooks = [
        model.module.get_submodule("first").register_forward_hook(change),
        model.module.get_submodule(layer).register_forward_hook(lambda _m, _a, output: found.append(output.clone())),
    ]
    with torch.no_grad():
        model.module(image[None])
    for hook in hooks:
        hook.remove()
    return found[0][0].reshape(found[0].shape[1], -1)


def maps_of_first(model: models.ImageModel, pictures: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.module.first(pictures)


@pytest.mark.parametrize("target", ["second", "last"])
@pytest.mark.parametrize("baseline", ["mean", "zero"])
def test_effects_are_those_of_the_loop(small, pictures, target, baseline):
    graph = causal_edges(
        small, pictures, source="first", target=target, baseline=baseline, interactions=0, batch_size=7, q=0.9
    )
    first = maps_of_first(small, pictures)
    replacement = first.mean(0) if baseline == "mean" else torch.zeros_like(first[0])
    maxima = first.amax((2, 3)).numpy()
    intact = [outputs(small, picture, target, {}) for picture in pictures]
    tested = [edge for edge in graph if edge.tested and edge.partner is None]
    assert len(tested) > 8
    for edge in tested:
        unit, read = edge.source_unit, edge.target_unit
        low, height = maxima[:, unit].min(), np.quantile(maxima[:, unit], 0.99)
        active = np.flatnonzero(maxima[:, unit] > low + 0.5 * (height - low))
        drops = []
        for index in active:
            clean = intact[index][read]
            without = outputs(small, pictures[index], target, {unit: replacement[unit]})[read]
            at = int(torch.maximum(clean, without).argmax())
            drops.append(float(clean[at] - without[at]))
        spread = np.std([float(answer[read].max()) for answer in intact])
        assert edge.images == len(active)
        assert edge.effect == pytest.approx(np.mean(drops) / spread, abs=2e-4)
        assert edge.relation == ("excites" if np.mean(drops) > 0 else "inhibits")


def setting_of(model: models.ImageModel, pictures: torch.Tensor, target: str, active: float = 0.3) -> Setting:
    part = continuation(model, "first", target, pictures)
    phases = Phases(PHASES)
    seen = surveyed(model, pictures, part, 0, 16, Checkpoint(None, {}), phases)
    where = seen.active(active)
    maps = baseline_of("swap", seen, where, part.source, seed=0, device=model.device, dtype=model.dtype)
    return Setting(model, pictures, part, seen, maps, where, 16, Checkpoint(None, {}), phases)


def stand_in_maps(setting: Setting, first: torch.Tensor, index: int) -> torch.Tensor:
    """(unit, y, x): what takes the place of each unit in an image: its map in another, in which it is not active."""
    images = setting.seen.pool_image[setting.baseline.choice[index]]
    for unit, image in enumerate(images):
        assert not setting.active[image, unit]
    return torch.stack([first[image, unit] for unit, image in enumerate(images)])


def test_interactions_are_those_of_the_loop(small, pictures):
    setting = setting_of(small, pictures, "second")
    first = maps_of_first(small, pictures)
    pairs = np.array([[0, 1], [2, 4]])
    found = together(setting, pairs)
    for number, (one, other) in enumerate(pairs):
        expected = np.zeros((len(STATISTICS), 4))
        rows = np.flatnonzero(setting.active[:, one] & setting.active[:, other])
        for index in rows:
            stand_in = stand_in_maps(setting, first, index)
            sets = ({}, {one}, {other}, {one, other})
            answers = torch.stack(
                [outputs(small, pictures[index], "second", {unit: stand_in[unit] for unit in each}) for each in sets]
            )
            for unit in range(4):
                at = int(answers[:, unit].amax(0).argmax())
                full, without_one, without_other, without_both = answers[:, unit, at].double().tolist()
                a, b, both = full - without_one, full - without_other, full - without_both
                expected[:, unit] += (a, b, both, both - a - b, both - b, both - a)
        assert found.images[number] == len(rows) > 2
        np.testing.assert_allclose(found.total[:, number], expected, atol=1e-3)


def test_an_effect_where_another_source_is_away_is_that_of_the_loop(small, pictures):
    setting = setting_of(small, pictures, "second")
    first = maps_of_first(small, pictures)
    found = measure(setting, np.array([[0, 2, 3], [1, 0, -1]]))
    for index in range(len(pictures)):
        stand_in = stand_in_maps(setting, first, index)
        for row, (unit, read, away) in enumerate(((0, 2, (3,)), (1, 0, ()))):
            if not setting.active[index, [unit, *away]].all():
                assert np.isnan(found.effect[row, index])
                continue
            before = outputs(small, pictures[index], "second", {u: stand_in[u] for u in away})[read]
            after = outputs(small, pictures[index], "second", {u: stand_in[u] for u in (unit, *away)})[read]
            at = int(torch.maximum(before, after).argmax())
            assert found.effect[row, index] == pytest.approx(float(before[at] - after[at]), abs=1e-4)
            assert found.place[row, index] in (-1, int((before - after).abs().argmax()))


def test_an_effect_beside_a_source_that_was_moved_is_that_of_the_loop(small, pictures):
    """The map of a source is moved cell by cell; what has no cell to come from is its stand-in's."""
    setting = setting_of(small, pictures, "second")
    first = maps_of_first(small, pictures)
    tests, targets = np.array([[0, 2, 0], [0, 2, 1], [3, 1, 1], [0, 2, 1]]), np.array([1, 0, 3, 2])
    chosen, shift = movable(setting, tests, seed=0)
    found = moved_effects(setting, tests, targets, chosen, shift)
    assert (chosen.sum(axis=1) > 2).all()
    for row, ((unit, other, axis), read) in enumerate(zip(tests, targets, strict=True)):
        for index in range(len(pictures)):
            own, beside = (
                np.unravel_index(int(first[index, each].argmax()), first.shape[2:]) for each in (unit, other)
            )
            there = 2 * own[axis] - beside[axis]
            active = setting.active[index, unit] and setting.active[index, other]
            assert chosen[row, index] == (active and own[axis] != beside[axis] and 0 <= there < first.shape[2 + axis])
            if not chosen[row, index]:
                assert np.isnan(found[row, index])
                continue
            stand_in = stand_in_maps(setting, first, index)
            carried = stand_in[other].clone()
            for y, x in np.ndindex(carried.shape):
                down, right = (y + there - beside[0], x) if axis == 0 else (y, x + there - beside[1])
                if 0 <= down < carried.shape[0] and 0 <= right < carried.shape[1]:
                    carried[down, right] = first[index, other, y, x]
            before = outputs(small, pictures[index], "second", {other: carried})[read]
            after = outputs(small, pictures[index], "second", {other: carried, unit: stand_in[unit]})[read]
            at = int(torch.maximum(before, after).argmax())
            assert found[row, index] == pytest.approx(float(before[at] - after[at]), abs=1e-4)


def test_screening_is_slope_times_difference(small, pictures):
    setting = setting_of(small, pictures, "second")
    sources, targets = np.array([0, 3, 4]), np.array([1, 2])
    score = screen(
        small, pictures, setting.part, setting.seen, setting.baseline, sources=sources, targets=targets,
        active=setting.active, images_per_target=len(pictures) * 2, seed=0, batch_size=5, phases=setting.phases,
    )  # fmt: skip
    maxima, active = setting.seen.source_max.astype(float), setting.active
    for column, target in enumerate(targets):
        expected, counts = np.zeros((3, 5)), active.sum(axis=0)
        for index, picture in enumerate(pictures):
            own = maps_of_first(small, picture[None])
            other = stand_in_maps(setting, maps_of_first(small, pictures), index)[None]
            for number, station in enumerate((1.0, 1 / 3)):
                maps = (other + station * (own - other)).requires_grad_()
                (slope,) = torch.autograd.grad(small.module.second(maps)[0, target].max(), maps)
                expected[number] += (slope * (own - other)).sum((2, 3))[0].numpy() * active[index]
                if station == 1:
                    expected[2] += [float(max(each.ravel(), key=abs)) for each in slope[0]] * ~active[index]
        for row, unit in enumerate(sources):
            height = maxima[active[:, unit], unit].mean() - maxima[~active[:, unit], unit].mean()
            means = expected[:, unit] * (1, 1, height) / (counts[unit], counts[unit], len(pictures) - counts[unit])
            np.testing.assert_allclose(score[:, row, column], np.abs(means), rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("resnet18", "layer1.0", "layer2"),
        ("resnet18", "layer1.0.bn1", "layer1.1.relu:1"),
        ("mobilenet_v2", "features.2", "features.4"),
        ("mobilenet_v2", "features.3", "classifier"),
        ("vit", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1"),
        ("vit", "conv_proj", "heads"),
        ("vit", "encoder.layers.encoder_layer_0.mlp.1", "encoder.layers.encoder_layer_1.ln_1"),
        ("scenes_relation", "layer2", "layer4"),
    ],
)
def test_the_part_alone_gives_what_the_whole_network_gives(networks, name, source, target):
    model, inputs = networks(name)
    part = continuation(model, source, target, inputs)
    assert isinstance(part, TracedPart)
    observed = part.observe(inputs)
    images = torch.tensor([2, 0, 0, 1, 2])
    changed = observed.source[images] * 0.3
    with models.capture(model, [source, target]) as clean:
        model.module(inputs)
    torch.testing.assert_close(observed.target, part.target.units_first(clean[target]), rtol=1e-3, atol=1e-4)
    with models.replace_output(model, {source: part.source.as_layer(changed)}), models.capture(model, target) as found:
        model.module(inputs[images])
    expected = part.target.units_first(found[target])
    with torch.no_grad():
        torch.testing.assert_close(part.rerun(observed, images, changed), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def networks():
    """A function from a name to a network with random weights (but for the shipped one) and three inputs for it."""

    def make(name: str) -> tuple[models.ImageModel, torch.Tensor]:
        if name == "scenes_relation":
            model = models.load(name)
        else:
            torch.manual_seed(0)
            if name == "vit":
                module: nn.Module = torchvision.models.VisionTransformer(
                    image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=5
                )
                nn.init.normal_(module.heads.head.weight)  # zero as it is made: nothing would reach the logits
            else:
                module = torchvision.models.get_model(name, weights=None, num_classes=6)
            model = models.load(module, preprocessing=models.Preprocessing(resize=(32, 32)), name=name)
        shape = (3, *model.input_shape)
        return model, torch.randn(shape, generator=torch.Generator().manual_seed(2))

    return make
