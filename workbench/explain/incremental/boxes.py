"""Where a change is: exact intervals for every window and step, and groups of windows that can be computed together.

Along each axis a change is an interval, and the intervals of the two axes do not depend on each other. So they are
followed once for each distinct window along an axis (27 of each for 729 positions), before any image is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.explain.incremental.operations import Axis, Source, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.explain.incremental.program import Program, Step

# Different lengths along an axis that are told apart.
FINEST = 64


@dataclass(frozen=True, eq=False)
class Spans:
    """Changed intervals along one axis, of every step and every distinct window.

    Attributes:
        low: (step, window) first changed pixel.
        high: (step, window) one past the last changed pixel; not above ``low`` where nothing changes.
        sizes: (step,) pixels of the map; 0 where a step has no pixels.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(step, window) pixels that change, at least 1 where there are pixels at all."""
        return np.asarray(np.minimum(np.maximum(self.high - self.low, 1), self.sizes[:, None]))


def follow(program: Program, axis: int, first: NDArray[np.int64], length: NDArray[np.int64]) -> Spans:
    """Follow windows of the input through all steps, along one axis.

    Args:
        program: the traced network.
        axis: 0 for y, 1 for x.
        first: (window) first changed pixel of the input.
        length: (window) number of changed pixels.

    Returns:
        The intervals.
    """
    count, windows = len(program.steps), len(first)
    low = np.zeros((count, windows), np.int64)
    high = np.zeros((count, windows), np.int64)
    sizes = np.array([step.extent[axis] if step.local else 0 for step in program.steps], np.int64)
    for number, step in enumerate(program.steps):
        if isinstance(step.operation, Source):
            low[number], high[number] = first, np.minimum(first + length, sizes[number])
        elif step.local:
            read = list(step.inputs)
            low[number], high[number] = interval(step, axis, int(sizes[number]), low[read], high[read])
    return Spans(low, high, sizes)


def interval(
    step: Step, axis: int, size: int, low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where a step's value changes, along one axis.

    Args:
        step: the step.
        axis: 0 for y, 1 for x.
        size: pixels of its map along the axis.
        low: (input, position) first changed pixel of each map that it reads.
        high: (input, position) one past the last.

    Returns:
        (position) first changed pixel, and one past the last; (size, 0) where nothing changes, so that a union with
        others needs no special case.
    """
    if isinstance(step.operation, Window):
        return reached(step.operation.y if axis == 0 else step.operation.x, low[0], high[0], size)
    if not len(low):
        return np.full(low.shape[1:], size), np.zeros(low.shape[1:], np.int64)
    return low.min(axis=0), high.max(axis=0)


def reached(
    axis: Axis, low: NDArray[np.int64], high: NDArray[np.int64], outputs: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Outputs whose windows read a changed pixel.

    Args:
        axis: the sliding window.
        low: (...) first changed pixel.
        high: (...) one past the last.
        outputs: number of outputs.

    Returns:
        (low, high) of the outputs; (outputs, 0) where none does.
    """
    start = -(-(low + axis.padding - axis.reach + 1) // axis.stride)
    end = (high - 1 + axis.padding) // axis.stride + 1
    start, end = np.clip(start, 0, outputs), np.clip(end, 0, outputs)
    nothing = (high <= low) | (end <= start)
    return np.where(nothing, outputs, start), np.where(nothing, 0, end)


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of one group of positions: one size a step, one corner a step and position.

    Attributes:
        y: (step, position) first row of the box.
        x: (step, position) first column.
        height: (step,) rows, the same for all positions of the group.
        width: (step,) columns.
    """

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]

    def part(self, start: int, stop: int) -> Boxes:
        """The boxes of some neighbouring positions of the group."""
        return Boxes(self.y[:, start:stop], self.x[:, start:stop], self.height, self.width)


def corners(spans: Spans, windows: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """First pixels of boxes of the given lengths that hold the changed intervals.

    Args:
        spans: the intervals along one axis.
        windows: (position) which distinct window each position is.
        length: (step,) length of the boxes.

    Returns:
        (step, position).
    """
    latest = np.maximum(spans.sizes - length, 0)[:, None]
    return np.asarray(np.clip(np.minimum(spans.low[:, windows], latest), 0, None))


@dataclass(frozen=True, eq=False)
class Division:
    """Windows divided into one, two, three ... classes whose members change about equally many pixels.

    Within a class every box is as long as the longest, which costs work; each class more costs calls.

    Attributes:
        work: (number of classes - 1,) work relative to that of one class a window, 1.0 or more.
        labels: for each number of classes, (window) the class of each window.
    """

    work: tuple[float, ...]
    labels: tuple[NDArray[np.int64], ...]


def divide(lengths: NDArray[np.int64], weights: NDArray[np.float64], most: int) -> Division:
    """Divide windows into classes, for every number of classes in the best way that keeps an order by work.

    Args:
        lengths: (step, window) changed pixels.
        weights: (step,) work a pixel.
        most: greatest number of classes.

    Returns:
        The divisions into 1, 2 ... classes, at most ``most``.
    """
    count = lengths.shape[1]
    order = np.argsort(weights @ lengths, kind="stable")
    ordered = lengths[:, order]
    _, first = np.unique(ordered.T, axis=0, return_index=True)
    cuts = np.sort(first)  # places in the order where the lengths are new
    if len(cuts) > FINEST:  # finer than that is not worth its time
        cuts = cuts[np.linspace(0, len(cuts) - 1, FINEST).round().astype(int)]
    ends = np.append(cuts[1:], count)
    pieces = len(cuts)
    longest_in = np.maximum.reduceat(ordered, cuts, axis=1)
    price = np.full((pieces, pieces), np.inf)
    for i in range(pieces):
        longest = np.maximum.accumulate(longest_in[:, i:], axis=1)
        price[i, i:] = (ends[i:] - cuts[i]) * (weights @ longest)
    most = min(most, pieces)
    best = np.full((most + 1, pieces + 1), np.inf)
    back = np.zeros((most + 1, pieces + 1), int)
    best[0, 0] = 0.0
    for k in range(1, most + 1):
        for j in range(1, pieces + 1):
            options = best[k - 1, :j] + price[:j, j - 1]
            back[k, j] = int(options.argmin())
            best[k, j] = options[back[k, j]]
    exact = float((weights @ lengths).sum())
    labels = []
    for number in range(1, most + 1):
        label, stop = np.zeros(count, np.int64), pieces
        for k in range(number, 0, -1):
            start = back[k, stop]
            label[order[cuts[start] : ends[stop - 1]]] = k - 1
            stop = start
        labels.append(label)
    return Division(tuple(float(best[k, pieces]) / max(exact, 1e-300) for k in range(1, most + 1)), tuple(labels))
