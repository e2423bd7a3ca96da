"""Small networks of different build, so that every registered explainer is tried on each kind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench import models
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
