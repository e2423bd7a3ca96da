"""The architectures of the networks that come with the package: small, sequential, with layers that have names.

Built to be looked into: each ``layerN`` is a module whose output is a map (unit, y, x) after its nonlinearity, no
module works in place, each is used once, and there are no skip connections, so hooks, relevance propagation and
incremental evaluation (a changed patch changes only the maps that see it) all apply without exceptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

Head = Literal["average", "flatten"]


def _block(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> list[tuple[str, nn.Module]]:
    """Convolution, batch normalisation and ReLU; the convolution has no bias, since the normalisation has one."""
    return [
        ("conv", nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)),
        ("norm", nn.BatchNorm2d(outputs)),
        ("relu", nn.ReLU()),
    ]


def _layer(*blocks: list[tuple[str, nn.Module]], pool: bool = False) -> nn.Sequential:
    """Blocks one after another, their modules numbered, after a pooling that halves the map if asked for."""
    layer = nn.Sequential()
    if pool:
        layer.add_module("pool", nn.MaxPool2d(2))
    for number, block in enumerate(blocks, start=1):
        for name, module in block:
            layer.add_module(f"{name}{number}", module)
    return layer


class SceneNetwork(nn.Module):
    """A convolutional classifier of rendered scenes.

    For pictures of 96 pixels the outputs of its layers are 48, 24, 12 and 12 pixels wide.

    Attributes:
        layer1, layer2, layer3, layer4: convolutional layers, each ending in a ReLU.
        average: mean over all positions; an identity where the head keeps positions.
        flatten: (image, feature).
        classifier: linear, to one logit a category.
    """

    def __init__(
        self,
        *,
        categories: int,
        widths: Sequence[int] = (16, 32, 48, 64),
        head: Head = "average",
        size: int = 96,
    ) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.layer1 = _layer(_block(3, first, kernel=5, stride=2))
        self.layer2 = _layer(_block(first, second), pool=True)
        self.layer3 = _layer(_block(second, third), pool=True)
        self.layer4 = _layer(_block(third, fourth), _block(fourth, fourth))
        self.average: nn.Module = nn.AdaptiveAvgPool2d(1) if head == "average" else nn.Identity()
        self.flatten = nn.Flatten()
        features = fourth if head == "average" else fourth * (size // 8) ** 2
        self.classifier = nn.Linear(features, categories)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits.

        Args:
            inputs: (image, channel, y, x) float, normalised.

        Returns:
            (image, category) float.
        """
        maps = self.layer4(self.layer3(self.layer2(self.layer1(inputs))))
        logits: torch.Tensor = self.classifier(self.flatten(self.average(maps)))
        return logits


class DigitNetwork(nn.Module):
    """A convolutional classifier of handwritten digits of 8 x 8 pixels, one channel.

    Attributes:
        layer1, layer2, layer3: convolutional layers, each ending in a ReLU; 8, 8 and 4 pixels wide.
        flatten: (image, feature).
        classifier: linear, to one logit a category.
    """

    def __init__(self, *, categories: int = 10, widths: Sequence[int] = (16, 32, 48), size: int = 8) -> None:
        super().__init__()
        first, second, third = widths
        self.layer1 = _layer(_block(1, first))
        self.layer2 = _layer(_block(first, second))
        self.layer3 = _layer(_block(second, third), pool=True)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(third * (size // 2) ** 2, categories)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits.

        Args:
            inputs: (image, channel, y, x) float, one channel, normalised.

        Returns:
            (image, category) float.
        """
        logits: torch.Tensor = self.classifier(self.flatten(self.layer3(self.layer2(self.layer1(inputs)))))
        return logits


ARCHITECTURES: dict[str, type[nn.Module]] = {"SceneNetwork": SceneNetwork, "DigitNetwork": DigitNetwork}


def build(architecture: str, **arguments: object) -> nn.Module:
    """Make a network of one of the architectures above, with fresh weights.

    Args:
        architecture: a key of ``ARCHITECTURES``; a model card names it.
        **arguments: those of the architecture; a model card lists them.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        UnknownNameError: there is no such architecture.
        InputError: the architecture does not take such arguments.
    """
    if architecture not in ARCHITECTURES:
        raise unknown_name("architecture", architecture, ARCHITECTURES)
    try:
        return ARCHITECTURES[architecture](**arguments)
    except TypeError as error:
        raise InputError(
            f"{architecture} cannot be built with {arguments}: {error}. Compare its model card."
        ) from error
