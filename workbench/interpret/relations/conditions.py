"""Where a source must lie beside another one to have its effect: what holds on one side and not on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.interpret.relations.evidence import adjusted, mean_of, mean_test
from workbench.interpret.relations.moving import movable, moved_effects
from workbench.interpret.relations.sides import LEAST_IMAGES, WORDS, find_sides, sides_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.relations.interventions import Setting
    from workbench.interpret.relations.judging import Verdicts
    from workbench.interpret.relations.sides import Sides

ELSEWHERE = 0.5  # share of the effect on one side that may at most be left on the other


@dataclass(frozen=True, eq=False)
class Conditions:
    """Effects of sources on either side of another source of the same target, each image shown both ways.

    Attributes:
        units: (condition, 3) int64: source, target, and the other source.
        word: (condition) object, how the source lies to the other: ``"left of"``, ``"right of"``, ``"above"``,
            ``"below"``; the side on which its effect is larger.
        there: (condition, image) float32, effect where it lies so, in the target's own unit; NaN where not measured.
        elsewhere: (condition, image) float32, effect where it lies on the other side.
        shown: (condition, image) bool, in which images it lies so by itself.
        p_value: (condition) float64; NaN where it was not tested.
        q_value: (condition) float64.
        reason: (condition) object, why it was not tested; "" where it was.
        untried: tests that were left out.
    """

    units: NDArray[np.int64]
    word: NDArray[np.object_]
    there: NDArray[np.float32]
    elsewhere: NDArray[np.float32]
    shown: NDArray[np.bool_]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]
    reason: NDArray[np.object_]
    untried: int

    def __len__(self) -> int:
        return len(self.units)


def find_conditions(setting: Setting, verdicts: Verdicts, *, most: int, q: float, seed: int) -> Conditions:
    """Find on which side of another source of its target a source has its effect.

    Three things are asked, and the p-value is the largest of theirs: that the effect differs between the images in
    which the source lies on one side and those in which it lies on the other, with the sides dealt anew as the null;
    that in the same image, the effect changes when the other source is moved to the other side; and that it falls to
    less than half. The first is about what the images show, and could come from anything that goes along with the side;
    the second changes nothing but the place.

    Args:
        setting: what the experiments shared.
        verdicts: what came of single sources.
        most: at most so many are put to the second test, those that the first is surest of; as many that cannot be
            tested are reported.
        q: the false discovery rate at which the first test lets pass.
        seed: of the images in which the other source is moved.

    Returns:
        What was put to the test, and what could not be. q-values are over all tests, those left out counted as failed.

    Raises:
        InputError: the images are not those of the survey.
        Interrupted: on request.
    """
    sides = find_sides(setting, verdicts)
    if not len(sides) or not most:
        return _none(len(setting.seen))
    passed = np.flatnonzero(np.nan_to_num(adjusted(sides.p_value, untried=0), nan=1.0) <= q)
    best = passed[np.lexsort((-np.abs(_relative(setting, verdicts, sides))[passed], sides.p_value[passed]))][:most]
    chosen = np.sort(best)
    tests = np.stack([verdicts.pairs[sides.rows[chosen], 0], sides.partners[chosen], sides.axis[chosen]], axis=1)
    where, shift = movable(setting, tests, seed=seed)
    enough = where.sum(axis=1) >= LEAST_IMAGES
    stuck, chosen = chosen[~enough], chosen[enough]
    tests, where, shift = tests[enough], where[enough], shift[enough]
    targets = verdicts.pairs[sides.rows[chosen], 1]
    other = moved_effects(setting, tests, targets, where, shift)
    order = sides_of(setting, *tests.T)
    own = np.where(where, verdicts.effects.effect[sides.rows[chosen]], np.nan)
    untested = np.flatnonzero(np.isnan(sides.p_value))[:most]
    measured = _judge(own, other, np.where(where, order, 0), sides, chosen)
    untried = int(np.isfinite(sides.p_value).sum()) - len(chosen)
    return _joined(setting, verdicts, sides, chosen, measured, np.concatenate([stuck, untested]), untried)


def _none(images: int) -> Conditions:
    words, maps = np.empty(0, object), np.empty((0, images), np.float32)
    return Conditions(
        np.empty((0, 3), np.int64), words, maps, maps, np.empty((0, images), bool), np.empty(0), np.empty(0), words, 0
    )


def _relative(setting: Setting, verdicts: Verdicts, sides: Sides) -> NDArray[np.float64]:
    """(test) difference between the sides in standard deviations of the target."""
    return np.asarray(sides.difference / setting.seen.spread[verdicts.pairs[sides.rows, 1]])


def _judge(
    own: NDArray[np.floating[Any]],
    other: NDArray[np.float32],
    order: NDArray[np.int64],
    sides: Sides,
    chosen: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """p-values, effects on the side with the larger and on the other, and which side it is: 0 first, 1 second."""
    first, second = np.where(order < 0, own, other), np.where(order < 0, other, own)
    known = order != 0
    count = np.maximum(known.sum(axis=1), 1)
    means = np.stack([np.where(known, each, 0.0).sum(axis=1) / count for each in (first, second)])
    side = (np.abs(means[1]) > np.abs(means[0])).astype(np.int64)
    there, elsewhere = (np.where((side == at)[:, None], first, second) for at in (0, 1))
    sign = np.sign(means[side, np.arange(len(side))])[:, None]
    differs = mean_test(*mean_of(sign * (there - elsewhere), known), one_sided=True)
    falls = mean_test(*mean_of(sign * (ELSEWHERE * there - elsewhere), known), one_sided=True)
    # what moving shows must be what the images show
    agrees = sides.difference[chosen] * (means[0] - means[1]) > 0
    p_value = np.max([sides.p_value[chosen], differs, falls], axis=0, initial=0.0)
    return np.where(agrees, p_value, 1.0), there.astype(np.float32), elsewhere.astype(np.float32), side


def _joined(
    setting: Setting,
    verdicts: Verdicts,
    sides: Sides,
    chosen: NDArray[np.int64],
    measured: tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]],
    untested: NDArray[np.int64],
    untried: int,
) -> Conditions:
    """What was tested, followed by what was not."""
    p_value, there, elsewhere, side = measured
    every = np.concatenate([chosen, untested])
    pairs, partners, axis = verdicts.pairs[sides.rows[every]], sides.partners[every], sides.axis[every]
    blank = np.full((len(untested), len(setting.seen)), np.nan, np.float32)
    which = np.concatenate([side, np.zeros(len(untested), np.int64)])
    word = np.array([WORDS[along][at] for along, at in zip(axis, which, strict=True)], dtype=object)
    order = sides_of(setting, pairs[:, 0], partners, axis)
    p_values = np.concatenate([p_value, np.full(len(untested), np.nan)])
    return Conditions(
        np.stack([pairs[:, 0], pairs[:, 1], partners], axis=1),
        word,
        np.concatenate([there, blank]),
        np.concatenate([elsewhere, blank]),
        order == np.where(which == 0, -1, 1)[:, None],
        p_values,
        adjusted(p_values, untried=untried),
        np.array(["" if at < len(chosen) else _why_not(setting, sides, test) for at, test in enumerate(every)], object),
        untried,
    )


def _why_not(setting: Setting, sides: Sides, test: int) -> str:
    first, second = sides.counts[test]
    words = WORDS[sides.axis[test]]
    if min(first, second) < LEAST_IMAGES:
        return (
            f"the source lies {words[0]} the other in {first} images and {words[1]} it in {second}; at least "
            f"{LEAST_IMAGES} of each are needed"
        )
    if np.isnan(sides.p_value[test]):
        return "the effect is the same in every image in which both are active"
    return f"there is room to move the other to the other side in fewer than {LEAST_IMAGES} images"
