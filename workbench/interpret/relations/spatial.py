"""R2: units that keep a place relative to each other, whatever their places in the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

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
from workbench.interpret.relations.chance import PlaneMoments, permutation_moments, permutation_tail
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.kinds import relation_kinds
from workbench.interpret.relations.peaks import Overlap, Peaks, find_peaks
from workbench.stats import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.interpret.activations import Activations
    from workbench.models import ImageModel

Z = 1.959963984540054  # of a 95 % interval
INSIDE = 0.8  # share of an area that lies in another from which it counts as inside
OVERLAPPING = 0.3  # intersection over union from which areas count as overlapping
LEAST_IMAGES = 8  # for four moments of a permutation distribution
POWERS = [(down, right) for down, right in product(range(5), repeat=2) if down + right <= 4]


@relation_kinds.register(
    "spatial",
    title="Places of units relative to each other",
    source=("wald1944", "kaziaoual1995", "josse2008", "benjamini1995"),
    access="activations",
    returns="pairs of units whose displacement varies less than chance has it, with the displacement",
    signed=False,
    specificity="shared",
    coverage="several layers",
    annotation="none",
    feedback="graph",
    cost="one pass over the maps and products of matrices; no evaluation of the model",
    note="The displacement is that of the images: two parts of one object keep their places without being wired.",
    parameters={"quantile": ("float", 0.8, 0.5, 0.99)},
)
def spatial_edges(
    store: Activations,
    model: ImageModel,
    images: Any = None,
    *,
    pairs: Sequence[tuple[str, str]],
    quantile: float = 0.8,
    q: float = 0.05,
    units: Mapping[str, Sequence[int]] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> RelationGraph:
    """Find units that keep a place relative to each other.

    For the images in which both units are active, d is the displacement from the source's soft maximum to the
    target's. The effect is 1 - trace of the covariance of d over its expectation when the images of the target are
    permuted: 1 where one place follows from the other, 0 where they have nothing to do with each other. The p-value
    comes from the first four moments of the permutation distribution, which are known in closed form.

    Args:
        store: the activations; the layers' maps need y and x.
        model: the model, for the size of its input.
        images: not needed; for the common form of all kinds.
        pairs: (source layer, target layer) of each pair to look between; twice the same layer for pairs within it.
        quantile: which images a unit is active in, see :func:`association_edges`.
        q: the false discovery rate that edges shall be able to reach; pairs with too few images for that are not
            tested.
        units: layer to indices of units, where only some are wanted.
        progress: False, True, or a callable that takes a Progress.
        stop: asked between steps.

    Returns:
        A graph of all pairs. ``effect`` in [-1, 1] with its 95 % interval (delta method after Fisher's
        transformation); ``images`` those in which both are active; ``offset_y``, ``offset_x`` the median
        displacement in pixels of the network input; ``relation`` by areas first: ``"inside"`` where 80 % of the
        source's area lies in the target's, ``"around"`` for the reverse, ``"overlapping"`` where they share 30 % of
        their union, else ``"left of"``, ``"right of"``, ``"above"`` or ``"below"`` by the larger part of the
        displacement. ``p_value`` one-sided; ``q_value`` over all pairs tested. Significant edges have exemplars.

    Raises:
        UnknownNameError: no such layer.
        InputError: a layer whose maps have no y and x, no pairs, a quantile, q or unit out of range, or so few images
            that no pair can reach q.
        NotFiniteError: NaN or infinity in the maps; the image is named.
        Interrupted: ``stop`` answered True.

    Source: [wald1944], [kaziaoual1995], [josse2008]
    """
    if not pairs:
        raise InputError("pairs is empty; expected at least one (source layer, target layer).")
    if not 0 < q < 1:
        raise InputError(f"q is {q}; expected between 0 and 1, the share of false edges among those reported.")
    activity = {
        layer: unit_activity(store, layer, quantile=quantile, units=units)
        for layer in dict.fromkeys(layer for pair in pairs for layer in pair)
    }
    steps = len(store.identifiers) + sum(len(activity[source].units) for source, _ in pairs)
    with Meter(steps, progress=progress, stop=stop, label="spatial") as meter:
        meter.check()
        peaks = find_peaks(store, activity, pairs, size=model.input_shape[1:], meter=meter)
        tables = [_Places(activity[source], activity[target], peaks) for source, target in pairs]
        tested, reasons = _testable(tables, q)
        ends = np.cumsum([len(table.rows) for table in tables])[:-1]
        columns = [table.columns(some, meter) for table, some in zip(tables, np.split(tested, ends), strict=True)]
    merged = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
    q_value = benjamini_hochberg(merged["p_value"])
    shown, category = [], []
    for table, some in zip(tables, np.split(q_value <= q, ends), strict=True):
        found = witnesses(store, *table.ends, table.rows, table.others, worth=some)
        shown += found[0]
        category.append(found[1])
    return RelationGraph.from_columns(
        {
            **merged,
            "kind": "spatial",
            "q_value": q_value,
            "tested": tested,
            "reason": reasons,
            "category": np.concatenate(category),
        },
        exemplars=shown,
        **source_facts(store, [pairs[0][0]]),
        method="spatial",
        pairs=[list(pair) for pair in pairs],
        quantile=quantile,
        q=q,
    )


@dataclass(frozen=True, eq=False)
class _Sums:
    """Power sums of places over the images of each edge: (edge) by the powers of y and x."""

    values: dict[tuple[int, int], NDArray[np.float64]]

    def centred(self) -> PlaneMoments:
        """Sums of products of the places less their mean."""
        count = self.values[0, 0]
        mean = [self.values[1, 0] / count, self.values[0, 1] / count]

        def sum_of(down: int, right: int) -> NDArray[np.float64]:
            total = np.zeros_like(count)
            for i, j in product(range(down + 1), range(right + 1)):
                factor = special.comb(down, i) * special.comb(right, j)
                total += factor * self.values[i, j] * (-mean[0]) ** (down - i) * (-mean[1]) ** (right - j)
            return total

        found = {power: sum_of(*power) for power in POWERS if sum(power) >= 2}

        def tensor(order: int) -> NDArray[np.float64]:
            result = np.empty((2,) * order + count.shape)
            for axes in product((0, 1), repeat=order):
                result[axes] = found[order - sum(axes), sum(axes)]
            return result

        return PlaneMoments(tensor(2), tensor(3), tensor(4))


class _Places:
    """Where the units of two layers are in the images in which both are active."""

    def __init__(self, source: Activity, target: Activity, peaks: Peaks) -> None:
        self.ends = (source, target)
        self.rows, self.others = unit_pairs(source, target)
        self.places = (peaks.places[source.layer], peaks.places[target.layer])
        self.cells = (peaks.cells[source.layer], peaks.cells[target.layer])
        self.overlap: Overlap = peaks.overlaps[source.layer, target.layer]

    @cached_property
    def count(self) -> NDArray[np.int64]:
        """(edge) images in which both are active."""
        together = self.ends[0].active.astype(np.float32).T @ self.ends[1].active.astype(np.float32)
        return np.asarray(np.rint(together[self.rows, self.others]).astype(np.int64))

    @cached_property
    def varied(self) -> NDArray[np.bool_]:
        """(edge) whether both places vary in these images, so that there is something to permute."""
        return np.asarray(np.min([np.trace(each.second) for each in self.moments], axis=0) > 1e-6)

    @cached_property
    def moments(self) -> tuple[PlaneMoments, PlaneMoments]:
        """Sums of products of centred places, of the sources and of the targets."""
        active = [end.active.astype(np.float64) for end in self.ends]
        # less a mean of each unit over all images, so that the powers lose no digits
        centred = [place - place.mean(axis=1, keepdims=True) for place in self.places]
        found = []
        for side in (0, 1):
            sums = {}
            for down, right in POWERS:
                weight = active[side] * centred[side][0] ** down * centred[side][1] ** right
                table = weight.T @ active[1] if side == 0 else active[0].T @ weight
                sums[down, right] = np.where(self.count > 0, table[self.rows, self.others], np.nan)
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append(_Sums(sums).centred())
        return found[0], found[1]

    def columns(self, tested: NDArray[np.bool_], meter: Meter) -> dict[str, NDArray[Any]]:
        """Everything that an edge holds besides the correction for the number of tests."""
        effect, error, down, right = self._displacements(meter)
        moments = permutation_moments(self.count.astype(np.float64), *self.moments)
        # the effect is twice the covariance over the sum of both variances
        spread = np.trace(self.moments[0].second) + np.trace(self.moments[1].second)
        with np.errstate(divide="ignore", invalid="ignore"):
            chance = permutation_tail(effect * spread / 2, moments)
        # no permutation test can give less than one over the number of permutations
        chance = np.maximum(chance, np.exp(-special.gammaln(self.count + 1.0)))
        transformed = np.arctanh(np.clip(effect, -1 + 1e-12, 1 - 1e-12))
        reach = Z * error / np.maximum(1 - effect**2, 1e-12)
        layers = {
            name: np.full(len(self.rows), value, dtype=object) if isinstance(value, str) else value
            for name, value in edge_columns(*self.ends, self.rows, self.others).items()
        }
        blank = np.where(tested, 0.0, np.nan)
        return {
            **layers,
            "relation": np.where(tested, self._names(down, right), ""),
            "effect": effect + blank,
            "low": np.minimum(np.tanh(transformed - reach), effect) + blank,
            "high": np.maximum(np.tanh(transformed + reach), effect) + blank,
            "p_value": chance + blank,
            "images": self.count,
            "offset_y": down + blank,
            "offset_x": right + blank,
        }

    def _displacements(self, meter: Meter) -> tuple[NDArray[np.float64], ...]:
        """(edge) effect, its standard error, and the median displacement down and to the right."""
        source, target = self.ends
        result = np.full((4, len(self.rows)), np.nan)
        begin = 0
        for unit in range(len(source.units)):
            end = begin + int(np.searchsorted(self.rows[begin:], unit, side="right"))
            images = np.flatnonzero(source.active[:, unit])
            if end > begin and len(images):
                others = self.others[begin:end]
                result[:, begin:end] = _displacement(
                    self.places[0][:, images, unit],
                    self.places[1][:, images[:, None], others],
                    target.active[images[:, None], others],
                )
            begin = end
            meter.advance(1)
        return tuple(result)

    def _names(self, down: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.object_]:
        """(edge) how the source lies to the target."""
        shared, first, second = (
            each[self.rows, self.others] for each in (self.overlap.shared, self.overlap.source, self.overlap.target)
        )
        union = np.maximum(first + second - shared, 1)
        contained = shared >= INSIDE * np.maximum(first, 1)
        containing = shared >= INSIDE * np.maximum(second, 1)
        sideways = np.where(right > 0, "left of", "right of")
        upright = np.where(down > 0, "above", "below")
        # displacements below half a position of the finer layer cannot be told from none
        finest = min(min(cell) for cell in self.cells) / 2
        still = np.hypot(down, right) < finest
        names = np.where(np.abs(right) >= np.abs(down), sideways, upright)
        names = np.where(still | (shared >= OVERLAPPING * union), "overlapping", names)
        names = np.where(containing & ~contained, "around", names)
        return np.where(contained & ~containing, "inside", names).astype(object)


def _displacement(
    source: NDArray[np.float64], target: NDArray[np.float64], both: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Displacements of many targets from one source.

    Args:
        source: (2, image) places of the source.
        target: (2, image, target) places of the targets.
        both: (image, target) whether the target is active too.

    Returns:
        (4, target): effect, standard error, median displacement down, and to the right; NaN without images.
    """
    count = both.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = both / count
        left = np.where(both, source[:, :, None] - np.einsum("ai,it->at", source, weight)[:, None], 0.0)
        right = np.where(both, target - np.einsum("ait,it->at", target, weight)[:, None], 0.0)
        product_of = (left * right).sum(axis=0)
        square = (left**2).sum(axis=0) + (right**2).sum(axis=0)
        effect = 2 * product_of.sum(axis=0) / square.sum(axis=0)
        error = np.sqrt(((2 * product_of - effect * square) ** 2).sum(axis=0)) / square.sum(axis=0)
    distance = np.where(both, target - source[:, :, None], np.inf)
    return np.stack([effect, error, *(_median(each, count) for each in distance)])


