"""Rendered scenes as a torch ``Dataset``; the only module of the package that imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

from workbench.data.scenes.render import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.data.scenes.source import SceneSource


class SceneDataset(Dataset[tuple[Any, int]]):
    """Scenes for a ``DataLoader``: (picture, label), rendered when asked for, in as many workers as it has.

    A picture is a (channel, y, x) uint8 tensor unless ``transform`` makes it something else.

    Attributes:
        source: the set.
        transform: applied to each uint8 picture, or None.
    """

    def __init__(self, source: SceneSource, *, transform: Callable[[torch.Tensor], Any] | None = None) -> None:
        self.source = source
        self.transform = transform

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        sample = self.source.sample(index)
        image = render(sample.scene, size=self.source.size).image
        picture = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return (picture if self.transform is None else self.transform(picture)), sample.label
