"""A coreset that grows until the interpretation has settled, with a certificate of how near it is to the full one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import provenance
from workbench.errors import InputError, ShapeError
from workbench.interpret.coreset.choice import Coreset, choose
from workbench.stats import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.coreset.subjects import Subject

IMAGES = "images"


@dataclass(frozen=True)
class AdaptiveCoreset:
    """What growing gave.

    Attributes:
        coreset: the smallest one that settled, or the largest that was allowed.
        settled: whether the lower end of the interval reached what was asked for.
        similarity: of its interpretation to that from all images, estimated without them; ``n`` counts its images.
        interpretation: from the coreset, as the subject gives it.
        history: Dataset on ``images`` (size of each coreset tried): ``value``, ``low``, ``high``, and ``change``, the
            similarity to the interpretation of the size before (NaN for the first).
    """

    coreset: Coreset
    settled: bool
    similarity: Estimate
    interpretation: NDArray[np.float64]
    history: xr.Dataset


def adaptive_coreset(
    subject: Subject,
    features: xr.DataArray,
    *,
    wanted: float = 0.9,
    level: float = 0.9,
    selector: str = "kernel_herding",
    start: float = 0.02,
    growth: float = 1.5,
    most: float = 1.0,
    resamples: int = 50,
    seed: int = 0,
) -> AdaptiveCoreset:
    """Grow a coreset until its interpretation is near that of all images, which is never made.

    How near is estimated by the bootstrap: images of the coreset are drawn again with replacement, within categories,
    and the interpretation from the draw is compared with that from the coreset. A draw is to the coreset what a random
    coreset of its size is to all images; its spread is brought to that of a sample of a finite number of images. A
    selector that is better than random makes the certificate cautious: the true similarity tends to be higher.

    Args:
        subject: the interpretation method; it is only ever asked about images of the coreset.
        features: (image, unit) pooled features of all images, for the selector.
        wanted: similarity that the lower end of the interval must reach, in the measure of the subject.
        level: coverage of the interval, between 0 and 1.
        selector: a registered selector.
        start: share of the images to begin with.
        growth: factor by which the share grows, above 1.
        most: largest share, at most 1.
        resamples: bootstrap draws at each size, at least 20.
        seed: of selector and draws.

    Returns:
        The coreset with its certificate. Where ``most`` is all images, the last resort is the full interpretation,
        whose similarity is 1 by definition.

    Raises:
        InputError: a parameter out of range, or bad features (see ``choose``).
        ShapeError: another number of images in subject and features.

    Source: [efron1993]
    """
    _check(wanted, level, start, growth, most, resamples)
    if len(subject.category) != features.sizes["image"]:
        raise ShapeError(f"The subject has {len(subject.category)} images, the features {features.sizes['image']}.")
    total = int((subject.category >= 0).sum())
    rows: list[dict[str, float]] = []
    before: NDArray[np.float64] | None = None
    share = _first_share(subject.category, start, growth, most)
    while True:
        chosen = choose(features, selector=selector, fraction=share, labels=subject.category, seed=seed)
        result = subject.interpret(chosen.indices, None)
        estimate = _certificate(subject, chosen, result, total, level, resamples, seed)
        rows.append(
            {
                IMAGES: len(chosen),
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "change": np.nan if before is None else subject.similarity(before, result),
            }
        )
        settled = estimate.low >= wanted
        if settled or share >= most:
            break
        before, share = result, min(share * growth, most)
    history = xr.Dataset(
        {name: (IMAGES, [row[name] for row in rows]) for name in ("value", "low", "high", "change")},
        coords={IMAGES: [int(row[IMAGES]) for row in rows]},
        attrs=_facts(subject, wanted, level, selector, seed),
    )
    return AdaptiveCoreset(chosen, settled, estimate, result, history)


def _first_share(category: NDArray[np.int64], start: float, growth: float, most: float) -> float:
    """The first share that gives each category two images, without which nothing varies in a draw."""
    smallest = int(np.unique(category[category >= 0], return_counts=True)[1].min())
    share = min(start, most)
    while round(share * smallest) < 2:
        if share >= most:
            raise InputError(
                f"A category has {smallest} images; at most {most:.0%} of them are allowed, which leaves fewer than "
                "the two that a bootstrap needs. Allow more with most=, or leave the category out (label -1)."
            )
        share = min(share * growth, most)
    return share


def _certificate(
    subject: Subject,
    chosen: Coreset,
    result: NDArray[np.float64],
    total: int,
    level: float,
    resamples: int,
    seed: int,
) -> Estimate:
    if len(chosen) >= total:
        return Estimate(1.0, 1.0, 1.0, len(chosen), level, "all images")
    generator = np.random.default_rng([seed, len(chosen)])
    category = subject.category[chosen.indices]
    members = [chosen.indices[category == each] for each in np.unique(category)]
    values = np.empty(resamples)
    for draw in range(resamples):
        again = np.concatenate([generator.choice(some, size=len(some)) for some in members])
        values[draw] = subject.similarity(result, subject.interpret(np.sort(again), None))
    # dissimilarity is quadratic in the error: its variance is lower by the share of images that are left, and a draw
    # with replacement from n images has (n - 1) / n of the variance of a sample of n
    count = len(chosen)
    values = 1 - (1 - values) * (1 - count / total) * count / (count - len(members))
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Estimate(float(values.mean()), float(low), float(high), len(chosen), level, "bootstrap of the coreset")


def _facts(subject: Subject, wanted: float, level: float, selector: str, seed: int) -> dict[str, Any]:
    facts = {f"subject_{key}": value for key, value in subject.facts.items()}
    return dict(
        provenance(
            method="adaptive_coreset",
            subject=subject.name,
            wanted=wanted,
            level=level,
            selector=selector,
            seed=seed,
            **facts,
        )
    )


def _check(wanted: float, level: float, start: float, growth: float, most: float, resamples: int) -> None:
    if not 0 < level < 1 or not 0 < start <= 1 or not 0 < most <= 1:
        raise InputError(
            f"level is {level}, start {start} and most {most}; expected a level between 0 and 1, and shares above 0 "
            "and at most 1."
        )
    if not wanted <= 1 or growth <= 1 or resamples < 20:
        raise InputError(
            f"wanted is {wanted}, growth {growth} and resamples {resamples}; expected a similarity of at most 1, a "
            "factor above 1, and at least 20 draws."
        )
