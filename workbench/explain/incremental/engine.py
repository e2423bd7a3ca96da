"""The exact incremental engine: only what a window changes is computed again.

Source: the design follows the box of changed pixels through the network, layer by layer [nakandala2019].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from workbench.explain.incremental.boxes import Boxes
from workbench.explain.incremental.kernels.gather import Base, Changed, cut, cut_sparse
from workbench.explain.incremental.operations import (
    Axis,
    Constant,
    GlobalMean,
    Opaque,
    Pointwise,
    SizeOf,
    Source,
    Window,
)
from workbench.explain.incremental.program import Program, Step
from workbench.explain.incremental.schedule import Group, schedule


class Runner:
    """Runs a program on one image: once as it is, then on boxes that differ from it.

    Args:
        program: the traced network.
        inputs: (1, channel, y, x), the image.
    """

    def __init__(self, program: Program, inputs: Tensor) -> None:
        self.program = program
        self.device, self.dtype = inputs.device, inputs.dtype
        self._bases: dict[tuple[int, int, int, int, int, float], Base] = {}
        self._last_use = [max(readers, default=number) for number, readers in enumerate(program.users())]
        self.original: list[Any] = self._run_whole(inputs)

    @property
    def output(self) -> Tensor:
        """The network's answer to the image itself, (1, category)."""
        return self.original[-1]  # type: ignore[no-any-return]

    # ---- whole maps ------------------------------------------------------------------------------------------------

    def _run_whole(self, inputs: Tensor) -> list[Any]:
        values: list[Any] = []
        for step in self.program.steps:
            if isinstance(step.operation, Source):
                values.append(inputs.permute(0, 2, 3, 1).contiguous())
            else:
                values.append(self._whole(step, [values[source] for source in step.inputs], len(inputs)))
        return values

    def _whole(self, step: Step, values: Sequence[Any], count: int) -> Any:
        """One step on whole maps; local inputs are feature last."""
        operation = step.operation
        if isinstance(operation, Pointwise):
            return operation.function(*values)
        if isinstance(operation, Window):
            return operation.on_map(values[0], *step.extent)
        if isinstance(operation, Constant):
            return operation.value.to(self.device)
        if isinstance(operation, GlobalMean):
            return operation.finish(values[0].mean(dim=(1, 2)))
        if isinstance(operation, SizeOf):
            return operation.function(torch.Size((count, *operation.shape[1:])))
        if isinstance(operation, Opaque):
            sources = [self.program.steps[source] for source in step.inputs]
            return operation.function(*map(_own_order, sources, values))
        raise TypeError(f"{step.layer!r} cannot be run: {operation!r}")

    # ---- boxes -----------------------------------------------------------------------------------------------------

    def run(self, group: Group, start: int, stop: int, patch: Callable[[Boxes], Tensor]) -> Tensor:
        """The network's answers for some positions of a group.

        Args:
            group: positions with boxes of one size.
            start: first position of the group to compute.
            stop: one past the last.
            patch: makes the changed pixels of the input, (position, y, x, channel), from the boxes.

        Returns:
            (position, category).
        """
        boxes = group.boxes.part(start, stop)
        values: dict[int, Any] = {}
        steps = self.program.steps
        for number, step in enumerate(steps):
            if isinstance(step.operation, Source):
                values[number] = patch(boxes)
            elif isinstance(step.operation, Constant):
                values[number] = None
            elif isinstance(step.operation, SizeOf):
                shape = torch.Size((stop - start, *step.operation.shape[1:]))
                values[number] = step.operation.function(shape)
            elif step.local and not group.whole[number]:
                values[number] = self._box(number, step, values, boxes)
            elif isinstance(step.operation, GlobalMean) and not group.whole[step.inputs[0]]:
                values[number] = self._box_mean(step, values, boxes)
            else:
                read = [self._completed(source, values, boxes, group) for source in step.inputs]
                values[number] = self._whole(step, read, stop - start)
            for source in step.inputs:
                if self._last_use[source] == number:
                    values.pop(source, None)
        return values[len(steps) - 1]  # type: ignore[no-any-return]

    def _box(self, number: int, step: Step, values: dict[int, Any], boxes: Boxes) -> Tensor:
        y, x, height, width = boxes.y[number], boxes.x[number], int(boxes.height[number]), int(boxes.width[number])
        operation = step.operation
        if isinstance(operation, Pointwise):
            read = [self._at(source, values, boxes, number) for source in step.inputs]
            return operation.function(*read)
        if not isinstance(operation, Window):
            raise TypeError(f"{step.layer!r} cannot be run on boxes: {operation!r}")
        source = step.inputs[0]
        base = self._base(source, step)
        first_y, first_x = y * operation.y.stride - operation.y.padding, x * operation.x.stride - operation.x.padding
        changed = self._changed(source, values, boxes)
        span = operation.y.span(height), operation.x.span(width)
        steps = operation.y.step, operation.x.step
        if steps == (1, 1):
            window = cut(base, changed, first_y, first_x, *span)
        else:
            window = cut_sparse(base, changed, first_y, first_x, span, steps)
        result = operation.on_window(window)
        if operation.scale is not None:
            down, across = (
                factor[torch.from_numpy(start[:, None] + np.arange(length)).to(self.device)]
                for factor, start, length in zip(operation.scale, (y, x), (height, width), strict=True)
            )
            result = result * (down[:, :, None, None] * across[:, None, :, None])
        return result

    def _at(self, source: int, values: dict[int, Any], boxes: Boxes, number: int) -> Tensor:
        """A map's pixels in the box of a later step."""
        height, width = int(boxes.height[number]), int(boxes.width[number])
        y, x = boxes.y[number], boxes.x[number]
        if isinstance(self.program.steps[source].operation, Constant):
            window = self._base(source).windows(y, x, height, width)
        else:
            window = cut(self._base(source), self._changed(source, values, boxes), y, x, height, width)
        return window.unflatten(3, self.program.steps[source].features) if self._irregular(source) else window

    def _irregular(self, source: int) -> bool:
        return len(self.program.steps[source].features) != 1

    def _changed(self, source: int, values: dict[int, Any], boxes: Boxes) -> Changed:
        pixels = values[source]
        return Changed(pixels.flatten(3) if pixels.ndim > 3 else pixels[..., None], boxes.y[source], boxes.x[source])

    def _box_mean(self, step: Step, values: dict[int, Any], boxes: Boxes) -> Tensor:
        """Mean of the original, less that of its box, plus that of the changed box."""
        source = step.inputs[0]
        height, width = int(boxes.height[source]), int(boxes.width[source])
        before = self._base(source).windows(boxes.y[source], boxes.x[source], height, width)
        change = (values[source].flatten(3) - before).sum(dim=(1, 2))
        rows, columns = self.program.steps[source].extent
        mean = self.original[source].flatten(3).mean(dim=(1, 2)) + change / (rows * columns)
        operation = step.operation
        if not isinstance(operation, GlobalMean):
            raise TypeError(f"{step.layer!r} is no mean.")
        return operation.finish(mean)

    def _completed(self, source: int, values: dict[int, Any], boxes: Boxes, group: Group) -> Any:
        """A value as whole maps: a box is put into copies of the original's map."""
        step = self.program.steps[source]
        if not step.local:
            return values[source]
        count = boxes.y.shape[1]
        if isinstance(step.operation, Constant):
            return self.original[source].expand(count, *self.original[source].shape[1:])
        if group.whole[source]:
            return values[source]
        zeros = np.zeros(count, np.int64)
        whole = cut(self._base(source), self._changed(source, values, boxes), zeros, zeros, *step.extent)
        return whole.unflatten(3, step.features) if self._irregular(source) else whole

    def _base(self, source: int, reader: Step | None = None) -> Base:
        """The original's map, padded as far as its reader looks; kept."""
        y, x, fill = Axis(), Axis(), 0.0
        extent = rows, columns = self.program.steps[source].extent
        if reader is not None and isinstance(reader.operation, Window):
            y, x, fill = reader.operation.y, reader.operation.x, reader.operation.fill
            extent = reader.extent
        pads = (y.padding, y.padding_after(rows, extent[0]), x.padding, x.padding_after(columns, extent[1]))
        pads = (max(pads[0], 0), max(pads[1], 0), max(pads[2], 0), max(pads[3], 0))
        key = (source, *pads, fill if any(pads) else 0.0)
        if key not in self._bases:
            pixels = self.original[source]
            pixels = pixels.flatten(3) if pixels.ndim > 3 else pixels[..., None]
            padded = F.pad(pixels, (0, 0, pads[2], pads[3], pads[0], pads[1]), value=fill) if any(pads) else pixels
            self._bases[key] = Base(padded[0].contiguous(), pads[0], pads[2])
        return self._bases[key]


