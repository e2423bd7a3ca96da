"""A network made by hand, in which it is known which units carry which category."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from workbench import models
from workbench.interpret import MemoryActivations, observe

CATEGORIES = ("red", "green", "blue")
SIZE = 16
DISTRACTORS = 10


class PlantedNetwork(nn.Module):
    """Units 0 to 2 see red, green and blue, 3 to 5 cyan, magenta and yellow; the others see white, in any category."""

    def __init__(self) -> None:
        super().__init__()
        units = 6 + DISTRACTORS
        self.convolution = nn.Conv2d(3, units, 3, padding=1)
        self.activation = nn.ReLU()
        self.readout = nn.Linear(units, 3)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            for category in range(3):
                pure, mixed = torch.full((3,), -1.0), torch.full((3,), 0.5)
                pure[category], mixed[category] = 1.0, -1.0
                self.convolution.weight[category, :, 1, 1] = pure
                self.convolution.weight[3 + category, :, 1, 1] = mixed
                self.readout.weight[category, [category, 3 + category]] = 5.0
            self.convolution.bias[:] = -0.4
            window = torch.rand((DISTRACTORS, 1, 3, 3), generator=generator)
            self.convolution.weight[6:] = window / (3 * window.sum((2, 3), keepdim=True))  # a mean over colours
            self.convolution.bias[6:] = -0.7
            self.readout.weight[:, 6:] = 0.05

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.readout(self.activation(self.convolution(pictures)).mean((2, 3)))


@dataclass(frozen=True)
class Planted:
    model: models.ImageModel
    pictures: xr.DataArray
    labels: np.ndarray
    masks: xr.DataArray
    store: MemoryActivations
    layer: str = "activation"

    def true_units(self, category: int) -> set[int]:
        return {category, 3 + category}


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures on grey noise, their labels, and where the labelled square is.

    A square of a category's colour, or of the mixture of the other two, is in every picture; a white one in half.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, size=count)
    pictures = generator.uniform(0, 0.4, size=(count, SIZE, SIZE, 1)).repeat(3, -1)
    masks = np.zeros((count, 3, SIZE, SIZE), dtype=bool)
    for index, label in enumerate(labels):
        if generator.uniform() < 0.5:
            top, left = generator.integers(0, SIZE - 4, size=2)
            pictures[index, top : top + 4, left : left + 4] = generator.uniform(0.8, 1)
        top, left = generator.integers(1, SIZE - 7, size=2)
        masks[index, label, top : top + 6, left : left + 6] = True
        colour = np.full(3, 0.1)
        colour[label] = generator.uniform(0.8, 1)
        pictures[index, top : top + 6, left : left + 6] = colour if generator.uniform() < 0.5 else 1.0 - colour
    return pictures, labels, masks


def plant(count: int = 120, seed: int = 0) -> Planted:
    pictures, labels, masks = draw(count, seed)
    model = models.load(
        PlantedNetwork(),
        categories=CATEGORIES,
        preprocessing=models.Preprocessing(resize=(SIZE, SIZE)),
        name="planted",
    )
    names = [f"picture {seed}-{index}" for index in range(count)]
    images = xr.DataArray(pictures, dims=("image", "y", "x", "channel"), coords={"image": names})
    store = observe(model, images, layers="activation", labels=labels)
    return Planted(
        model,
        images,
        labels,
        xr.DataArray(masks, dims=("image", "part", "y", "x"), coords={"image": names, "part": list(CATEGORIES)}),
        store,
    )


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant()


@pytest.fixture(scope="session")
def held_out() -> Planted:
    return plant(count=60, seed=1)
