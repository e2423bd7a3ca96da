"""Replace regions in the map's order: pixel flipping, also called region perturbation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.arrays import IMAGE
from workbench.errors import InputError
from workbench.evaluate.curves import ranks, removal_curve
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import (
    BASELINES,
    FRACTION,
    STEP,
    check_count,
    explained,
    report,
)
from workbench.explain.baselines import describe

if TYPE_CHECKING:
    import torch
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.explain.score import Score

Order = Literal["most", "least"]


@metrics.register(
    title="Pixel flipping",
    source=("bach2015", "samek2017"),
    access="black box",
    returns="mean fall of the score while regions are replaced one after another (AOPC)",
    feedback="number",
    better="higher",
    cost="50 evaluations",
    note="With the least relevant regions first a low score is the better one.",
    parameters={
        "order": ("choice", "most", ("most", "least")),
        "baseline": ("choice", "noise", BASELINES),
        "region": ("int", 8, 1, 64),
        "steps": ("int", 50, 1, 500),
        "seed": ("int", 0, 0, 1000),
    },
)
def pixel_flipping(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    order: Order = "most",
    target: Any = None,
    score: Score = "logit",
    baseline: str | torch.Tensor = "noise",
    region: int = 8,
    steps: int = 50,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Replace square regions one after another in the map's order: how far does the score fall on average?

    The area over the perturbation curve, AOPC: the mean over steps 0 to L of the score of the untouched image less
    that after the step. With ``region=1`` single pixels are flipped.

    Args:
        heatmaps: (image, y, x), as in :func:`deletion`. A region's relevance is the sum over its pixels.
        model: from :func:`workbench.models.load`.
        images: those that the maps are of, in their order.
        order: ``"most"`` or ``"least"`` relevant first.
        target: as in :func:`deletion`.
        score: ``"logit"`` or ``"probability"``.
        baseline: what regions are replaced by.
        region: side of a region in pixels; those at the lower and right edge are cut off by the border.
        steps: L, how many regions are replaced at most; all, where there are fewer.
        seed: of the order among equal regions, and for baselines that draw.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset as in :func:`deletion`: ``score`` (image) is the AOPC, higher is better for the most relevant first and
        lower for the least; ``curve`` (image, step) the score; ``fraction`` (step) the share of regions replaced.

    Raises:
        ShapeError, NotFiniteError, UnknownNameError, InputError, DtypeError, NotDeterministicError, Interrupted: as in
            :func:`deletion`.

    Source: [bach2015], [samek2017]
    """
    check_order(order)
    subject = explained(heatmaps, model, images, target=target, score=score, batch_size=batch_size)
    height, width = subject.question.size
    check_count("region", region, most=max(height, width))
    check_count("steps", steps)
    sums = _region_sums(subject.values, region)
    places = ranks((sums if order == "most" else -sums).reshape(len(sums), -1), seed=seed).reshape(sums.shape)
    on_pixels = places.repeat(region, axis=1).repeat(region, axis=2)[:, :height, :width]
    cells = places[0].size
    counts = range(min(steps, cells) + 1)
    curve = removal_curve(
        subject, counts, baseline, seed, batch_size, progress, stop, label="pixel flipping", places=on_pixels
    )
    return report(
        subject,
        {"score": (IMAGE, (curve[:, :1] - curve).mean(axis=1)), "curve": ((IMAGE, STEP), curve)},
        coords={FRACTION: (STEP, np.asarray(counts) / cells)},
        metric="pixel_flipping",
        better="higher" if order == "most" else "lower",
        order=order,
        baseline=describe(baseline),
        region=region,
        seed=seed,
    )


def check_order(order: Any) -> None:
    """Refuse an order that does not exist.

    Args:
        order: ``"most"`` or ``"least"``.

    Raises:
        InputError: anything else.
    """
    if order not in ("most", "least"):
        raise InputError(f"order is {order!r}; expected 'most' or 'least', the relevant pixels that go first.")


def _region_sums(values: NDArray[np.float64], region: int) -> NDArray[np.float64]:
    """(image, region row, region column): the sum over each region, those at the edge cut off."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[1], region), axis=1)
    return np.asarray(np.add.reduceat(rows, np.arange(0, values.shape[2], region), axis=2))
