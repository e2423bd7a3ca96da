"""Extremal perturbation: of all smooth masks of one area, the one that the model likes best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from workbench.errors import DtypeError, InputError
from workbench.explain.attribution import require_gradient
from workbench.explain.baselines import baseline_images, describe
from workbench.explain.optimised_masks import MaskSearch, check_counts, optimise
from workbench.explain.registered import explainers
from workbench.explain.score import Question, Score, ask

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop

STEP = 7 / 224  # distance of the mask's parameters as a share of the shorter side
REACH = 3  # smoothness: standard deviation in steps; 21 pixels at 224
COLDNESS = 20.0  # of the smooth maximum: the larger, the nearer the maximum
LEVELS = 8  # of the pyramid of blurs
BLUR = 20 / 224  # standard deviation of its strongest blur as a share of the shorter side
RATE, MOMENTUM = 0.01, 0.9
TIE = 1e-4  # mask values that are as near as this are ranked alike
AREA_WEIGHT, GROWTH = 300.0, 1.0035  # of the area constraint, and its growth a step


class SmoothMask:
    """Masks that are smooth by construction: each pixel is the smooth maximum of bumps about it.

    Parameters lie on a lattice of points ``step`` pixels apart; a point's bump is 1 within half its reach of three
    steps, falls off smoothly outside, and is cut off after four steps. Points are mirrored at the border of
    the image, which is so a place like any other: without, masks drift there. Source: [fong2019].

    Args:
        size: (y, x) pixels.
        step: pixels between the points.
        device: where to work.
        dtype: floating dtype to work in.
    """

    def __init__(self, size: tuple[int, int], step: int, device: torch.device, dtype: torch.dtype) -> None:
        self.size = size
        self.step = step
        self.radius = REACH + 1
        self.grid = (-(-size[0] // step), -(-size[1] // step))
        mirrored = (np.pad(np.arange(points), self.radius, mode="symmetric") for points in self.grid)
        self.mirror = [torch.from_numpy(each).to(device) for each in mirrored]
        # a pixel's place within its cell, against the points of the cells around it
        inside = torch.arange(step, dtype=torch.float64) + 0.5 - step / 2
        around = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64) * step
        apart = inside - around[:, None]
        distance = (apart[:, None, :, None] ** 2 + apart[None, :, None, :] ** 2).sqrt() / (REACH * step)
        bumps = torch.exp(-2 * (distance - 0.5).clamp(min=0) ** 2)
        self.bumps = bumps.reshape(len(around) ** 2, step**2, 1, 1).to(device, dtype)

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """The masks of some parameters.

        Args:
            points: (mask, v, u) float in [0, 1], one number a point of :attr:`grid`.

        Returns:
            (mask, 1, y, x) float in [0, 1].
        """
        window = 2 * self.radius + 1
        wide = points[:, self.mirror[0]][:, :, self.mirror[1]]
        near = F.unfold(wide[:, None], window).reshape(len(points), -1, *self.grid)
        heights = near[:, :, None] * self.bumps
        # sum of f exp(f / T) over sum of exp(f / T): a maximum that every bump has a gradient in
        pooled = (heights * (COLDNESS * heights).softmax(1)).sum(1)
        return F.pixel_shuffle(pooled, self.step)[:, :, : self.size[0], : self.size[1]]


def pyramid(inputs: torch.Tensor, hidden: torch.Tensor | None) -> torch.Tensor:
    """Each image from wholly hidden to untouched.

    Args:
        inputs: (image, channel, y, x) float, normalised.
        hidden: the same shape, what a wholly hidden image is; None for ever stronger blur.

    Returns:
        (image, level, channel, y, x) of the same dtype; eight levels of blur, or two.
    """
    if hidden is not None:
        return torch.stack([hidden.to(inputs), inputs], dim=1)
    strongest = BLUR * min(inputs.shape[2:])
    pictures = inputs.to(torch.promote_types(inputs.dtype, torch.float32)).cpu().numpy()
    levels = []
    for share in np.linspace(1, 0, LEVELS):
        sigma = share * strongest
        levels.append(gaussian_filter(pictures, (0, 0, sigma, sigma), mode="nearest") if sigma else pictures)
    return torch.from_numpy(np.stack(levels, axis=1)).to(inputs)


def look_up(levels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Take each pixel from the level that the mask says, between two levels linearly.

    Args:
        levels: (image, level, channel, y, x) float, from wholly hidden to untouched.
        mask: (image, 1, y, x) float in [0, 1], 1 where the image is untouched.

    Returns:
        (image, channel, y, x) float.
    """
    last = levels.shape[1] - 1
    height = mask * last
    lower = height.detach().floor().clamp(max=last - 1)
    index = lower.long()[:, None].expand(-1, 1, *levels.shape[2:])
    below, above = levels.gather(1, index)[:, 0], levels.gather(1, index + 1)[:, 0]
    return below + (height - lower) * (above - below)


