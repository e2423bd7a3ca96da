"""A coreset that grows until the interpretation has settled, with a certificate of how near it is to the full one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from workbench.arrays import provenance
from workbench.errors import InputError, ShapeError
from workbench.interpret.coreset.calibration import Calibration, certificate, measured, own_weights
from workbench.interpret.coreset.choice import Coreset, choose_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.coreset.subjects import Subject
    from workbench.stats import Estimate

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
    calibration: Calibration | Literal["measured"] | None = "measured",
    seed: int = 0,
) -> AdaptiveCoreset:
    """Grow a coreset until its interpretation is near that of all images, which is never made.

    How near is estimated by the bootstrap: images of the coreset are drawn again with replacement, within categories,
    and the interpretation from the draw is compared with that from the coreset. A draw is to the coreset what a random
    coreset of its size is to all images; its spread is brought to that of a sample of a finite number of images. That
    holds for smooth methods and random coresets. How far the true dissimilarity is from the estimated one for another
    method and selector is learned from development data, where the full interpretation was made, and the interval is
    one of prediction for a new case like those: see :func:`~workbench.interpret.coreset.calibration.calibrate`.

    Args:
        subject: the interpretation method; it is only ever asked about images of the coreset.
        features: (image, unit) of all images, for the selector: pooled, or for ``target_aware`` what the subject's
            ``reading`` gives. Where that selector chooses weights too, the method is given them, and draws keep them,
            scaled such that each category counts as much as before.
        wanted: similarity that the lower end of the interval must reach, in the measure of the subject.
        level: coverage of the interval, between 0 and 1.
        selector: a registered selector.
        start: share of the images to begin with.
        growth: factor by which the share grows, above 1.
        most: largest share, at most 1.
        resamples: bootstrap draws at each size, at least 20.
        calibration: from development data of your own; ``"measured"``, what was measured on rendered scenes for this
            method with this selector, where it was; or None, the quantiles of the bootstrap as they are.
        seed: of selector and draws.

    Returns:
        The coreset with its certificate. Where ``most`` is all images, the last resort is the full interpretation,
        whose similarity is 1 by definition.

    Raises:
        InputError: a parameter out of range, bad features (see ``choose``), or weights for a subject that takes none.
        ShapeError: another number of images in subject and features.

    Source: [efron1993]
    """
    learned = measured(subject.name, selector) if calibration == "measured" else calibration
    _check(wanted, level, start, growth, most, resamples)
    if len(subject.category) != features.sizes["image"]:
        raise ShapeError(f"The subject has {len(subject.category)} images, the features {features.sizes['image']}.")
    rows: list[dict[str, float]] = []
    before: NDArray[np.float64] | None = None
    share = _first_share(subject.category, start, growth, most)
    while True:
        chosen = choose_share(features, subject.category, share, selector=selector, seed=seed)
        result = subject.interpret(chosen.indices, own_weights(subject, chosen))
        estimate = certificate(subject, chosen, result, level=level, resamples=resamples, learned=learned, seed=seed)
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
        attrs=_facts(subject, wanted, level, selector, seed, learned),
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


def _facts(
    subject: Subject, wanted: float, level: float, selector: str, seed: int, learned: Calibration | None
) -> dict[str, Any]:
    facts = {f"subject_{key}": value for key, value in subject.facts.items()}
    return dict(
        provenance(
            method="adaptive_coreset",
            subject=subject.name,
            wanted=wanted,
            level=level,
            selector=selector,
            seed=seed,
            calibration=None if learned is None else asdict(learned),
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
