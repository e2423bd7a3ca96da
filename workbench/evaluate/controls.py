"""What a score is worth is seen beside it: the same score of random units, of other images' masks, of chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.evaluate.overlap import blocks
from workbench.stats.ratios import bootstrap_ratio

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.evaluate.overlap import Overlaps

NOTHING = (np.nan, np.nan, np.nan, 0)


@dataclass(frozen=True)
class Pairs:
    """All pairs of a unit and an image: what a weighted average IoU is an average of.

    Attributes:
        score: (image, unit) float64, NaN where the pair does not count.
        weight: (image, unit) float64, zero or more.
        label: (unit) int64, index of the part; units without one have a number of their own, the last.
        labels: how many labels there are, that number included.
        by_label: whether each label's mean counts by how many units have it, and not by its pairs.
    """

    score: NDArray[np.float64]
    weight: NDArray[np.float64]
    label: NDArray[np.int64]
    labels: int
    by_label: bool

    @property
    def counts(self) -> NDArray[np.bool_]:
        """(image, unit), the pairs that count."""
        return np.isfinite(self.score) & (self.weight > 0)

    @property
    def units_of_label(self) -> NDArray[np.float64]:
        """(label), how many units have each label and count at least once."""
        seen = self.counts.any(axis=0)
        return np.bincount(self.label[seen], minlength=self.labels).astype(np.float64)

    @property
    def final_weight(self) -> NDArray[np.float64]:
        """(image, unit): the weight with which each pair counts in the end, zero where it does not."""
        weight = np.where(self.counts, self.weight, 0.0)
        if self.by_label:
            total = self.by_part(weight).sum(axis=0)
            share = np.divide(self.units_of_label, total, out=np.zeros_like(total), where=total > 0)
            weight = weight * share[self.label]
        return weight

    def by_part(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over the units of each label.

        Args:
            table: (image, unit).

        Returns:
            (image, label) float64.
        """
        member = self.label[:, None] == np.arange(self.labels)
        return np.asarray(table @ member.astype(np.float64))

    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(image, label) weighted scores and weights, zero where nothing counts."""
        weight = np.where(self.counts, self.weight, 0.0)
        return self.by_part(weight * np.where(self.counts, self.score, 0.0)), self.by_part(weight)

    def value(self) -> float:
        """The weighted average; NaN where no pair counts."""
        weight = self.final_weight
        total = weight.sum()
        return float((weight * np.where(self.counts, self.score, 0.0)).sum() / total) if total > 0 else float("nan")

    def estimate(self, *, level: float, resamples: int, seed: int) -> tuple[float, float, float, int]:
        """The weighted average with its interval over images.

        Args:
            level: nominal coverage.
            resamples: of the bootstrap.
            seed: of the bootstrap.

        Returns:
            Value, low, high, and the number of images; NaN and 0 where no pair counts.
        """
        above, below = self.sums()
        if not below.any():
            return NOTHING
        shares = self.units_of_label if self.by_label else None
        found = bootstrap_ratio(above, below, group_weights=shares, level=level, resamples=resamples, seed=seed)
        return found.value, found.low, found.high, found.n


@dataclass(frozen=True)
class Judged:
    """What stays the same when other units, or other masks, take the place of those that are judged.

    Attributes:
        shown: (image, unit) bool, on which images each unit is scored.
        relevance: (image, unit) float64, or None where pairs are not weighted by it.
        areas: (image, part) float64, weight of each part in each image, or None likewise.
        parts: number of parts.
        by_label: as in :class:`Pairs`.
        unlinked_are_zero: whether a unit without a label scores 0 wherever it is shown, or is left out.
    """

    shown: NDArray[np.bool_]
    relevance: NDArray[np.float64] | None
    areas: NDArray[np.float64] | None
    parts: int
    by_label: bool
    unlinked_are_zero: bool

    def pairs(self, score: NDArray[np.float64], label: NDArray[np.int64]) -> Pairs:
        """Weigh the pairs of these units.

        Args:
            score: (image, unit) float64, NaN where a pair does not count.
            label: (unit) int64, -1 for none.

        Returns:
            The pairs, those that are not shown left out.
        """
        none = label < 0
        score = np.where(none, 0.0 if self.unlinked_are_zero else np.nan, score)
        number = np.where(none, self.parts, label)
        weight = np.ones(score.shape)
        if self.relevance is not None:
            weight = self.relevance
        elif self.areas is not None:
            # a unit without a part has no area: it gets that of the image's visible parts, on average
            visible = np.maximum((self.areas > 0).sum(axis=1, keepdims=True), 1)
            mean = self.areas.sum(axis=1, keepdims=True) / visible
            weight = np.concatenate([self.areas, mean], axis=1)[:, number]
        return Pairs(np.where(self.shown, score, np.nan), weight, number, self.parts + 1, self.by_label)


def of_label(table: NDArray[Any], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """The column of each unit's own label.

    Args:
        table: (image, unit, part), or (image, unit, 1) for what does not depend on the part.
        label: (unit) int64, -1 for none.

    Returns:
        (image, unit) float64; what a unit without label gets means nothing.
    """
    column = np.minimum(np.maximum(label, 0), table.shape[2] - 1)
    return np.asarray(np.take_along_axis(table, column[None, :, None], axis=2)[:, :, 0], dtype=np.float64)


def shuffled_scores(
    heatmaps: xr.DataArray,
    masks: xr.DataArray,
    found: Overlaps,
    label: NDArray[np.int64],
    scored: NDArray[np.bool_],
    *,
    draws: int,
    seed: int,
) -> NDArray[np.float64]:
    """IoU of each map with the mask of its unit's part in other images that show it, averaged over the others drawn.

    Maps that only know where the part usually is score as high here as on their own images.

    Args:
        heatmaps: (image, unit, y, x).
        masks: (image, part, y, x) bool.
        found: the counts of both.
        label: (unit) int64, -1 for none.
        scored: (image) bool.
        draws: how many other images each map is compared with.
        seed: of the draws.

    Returns:
        (image, unit) float64; NaN where the part is not visible, or visible in no other image.
    """
    generator = np.random.default_rng(seed)
    result = np.full(found.shared.shape[:2], np.nan)
    for part in np.unique(label[label >= 0]):
        units, images = np.flatnonzero(label == part), np.flatnonzero(scored & found.visible[:, part])
        if len(images) < 2:
            continue
        partners = _partners(len(images), draws, generator)
        truth = masks[images, int(part)].values.reshape(len(images), -1)
        column = min(int(part), found.levels.shape[2] - 1)
        for block, values in blocks(heatmaps[images][:, units]):
            levels = found.levels[np.ix_(images[block], units)][:, :, column]
            cut = (values >= levels[..., None]).astype(np.float32)
            total = np.zeros(cut.shape[:2])
            for draw in partners:
                other = truth[draw[block]]
                shared = (cut @ other[:, :, None].astype(np.float32))[:, :, 0].astype(np.float64)
                total += shared / (cut.sum(axis=2) + other.sum(axis=1)[:, None] - shared)
            result[np.ix_(images[block], units)] = total / len(partners)
    return result


def _partners(count: int, draws: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """For each draw, another image for each image, none its own: a step along a random circle."""
    found = []
    for _ in range(draws):
        circle = generator.permutation(count)
        partner = np.empty(count, dtype=np.int64)
        partner[circle] = np.roll(circle, int(generator.integers(1, count)))
        found.append(partner)
    return found


def random_units(
    score: NDArray[np.float64],
    label: NDArray[np.int64],
    judged: Judged,
    shown: NDArray[np.bool_] | None,
    *,
    draws: int,
    level: float,
    seed: int,
) -> tuple[float, float, float, int]:
    """The score of as many units drawn at random, each labelled as the others were.

    Args:
        score: (image, unit) float64, IoU of each unit of the pool with its own label; NaN where it does not count.
        label: (unit) int64, likewise, -1 for none.
        judged: how many units there are to be, and how pairs are weighted.
        shown: (image, unit) bool, on which images each unit of the pool is scored; None for those of the unit whose
            place it takes.
        draws: how many random sets.
        level: share of the draws between low and high.
        seed: of the draws.

    Returns:
        Mean over the draws, the ends between which that share of them lies, and how many draws had a unit to score.
    """
    generator = np.random.default_rng(seed)
    wanted = judged.shown.shape[1]
    values = []
    for _ in range(draws):
        # without repetition where the pool is large enough
        chosen = generator.choice(score.shape[1], size=wanted, replace=wanted > score.shape[1])
        placed = judged if shown is None else replace(judged, shown=shown[:, chosen])
        values.append(placed.pairs(score[:, chosen], label[chosen]).value())
    known = np.array(values)[np.isfinite(values)]
    if not len(known):
        return NOTHING
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(known.mean()), float(low), float(high), len(known)
