"""Robustness and sanity: explainers whose answer is known, what is left untouched, bad input."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from workbench import evaluate, explain, models
from workbench.errors import (
    DtypeError,
    InputError,
    Interrupted,
    NotDeterministicError,
    NotFiniteError,
    ShapeError,
    UnknownNameError,
)
from workbench.evaluate.randomisation import randomised, weighted_layers
from workbench.explain import Progress
from workbench.models import ImageModel, Preprocessing

SIZE = 12
DIMS = ("image", "y", "x")
ROBUST = ("max_sensitivity", "local_lipschitz")
NAMES = (*ROBUST, "model_randomisation", "label_randomisation")


class Attending(nn.Module):
    """A part that is never called (the projection inside attention) and a parameter of the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.place = nn.Parameter(torch.randn(1, 9, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.spare = nn.Linear(3, 3)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(self.conv(inputs)).flatten(2).transpose(1, 2) + self.place
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))


def attending() -> ImageModel:
    torch.manual_seed(0)
    network = Attending().eval()
    network.norm.running_mean += 0.5
    return models.load(network, categories=["a", "b", "c", "d"], preprocessing=Preprocessing(mean=0.5, std=0.25))


def plain() -> ImageModel:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(200, 4),
    ).eval()
    nn.init.uniform_(network[1].weight, 0.2, 2.0)
    nn.init.normal_(network[1].running_mean, std=0.3)
    return models.load(network, categories=["a", "b", "c", "d"], preprocessing=Preprocessing(mean=0.5, std=0.25))


def pictures(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def constant(model: Any, inputs: torch.Tensor, *, target: Any) -> np.ndarray:
    """Ignores the image and the network."""
    return np.tile(np.arange(SIZE * SIZE, dtype=float).reshape(SIZE, SIZE), (len(inputs), 1, 1))


def brightness(model: Any, inputs: torch.Tensor, *, target: Any, factor: float = 1.0) -> np.ndarray:
    """Ignores the network; a linear function of the image."""
    return (factor * inputs.double().sum(1)).numpy()


def run(name: str, explainer: Any, model: ImageModel, images: Any, **parameters: Any) -> xr.Dataset:
    given: dict[str, Any] = {"samples": 4} if name in ROBUST else {}
    if name == "label_randomisation":
        given["other"] = parameters.pop("other", model)
    return evaluate.metrics[name](explainer, model, images, **{**given, **parameters})


class Watched(nn.Module):
    """Counts the pictures that it is given, its copies with it; draws at random where it is told to."""

    def __init__(self, inner: nn.Module, *, draws: bool = False) -> None:
        super().__init__()
        self.inner, self.draws = inner, draws
        self.seen: list[int] = SEEN

    def __deepcopy__(self, memo: dict[int, Any]) -> Watched:
        return Watched(copy.deepcopy(self.inner, memo), draws=self.draws).train(self.training)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(inputs))
        return self.inner(nn.functional.dropout(inputs, 0.3, training=self.draws))


SEEN: list[int] = []


@pytest.mark.parametrize("name", ROBUST)
def test_an_image_and_its_copies_are_one_pass_each(name):
    """A picture an explanation and one more a call of the explainer; the prediction only where no target is given."""
    model = replace(plain(), module=Watched(plain().module).eval())
    for target, predictions in (([0, 1, 2], 0), (None, 3 + 1)):
        SEEN.clear()
        found = run(name, "saliency", model, pictures(), samples=9, batch_size=16, target=target)
        assert sum(SEEN) == 3 * 10 + 2 + predictions
    by_hand = run(name, explain.saliency, model, pictures(), samples=9, target=target)
    np.testing.assert_allclose(found["change"], by_hand["change"], rtol=1e-4)


def test_every_randomised_copy_is_asked_once():
    model = replace(plain(), module=Watched(plain().module).eval())
    SEEN.clear()
    layers = run("model_randomisation", "saliency", model, pictures(), target=1).sizes["layer"]
    assert sum(SEEN) == 1 + (3 + 1) * (layers + 1)  # the layers are found with one image


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("explainer", ["saliency", constant])
def test_a_network_that_draws_is_refused(name, explainer):
    model = replace(plain(), module=Watched(plain().module, draws=True).eval())
    with pytest.raises(NotDeterministicError, match="different answers to the same image"):
        run(name, explainer, model, pictures(), target=1)