def area_penalty(mask: torch.Tensor, areas: torch.Tensor) -> torch.Tensor:
    """How far masks are from showing exactly a given share of the image, and that wholly.

    The sorted mask is compared with zeros followed by ones; pixels whose values are equal but for a ten-thousandth
    share what falls to their ranks, so that chance does not choose among them. Source: [fong2019].

    Args:
        mask: (mask, 1, y, x) float in [0, 1].
        areas: (mask) float, the share that is to be shown.

    Returns:
        (mask) float, mean square of the differences.
    """
    flat = mask.flatten(1)
    count = flat.shape[1]
    first = ((1 - areas) * count).floor()
    wanted = torch.empty_like(flat)
    for row, values in enumerate(flat.detach()):
        _, place, ties = (values / TIE).round().unique(return_inverse=True, return_counts=True)
        last = ties.cumsum(0)
        # of pixels that share some ranks each gets the same part of the ones that fall to them
        ones = (last - first[row]).clamp(min=0).minimum(ties.to(first.dtype))
        wanted[row] = (ones / ties).to(flat.dtype)[place]
    return ((flat - wanted) ** 2).mean(1)


class _Preservation(MaskSearch):
    """The preservation game: of the given areas, show what keeps the score highest."""

    def __init__(self, question: Question, rows: torch.Tensor, *, hidden: torch.Tensor | None, areas: Sequence[float]):
        device, wide = rows.device, torch.promote_types(question.inputs.dtype, torch.float32)
        self.question = question
        self.shape = (len(rows), len(areas))
        self.rows = rows.repeat_interleave(len(areas))
        images = question.inputs.index_select(0, rows)
        chosen = None if hidden is None else hidden.index_select(0, rows)
        self.levels = pyramid(images, chosen).to(wide).repeat_interleave(len(areas), dim=0)
        self.areas = torch.tensor(areas, device=device, dtype=torch.float64).repeat(len(rows))
        self.smooth = SmoothMask(question.size, max(1, round(STEP * min(question.size))), device, wide)
        shape = (len(self.rows), *self.smooth.grid)
        self.points = torch.ones(shape, device=device, dtype=wide, requires_grad=True)
        self.optimiser = torch.optim.SGD([self.points], lr=RATE, momentum=MOMENTUM, dampening=MOMENTUM)
        self.weight = AREA_WEIGHT
        self.steps = 0

    def step(self) -> None:
        """See :class:`MaskSearch`."""
        mask = self.smooth(self.points)
        seen = look_up(self.levels, mask).to(self.question.inputs.dtype)
        if self.steps % 2 == 0:
            seen = seen.flip(3)  # so that no detail of the pixel grid is found
        scores = self.question.scores(seen, self.rows)
        losses = self.weight * area_penalty(mask, self.areas) - scores
        (self.points.grad,) = torch.autograd.grad(losses.sum(), [self.points])
        self.optimiser.step()
        with torch.no_grad():
            self.points.clamp_(0, 1)
        self.weight *= GROWTH
        self.steps += 1

    def _masks(self) -> torch.Tensor:
        """(image, area, y, x) float."""
        with torch.no_grad():
            return self.smooth(self.points)[:, 0].reshape(*self.shape, *self.question.size)

    def maps(self) -> NDArray[np.float32]:
        """See :class:`MaskSearch`."""
        return np.asarray(self._masks().mean(1).clamp(0, 1).cpu().float().numpy())

    def facts(self) -> dict[str, NDArray[np.float64]]:
        """See :class:`MaskSearch`."""
        error = self._masks().mean((2, 3)).double() - self.areas.reshape(self.shape)
        return {"area_error": error.abs().amax(1).cpu().numpy()}


