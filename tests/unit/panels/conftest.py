"""A small network over small scenes, a store of it, and coreset panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import xarray as xr

from workbench import models
from workbench.data.scenes import SceneSource
from workbench.panels import CoresetPanel
from workbench.store import ActivationStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workbench.models import ImageModel

Planted = Callable[..., tuple[xr.DataArray, np.ndarray]]
NAMES = ("left", "right", "up")


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


@pytest.fixture(scope="module")
def many() -> SceneSource:
    return SceneSource("object", 48, size=64)


@pytest.fixture(scope="module")
def labelled(model: ImageModel, many: SceneSource, tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    path = tmp_path_factory.mktemp("store") / "many.zarr"
    return ActivationStore.extract(model, many, layers=["1", "4"], path=path, labels=many.labels, progress=False)


@pytest.fixture
def coreset_panel(labelled: ActivationStore, many: SceneSource) -> Iterator[CoresetPanel]:
    panel = CoresetPanel(labelled, many, labels="true")
    panel.state.fraction = 0.4
    yield panel
    panel.stop()
    assert panel.wait(20)


@pytest.fixture
def planted() -> Planted:
    """Features in which unit 0 belongs to the first category, unit 1 to the second, and unit 2 to the third."""

    def make(images: int = 90) -> tuple[xr.DataArray, np.ndarray]:
        generator = np.random.default_rng(0)
        category = np.arange(images) % 3
        values = generator.random((images, 8)).astype(np.float32)
        values[np.arange(images), category] += 3
        return xr.DataArray(values, dims=("image", "unit")), category

    return make


@pytest.fixture
def featured(planted: Planted) -> Iterator[CoresetPanel]:
    features, category = planted()
    panel = CoresetPanel(features, labels=category, categories=NAMES)
    yield panel
    panel.stop()
    assert panel.wait(20)