@pytest.mark.parametrize("name", ROBUST)
def test_a_map_that_ignores_the_image_is_perfectly_robust(name):
    np.testing.assert_array_equal(run(name, constant, plain(), pictures())["score"], 0)


def test_a_linear_explainer_has_its_own_constant():
    found = run("local_lipschitz", brightness, plain(), pictures(), samples=50, parameters={"factor": 3.0})
    assert float(found["score"].max()) <= 3 * np.sqrt(3) + 1e-5  # the norm of the sum over three channels
    assert float(found["score"].min()) > 3
    halved = run("local_lipschitz", brightness, plain(), pictures(), samples=50, parameters={"factor": 1.5})
    np.testing.assert_allclose(halved["score"], found["score"] / 2)
    relative = [run("max_sensitivity", brightness, plain(), pictures(), parameters={"factor": f}) for f in (1, 9)]
    np.testing.assert_allclose(relative[0]["score"], relative[1]["score"])


def test_more_samples_find_no_less_and_a_larger_box_more():
    few = run("max_sensitivity", "saliency", plain(), pictures(), samples=3)
    more = run("max_sensitivity", "saliency", plain(), pictures(), samples=9)
    assert bool((more["score"] >= few["score"]).all())
    np.testing.assert_allclose(more["change"][:, :3], few["change"], rtol=1e-4)
    wide = run("max_sensitivity", brightness, plain(), pictures(), radius=0.2)
    np.testing.assert_allclose(
        wide["score"], 10 * run("max_sensitivity", brightness, plain(), pictures())["score"], rtol=1e-3
    )


def test_a_map_of_zeros_has_no_relative_change():
    def only_the_first(model: Any, inputs: torch.Tensor, *, target: Any) -> np.ndarray:
        return brightness(model, inputs, target=target) * (np.asarray(target) == 0)[:, None, None]

    found = run("max_sensitivity", only_the_first, plain(), pictures(), target=[0, 1, 0])
    assert np.isnan(found["score"][1])
    assert int(found["n"]) == 2


@pytest.mark.parametrize("name", ["model_randomisation", "label_randomisation"])
@pytest.mark.parametrize("measure", evaluate.similarity.MEASURES)
def test_a_map_that_ignores_the_network_is_found_out(name, measure):
    other = {"other": attending()} if name == "label_randomisation" else {}
    found = run(name, brightness, plain(), pictures(), measure=measure, **other)
    np.testing.assert_allclose(found["score"], 1)


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_a_map_that_heeds_the_network_changes(order):
    found = run("model_randomisation", "input_x_gradient", plain(), pictures(), order=order)
    assert float(found["similarity"].sel(measure="spearman").max()) < 0.99
    assert found["layer"].values.tolist() == ["6", "3", "1", "0"]


def test_the_same_network_gives_the_same_map():
    found = run("label_randomisation", "saliency", plain(), pictures())
    np.testing.assert_allclose(found["similarity"], 1)


def test_layers_are_found_in_the_order_in_which_they_finish():
    layers = weighted_layers(attending(), pictures(1))
    assert [layer.name for layer in layers] == ["conv", "norm", "attention", "head", ""]
    assert layers[2].owners == ("attention", "attention.out_proj")
    found = run("model_randomisation", "saliency", attending(), pictures())
    assert found["layer"].values.tolist() == ["(the network itself)", "head", "attention", "norm", "conv"]


def test_only_the_named_layers_are_drawn_again():
    model = attending()
    layers = {layer.name: layer for layer in weighted_layers(model, pictures(1))}
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    for name, changed in (
        ("conv", {"conv.weight", "conv.bias"}),
        ("norm", {"norm.running_mean"}),
        ("", {"place"}),
        ("attention", {"attention.in_proj_weight", "attention.out_proj.weight"}),
    ):
        after = randomised(model, [layers[name]], seed=0).module.state_dict()
        assert changed <= {key for key, value in after.items() if not torch.equal(value, before[key])}
        assert all(key.startswith(name or "place") for key in after if not torch.equal(after[key], before[key]))
    together = randomised(model, [layers["conv"], layers["head"]], seed=0).module
    alone = randomised(model, [layers["head"]], seed=0).module
    torch.testing.assert_close(together.head.weight, alone.head.weight, rtol=0, atol=0)
    assert all(torch.equal(before[key], value) for key, value in model.module.state_dict().items())


