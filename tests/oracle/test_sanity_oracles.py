"""Similarity, sanity checks and complexity against scipy, scikit-image, captum or a loop from the definition."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.stats
import torch
import xarray as xr
from captum.attr import Saliency
from skimage.feature import hog
from torch import nn

from workbench import evaluate, explain, models
from workbench.evaluate.randomisation import randomised, weighted_layers
from workbench.evaluate.similarity import MEASURES

DIMS = ("image", "y", "x")
SIZE = 26


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    first = generator.normal(size=(5, SIZE, SIZE + 2)).cumsum(1)
    second = 0.6 * first + generator.normal(size=first.shape)
    second[3] = -first[3]
    first[4], second[4] = first[4].round(), second[4].round()  # ties
    return first, second


def unit(picture: np.ndarray) -> np.ndarray:
    return (picture - picture.min()) / (picture.max() - picture.min())


def literal_ssim(one: np.ndarray, other: np.ndarray) -> float:
    values = []
    for row in range(one.shape[0] - 6):
        for column in range(one.shape[1] - 6):
            left, right = (picture[row : row + 7, column : column + 7].ravel() for picture in (one, other))
            variances = np.cov(left, right)
            luminance = (2 * left.mean() * right.mean() + 0.01**2) / (left.mean() ** 2 + right.mean() ** 2 + 0.01**2)
            contrast = (2 * variances[0, 1] + 0.03**2) / (variances[0, 0] + variances[1, 1] + 0.03**2)
            values.append(luminance * contrast)
    return float(np.mean(values))


def test_similarity(pairs):
    first, second = pairs
    found = xr.DataArray(
        evaluate.map_similarity(first, second), dims=("image", "measure"), coords={"measure": [*MEASURES]}
    )
    for index, (one, other) in enumerate(zip(first, second, strict=True)):
        here = found[index]
        wanted = scipy.stats.spearmanr(one.ravel(), other.ravel()).statistic
        assert float(here.sel(measure="spearman")) == pytest.approx(wanted)
        wanted = scipy.stats.spearmanr(abs(one).ravel(), abs(other).ravel()).statistic
        assert float(here.sel(measure="spearman_absolute")) == pytest.approx(wanted)
        assert float(here.sel(measure="ssim")) == pytest.approx(literal_ssim(unit(one), unit(other)), abs=1e-9)
        edges = [hog(unit(picture), pixels_per_cell=(8, 8)) for picture in (one, other)]
        assert float(here.sel(measure="hog")) == pytest.approx(scipy.stats.pearsonr(*edges).statistic)


def test_complexity(pairs):
    maps = xr.DataArray(pairs[0], dims=DIMS)
    sparseness, entropy = evaluate.sparseness(maps), evaluate.entropy(maps)
    effective = evaluate.effective_complexity(maps, threshold=0.3)
    for index, picture in enumerate(pairs[0]):
        sizes = np.abs(picture).ravel()
        gini = sum(np.abs(sizes - value).sum() for value in sizes) / (2 * len(sizes) ** 2 * sizes.mean())
        assert float(sparseness["score"][index]) == pytest.approx(gini)
        assert float(entropy["score"][index]) == pytest.approx(scipy.stats.entropy(sizes))
        above = sum(value > 0.3 * max(sizes) for value in sizes)
        assert float(effective["score"][index]) == pytest.approx(above / len(sizes))


@pytest.fixture(scope="module")
def model() -> models.ImageModel:
    torch.manual_seed(1)
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 4, 3, padding=1))
    network.add_module("norm1", nn.BatchNorm2d(4))
    network.add_module("relu1", nn.ReLU())
    network.add_module("conv2", nn.Conv2d(4, 5, 3, padding=1))
    network.add_module("relu2", nn.ReLU())
    network.add_module("flatten", nn.Flatten())
    network.add_module("head", nn.Linear(5 * SIZE * SIZE, 3))
    network.norm1.running_mean += 0.3
    return models.load(network.eval(), preprocessing=models.Preprocessing(mean=0.5, std=0.25))


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_model_randomisation(order, model, inputs):
    """Layer by layer by hand: draw the layer's weights again, explain by captum, compare."""
    found = evaluate.model_randomisation("saliency", model, inputs, order=order, target=1, seed=4)
    assert found["layer"].values.tolist() == ["head", "conv2", "norm1", "conv1"]

    def gradients(network: nn.Module) -> np.ndarray:
        return Saliency(network).attribute(inputs.clone().requires_grad_(), target=1, abs=False).sum(1).numpy()

    original = gradients(copy.deepcopy(model.module))
    layers = {layer.name: layer for layer in weighted_layers(model, inputs[:1])}
    changed = copy.deepcopy(model.module)
    for position, name in enumerate(["head", "conv2", "norm1", "conv1"]):
        if order == "independent":
            changed = copy.deepcopy(model.module)
        drawn = randomised(model, [layers[name]], seed=4).module.get_submodule(name)
        changed.get_submodule(name).load_state_dict(drawn.state_dict())
        wanted = evaluate.map_similarity(original, gradients(copy.deepcopy(changed)))
        np.testing.assert_allclose(found["similarity"][:, position], wanted, atol=1e-3)
    np.testing.assert_allclose(found["score"], found["similarity"].sel(measure="spearman").mean("layer"))


def test_label_randomisation(model, inputs):
    other = randomised(model, weighted_layers(model, inputs), seed=9)
    found = evaluate.label_randomisation("saliency", model, inputs, other=other, measure="ssim", target=[0, 2])
    maps = [explain.saliency(network, inputs, target=[0, 2]).signed.values for network in (model, other)]
    np.testing.assert_allclose(found["similarity"], evaluate.map_similarity(*maps))
    np.testing.assert_array_equal(found["score"], found["similarity"].sel(measure="ssim"))
    assert np.isnan(found["training_accuracy"])
