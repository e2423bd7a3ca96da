"""Pictures for a planted circuit: where primitives are placed, and their pixels."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from workbench.interpret.relations.planted_network import SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workbench.interpret.relations.planted import Gate, PlantedCircuit

# how the two sources of a gate are shown: at their places, one of them, or both apart from each other
MIXTURE: Mapping[str, float] = MappingProxyType({"both": 0.5, "first": 0.2, "second": 0.2, "apart": 0.1})
Placement = tuple[int, int, int]


class Canvas:
    """Primitives placed in one picture, none upon another."""

    def __init__(self, circuit: PlantedCircuit, generator: np.random.Generator) -> None:
        self.circuit, self.generator = circuit, generator
        self.placements: list[Placement] = []

    def fill(self) -> list[Placement]:
        """(primitive, y, x) of each: some gates' arrangements, then distractors."""
        parameters, gates = self.circuit.parameters, self.circuit.gates
        for index in self.generator.choice(len(gates), size=parameters.events, replace=False):
            self._arrange(gates[index])
        free = sorted(
            {source for gate in gates if len(gate.sources) == 2 and not gate.redundant for source in gate.sources}
        )
        for _ in range(self.generator.poisson(parameters.distractors) if free else 0):
            self._place([(int(self.generator.choice(free)), 0, 0)])
        return self.placements

    def _arrange(self, gate: Gate) -> None:
        """Show a gate's sources at its offsets, or one of them, or both apart from each other."""
        shown = [(source, *offset) for source, offset in zip(gate.sources, gate.offsets, strict=True)]
        if gate.companion >= 0 and self.circuit.parameters.confounding == "place":
            self._place([*shown, (gate.companion, *gate.companion_offset)])
        elif gate.companion >= 0:
            self._together(shown, [(gate.companion, 0, 0)])
        elif gate.redundant:
            self._place(shown)
        else:
            match str(self.generator.choice(list(MIXTURE), p=list(MIXTURE.values()))):
                case "both":
                    self._place(shown)
                case "first":
                    self._place(shown[:1])
                case "second":
                    self._place(shown[1:])
                case _:
                    self._together(shown[:1], shown[1:])

    def _together(self, first: list[Placement], second: list[Placement]) -> None:
        """Place two arrangements, each anywhere, or none of them."""
        before = list(self.placements)
        if not (self._place(first) and self._place(second)):
            self.placements = before

    def _place(self, arrangement: list[Placement]) -> bool:
        """Find room for (primitive, y, x) around a common place; False where a picture has none left."""
        rows, columns = (np.array([each[axis] for each in arrangement]) for axis in (1, 2))
        margin, size = SIDE // 2, self.circuit.parameters.size
        taken = np.array([place[1:] for place in self.placements], dtype=np.int64).reshape(-1, 2)
        for _ in range(30):
            row = self.generator.integers(margin - min(0, rows.min()), size - margin - max(0, rows.max()))
            column = self.generator.integers(margin - min(0, columns.min()), size - margin - max(0, columns.max()))
            centres = np.stack([row + rows, column + columns], axis=1)
            if (np.abs(centres[:, None] - taken[None]).max(2) >= SIDE).all():
                found = zip(arrangement, centres.tolist(), strict=True)
                self.placements += [(each[0], y, x) for each, (y, x) in found]
                return True
        return False
