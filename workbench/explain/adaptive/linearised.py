"""Falls of the score, nearly: large changes are followed through the network exactly, small ones linearly.

A window changes few pixels of a layer much and many a little. After each step only the box of considerable changes is
followed on; what the rest does to the score is added to first order, by the gradient of the score at the untouched
image. That addition is ours; the box that shrinks is the approximate inference of [nakandala2019].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.explain.incremental.boxes import Boxes, reached
from workbench.explain.incremental.engine import Filled, filled, occluded
from workbench.explain.incremental.kernels.gather import Base
from workbench.explain.incremental.operations import Constant, Window
from workbench.explain.incremental.runner import Runner, run_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from workbench.explain.incremental.program import Program, Step
    from workbench.explain.incremental.schedule import Costs
    from workbench.explain.window_fills import Fill

SLIM = 1.5  # a step is slim if it has at most so many times the features of its neighbours
APART = 6.0  # what starting one more batch costs, in boxes

ScoreOf = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """How the score answers to small changes of a step's value, at the untouched image.

    Attributes:
        gradient: of the score, (y, x, feature).
        level: root mean square of the value.
    """

    gradient: Base
    level: float


@dataclass
class Batch:
    """Windows that are followed together, from some step on.

    Attributes:
        windows: (window) their numbers.
        values: step to its changed boxes, (window, y, x, features...), or to whole values.
        boxes: where the boxes are.
        dropped: (window) float64, what the changes that were not followed do to the score, to first order.
        following: number of the next step.
    """

    windows: NDArray[np.int64]
    values: dict[int, Any]
    boxes: Boxes
    dropped: NDArray[np.float64]
    following: int

    def part(self, chosen: NDArray[np.int64]) -> Batch:
        """Some of the windows.

        Args:
            chosen: (chosen) int64, places within the batch.

        Returns:
            The batch of these alone.
        """
        rows = torch.from_numpy(chosen)
        values = {
            number: value.index_select(0, rows.to(value.device)) if isinstance(value, torch.Tensor) else value
            for number, value in self.values.items()
        }
        boxes = Boxes(
            self.boxes.y[:, chosen], self.boxes.x[:, chosen], self.boxes.height.copy(), self.boxes.width.copy()
        )
        return Batch(self.windows[chosen], values, boxes, self.dropped[chosen], self.following)


class LinearisedRunner:
    """Follows windows of one image through a network, the small changes linearly.

    Args:
        runner: the network and the image.
        price: what each step costs.
        score: takes the network's answers, (input, category), to scores, (input).
    """

    def __init__(self, runner: Runner, price: Costs, score: ScoreOf) -> None:
        self._runner = runner
        self._price = price
        self._score = score
        self._steps = runner.program.steps
        self._none_whole = np.zeros(len(self._steps), bool)
        self._sensitivity = sensitivities(runner, score)

    def scores(
        self, windows: NDArray[np.int64], fill: Fill, *, looseness: float, batch: int
    ) -> tuple[NDArray[np.float64], float]:
        """Scores with each window hidden, nearly.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns; all of one size.
            fill: what the windows show, (channel, y, x) float or see :meth:`Hiding.fill`.
            looseness: changes below this share of a step's root mean square are followed linearly, above 0.
            batch: windows at once.

        Returns:
            (window) float64, and the multiplications done.
        """
        image = self._runner.original[0]
        base, shown = Base(image[0], 0, 0), filled(fill, image)
        untouched = float(self._score(self._runner.output)[0])
        found = np.full(len(windows), untouched)
        done = 0.0
        for start in range(0, len(windows), batch):
            stack = [self._begin(windows, np.arange(start, min(start + batch, len(windows))), base, shown)]
            while stack:
                current = stack.pop()
                parts, spent = self._follow(current, looseness)
                done += spent
                for part in parts:
                    if part.following < len(self._steps):
                        stack.append(part)
                    elif len(self._steps) - 1 in part.values:
                        answers = self._score(part.values[len(self._steps) - 1]).double().cpu().numpy()
                        found[part.windows] = answers + part.dropped
                    else:
                        found[part.windows] = untouched + part.dropped
        return found, done

    def _begin(self, windows: NDArray[np.int64], numbers: NDArray[np.int64], base: Base, shown: Filled) -> Batch:
        chosen = windows[numbers]
        count = len(self._steps)
        y, x = (np.zeros((count, len(numbers)), np.int64) for _ in range(2))
        height, width = (np.ones(count, np.int64) for _ in range(2))
        y[0], x[0], height[0], width[0] = chosen[:, 0], chosen[:, 1], chosen[0, 2], chosen[0, 3]
        boxes = Boxes(y, x, height, width)
        return Batch(numbers, {0: occluded(base, shown, chosen, boxes)}, boxes, np.zeros(len(numbers)), 1)

    def _follow(self, batch: Batch, looseness: float) -> tuple[list[Batch], float]:
        """Go on until the batch divides or ends."""
        runner, spent = self._runner, 0.0
        for number in range(batch.following, len(self._steps)):
            step = self._steps[number]
            batch.following = number + 1
            count = len(batch.windows)
            if step.local and step.inputs:
                self._place(number, step, batch.boxes)
                spent += count * float(self._price.multiplications[number] * _area(batch.boxes, number))
            batch.values[number] = runner.one(number, batch.values, batch.boxes, self._none_whole)
            runner.forget(number, batch.values)
            if number in self._sensitivity:
                spent += count * float(self._price.numbers[number] * _area(batch.boxes, number))
                parts = self._shrink(number, batch, looseness)
                if len(parts) != 1 or not parts[0].values:
                    return parts, spent
                batch = parts[0]
        spent += len(batch.windows) * self._price.fixed
        return [batch], spent

    def _place(self, number: int, step: Step, boxes: Boxes) -> None:
        """Where a step's changed boxes are, from where those of its inputs are."""
        for axis, corner, length in ((0, boxes.y, boxes.height), (1, boxes.x, boxes.width)):
            extent = step.extent[axis]
            read = [item for item in step.inputs if not isinstance(self._steps[item].operation, Constant)]
            if isinstance(step.operation, Window):
                source = read[0]
                window = step.operation.y if axis == 0 else step.operation.x
                low, high = reached(window, corner[source], corner[source] + length[source], extent)
            else:
                low = corner[read].min(axis=0)
                high = (corner[read] + length[read][:, None]).max(axis=0)
            longest = int(np.clip((high - low).max(), 1, extent))
            length[number] = longest
            corner[number] = np.clip(np.minimum(low, extent - longest), 0, None)

    def _shrink(self, number: int, batch: Batch, looseness: float) -> list[Batch]:
        """Keep the boxes of considerable changes, account for the rest, and divide the batch by their size."""
        known, boxes = self._sensitivity[number], batch.boxes
        y, x, height, width = boxes.y[number], boxes.x[number], int(boxes.height[number]), int(boxes.width[number])
        pixels = batch.values[number].flatten(3)
        change = pixels - self._runner.before(number, boxes)
        effect = torch.einsum("pyxf,pyxf->pyx", change, known.gradient.windows(y, x, height, width))
        effect_of = effect.double().cpu().numpy()
        keep = (change.abs_().amax(dim=3) > looseness * known.level).cpu().numpy()
        top, rows = _extent(keep.any(axis=2))
        left, columns = _extent(keep.any(axis=1))
        parts = []
        for chosen in divide(rows, columns):
            tall, wide = int(rows[chosen].max()), int(columns[chosen].max())
            part = batch if len(chosen) == len(batch.windows) else batch.part(chosen)
            if tall == 0:
                part.dropped = part.dropped + effect_of[chosen].sum(axis=(1, 2))
                part.values, part.following = {}, len(self._steps)
            elif (tall, wide) != (height, width):
                first_y, first_x = np.minimum(top[chosen], height - tall), np.minimum(left[chosen], width - wide)
                inside_y = (np.arange(height) >= first_y[:, None]) & (np.arange(height) < first_y[:, None] + tall)
                inside_x = (np.arange(width) >= first_x[:, None]) & (np.arange(width) < first_x[:, None] + wide)
                inside = inside_y[:, :, None] & inside_x[:, None, :]
                part.dropped = part.dropped + np.where(inside, 0.0, effect_of[chosen]).sum(axis=(1, 2))
                value = part.values[number]
                rows_of = value.reshape(len(chosen) * height * width, -1)
                picked = torch.from_numpy(np.flatnonzero(inside)).to(value.device)
                part.values[number] = rows_of.index_select(0, picked).view(len(chosen), tall, wide, *value.shape[3:])
                part.boxes.y[number] = part.boxes.y[number] + first_y
                part.boxes.x[number] = part.boxes.x[number] + first_x
                part.boxes.height[number], part.boxes.width[number] = tall, wide
            parts.append(part)
        return parts


