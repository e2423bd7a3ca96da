"""Does the model heed what the map points at: hide pixels in the map's order and watch the score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.arrays import IMAGE
from workbench.errors import InputError
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import (
    BASELINES,
    FRACTION,
    STEP,
    Explained,
    area,
    check_count,
    check_shares,
    explained,
    hider,
    ranks,
    report,
    scores_when_hidden,
)
from workbench.explain import Meter
from workbench.explain.baselines import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.explain.score import Score

Order = Literal["most", "least"]
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of [deyoung2020]


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
        batch_size: inputs a forward pass.
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
    curve = _curve(subject, counts, baseline, seed, batch_size, progress, stop, label="deletion")
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
        batch_size: inputs a forward pass.
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
    curve = _curve(subject, hidden, baseline, seed, batch_size, progress, stop, label="insertion", last_first=True)
    return _under_curve(subject, curve, counts, "insertion", "higher", baseline=describe(baseline), seed=seed)


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
        batch_size: inputs a forward pass.
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
    curve = _curve(
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
        batch_size: inputs a forward pass.
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
    curve = _curve(
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
        batch_size: inputs a forward pass.
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
    curve = _curve(subject, hidden, baseline, seed, batch_size, progress, stop, label="sufficiency", last_first=True)
    return _mean_fall(subject, curve, at, "sufficiency", "lower", baseline=describe(baseline), seed=seed)


def check_order(order: Any) -> None:
    """Refuse an order that does not exist.

    Args:
        order: ``"most"`` or ``"least"``.

    Raises:
        InputError: anything else.
    """
    if order not in ("most", "least"):
        raise InputError(f"order is {order!r}; expected 'most' or 'least', the relevant pixels that go first.")


def shares_of(shares: NDArray[np.float64], pixels: int) -> list[int]:
    """How many pixels shares of them are.

    Args:
        shares: (share), between 0 and 1.
        pixels: of the image.

    Returns:
        Whole numbers, at least 1 and fewer than all.
    """
    return [int(count) for count in np.clip(np.rint(shares * pixels), 1, pixels - 1)]


def _equal_steps(steps: int, pixels: int) -> list[int]:
    check_count("steps", steps, most=pixels)
    return [int(count) for count in np.rint(np.linspace(0, pixels, steps + 1))]


def _curve(
    subject: Explained,
    counts: Sequence[int],
    baseline: str | torch.Tensor,
    seed: int,
    batch_size: int,
    progress: Report,
    stop: Stop | None,
    *,
    label: str,
    places: NDArray[np.int32] | None = None,
    last_first: bool = False,
) -> NDArray[np.float64]:
    """(image, step): scores with so many pixels hidden; where none is hidden the score is known already."""
    question = subject.question
    hide = hider(subject, baseline, seed=seed)
    if places is None:
        places = ranks(subject.values.reshape(len(subject), -1), seed=seed).reshape(subject.values.shape)
    curve = np.empty((len(subject), len(counts)))
    known = np.asarray(counts) == 0
    curve[:, known] = question.reference.double().cpu().numpy()[:, None]
    asked = [count for count in counts if count]
    with Meter(len(subject) * len(asked), progress=progress, stop=stop, label=label) as meter:
        curve[:, ~known] = scores_when_hidden(
            subject, places, asked, hide=hide, batch_size=batch_size, meter=meter, last_first=last_first
        )
    return curve


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


def _region_sums(values: NDArray[np.float64], region: int) -> NDArray[np.float64]:
    """(image, region row, region column): the sum over each region, those at the edge cut off."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[1], region), axis=1)
    return np.asarray(np.add.reduceat(rows, np.arange(0, values.shape[2], region), axis=2))