def _median(values: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median of the first ``count`` of each sorted column; NaN where there is none."""
    ordered = np.sort(values, axis=0)
    columns = np.arange(values.shape[1])
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, len(values) - 1)
    middle = ordered[low, columns] / 2 + ordered[high, columns] / 2
    return np.where(count > 0, middle, np.nan)


def _testable(tables: Sequence[_Places], q: float) -> tuple[NDArray[np.bool_], NDArray[np.object_]]:
    """Which pairs have places that can be permuted often enough, and why the others have not.

    Raises:
        InputError: none has, for want of images.
    """
    reasons = np.concatenate([untested_reasons(*table.ends, table.rows, table.others) for table in tables])
    if not len(reasons):
        raise InputError("There is no pair of units; a layer needs two units for pairs within it.")
    count = np.concatenate([table.count for table in tables])
    varied = np.concatenate([table.varied for table in tables])
    alive = reasons == ""
    few = alive & (count < LEAST_IMAGES)
    if alive.any() and not (alive & ~few).any():
        raise InputError(
            f"No two units are active together in {LEAST_IMAGES} images or more (at most {int(count[alive].max())} of "
            f"{len(tables[0].ends[0].active)}); no permutation of so few can be trusted to reach q {q}. Use more "
            "images, or a lower quantile."
        )
    reasons[few] = f"the units are active together in fewer than {LEAST_IMAGES} images"
    still = alive & ~few & ~varied
    reasons[still] = "one of the units is at the same place in every image in which both are active"
    # one over the number of permutations, in the best case of all that remain
    least = np.exp(-special.gammaln(count + 1.0))
    best = benjamini_hochberg(np.where(alive & ~few & ~still, least, np.nan))
    rare = best > q
    reasons[rare] = "the images in which both units are active have too few permutations to reach the asked q"
    return reasons == "", reasons
