"""How alike two interpretations look: heatmaps of their units on the same images, which neither was found on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.errors import InputError
from workbench.interpret.features import unit_axis
from workbench.interpret.heatmaps import unit_heatmaps
from workbench.interpret.upsampling import stretch
from workbench.stats import match_directions, spearman

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

Kind = Literal["heatmap iou", "heatmap spearman"]
LARGE = 0.5  # of a heatmap's largest value: what counts as marked
MOST_HELD_OUT = 32


def held_out_images(category: NDArray[np.int64], images: Sequence[int] | None) -> NDArray[np.int64]:
    """Images that are kept from splits and coresets, to draw heatmaps on.

    Args:
        category: (image) int64, -1 for none.
        images: positions of the images wanted; a tenth of each category where omitted, 32 in all at most.

    Returns:
        (held out) int64 positions, rising.

    Raises:
        InputError: positions out of range, or a category that would keep fewer than two images.
    """
    if images is None:
        present = np.unique(category[category >= 0])
        each = max(1, MOST_HELD_OUT // len(present))
        generator = np.random.default_rng(0)
        parts = []
        for one in present:
            members = generator.permutation(np.flatnonzero(category == one))
            parts.append(members[: max(1, min(each, len(members) // 10))])
        chosen = np.sort(np.concatenate(parts)[:MOST_HELD_OUT])
    else:
        chosen = np.unique(np.asarray(images, dtype=np.int64))
    if not len(chosen) or chosen[0] < 0 or chosen[-1] >= len(category):
        raise InputError(f"held_out names {len(chosen)} images; expected one or more of the {len(category)}.")
    rest = np.delete(category, chosen)
    left = np.bincount(rest[rest >= 0], minlength=int(category.max()) + 1)
    short = [int(one) for one in np.unique(category[category >= 0]) if left[one] < 2]
    if short:
        raise InputError(
            f"Holding out {len(chosen)} images leaves category {short[0]} fewer than the two that a split needs. Hold "
            "out fewer with held_out=, or add images."
        )
    return chosen


def heatmap_similarity(
    store: Activations, layers: Sequence[str], images: NDArray[np.int64], kind: Kind, *, matched: bool
) -> Callable[[NDArray[np.float64], NDArray[np.float64]], float]:
    """A similarity of two interpretations by what they mark.

    The heatmap of a category, part or concept is the sum of its units' heatmaps, each from 0 to 1, by their weights.

    Args:
        store: activations of the images.
        layers: names of the layers whose units are weighted, in that order.
        images: (held out) positions in the store.
        kind: ``"heatmap iou"``, intersection over union of what is above half of each heatmap's largest value, or
            ``"heatmap spearman"``, the rank correlation over positions; the mean over rows and images.
        matched: whether rows are first matched by cosine, as concepts are that have no order.

    Returns:
        A function of two arrays (row, unit), or (category, concept, unit) where matched. Two heatmaps without any value
        above zero agree; one of them with another does not at all.
    """
    axis = unit_axis(store, layers)
    maps = stretch(unit_heatmaps(store, images, axis["layer"][1], axis["index"][1]).values)
    flat = maps.reshape(*maps.shape[:2], -1)
    measure = _iou if kind == "heatmap iou" else _spearman

    def heat(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        marked = np.einsum("ru,iup->rip", np.maximum(rows, 0), flat, optimize=True)
        return np.asarray(marked.reshape(-1, flat.shape[2]), dtype=np.float64)

    def compare(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        if matched:
            pairs = [match_directions(one, other) for one, other in zip(first, second, strict=True)]
            first = np.concatenate([one[rows] for one, (_, rows, _) in zip(first, pairs, strict=True)])
            second = np.concatenate([other[columns] for other, (_, _, columns) in zip(second, pairs, strict=True)])
        return float(measure(heat(first), heat(second)).mean())

    return compare


def _iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    one, other = (heat > LARGE * np.maximum(heat.max(axis=1, keepdims=True), 1e-12) for heat in (first, second))
    union = (one | other).sum(axis=1)
    return np.where(union > 0, (one & other).sum(axis=1) / np.maximum(union, 1), 1.0)


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    empty = ~first.any(axis=1) & ~second.any(axis=1)
    return np.where(empty, 1.0, np.nan_to_num(spearman(first, second), nan=0.0))
