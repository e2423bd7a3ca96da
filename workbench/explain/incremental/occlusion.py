"""Occlusion by the incremental engine, where that is faster, and what it will take."""

from __future__ import annotations

import itertools
import time
import warnings
from typing import TYPE_CHECKING, Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import DtypeError, InputError
from workbench.explain.baselines import Hiding, describe, hiding
from workbench.explain.fast_dense import FastDense
from workbench.explain.incremental.engine import MEMORY_LIMIT, IncrementalEngine
from workbench.explain.incremental.plan import IncrementalPlan
from workbench.explain.incremental.translate import UntraceableError
from workbench.explain.occlusion import lattice_for
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Question, Score, ask, check_still, score_of
from workbench.models import ImageModel
from workbench.models.image_model import check_finite_logits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.lattice import Size

Engine = Literal["auto", "incremental", "dense"]
TRIM = 0.01
CHECKED = 16  # positions of an image whose trimming error is measured
TRIED = 32  # dense passes that are tried where the plan is not sure
# What was found to be faster stays so for a network, so that the same question gets the same answer to the last bit.
_faster_before: WeakKeyDictionary[nn.Module, dict[Any, bool]] = WeakKeyDictionary()


class Answers(nn.Module):
    """A model's network with its ``output`` applied, so that it gives (image, category)."""

    def __init__(self, model: ImageModel) -> None:
        super().__init__()
        self.module, self.output = model.module, model.output
        self.training = False

    def forward(self, inputs: Tensor) -> Any:
        """The logits, (image, category)."""
        raw = self.module(inputs)
        if self.output is None:
            return raw
        return self.output(raw) if callable(self.output) else raw[self.output]


def network_of(model: ImageModel) -> nn.Module:
    """The network that gives a model's logits.

    Args:
        model: the model.

    Returns:
        Its own module, or one around it that applies ``output``.
    """
    return model.module if model.output is None else Answers(model)