def _own_order(step: Step, value: Any) -> Any:
    """A feature-last map in the dimension order of the network."""
    if step.layout is None:
        return value
    rest = iter(range(3, value.ndim))
    order = [0, *(step.layout.index(dim) + 1 if dim in step.layout else next(rest) for dim in range(1, value.ndim))]
    return value.permute(order)


def score_all(
    runner: Runner, windows: NDArray[np.int64], fill: Tensor, *, batch: int = 32, groups: list[Group] | None = None
) -> Tensor:
    """Answers for all windows.

    Args:
        runner: the network and the image.
        windows: (window, 4) int64: first row, first column, rows, columns.
        fill: (channel, y, x), what the windows show.
        batch: positions at once.
        groups: the schedule, where there is one.

    Returns:
        (window, category).
    """
    image = runner.original[0]
    filled = Base(fill.permute(1, 2, 0).to(image).contiguous(), 0, 0)
    base = Base(image[0], 0, 0)
    result = image.new_empty((len(windows), *runner.output.shape[1:]))
    for group in groups if groups is not None else schedule(runner.program, windows):
        for start in range(0, len(group.positions), batch):
            chosen = group.positions[start : start + batch]

            def patch(boxes: Boxes, chosen: NDArray[np.int64] = chosen) -> Tensor:
                return occluded(base, filled, windows[chosen], boxes)

            result[torch.from_numpy(chosen)] = runner.run(group, start, start + len(chosen), patch)
    return result


def occluded(base: Base, fill: Base, windows: NDArray[np.int64], boxes: Boxes) -> Tensor:
    """The input's changed boxes: the fill inside the windows, the image around them.

    Args:
        base: the image.
        fill: what the windows show.
        windows: (position, 4): first row, first column, rows, columns.
        boxes: the boxes, of which those of step 0 are made.

    Returns:
        (position, y, x, channel).
    """
    height, width = int(boxes.height[0]), int(boxes.width[0])
    pixels = fill.windows(boxes.y[0], boxes.x[0], height, width)
    if (windows[:, 2] == height).all() and (windows[:, 3] == width).all():
        return pixels
    rows = boxes.y[0][:, None] + np.arange(height)
    columns = boxes.x[0][:, None] + np.arange(width)
    first_row, first_column = windows[:, :1], windows[:, 1:2]
    inside_y = (rows >= first_row) & (rows < first_row + windows[:, 2:3])
    inside_x = (columns >= first_column) & (columns < first_column + windows[:, 3:4])
    inside = torch.from_numpy(inside_y[:, :, None] & inside_x[:, None, :]).to(pixels.device)
    return torch.where(inside[..., None], pixels, base.windows(boxes.y[0], boxes.x[0], height, width))
