"""Networks that count the pictures that they are given, with images, maps and masks."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
import xarray as xr
from torch import nn

from workbench import evaluate, explain, models
from workbench.data import scenes


class Counted(nn.Module):
    """A network that counts the pictures that it is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen = [0]  # shared by every copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Counted:
        twin = Counted(copy.deepcopy(self.network, memo))
        twin.seen = self.seen
        return twin.train(self.training)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.seen[0] += len(inputs)
        found: torch.Tensor = self.network(inputs)
        return found


@dataclass(frozen=True)
class Subject:
    """A network, images as its input, the categories that are asked for, maps, and masks of what is in the images."""

    name: str
    model: models.ImageModel
    inputs: torch.Tensor
    targets: list[int]
    heat: xr.DataArray
    masks: xr.DataArray
    steps: int

    @property
    def side(self) -> int:
        return int(self.inputs.shape[-1])

    @classmethod
    def of(cls, name: str, images: int, steps: int) -> Subject:
        loaded = models.load(name, weights=None if name in models.shipped() else "random")
        module = Counted(loaded.module).eval()
        model = models.load(module, categories=loaded.categories, preprocessing=loaded.preprocessing, name=name)
        drawn = scenes.generate("object", images, seed=7)
        inputs = model.prepare(drawn)
        heat = explain.input_x_gradient(model, inputs)
        masks = evaluate.masks_on_grid(list(drawn["object_mask"].any("object").values), model)
        masks = masks.assign_coords(image=heat["image"].values)
        return cls(name, model, inputs, heat["target"].values.tolist(), heat, masks, steps)

    def some(self, count: int) -> Subject:
        return replace(
            self,
            inputs=self.inputs[:count],
            targets=self.targets[:count],
            heat=self.heat[:count],
            masks=self.masks[:count],
        )
