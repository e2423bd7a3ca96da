"""R1: units that are active in the same images more often than chance would have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InputError
from workbench.explain.progress import Meter
from workbench.interpret.features import source_facts
from workbench.interpret.relations.activity import (
    Activity,
    edge_columns,
    unit_activity,
    unit_pairs,
    untested_reasons,
    witnesses,
)
from workbench.interpret.relations.chance import fisher_tail, least_fisher_tail
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.kinds import relation_kinds
from workbench.stats import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.interpret.activations import Activations
    from workbench.models import ImageModel

Z = 1.959963984540054  # of a 95 % interval


@relation_kinds.register(
    "association",
    title="Association of units",
    source=("agrawal1994", "fisher1922", "benjamini1995"),
    access="activations",
    returns="pairs of units that are active in the same images, with lift",
    signed=True,
    specificity="shared",
    coverage="several layers",
    annotation="none",
    feedback="graph",
    cost="one product of matrices a pair of layers; no evaluation of the model",
    note="Says nothing of cause: a unit that always comes with the true source is reported like the source.",
    parameters={"quantile": ("float", 0.8, 0.5, 0.99)},
)
def association_edges(
    store: Activations,
    model: ImageModel | None = None,
    images: Any = None,
    *,
    pairs: Sequence[tuple[str, str]],
    quantile: float = 0.8,
    q: float = 0.05,
    units: Mapping[str, Sequence[int]] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> RelationGraph:
    """Find units that are active in the same images.

    An image is a transaction: the units that are active in it. The null keeps how often each unit is active, and lets
    chance say in which images.

    Args:
        store: the activations.
        model: not needed; for the common form of all kinds.
        images: not needed.
        pairs: (source layer, target layer) of each pair to look between; twice the same layer for pairs within it.
        quantile: a unit is active in an image where its greatest activation reaches this quantile of its own heights
            over all images, and is above the lowest of them.
        q: the false discovery rate that edges shall be able to reach; pairs that cannot, whatever the images, are not
            tested and do not count.
        units: layer to indices of units, where only some are wanted.
        progress: False, True, or a callable that takes a Progress.
        stop: asked between pairs of layers.

    Returns:
        A graph of all pairs. ``effect`` is the base 2 logarithm of lift (with half an image added to each count, so
        that pairs that never meet have one), with its 95 % interval by the delta method; ``images`` those in which
        both are active; ``p_value`` of Fisher's exact test, one-sided; ``q_value`` after Benjamini-Hochberg over all
        pairs of all layers that were tested. Significant edges have exemplars and a category.

    Raises:
        UnknownNameError: no such layer.
        InputError: no pairs, a quantile, q or unit out of range, or so few images that no pair can reach q.
        Interrupted: ``stop`` answered True.

    Source: [agrawal1994], [fisher1922], [tarone1990], [benjamini1995]
    """
    if not pairs:
        raise InputError("pairs is empty; expected at least one (source layer, target layer).")
    if not 0 < q < 1:
        raise InputError(f"q is {q}; expected between 0 and 1, the share of false edges among those reported.")
    activity = {
        layer: unit_activity(store, layer, quantile=quantile, units=units)
        for layer in dict.fromkeys(layer for pair in pairs for layer in pair)
    }
    tables = [_Table(activity[source], activity[target]) for source, target in pairs]
    tested, reasons = _testable(tables, q)
    p_value = np.full(sum(len(table.rows) for table in tables), np.nan)
    columns: list[dict[str, Any]] = []
    begin = 0
    with Meter(len(p_value), progress=progress, stop=stop, label="association") as meter:
        meter.check()
        for table in tables:
            end = begin + len(table.rows)
            some = tested[begin:end]
            p_value[begin:end][some] = table.tail(some)
            columns.append(table.columns(some))
            meter.advance(end - begin)
            begin = end
    q_value = benjamini_hochberg(p_value)
    merged = {name: np.concatenate([np.asarray(each[name]) for each in columns]) for name in columns[0]}
    merged |= {"p_value": p_value, "q_value": q_value, "tested": tested, "reason": reasons}
    shown, category = [], []
    begin = 0
    for table in tables:
        end = begin + len(table.rows)
        found = witnesses(store, *table.ends, table.rows, table.others, worth=q_value[begin:end] <= q)
        shown += found[0]
        category.append(found[1])
        begin = end
    return RelationGraph.from_columns(
        {**merged, "category": np.concatenate(category), "kind": "association", "relation": "together"},
        exemplars=shown,
        **source_facts(store, [pairs[0][0]]),
        method="association",
        pairs=[list(pair) for pair in pairs],
        quantile=quantile,
        q=q,
    )


class _Table:
    """How often the units of two layers are active, and how often together."""

    def __init__(self, source: Activity, target: Activity) -> None:
        self.ends = (source, target)
        self.total = len(source.active)
        self.rows, self.others = unit_pairs(source, target)
        # counts up to 2^24 are exact in float32
        together = source.active.astype(np.float32).T @ target.active.astype(np.float32)
        self.both = np.rint(together[self.rows, self.others]).astype(np.int64)
        self.first = source.active.sum(axis=0)[self.rows]
        self.second = target.active.sum(axis=0)[self.others]

    def tail(self, tested: NDArray[np.bool_]) -> NDArray[np.float64]:
        """P-values of the pairs that are tested."""
        return fisher_tail(self.both[tested], self.first[tested], self.second[tested], self.total)

    def columns(self, tested: NDArray[np.bool_]) -> dict[str, Any]:
        """Ends, effects and intervals; NaN where a pair is not tested."""
        both, first, second = self.both + 0.5, self.first + 0.5, self.second + 0.5
        total = self.total + 0.5
        lift = both * total / (first * second)
        # the delta method, for the logarithm of a ratio of shares of the same images
        variance = 1 / both - 1 / first - 1 / second - 1 / total + 2 * lift / total
        spread = Z * np.sqrt(np.maximum(variance, 0)) / np.log(2)
        effect = np.where(tested, np.log2(lift), np.nan)
        layers = edge_columns(*self.ends, self.rows, self.others)
        filled = {
            name: np.full(len(self.rows), value, dtype=object) if isinstance(value, str) else value
            for name, value in layers.items()
        }
        return {**filled, "effect": effect, "low": effect - spread, "high": effect + spread, "images": self.both}


def _testable(tables: Sequence[_Table], q: float) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
    """Which pairs can be significant at all, whatever the images (Tarone), and why the others cannot.

    Raises:
        InputError: none can, for want of images.
    """
    reasons = np.concatenate([untested_reasons(*table.ends, table.rows, table.others) for table in tables])
    alive = reasons == ""
    least = np.concatenate([least_fisher_tail(table.first, table.second, table.total) for table in tables])
    if not len(least):
        raise InputError("There is no pair of units; a layer needs two units for pairs within it.")
    # even if every pair met as often as it can
    best = benjamini_hochberg(np.where(alive, least, np.nan))
    rare = alive & (best > q)
    if alive.any() and not (alive & ~rare).any():
        raise InputError(
            f"Of {int(alive.sum())} pairs none can reach q {q} with {tables[0].total} images: the smallest p-value "
            f"that their counts allow is {least[alive].min():.2g}. Use more images, or ask for a larger q."
        )
    reasons[rare] = "the units are active in too few images to reach the asked q, however they met"
    return alive & ~rare, reasons
