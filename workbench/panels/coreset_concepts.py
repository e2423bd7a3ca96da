"""The concepts of one category from all images and from a coreset, each beside its match. No widgets here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import X, Y, strings
from workbench.errors import InputError
from workbench.interpret.concepts import CONCEPT, concept_strengths
from workbench.interpret.reading import grid, map_blocks
from workbench.panels.coreset_pictures import PLACES, pictures_at
from workbench.stats import match_directions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.interpret import Activations
    from workbench.interpret.coreset import Coreset, Subject

SOURCES = ("all", "coreset")
LEADING = 3  # units that a concept is called after


def describe_concepts(
    data: Activations,
    coreset: Coreset,
    whole: NDArray[np.float64],
    few: NDArray[np.float64],
    category: int,
    *,
    interpretation: Subject,
    member: NDArray[np.int64],
    names: Sequence[str],
    layer: str,
    images: Any = None,
    ranks: int = 3,
    top: int = 3,
) -> xr.Dataset:
    """Match the concepts that the coreset gives for a category with those that all images give.

    Args:
        data: the activations.
        coreset: chosen from their images.
        whole: (category, concept, unit) directions from all images.
        few: the same from the coreset.
        category: index of the category.
        interpretation: what gave them.
        member: (image) int64 category of each image.
        names: of the categories.
        layer: whose units the directions are of.
        images: the images that the activations are of, for pictures.
        ranks: of how many of the strongest concepts images are shown.
        top: how many images each.

    Returns:
        Dataset, concepts by falling mean strength over all images of the category: ``cosine`` (concept) of each
        direction and its match; ``similarity``, as the interpretation measures it; ``strength`` (source, concept), mean
        over positions of the images of the category that the source holds; ``leading`` (source, concept, place) int64,
        the units with the largest entries, -1 where none is left; ``images`` and ``members`` (source); ``ranked``,
        ``greatest``, ``index``, ``activation``, ``maps`` and ``pictures`` as
        :func:`~workbench.panels.coreset_units` has them, the maps being the concept's strength at each position.

    Raises:
        InputError: the category has no image in the activations or the layer has no maps.
    """
    rows = list(range(len(names))) if interpretation.rows is None else list(interpretation.rows)
    if category not in rows:
        raise InputError(f"No image belongs to {names[category]!r}, so it has no concepts. Choose another category.")
    place = rows.index(category)
    cosine, first, second = match_directions(whole[place], few[place])
    directions = np.stack([whole[place][first], few[place][second]]).astype(np.float32)
    sources = (np.flatnonzero(interpretation.category >= 0), np.sort(coreset.indices))
    own = [some[member[some] == category] for some in sources]
    found = [_strengths(data, layer, some, each) for some, each in zip(own, directions, strict=True)]
    order = np.argsort(-found[0][0], kind="stable")
    entries = np.argsort(-directions, axis=2, kind="stable")[:, order, :LEADING]
    held = np.take_along_axis(directions[:, order], entries, axis=2) > 0
    result = xr.Dataset(
        {
            "cosine": (CONCEPT, cosine[first, second][order]),
            "similarity": float(interpretation.similarity(whole[[place]], few[[place]])),
            "strength": (("source", CONCEPT), np.stack([mean[order] for mean, _ in found])),
            "leading": (("source", CONCEPT, "place"), np.where(held, entries, -1)),
            "images": ("source", [len(some) for some in sources]),
            "members": ("source", [len(some) for some in own]),
        },
        coords={"source": strings(SOURCES), CONCEPT: np.arange(1, len(order) + 1)},
        attrs={
            "category": names[category],
            "layer": layer,
            "subject": interpretation.name,
            "measure": str(interpretation.facts.get("similarity", "similarity")),
        },
    )
    peaks = [peak[:, order] for _, peak in found]
    return result.merge(_shown(data, layer, own, peaks, directions[:, order], images, ranks, top))


def _strengths(
    data: Activations, layer: str, indices: NDArray[np.int64], directions: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Mean strength (concept), and the greatest of each image (image, concept)."""
    total, positions = np.zeros(len(directions)), 0
    peaks = [np.zeros((0, len(directions)), dtype=np.float32)]
    for _, maps in map_blocks(data, layer, indices=indices):
        strength = concept_strengths(np.maximum(maps, 0), directions)
        total += strength.sum(axis=(0, 2), dtype=np.float64)
        positions += len(strength) * strength.shape[2]
        peaks.append(strength.max(axis=2))
    return total / max(positions, 1), np.concatenate(peaks)


def _shown(
    data: Activations,
    layer: str,
    own: Sequence[NDArray[np.int64]],
    peaks: Sequence[NDArray[np.float32]],
    directions: NDArray[np.float32],
    images: Any,
    ranks: int,
    top: int,
) -> xr.Dataset:
    """The images of the category that hold the strongest concepts most, among all and among the chosen."""
    ranks = min(ranks, directions.shape[1])
    size = grid(data, layer)
    index = np.full((2, ranks, top), -1, dtype=np.int64)
    activation = np.full(index.shape, np.nan)
    maps = np.zeros((*index.shape, *size), dtype=np.float32)
    for source, rank in np.ndindex(2, ranks):
        best = np.argsort(-peaks[source][:, rank], kind="stable")[:top]
        index[source, rank, : len(best)] = own[source][best]
        activation[source, rank, : len(best)] = peaks[source][best, rank]
    for source, each in enumerate(directions):
        wanted = np.unique(index[source][index[source] >= 0])
        blocks = [concept_strengths(np.maximum(some, 0), each) for _, some in map_blocks(data, layer, indices=wanted)]
        for rank, place in np.argwhere(index[source] >= 0):
            one = int(np.searchsorted(wanted, index[source, rank, place]))
            maps[source, rank, place] = np.concatenate(blocks)[one, rank].reshape(size)
    # a concept and its match are on one scale, that of the maps: the strengths above may differ by rounding
    greatest = maps.max(axis=(0, 2, 3, 4)).astype(np.float64)
    shown = xr.Dataset(
        {
            "ranked": (("source", "rank"), np.tile(np.arange(ranks), (2, 1))),
            "greatest": (("source", "rank"), np.tile(greatest, (2, 1))),
            "index": (PLACES, index),
            "activation": (PLACES, activation),
            "maps": ((*PLACES, Y, X), maps),
        }
    )
    if images is not None:
        shown["pictures"] = ((*PLACES, "row", "column", "channel"), pictures_at(data, images, index))
    return shown
