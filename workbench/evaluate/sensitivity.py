"""Do sums of the map follow the score when random pixels are hidden: sensitivity-n."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.arrays import IMAGE
from workbench.evaluate.curves import Hide, hider, shares_of
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import (
    BASELINES,
    FRACTION,
    STEP,
    Explained,
    check_count,
    check_shares,
    explained,
    report,
)
from workbench.explain import Meter, at_once
from workbench.explain.baselines import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.explain.score import Score

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75)


@metrics.register(
    title="Sensitivity-n",
    source=("ancona2018",),
    access="black box",
    returns="correlation of the map's sum over random pixels with the fall of the score without them",
    feedback="number",
    better="higher",
    cost="300 evaluations",
    note="Takes the signed map.",
    parameters={
        "baseline": ("choice", "zero", BASELINES),
        "samples": ("int", 50, 3, 1000),
        "seed": ("int", 0, 0, 1000),
    },
)
def sensitivity_n(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    baseline: str | torch.Tensor = "zero",
    shares: Sequence[float] = SHARES,
    samples: int = 50,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Correlation over random sets of n pixels between the map's sum and the fall of the score. Source: [ancona2018].

    Args:
        heatmaps: (image, y, x) finite numbers on the grid of the network input; their coordinate ``signed`` is taken
            where they have one.
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`; those that the maps are of, in their order.
        target: a category (index or name), one an image; None for what the maps explain, else for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        baseline: what hidden pixels show: a name of :data:`workbench.explain.baselines`, or a tensor.
        shares: n as shares of the pixels, between 0 and 1, rising.
        samples: sets of each size, at least 3.
        seed: of the sets, which are the same for every image, and for baselines that draw.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset: ``score`` (image), the mean over sizes of ``correlation`` (image, step), Pearson's, in [-1, 1], higher
        is better; ``fraction`` (step) the shares. A constant map tells no set from another and gets 0; where the score
        itself does not move the correlation is NaN and left out. ``value``, ``low``, ``high``, ``n``: the mean over
        images with its 95 % BCa bootstrap interval.

    Raises:
        ShapeError, NotFiniteError: maps or images of other sizes or numbers, or with NaN.
        UnknownNameError: an unknown baseline or category.
        InputError, DtypeError, NotDeterministicError: other arguments that cannot be used.
        Interrupted: ``stop`` answered True.
    """
    at = check_shares("shares", shares)
    check_count("samples", samples, least=3)
    subject = explained(heatmaps, model, images, target=target, score=score, batch_size=batch_size, signed=True)
    counts = np.asarray(shares_of(at, subject.pixels))
    hide = hider(subject, baseline, seed=seed)
    flat = subject.values.reshape(len(subject), -1)
    sums = np.stack([flat @ (_places(subject, sample, seed)[:, None] < counts) for sample in range(samples)], axis=1)
    with Meter(sums.size, progress=progress, stop=stop, label="sensitivity-n") as meter:
        falls = _falls(subject, counts, samples, seed, hide, batch_size, meter)
    correlation = _correlations(sums, falls, constant=np.ptp(flat, axis=1) == 0)
    return report(
        subject,
        {"score": (IMAGE, _mean_known(correlation)), "correlation": ((IMAGE, STEP), correlation)},
        coords={FRACTION: (STEP, at)},
        metric="sensitivity_n",
        better="higher",
        baseline=describe(baseline),
        samples=samples,
        seed=seed,
    )


def _places(subject: Explained, sample: int, seed: int) -> NDArray[np.int32]:
    """(pixel): the place of each in the order of one sample, whose sets of all sizes lie within one another."""
    places = np.empty(subject.pixels, dtype=np.int32)
    order = np.random.default_rng([seed, sample]).permutation(subject.pixels)
    places[order] = np.arange(subject.pixels, dtype=np.int32)
    return places


def _falls(
    subject: Explained,
    counts: NDArray[np.int64],
    samples: int,
    seed: int,
    hide: Hide,
    batch_size: int,
    meter: Meter,
) -> NDArray[np.float64]:
    """(image, sample, size): how far the score falls; batches run across sizes, images and samples."""
    question, images, sizes = subject.question, len(subject), len(counts)
    left = np.empty(samples * images * sizes)
    batch_size = at_once(question.inputs, batch_size)
    with torch.inference_mode():
        for start in range(0, left.size, batch_size):
            inputs = np.arange(start, min(start + batch_size, left.size))
            drawn, which = np.unique(inputs // (images * sizes), return_inverse=True)
            places = np.stack([_places(subject, int(sample), seed) for sample in drawn])
            hidden = (places[which] < counts[inputs % sizes, None]).reshape(-1, 1, *question.size)
            rows = torch.from_numpy(inputs // sizes % images).to(question.inputs.device)
            changed = hide(rows, torch.from_numpy(hidden).to(rows.device))
            left[inputs] = question.scores(changed, rows).double().cpu().numpy()
            meter.advance(len(inputs))
    whole = question.reference.double().cpu().numpy()
    return np.asarray(whole[:, None, None] - left.reshape(samples, images, sizes).transpose(1, 0, 2))


def _correlations(
    sums: NDArray[np.float64], falls: NDArray[np.float64], *, constant: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(image, size): Pearson's correlation over samples."""
    first, second = sums - sums.mean(axis=1, keepdims=True), falls - falls.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    found = np.full(norms.shape, np.nan)
    np.divide((first * second).sum(axis=1), norms, out=found, where=norms > 0)
    # the running sums of a constant map differ in their last bits, which must not count
    still = np.ptp(falls, axis=1) == 0
    found[constant[:, None] & ~still] = 0.0
    found[still] = np.nan
    return np.clip(found, -1, 1)


def _mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean along the last axis of what is not NaN; NaN where all is."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    mean = np.full(len(values), np.nan)
    np.divide(np.where(known, values, 0).sum(axis=1), count, out=mean, where=count > 0)
    return mean
