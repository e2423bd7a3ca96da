"""What two sources do together that neither does alone: AND, OR, AND-NOT, and paths that stand in for each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from workbench.interpret.relations.evidence import mean_test
from workbench.interpret.relations.interventions import variants

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.explain import Meter
    from workbench.interpret.relations.interventions import Setting

Operator = Literal["and", "or", "and-not", ""]
INSEPARABLE = 0.5  # Jaccard index of activity above which two sources can hide each other from single ablation
TOGETHER = -2 / 3  # interaction over joint effect: -1 for a conjunction, -1/3 for a disjunction of plain ReLUs
MARGINAL = 0.1  # interaction, as a share of the largest of the three effects, that counts as none
# effects of taking away the first source, the second, and both; both - first - second; and the effect of each source
# where the other is away already
STATISTICS = ("first", "second", "both", "interaction", "first alone", "second alone")


@dataclass(frozen=True, eq=False)
class Interactions:
    """Effects of pairs of sources on all targets, summed over images in which both sources are active.

    Attributes:
        pairs: (pair, 2) int64, units of the source layer, the smaller first.
        images: (pair) int64.
        total: (statistic, pair, target) float64, sums of the entries of ``STATISTICS``.
        squares: (statistic, pair, target) float64, sums of their squares.
        nonzero: (statistic, pair, target) float64, in how many images they are not 0.
    """

    pairs: NDArray[np.int64]
    images: NDArray[np.int64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    nonzero: NDArray[np.float64]

    def sums(self, statistic: str) -> tuple[NDArray[np.float64], NDArray[np.float64], Any, NDArray[np.float64]]:
        """Sums, sums of squares, numbers of images, and of those with an effect, of a statistic: (pair, target)."""
        entry = STATISTICS.index(statistic)
        return self.total[entry], self.squares[entry], self.images[:, None], self.nonzero[entry]

    def mean(self, statistic: str) -> NDArray[np.float64]:
        """(pair, target): mean of a statistic over images; 0 where there are none."""
        return np.asarray(self.total[STATISTICS.index(statistic)] / np.maximum(self.images[:, None], 1))


def together(setting: Setting, pairs: NDArray[np.int64]) -> Interactions:
    """Take both sources of each pair away, one at a time and together, where both are active.

    The target is read where the largest of its four answers is largest: with both sources, without the first, without
    the second, without both.

    Args:
        setting: what is common.
        pairs: (pair, 2) int64, units of the source layer.

    Returns:
        The sums.

    Raises:
        InputError: the images are not those of the survey.
        Interrupted: on request; with a checkpoint, finished batches are kept.
    """
    active = setting.active[:, pairs[:, 0]] & setting.active[:, pairs[:, 1]]
    shape = (len(STATISTICS), len(pairs), setting.seen.target_max.shape[1])
    sums: dict[str, NDArray[Any]] = {name: np.zeros(shape) for name in ("total", "squares", "nonzero")}
    sums["done"] = np.array(0)
    sums = setting.checkpoint.get("interactions") or sums
    with setting.phases.meter("interactions", 3 * int(active.sum())) as meter:
        for number, start, inputs in setting.batches() if len(pairs) else ():
            rows = np.argwhere(active[start : start + len(inputs)])
            if number < sums["done"]:
                meter.advance(3 * len(rows))
                continue
            _add_batch(setting, inputs, start, rows, pairs, sums, meter)
            sums["done"] = np.array(number + 1)
            setting.checkpoint.put("interactions", sums)
    kept = {name: sums[name] for name in ("total", "squares", "nonzero")}
    return Interactions(pairs, active.sum(axis=0), **kept)


def _add_batch(
    setting: Setting,
    inputs: torch.Tensor,
    start: int,
    rows: NDArray[np.int64],
    pairs: NDArray[np.int64],
    sums: dict[str, NDArray[Any]],
    meter: Meter,
) -> None:
    if not len(rows):
        return
    observed = setting.part.observe(inputs)
    size = max(1, setting.batch_size // 3)
    for begin in range(0, len(rows), size):
        some = rows[begin : begin + size]
        first, second = pairs[some[:, 1]].T
        intact, answers, _ = variants(setting, observed, start, some[:, 0], [[first], [second], [first, second]])
        at = torch.stack([intact, *answers]).amax(dim=0).argmax(dim=2, keepdim=True)
        full, *less = (each.gather(2, at)[:, :, 0].double().cpu().numpy() for each in (intact, *answers))
        one, other, both = (full - each for each in less)
        values = (one, other, both, both - one - other, both - other, both - one)
        for entry, value in enumerate(values):
            clean = np.where(np.abs(value) > setting.negligible, value, 0.0)
            np.add.at(sums["total"][entry], some[:, 1], clean)
            np.add.at(sums["squares"][entry], some[:, 1], clean**2)
            np.add.at(sums["nonzero"][entry], some[:, 1], clean != 0)
        meter.advance(3 * len(some))


def inseparable(active: NDArray[np.bool_], sources: NDArray[np.int64], *, least: int, most: int) -> NDArray[np.int64]:
    """Pairs of sources that are active together more often than one of them alone.

    Only such pairs can hide each other: where one is often active without the other, taking it away there shows.

    Args:
        active: (image, unit) bool.
        sources: units to pair.
        least: fewest images in which both must be active.
        most: at most so many pairs, the most similar first.

    Returns:
        (pair, 2) int64, the smaller unit first.
    """
    table = active[:, sources].astype(np.float64)
    shared = table.T @ table
    counts = np.diag(shared)
    union = counts[:, None] + counts[None] - shared
    index = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    first, second = np.nonzero(np.triu((index >= INSEPARABLE) & (shared >= least), k=1))
    order = np.argsort(-index[first, second], kind="stable")[:most]
    return np.sort(np.stack([sources[first[order]], sources[second[order]]], axis=1), axis=1)


def hidden(found: Interactions, level: float) -> NDArray[np.bool_]:
    """Where the sources of a pair hide each other: (pair, target) bool.

    Both matter once the other is away, in the same direction, and each by at least twice as much as while the other is
    there.

    Args:
        found: the interactions.
        level: at which both conditional effects must differ from 0, each test corrected for all (Bonferroni, since
            this only chooses what is measured).

    Returns:
        (pair, target) bool.
    """
    first, second = found.mean("first alone"), found.mean("second alone")
    p_value = np.maximum(*(mean_test(*found.sums(name)) for name in ("first alone", "second alone")))
    hides = (np.abs(first) >= 2 * np.abs(found.mean("first"))) & (np.abs(second) >= 2 * np.abs(found.mean("second")))
    return np.asarray((p_value * max(p_value.size, 1) <= level) & (first * second > 0) & hides)


def operators(found: Interactions, signs: NDArray[np.float64]) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Which operator joins the sources of a pair, for each target, by this rule.

    The interaction I = E(both) - E(first) - E(second) must be larger than a tenth of the largest of the three effects;
    sources that add up have no operator. Where one source excites and the other inhibits, it is "and-not". Where both
    excite, it is "and" if I <= -2/3 E(both), which says that each of them alone would lose nearly all, and else "or".
    Pairs of sources that both inhibit have none.

    Args:
        found: the interactions.
        signs: (2, pair, target), 1 where the first and the second source excite, -1 where they inhibit, 0 where they
            have no effect.

    Returns:
        (pair, target) the operator, "" for none; and (pair, target) p-values of the interaction, one-sided against a
        tenth of the largest effect.
    """
    interaction, both = found.mean("interaction"), found.mean("both")
    scale = np.max([np.abs(found.mean(name)) for name in ("first", "second", "both")], axis=0)
    name = np.full(both.shape, "", dtype=object)
    name[signs[0] * signs[1] < 0] = "and-not"
    excite = (signs > 0).all(axis=0)
    name[excite] = np.where(interaction[excite] <= TOGETHER * both[excite], "and", "or")
    total, squares, count, nonzero = found.sums("interaction")
    sign, margin = np.sign(interaction), MARGINAL * scale
    turned = sign * total - count * margin  # sums of sign * I - margin, and of its square
    shifted = squares - 2 * margin * sign * total + count * margin**2
    return name, mean_test(turned, shifted, count, nonzero, one_sided=True)