def test_layers_may_be_chosen_by_name_or_number():
    every = run("model_randomisation", "saliency", plain(), pictures())
    some = run("model_randomisation", "saliency", plain(), pictures(), layers=["3", "6"])
    np.testing.assert_array_equal(some["layer"], ["6", "3"])
    np.testing.assert_allclose(some["similarity"], every["similarity"].sel(layer=["6", "3"]))
    ends = run("model_randomisation", "saliency", plain(), pictures(), layers=2)
    np.testing.assert_allclose(ends["similarity"], every["similarity"].sel(layer=["6", "0"]), atol=1e-12)
    assert run("model_randomisation", "saliency", plain(), pictures(), layers=99).sizes["layer"] == 4


def test_the_original_is_never_touched():
    for name in NAMES:
        model = plain()
        before = copy.deepcopy(model.module.state_dict())
        hash_before, hooks = model.weights_hash, [len(part._forward_hooks) for part in model.module.modules()]
        calls = iter(range(100))

        def fails(model: Any, inputs: torch.Tensor, *, target: Any, calls: Any = calls) -> Any:
            if next(calls) == 1:
                raise KeyboardInterrupt
            return brightness(model, inputs, target=target)

        with pytest.raises(KeyboardInterrupt):
            run(name, fails, model, pictures(), batch_size=2)
        assert model.weights_hash == hash_before
        assert hooks == [len(part._forward_hooks) for part in model.module.modules()]
        assert all(torch.equal(before[key], value) for key, value in model.module.state_dict().items())
        assert all(parameter.grad is None for parameter in model.module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_result_and_its_provenance(name):
    numbers = torch.random.get_rng_state()
    found = run(name, "saliency", plain(), pictures(), seed=2)
    assert torch.equal(torch.random.get_rng_state(), numbers)
    assert found["score"].dims == ("image",)
    assert float(found["low"]) <= float(found["value"]) <= float(found["high"])
    assert int(found["n"]) == 3
    assert (found.attrs["metric"], found.attrs["better"]) == (name, "lower")
    assert evaluate.metrics[name].card.better == "lower"
    assert found.attrs["explainer"] == "saliency"
    xr.testing.assert_identical(found, run(name, "saliency", plain(), pictures(), seed=2))


@pytest.mark.parametrize("name", NAMES)
def test_results_can_be_kept(name, tmp_path: Path):
    found = run(name, "saliency", plain(), pictures())
    found.to_zarr(tmp_path / "score.zarr", consolidated=False)
    with xr.open_zarr(tmp_path / "score.zarr", consolidated=False) as kept:
        xr.testing.assert_equal(kept.load(), found)


@pytest.mark.parametrize("name", NAMES)
def test_batches_change_nothing_and_hold_no_more_than_asked(name):
    seen: list[int] = []

    def watched(model: Any, inputs: torch.Tensor, *, target: Any) -> Any:
        seen.append(len(inputs))
        return explain.saliency(model, inputs, target=target)

    small = run(name, watched, plain(), pictures(), batch_size=2)
    assert max(seen) == 2
    whole = run(name, "saliency", plain(), pictures())
    np.testing.assert_allclose(small["score"], whole["score"], rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_one_image_has_a_score_but_no_interval(name):
    found = run(name, "saliency", plain(), pictures(1))
    assert np.isfinite(found["score"]).all()
    assert np.isnan(found["low"])


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_named(name):
    model, inputs = plain(), pictures()
    with pytest.raises(UnknownNameError, match="Did you mean 'saliency'"):
        run(name, "salincy", model, inputs)
    with pytest.raises(DtypeError, match="explainer is int"):
        run(name, 3, model, inputs)
    with pytest.raises(ShapeError, match="maps of shape"):
        run(name, lambda model, inputs, *, target: np.zeros((len(inputs), 4, 4)), model, inputs)
    with pytest.raises(NotFiniteError, match="explainer's maps"):
        run(name, lambda model, inputs, *, target: np.full((len(inputs), SIZE, SIZE), np.nan), model, inputs)
    with pytest.raises(UnknownNameError, match="category"):
        run(name, "saliency", model, inputs, target="e")
    with pytest.raises(InputError, match="batch_size is -1"):
        run(name, "saliency", model, inputs, batch_size=-1)


@pytest.mark.parametrize(
    ("name", "parameters", "error", "message"),
    [
        ("max_sensitivity", {"radius": 0}, InputError, "radius is 0"),
        ("local_lipschitz", {"samples": 0}, InputError, "samples is 0"),
        ("model_randomisation", {"order": "random"}, InputError, "'cascading' or 'independent'"),
        ("model_randomisation", {"layers": ["7"]}, UnknownNameError, "layer with weights"),
        ("model_randomisation", {"layers": []}, InputError, "layers is empty"),
        ("model_randomisation", {"layers": 0}, InputError, "layers is 0"),
        ("model_randomisation", {"measure": "sim"}, UnknownNameError, "Did you mean 'ssim'"),
        ("label_randomisation", {"measure": "spear"}, UnknownNameError, "spearman"),
        ("label_randomisation", {"other": None}, InputError, "training images are not known"),
    ],
)
def test_bad_parameters_are_named(name, parameters, error, message):
    with pytest.raises(error, match=message):
        run(name, "saliency", plain(), pictures(), **parameters)


def test_a_black_box_has_nothing_to_randomise():
    model = models.load(lambda inputs: inputs.mean((2, 3)), preprocessing=Preprocessing(mean=0.5, std=0.25))
    with pytest.raises(InputError, match=r"Nothing in .* has weights"):
        run("model_randomisation", brightness, model, pictures())


@pytest.mark.parametrize("name", NAMES)
def test_progress_and_stopping(name):
    reports: list[Progress] = []
    run(name, "saliency", plain(), pictures(), batch_size=2, progress=reports.append)
    assert reports[-1].done == reports[-1].total
    asked = iter([False, True])
    with pytest.raises(Interrupted, match="Stopped on request"):
        run(name, "saliency", plain(), pictures(), batch_size=1, stop=lambda: next(asked, True))


def test_similarity_of_constant_maps_is_defined():
    slope = np.tile(np.arange(SIZE, dtype=float), (1, SIZE, 1))
    flat = np.zeros_like(slope)
    np.testing.assert_array_equal(evaluate.map_similarity(flat, flat + 3), 1)
    np.testing.assert_array_equal(evaluate.map_similarity(flat, slope), 0)
    np.testing.assert_allclose(evaluate.map_similarity(slope, 2 * slope + 1), 1)
    with pytest.raises(ShapeError, match="need 7 or more"):
        evaluate.map_similarity(slope[:, :5], slope[:, :5])
    assert evaluate.map_similarity(slope[:, :5], slope[:, :5], measures=["spearman"]).shape == (1, 1)
    with pytest.raises(ShapeError, match="maps of the same images"):
        evaluate.map_similarity(slope, slope[:, :, :-1])


def test_digits_are_memorised_and_remembered():
    model = models.load("digits")
    before = model.weights_hash
    trained = evaluate.train_on_random_labels(model, epochs=30)
    assert trained.facts["training_accuracy"] > 0.95
    assert trained.weights_hash != before
    assert model.weights_hash == before
    assert trained.categories == model.categories
    assert not trained.module.training
    assert evaluate.train_on_random_labels(model, epochs=30) is trained


def test_any_small_network_can_be_trained_on_pictures_of_its_own():
    model = models.load("digits")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
    images = xr.DataArray(pixels, dims=("image", "y", "x", "channel"))
    trained = evaluate.train_on_random_labels(model, images, epochs=30)
    assert trained.facts["training_accuracy"] == 1
    again = evaluate.train_on_random_labels(model, images, epochs=30)
    assert again.weights_hash == trained.weights_hash
    found = evaluate.label_randomisation("saliency", model, images, other=trained)
    assert float(found["training_accuracy"]) == 1
    assert float(found["value"]) < 0.9
    with pytest.raises(Interrupted, match="steps of training"):
        evaluate.train_on_random_labels(model, images, stop=lambda: True)
    with pytest.raises(InputError, match="epochs is 0"):
        evaluate.train_on_random_labels(model, images, epochs=0)


def test_what_cannot_be_trained_is_refused():
    undeclared = models.load(plain().module)
    with pytest.raises(InputError, match=r"preprocessing of .* is not known"):
        evaluate.train_on_random_labels(undeclared, pictures())
    odd = models.load(plain().module, output=lambda found: found)
    with pytest.raises(InputError, match="which training cannot take"):
        evaluate.train_on_random_labels(odd, pictures())
