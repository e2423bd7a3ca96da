"""A small network with everything that makes observing hard: in-place, shared, skipping, unused, tuple-valued."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x.mean()


class Awkward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.pair = Pair()
        self.unused = nn.Linear(2, 2)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv1(x))
        x, _ = self.pair(self.relu(self.conv2(x)))
        out: torch.Tensor = self.head(self.dropout(x.mean((2, 3))))
        return out


@pytest.fixture
def awkward() -> nn.Module:
    torch.manual_seed(0)
    return Awkward().eval()
