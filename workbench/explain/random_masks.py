"""RISE: what do the random views of an image have in common that the model likes?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F

from workbench.errors import InputError
from workbench.explain.baselines import baseline_images, describe
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Score, ask

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

Normalisation = Literal["coverage", "expectation"]


@dataclass(frozen=True, eq=False)
class RandomMasks:
    """Smooth random masks, kept as their small grids and enlarged a few at a time; made by :func:`draw_masks`.

    Attributes:
        size: (y, x) pixels of the masks.
        grids: (mask, cell, cell) bool, True where a cell is kept.
        shifts: (mask, 2) int64, pixels by which each enlarged grid is shifted along (y, x), less than a cell.
    """

    size: tuple[int, int]
    grids: torch.Tensor
    shifts: torch.Tensor

    def __len__(self) -> int:
        return len(self.grids)

    @cached_property
    def _windows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(shift, pixel, cell) a axis: how much of each cell every pixel gets, for each possible shift."""
        cells = self.grids.shape[1]
        found = []
        for pixels in self.size:
            length = (cells + 1) * _cell(pixels, cells)
            enlarged = F.interpolate(torch.eye(cells)[None], size=length, mode="linear", align_corners=False)[0]
            found.append(enlarged.unfold(1, pixels, 1).permute(1, 2, 0))
        return found[0], found[1]

    def enlarged(self, start: int, stop: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """Some of the masks in full size.

        Args:
            start: number of the first mask.
            stop: number behind the last mask.
            device: where to make them.

        Returns:
            (mask, y, x) float32 in [0, 1], 1 where the image is kept.
        """
        grids = self.grids[start:stop].to(device, torch.float32)
        down, across = (
            windows.to(device)[self.shifts[start:stop, axis].to(device)] for axis, windows in enumerate(self._windows)
        )
        # a bilinear enlargement is one small matrix product an axis
        return (down @ grids @ across.transpose(1, 2)).clamp(0, 1)


def draw_masks(count: int, *, cells: int, keep: float, size: tuple[int, int], seed: int = 0) -> RandomMasks:
    """Draw random masks as RISE does: small binary grids, enlarged bilinearly and shifted at random.

    The grid is enlarged to (cells + 1) cells of ``ceil(pixels / cells)`` pixels, from which the image is cut out at a
    random shift below one cell. Source: [petsiuk2018].

    Args:
        count: number of masks.
        cells: cells along each axis of the grid.
        keep: probability that a cell is kept.
        size: (y, x) pixels.
        seed: of the draw.

    Returns:
        The masks.

    Raises:
        InputError: a number outside its range.
    """
    if count < 1:
        raise InputError(f"masks is {count}; expected at least 1.")
    if not 1 <= cells <= min(size):
        raise InputError(f"cells is {cells}; expected 1 to {min(size)}, the shorter side of the network input.")
    if not 0 < keep < 1:
        raise InputError(f"keep is {keep}; expected a probability between 0 and 1, both excluded.")
    generator = torch.Generator().manual_seed(seed)
    grids = torch.rand((count, cells, cells), generator=generator) < keep
    shifts = [torch.randint(0, _cell(pixels, cells), (count,), generator=generator) for pixels in size]
    return RandomMasks(size, grids, torch.stack(shifts, dim=1))


def _cell(pixels: int, cells: int) -> int:
    return -(-pixels // cells)


@dataclass(eq=False)
class _Sums:
    """What is added up over the masks; scores are counted from the untouched image's, where they are small."""

    weighted: NDArray[np.float64]  # (image, y, x) masks times scores
    coverage: NDArray[np.float64]  # (image, y, x) masks
    scores: NDArray[np.float64]  # (image)
    count: NDArray[np.int64]  # (image) masks so far

    def values(self, normalisation: Normalisation, keep: float, reference: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            if normalisation == "coverage":
                return self.weighted / self.coverage - (self.scores / self.count)[:, None, None]
            total = self.weighted + reference[:, None, None] * self.coverage
            return total / (keep * self.count[:, None, None])


@explainers.register(
    title="RISE",
    source=("petsiuk2018",),
    access="black box",
    returns="mean score of the random masks that keep a pixel, minus the mean score of all of them",
    cost="one evaluation a mask: 4000",
    note="An estimate from random masks: another seed gives another map, the more alike the more masks. "
    "normalisation='expectation' with score='probability' is the published estimator.",
    parameters={
        "masks": ("int", 4000, 100, 16000),
        "cells": ("int", 7, 2, 32),
        "keep": ("float", 0.5, 0.05, 0.95),
        "baseline": ("choice", "zero", ("zero", "black", "mean", "blur", "noise", "inpaint")),
        "normalisation": ("choice", "coverage", ("coverage", "expectation")),
        "seed": ("int", 0, 0, 1000),
    },
)
def rise(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    masks: int = 4000,
    cells: int = 7,
    keep: float = 0.5,
    baseline: str | torch.Tensor = "zero",
    normalisation: Normalisation = "coverage",
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Show the model random parts of the image; a pixel gets what the parts that show it score. Source: [petsiuk2018].

    Masks are enlarged a batch at a time and never kept: memory is that of ``batch_size`` inputs in the model and of
    the small grids. All images see the same masks, so a batch answers as its images do one at a time, and the masks
    do not depend on ``batch_size``.

    The published estimator divides the masks' sum, weighted by scores, by the *expected* number of masks that keep a
    pixel; a pixel that chance kept more often then looks important by the size of the score, which for logits drowns
    the map. The default divides by the masks that did keep it; both have the same limit but for a constant.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        masks: random masks an image, at least 1.
        cells: cells along each axis of the random grid.
        keep: probability that a cell is kept, between 0 and 1.
        baseline: what is seen where the mask hides: ``"zero"`` as published, another name of
            :data:`workbench.explain.baselines`, or a tensor. Masks are soft, so ``"inpaint"`` fills each tile of
            the picture from around itself.
        normalisation: ``"coverage"`` or ``"expectation"`` (as published), see above.
        seed: of the masks and of baselines that draw.
        batch_size: inputs a forward pass, at least 1.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far).
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 on the grid of the network input, in units of the score. With ``"coverage"``
        above 0 where keeping a pixel raises the score above the masks' mean; with ``"expectation"`` the published
        map, which is not centred. The attribute ``evaluations`` counts the masked inputs of all images.

    Raises:
        InputError: a number outside its range, pixels that no mask kept, or a baseline that cannot be used.
        UnknownNameError: no such category or baseline.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images or the model's answers cannot be used.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected at least 1.")
    if normalisation not in get_args(Normalisation):
        raise InputError(f"normalisation is {normalisation!r}; expected 'coverage' or 'expectation'.")
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    draws = draw_masks(masks, cells=cells, keep=keep, size=question.size, seed=seed)
    hidden = baseline_images(baseline, question.inputs, model=model, seed=seed)
    reference = question.reference.cpu().double().numpy()
    shape = (len(question), *question.size)
    sums = _Sums(np.zeros(shape), np.zeros(shape), np.zeros(len(question)), np.zeros(len(question), np.int64))
    parameters = {
        "masks": masks,
        "cells": cells,
        "keep": keep,
        "baseline": describe(baseline),
        "normalisation": normalisation,
        "seed": seed,
    }

    def draw(finite: bool) -> xr.DataArray:
        values = sums.values(normalisation, keep, reference)
        count = int(sums.count.sum())
        return heatmaps(question, values, method="rise", parameters=parameters, finite=finite, evaluations=count)

    with Meter(len(question) * masks, progress=progress, stop=stop, label="RISE") as meter, torch.no_grad():
        meter.check()
        for image in range(len(question)):
            for start in range(0, masks, batch_size):
                some = draws.enlarged(start, min(start + batch_size, masks), question.inputs.device)
                blended = blend(question.inputs[image], hidden[image], some[:, None])
                rows = torch.full((len(some),), image, device=some.device)
                scores = question.scores(blended, rows) - question.reference[image]
                sums.weighted[image] += torch.einsum("m,myx->yx", scores.float(), some).cpu().double().numpy()
                sums.coverage[image] += some.sum(0).cpu().double().numpy()
                sums.scores[image] += float(scores.double().sum())
                sums.count[image] += len(some)
                meter.advance(len(some), lambda: draw(finite=False))
    unseen = int((sums.coverage == 0).any(0).sum())
    if unseen and normalisation == "coverage":
        raise InputError(f"{unseen} pixels are kept by none of the {masks} masks. Use more masks, or a larger keep.")
    return draw(finite=True)


def blend(image: torch.Tensor, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """An image seen through soft masks.

    Args:
        image: (channel, y, x) or (input, channel, y, x) float, normalised.
        hidden: the same shape, what is seen where the mask is 0.
        mask: (input, 1, y, x) float in [0, 1], 1 where the image is seen.

    Returns:
        (input, channel, y, x) of the image's dtype.
    """
    wide = torch.promote_types(image.dtype, mask.dtype)
    behind = hidden.to(wide)
    return (behind + mask.to(wide) * (image.to(wide) - behind)).to(image.dtype)
