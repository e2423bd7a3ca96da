"""Remove and debias (ROAD): removal whose holes do not give away where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.arrays import IMAGE
from workbench.errors import InputError
from workbench.evaluate.curves import ranks, scores_when_hidden, shares_of
from workbench.evaluate.flipping import Order, check_order
from workbench.evaluate.imputation import impute
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import (
    FRACTION,
    STEP,
    check_shares,
    explained,
    report,
)
from workbench.explain import Meter
from workbench.explain.score import score_of
from workbench.models.image_model import check_finite_logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from workbench.explain.progress import Report, Stop
    from workbench.explain.score import Score

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@metrics.register(
    title="ROAD",
    source=("rong2022",),
    access="black box",
    returns="share of the removals after which the category is still predicted",
    feedback="number",
    better="lower",
    cost="9 evaluations and sparse systems",
    note="With the least relevant pixels first a high score is the better one. A mean over images is the accuracy.",
    parameters={
        "order": ("choice", "most", ("most", "least")),
        "noise": ("float", 0.01, 0.0, 1.0),
        "seed": ("int", 0, 0, 1000),
    },
)
def road(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    order: Order = "most",
    target: Any = None,
    score: Score = "probability",
    shares: Sequence[float] = SHARES,
    noise: float = 0.01,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Is the category still predicted when pixels are removed in the map's order and filled from their neighbours?

    Removed pixels become weighted means of their neighbours plus a little noise, see
    :mod:`workbench.evaluate.imputation`: the shape of a hole, which a plain baseline shows, says nothing then.

    Args:
        heatmaps: (image, y, x) finite numbers on the grid of the network input; pixels of equal value come in a random
            order.
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`; those that the maps are of, in their order.
        order: ``"most"`` or ``"least"`` relevant first.
        target: a category (index or name), one an image; None for what the maps explain, else for the predicted one.
            Pass the labels for the accuracy of the paper.
        score: of ``curve``: ``"probability"`` or ``"logit"``.
        shares: of the pixels that are removed, between 0 and 1, rising.
        noise: standard deviation of the noise on filled pixels, in units of the normalised input, at least 0.
        seed: of the noise and of the order among equal values.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset: ``score`` (image), the mean of ``kept`` (image, step), 1 where the target is still predicted and 0
        elsewhere; lower is better for the most relevant first, higher for the least. ``curve`` (image, step), the
        target's score; ``fraction`` (step), the share removed. ``value``, ``low``, ``high``, ``n``: the mean over
        images with its 95 % BCa bootstrap interval.

    Raises:
        ShapeError, NotFiniteError: maps or images of other sizes or numbers, or with NaN.
        UnknownNameError, InputError, DtypeError, NotDeterministicError: other arguments that cannot be used.
        Interrupted: ``stop`` answered True.

    Source: [rong2022]
    """
    check_order(order)
    at = check_shares("shares", shares)
    if not 0 <= noise < np.inf:
        raise InputError(f"noise is {noise}; expected a standard deviation of at least 0.")
    subject = explained(heatmaps, model, images, target=target, score=score, batch_size=batch_size)
    question = subject.question
    values = subject.values if order == "most" else -subject.values
    places = ranks(values.reshape(len(subject), -1), seed=seed).reshape(values.shape)
    draw = noise * torch.randn(question.inputs.shape[1:], generator=torch.Generator().manual_seed(seed))
    draw = draw.to(question.inputs)
    kept: list[torch.Tensor] = []

    def fill(rows: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
        filled = impute(question.inputs.index_select(0, rows), removed)
        return torch.where(removed, filled + draw, filled)

    def scored(changed: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        logits = question.model.logits(changed)
        check_finite_logits(logits, [question.identifiers[int(row)] for row in rows], question.model.name)
        targets = question.targets[rows]
        kept.append((logits.argmax(1) == targets).cpu())
        return score_of(logits, targets, question.score)

    counts = shares_of(at, subject.pixels)
    with Meter(len(subject) * len(counts), progress=progress, stop=stop, label="ROAD") as meter:
        curve = scores_when_hidden(
            subject, places, counts, hide=fill, batch_size=batch_size, meter=meter, scored=scored
        )
    still = torch.cat(kept).numpy().reshape(curve.shape).astype(np.float64)
    return report(
        subject,
        {"score": (IMAGE, still.mean(axis=1)), "kept": ((IMAGE, STEP), still), "curve": ((IMAGE, STEP), curve)},
        coords={FRACTION: (STEP, at)},
        metric="road",
        better="lower" if order == "most" else "higher",
        order=order,
        noise=noise,
        seed=seed,
    )
