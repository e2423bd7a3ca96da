"""In which images units are active, and what edges have to show for themselves: exemplars and categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arrays import IMAGE, UNIT
from workbench.errors import InputError, NotFiniteError
from workbench.interpret.reading import chosen_layers, label_categories, unit_maps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

EXEMPLARS = 3


@dataclass(frozen=True, eq=False)
class Activity:
    """In which images each unit of a layer is active.

    Attributes:
        layer: name of the layer.
        height: (image, unit) float32, the greatest activation.
        active: (image, unit) bool.
        units: (unit) int64, the indices of the units that were asked for.
    """

    layer: str
    height: NDArray[np.float32]
    active: NDArray[np.bool_]
    units: NDArray[np.int64]

    @property
    def reasons(self) -> list[str]:
        """Why a unit can have no relation, one text a unit; "" where nothing stands against it."""
        constant = np.ptp(self.height, axis=0) == 0
        active = self.active.sum(axis=0)
        texts = []
        for position, unit in enumerate(self.units):
            name = f"unit {unit} of {self.layer}"
            if constant[position]:
                texts.append(f"{name} has the same height in every image")
            elif active[position] == 0:
                texts.append(f"{name} is active in no image")
            elif active[position] == len(self.active):
                texts.append(f"{name} is active in every image")
            else:
                texts.append("")
        return texts


def unit_activity(
    store: Activations, layer: str, *, quantile: float, units: Mapping[str, Sequence[int]] | None = None
) -> Activity:
    """Find in which images units are active: where their greatest activation reaches a quantile of their own.

    A unit that is silent in more images than the quantile says is active wherever it is above its lowest height.

    Args:
        store: the activations.
        layer: name of the layer.
        quantile: of the heights of each unit over the images, in [0, 1).
        units: layer to indices, where only some of a layer's units are asked for.

    Returns:
        The activity.

    Raises:
        UnknownNameError: no such layer.
        InputError: a quantile or a unit out of range, a layer without units, or too few images for any relation.
        NotFiniteError: NaN or infinity among the heights; the image is named.
    """
    if not 0 <= quantile < 1:
        raise InputError(f"quantile is {quantile}; expected 0 or more and below 1, the share of images without a unit.")
    (name,) = chosen_layers(store, layer)
    maps = unit_maps(store, name)
    chosen = _chosen_units(name, maps.sizes[UNIT], (units or {}).get(name))
    height = np.asarray(store.dataset(name)["max"].transpose(IMAGE, UNIT).values, dtype=np.float32)[:, chosen]
    if len(height) < 4:
        raise InputError(f"There are {len(height)} images; a relation cannot be told from chance in fewer than 4.")
    if not np.isfinite(height).all():
        bad = int(np.flatnonzero(~np.isfinite(height).all(axis=1))[0])
        raise NotFiniteError(
            f"layer {name!r} holds NaN or infinity in image {store.identifiers[bad]!r}. Leave it out with "
            "interpret.select."
        )
    threshold = np.quantile(height, quantile, axis=0)
    return Activity(name, height, (height >= threshold) & (height > height.min(axis=0)), chosen)


def _chosen_units(layer: str, count: int, wanted: Sequence[int] | None) -> NDArray[np.int64]:
    if wanted is None:
        return np.arange(count)
    chosen = np.asarray(wanted)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise InputError(f"units of layer {layer!r} are {wanted!r}; expected a sequence of at least one index.")
    if chosen.min() < 0 or chosen.max() >= count:
        raise InputError(
            f"units of layer {layer!r} reach from {chosen.min()} to {chosen.max()}; it has the units 0 to {count - 1}."
        )
    if len(np.unique(chosen)) < len(chosen):
        raise InputError(f"units of layer {layer!r} name a unit twice: {list(wanted)}.")
    return chosen.astype(np.int64)


def edge_columns(
    source: Activity, target: Activity, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> dict[str, Any]:
    """The ends of edges.

    Args:
        source: activity of the source layer.
        target: activity of the target layer.
        rows: (edge) positions among the source's units.
        columns: (edge) positions among the target's units.

    Returns:
        The columns of a :class:`~workbench.interpret.relations.RelationGraph` that name both ends.
    """
    return {
        "source_layer": source.layer,
        "source_unit": source.units[rows],
        "target_layer": target.layer,
        "target_unit": target.units[columns],
    }


def unit_pairs(source: Activity, target: Activity) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all pairs of units: each source with each target; within one layer, each two once.

    Args:
        source: activity of the source layer.
        target: activity of the target layer.

    Returns:
        (edge) positions among the source's units, and among the target's.
    """
    if source.layer == target.layer:
        first, second = np.triu_indices(len(source.units), k=1)
        return first.astype(np.int64), second.astype(np.int64)
    grid = np.indices((len(source.units), len(target.units))).reshape(2, -1)
    return grid[0].astype(np.int64), grid[1].astype(np.int64)


def untested_reasons(
    source: Activity, target: Activity, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Why the units at either end rule an edge out.

    Args:
        source: activity of the source layer.
        target: activity of the target layer.
        rows: (edge) positions among the source's units.
        columns: (edge) positions among the target's units.

    Returns:
        (edge) object; "" where neither does.
    """
    first = np.array(source.reasons, dtype=object)[rows]
    second = np.array(target.reasons, dtype=object)[columns]
    return np.where(first != "", first, second)


def witnesses(
    store: Activations,
    source: Activity,
    target: Activity,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    *,
    worth: NDArray[np.bool_],
) -> tuple[list[tuple[str, ...]], NDArray[np.object_]]:
    """The images that show an edge best, and the category that most of its images belong to.

    Args:
        store: the activations; its labels, or else its predictions, say the categories.
        source: activity of the source layer.
        target: activity of the target layer.
        rows: (edge) positions among the source's units.
        columns: (edge) positions among the target's units.
        worth: (edge) bool, the edges to look at; others get nothing.

    Returns:
        Identifiers, the best first: where the weaker of the two units, as a share of its greatest height, is
        strongest. And (edge) object, the category of more than half of the images in which both are active, or "".
    """
    shares = [_relative(each) for each in (source, target)]
    category, names = _categories(store)
    shown: list[tuple[str, ...]] = [()] * len(rows)
    most = np.full(len(rows), "", dtype=object)
    for edge in np.flatnonzero(worth):
        both = np.flatnonzero(source.active[:, rows[edge]] & target.active[:, columns[edge]])
        if not len(both):
            continue
        weaker = np.minimum(shares[0][both, rows[edge]], shares[1][both, columns[edge]])
        best = both[np.argsort(-weaker, kind="stable")[:EXEMPLARS]]
        shown[edge] = tuple(str(store.identifiers[index]) for index in best)
        if category is not None:
            counts = np.bincount(category[both][category[both] >= 0], minlength=1)
            if 2 * counts.max() > len(both):
                most[edge] = names[int(counts.argmax())]
    return shown, most


def _relative(activity: Activity) -> NDArray[np.float32]:
    """Heights as shares of each unit's range."""
    low, high = activity.height.min(axis=0), activity.height.max(axis=0)
    return np.asarray((activity.height - low) / np.where(high > low, high - low, 1))


def _categories(store: Activations) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """(image) index, -1 for none, and the names that it counts."""
    if store.labels is not None:
        return np.asarray(store.labels, dtype=np.int64), label_categories(store)
    if store.predicted is not None and len(store.categories):
        return np.asarray(store.predicted, dtype=np.int64), tuple(str(name) for name in store.categories)
    return None, ()
