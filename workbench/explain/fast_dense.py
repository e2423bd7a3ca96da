"""The strongest dense form: every window a forward pass, and each pass as fast as plain torch makes it.

Batch norms folded, activations fused where the processor's library can, maps feature last, weights laid out once, and
the batch and the form chosen by measuring them on the work itself. It is what the incremental engine is compared
with, and what it falls back to.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

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

BATCHES = (4, 8, 16, 32)
MEMORY_LIMIT = 1024 * 2**20


class FastDense:
    """Forward passes of one network over occluded images of one shape.

    Args:
        module: the network, in evaluation mode; gives (image, category).
        example: (1, channel, y, x) float, an input.
        memory_limit: bytes that a batch may take, estimated.
        traced: whether to try the traced form, too.

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
        most = max(1, memory_limit // (6 * largest * example.element_size()))
        self._open = [(form, min(batch, most)) for batch in BATCHES for form in self._forms]
        self.seconds: dict[tuple[str, int], float] = {}

    @property
    def best(self) -> tuple[str, int]:
        """The fastest form and batch so far."""
        return min(self.seconds, key=self.seconds.__getitem__) if self.seconds else self._open[0]

    @property
    def seconds_each(self) -> float | None:
        """Seconds for one image in the fastest form; None before anything was measured."""
        return min(self.seconds.values(), default=None)

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
        start = 0
        while start < len(windows):
            form, batch = self._open.pop(0) if self._open else self.best
            chosen = np.arange(start, min(start + batch, len(windows)))
            with torch.inference_mode():
                inputs = hide(image, fill, windows[chosen])
                began = time.perf_counter()
                answers = self._forms[form](inputs)
                if answers.is_cuda:
                    torch.cuda.synchronize(answers.device)
            if len(chosen) == batch:
                took = (time.perf_counter() - began) / batch
                self.seconds[form, batch] = min(took, self.seconds.get((form, batch), took))
                self._drop_hopeless()
            yield chosen, answers
            start += len(chosen)

    def _drop_hopeless(self) -> None:
        """Do not try larger batches of a form that is far behind at small ones."""
        best = min(self.seconds.values())
        for form in self._forms:
            measured = [seconds for (name, _), seconds in self.seconds.items() if name == form]
            if len(measured) >= 2 and min(measured) > 1.3 * best:
                self._open = [(name, batch) for name, batch in self._open if name != form]


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
