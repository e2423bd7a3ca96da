"""Which positions are computed together, and from which step on whole maps are cheaper than boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.explain.incremental.boxes import Boxes, Division, Spans, corners, divide, follow
from workbench.explain.incremental.operations import Opaque, Pointwise, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.explain.incremental.program import Program

# What moving one number through memory costs, in multiplications: boxes pay for it twice (cut out, pasted).
MOVING = 40.0

# What a convolution costs when it meets a shape for the first time, in multiplications: its library writes machine code
# for each (0.3 to 0.4 ms were measured). Every group has its own shapes.
NEW_SHAPE = 3.5e7

# Greatest number of classes an axis.
MOST = 8

# Shares of a map from which on it may be computed as a whole; the cheapest is taken.
SHARES = (0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.01)


@dataclass(frozen=True, eq=False)
class Group:
    """Positions whose boxes have one size a step.

    Attributes:
        positions: (position) numbers of the windows.
        boxes: where their changes are.
        whole: (step) whether the step is computed as a whole map.
        work: multiplications a position, moving counted in.
        multiplications: multiplications a position.
    """

    positions: NDArray[np.int64]
    boxes: Boxes
    whole: NDArray[np.bool_]
    work: float
    multiplications: float


@dataclass(frozen=True, eq=False)
class Costs:
    """What one pixel of each step costs.

    Attributes:
        multiplications: (step,) a pixel.
        numbers: (step,) features a pixel.
        moved: (step,) numbers moved for a pixel of a box beyond computing it.
        pixels: (step,) pixels of the whole map; 0 where the step has none.
        fixed: multiplications of the steps without pixels.
        fixed_numbers: numbers that those give.
        largest_fixed: numbers that the largest of those gives.
    """

    multiplications: NDArray[np.float64]
    numbers: NDArray[np.float64]
    moved: NDArray[np.float64]
    pixels: NDArray[np.float64]
    fixed: float
    fixed_numbers: float = 0.0
    largest_fixed: float = 0.0

    def before(self, until: int) -> Costs:
        """The costs of the steps up to one."""
        wanted = np.arange(len(self.pixels)) <= until
        return Costs(self.multiplications * wanted, self.numbers * wanted, self.moved * wanted, self.pixels, fixed=0.0)

    @property
    def dense(self) -> float:
        """Multiplications of one forward pass."""
        return float(self.multiplications @ self.pixels) + self.fixed

    @property
    def dense_work(self) -> float:
        """Multiplications of one forward pass, moving counted in."""
        return self.dense + MOVING * (float(self.numbers @ self.pixels) + self.fixed_numbers)


def costs(program: Program) -> Costs:
    """Count what each step of a program costs.

    Args:
        program: the traced network.

    Returns:
        The costs.
    """
    count = len(program.steps)
    multiplications, numbers, moved, pixels = (np.zeros(count) for _ in range(4))
    fixed, given = 0.0, [0.0]
    for number, step in enumerate(program.steps):
        if not step.local:
            if isinstance(step.operation, Opaque) and step.shape:
                fixed += step.operation.multiplications
                given.append(float(np.prod(step.shape)))
            continue
        features = float(np.prod(step.features))
        numbers[number] = features
        pixels[number] = float(np.prod(step.extent))
        operation = step.operation
        if isinstance(operation, Window):
            source = float(np.prod(program.steps[step.inputs[0]].features))
            multiplications[number] = operation.multiplications(int(source))
            moved[number] = source if operation.y.reach * operation.x.reach > 1 else 0.0
        elif isinstance(operation, Pointwise) and len(step.inputs) > 1:
            moved[number] = features
    return Costs(multiplications, numbers, moved, pixels, fixed, sum(given), max(given))


def schedule(
    program: Program,
    windows: NDArray[np.int64],
    *,
    most: int = MOST,
    known: Costs | None = None,
    until: int | None = None,
) -> list[Group]:
    """Divide windows into groups, and decide for each group where boxes end.

    Args:
        program: the traced network.
        windows: (window, 4) int64: first row, first column, rows, columns.
        most: greatest number of classes an axis.
        known: the costs of the program, where they have been counted.
        until: the last step that is needed; then every step is computed as a box.

    Returns:
        The groups; every window is in exactly one.
    """
    if not len(windows):
        return []
    price = known or costs(program)
    if until is not None:
        price = price.before(until)
    shares = (1.01,) if until is not None else SHARES
    spans, members, labels = [], [], []
    for axis in (0, 1):
        distinct, member = np.unique(windows[:, [axis, axis + 2]], axis=0, return_inverse=True)
        followed = follow(program, axis, distinct[:, 0], distinct[:, 1])
        spans.append(followed)
        members.append(member.reshape(-1))
    per_pixel = price.multiplications + MOVING * (price.numbers + price.moved)
    divisions = []
    for axis in (0, 1):
        other = spans[1 - axis].lengths.mean(axis=1)
        divisions.append(divide(spans[axis].lengths, per_pixel * other, most))
    area = spans[0].lengths.mean(axis=1) * spans[1].lengths.mean(axis=1)
    numbers = best_numbers(divisions, len(windows) * float(per_pixel @ area), calls(program) * NEW_SHAPE)
    labels = [
        division.labels[number][member] for division, number, member in zip(divisions, numbers, members, strict=True)
    ]
    groups = []
    for key in np.unique(np.stack(labels, axis=1), axis=0):
        positions = np.flatnonzero((labels[0] == key[0]) & (labels[1] == key[1]))
        groups.append(_group(program, price, spans, [member[positions] for member in members], positions, shares))
    return groups


def calls(program: Program) -> int:
    """Number of convolutions of a program."""
    return sum(isinstance(step.operation, Window) and step.operation.kind == "convolution" for step in program.steps)


def best_numbers(divisions: Sequence[Division], work: float, group: float) -> tuple[int, int]:
    """How many classes an axis are worth what a group costs.

    Args:
        divisions: of the two axes.
        work: of all windows, were each its own class.
        group: what each group costs besides.

    Returns:
        Places in the divisions, (y, x).
    """
    down, across = (np.asarray(division.work) for division in divisions)
    number = np.arange(1, len(down) + 1)[:, None] * np.arange(1, len(across) + 1)
    total = work * down[:, None] * across + group * number
    y, x = np.unravel_index(int(total.argmin()), total.shape)
    return int(y), int(x)


def _group(
    program: Program,
    price: Costs,
    spans: list[Spans],
    members: list[NDArray[np.int64]],
    positions: NDArray[np.int64],
    shares: Sequence[float],
) -> Group:
    sizes = [span.lengths[:, member].max(axis=1) for span, member in zip(spans, members, strict=True)]
    boxes = Boxes(corners(spans[0], members[0], sizes[0]), corners(spans[1], members[1], sizes[1]), sizes[0], sizes[1])
    area = (sizes[0] * sizes[1]).astype(float)
    best: tuple[float, float, NDArray[np.bool_]] | None = None
    for share in shares:
        whole = whole_steps(program, area / np.maximum(price.pixels, 1.0), share)
        pixels = np.where(whole, price.pixels, area)
        multiplications = float(price.multiplications @ pixels) + price.fixed
        moving = price.fixed_numbers + float((price.numbers + np.where(whole, 0.0, price.moved)) @ pixels)
        work = multiplications + MOVING * moving
        if best is None or work < best[0]:
            best = (work, multiplications, whole)
    if best is None:  # pragma: no cover - the loop above ran
        raise RuntimeError("no share was tried")
    return Group(positions, boxes, best[2], best[0], best[1])


def whole_steps(program: Program, share: NDArray[np.float64], most: float) -> NDArray[np.bool_]:
    """Which steps are computed as whole maps, when boxes of more than a share of the map are.

    Args:
        program: the traced network.
        share: (step,) share of the map that the box takes.
        most: the greatest share that is still computed as a box.

    Returns:
        (step,) bool. What reads a whole map is whole itself.
    """
    whole = np.zeros(len(program.steps), bool)
    for number, step in enumerate(program.steps):
        if step.local and step.inputs:
            read = [source for source in step.inputs if program.steps[source].local]
            whole[number] = share[number] > most or bool(whole[read].any())
    return whole
