"""Running a program: once on an image as it is, then on boxes in which the image was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.explain.incremental.kernels.gather import Base, Changed, cut, cut_sparse, paste
from workbench.explain.incremental.operations import (
    Axis,
    Constant,
    GlobalMean,
    Opaque,
    Pointwise,
    SizeOf,
    Window,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.explain.incremental.boxes import Boxes
    from workbench.explain.incremental.program import Program, Step

# Values that the tail reads, by step: (position, ...).
Frontier = dict[int, Tensor]

# The tail of a network is where no value has more numbers than this for one image.
SMALL = 2**16


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
        self._ancestors: dict[int, set[int]] = {}
        self._sizes: dict[int, float] = {}
        self.original: list[Any] = []
        self.output: Tensor = run_whole(program, inputs, keep=self.original)
        self.tail = _tail(program, self.original)
        read = {source for step in program.steps[self.tail :] for source in step.inputs if source < self.tail}
        self._read_by_tail = tuple(sorted(read))

    @property
    def tail_bytes(self) -> int:
        """Bytes that the tail takes for a position, estimated: what it reads, and its largest value three times."""
        sizes = [value.numel() for value in self.original[self.tail :] if isinstance(value, Tensor)]
        read = sum(self.original[number].numel() for number in self._read_by_tail)
        return int(read + 3 * max(sizes)) * self.output.element_size()

    def advance(self, boxes: Boxes, whole: NDArray[np.bool_], patch: Tensor) -> Frontier:
        """Run everything before the tail where parts of the image were changed.

        Args:
            boxes: where the changes are, at every step.
            whole: (step,) whether a step is computed as a whole map.
            patch: (position, y, x, channel), the changed pixels of the input, as large as the boxes of step 0.

        Returns:
            What the tail reads, one row a position.
        """
        values: dict[int, Any] = {0: patch}
        for number in range(1, self.tail):
            values[number] = self.one(number, values, boxes, whole)
            self.forget(number, values)
        return self.completed(values, boxes, whole)

    def completed(self, values: dict[int, Any], boxes: Boxes, whole: NDArray[np.bool_]) -> Frontier:
        """What the tail reads, as whole maps.

        Args:
            values: of the steps before the tail that it reads.
            boxes: where the changes are.
            whole: (step,) whether a step was computed as a whole map.
        """
        return {number: self._completed(number, values, boxes, whole) for number in self._read_by_tail}

    def finish(self, frontier: Sequence[Frontier]) -> Tensor:
        """Run the tail: the linear layers at the end, whose weights are large and whose maps are small.

        Args:
            frontier: what it reads, of several batches.

        Returns:
            (position, category), the batches one after the other.
        """
        values: dict[int, Any] = {
            number: torch.cat([part[number] for part in frontier]) for number in self._read_by_tail
        }
        count = len(values[self._read_by_tail[0]])
        for number in range(self.tail, len(self.program.steps)):
            step = self.program.steps[number]
            values[number] = whole_step(self.program, step, [values[source] for source in step.inputs], count)
        return values[len(self.program.steps) - 1]  # type: ignore[no-any-return]

    def box_of(self, number: int, boxes: Boxes, patch: Tensor) -> Tensor:
        """The boxes of a step; only what lies before it is computed.

        Args:
            number: of a step with pixels.
            boxes: where the changes are.
            patch: (position, y, x, channel), the changed pixels of the input.

        Returns:
            (position, y, x, features...).
        """
        values: dict[int, Any] = {0: patch}
        boxed = np.zeros(len(self.program.steps), bool)
        for earlier in range(1, number + 1):
            if self._needed(earlier, number):
                values[earlier] = self.one(earlier, values, boxes, boxed)
                self.forget(earlier, values)
        return values[number]  # type: ignore[no-any-return]

    def forget(self, number: int, values: dict[int, Any]) -> None:
        """Drop what no step after this one reads, the tail's own input excepted.

        Args:
            number: of the step that was run last.
            values: what is kept.
        """
        for source in self.program.steps[number].inputs:
            if self._last_use[source] == number:
                values.pop(source, None)

    def before(self, number: int, boxes: Boxes) -> Tensor:
        """The original's values in the boxes of a step, (position, y, x, feature)."""
        height, width = int(boxes.height[number]), int(boxes.width[number])
        return self._base(number).windows(boxes.y[number], boxes.x[number], height, width)

    def root_mean_square(self, number: int) -> float:
        """Root mean square of the original's map of a step."""
        if number not in self._sizes:
            self._sizes[number] = float(self.original[number].float().square().mean().sqrt())
        return self._sizes[number]

    def _needed(self, number: int, last: int) -> bool:
        if last not in self._ancestors:
            needed = {last}
            for step in range(last, -1, -1):
                if step in needed:
                    needed.update(self.program.steps[step].inputs)
            self._ancestors[last] = needed
        return number in self._ancestors[last]

    def one(self, number: int, values: dict[int, Any], boxes: Boxes, whole: NDArray[np.bool_]) -> Any:
        """Run one step.

        Args:
            number: of the step.
            values: of the steps before it that are still needed.
            boxes: where the changes are.
            whole: (step,) whether a step is computed as a whole map.

        Returns:
            Its value: a box (position, y, x, features...), a whole map, or what has no pixels.
        """
        step = self.program.steps[number]
        if isinstance(step.operation, Constant):
            return None
        if step.local and not whole[number]:
            return self._box(number, step, values, boxes)
        if isinstance(step.operation, GlobalMean) and not whole[step.inputs[0]]:
            return self._box_mean(step, values, boxes)
        if isinstance(step.operation, SizeOf):
            return whole_step(self.program, step, (), boxes.y.shape[1])
        read = [self._completed(source, values, boxes, whole) for source in step.inputs]
        return whole_step(self.program, step, read, boxes.y.shape[1])

    def _box(self, number: int, step: Step, values: dict[int, Any], boxes: Boxes) -> Tensor:
        y, x, height, width = boxes.y[number], boxes.x[number], int(boxes.height[number]), int(boxes.width[number])
        operation = step.operation
        if isinstance(operation, Pointwise):
            if operation.concatenates and self._apart(step, number, boxes):
                return self._concatenation(number, step, values, boxes)
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

    def _apart(self, step: Step, number: int, boxes: Boxes) -> bool:
        """Whether some input's box is another than the step's."""
        return any(
            (boxes.height[source], boxes.width[source]) != (boxes.height[number], boxes.width[number])
            for source in step.inputs
        )

    def _concatenation(self, number: int, step: Step, values: dict[int, Any], boxes: Boxes) -> Tensor:
        """The original's features, into which each input's box is put at its own place: each number is moved once."""
        result = self.before(number, boxes)
        start = 0
        for source in step.inputs:
            features = self.program.steps[source].features[0]
            part = result[..., start : start + features]
            start += features
            if not isinstance(self.program.steps[source].operation, Constant):
                paste(part, self._changed(source, values, boxes), boxes.y[number], boxes.x[number])
        return result

    def _at(self, source: int, values: dict[int, Any], boxes: Boxes, number: int) -> Tensor:
        """A map's pixels in the box of a later step."""
        height, width = int(boxes.height[number]), int(boxes.width[number])
        y, x = boxes.y[number], boxes.x[number]
        if isinstance(self.program.steps[source].operation, Constant):
            window = self._base(source).windows(y, x, height, width)
        else:
            window = cut(self._base(source), self._changed(source, values, boxes), y, x, height, width)
        return self._shaped(window, source)

    def _shaped(self, pixels: Tensor, source: int) -> Tensor:
        features = self.program.steps[source].features
        return pixels if len(features) == 1 else pixels.reshape(*pixels.shape[:3], *features)

    def _changed(self, source: int, values: dict[int, Any], boxes: Boxes) -> Changed:
        pixels = values[source]
        return Changed(pixels.flatten(3) if pixels.ndim > 3 else pixels[..., None], boxes.y[source], boxes.x[source])

    def _box_mean(self, step: Step, values: dict[int, Any], boxes: Boxes) -> Tensor:
        """Mean of the original, less that of its box, plus that of the changed box."""
        source = step.inputs[0]
        change = (values[source].flatten(3) - self.before(source, boxes)).sum(dim=(1, 2))
        rows, columns = self.program.steps[source].extent
        mean = self.original[source].flatten(3).mean(dim=(1, 2)) + change / (rows * columns)
        operation = step.operation
        if not isinstance(operation, GlobalMean):
            raise TypeError(f"{step.layer!r} is no mean.")
        return operation.finish(mean)

    def _completed(self, source: int, values: dict[int, Any], boxes: Boxes, whole: NDArray[np.bool_]) -> Any:
        """A value as whole maps: a box is put into copies of the original's map."""
        step = self.program.steps[source]
        if not step.local:
            return values[source]
        count = boxes.y.shape[1]
        if isinstance(step.operation, Constant):
            return self.original[source].expand(count, *self.original[source].shape[1:])
        if whole[source]:
            return values[source]
        zeros = np.zeros(count, np.int64)
        full = cut(self._base(source), self._changed(source, values, boxes), zeros, zeros, *step.extent)
        return self._shaped(full, source)

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