def sensitivities(runner: Runner, score: ScoreOf) -> dict[int, Sensitivity]:
    """Gradients of the score at the untouched image, for each step after which boxes may shrink.

    Args:
        runner: the network and the image.
        score: takes the network's answers to scores.

    Returns:
        Step number to what is known of it; no entry where no gradient leads through.
    """
    values: list[Any] = []
    with torch.inference_mode(mode=False), torch.enable_grad():
        image = runner.original[0].clone().permute(0, 3, 1, 2).contiguous().requires_grad_()
        answer = run_whole(runner.program, image, keep=values)
        points = [number for number in crossings(runner.program) if values[number].requires_grad]
        gradients = torch.autograd.grad(score(answer).sum(), [values[i] for i in points], allow_unused=True)
    found = {}
    for number, gradient in zip(points, gradients, strict=True):
        if gradient is not None:
            found[number] = Sensitivity(
                Base(gradient[0].flatten(2).contiguous(), 0, 0), runner.root_mean_square(number)
            )
    return found


def crossings(program: Program) -> list[int]:
    """Steps that all later ones depend on alone, and of these the slim ones: there a box is shrunk at little cost.

    Args:
        program: the traced network.

    Returns:
        Numbers of steps, increasing.
    """
    last = [max(readers, default=number) for number, readers in enumerate(program.users())]
    found = []
    for number, step in enumerate(program.steps):
        alone = max((last[earlier] for earlier in range(number)), default=0) <= number
        if number and step.local and step.inputs and alone:
            found.append(number)
    features = [float(np.prod(program.steps[number].features)) for number in found]
    return [
        number
        for place, number in enumerate(found)
        if features[place] <= min(features[max(place - 1, 0)], *features[place + 1 : place + 2] or [np.inf]) * SLIM
    ]


