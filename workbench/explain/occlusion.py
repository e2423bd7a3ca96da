"""Dense occlusion: hide every place in turn, and see what that does to the score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import InputError
from workbench.explain.baselines import Hiding, describe, hiding
from workbench.explain.lattice import Lattice, Size, lattice
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Question, Score, ask, score_of
from workbench.models.image_model import check_finite_logits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.fast_dense import Choice, FastDense

FIRST_BATCH = 8
QUESTION_BATCH = 32
FEW = 32  # so few forward passes are done before a network is traced
AUTOMATIC = 8  # an automatic patch is this part of the shorter side


@explainers.register(
    title="Occlusion",
    source=("zeiler2014",),
    access="black box",
    returns="fall of the score where the patch hides the image, averaged over the windows that cover a pixel",
    cost="one evaluation a window: 225 at 224 x 224 with a patch of 28 and a stride of 14, plus a few",
    note="The map depends on the patch and on what replaces it; a patch's own edges can be evidence.",
    parameters={
        "patch": ("int", None, 1, 64),
        "stride": ("int", None, 1, 64),
        "baseline": ("choice", "zero", ("zero", "black", "mean", "blur", "noise", "inpaint")),
        "seed": ("int", 0, 0, 1000),
    },
)
def occlusion(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    patch: Size | None = None,
    stride: Size | None = None,
    baseline: str | torch.Tensor = "zero",
    seed: int = 0,
    batch_size: int | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Hide each window of a lattice in turn; a pixel gets the mean fall of the score over the windows that cover it.

    Windows are evaluated coarse to fine, so that partial maps cover the whole image early; the last window of each
    row and column is moved back to the border, so that every pixel is covered. Peak memory is that of ``batch_size``
    inputs in the model, whatever the number of windows. Source: [zeiler2014].

    Forward passes take the fastest of several forms that give the same answers: the network with its batch norms
    folded and activations fused, with maps feature last, or as it is. From 700 forward passes on, form and batch are
    measured once a network and input size, and remembered. A black box is asked as it is, and so is a network that
    cannot be traced.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        patch: pixels of the window on the network input, one number or (y, x); None is an eighth of the shorter side.
        stride: pixels from one window to the next, at most the patch; None is half the patch.
        baseline: what replaces the window: ``"zero"``, ``"black"``, ``"mean"``, ``"blur"``, ``"noise"``,
            ``"inpaint"`` (filled from around it), ``"hidden_mean"`` (its own mean colour), or a tensor.
        seed: for baselines that draw.
        batch_size: inputs a forward pass, at least 1; None chooses it, by measuring where that pays.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far).
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 on the grid of the network input, in units of the score; above 0 where hiding
        lowers the score: evidence for the target. The attribute ``passes`` says in which form the network was run
        (``"traced"``, ``"folded"`` or ``"plain"``), ``passes_reason`` why as it is where that is so, ``batch_size``
        how many inputs a pass. See :func:`workbench.explain.result.heatmaps`.

    Raises:
        InputError: a patch larger than the image, a stride below 1 or above the patch, an unusable target.
        NotDeterministicError: the network is in training mode, or answers differently when asked twice.
        UnknownNameError: no such category or baseline.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images or the model's answers cannot be used.
    """
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected at least 1.")
    question = ask(model, images, target=target, score=score, batch_size=batch_size or QUESTION_BATCH)
    windows = lattice_for(question.size, patch, stride)
    hide = hiding(baseline, question.inputs, model=model, seed=seed)
    parameters = {
        "patch": list(windows.patch),
        "stride": list(windows.stride),
        "baseline": describe(baseline),
        "seed": seed,
    }
    falls = np.full((len(question), len(windows)), np.nan)
    passes = Passes(question, falls.size, batch_size)

    def draw(finite: bool) -> xr.DataArray:
        values = windows.average(falls)
        return heatmaps(question, values, method="occlusion", parameters=parameters, finite=finite, **passes.facts)

    with Meter(falls.size, progress=progress, stop=stop, label="occlusion") as meter, torch.no_grad():
        meter.check()
        for indices, chosen in plan(len(question), windows, passes.batch):
            falls[indices, chosen] = measure(passes, hide, windows, indices, chosen)
            meter.advance(len(indices), lambda: draw(finite=False))
    return draw(finite=True)


