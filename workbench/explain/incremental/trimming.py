"""Near-exact: what hardly changes is taken as unchanged, so that boxes stay small.

After every step that widens the box, rows and columns at its border in which no feature changes by more than a small
part of the map's root mean square are dropped. The boxes then depend on the image, and are followed batch by batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.explain.incremental.boxes import Boxes, interval
from workbench.explain.incremental.operations import Window

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.explain.incremental.runner import Frontier, Runner

# From this share of a map on, the whole map is cheaper than a box of it.
WHOLE = 0.8


def advance_trimmed(runner: Runner, planned: Boxes, patch: Tensor, trim: float) -> Frontier:
    """Run everything before the tail where parts of the image were changed, nearly.

    Args:
        runner: the network and the image.
        planned: the exact boxes; only those of the input are used.
        patch: (position, y, x, channel), the changed pixels of the input.
        trim: part of a map's root mean square below which a change is none; 0 drops only what does not change.

    Returns:
        What the tail reads, one row a position.
    """
    return _Trimmed(runner, planned, patch, trim).run()


class _Trimmed:
    def __init__(self, runner: Runner, planned: Boxes, patch: Tensor, trim: float) -> None:
        self.runner, self.trim = runner, trim
        self.steps = runner.program.steps
        count, positions = len(self.steps), planned.y.shape[1]
        self.boxes = Boxes(planned.y.copy(), planned.x.copy(), planned.height.copy(), planned.width.copy())
        self.low = np.zeros((2, count, positions), np.int64)
        self.high = np.zeros((2, count, positions), np.int64)
        self.low[:, 0] = planned.y[0], planned.x[0]
        self.high[:, 0] = planned.y[0] + planned.height[0], planned.x[0] + planned.width[0]
        self.whole = np.zeros(count, bool)
        self.values: dict[int, Any] = {0: patch}

    def run(self) -> Frontier:
        for number in range(1, self.runner.tail):
            step = self.steps[number]
            if step.local:
                self._follow(number)
            self.values[number] = self.runner.one(number, self.values, self.boxes, self.whole)
            widened = isinstance(step.operation, Window) and step.operation.y.reach * step.operation.x.reach > 1
            if widened and not self.whole[number]:
                self._trim(number)
            self.runner.forget(number, self.values)
        return self.runner.completed(self.values, self.boxes, self.whole)

    def _follow(self, number: int) -> None:
        """Find the box of a step from the boxes of what it reads."""
        step = self.steps[number]
        read = [source for source in step.inputs if self.steps[source].local]
        for axis in (0, 1):
            size = step.extent[axis]
            self.low[axis, number], self.high[axis, number] = interval(
                step, axis, size, self.low[axis][read], self.high[axis][read]
            )
        self._set_box(number)
        share = self.boxes.height[number] * self.boxes.width[number] / (step.extent[0] * step.extent[1])
        self.whole[number] = bool(read) and (share > WHOLE or bool(self.whole[read].any()))

    def _set_box(self, number: int) -> None:
        extent = self.steps[number].extent
        for axis, (start, lengths) in enumerate(((self.boxes.y, self.boxes.height), (self.boxes.x, self.boxes.width))):
            low, high = self.low[axis, number], self.high[axis, number]
            lengths[number] = min(max(int((high - low).max()), 1), extent[axis])
            start[number] = np.clip(np.minimum(low, extent[axis] - lengths[number]), 0, None)

    def _trim(self, number: int) -> None:
        """Drop the border of a box in which nothing changes by much."""
        value = self.values[number]
        before = self.runner.before(number, self.boxes)
        threshold = self.trim * self.runner.root_mean_square(number)
        changed = ((value.flatten(3) - before).abs().amax(dim=3) > threshold).cpu().numpy()
        corners = Boxes(self.boxes.y.copy(), self.boxes.x.copy(), self.boxes.height.copy(), self.boxes.width.copy())
        for axis, start in enumerate((corners.y[number], corners.x[number])):
            along = changed.any(axis=2 - axis)
            length, anything = along.shape[1], along.any(axis=1)
            first, last = along.argmax(axis=1), length - along[:, ::-1].argmax(axis=1)
            size = self.steps[number].extent[axis]
            self.low[axis, number] = np.where(anything, start + first, size)
            self.high[axis, number] = np.where(anything, start + last, 0)
        self._set_box(number)
        # every position's box is as large as the largest: it must not leave the box that was computed
        for start, old, length, old_length in (
            (self.boxes.y, corners.y, self.boxes.height, value.shape[1]),
            (self.boxes.x, corners.x, self.boxes.width, value.shape[2]),
        ):
            start[number] = np.minimum(start[number], old[number] + old_length - length[number])
        if (self.boxes.height[number], self.boxes.width[number]) != tuple(value.shape[1:3]):
            self.values[number] = _crop(value, corners, self.boxes, number)


def _crop(value: Tensor, old: Boxes, new: Boxes, number: int) -> Tensor:
    """Cut the smaller box out of the larger one, at another place in each position."""
    count, height, width = value.shape[:3]
    rows = (new.y[number] - old.y[number])[:, None] + np.arange(new.height[number])
    columns = (new.x[number] - old.x[number])[:, None] + np.arange(new.width[number])
    index = (np.arange(count)[:, None] * height + rows)[:, :, None] * width + columns[:, None, :]
    flat = value.reshape(count * height * width, -1)
    kept = flat.index_select(0, torch.from_numpy(index.reshape(-1)).to(flat.device))
    return kept.view(count, int(new.height[number]), int(new.width[number]), *value.shape[3:])
