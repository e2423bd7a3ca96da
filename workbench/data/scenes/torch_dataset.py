"""Rendered scenes as a torch ``Dataset``; the only module of the package that imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

from workbench.data.scenes.render import render
from workbench.data.scenes.source import render_block

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.data.scenes.source import SceneSource

MASKS = ("object_mask", "part_mask", "watermark_mask")


class SceneDataset(Dataset[tuple[Any, ...]]):
    """Scenes for a ``DataLoader``, rendered when they are asked for, in as many workers as it has.

    An item is (picture, label): a (channel, y, x) uint8 tensor unless ``transform`` makes it something else, and an
    integer. With ``masks`` a third entry holds bool tensors of the same sizes for all images, so that they collate:
    ``object_mask`` (object, y, x), ``part_mask`` (part, y, x) and ``watermark_mask`` (y, x).

    Attributes:
        source: the set.
        transform: applied to each uint8 picture, or None. It does not change the masks.
        masks: whether items have masks.
    """

    def __init__(
        self,
        source: SceneSource,
        *,
        transform: Callable[[torch.Tensor], Any] | None = None,
        masks: bool = False,
    ) -> None:
        self.source = source
        self.transform = transform
        self.masks = masks

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        number = range(len(self.source))[index]
        if self.masks:
            made = render_block(self.source, number, number + 1, True)
            image, label = made["pixels"][1][0], int(self.source.labels[number])
            more: tuple[Any, ...] = ({name: torch.from_numpy(made[name][1][0]) for name in MASKS},)
        else:
            sample = self.source.sample(number)
            image, label, more = render(sample.scene, size=self.source.size).image, sample.label, ()
        picture = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return (picture if self.transform is None else self.transform(picture), label, *more)