def run_whole(program: Program, inputs: Tensor, *, keep: list[Any] | None = None) -> Tensor:
    """Run a program on whole images: the plain network, with everything folded that can be.

    Args:
        program: the traced network.
        inputs: (image, channel, y, x).
        keep: a list to which the value of every step is appended; local ones feature last, (image, y, x, features...).
            Without it, each value is freed after its last use.

    Returns:
        (image, category).
    """
    last_use = [max(readers, default=number) for number, readers in enumerate(program.users())]
    values: dict[int, Any] = {0: inputs.permute(0, 2, 3, 1).contiguous()}
    for number, step in enumerate(program.steps):
        if number:
            values[number] = whole_step(program, step, [values[source] for source in step.inputs], len(inputs))
        if keep is not None:
            keep.append(values[number])
        for source in step.inputs:
            if last_use[source] == number:
                values.pop(source, None)
    return values[len(program.steps) - 1]  # type: ignore[no-any-return]


def whole_step(program: Program, step: Step, values: Sequence[Any], count: int) -> Any:
    """Run one step on whole maps.

    Args:
        program: the program that the step belongs to.
        step: the step.
        values: of its inputs; local ones feature last.
        count: number of images or positions.

    Returns:
        Its value; feature last where it is local.
    """
    operation = step.operation
    if isinstance(operation, Pointwise):
        return operation.function(*values)
    if isinstance(operation, Window):
        return operation.on_map(values[0], *step.extent)
    if isinstance(operation, Constant):
        return operation.value
    if isinstance(operation, GlobalMean):
        return operation.finish(values[0].mean(dim=(1, 2)))
    if isinstance(operation, SizeOf):
        return operation.function(torch.Size((count, *operation.shape[1:])))
    if isinstance(operation, Opaque):
        sources = [program.steps[source] for source in step.inputs]
        return operation.function(*map(_own_order, sources, values))
    raise TypeError(f"{step.layer!r} cannot be run: {operation!r}")


def _tail(program: Program, original: Sequence[Any]) -> int:
    """The first step from which on nothing has pixels and everything is small; at least the last step."""
    first = len(program.steps) - 1
    while first > 1:
        step = program.steps[first - 1]
        small = not isinstance(original[first - 1], Tensor) or original[first - 1].numel() <= SMALL
        if step.local or isinstance(step.operation, GlobalMean) or not small:
            break
        first -= 1
    # what the tail reads must have one row an image, so that batches can be put together
    while first < len(program.steps) - 1:
        read = [original[s] for step in program.steps[first:] for s in step.inputs if s < first]
        if all(isinstance(value, Tensor) and value.ndim > 1 and len(value) == 1 for value in read):
            break
        first += 1
    return first
