"""A small network, a few images, and the store that they make."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from workbench import models
from workbench.models import ImageModel
from workbench.store import ActivationStore

CATEGORIES = ("ant", "bee", "cow", "dog", "eel")
LAYERS = ("1", "3", "6")


def small_network(seed: int = 0) -> nn.Module:
    generator_state = torch.get_rng_state()
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )
    torch.set_rng_state(generator_state)
    return network


def as_model(network: nn.Module, *, name: str = "small", size: int = 24) -> ImageModel:
    preprocessing = models.Preprocessing(resize=None, crop=(size, size), mean=(0.5,) * 3, std=(0.5,) * 3)
    return models.load(network, preprocessing=preprocessing, categories=CATEGORIES, name=name)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """What is tested here is not durability (test_durable_store and tests/crash do): thousands of fsyncs are saved."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def model() -> ImageModel:
    return as_model(small_network())


@pytest.fixture(scope="session")
def other_model() -> ImageModel:
    return as_model(small_network(seed=1), name="other")


@pytest.fixture(scope="session")
def make_model() -> Callable[..., ImageModel]:
    return as_model


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (22, 24, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def labels(images: NDArray[np.uint8]) -> list[int]:
    return [index % 5 for index in range(len(images))]


@pytest.fixture(scope="session")
def arguments(labels: list[int]) -> dict[str, object]:
    """What ``extract`` is given besides model, images and path: three blocks of at most eight images."""
    return {
        "layers": LAYERS,
        "labels": labels,
        "batch_size": 4,
        "block_bytes": 30_000,
        "threads": 1,
        "progress": False,
    }


@pytest.fixture(scope="session")
def reference(
    model: ImageModel,
    images: NDArray[np.uint8],
    arguments: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A finished store, never to be changed."""
    path = tmp_path_factory.mktemp("reference") / "store.zarr"
    ActivationStore.extract(model, images, path=path, **arguments)
    return path


@pytest.fixture
def path(reference: Path, tmp_path: Path) -> Path:
    """A copy of the finished store, to be damaged."""
    return Path(shutil.copytree(reference, tmp_path / "copy.zarr"))


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """The bytes of every file of a store, but for the lock, which holds none."""

    def read(path: Path) -> dict[str, bytes]:
        files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}

    return read
