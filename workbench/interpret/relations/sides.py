"""On which side of another source a source has its effect: sought among the images, against sides dealt anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from workbench.interpret.relations.chance import (
    PermutationMoments,
    PlaneMoments,
    permutation_moments,
    permutation_tail,
)
from workbench.interpret.relations.evidence import PAIRS_AT_ONCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.relations.interventions import Setting
    from workbench.interpret.relations.judging import Verdicts

LEAST_IMAGES = 8  # on each side, for four moments of a permutation distribution
CONSIDERED = 20_000  # most sources and others of the same target that are looked at, the strongest first
WORDS = (("above", "below"), ("left of", "right of"))  # by axis: where a source comes first, and where it comes second


@dataclass(frozen=True, eq=False)
class Sides:
    """Sources beside other sources of the same target, along an axis, and how their effects differ by side.

    Attributes:
        rows: (test) int64, which of the measured pairs is meant: a source and a target.
        partners: (test) int64, the other source.
        axis: (test) int64, 0 for above and below, 1 for left and right.
        counts: (test, 2) int64, images in which both are active and the source comes first, and second.
        difference: (test) float64, mean effect where it comes first less that where it comes second, in the target's
            own unit.
        p_value: (test) float64, two-sided; NaN where a side has too few images, or all effects are the same.
    """

    rows: NDArray[np.int64]
    partners: NDArray[np.int64]
    axis: NDArray[np.int64]
    counts: NDArray[np.int64]
    difference: NDArray[np.float64]
    p_value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


def find_sides(setting: Setting, verdicts: Verdicts) -> Sides:
    """Compare each effect that holds between the images in which its source lies on either side of another source.

    The null deals the sides to the images anew, which keeps how often each side occurs and which effects there are.

    Args:
        setting: what the experiments shared.
        verdicts: what came of them.

    Returns:
        Two tests, one an axis, for each source and each other source of the same target; none where the source layer
        has no places.
    """
    rows, partners = _beside(verdicts) if setting.part.source.grid is not None else (_NONE, _NONE)
    rows, partners = np.repeat(rows, 2), np.repeat(partners, 2)
    axis = np.arange(len(rows)) % 2
    counts, difference, p_value = np.zeros((len(rows), 2), np.int64), np.zeros(len(rows)), np.full(len(rows), np.nan)
    for begin in range(0, len(rows), PAIRS_AT_ONCE):
        some = slice(begin, begin + PAIRS_AT_ONCE)
        order = sides_of(setting, verdicts.pairs[rows[some], 0], partners[some], axis[some])
        effect = verdicts.effects.effect[rows[some]].astype(np.float64)
        counts[some], difference[some], p_value[some] = compare_sides(effect, order)
    return Sides(rows, partners, axis, counts, difference, p_value)


_NONE = np.empty(0, dtype=np.int64)


def _beside(verdicts: Verdicts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of pairs that hold, and other sources of their targets; the strongest first, each as strong as both."""
    found: list[tuple[float, int, int]] = []
    plain = verdicts.holds & (verdicts.pairs[:, 2] < 0)
    for target in np.unique(verdicts.pairs[plain, 1]):
        rows = np.flatnonzero(plain & (verdicts.pairs[:, 1] == target))
        strength = np.abs(verdicts.gain[rows]) / np.abs(verdicts.gain[rows]).max()
        for own, other in zip(*np.nonzero(~np.eye(len(rows), dtype=bool)), strict=True):
            found.append((-strength[own] * strength[other], int(rows[own]), int(verdicts.pairs[rows[other], 0])))
    chosen = sorted(found)[:CONSIDERED]
    return np.array([row for _, row, _ in chosen], np.int64), np.array([other for _, _, other in chosen], np.int64)


def sides_of(
    setting: Setting, sources: NDArray[np.int64], partners: NDArray[np.int64], axis: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which of two sources comes first in each image.

    Args:
        setting: what the experiments shared; the source layer has places.
        sources: (test) units.
        partners: (test) other units.
        axis: (test) 0 for rows, 1 for columns.

    Returns:
        (test, image): -1 where the maximum of the source lies above that of the other, or left of it, 1 below or right
        of it, 0 where neither or where one of them is not active.
    """
    places = places_of(setting)
    away = places[axis, :, sources] - places[axis, :, partners]
    both = setting.active[:, sources].T & setting.active[:, partners].T
    return np.where(both, np.sign(away), 0)


def places_of(setting: Setting) -> NDArray[np.int64]:
    """(axis, image, unit): row and column of the maximum of each unit of the source layer."""
    _, columns = setting.part.source.grid or (1, 1)
    return np.stack(np.divmod(setting.seen.source_at, columns))


def compare_sides(
    effect: NDArray[np.float64], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Compare effects between two groups of images, with the groups dealt anew as the null.

    Args:
        effect: (test, image); NaN may stand where an image is in neither group.
        order: (test, image): -1 for the first group, 1 for the second, 0 for neither.

    Returns:
        (test, 2) images in either group; (test) mean of the first less mean of the second; and (test) two-sided
        p-values from the moments of the permutation distribution, at least one over the number of ways to deal;
        NaN where a group has fewer than 8 images, or the effects are all the same.

    Source: [kaziaoual1995], [josse2008]
    """
    counts = np.stack([(order < 0).sum(axis=1), (order > 0).sum(axis=1)], axis=1)
    total, known = counts.sum(axis=1), order != 0
    value = np.where(known, effect, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [np.where(order == side, value, 0.0).sum(axis=1) / counts[:, at] for at, side in enumerate((-1, 1))]
        centred = [
            np.where(known, each - (each.sum(axis=1) / total)[:, None], 0.0) for each in (value, order.astype(float))
        ]
    observed = -(centred[0] * centred[1]).sum(axis=1)  # the first group is the negative one
    moments = permutation_moments(total.astype(np.float64), _on_a_line(centred[0]), _on_a_line(-centred[1]))
    turned = PermutationMoments(moments.variance, -moments.skewness, moments.kurtosis)
    chance = 2 * np.minimum(permutation_tail(observed, moments), permutation_tail(-observed, turned))
    least = np.exp(special.gammaln(counts + 1.0).sum(axis=1) - special.gammaln(total + 1.0))
    even = (centred[0] ** 2).sum(axis=1) <= 1e-12 * (value**2).sum(axis=1)
    testable = (counts.min(axis=1) >= LEAST_IMAGES) & ~even
    return (
        counts,
        np.where(testable, means[0] - means[1], 0.0),
        np.where(testable, np.clip(np.maximum(chance, least), 0, 1), np.nan),
    )


def _on_a_line(values: NDArray[np.float64]) -> PlaneMoments:
    """Sums of powers of (test, image) centred numbers, as those of points in the plane that lie on its first axis."""
    count = len(values)
    second, third, fourth = (np.zeros((2,) * order + (count,)) for order in (2, 3, 4))
    second[0, 0], third[0, 0, 0] = (values**2).sum(axis=1), (values**3).sum(axis=1)
    fourth[0, 0, 0, 0] = (values**4).sum(axis=1)
    return PlaneMoments(second, third, fourth)
