"""The exact incremental engine: only what a window changes is computed again.

Source: the box of changed pixels is followed through the network, layer by layer [nakandala2019].
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import DtypeError, InputError, NotDeterministicError, ShapeError, unknown_name
from workbench.explain.incremental.kernels.gather import Base, Changed, paste
from workbench.explain.incremental.plan import IncrementalPlan, plan_program
from workbench.explain.incremental.runner import Frontier, Runner
from workbench.explain.incremental.trace import refuse_training, trace_program
from workbench.explain.incremental.translate import UntraceableError
from workbench.explain.incremental.trimming import advance_trimmed
from workbench.explain.window_fills import Fill, WindowFill
from workbench.models.state import hash_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from workbench.explain.incremental.boxes import Boxes
    from workbench.explain.incremental.program import Program

MEMORY_LIMIT = 512 * 2**20
# Positions that go through the linear layers at the end together.
TOGETHER = 96
# How far a traced network may be from the network itself, as a share of its largest answer.
CLOSE = {torch.float64: 1e-9, torch.float32: 1e-3}
ROUGHLY = 0.1  # in half precision
_REMEMBERED = 4
_programs: WeakKeyDictionary[nn.Module, OrderedDict[Any, Program]] = WeakKeyDictionary()


def program_of(module: nn.Module, inputs: Tensor, *, keep: Sequence[str] = ()) -> Program:
    """The program of a network for an input shape, traced once and remembered until the network changes.

    Args:
        module: the network, in evaluation mode.
        inputs: (1, channel, y, x), an input of the shape to trace for.
        keep: layers whose outputs must stay steps of their own.

    Returns:
        The program. What is remembered is used only while every byte of the weights, every setting that the modules
        print, shape, dtype and device are the same: an edited weight makes a new program.

    Raises:
        NotDeterministicError: a part of the network is in training mode.
        UntraceableError: the network cannot be followed symbolically.
    """
    refuse_training(module)
    key = (fingerprint(module), tuple(inputs.shape), inputs.dtype, inputs.device, tuple(keep))
    known = _programs.setdefault(getattr(module, "module", module), OrderedDict())
    if key not in known:
        known[key] = trace_program(module, inputs, keep=keep)
        while len(known) > _REMEMBERED:
            known.popitem(last=False)
    known.move_to_end(key)
    return known[key]


def fingerprint(module: nn.Module) -> str:
    """What a network computes, as far as it can be seen: an edit of a weight or a setting changes it.

    Args:
        module: the network.

    Returns:
        SHA-256 over every parameter, buffer (those that no state dict holds, too) and tensor that is kept as a plain
        attribute, and over every setting that the modules print.
    """
    digest = hashlib.sha256(f"{hash_state(module)} {module!r}".encode())
    for name, part in module.named_modules():
        kept = {key: part._buffers[key] for key in part._non_persistent_buffers_set}
        kept |= {key: value for key, value in vars(part).items() if isinstance(value, Tensor)}
        for key, value in sorted(kept.items()):
            if value is not None:
                digest.update(f"{name}.{key} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Change:
    """How the activation of a layer changes in some windows.

    Attributes:
        windows: (window) int64, which of the windows that were asked for.
        y: (window) int64, first row of the box that may have changed.
        x: (window) int64, first column.
        delta: (window, feature, y, x) float, activation with the window hidden minus the original's, inside the box;
            outside it nothing changes.
    """

    windows: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    delta: Tensor


class IncrementalEngine:
    """One image in one network, of which any windows can be hidden at the price of what they change.

    The image goes through the network once, and every map is kept. The engine is for the weights as they are when it is
    made: make another one after editing them (its program is remembered only while no weight changes).

    Args:
        module: the network, in evaluation mode; gives (image, category).
        inputs: (channel, y, x) or (1, channel, y, x) float, normalised, on the network's device.
        keep: layers that :meth:`change` and :meth:`linearised` will be asked for, by module name.
        memory_limit: bytes that a batch of positions may take beyond the network and the image's own maps.

    Raises:
        NotDeterministicError: the network is in training mode, or answers differently when asked twice.
        UntraceableError: the network cannot be followed symbolically (control flow that depends on data, say).
        ShapeError, DtypeError: inputs that are not one image.
    """

    def __init__(
        self, module: nn.Module, inputs: Tensor, *, keep: Sequence[str] = (), memory_limit: int = MEMORY_LIMIT
    ) -> None:
        if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
            raise DtypeError(f"inputs are {type(inputs).__name__}; expected a floating torch tensor.")
        image = inputs[None] if inputs.ndim == 3 else inputs
        if image.ndim != 4 or len(image) != 1:
            raise ShapeError(f"inputs have shape {tuple(inputs.shape)}; expected one image, (channel, y, x).")
        self.memory_limit = memory_limit
        image = image.detach()
        self.program = program_of(module, image, keep=keep)
        with torch.inference_mode():
            self._runner = Runner(self.program, image)
            self._check(module, image)
        self._image = Base(self._runner.original[0][0], 0, 0)

    def _check(self, module: nn.Module, image: Tensor) -> None:
        """The program must give what the network gives, and the network the same thing twice."""
        first, second = module(image), module(image)
        if not torch.equal(first, second):
            raise NotDeterministicError(
                "The network gives different answers to the same image, although it is in evaluation mode: a layer "
                "draws at random. Switch that off before explaining it."
            )
        close = CLOSE.get(image.dtype, ROUGHLY)
        scale = float(first.abs().max()) + 1e-12
        if first.shape != self.output.shape or float((first - self.output).abs().max()) > close * scale:
            raise UntraceableError("the traced network does not give what the network itself gives")

    @property
    def output(self) -> Tensor:
        """The network's answer to the untouched image, (1, category)."""
        return self._runner.output

    @property
    def runner(self) -> Runner:
        """Runs the program on boxes of this image."""
        return self._runner

    @property
    def size(self) -> tuple[int, int]:
        """(y, x) pixels of the image."""
        return self.program.input_shape[1], self.program.input_shape[2]

    def plan(self, windows: NDArray[np.int64]) -> IncrementalPlan:
        """What measuring some windows will take.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.

        Returns:
            The plan.

        Raises:
            ShapeError, InputError: windows that are not inside the image.
        """
        windows = self._checked(windows)
        return plan_program(
            self.program, windows, memory_limit=self.memory_limit, item=self._runner.output.element_size()
        )

    def cost(self, windows: NDArray[np.int64]) -> float:
        """Forward-equivalents that measuring some windows takes: multiplications over those of one forward pass.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.
        """
        return self.plan(windows).forward_equivalents if len(windows) else 0.0

    def scores(
        self,
        windows: NDArray[np.int64],
        fill: Fill,
        *,
        trim: float | None = None,
        plan: IncrementalPlan | None = None,
    ) -> Tensor:
        """The network's answers with each window hidden.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.
            fill: what the windows show, (channel, y, x) float or see :meth:`Hiding.fill`.
            trim: None for exact answers; otherwise changes below this part of a layer's root mean square are dropped
                at the border of the box after every layer that widens it.
            plan: of the same windows, where there is one.

        Returns:
            (window, category), in the order of the windows.

        Raises:
            ShapeError, InputError: windows that are not inside the image, a fill of another shape, a negative ``trim``.
        """
        windows = self._checked(windows)
        result = self.output.new_empty((len(windows), *self.output.shape[1:]))
        for chosen, answers in self.batches(windows, fill, trim=trim, plan=plan):
            result[torch.from_numpy(chosen)] = answers
        return result

    def batches(
        self,
        windows: NDArray[np.int64],
        fill: Fill,
        *,
        trim: float | None = None,
        plan: IncrementalPlan | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """As :meth:`scores`, a batch at a time.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.
            fill: what the windows show, (channel, y, x) float or see :meth:`Hiding.fill`.
            trim: None for exact answers, otherwise see :meth:`scores`.
            plan: of the same windows, where there is one.

        Yields:
            (window) int64, which windows, and (window, category), their answers.
        """
        if trim is not None and not trim >= 0:
            raise InputError(f"trim is {trim!r}; expected None or a number of at least 0.")
        windows = self._checked(windows)
        filled = self._filled(fill)
        parts: list[NDArray[np.int64]] = []
        fronts: list[Frontier] = []
        together = min(TOGETHER, max(1, self.memory_limit // self._runner.tail_bytes))
        chosen_plan = plan or self.plan(windows)
        for number, (chosen, boxes, whole) in enumerate(chosen_plan.parts()):
            with torch.inference_mode():
                patch = occluded(self._image, filled, windows[chosen], boxes)
                if trim is None:
                    fronts.append(self._runner.advance(boxes, whole, patch))
                else:
                    fronts.append(advance_trimmed(self._runner, boxes, patch, trim))
                parts.append(chosen)
                # the first batch is answered at once, so that there is something to show
                answers = None
                if number == 0 or sum(map(len, parts)) >= together:
                    answers = self._runner.finish(fronts)
            if answers is not None:
                yield np.concatenate(parts), answers
                parts, fronts = [], []
        if parts:
            with torch.inference_mode():
                answers = self._runner.finish(fronts)
            yield np.concatenate(parts), answers

    def change(self, layer: str, windows: NDArray[np.int64], fill: Fill) -> Iterator[Change]:
        """How the activation of a layer changes when windows are hidden; only what lies before it is computed.

        Args:
            layer: a layer that was kept.
            windows: (window, 4) int64: first row, first column, rows, columns.
            fill: what the windows show, (channel, y, x) float or see :meth:`Hiding.fill`.

        Yields:
            The changes, a batch of windows at a time.

        Raises:
            UnknownNameError: no such layer.
            InputError: a layer whose pixels cannot be followed.
        """
        number = self._layer(layer)
        windows, filled = self._checked(windows), self._filled(fill)
        for chosen, boxes, _ in plan_program(
            self.program, windows, memory_limit=self.memory_limit, item=self.output.element_size(), until=number
        ).parts():
            with torch.inference_mode():
                patch = occluded(self._image, filled, windows[chosen], boxes)
                after = self._runner.box_of(number, boxes, patch)
                delta = after.flatten(3) - self._runner.before(number, boxes)
            yield Change(chosen, boxes.y[number], boxes.x[number], delta.permute(0, 3, 1, 2))

    def linearised(self, layer: str, windows: NDArray[np.int64], fill: Fill, gradient: Tensor) -> Tensor:
        """The dot product of a layer's change with a gradient: the change of the score, were the rest linear.

        Args:
            layer: a layer that was kept.
            windows: (window, 4) int64: first row, first column, rows, columns.
            fill: what the windows show, (channel, y, x) float or see :meth:`Hiding.fill`.
            gradient: (feature, y, x) float, of the score with respect to the layer's activation.

        Returns:
            (window) float, in the order of the windows.

        Raises:
            ShapeError: a gradient that is not of the layer's shape.
            UnknownNameError, InputError: see :meth:`change`.
        """
        number = self._layer(layer)
        expected = self.program.steps[number].shape[1:]
        if tuple(gradient.shape) != tuple(expected):
            raise ShapeError(f"gradient has shape {tuple(gradient.shape)}; {layer!r} gives {tuple(expected)}.")
        slope = Base(gradient.detach().permute(1, 2, 0).to(self._image.pixels).contiguous(), 0, 0)
        result = self.output.new_zeros(len(windows))
        for change in self.change(layer, windows, fill):
            with torch.inference_mode():
                weights = slope.windows(change.y, change.x, change.delta.shape[2], change.delta.shape[3])
                dot = (change.delta.permute(0, 2, 3, 1) * weights).sum(dim=(1, 2, 3))
                result[torch.from_numpy(change.windows)] = dot
        return result

    def linearised_cost(self, layer: str, windows: NDArray[np.int64]) -> float:
        """Forward-equivalents that :meth:`change` and :meth:`linearised` take for some windows.

        Args:
            layer: a layer that was kept.
            windows: (window, 4) int64: first row, first column, rows, columns.
        """
        number = self._layer(layer)
        plan = plan_program(self.program, self._checked(windows), memory_limit=self.memory_limit, item=4, until=number)
        return plan.forward_equivalents

    def _layer(self, layer: str) -> int:
        steps = enumerate(self.program.steps)
        names = {name: number for number, step in steps if step.local for name in step.layers}
        if layer not in names:
            raise unknown_name("layer", layer, names, hint="Name it in keep= when the engine is made.")
        return names[layer]

    def _filled(self, fill: Fill) -> Filled:
        if tuple(fill.shape) != self.program.input_shape:
            raise ShapeError(f"fill has shape {tuple(fill.shape)}; expected {self.program.input_shape}, as the image.")
        return filled(fill, self._image.pixels)

    def _checked(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        windows = np.asarray(windows, dtype=np.int64)
        if windows.ndim != 2 or windows.shape[1] != 4:
            raise ShapeError(f"windows have shape {windows.shape}; expected (window, 4): row, column, rows, columns.")
        inside = (windows[:, :2] >= 0).all(1) & (windows[:, 2:] > 0).all(1)
        inside &= (windows[:, :2] + windows[:, 2:] <= np.array(self.size)).all(1)
        if not inside.all():
            bad = windows[~inside][0].tolist()
            raise InputError(f"Window {bad} (row, column, rows, columns) is not inside an image of {self.size} pixels.")
        return windows


Filled = Base | WindowFill


def filled(fill: Fill, like: Tensor) -> Filled:
    """What windows show, to be cut out feature last.

    Args:
        fill: (channel, y, x) float, or what shows something of its own in each window.
        like: a tensor of the dtype and device of the image.

    Returns:
        What :func:`occluded` takes.
    """
    if isinstance(fill, WindowFill):
        return fill
    return Base(fill.detach().permute(1, 2, 0).to(like).contiguous(), 0, 0)


def occluded(base: Base, fill: Filled, windows: NDArray[np.int64], boxes: Boxes) -> Tensor:
    """The input's changed boxes: the fill inside the windows, the image around them.

    Args:
        base: the image.
        fill: what the windows show, see :func:`filled`.
        windows: (position, 4): first row, first column, rows, columns.
        boxes: the boxes, of which those of step 0 are made; each contains its window.

    Returns:
        (position, y, x, channel).
    """
    y, x, height, width = boxes.y[0], boxes.x[0], int(boxes.height[0]), int(boxes.width[0])
    if (windows[:, 2] == height).all() and (windows[:, 3] == width).all():
        return fill.windows(y, x, height, width)
    pixels = base.windows(y, x, height, width)
    for rows, columns in np.unique(windows[:, 2:], axis=0).tolist():
        chosen = np.flatnonzero((windows[:, 2] == rows) & (windows[:, 3] == columns))
        top, left = windows[chosen, 0], windows[chosen, 1]
        some = pixels[torch.from_numpy(chosen).to(pixels.device)]
        paste(some, Changed(fill.windows(top, left, rows, columns), top, left), y[chosen], x[chosen])
        pixels[torch.from_numpy(chosen).to(pixels.device)] = some
    return pixels
