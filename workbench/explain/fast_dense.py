"""The strongest dense form: every window a forward pass, and each pass as fast as plain torch makes it.

Batch norms folded, activations fused where the processor's library can, maps feature last, weights laid out once, and
the batch and the form chosen by measuring. It is what the incremental engine falls back to.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from workbench.errors import DtypeError, ShapeError
from workbench.explain.incremental.engine import CLOSE, ROUGHLY, fingerprint, program_of
from workbench.explain.incremental.runner import run_whole
from workbench.explain.incremental.schedule import costs
from workbench.explain.incremental.trace import refuse_training
from workbench.explain.incremental.translate import UntraceableError
from workbench.explain.window_fills import Fill, hide_windows
from workbench.models.loading import CallableModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Form = Literal["traced", "folded", "plain"]
# Batches that are tried, the second one of which is usual. On a processor, maps of a batch should stay in its caches.
BATCHES = {"cpu": (4, 8, 16)}
BATCHES_ELSEWHERE = (16, 32, 64)
MEMORY_LIMIT = 1024 * 2**20
# Measuring costs about forty passes the first time, which pays from so many windows on.
MANY = 700
# Where more of the multiplications are in layers that the engine leaves alone, torch's own folding is usual.
LEFT_ALONE = 0.25
_REMEMBERED = 2

_chosen: WeakKeyDictionary[nn.Module, dict[Any, Choice]] = WeakKeyDictionary()
_folded: WeakKeyDictionary[nn.Module, OrderedDict[Any, nn.Module]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Choice:
    """How forward passes are done.

    Attributes:
        form: ``"traced"`` (batch norms folded, activations fused), ``"folded"`` (batch norms folded), both with maps
            feature last, or ``"plain"``, the network as it is.
        batch: images a pass.
        measured: whether this was the fastest of several, or is the usual choice.
    """

    form: Form
    batch: int
    measured: bool = False


class FastDense:
    """Forward passes of one network over occluded images of one shape.

    The form and the batch are measured once a network and shape, before the work and not on it, and remembered: answers
    of other batches differ in the last bits, and the same question should get the same answer. A form other than the
    network itself is used only where it gives what the network gives; :attr:`reasons` says why it is not.

    Args:
        module: the network, in evaluation mode; gives (image, category).
        example: (1, channel, y, x) float, an input.
        memory_limit: bytes that a batch may take, estimated.
        traced: whether to use other forms than the network itself.

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
        refuse_training(module)
        self._module, self._example = module, example
        self._forms: dict[Form, Callable[[Tensor], Any]] = {"plain": module}
        self.reasons: dict[Form, str] = {}
        # every question to a black box may cost something: none is asked only to measure
        self._measures = traced and not any(isinstance(part, CallableModule) for part in module.modules())
        self._left_alone = False
        largest = example.numel()
        if traced:
            try:
                program = program_of(module, example)
            except UntraceableError as error:
                self.reasons["traced"] = self.reasons["folded"] = f"cannot be traced: {error}"
            else:
                largest = max(int(np.prod(step.shape)) for step in program.steps if step.shape)
                price = costs(program)
                self._left_alone = price.fixed > LEFT_ALONE * price.dense
                self._offer("traced", lambda inputs: run_whole(program, inputs))
        self._most = max(1, memory_limit // (6 * largest * example.element_size()))
        self._memory = _chosen.setdefault(getattr(module, "module", module), {})
        self._key = (tuple(example.shape), example.dtype, example.device, torch.get_num_threads(), self._most, traced)
        self.seconds_each: float | None = None

    @cached_property
    def _expected(self) -> Tensor:
        """What the network itself gives for the example."""
        return self._run(self._module, self._example)

    def _offer(self, form: Form, run: Callable[[Tensor], Any]) -> None:
        """Accept a form if it gives what the network gives."""
        expected = self._expected
        try:
            found = self._run(run, self._example.clone(memory_format=torch.channels_last))
        except RuntimeError as error:  # a network that looks at the order in memory, with .view() for example
            self.reasons[form] = f"cannot take maps feature last: {str(error).strip().splitlines()[0]}"
            return
        scale = float(expected.abs().max()) + 1e-12
        close = CLOSE.get(expected.dtype, ROUGHLY)
        # the other way round, NaN would pass
        if found.shape == expected.shape and float((found - expected).abs().max()) <= close * scale:
            self._forms[form] = run
        else:
            self.reasons[form] = "does not give what the network itself gives"

    def offer_folded(self) -> None:
        """Take the network with its batch norms folded by torch among the forms: some layers are faster so."""
        if "folded" in self._forms or "folded" in self.reasons:
            return
        if self._example.dtype not in (torch.float32, torch.float64):
            self.reasons["folded"] = f"folding in {self._example.dtype} itself would cost digits"
            return
        known = _folded.setdefault(getattr(self._module, "module", self._module), OrderedDict())
        key = (fingerprint(self._module), self._example.device)
        if key not in known:
            try:
                known[key] = fuse(self._module).to(memory_format=torch.channels_last)
            except Exception as error:  # it is a help, not a must: whatever its reason, other forms remain
                self.reasons["folded"] = f"cannot be folded: {type(error).__name__}: {error}"
                return
            while len(known) > _REMEMBERED:
                known.popitem(last=False)
        self._offer("folded", known[key])

    @property
    def _batches(self) -> tuple[int, int, int]:
        return BATCHES.get(self._example.device.type, BATCHES_ELSEWHERE)

    def choose(self, windows: int, *, batch: int | None = None) -> Choice:
        """The form and the batch for some number of windows, measured where that pays.

        Args:
            windows: how many.
            batch: images a pass, where somebody has decided.

        Returns:
            The choice; the same one for the same number of windows, and whatever else was asked before.
        """
        if windows < MANY or not self._measures:
            return Choice(self._usual(), batch or min(self._batches[1], self._most))
        key = (*self._key, batch)
        if key not in self._memory:
            self.offer_folded()
            self._memory[key] = self._measured(batch)
        choice = self._memory[key]
        if choice.form == "folded":
            self.offer_folded()  # it was measured by another object
        return choice if choice.form in self._forms else Choice(self._usual(), choice.batch)

    def _usual(self) -> Form:
        """What is most often fastest, without measuring."""
        if self._left_alone:
            self.offer_folded()
            if "folded" in self._forms:
                return "folded"
        return "traced" if "traced" in self._forms else "plain"

    def _measured(self, batch: int | None) -> Choice:
        """The form that is fastest with a small batch, then the batch at which that one is."""
        batches = [batch] if batch else list(dict.fromkeys(min(size, self._most) for size in self._batches))
        for form in self._forms:
            self._run(self._forms[form], self._example)
        seconds = {form: self._time(form, batches[0]) for form in self._forms}
        form = min(seconds, key=seconds.__getitem__)
        by_batch = {size: seconds[form] if size == batches[0] else self._time(form, size) for size in batches}
        return Choice(form, min(by_batch, key=by_batch.__getitem__), measured=True)

    def _time(self, form: Form, batch: int) -> float:
        inputs = self._example.expand(batch, *self._example.shape[1:]).clone(memory_format=self._order(form))
        began = time.perf_counter()
        self._run(self._forms[form], inputs)
        return (time.perf_counter() - began) / batch

    @staticmethod
    def _order(form: Form) -> torch.memory_format:
        return torch.contiguous_format if form == "plain" else torch.channels_last

    def _run(self, form: Callable[[Tensor], Any], inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            answers: Tensor = form(inputs)
            if answers.is_cuda:
                torch.cuda.synchronize(answers.device)
        return answers

    def logits(self, inputs: Tensor, choice: Choice) -> Tensor:
        """The network's answers in the chosen form.

        Args:
            inputs: (image, channel, y, x) float.
            choice: from :meth:`choose`.

        Returns:
            (image, category).
        """
        return self._run(self._forms[choice.form], inputs)

    def answers(
        self, image: Tensor, fill: Fill, windows: NDArray[np.int64], *, of: int | None = None
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """The network's answers with each window hidden, a batch at a time.

        Args:
            image: (channel, y, x) float.
            fill: what the windows show, (channel, y, x) float or see :meth:`Hiding.fill`.
            windows: (window, 4) int64: first row, first column, rows, columns.
            of: how many windows the choice is made for, where these are some of them.

        Yields:
            (window) int64, which windows, and (window, category), the answers.
        """
        choice = self.choose(of or len(windows))
        for start in range(0, len(windows), choice.batch):
            chosen = np.arange(start, min(start + choice.batch, len(windows)))
            inputs = hide_windows(image, fill, windows[chosen], feature_last=choice.form != "plain")
            began = time.perf_counter()
            answers = self.logits(inputs, choice)
            took = (time.perf_counter() - began) / len(chosen)
            self.seconds_each = took if self.seconds_each is None else min(took, self.seconds_each)
            yield chosen, answers