class Passes:
    """Forward passes for one question, in the fastest form there is.

    Args:
        question: what is explained.
        count: forward passes that will be asked for.
        batch_size: inputs a pass, at most; None to choose it.
    """

    def __init__(self, question: Question, count: int, batch_size: int | None) -> None:
        self.question = question
        self.reason: str | None = None
        self._dense: FastDense | None = None
        self._choice: Choice | None = None
        self.batch = batch_size or QUESTION_BATCH
        if count < FEW:
            self.reason = f"tracing does not pay for fewer than {FEW} forward passes"
        else:
            self._choose(count, batch_size)
        self._references: dict[int, torch.Tensor] = {}

    def _choose(self, count: int, batch_size: int | None) -> None:
        # the engine's modules import this one
        from workbench.explain.fast_dense import FastDense
        from workbench.explain.incremental.occlusion import network_of

        self._dense = FastDense(network_of(self.question.model), self.question.inputs[:1])
        self._choice = self._dense.choose(count, batch=batch_size)
        self.batch = self._choice.batch
        if self._choice.form == "plain":
            self.reason = self._dense.reasons.get("traced", "measured to be the fastest")

    @property
    def form(self) -> str:
        """``"traced"``, ``"folded"`` or ``"plain"``."""
        return self._choice.form if self._choice else "plain"

    @property
    def facts(self) -> dict[str, Any]:
        """What the result should say about how it was computed."""
        return {"passes": self.form, "passes_reason": self.reason, "batch_size": self.batch}

    def scores(self, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Scores of changed inputs.

        Args:
            inputs: (input, channel, y, x) float.
            rows: (input) int64, the image whose target each input is asked for.

        Returns:
            (input) float32 or float64.

        Raises:
            NotFiniteError: the model gives NaN or infinity.
        """
        if self._dense is None or self._choice is None or self.form == "plain":
            return self.question.scores(inputs, rows)
        question = self.question
        logits = self._dense.logits(inputs, self._choice)
        check_finite_logits(logits, [question.identifiers[int(row)] for row in rows], question.model.name)
        return score_of(logits, question.targets[rows.to(question.targets.device)], question.score)

    def reference(self, image: int) -> torch.Tensor:
        """The score of an untouched image in the same form, so that what rounding does to both goes out."""
        if self.form == "plain":
            return self.question.reference[image]
        if image not in self._references:
            row = torch.tensor([image], device=self.question.inputs.device)
            self._references[image] = self.scores(self.question.inputs[image : image + 1], row)[0]
        return self._references[image]


def lattice_for(size: tuple[int, int], patch: Size | None, stride: Size | None) -> Lattice:
    """The lattice with automatic sizes filled in.

    Args:
        size: (y, x) pixels of the network input.
        patch: pixels, one number or (y, x); None is an eighth of the shorter side.
        stride: pixels, one number or (y, x); None is half the patch.

    Returns:
        The lattice.

    Raises:
        InputError, DtypeError: sizes that cannot be used.
    """
    window = max(1, round(min(size) / AUTOMATIC)) if patch is None else patch
    if stride is None:
        pair = (window, window) if isinstance(window, int) else window
        stride = (max(1, pair[0] // 2), max(1, pair[1] // 2))
    return lattice(size, window, stride)


def plan(images: int, windows: Lattice, batch_size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Which image and which window each evaluation is for, a batch at a time.

    Args:
        images: number of images.
        windows: the lattice.
        batch_size: evaluations a batch.

    Yields:
        (input) int64 image numbers and (input) int64 window numbers; images one after the other, windows coarse to
        fine, each pair once. The first batches are small, so that there is something to show early.
    """
    order = windows.refinement_order()
    start, size = 0, min(FIRST_BATCH, batch_size)
    while start < images * len(order):
        number = np.arange(start, min(start + size, images * len(order)))
        yield number // len(order), order[number % len(order)]
        start, size = start + size, min(2 * size, batch_size)


def measure(
    passes: Passes,
    hide: Hiding,
    windows: Lattice,
    indices: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> NDArray[np.float64]:
    """How far the score falls when one window is hidden.

    Args:
        passes: runs the network.
        hide: what replaces the images where they are hidden.
        windows: the lattice.
        indices: (input) int64, image numbers.
        chosen: (input) int64, window numbers.

    Returns:
        (input) float64, score of the untouched image minus score of the occluded one.

    Raises:
        NotFiniteError: the model gives NaN or infinity.
    """
    images = np.unique(indices).tolist()
    last = passes.form != "plain"
    boxes = windows.boxes[chosen]
    occluded = torch.cat([hide.windows(image, boxes[indices == image], feature_last=last) for image in images])
    rows = torch.from_numpy(indices).to(occluded.device)
    references = torch.stack([passes.reference(image) for image in images])
    before = references[torch.from_numpy(np.searchsorted(images, indices)).to(references.device)]
    return np.asarray((before - passes.scores(occluded, rows)).cpu().double().numpy())
