"""Two units that predict a third better together than either does alone: frequent sets, judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InputError
from workbench.interpret.features import source_facts
from workbench.interpret.relations.activity import Activity, unit_activity
from workbench.interpret.relations.association import association_edges
from workbench.interpret.relations.chance import fisher_tail
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.table import Edge
from workbench.interpret.rules import mine
from workbench.stats import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

Triple = tuple[int, int, int]


def association_sets(
    store: Activations,
    *,
    pairs: Sequence[tuple[str, str]],
    quantile: float = 0.8,
    q: float = 0.05,
    least_support: int | None = None,
    most_units: int = 60,
    units: Mapping[str, Sequence[int]] | None = None,
) -> RelationGraph:
    """Find pairs of units of one layer that go together with a unit of the next, more than either alone does.

    Images are transactions. Sets of two sources and a target that are frequent are mined among the units that
    :func:`association_edges` reports, and judged where it counts: among the images of the one source, the other must
    still go together with the target, and the reverse.

    Args:
        store: the activations.
        pairs: (source layer, target layer) of each pair of different layers.
        quantile: which images a unit is active in, see :func:`association_edges`.
        q: false discovery rate at which single edges are taken, and that sets shall be able to reach.
        least_support: images in which all three must be active; a fiftieth of them, at least 5, where omitted.
        most_units: at most so many units of a layer are combined, those of the most certain edges; sets are many.
        units: layer to indices of units, where only some are wanted.

    Returns:
        A graph of the sets, each an edge from one source with the other as its partner: ``relation`` is
        ``"together"``; ``effect`` the base 2 logarithm of the lift of both sources with the target (half an image
        added to each count); ``p_value`` the larger of both conditional one-sided Fisher tests; ``q_value`` over all
        sets. There may be none.

    Raises:
        UnknownNameError, InputError: as :func:`association_edges`; units of one layer; a limit out of range.

    Source: [agrawal1994], [han2000], [fisher1922]
    """
    if most_units < 2 or (least_support is not None and least_support < 1):
        raise InputError(
            f"most_units is {most_units}, least_support {least_support}; expected at least 2 units, and 1 image."
        )
    edges: list[Edge] = []
    single = association_edges(store, pairs=pairs, quantile=quantile, q=q, units=units).significant(q)
    for layers in pairs:
        if layers[0] == layers[1]:
            raise InputError(f"layer {layers[0]!r} is paired with itself; sets run from a layer to another.")
        source, target = (unit_activity(store, layer, quantile=quantile, units=units) for layer in layers)
        known = single.filter(source_layer=layers[0], target_layer=layers[1])
        support = least_support or max(5, len(source.active) // 50)
        triples = _frequent(source, target, _chosen(known, source, target, most_units), support)
        edges += [_judged(source, target, triple) for triple in triples]
    q_values = benjamini_hochberg(np.array([edge.p_value for edge in edges]))
    return RelationGraph.from_edges(
        [replace(edge, q_value=float(value)) for edge, value in zip(edges, q_values, strict=True)],
        **source_facts(store, [pairs[0][0]]),
        method="association_sets",
        pairs=[list(pair) for pair in pairs],
        quantile=quantile,
        q=q,
    )


def _chosen(
    known: RelationGraph, source: Activity, target: Activity, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the units of the most certain edges, of either layer."""
    order = np.argsort(known.column("p_value"), kind="stable")
    found = []
    for role, activity in (("source", source), ("target", target)):
        seen = list(dict.fromkeys(known.column(f"{role}_unit")[order].tolist()))[:most]
        found.append(np.flatnonzero(np.isin(activity.units, seen)))
    return found[0], found[1]


def _frequent(
    source: Activity, target: Activity, chosen: tuple[NDArray[np.int64], NDArray[np.int64]], support: int
) -> list[Triple]:
    """Positions (source, source, target) of the frequent sets that have two sources and a target."""
    fired = np.concatenate([source.active[:, chosen[0]], target.active[:, chosen[1]]], axis=1)
    border = len(chosen[0])
    return [
        (int(chosen[0][each[0]]), int(chosen[0][each[1]]), int(chosen[1][each[2] - border]))
        for each in mine(fired, least_support=support, longest=3)
        if len(each) == 3 and each[1] < border <= each[2]
    ]


def _judged(source: Activity, target: Activity, triple: Triple) -> Edge:
    first, second = source.active[:, triple[0]], source.active[:, triple[1]]
    third = target.active[:, triple[2]]
    both, total = first & second, len(first)
    lift = ((both & third).sum() + 0.5) * (total + 0.5) / ((both.sum() + 0.5) * (third.sum() + 0.5))
    # given the one, does the other still matter: the less certain of the two answers counts
    chance = max(_conditional(first, second, third), _conditional(second, first, third))
    return Edge(
        source.layer, int(source.units[triple[0]]), target.layer, int(target.units[triple[2]]), "association",
        "together", float(np.log2(lift)), p_value=chance, images=int((both & third).sum()),
        partner_layer=source.layer, partner_unit=int(source.units[triple[1]]),
    )  # fmt: skip


def _conditional(given: NDArray[np.bool_], other: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """One-sided Fisher test of two units among the images of a third."""
    counts = [np.array([(given & each).sum()]) for each in (other & target, other, target)]
    return float(fisher_tail(counts[0], counts[1], counts[2], int(given.sum()))[0])
