"""Small networks of different build, so that every registered explainer is tried on each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import xarray as xr
from torch import nn

from workbench import explain, models
from workbench.models import ImageModel, Preprocessing

NAMES = ("cat", "dog", "bird", "fish")


class Residual(nn.Module):
    """One activation used three times, in place, and a skip connection: what is hard for hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.conv3 = nn.Conv2d(6, 6, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(6, len(NAMES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu(self.norm(self.conv1(x))))
        x = self.relu(x + self.conv3(self.relu(self.conv2(x))))
        logits: torch.Tensor = self.head(self.dropout(x.mean((2, 3))))
        return logits


def build() -> nn.Module:
    torch.manual_seed(3)
    network = Residual()
    nn.init.normal_(network.norm.running_mean, std=0.1)  # type: ignore[arg-type]
    return network.eval()


@pytest.fixture
def model() -> ImageModel:
    return models.load(
        build(), categories=NAMES, preprocessing=Preprocessing(resize=(20, 24), mean=0.5, std=0.25), name="residual"
    )


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(3, 3, 20, 24, generator=torch.Generator().manual_seed(1))


# enough to run each method, too little to use it for anything
SMALL: dict[str, dict[str, Any]] = {
    "extremal_perturbation": {"iterations": 6},
    "hierarchical_occlusion": {"patch": 4},
    "hipe": {"cells": 4, "levels": 2},
    "integrated_gradients": {"steps": 8},
    "kernel_shap": {"samples": 24, "segments": 8},
    "lime": {"samples": 24, "segments": 8},
    "meaningful_perturbation": {"iterations": 6},
    "rise": {"masks": 48, "cells": 4},
    "smoothgrad": {"samples": 4},
}


@pytest.fixture
def run() -> Callable[..., xr.DataArray]:
    """Explain with the method of a name, with as little work as shows anything."""

    def small(name: str, model: Any, images: Any, **parameters: Any) -> xr.DataArray:
        return explain.explain(name, model, images, **{**SMALL.get(name, {}), **parameters})

    return small