@explainers.register(
    title="Extremal perturbation",
    source=("fong2019",),
    access="gradients",
    returns="the smooth mask of a given area that keeps the score highest; mean over the areas",
    signed=False,
    cost="800 evaluations an area, each with its gradient, plus one",
    note="Always shows its area, whatever the object's size; several areas give a graded map. A local optimum. The "
    "area is counted on the image itself, not on a margin around it.",
    parameters={
        "iterations": ("int", 800, 10, 2000),
        "baseline": ("choice", "blur", ("blur", "zero", "black", "mean", "noise", "inpaint")),
        "seed": ("int", 0, 0, 1000),
    },
)
def extremal_perturbation(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    areas: Sequence[float] = (0.1,),
    iterations: int = 800,
    baseline: str | torch.Tensor = "blur",
    seed: int = 0,
    batch_size: int = 8,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Find, for each area, the smooth mask that keeps the score highest. Source: [fong2019].

    Maximises the score of the image seen through the mask, minus a penalty that makes the sorted mask zeros followed
    by as many ones as the area says (its weight, 300 at first, grows by 0.35 % a step), by gradient steps of 0.01
    with momentum 0.9. Masks are smooth maxima of bumps 21 pixels wide and 7 apart at 224; the picture is mirrored at
    every other step. With the baseline ``"blur"`` a mask value between 0 and 1 is a weaker blur (eight levels up to
    20 pixels at 224); with others it is a mixture.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        areas: shares of the image that are shown, each between 0 and 1, one mask each.
        iterations: steps, at least 1.
        baseline: what hidden parts show: ``"blur"`` as published, another name of
            :data:`workbench.explain.baselines`, or a tensor. Masks are soft, so ``"inpaint"`` fills each tile of
            the picture from around itself.
        seed: for baselines that draw; nothing else is random.
        batch_size: masks at a time, at least 1.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far).
        stop: asked after each step; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 in [0, 1] on the grid of the network input: the mean of the masks over the
        areas, 1 where the image is shown. The coordinate ``area_error`` (image) is the largest difference between a
        mask's mean and its area; the attributes ``evaluations`` and ``gradients`` count the steps of all masks.

    Raises:
        InputError: no gradient leads through the model, a number outside its range, or a baseline without a picture.
        DtypeError: areas that are no sequence of numbers.
        UnknownNameError: no such category or baseline.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError: the images or the model's answers cannot be used.
    """
    check_counts(iterations=iterations, batch_size=batch_size)
    shares = check_areas(areas)
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    require_gradient(question)
    blurred = isinstance(baseline, str) and baseline == "blur"
    hidden = None if blurred else baseline_images(baseline, question.inputs, model=model, seed=seed)

    def make(rows: torch.Tensor) -> _Preservation:
        return _Preservation(question, rows, hidden=hidden, areas=shares)

    return optimise(
        question,
        make,
        iterations=iterations,
        evaluations=len(shares),
        chunk=max(1, batch_size // len(shares)),
        method="extremal_perturbation",
        parameters={"areas": list(shares), "iterations": iterations, "baseline": describe(baseline), "seed": seed},
        progress=progress,
        stop=stop,
        label="extremal perturbation",
    )


def check_areas(areas: Any) -> tuple[float, ...]:
    """Refuse areas that are no shares of an image.

    Args:
        areas: a sequence of numbers.

    Returns:
        The same, as a tuple.

    Raises:
        DtypeError: not a sequence of numbers.
        InputError: none, or one that is not between 0 and 1.
    """
    if not isinstance(areas, Sequence | np.ndarray) or isinstance(areas, str):
        raise DtypeError(f"areas is {areas!r}; expected a sequence of shares of the image, such as (0.05, 0.1).")
    shares = tuple(float(area) for area in areas)
    if not shares or not all(0 < area < 1 for area in shares):
        raise InputError(f"areas is {areas!r}; expected shares of the image between 0 and 1, both excluded.")
    return shares
