"""Do the map's values add up to how far the score falls: infidelity."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from workbench.arrays import IMAGE
from workbench.errors import InputError
from workbench.evaluate.curves import hider
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import BASELINES, Explained, check_count, explained, report
from workbench.explain import Meter, at_once
from workbench.explain.baselines import describe

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.explain.score import Score

Perturbation = Literal["square", "noise"]
# images and numbers of samples to changed network input and what the maps say is lost
Disturb = Callable[[torch.Tensor, "NDArray[np.int64]"], "tuple[torch.Tensor, NDArray[np.float64]]"]


@metrics.register(
    title="Infidelity",
    source=("yeh2019",),
    access="black box",
    returns="mean squared difference between what the map says a change takes away and what it takes away",
    feedback="number",
    better="lower",
    cost="100 evaluations",
    note="Takes the signed map. Maps are scaled to their best fit, so that units do not count. A map of positive noise "
    "can do well: compare with evaluate.random_maps.",
    parameters={
        "perturbation": ("choice", "square", ("square", "noise")),
        "baseline": ("choice", "black", BASELINES),
        "samples": ("int", 100, 2, 2000),
        "seed": ("int", 0, 0, 1000),
    },
)
def infidelity(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    perturbation: Perturbation = "square",
    target: Any = None,
    score: Score = "logit",
    baseline: str | torch.Tensor = "black",
    side: int | None = None,
    noise: float = 0.2,
    normalise: bool = True,
    samples: int = 100,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """How far the fall of the score under random changes is from what the map says it should be. Source: [yeh2019].

    Args:
        heatmaps: (image, y, x) finite numbers on the grid of the network input; their coordinate ``signed`` is taken
            where they have one.
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`; those that the maps are of, in their order.
        perturbation: ``"square"`` replaces a square at a random place by the baseline; the map says that its sum over
            the square is lost, which suits maps of contributions (occlusion, integrated gradients). ``"noise"`` takes
            Gaussian noise, one number a pixel for all channels, away from the input; the map says that its product with
            the noise is lost, which suits gradients (saliency).
        target: a category (index or name), one an image; None for what the maps explain, else for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        baseline: what squares are replaced by: a name of :data:`workbench.explain.baselines`, or a tensor.
        side: of the squares in pixels; None for a quarter of the image's shorter side.
        noise: standard deviation of the noise in units of the normalised input, above 0.
        normalise: multiply each map by the one number that makes its infidelity smallest, as the paper does to compare
            methods.
        samples: changes an image.
        seed: of the changes, which are the same for every image.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset: ``score`` (image), the infidelity in squared units of the model's score, at least 0, lower is better;
        ``said`` and ``fall`` (image, sample), what the map says is lost, before scaling, and what is; ``scale``
        (image), the factor, 1 without ``normalise`` and for a map that says nothing. ``value``, ``low``, ``high``,
        ``n``: the mean over images with its 95 % BCa bootstrap interval.

    Raises:
        ShapeError, NotFiniteError: maps or images of other sizes or numbers, or with NaN.
        UnknownNameError: an unknown baseline or category.
        InputError, DtypeError, NotDeterministicError: other arguments that cannot be used.
        Interrupted: ``stop`` answered True.
    """
    check_count("samples", samples)
    subject = explained(heatmaps, model, images, target=target, score=score, batch_size=batch_size, signed=True)
    size = subject.question.size
    if perturbation == "square":
        width = check_count("side", max(min(size) // 4, 1) if side is None else side, most=min(size))
        disturb = _squares(subject, baseline, width, samples, seed)
        facts: dict[str, Any] = {"baseline": describe(baseline), "side": width}
    elif perturbation == "noise":
        if not 0 < noise < np.inf:
            raise InputError(f"noise is {noise}; expected a standard deviation above 0.")
        disturb, facts = _noises(subject, noise, seed), {"noise": noise}
    else:
        raise InputError(f"perturbation is {perturbation!r}; expected 'square' or 'noise'.")
    said, fall = _falls(subject, disturb, samples, batch_size, progress, stop)
    scale = np.ones(len(said))
    if normalise:
        power = (said * said).sum(axis=1)
        np.divide((said * fall).sum(axis=1), power, out=scale, where=power > 0)
    return report(
        subject,
        {
            "score": (IMAGE, ((scale[:, None] * said - fall) ** 2).mean(axis=1)),
            "said": ((IMAGE, "sample"), said),
            "fall": ((IMAGE, "sample"), fall),
            "scale": (IMAGE, scale),
        },
        metric="infidelity",
        better="lower",
        perturbation=perturbation,
        normalise=normalise,
        samples=samples,
        seed=seed,
        **facts,
    )


def _falls(
    subject: Explained,
    disturb: Disturb,
    samples: int,
    batch_size: int,
    progress: Report,
    stop: Stop | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(image, sample) both: what the maps say is lost, and what is."""
    question = subject.question
    whole = question.reference.double().cpu().numpy()
    said, fall = np.empty(len(subject) * samples), np.empty(len(subject) * samples)
    batch_size = at_once(question.inputs, batch_size)
    with Meter(len(said), progress=progress, stop=stop, label="infidelity") as meter, torch.inference_mode():
        for start in range(0, len(said), batch_size):
            pairs = np.arange(start, min(start + batch_size, len(said)))
            rows = torch.from_numpy(pairs // samples).to(question.inputs.device)
            changed, said[pairs] = disturb(rows, pairs % samples)
            fall[pairs] = whole[pairs // samples] - question.scores(changed, rows).double().cpu().numpy()
            meter.advance(len(pairs))
    return said.reshape(-1, samples), fall.reshape(-1, samples)


def _squares(subject: Explained, baseline: str | torch.Tensor, side: int, samples: int, seed: int) -> Disturb:
    question = subject.question
    hide = hider(subject, baseline, seed=seed)
    height, width = question.size
    generator = np.random.default_rng(seed)
    tops = generator.integers(0, height - side + 1, size=samples)
    lefts = generator.integers(0, width - side + 1, size=samples)
    # sums over squares are four corners of the summed-area table
    table = np.zeros((len(subject), height + 1, width + 1))
    table[:, 1:, 1:] = subject.values.cumsum(axis=1).cumsum(axis=2)
    lines, columns = torch.arange(height), torch.arange(width)

    def disturb(rows: torch.Tensor, drawn: NDArray[np.int64]) -> tuple[torch.Tensor, NDArray[np.float64]]:
        top, left = tops[drawn], lefts[drawn]
        at = rows.cpu().numpy()
        said = table[at, top + side, left + side] - table[at, top, left + side]
        said = said - table[at, top + side, left] + table[at, top, left]
        above, before = torch.from_numpy(top)[:, None], torch.from_numpy(left)[:, None]
        inside_rows = (lines >= above) & (lines < above + side)
        inside_columns = (columns >= before) & (columns < before + side)
        hidden = (inside_rows[:, None, :, None] & inside_columns[:, None, None, :]).to(rows.device)
        return hide(rows, hidden), said

    return disturb


def _noises(subject: Explained, noise: float, seed: int) -> Disturb:
    question = subject.question
    size = question.size

    def disturb(rows: torch.Tensor, drawn: NDArray[np.int64]) -> tuple[torch.Tensor, NDArray[np.float64]]:
        different, place = np.unique(drawn, return_inverse=True)
        draws = np.stack([noise * np.random.default_rng([seed, sample]).standard_normal(size) for sample in different])
        at = rows.cpu().numpy()
        said = np.einsum("iyx,iyx->i", subject.values[at], draws[place])
        taken = torch.from_numpy(draws[place])[:, None].to(question.inputs)
        return question.inputs.index_select(0, rows) - taken, said

    return disturb
