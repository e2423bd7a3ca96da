"""How near the interpretation from a coreset is to that from all images, told without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InputError
from workbench.interpret.coreset.choice import ALL, choose_share
from workbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.interpret.coreset.choice import Coreset
    from workbench.interpret.coreset.subjects import Subject

SELECTOR = "kernel_herding"
LEAST_TRIALS = 8


@dataclass(frozen=True)
class Calibration:
    """What development data say about true over estimated dissimilarity.

    Attributes:
        mean: of the logarithm of the ratio.
        spread: its standard deviation.
        trials: on how many cases it rests.
    """

    mean: float
    spread: float
    trials: int

    def ratios(self, level: float) -> tuple[float, float, float]:
        """The ratio to be expected in a new case, and the interval that holds it at this level.

        Args:
            level: between 0 and 1.

        Returns:
            Low end, middle, high end; a prediction interval of Student's t on the logarithm.
        """
        from scipy.stats import t

        far = float(t.ppf((1 + level) / 2, self.trials - 1)) * self.spread * np.sqrt(1 + 1 / self.trials)
        return float(np.exp(self.mean - far)), float(np.exp(self.mean)), float(np.exp(self.mean + far))


def measured(method: str, selector: str) -> Calibration | None:
    """What was measured on rendered scenes with the networks that ship, by ``benchmarks/coresets.py calibration``.

    Sets of 300 scenes, and coresets of 5 to 40 % of them: the fewer the images, the nearer the true dissimilarity is to
    the estimated one, so a calibration of your own should be made at the sizes where growing may stop.

    Args:
        method: name of the method.
        selector: name of the selector.

    Returns:
        The calibration, or None for another method or selector.
    """
    return MEASURED.get((method, selector))


def calibrate(
    cases: Iterable[tuple[Subject, xr.DataArray]],
    *,
    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.4),
    selector: str = SELECTOR,
    resamples: int = 50,
    seed: int = 0,
) -> Calibration:
    """Learn from development data how far estimates are from the truth.

    Each case is one set of images that can be interpreted whole; the more alike to what is to be certified, the better.
    The sets must not share images with that.

    Args:
        cases: pairs of subject and pooled features (image, unit).
        shares: sizes of the coresets that are tried on each, those at which growing may stop.
        selector: as it will be used; for ``target_aware`` the features are what the subject's ``reading`` gives.
        resamples: bootstrap draws each.
        seed: of selectors and draws.

    Returns:
        The calibration.

    Raises:
        InputError: fewer than eight cases and shares together, or dissimilarities that are all zero.
    """
    found = [
        np.log(true / estimated)
        for subject, features in cases
        for true, estimated in _dissimilarities(subject, features, shares, selector, resamples, seed)
        if true > 0 and estimated > 0
    ]
    if len(found) < LEAST_TRIALS:
        raise InputError(
            f"{len(found)} coresets differ from the full interpretation and from their own draws; a calibration needs "
            f"{LEAST_TRIALS} or more. Give more cases, or more shares."
        )
    return Calibration(float(np.mean(found)), float(np.std(found, ddof=1)), len(found))


def certificate(
    subject: Subject,
    chosen: Coreset,
    result: NDArray[np.float64],
    *,
    level: float,
    resamples: int,
    learned: Calibration | None,
    seed: int,
) -> Estimate:
    """The similarity of the interpretation from a coreset to that from all images, estimated without them.

    Args:
        subject: the method.
        chosen: the coreset.
        result: its interpretation.
        level: coverage of the interval.
        resamples: bootstrap draws.
        learned: a calibration, or None for the quantiles of the bootstrap.
        seed: of the draws.

    Returns:
        The estimate; ``n`` counts the coreset's images.

    Source: [efron1993]
    """
    if len(chosen) >= int((subject.category >= 0).sum()):
        return Estimate(1.0, 1.0, 1.0, len(chosen), level, "all images")
    far = _bootstrapped(subject, chosen, result, resamples, seed)
    if learned is None:
        tail = (1 - level) / 2
        low, high = np.quantile(1 - far, [tail, 1 - tail])
        return Estimate(float(1 - far.mean()), float(low), float(high), len(chosen), level, "bootstrap of the coreset")
    least, middle, most = (1 - ratio * float(far.mean()) for ratio in learned.ratios(level))
    return Estimate(middle, most, least, len(chosen), level, "calibrated bootstrap of the coreset")


def _bootstrapped(
    subject: Subject, chosen: Coreset, result: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """(draw) float64, dissimilarity of a coreset to all images as draws from it tell."""
    generator = np.random.default_rng([seed, len(chosen)])
    weights = own_weights(subject, chosen)
    # an image without weight counts for nothing, drawn or not
    counted = np.arange(len(chosen)) if weights is None else np.flatnonzero(weights > 0)
    category = subject.category[chosen.indices] if chosen.parameters.get("within") != ALL else np.zeros(len(chosen))
    members = [counted[category[counted] == each] for each in np.unique(category[counted])]
    far = np.empty(resamples)
    for draw in range(resamples):
        drawn = [generator.choice(some, size=len(some)) for some in members]
        again = np.concatenate(drawn)
        order = np.argsort(chosen.indices[again], kind="stable")
        anew = None if weights is None else _rescaled(weights, members, drawn)[order]
        far[draw] = 1 - subject.similarity(result, subject.interpret(chosen.indices[again][order], anew))
    # dissimilarity is quadratic in the error: its variance is lower by the share of images that are left, and a draw
    # with replacement from n images has (n - 1) / n of the variance of a sample of n
    count, total = len(counted), int((subject.category >= 0).sum())
    return far * (1 - count / total) * count / max(count - len(members), 1)


def own_weights(subject: Subject, chosen: Coreset) -> NDArray[np.float64] | None:
    """The weights that a method must be given with a coreset.

    Args:
        subject: the method.
        chosen: the coreset.

    Returns:
        (image) float64; None where the images were chosen without, to be counted once each.

    Raises:
        InputError: weights chosen with the images, for a method that takes none.
    """
    if not chosen.weighted:
        return None
    if not subject.weighable:
        raise InputError(
            f"{chosen.selector} chose images for {chosen.parameters['target']} together with weights, which "
            f"{subject.name} does not take. Give features that are the reading of {subject.name}, or use another "
            "selector, kernel_herding for example."
        )
    return chosen.weights


def _rescaled(
    weights: NDArray[np.float64], members: Sequence[NDArray[np.int64]], drawn: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Weights of drawn images, such that those of a category have the sum that they had."""
    parts = [
        weights[again] * (weights[some].sum() / weights[again].sum())
        for some, again in zip(members, drawn, strict=True)
    ]
    return np.concatenate(parts)


def _dissimilarities(
    subject: Subject, features: xr.DataArray, shares: Sequence[float], selector: str, resamples: int, seed: int
) -> list[tuple[float, float]]:
    """True and estimated, for each share."""
    whole = subject.interpret(np.flatnonzero(subject.category >= 0), None)
    pairs = []
    for share in shares:
        chosen = choose_share(features, subject.category, share, selector=selector, seed=seed)
        result = subject.interpret(chosen.indices, own_weights(subject, chosen))
        estimated = float(_bootstrapped(subject, chosen, result, resamples, seed).mean())
        pairs.append((1 - subject.similarity(result, whole), estimated))
    return pairs


MEASURED: dict[tuple[str, str], Calibration] = {
    ("relevant_units", "kernel_herding"): Calibration(-1.204, 0.913, 64),
    ("dissect", "kernel_herding"): Calibration(0.117, 0.711, 64),
    ("rules", "kernel_herding"): Calibration(0.130, 0.418, 64),
    ("concepts", "kernel_herding"): Calibration(0.018, 0.312, 64),
    ("relevant_units", "target_aware"): Calibration(-3.705, 1.527, 48),
    ("dissect", "target_aware"): Calibration(-0.559, 0.490, 112),
}
