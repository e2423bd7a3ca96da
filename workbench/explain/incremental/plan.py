"""What measuring a set of windows will take, known before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.explain.incremental.operations import Opaque
from workbench.explain.incremental.schedule import Group, costs, schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from workbench.explain.incremental.boxes import Boxes
    from workbench.explain.incremental.program import Program

# Small enough that the maps of a batch stay in the caches of a processor core, large enough that calls do not count.
BATCH = 32
# Estimated gain below which trying is not worth it.
GAIN = 1.1
# Estimated gain from which the incremental engine is used without trying both on the first batches.
CLEAR_GAIN = 1.5


@dataclass(frozen=True, eq=False)
class IncrementalPlan:
    """What measuring some windows of one image will take.

    Attributes:
        positions: number of windows.
        forward_equivalents: multiplications to be done, over those of one forward pass; the dense way takes
            ``positions``.
        gain: how many times less work than the dense way, moving pixels counted in.
        memory: bytes that the largest batch takes, estimated, beyond the network and the image's own maps.
        batch: windows computed at once, at most.
        dense_layers: (layer, reason) of the layers that need whole maps, in order; what reads them is dense, too.
        seconds: estimated, where the time of one forward pass is known; None otherwise.
    """

    positions: int
    forward_equivalents: float
    gain: float
    memory: int
    batch: int
    dense_layers: tuple[tuple[str, str], ...]
    seconds: float | None = None
    groups: tuple[Group, ...] = field(default=(), repr=False)

    @property
    def pays(self) -> bool:
        """Whether the incremental way is expected to be faster than the dense one."""
        return self.gain > GAIN

    @property
    def clear(self) -> bool:
        """Whether that is so by so much that nobody need try."""
        return self.gain > CLEAR_GAIN

    @classmethod
    def dense(cls, positions: int, reason: str) -> IncrementalPlan:
        """The plan for a network in which no change can be followed.

        Args:
            positions: number of windows.
            reason: why.
        """
        return cls(positions, float(positions), 0.0, 0, 0, (("the network", reason),))

    def timed(self, forward_seconds: float) -> IncrementalPlan:
        """The plan with its time estimated.

        Args:
            forward_seconds: what one forward pass takes.
        """
        return replace(self, seconds=self.positions * forward_seconds / max(self.gain, 1.0))

    def parts(self) -> Iterator[tuple[NDArray[np.int64], Boxes, NDArray[np.bool_]]]:
        """The batches.

        Yields:
            (window) int64, which windows (a few come twice); their boxes; (step) bool, which steps are computed as
            whole maps.
        """
        for group in self.groups:
            count = len(group.positions)
            # batches of one size, the last of which may begin within the one before: a new size would cost more
            size = -(-count // -(-count // self.batch))
            for start in range(0, count, size):
                begin = min(start, count - size)
                yield group.positions[begin : begin + size], group.boxes.part(begin, begin + size), group.whole


def plan_program(
    program: Program,
    windows: NDArray[np.int64],
    *,
    memory_limit: int,
    item: int = 4,
    batch: int | None = None,
    until: int | None = None,
) -> IncrementalPlan:
    """Plan the measuring of windows.

    Args:
        program: the traced network.
        windows: (window, 4) int64: first row, first column, rows, columns.
        memory_limit: bytes that a batch may take.
        item: bytes a number.
        batch: windows at once; None for a good number.
        until: the last step that is needed, where only a part of the network is run.

    Returns:
        The plan. Where not even one window fits the limit, the batch is 1.
    """
    price = costs(program)
    groups = schedule(program, windows, known=price, until=until)
    used = slice(None) if until is None else slice(until + 1)
    bytes_each = 4.0 * item * price.largest_fixed if until is None else 0.0
    for group in groups:
        pixels = np.where(group.whole, price.pixels, group.boxes.height * group.boxes.width)[used]
        # the largest step, what it reads, the windows cut out of that, and shortcuts that wait
        bytes_each = max(
            bytes_each, 4.0 * item * float((pixels * (price.numbers + price.moved)[used]).max(initial=0.0))
        )
    size = max(1, min(batch or BATCH, int(memory_limit / max(bytes_each, 1.0))))
    work = sum(group.work * len(group.positions) for group in groups)
    multiplications = sum(group.multiplications * len(group.positions) for group in groups)
    dense_layers = tuple(
        (step.layer, step.operation.reason)
        for step in program.steps
        if isinstance(step.operation, Opaque) and step.operation.reason
    )
    return IncrementalPlan(
        positions=len(windows),
        forward_equivalents=multiplications / price.dense,
        gain=price.dense_work * len(windows) / max(work, 1.0),
        memory=int(size * bytes_each),
        batch=size,
        dense_layers=dense_layers,
        groups=tuple(groups),
    )