def _area(boxes: Boxes, number: int) -> int:
    return int(boxes.height[number]) * int(boxes.width[number])


def _extent(any_kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First kept place and the length up to the last, of each row; (0, 0) where nothing is kept."""
    length = any_kept.shape[1]
    some = any_kept.any(axis=1)
    first = np.where(some, any_kept.argmax(axis=1), 0)
    last = length - any_kept[:, ::-1].argmax(axis=1)
    return first, np.where(some, last - first, 0)


def divide(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Divide boxes into batches of about one size: each box of a batch is made as large as the largest.

    Args:
        rows: (box) rows, 0 for nothing.
        columns: (box) columns.

    Returns:
        Places of the boxes of each batch; every box is in exactly one. Empty boxes are by themselves.
    """
    nothing = np.flatnonzero(rows == 0)
    order = np.argsort(rows * columns, kind="stable")[len(nothing) :]
    batches = [nothing] if len(nothing) else []
    waiting = [order] if len(order) else []
    while waiting:
        boxes = waiting.pop()
        tallest, widest = np.maximum.accumulate(rows[boxes]), np.maximum.accumulate(columns[boxes])
        from_end_tall = np.maximum.accumulate(rows[boxes][::-1])[::-1]
        from_end_wide = np.maximum.accumulate(columns[boxes][::-1])[::-1]
        whole = len(boxes) * tallest[-1] * widest[-1]
        cuts = np.arange(1, len(boxes))
        priced = cuts * tallest[:-1] * widest[:-1] + (len(boxes) - cuts) * from_end_tall[1:] * from_end_wide[1:]
        if len(priced) and priced.min() + APART * tallest[-1] * widest[-1] < whole:
            cut = int(cuts[priced.argmin()])
            waiting += [boxes[:cut], boxes[cut:]]
        else:
            batches.append(np.sort(boxes))
    return batches
