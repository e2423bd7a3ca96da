"""From verdicts to a graph: effects in standard deviations, displacements in pixels, exemplars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.interpret.relations.evidence import adjusted, intervals, student_interval
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.interactions import operators

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.relations.continuation import Layout
    from workbench.interpret.relations.interventions import Setting
    from workbench.interpret.relations.judging import Verdicts

EXEMPLARS = 5
Columns = tuple[dict[str, Any], list[tuple[str, ...]]]


def assemble(setting: Setting, verdicts: Verdicts, *, size: tuple[int, int], seed: int, **facts: Any) -> RelationGraph:
    """Make the graph.

    Args:
        setting: what the experiments shared.
        verdicts: what came of them.
        size: (y, x) pixels of the network input.
        seed: of the bootstrap.
        **facts: where the edges come from.

    Returns:
        Single sources, then operators, then conditions, then what could not be tested.
    """
    source, target = setting.part.source.layer, setting.part.target.layer
    graphs = []
    for columns, exemplars in (
        _singles(setting, verdicts, size, seed),
        _operators(setting, verdicts, source),
        _conditions(setting, verdicts, source, seed),
        _untested(verdicts),
    ):
        common = {"source_layer": source, "target_layer": target, "kind": "causal"}
        if len(exemplars):
            repeated = {name: [value] * len(exemplars) for name, value in common.items()}
            graphs.append(
                RelationGraph.from_columns(
                    {**repeated, **columns}, exemplars=exemplars, method="causal_edges", seed=seed, **facts
                )
            )
    return RelationGraph.concatenate(graphs)


def _singles(setting: Setting, verdicts: Verdicts, size: tuple[int, int], seed: int) -> Columns:
    rows = verdicts.reported
    pairs, effects = verdicts.pairs[rows], verdicts.effects
    effect, place = effects.effect[rows], effects.place[rows]
    mean, low, high = intervals(effect / setting.seen.spread[pairs[:, 1], None], seed=seed)
    offsets = _offsets(setting, pairs[:, 0], effect, place, size)
    known = np.isfinite(effect)
    columns = {
        "source_unit": pairs[:, 0],
        "target_unit": pairs[:, 1],
        "relation": np.where(mean >= 0, "excites", "inhibits").tolist(),
        "effect": mean,
        "low": low,
        "high": high,
        "p_value": verdicts.p_value[rows],
        "q_value": verdicts.q_value[rows],
        "images": known.sum(axis=1),
        "offset_y": offsets[:, 0],
        "offset_x": offsets[:, 1],
        "category": [_category(setting, chosen) for chosen in known],
    }
    shown = np.where(known, np.sign(mean)[:, None] * effect, -np.inf)
    return columns, [_exemplars(setting, row) for row in shown]


def _offsets(
    setting: Setting,
    sources: NDArray[np.int64],
    effect: NDArray[np.float32],
    place: NDArray[np.int32],
    size: tuple[int, int],
) -> NDArray[np.float64]:
    """(pair, 2): median displacement over images, weighted by the effect; NaN where layers have no places."""
    result = np.full((len(effect), 2), np.nan)
    if setting.part.source.grid is None or setting.part.target.grid is None:
        return result
    for row, unit in enumerate(sources):
        used = np.flatnonzero((place[row] >= 0) & (np.abs(np.nan_to_num(effect[row])) > 0))
        if len(used):
            there = _pixels(place[row, used], setting.part.target, size)
            here = _pixels(setting.seen.source_at[used, unit], setting.part.source, size)
            result[row] = [
                _weighted_median((there - here)[:, axis], np.abs(effect[row, used]).astype(np.float64))
                for axis in (0, 1)
            ]
    return result


def _pixels(positions: NDArray[np.integer[Any]], layout: Layout, size: tuple[int, int]) -> NDArray[np.float64]:
    """(position, 2): centres of cells in pixels of the network input."""
    rows, columns = layout.grid or (1, 1)
    cells = np.stack([positions // columns, positions % columns], axis=1)
    return np.asarray((cells + 0.5) * np.array([size[0] / rows, size[1] / columns]))


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(share, share[-1] / 2)]])


def _operators(setting: Setting, verdicts: Verdicts, layer: str) -> Columns:
    """Pairs of sources of one target, both of which hold."""
    joint = verdicts.joint
    if joint is None or not len(joint.pairs):
        return {}, []
    signs = np.zeros((2, *joint.total.shape[1:]))
    sign_of = np.zeros((setting.seen.source_max.shape[1], setting.seen.target_max.shape[1]))
    for row in verdicts.reported:
        if verdicts.holds[row]:
            source, target, _ = verdicts.pairs[row]
            sign_of[source, target] = np.sign(np.nanmean(verdicts.effects.effect[row]))
    for role in (0, 1):
        signs[role] = sign_of[joint.pairs[:, role]]
    names, p_values = operators(joint, signs)
    pair, target = np.nonzero(names != "")
    if not len(pair):
        return {}, []
    total, squares, count, _ = (np.broadcast_to(each, names.shape)[pair, target] for each in joint.sums("interaction"))
    spread = setting.seen.spread[target]
    mean, low, high = (value / spread for value in student_interval(total, squares, count))
    # the source of "and-not" is the one that excites
    turned = signs[0, pair, target] < signs[1, pair, target]
    both = joint.pairs[pair]
    first, second = np.where(turned, both[:, 1], both[:, 0]), np.where(turned, both[:, 0], both[:, 1])
    active = setting.active[:, first].T & setting.active[:, second].T
    columns = {
        "source_unit": first,
        "target_unit": target,
        "partner_layer": [layer] * len(pair),
        "partner_unit": second,
        "relation": names[pair, target].tolist(),
        "effect": mean,
        "low": low,
        "high": high,
        "p_value": p_values[pair, target],
        "q_value": adjusted(p_values[pair, target], untried=0),
        "images": count,
        "category": [_category(setting, chosen) for chosen in active],
    }
    shown = np.where(active, setting.seen.target_max[:, target].T, -np.inf)
    return columns, [_exemplars(setting, row) for row in shown]


def _conditions(setting: Setting, verdicts: Verdicts, layer: str, seed: int) -> Columns:
    """Sources on one side of another source."""
    placed = verdicts.placed
    if placed is None or not len(placed):
        return {}, []
    spread = setting.seen.spread[placed.units[:, 1], None]
    tested = placed.reason == ""
    values = np.full((3, len(placed)), np.nan)
    values[:, tested] = intervals(((placed.there - placed.elsewhere) / spread)[tested], seed=seed)
    sign = np.where(tested, np.nanmean(np.where(tested[:, None], placed.there, 0.0), axis=1), 0.0)
    known = np.isfinite(placed.there)
    columns = {
        "source_unit": placed.units[:, 0],
        "target_unit": placed.units[:, 1],
        "partner_layer": [layer] * len(placed),
        "partner_unit": placed.units[:, 2],
        "condition": placed.word.tolist(),
        "relation": np.where(sign >= 0, "excites", "inhibits").tolist(),
        "effect": values[0],
        "low": values[1],
        "high": values[2],
        "p_value": placed.p_value,
        "q_value": placed.q_value,
        "images": known.sum(axis=1),
        "tested": tested,
        "reason": placed.reason.tolist(),
        "category": [_category(setting, chosen) for chosen in known],
    }
    shown = np.where(known & placed.shown, np.sign(sign)[:, None] * (placed.there - placed.elsewhere), -np.inf)
    return columns, [_exemplars(setting, row) for row in shown]


def _untested(verdicts: Verdicts) -> Columns:
    sources, targets = verdicts.units
    grid = [
        (source, target, why or why_not)
        for source, why in zip(sources, verdicts.reasons[0], strict=True)
        for target, why_not in zip(targets, verdicts.reasons[1], strict=True)
        if why or why_not
    ]
    columns = {
        "source_unit": [source for source, _, _ in grid],
        "target_unit": [target for _, target, _ in grid],
        "relation": ["excites"] * len(grid),
        "tested": [False] * len(grid),
        "reason": [reason for _, _, reason in grid],
    }
    return columns, [()] * len(grid)


def _category(setting: Setting, chosen: NDArray[np.bool_]) -> str:
    """The category that more than half of the images are predicted to be; "" where there is none."""
    found = np.bincount(setting.seen.predicted[chosen], minlength=1)
    best = int(found.argmax())
    return str(setting.seen.categories[best]) if 2 * found[best] > chosen.sum() else ""


def _exemplars(setting: Setting, score: NDArray[np.floating[Any]]) -> tuple[str, ...]:
    best = np.argsort(-score, kind="stable")[:EXEMPLARS]
    return tuple(str(setting.seen.identifiers[image]) for image in best if np.isfinite(score[image]))
