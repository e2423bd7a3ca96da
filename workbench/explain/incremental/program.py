"""A network as a list of steps, and how the list is made shorter without changing what it computes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.errors import ShapeError
from workbench.explain.incremental.operations import Operation, Pointwise, Window

# Below this, dividing by the scale of a batch norm would cost digits.
SMALLEST_SCALE = 1e-4


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a program.

    Attributes:
        operation: what it computes.
        inputs: numbers of the steps that it reads.
        layers: the modules whose output it is, the innermost first; the node of the trace where it is no module's.
        shape: shape of its value for one image, in the network's own dimension order; () where it is no tensor.
        layout: which dimensions of ``shape`` are y and x; None where the value cannot be followed pixel by pixel.
    """

    operation: Operation
    inputs: tuple[int, ...]
    layers: tuple[str, ...]
    shape: tuple[int, ...]
    layout: tuple[int, int] | None

    @property
    def layer(self) -> str:
        """The innermost module whose output it is."""
        return self.layers[0]

    @property
    def local(self) -> bool:
        """Whether a change of a few pixels of the input changes a few pixels of this value."""
        return self.layout is not None

    @property
    def extent(self) -> tuple[int, int]:
        """(y, x) pixels of a local value."""
        if self.layout is None:
            raise ShapeError(f"The value of {self.layer!r} has no pixels.")
        return self.shape[self.layout[0]], self.shape[self.layout[1]]

    @property
    def features(self) -> tuple[int, ...]:
        """Sizes of the dimensions of a local value other than image, y and x, in order."""
        return tuple(size for dim, size in enumerate(self.shape) if dim and dim not in (self.layout or ()))


@dataclass(frozen=True, eq=False)
class Program:
    """A traced network for one input shape.

    Attributes:
        steps: in an order in which each reads only earlier ones; the first is the input, the last the output.
        input_shape: (channel, y, x).
    """

    steps: tuple[Step, ...]
    input_shape: tuple[int, int, int]

    def users(self) -> list[list[int]]:
        """For each step the steps that read it."""
        found: list[list[int]] = [[] for _ in self.steps]
        for number, step in enumerate(self.steps):
            for read in dict.fromkeys(step.inputs):
                found[read].append(number)
        return found


def fold(program: Program, *, keep: frozenset[str] = frozenset()) -> Program:
    """Fold batch norms into convolutions and activations into what they are applied to.

    Args:
        program: what was traced.
        keep: layers that must stay steps of their own.

    Returns:
        A shorter program that computes the same.
    """
    steps = list(program.steps)
    users = program.users()
    for number, step in enumerate(steps):
        if not isinstance(step.operation, Pointwise) or len(step.inputs) != 1:
            continue
        before = steps[step.inputs[0]]
        if len(users[step.inputs[0]]) != 1 or keep.intersection(before.layers) or before.shape != step.shape:
            continue
        merged = _merge(before.operation, step.operation)
        if merged is not None:
            # in the place of the later one: the earlier one is then read by nobody, and pruned
            steps[number] = replace(before, operation=merged, layers=step.layers, layout=step.layout)
    # what was merged away must not count as a reader of what is left
    short = prune(replace(program, steps=tuple(steps)))
    steps = list(short.steps)
    _share_concatenations(steps)
    _clamp_before_convolutions(steps, keep)
    return prune(replace(short, steps=tuple(steps)))


def _share_concatenations(steps: list[Step]) -> None:
    """Let a concatenation that begins like an earlier one read that one, as every layer of a dense block can."""
    known: dict[tuple[int, ...], int] = {}
    for number, step in enumerate(steps):
        if not isinstance(step.operation, Pointwise) or not step.operation.concatenates:
            continue
        known[step.inputs] = number
        for length in range(len(step.inputs) - 1, 1, -1):
            earlier = known.get(step.inputs[:length])
            if earlier is not None:
                steps[number] = replace(step, inputs=(earlier, *step.inputs[length:]))
                break


def _clamp_before_convolutions(steps: list[Step], keep: frozenset[str]) -> None:
    """Replace relu(scale x + shift) before a convolution of single pixels by a clamp, and fold the rest into it.

    For a positive scale, relu(scale x + shift) = scale max(x, -shift / scale) + shift; for a negative one the maximum
    is a minimum. That is one pass over the map instead of two.
    """
    readers: dict[int, list[int]] = {}
    for number, step in enumerate(steps):
        for source in step.inputs:
            readers.setdefault(source, []).append(number)
    for number, step in enumerate(steps):
        operation = step.operation
        if not isinstance(operation, Pointwise) or operation.rectified is None or keep.intersection(step.layers):
            continue
        if len(readers.get(number, ())) != 1:
            continue
        reader = steps[readers[number][0]]
        window = reader.operation
        if not isinstance(window, Window) or window.convolution is None or window.convolution.groups != 1:
            continue
        if (window.y.reach, window.x.reach, window.y.padding, window.x.padding) != (1, 1, 0, 0):
            continue
        scale, shift = operation.rectified
        if float(scale.abs().min()) < SMALLEST_SCALE:
            continue
        steps[number] = replace(step, operation=clamp(scale, shift, window.convolution.weight))
        steps[readers[number][0]] = replace(
            reader, operation=replace(window, convolution=window.convolution.after(scale, shift))
        )


def clamp(scale: Tensor, shift: Tensor, like: Tensor) -> Pointwise:
    """What is left of relu(scale x + shift) when scale and shift are folded into what follows.

    Args:
        scale: (feature) float64, none of them near 0.
        shift: (feature) float64.
        like: a tensor of the dtype and device of the maps.

    Returns:
        A step that bounds each feature from below where its scale is positive, from above where it is negative.
    """
    edge = -shift / scale
    infinity = torch.full_like(edge, torch.inf)
    low = torch.where(scale > 0, edge, -infinity).to(like)
    high = torch.where(scale > 0, infinity, edge).to(like)
    if bool((scale > 0).all()):
        return Pointwise(lambda pixels: torch.maximum(pixels, low), "clamp", fresh=True)
    return Pointwise(lambda pixels: torch.clamp(pixels, low, high), "clamp", fresh=True)


def _merge(before: Operation, after: Pointwise) -> Operation | None:
    if isinstance(before, Window) and before.convolution is not None and before.convolution.activation is None:
        if after.affine is not None:
            return replace(before, convolution=before.convolution.scaled(*after.affine))
        if after.activation is not None:
            return replace(before, convolution=before.convolution.with_activation(after.activation, after.native))
    if isinstance(before, Pointwise) and before.fresh and after.activation is not None:
        first, second = before.function, after.activation
        return replace(
            before,
            function=lambda *maps: second(first(*maps)),
            name=f"{before.name}, {after.name}",
            affine=None,
            rectified=before.affine if after.native == ("relu", ()) else None,
            concatenates=False,
        )
    return None


def prune(program: Program) -> Program:
    """Drop the steps that the output does not need.

    Args:
        program: any program; its last step is its output.

    Returns:
        The program with its steps numbered anew; the input stays step 0.
    """
    needed = {0, len(program.steps) - 1}
    for number in range(len(program.steps) - 1, -1, -1):
        if number in needed:
            needed.update(program.steps[number].inputs)
    order = sorted(needed)
    place = {old: new for new, old in enumerate(order)}
    steps = (program.steps[old] for old in order)
    return replace(program, steps=tuple(replace(step, inputs=tuple(place[i] for i in step.inputs)) for step in steps))
