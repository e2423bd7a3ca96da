"""Which measured effects hold: not zero, and not marginal beside the strongest of the same target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.interpret.relations.evidence import adjusted, mean_of, mean_test

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    units: tuple[NDArray[np.int64], NDArray[np.int64]] = field(default_factory=lambda: (_NONE, _NONE))
    reasons: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))

    def completed(
        self,
        joint: Interactions,
        units: tuple[NDArray[np.int64], NDArray[np.int64]],
        reasons: tuple[list[str], list[str]],
    ) -> Verdicts:
        """The same with what is known of pairs of sources, and of what could not be tested."""
        return replace(self, joint=joint, units=units, reasons=reasons)

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
    known = np.isfinite(effects.effect)
    total, squares, count, nonzero = mean_of(effects.effect, known)
    not_zero = mean_test(total, squares, count, nonzero)
    # images count by the size of the effect: where a target is silent, or stands elsewhere than the source, nothing is
    # learned of how strongly the two are tied
    effect, change = (np.where(known, values, 0.0).astype(np.float64) for values in (effects.effect, effects.change))
    weight = np.abs(effect)
    moved, changed = (weight * effect).sum(axis=1), (weight * change).sum(axis=1)
    gain = np.divide(moved, changed, out=np.full(len(pairs), np.nan), where=changed > 0)
    strongest = np.zeros(setting.seen.target_max.shape[1])
    sure = (adjusted(not_zero, untried=untried) <= q) & np.isfinite(gain)
    np.maximum.at(strongest, pairs[sure, 1], np.abs(gain[sure]))
    margin = least_share * strongest[pairs[:, 1]]
    surplus = weight * (np.sign(moved)[:, None] * effect - margin[:, None] * change)
    above, above_squares, _, _ = mean_of(surplus, known)
    not_marginal = mean_test(above, above_squares, count, nonzero, one_sided=True)
    p_value = np.maximum(not_zero, not_marginal)
    q_value = adjusted(p_value, untried=untried)
    return Verdicts(pairs, effects, gain, p_value, q_value, q_value <= q, untried)
