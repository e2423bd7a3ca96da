"""Which measured effects hold: not zero, and not marginal beside the strongest of the same target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.interpret.relations.evidence import PAIRS_AT_ONCE, adjusted, mean_of, mean_test

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.relations.conditions import Conditions
    from workbench.interpret.relations.interactions import Interactions
    from workbench.interpret.relations.interventions import Effects, Setting

_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Measured pairs, and what is to be thought of them.

    Attributes:
        pairs: (pair, 3) int64: source, target, and the source that was away already, -1 for none.
        effects: what was measured.
        gain: (pair) float64, effect on the target per unit of change of the source, images weighted by the size of the
            effect; NaN where there is none.
        p_value: (pair) float64.
        q_value: (pair) float64.
        holds: (pair) bool, whether the q-value is as small as was asked for.
        untried: how many pairs screening left out.
        joint: effects of two sources at once; None before they were measured.
        placed: effects on either side of another source; None before they were measured.
        units: all sources and all targets that were asked for.
        reasons: for each of these why it could not be tested, "" where it could.
    """

    pairs: NDArray[np.int64]
    effects: Effects
    gain: NDArray[np.float64]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]
    holds: NDArray[np.bool_]
    untried: int
    joint: Interactions | None = None
    placed: Conditions | None = None
    units: tuple[NDArray[np.int64], NDArray[np.int64]] = field(default_factory=lambda: (_NONE, _NONE))
    reasons: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))

    def completed(
        self,
        joint: Interactions,
        placed: Conditions,
        units: tuple[NDArray[np.int64], NDArray[np.int64]],
        reasons: tuple[list[str], list[str]],
    ) -> Verdicts:
        """The same with what is known of pairs of sources, of sides, and of what could not be tested."""
        return replace(self, joint=joint, placed=placed, units=units, reasons=reasons)

    @property
    def reported(self) -> NDArray[np.int64]:
        """One row for each source and target: the measurement with a partner away where that alone holds."""
        best: dict[tuple[int, int], int] = {}
        for row, (source, target, _) in enumerate(self.pairs.tolist()):
            other = best.get((source, target))
            # a source on its own stands first, and gives way only to what holds where it does not
            if other is None or (self.holds[row] and (not self.holds[other] or self._stronger(row, other))):
                best[source, target] = row
        return np.array(sorted(best.values()), dtype=np.int64)

    def _stronger(self, row: int, other: int) -> bool:
        return bool(self.pairs[other, 2] >= 0 and abs(self.gain[row]) > abs(self.gain[other]))


def judge(
    setting: Setting,
    pairs: NDArray[np.int64],
    effects: Effects,
    *,
    least_share: float,
    q: float,
    untried: int,
) -> Verdicts:
    """Test each pair.

    Args:
        setting: what the experiments shared.
        pairs: (pair, 3) int64, as they were measured.
        effects: what was measured.
        least_share: of the strongest gain of a target, below which another is marginal.
        q: the false discovery rate asked for.
        untried: how many pairs screening left out.

    Returns:
        The verdicts.
    """
    sums = np.concatenate(
        [_sums(effects, slice(begin, begin + PAIRS_AT_ONCE)) for begin in range(0, len(pairs), PAIRS_AT_ONCE)]
        or [np.empty((0, 9))]
    )
    total, squares, count, nonzero, moved, changed, moved_squares, products, changed_squares = sums.T
    not_zero = mean_test(total, squares, count, nonzero)
    gain = np.divide(moved, changed, out=np.full(len(pairs), np.nan), where=changed > 0)
    strongest = np.zeros(setting.seen.target_max.shape[1])
    sure = (adjusted(not_zero, untried=untried) <= q) & np.isfinite(gain)
    np.maximum.at(strongest, pairs[sure, 1], np.abs(gain[sure]))
    # of what is left of each weighted effect, in the direction of its sum, when the margin is taken off
    margin, sign = least_share * strongest[pairs[:, 1]], np.sign(moved)
    surplus = sign * moved - margin * changed
    surplus_squares = moved_squares - 2 * sign * margin * products + margin**2 * changed_squares
    not_marginal = mean_test(surplus, surplus_squares, count, nonzero, one_sided=True)
    p_value = np.maximum(not_zero, not_marginal)
    q_value = adjusted(p_value, untried=untried)
    return Verdicts(pairs, effects, gain, p_value, q_value, q_value <= q, untried)


def _sums(effects: Effects, rows: slice) -> NDArray[np.float64]:
    """(pair, 9): of the effect sum, squares, number and number not 0; then of effect and change, weighted, the sums,
    squares of the first, products, squares of the second.

    Images count by the size of the effect: where a target is silent, or stands elsewhere than the source, nothing is
    learned of how strongly the two are tied.
    """
    known = np.isfinite(effects.effect[rows])
    effect, change = (np.where(known, each[rows], 0.0).astype(np.float64) for each in (effects.effect, effects.change))
    moved, changed = np.abs(effect) * effect, np.abs(effect) * change
    weighted = (moved, changed, moved**2, moved * changed, changed**2)
    return np.stack([*mean_of(effect, known), *(each.sum(axis=1) for each in weighted)], axis=1)
