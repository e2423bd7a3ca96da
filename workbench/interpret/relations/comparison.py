"""How the relations of one model differ from those of another: which appeared, vanished, or changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import xarray as xr
from scipy import stats as scipy_stats

from workbench.arrays import provenance, strings
from workbench.errors import InputError
from workbench.interpret.relations.table import EDGE, NO_UNIT
from workbench.stats import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from workbench.interpret.relations.graph import RelationGraph
    from workbench.interpret.relations.table import Edge

By = Literal["unit", "name"]
Key = tuple[str, ...]
Unit = tuple[str, int]
APPEARED, VANISHED, SIGN, WORD, KEPT, UNKNOWN = (
    "appeared", "vanished", "changed sign", "changed word", "kept", "not comparable",
)  # fmt: skip
SYMMETRIC = ("association", "spatial")  # within a layer these run from the lower unit to the higher
WIDTH = 2 * 1.959963984540054  # standard errors in a 95 % interval


def compare(
    before: RelationGraph,
    after: RelationGraph,
    *,
    by: By = "unit",
    correspondence: Mapping[Unit, Unit] | None = None,
    q: float = 0.05,
) -> xr.Dataset:
    """Compare two graphs edge by edge, the greatest change first.

    Every edge that is significant in either graph is followed into the other.

    Args:
        before: the graph of one model, or of a model before training it further.
        after: the graph of the other.
        by: what makes edges of both graphs the same: ``"unit"``, the same units of the same layers; ``"name"``, units
            of the same layers with the same names, for models whose units do not correspond (of several edges with
            the same names the strongest counts; edges without names are left out).
        correspondence: where ``by`` is ``"unit"``: layer and index in ``after`` to layer and index in ``before``, for
            models that were trained apart. Units that it does not name keep theirs.
        q: the false discovery rate at which an edge counts as being there.

    Returns:
        Dataset on ``edge``: ``status`` (``"appeared"``, ``"vanished"``, ``"changed sign"``, ``"changed word"``: another
        operator or side, ``"kept"``, ``"not comparable"``: not tested in the other graph); ``effect_before``,
        ``effect_after`` (0 where a graph does not have the edge at all, NaN where it could not be tested); ``change``,
        their difference; ``size``, its magnitude over the median magnitude of the significant effects of its kind, by
        which edges are ranked, since kinds have different units; ``p_value``, ``q_value`` of the change, from both
        intervals, NaN where one is missing; ``relation_before``, ``relation_after``; and the ends, ``kind``,
        ``partner_layer``, ``partner_unit``, ``condition`` and the names as in a graph. Edges that were kept, or
        cannot be compared, come after those that changed.

    Raises:
        InputError: an unknown ``by``, a correspondence that is not one to one or comes with names, effects in
            different units, or ``by="name"`` where nothing has a name.
    """
    _check(before, after, by, correspondence)
    moved = correspondence or {}
    sides = [_by_key(before, by, {}), _by_key(after, by, moved)]
    if by == "name" and not (sides[0] and sides[1]):
        raise InputError(
            "No edge of one of the graphs has names at both ends; name the units first, or compare by unit."
        )
    found = [{key for key, edge in side.items() if edge.tested and edge.q_value <= q} for side in sides]
    keys = sorted(found[0] | found[1])
    rows = [_row(sides[0].get(key), sides[1].get(key), key in found[0], key in found[1]) for key in keys]
    shown = [sides[0].get(key) or sides[1][key] for key in keys]
    result = _dataset(rows, shown)
    scale = _scales(before, after, q)
    size = np.abs(result["change"].values) / np.array([scale[edge.kind] for edge in shown], dtype=np.float64)
    result["size"] = (EDGE, size)
    last = np.isin(result["status"].values.astype(str), [KEPT, UNKNOWN])
    order = np.lexsort((-np.nan_to_num(size, nan=-1), last)) if len(keys) else np.arange(0)
    facts = {f"{side}_{name}": graph.dataset.attrs.get(name) for side, graph in (("before", before), ("after", after))
             for name in ("model", "weights_hash")}  # fmt: skip
    return result.isel({EDGE: order}).assign_attrs(provenance(method="relations.compare", by=by, q=q, **facts))


def _by_key(graph: RelationGraph, by: By, moved: Mapping[Unit, Unit]) -> dict[Key, Edge]:
    """Edges by what makes them the same; of several, the one that is tested and strongest."""
    result: dict[Key, Edge] = {}
    for edge in graph:
        key = _key(edge, by, moved)
        if key is None:
            continue
        rival = result.get(key)
        if rival is None or _strength(edge) > _strength(rival):
            result[key] = edge
    return result


def _key(edge: Edge, by: By, moved: Mapping[Unit, Unit]) -> Key | None:
    if by == "name":
        if not (edge.source_name and edge.target_name):
            return None
        beside = edge.partner_name or str(edge.partner)
        return (
            edge.kind, edge.source_layer, edge.source_name, edge.target_layer, edge.target_name, beside, edge.condition
        )  # fmt: skip
    ends = [moved.get(end, end) for end in (edge.source, edge.target)]
    if edge.kind in SYMMETRIC and edge.source_layer == edge.target_layer:
        ends.sort()
    ends.append(moved.get(edge.partner, edge.partner) if edge.partner else ("", NO_UNIT))
    return edge.kind, *(f"{layer}:{unit:06d}" for layer, unit in ends), edge.condition


def _strength(edge: Edge) -> tuple[bool, float]:
    return edge.tested, abs(edge.effect) if edge.tested else 0.0


def _row(first: Edge | None, second: Edge | None, was: bool, is_now: bool) -> dict[str, Any]:
    """Status, effects and words of one edge in both graphs."""
    effects = [_effect(edge) for edge in (first, second)]
    change = effects[1] - effects[0]
    if np.isnan(change):
        status = UNKNOWN
    elif was and not is_now:
        status = VANISHED
    elif is_now and not was:
        status = APPEARED
    elif effects[0] * effects[1] < 0:
        status = SIGN
    else:
        status = KEPT if first and second and first.relation == second.relation else WORD
    return {
        "status": status,
        "effect_before": effects[0],
        "effect_after": effects[1],
        "change": change,
        "p_value": _chance(first, second, change),
        "relation_before": first.relation if first else "",
        "relation_after": second.relation if second else "",
    }


def _effect(edge: Edge | None) -> float:
    return 0.0 if edge is None else edge.effect if edge.tested else np.nan


def _chance(first: Edge | None, second: Edge | None, change: float) -> float:
    """Two-sided p-value of a difference of independent effects, each with a 95 % interval."""
    if first is None or second is None:
        return np.nan
    spread = math.hypot(first.high - first.low, second.high - second.low) / WIDTH
    return float(2 * scipy_stats.norm.sf(abs(change) / spread)) if spread > 0 else np.nan


def _scales(before: RelationGraph, after: RelationGraph, q: float) -> dict[str, float]:
    """Kind to the median magnitude of its significant effects."""
    graphs = [before.significant(q), after.significant(q)]
    kinds = np.concatenate([graph.column("kind").astype(str) for graph in graphs])
    sizes = np.abs(np.concatenate([graph.column("effect") for graph in graphs]))
    return {str(kind): float(np.median(sizes[kinds == kind])) or 1.0 for kind in np.unique(kinds)}


def _dataset(rows: list[dict[str, Any]], edges: list[Edge]) -> xr.Dataset:
    texts = (
        "source_layer", "target_layer", "partner_layer", "kind", "source_name", "target_name", "partner_name",
        "condition",
    )  # fmt: skip
    whole = ("source_unit", "target_unit", "partner_unit")
    columns: dict[str, Any] = {name: strings(getattr(edge, name) for edge in edges) for name in texts}
    columns |= {name: np.array([getattr(edge, name) for edge in edges], dtype=np.int64) for name in whole}
    columns |= {name: strings(row[name] for row in rows) for name in ("status", "relation_before", "relation_after")}
    numbers = ("effect_before", "effect_after", "change", "p_value")
    columns |= {name: np.array([row[name] for row in rows], dtype=np.float64) for name in numbers}
    columns["q_value"] = benjamini_hochberg(columns["p_value"])
    return xr.Dataset({name: (EDGE, values) for name, values in columns.items()})


def _check(before: RelationGraph, after: RelationGraph, by: str, correspondence: Mapping[Unit, Unit] | None) -> None:
    if by not in get_args(By):
        raise InputError(f"by is {by!r}; expected 'unit' or 'name'.")
    if correspondence and by == "name":
        raise InputError("A correspondence of units was given, but edges are compared by name. Leave one of them out.")
    if correspondence and len(set(correspondence.values())) < len(correspondence):
        raise InputError("The correspondence sends two units to one; expected one to one.")
    shared = set(before.column("kind").astype(str)) & set(after.column("kind").astype(str))
    for kind in sorted(shared):
        if before.units[kind] != after.units[kind]:
            raise InputError(
                f"Effects of kind {kind!r} are in {before.units[kind]!r} before and in {after.units[kind]!r} after; "
                "they cannot be compared."
            )
