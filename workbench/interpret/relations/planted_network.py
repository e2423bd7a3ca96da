"""The torch module of a planted circuit, and how its weights are set by hand."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from workbench.interpret.relations.planted import Gate, Operator, Parameters

BIASES: Mapping[Operator, float] = MappingProxyType({"and": -1.5, "or": -0.5, "and-not": -0.5, "alone": -0.5})
SIDE = 5  # of a primitive, in pixels
REACH = 5  # farthest that a gate looks from its place, in pixels, along either axis
SEEN = 0.6  # correlation at which a primitive begins to be seen
CEILING = 0.5  # of saturating gates


class Ceiling(nn.Module):
    """A ReLU whose units stop rising at a height of their own.

    Attributes:
        heights: (unit) float; infinity, as at first, where a unit does not stop.
    """

    heights: torch.Tensor

    def __init__(self, units: int) -> None:
        super().__init__()
        self.register_buffer("heights", torch.full((units,), torch.inf))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Rectify and limit.

        Args:
            inputs: (image, unit, y, x) float.

        Returns:
            The same shape, from 0 to the height of each unit.
        """
        return torch.minimum(inputs.relu(), self.heights[:, None, None])


class PlantedNetwork(nn.Module):
    """A real network around hand-set weights.

    Attributes:
        layer1: (primitive, y, x), 1 where a primitive's centre is, else 0.
        layer2: (gate, y, x), see the module's text.
        pool: the maximum over all positions.
        classifier: linear, to one logit a category.
    """

    def __init__(self, primitives: int, units: int, categories: int) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, primitives, SIDE, padding=SIDE // 2), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(primitives, units, 2 * REACH + 1, padding=REACH), Ceiling(units))
        self.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(units, categories)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits.

        Args:
            inputs: (image, channel, y, x) float in [-1, 1].

        Returns:
            (image, category) float.
        """
        logits: torch.Tensor = self.classifier(self.pool(self.layer2(self.layer1(inputs))))
        return logits


def wire(
    parameters: Parameters,
    patterns: NDArray[np.int8],
    gates: tuple[Gate, ...],
    wiring: NDArray[np.int8],
    generator: np.random.Generator,
) -> PlantedNetwork:
    """A network of these primitives, gates and wires, with noise upon all weights of layer 2 and the classifier.

    Args:
        parameters: for the noise and the ceiling.
        patterns: (primitive, y, x, channel) of -1 and 1.
        gates: the gates.
        wiring: (category, unit) of -1, 0 and 1.
        generator: draws the noise.

    Returns:
        The network, in evaluation mode.
    """
    heights = np.full(wiring.shape[1], CEILING if parameters.saturating else np.inf)
    biases = np.full(wiring.shape[1], BIASES["alone"])
    # drawn at a scale of one, so that circuits of one seed differ in the size of their noise only
    shape = (wiring.shape[1], len(patterns), 2 * REACH + 1, 2 * REACH + 1)
    gate_weights = parameters.noise * generator.normal(size=shape)
    class_weights = parameters.noise * generator.normal(size=wiring.shape) + wiring
    for gate in gates:
        biases[gate.unit] = BIASES[gate.operator]
        heights[gate.unit] = CEILING if gate.redundant else heights[gate.unit]
        for source, (row, column), weight in zip(gate.sources, gate.offsets, gate.weights, strict=True):
            gate_weights[gate.unit, source, REACH + row, REACH + column] += weight
    gain = 1 / (1 - SEEN)
    state = {
        "layer1.0.weight": patterns.transpose(0, 3, 1, 2) * gain / patterns[0].size,
        "layer1.0.bias": np.full(len(patterns), -SEEN * gain),
        "layer2.0.weight": gate_weights,
        "layer2.0.bias": biases,
        "layer2.1.heights": heights,
        "classifier.weight": class_weights,
        "classifier.bias": np.zeros(len(wiring)),
    }
    module = PlantedNetwork(len(patterns), wiring.shape[1], len(wiring))
    module.load_state_dict({name: torch.tensor(values, dtype=torch.float32) for name, values in state.items()})
    return module.eval()
