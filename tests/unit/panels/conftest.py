"""A small network over small scenes, and a store of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from workbench import models
from workbench.data.scenes import SceneSource
from workbench.store import ActivationStore

if TYPE_CHECKING:
    from workbench.models import ImageModel


@pytest.fixture(scope="session")
def images() -> SceneSource:
    return SceneSource("object", 14, size=64)


@pytest.fixture(scope="session")
def model(images: SceneSource) -> ImageModel:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 5, 4, 2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(96, len(images.categories)),
    )
    preparation = models.Preprocessing(resize=32, crop=32, mean=0.5, std=0.25)
    return models.load(network, name="small", categories=images.categories, preprocessing=preparation)


@pytest.fixture(scope="session")
def store(model: ImageModel, images: SceneSource, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    path = tmp_path_factory.mktemp("store") / "small.zarr"
    return ActivationStore.extract(model, images, layers=["1", "4"], path=path, progress=False)