@explainers.register(
    title="Incremental occlusion",
    source=("nakandala2019", "zeiler2014"),
    access="activations",
    returns="the map of dense occlusion, computed from what each window changes",
    cost="as dense occlusion in multiplications over 2 to 9 for convolutional networks; never more than dense",
    note="Exact unless trimmed. What lies behind a layer that sees the whole map is computed densely.",
    parameters={
        "patch": ("int", None, 1, 64),
        "stride": ("int", None, 1, 64),
        "baseline": ("choice", "zero", ("zero", "black", "mean", "blur", "noise", "inpaint")),
        "seed": ("int", 0, 0, 1000),
    },
)
def incremental_occlusion(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    patch: Size | None = None,
    stride: Size | None = None,
    baseline: str | torch.Tensor = "zero",
    seed: int = 0,
    exact: bool | None = None,
    trim: float | None = None,
    engine: Engine = "auto",
    memory_limit: int = MEMORY_LIMIT,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """The map of :func:`workbench.explain.occlusion`, from only what each window changes.

    The image goes through the network once; of each occluded image only the box that differs is computed, layer by
    layer. Where a layer sees the whole map (squeeze-excite, attention, a norm over space) everything behind it is
    dense, and where boxes would not pay, dense passes are chosen (:func:`plan_incremental` tells beforehand). A network
    that cannot be traced, because its control flow depends on data for example, is computed densely with a warning.
    Every window is measured, and measured alike: choosing windows is the business of other functions.
    Source: [nakandala2019].

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        patch: pixels of the window on the network input, one number or (y, x); None is an eighth of the shorter side.
        stride: pixels from one window to the next, at most the patch; None is half the patch.
        baseline: what replaces the window: ``"zero"``, ``"black"``, ``"mean"``, ``"blur"``, ``"noise"``,
            ``"inpaint"`` (filled from around it), ``"hidden_mean"`` (its own mean colour), or a tensor.
        seed: for baselines that draw, and for the positions at which the error of trimming is measured.
        exact: None is exact unless ``trim`` is given; False trims at 0.01 where ``trim`` does not say.
        trim: drop changes below this part of a layer's root mean square at the border of the box.
        engine: ``"auto"``, or ``"incremental"`` or ``"dense"`` whatever pays.
        memory_limit: bytes that a batch may take beyond the network and the image's own maps.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far).
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 on the grid of the network input, in units of the score; above 0 where hiding
        lowers the score: evidence for the target. The attributes say which engine computed it, how many
        forward-equivalents that took an image, and, where trimmed, the largest and the root mean square error of the
        score at ``trim_checked`` positions drawn at random.

    Raises:
        InputError: a patch larger than the image, a stride below 1 or above the patch, an unusable target, ``exact``
            together with ``trim``, a negative ``trim``, ``engine="incremental"`` for a network that cannot be traced.
        NotDeterministicError: the network is in training mode, or answers differently when asked twice.
        UnknownNameError: no such category or baseline.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images or the model's answers cannot be used.
    """
    trim = _checked(exact, trim, engine, memory_limit)
    question = ask(model, images, target=target, score=score)
    windows = lattice_for(question.size, patch, stride)
    hide = hiding(baseline, question.inputs, model=model, seed=seed)
    parameters = {
        "patch": list(windows.patch),
        "stride": list(windows.stride),
        "baseline": describe(baseline),
        "seed": seed,
        "trim": trim,
    }
    falls = np.full((len(question), len(windows)), np.nan)
    work = _Work(question, hide, windows.boxes, engine, trim, memory_limit, seed)

    def draw(finite: bool) -> xr.DataArray:
        values = windows.average(falls)
        return heatmaps(
            question, values, method="incremental_occlusion", parameters=parameters, finite=finite, **work.facts()
        )

    with Meter(falls.size, progress=progress, stop=stop, label="occlusion") as meter:
        meter.check()
        for image in range(len(question)):
            for chosen, fall in work.falls(image):
                falls[image, chosen] = fall
                meter.advance(len(chosen), lambda: draw(finite=False))
    return draw(finite=True)


def plan_incremental(
    model: Any,
    *,
    size: Size | None = None,
    patch: Size | None = None,
    stride: Size | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> IncrementalPlan:
    """What :func:`incremental_occlusion` of one image will take; three forward passes are run to know the time.

    Args:
        model: from :func:`workbench.models.load`.
        size: (y, x) pixels of the network input; None for the model's own.
        patch: pixels of the window, one number or (y, x); None is an eighth of the shorter side.
        stride: pixels from one window to the next; None is half the patch.
        memory_limit: bytes that a batch may take beyond the network and the image's own maps.

    Returns:
        The plan: positions, forward-equivalents, memory, seconds, which layers force dense and why, and whether the
        incremental way pays. For a network that cannot be traced it says so, and does not pay.

    Raises:
        DtypeError, InputError: the model or the sizes cannot be used.
        NotDeterministicError: the network is in training mode.
    """
    if not isinstance(model, ImageModel):
        raise DtypeError(f"model is {type(model).__name__}; expected what workbench.models.load(...) gives.")
    check_still(model)
    channels, *own = model.input_shape if size is None else (model.preprocessing.channels,)
    height, width = own if size is None else (size, size) if isinstance(size, int) else size
    windows = lattice_for((height, width), patch, stride).boxes
    image = torch.zeros(1, channels, height, width, device=model.device, dtype=model.dtype)
    seconds = []
    with torch.inference_mode():
        for _ in range(3):
            began = time.perf_counter()
            model.logits(image)
            seconds.append(time.perf_counter() - began)
    try:
        plan = IncrementalEngine(network_of(model), image, memory_limit=memory_limit).plan(windows)
    except UntraceableError as error:
        plan = IncrementalPlan.dense(len(windows), f"the network cannot be traced: {error}")
    return plan.timed(min(seconds))


def _checked(exact: bool | None, trim: float | None, engine: Any, memory_limit: int) -> float | None:
    if exact and trim is not None:
        raise InputError(f"exact is True and trim is {trim!r}, which is not exact. Leave one of them out.")
    if trim is not None and not trim >= 0:
        raise InputError(f"trim is {trim!r}; expected a number of at least 0, such as 0.01.")
    if engine not in get_args(Engine):
        raise InputError(f"engine is {engine!r}; expected 'auto', 'incremental' or 'dense'.")
    if memory_limit < 1:
        raise InputError(f"memory_limit is {memory_limit!r}; expected a number of bytes above 0.")
    return TRIM if exact is False and trim is None else trim


class _Work:
    """The falls of all windows, image by image, by whichever engine is faster."""

    def __init__(
        self,
        question: Question,
        hide: Hiding,
        windows: NDArray[np.int64],
        engine: Engine,
        trim: float | None,
        memory_limit: int,
        seed: int,
    ) -> None:
        self.question, self.hide, self.windows = question, hide, windows
        self.choice, self.trim, self.memory_limit, self.seed = engine, trim, memory_limit, seed
        self.network = network_of(question.model)
        self.plan: IncrementalPlan | None = None
        self.reason = ""
        self.errors: list[NDArray[np.float64]] = []
        self._dense: FastDense | None = None

    def facts(self) -> dict[str, Any]:
        """What the result should say about how it was computed."""
        dense = self.choice == "dense" or self.plan is None
        facts: dict[str, Any] = {
            "engine": "dense" if dense else "incremental",
            "engine_reason": self.reason or None,
            "forward_equivalents": float(len(self.windows))
            if dense or not self.plan
            else self.plan.forward_equivalents,
        }
        if self.errors:
            errors = np.concatenate(self.errors)
            facts["trim_checked"] = len(errors)
            facts["trim_error_largest"] = float(np.abs(errors).max())
            facts["trim_error_root_mean_square"] = float(np.sqrt(np.square(errors).mean()))
        return facts

    def falls(self, image: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """The falls of all windows of one image.

        Yields:
            (window) int64, which windows, and (window) float64, how far the score falls.
        """
        engine = self._engine(image) if self.choice != "dense" else None
        if engine is None or self.plan is None:
            yield from self._by_forward_passes(image, np.arange(len(self.windows)))
            return
        left = np.ones(len(self.windows), bool)
        fill = self.hide.fill(image)
        undecided = self.choice == "auto" and not self.plan.clear
        batches = engine.batches(self.windows, fill, trim=self.trim, plan=self.plan)
        for number in itertools.count():
            began = time.perf_counter()
            found = next(batches, None)
            if found is None:
                break
            took = time.perf_counter() - began
            chosen, answers = found
            fresh = left[chosen]  # batches of one size overlap where the positions do not fill them
            yield chosen[fresh], self._fall(image, answers, engine.output)[fresh]
            left[chosen] = False
            # the first batch is slow whatever the network, so the second one is compared
            if undecided and number == 1 and left.any():
                undecided = False
                if not self._faster(image, took / len(chosen)):
                    yield from self._by_forward_passes(image, np.flatnonzero(left))
                    return
        if self.trim is not None:
            self._check_trim(image, engine)

    def _engine(self, image: int) -> IncrementalEngine | None:
        try:
            engine = IncrementalEngine(self.network, self.question.inputs[image], memory_limit=self.memory_limit)
        except UntraceableError as error:
            if self.choice == "incremental":
                raise InputError(
                    f"{self.question.model.name!r} cannot be traced ({error}), so it cannot be computed incrementally. "
                    'Use engine="auto" or "dense".'
                ) from error
            self.choice, self.reason = "dense", f"cannot be traced: {error}"
            warnings.warn(
                f"{self.question.model.name!r} cannot be traced ({error}): its control flow may depend on data. "
                "Falling back to dense occlusion, which gives the same map and takes longer.",
                stacklevel=5,
            )
            return None
        self.plan = self.plan or engine.plan(self.windows)
        if self.choice == "auto" and not self.plan.pays:
            self.choice, self.reason = "dense", "the incremental way would not pay"
            return None
        return engine

    def _faster(self, image: int, seconds_each: float) -> bool:
        """Settle which engine to use from here on, by some dense passes; once a network and lattice."""
        known = _faster_before.setdefault(self.question.model.module, {})
        key = (self.question.size, self.windows.tobytes(), str(self.question.inputs.device), torch.get_num_threads())
        if key not in known:
            windows = self.windows[:: max(1, len(self.windows) // TRIED)][:TRIED]
            dense = self._passes(image)
            for _ in dense.answers(self.question.inputs[image], self.hide.fill(image), windows, of=len(self.windows)):
                pass
            known[key] = dense.seconds_each is None or dense.seconds_each > seconds_each
        self.choice = "incremental" if known[key] else "dense"
        self.reason = "" if known[key] else "measured to be faster than the incremental way"
        return known[key]

    def _passes(self, image: int) -> FastDense:
        if self._dense is None:
            example = self.question.inputs[image : image + 1]
            self._dense = FastDense(self.network, example, memory_limit=self.memory_limit)
        return self._dense

    def _by_forward_passes(
        self, image: int, windows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        dense = self._passes(image)
        picture, fill = self.question.inputs[image], self.hide.fill(image)
        untouched = dense.logits(picture[None], dense.choose(len(self.windows)))
        for chosen, answers in dense.answers(picture, fill, self.windows[windows], of=len(self.windows)):
            yield windows[chosen], self._fall(image, answers, untouched)

    def _fall(self, image: int, answers: Tensor, untouched: Tensor) -> NDArray[np.float64]:
        """How far scores fall from the untouched image's in the same form, so that what rounding does to both goes."""
        check_finite_logits(answers, [self.question.identifiers[image]] * len(answers), self.question.model.name)
        before, after = (
            score_of(logits, self.question.targets[image].expand(len(logits)), self.question.score)
            for logits in (untouched, answers)
        )
        return np.asarray((before - after).cpu().double().numpy())

    def _check_trim(self, image: int, engine: IncrementalEngine) -> None:
        """Measure the error of trimming where nobody chose: at positions drawn at random."""
        draw = np.random.default_rng((self.seed, image))
        chosen = np.sort(draw.choice(len(self.windows), min(CHECKED, len(self.windows)), replace=False))
        exact, trimmed = (
            self._fall(image, engine.scores(self.windows[chosen], self.hide.fill(image), trim=trim), engine.output)
            for trim in (None, self.trim)
        )
        self.errors.append(trimmed - exact)
