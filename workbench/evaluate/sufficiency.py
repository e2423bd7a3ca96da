"""Are the most relevant pixels enough, and are they all that was needed: sufficiency and comprehensiveness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.arrays import IMAGE
from workbench.evaluate.curves import removal_curve, shares_of
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import (
    BASELINES,
    FRACTION,
    STEP,
    Explained,
    check_shares,
    explained,
    report,
)
from workbench.explain.baselines import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.explain.score import Score

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of [deyoung2020]


@metrics.register(
    title="Comprehensiveness",
    source=("deyoung2020",),
    access="black box",
    returns="fall of the score without the most relevant pixels, averaged over shares of the image",
    feedback="number",
    better="higher",
    cost="5 evaluations",
    parameters={"baseline": ("choice", "blur", BASELINES), "seed": ("int", 0, 0, 1000)},
)
def comprehensiveness(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "probability",
    baseline: str | torch.Tensor = "blur",
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Are all pixels that were needed among the most relevant ones: what is lost without them? Source: [deyoung2020].

    Args:
        heatmaps: (image, y, x), as in :func:`deletion`.
        model: from :func:`workbench.models.load`.
        images: those that the maps are of, in their order.
        target: as in :func:`deletion`.
        score: ``"probability"``, as published, or ``"logit"``.
        baseline: what hidden pixels show.
        shares: of the pixels that are hidden, between 0 and 1, rising; those of the paper.
        seed: of the order among equal values, and for baselines that draw.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset as in :func:`deletion`: ``score`` (image) is the score of the image less that without the most relevant
        pixels, averaged over the shares; higher is better. ``curve`` (image, step) the score at each share, which is
        ``fraction`` (step).

    Raises:
        ShapeError, NotFiniteError, UnknownNameError, InputError, DtypeError, NotDeterministicError, Interrupted: as in
            :func:`deletion`.
    """
    at = check_shares("shares", shares)
    subject = explained(heatmaps, model, images, target=target, score=score, batch_size=batch_size)
    curve = removal_curve(
        subject, shares_of(at, subject.pixels), baseline, seed, batch_size, progress, stop, label="comprehensiveness"
    )
    return _mean_fall(subject, curve, at, "comprehensiveness", "higher", baseline=describe(baseline), seed=seed)


@metrics.register(
    title="Sufficiency",
    source=("deyoung2020",),
    access="black box",
    returns="fall of the score when only the most relevant pixels are seen, averaged over shares of the image",
    feedback="number",
    better="lower",
    cost="5 evaluations",
    note="Of a map itself; a measure of the same name compares the predictions of images whose maps are alike.",
    parameters={"baseline": ("choice", "blur", BASELINES), "seed": ("int", 0, 0, 1000)},
)
def sufficiency(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "probability",
    baseline: str | torch.Tensor = "blur",
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Are the most relevant pixels enough: what is lost when only they are seen? Source: [deyoung2020].

    Args:
        heatmaps: (image, y, x), as in :func:`deletion`.
        model: from :func:`workbench.models.load`.
        images: those that the maps are of, in their order.
        target: as in :func:`deletion`.
        score: ``"probability"``, as published, or ``"logit"``.
        baseline: what all other pixels show.
        shares: of the pixels that are seen, between 0 and 1, rising; those of the paper.
        seed: of the order among equal values, and for baselines that draw.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset as in :func:`comprehensiveness`; ``score`` (image) is the score of the image less that of its most
        relevant pixels alone, and lower is better.

    Raises:
        ShapeError, NotFiniteError, UnknownNameError, InputError, DtypeError, NotDeterministicError, Interrupted: as in
            :func:`deletion`.
    """
    at = check_shares("shares", shares)
    subject = explained(heatmaps, model, images, target=target, score=score, batch_size=batch_size)
    hidden = [subject.pixels - count for count in shares_of(at, subject.pixels)]
    curve = removal_curve(
        subject, hidden, baseline, seed, batch_size, progress, stop, label="sufficiency", last_first=True
    )
    return _mean_fall(subject, curve, at, "sufficiency", "lower", baseline=describe(baseline), seed=seed)


def _mean_fall(
    subject: Explained, curve: NDArray[np.float64], at: NDArray[np.float64], metric: str, better: str, **parameters: Any
) -> xr.Dataset:
    whole = subject.question.reference.double().cpu().numpy()
    return report(
        subject,
        {"score": (IMAGE, whole - curve.mean(axis=1)), "curve": ((IMAGE, STEP), curve)},
        coords={FRACTION: (STEP, at)},
        metric=metric,
        better=better,
        **parameters,
    )
