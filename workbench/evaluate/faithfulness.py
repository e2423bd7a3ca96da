"""Does the model heed what the map points at: insertion and deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arrays import IMAGE
from workbench.evaluate.curves import area, removal_curve
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import (
    BASELINES,
    FRACTION,
    STEP,
    Explained,
    check_count,
    explained,
    report,
)
from workbench.explain.baselines import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.explain.score import Score


@metrics.register(
    title="Deletion",
    source=("petsiuk2018",),
    access="black box",
    returns="area under the score as pixels are hidden, the most relevant first",
    feedback="number",
    better="lower",
    cost="50 evaluations",
    note="Pictures with hidden pixels are unlike any that the network was trained on: compare several baselines.",
    parameters={
        "baseline": ("choice", "zero", BASELINES),
        "steps": ("int", 50, 1, 500),
        "seed": ("int", 0, 0, 1000),
    },
)
def deletion(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "probability",
    baseline: str | torch.Tensor = "zero",
    steps: int = 50,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """How fast the score falls as the pixels that the map ranks highest are hidden. Source: [petsiuk2018].

    Args:
        heatmaps: (image, y, x) finite numbers on the grid of the network input; pixels of equal value come in a random
            order.
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`; those that the maps are of, in their order.
        target: a category (index or name), one an image; None for what the maps explain, else for the predicted one.
        score: ``"probability"``, as published, or ``"logit"``.
        baseline: what hidden pixels show: a name of :data:`workbench.explain.baselines`, or a tensor.
        steps: in how many equal steps all pixels are hidden; at most as many as there are pixels.
        seed: of the order among equal values, and for baselines that draw.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset: ``score`` (image), the area under ``curve`` (image, step) over ``fraction`` (step), the share of hidden
        pixels from 0 to 1, in units of the score; lower is better. ``value``, ``low``, ``high``, ``n``: the mean over
        images with its 95 % BCa bootstrap interval.

    Raises:
        ShapeError, NotFiniteError: maps or images of other sizes or numbers, or with NaN.
        UnknownNameError: an unknown baseline or category.
        InputError, DtypeError, NotDeterministicError: other arguments that cannot be used.
        Interrupted: ``stop`` answered True.
    """
    subject = explained(heatmaps, model, images, target=target, score=score, batch_size=batch_size)
    counts = _equal_steps(steps, subject.pixels)
    curve = removal_curve(subject, counts, baseline, seed, batch_size, progress, stop, label="deletion")
    return _under_curve(subject, curve, counts, "deletion", "lower", baseline=describe(baseline), seed=seed)


@metrics.register(
    title="Insertion",
    source=("petsiuk2018",),
    access="black box",
    returns="area under the score as pixels are shown on a baseline, the most relevant first",
    feedback="number",
    better="higher",
    cost="50 evaluations",
    note="Pictures with hidden pixels are unlike any that the network was trained on: compare several baselines.",
    parameters={
        "baseline": ("choice", "blur", BASELINES),
        "steps": ("int", 50, 1, 500),
        "seed": ("int", 0, 0, 1000),
    },
)
def insertion(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "probability",
    baseline: str | torch.Tensor = "blur",
    steps: int = 50,
    seed: int = 0,
    batch_size: int = 64,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """How fast the score rises as the pixels that the map ranks highest are shown. Source: [petsiuk2018].

    Args:
        heatmaps: (image, y, x), as in :func:`deletion`.
        model: from :func:`workbench.models.load`.
        images: those that the maps are of, in their order.
        target: as in :func:`deletion`.
        score: ``"probability"``, as published, or ``"logit"``.
        baseline: what is seen before a pixel is shown; the blurred image, as published.
        steps: in how many equal steps all pixels are shown.
        seed: of the order among equal values, and for baselines that draw.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset as in :func:`deletion`; ``fraction`` is the share of shown pixels, and higher is better.

    Raises:
        ShapeError, NotFiniteError, UnknownNameError, InputError, DtypeError, NotDeterministicError, Interrupted: as in
            :func:`deletion`.
    """
    subject = explained(heatmaps, model, images, target=target, score=score, batch_size=batch_size)
    counts = _equal_steps(steps, subject.pixels)
    # showing the first pixels is hiding the last ones
    hidden = [subject.pixels - count for count in counts]
    curve = removal_curve(
        subject, hidden, baseline, seed, batch_size, progress, stop, label="insertion", last_first=True
    )
    return _under_curve(subject, curve, counts, "insertion", "higher", baseline=describe(baseline), seed=seed)


def _equal_steps(steps: int, pixels: int) -> list[int]:
    check_count("steps", steps, most=pixels)
    return [int(count) for count in np.rint(np.linspace(0, pixels, steps + 1))]


def _under_curve(
    subject: Explained, curve: NDArray[np.float64], counts: Sequence[int], metric: str, better: str, **parameters: Any
) -> xr.Dataset:
    at = np.asarray(counts) / subject.pixels
    return report(
        subject,
        {"score": (IMAGE, area(curve, at)), "curve": ((IMAGE, STEP), curve)},
        coords={FRACTION: (STEP, at)},
        metric=metric,
        better=better,
        steps=len(counts) - 1,
        **parameters,
    )
