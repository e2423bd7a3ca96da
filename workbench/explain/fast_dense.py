"""The strongest dense form: every window a forward pass, and each pass as fast as plain torch makes it.

Batch norms folded, activations fused where the processor's library can, maps feature last, weights laid out once, and
the batch and the form chosen by measuring. It is what the incremental engine falls back to.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import DtypeError, ShapeError
from workbench.explain.incremental.engine import program_of
from workbench.explain.incremental.runner import run_whole
from workbench.explain.incremental.translate import UntraceableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BATCHES = (4, 16, 32)
USUAL = 16
MEMORY_LIMIT = 1024 * 2**20
# Measuring pays from so many windows on.
MANY = 400

Choice = tuple[str, int]
_chosen: WeakKeyDictionary[nn.Module, dict[Any, Choice]] = WeakKeyDictionary()


class FastDense:
    """Forward passes of one network over occluded images of one shape.

    The form and the batch are measured once a network and shape, before the work and not on it, and remembered: answers
    of other batches differ in the last bits, and the same question should get the same answer.

    Args:
        module: the network, in evaluation mode; gives (image, category).
        example: (1, channel, y, x) float, an input.
        memory_limit: bytes that a batch may take, estimated.
        traced: whether to use the traced form, too.

    Raises:
        NotDeterministicError: the network is in training mode.
        ShapeError, DtypeError: the example cannot be used.
    """

    def __init__(
        self, module: nn.Module, example: Tensor, *, memory_limit: int = MEMORY_LIMIT, traced: bool = True
    ) -> None:
        if not isinstance(example, Tensor) or not example.is_floating_point():
            raise DtypeError(f"example is {type(example).__name__}; expected a floating torch tensor.")
        if example.ndim != 4 or len(example) != 1:
            raise ShapeError(f"example has shape {tuple(example.shape)}; expected (1, channel, y, x).")
        self._example = example
        self._forms: dict[str, Callable[[Tensor], Any]] = {"module": module}
        largest = example.numel()
        if traced:
            try:
                program = program_of(module, example)
            except UntraceableError:
                pass  # the module itself remains, which needs no tracing
            else:
                self._forms["traced"] = lambda inputs: run_whole(program, inputs)
                largest = max(int(np.prod(step.shape)) for step in program.steps if step.shape)
        self._most = max(1, memory_limit // (6 * largest * example.element_size()))
        self._memory = _chosen.setdefault(getattr(module, "module", module), {})
        self._key = (tuple(example.shape), example.dtype, example.device, torch.get_num_threads(), self._most, traced)
        self.seconds_each: float | None = None

    def choose(self, windows: int) -> Choice:
        """The form and the batch for some number of windows, measured where that pays.

        Args:
            windows: how many.

        Returns:
            ``"module"`` or ``"traced"``, and the images a pass.
        """
        if self._key in self._memory:
            return self._memory[self._key]
        usual = "traced" if "traced" in self._forms else "module"
        if windows < MANY:
            return usual, min(USUAL, self._most)
        seconds = {
            (form, batch): self._time(form, batch)
            for form in self._forms
            for batch in dict.fromkeys(min(batch, self._most) for batch in BATCHES)
        }
        self._memory[self._key] = min(seconds, key=seconds.__getitem__)
        return self._memory[self._key]

    def _time(self, form: str, batch: int) -> float:
        inputs = self._example.expand(batch, *self._example.shape[1:]).contiguous(memory_format=torch.channels_last)
        self._run(form, inputs[:1])
        began = time.perf_counter()
        self._run(form, inputs)
        return (time.perf_counter() - began) / batch

    def _run(self, form: str, inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            answers: Tensor = self._forms[form](inputs)
            if answers.is_cuda:
                torch.cuda.synchronize(answers.device)
        return answers

    def answers(
        self, image: Tensor, fill: Tensor, windows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """The network's answers with each window hidden, a batch at a time.

        Args:
            image: (channel, y, x) float.
            fill: (channel, y, x) float, what the windows show.
            windows: (window, 4) int64: first row, first column, rows, columns.

        Yields:
            (window) int64, which windows, and (window, category), the answers.
        """
        form, batch = self.choose(len(windows))
        for start in range(0, len(windows), batch):
            chosen = np.arange(start, min(start + batch, len(windows)))
            inputs = hide(image, fill, windows[chosen])
            began = time.perf_counter()
            answers = self._run(form, inputs)
            took = (time.perf_counter() - began) / len(chosen)
            self.seconds_each = took if self.seconds_each is None else min(took, self.seconds_each)
            yield chosen, answers


def hide(image: Tensor, fill: Tensor, windows: NDArray[np.int64]) -> Tensor:
    """Copies of an image in which one window each is hidden.

    Args:
        image: (channel, y, x) float.
        fill: (channel, y, x) float, what the windows show.
        windows: (window, 4) int64: first row, first column, rows, columns.

    Returns:
        (window, channel, y, x), feature last in memory.
    """
    hidden = image.expand(len(windows), *image.shape).contiguous(memory_format=torch.channels_last)
    if len(windows) == 1:  # a single expanded image is contiguous already, and would be the caller's own
        hidden = hidden.clone()
    for picture, (y, x, height, width) in zip(hidden, windows.tolist(), strict=True):
        picture[:, y : y + height, x : x + width] = fill[:, y : y + height, x : x + width]
    return hidden
