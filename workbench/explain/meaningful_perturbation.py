"""Meaningful perturbation: the smallest smooth mask that takes the score away, found by gradient descent."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from workbench.errors import InputError
from workbench.explain.attribution import require_gradient
from workbench.explain.baselines import baseline_images, describe
from workbench.explain.optimised_masks import MaskSearch, check_counts, optimise
from workbench.explain.random_masks import blend
from workbench.explain.registered import explainers
from workbench.explain.score import Question, Score, ask

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop

CELLS = 28  # of the mask along the shorter side; 8 pixels each at 224
SMOOTHING = 5 / 8  # standard deviation of the enlargement in cells; 5 pixels at 224
JITTER = 4 / 224  # largest shift as a share of the shorter side
BETA = 3.0  # exponent of the total variation
RATE = 0.1  # of Adam


class _Deletion(MaskSearch):
    """The deletion game of [fong2017]: hide little, in one piece, so that the score falls."""

    def __init__(
        self,
        question: Question,
        rows: torch.Tensor,
        *,
        hidden: torch.Tensor,
        cells: tuple[int, int],
        area_weight: float,
        smoothness_weight: float,
        seed: int,
    ) -> None:
        self.question = question
        self.rows = rows
        self.image = question.inputs.index_select(0, rows)
        self.hidden = hidden.index_select(0, rows)
        self.area_weight = area_weight
        self.smoothness_weight = smoothness_weight
        wide = torch.promote_types(self.image.dtype, torch.float32)
        device = self.image.device
        self.enlarge = [enlargement(*pair).to(device, wide) for pair in zip(cells, question.size, strict=True)]
        self.kept = torch.ones((len(rows), *cells), device=device, dtype=wide, requires_grad=True)
        self.optimiser = torch.optim.Adam([self.kept], lr=RATE)
        self.generator = torch.Generator().manual_seed(seed)
        self.loss = torch.full((len(rows),), torch.nan, dtype=wide)

    @cached_property
    def scale(self) -> torch.Tensor:
        """(image) how far the score is from that of the wholly hidden image; at least a thousandth of itself."""
        with torch.no_grad():
            gap = (self.question.reference[self.rows] - self.question.scores(self.hidden, self.rows)).abs()
        return gap.clamp(min=1e-6).maximum(1e-3 * self.question.reference[self.rows].abs())

    def mask(self) -> torch.Tensor:
        """(image, 1, y, x) float, 1 where the image is kept."""
        return torch.einsum("yv,nvu,xu->nyx", self.enlarge[0], self.kept, self.enlarge[1])[:, None]

    def step(self) -> None:
        """See :class:`MaskSearch`."""
        seen = blend(self.image, self.hidden, self.mask())
        reach = round(JITTER * min(self.question.size))
        if reach:
            y, x = torch.randint(0, reach + 1, (2,), generator=self.generator).tolist()
            # shifted by at most the reach; the border is repeated
            seen = F.pad(seen, (x, reach - x, y, reach - y), mode="replicate")
            part = reach // 2
            height, width = self.question.size
            seen = seen[:, :, part : part + height, part : part + width]
        terms = self.question.scores(seen, self.rows) / self.scale
        losses = terms + penalty(self.kept, self.area_weight, self.smoothness_weight)
        self.loss = losses.detach()
        (self.kept.grad,) = torch.autograd.grad(losses.sum(), [self.kept])
        self.optimiser.step()
        with torch.no_grad():
            self.kept.clamp_(0, 1)

    def maps(self) -> NDArray[np.float32]:
        """See :class:`MaskSearch`."""
        with torch.no_grad():
            return np.asarray((1 - self.mask()[:, 0]).clamp(0, 1).cpu().float().numpy())

    def facts(self) -> dict[str, NDArray[np.float64]]:
        """See :class:`MaskSearch`."""
        return {"loss": self.loss.cpu().double().numpy()}


def penalty(kept: torch.Tensor, area_weight: float, smoothness_weight: float) -> torch.Tensor:
    """What a mask costs: its hidden area, and its total variation.

    Args:
        kept: (image, v, u) float in [0, 1], 1 where the image is kept.
        area_weight: of the sum of what is hidden over the cells.
        smoothness_weight: of the sum of the third powers of the differences between neighbouring cells.

    Returns:
        (image) float.
    """
    area = (1 - kept).abs().sum((1, 2))
    down, across = kept.diff(dim=1).abs(), kept.diff(dim=2).abs()
    return area_weight * area + smoothness_weight * ((down**BETA).sum((1, 2)) + (across**BETA).sum((1, 2)))


def enlargement(cells: int, pixels: int) -> torch.Tensor:
    """How much of each cell every pixel gets: a Gaussian about the cell's centre.

    Args:
        cells: cells along the axis.
        pixels: pixels along the axis.

    Returns:
        (pixel, cell) float64, rows that add up to 1.
    """
    width = pixels / cells
    centres = (torch.arange(cells, dtype=torch.float64) + 0.5) * width
    places = torch.arange(pixels, dtype=torch.float64) + 0.5
    weights = torch.exp(-0.5 * ((places[:, None] - centres) / (SMOOTHING * width)) ** 2)
    return weights / weights.sum(1, keepdim=True)


@explainers.register(
    title="Meaningful perturbation",
    source=("fong2017",),
    access="gradients",
    returns="the smooth mask that hides little and takes the score away; 1 is hidden",
    signed=False,
    cost="300 evaluations, each with its gradient, plus two evaluations",
    note="A local optimum: it begins with nothing hidden (the paper begins with a disc in the middle, which favours "
    "the middle). Shows one sufficient way to lose the score, not all evidence.",
    parameters={
        "iterations": ("int", 300, 10, 1000),
        "area_weight": ("float", 1e-4, 0.0, 0.1),
        "smoothness_weight": ("float", 1e-2, 0.0, 1.0),
        "baseline": ("choice", "blur", ("blur", "zero", "black", "mean", "noise", "inpaint")),
        "seed": ("int", 0, 0, 1000),
    },
)
def meaningful_perturbation(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    iterations: int = 300,
    area_weight: float = 1e-4,
    smoothness_weight: float = 1e-2,
    cells: int | None = None,
    baseline: str | torch.Tensor = "blur",
    seed: int = 0,
    batch_size: int = 16,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Find the smallest smooth mask that takes the score away. Source: [fong2017].

    Minimises, over a mask of 28 x 28 cells that is enlarged by Gaussians, the score of the image seen through it,
    plus ``area_weight`` times the hidden area (summed over the cells), plus ``smoothness_weight`` times the total
    variation (third powers), by Adam with a rate of 0.1; at each step the picture is shifted at random by up to 2
    pixels of 224 to each side. The weights of the paper are for probabilities: the score is divided by its
    difference from the wholly hidden image's, so that they mean the same for logits.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"`` (as published).
        iterations: steps, at least 1.
        area_weight: what a hidden cell costs, at least 0.
        smoothness_weight: what differences between cells cost, at least 0.
        cells: cells of the mask along the shorter side; None is 28, or one for two pixels of a smaller image.
        baseline: what is seen where the mask hides: ``"blur"`` as published, another name of
            :data:`workbench.explain.baselines`, or a tensor. Masks are soft, so ``"inpaint"`` fills each tile of
            the picture from around itself.
        seed: of the shifts and of baselines that draw. All images get the same shifts.
        batch_size: images at a time.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far).
        stop: asked after each step; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 in [0, 1] on the grid of the network input: how far a pixel is hidden. The
        coordinate ``loss`` (image) is what was minimised, at the last step; the attributes ``evaluations`` and
        ``gradients`` count the steps of all images.

    Raises:
        InputError: no gradient leads through the model, a number outside its range, or a baseline without a picture.
        UnknownNameError: no such category or baseline.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images or the model's answers cannot be used.
    """
    check_counts(iterations=iterations, batch_size=batch_size)
    if min(area_weight, smoothness_weight) < 0:
        raise InputError(f"area_weight is {area_weight}, smoothness_weight {smoothness_weight}; expected at least 0.")
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    require_gradient(question)
    grid = mask_grid(question.size, cells)
    hidden = baseline_images(baseline, question.inputs, model=model, seed=seed)

    def make(rows: torch.Tensor) -> _Deletion:
        return _Deletion(
            question,
            rows,
            hidden=hidden,
            cells=grid,
            area_weight=area_weight,
            smoothness_weight=smoothness_weight,
            seed=seed,
        )

    parameters = {
        "iterations": iterations,
        "area_weight": area_weight,
        "smoothness_weight": smoothness_weight,
        "cells": list(grid),
        "baseline": describe(baseline),
        "seed": seed,
    }
    return optimise(
        question,
        make,
        iterations=iterations,
        evaluations=1,
        chunk=batch_size,
        method="meaningful_perturbation",
        parameters=parameters,
        progress=progress,
        stop=stop,
        label="meaningful perturbation",
    )


def mask_grid(size: tuple[int, int], cells: int | None) -> tuple[int, int]:
    """Cells of the mask along (y, x), as square as can be.

    Args:
        size: (y, x) pixels of the network input.
        cells: along the shorter side; None is 28, or one for two pixels of a smaller image.

    Returns:
        (y, x) cells.

    Raises:
        InputError: fewer than two cells, or more than pixels.
    """
    side = min(size)
    if cells is not None and not 2 <= cells <= side:
        raise InputError(f"cells is {cells}; expected 2 to {side}, the shorter side of the network input.")
    along = cells or max(1, min(CELLS, side // 2))
    return round(along * size[0] / side), round(along * size[1] / side)
