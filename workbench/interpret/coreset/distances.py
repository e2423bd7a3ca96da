"""Distances between many points, in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLOCK_VALUES = 8 * 2**20  # entries of a distance matrix in memory at a time


def squared_distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared Euclidean distances of all pairs.

    Args:
        first: (point, feature) float32; centred, or the result loses digits.
        second: (other, feature) float32.

    Returns:
        (point, other) float32, zero or more.
    """
    products = first @ second.T
    products *= -2
    products += np.einsum("ij,ij->i", first, first)[:, None]
    products += np.einsum("ij,ij->i", second, second)[None]
    return np.asarray(np.maximum(products, 0, out=products))


def nearest(points: NDArray[np.float32], others: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest of the others to each point, in bounded memory.

    Args:
        points: (point, feature) float32, centred.
        others: (other, feature) float32.

    Returns:
        (point) int64 which, and (point) float32 squared distance.
    """
    which, far = np.empty(len(points), dtype=np.int64), np.empty(len(points), dtype=np.float32)
    for some in blocks(len(points), len(others)):
        distances = squared_distances(points[some], others)
        which[some] = distances.argmin(axis=1)
        far[some] = distances[np.arange(len(distances)), which[some]]
    return which, far


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows, such that a matrix of that many columns stays small."""
    step = max(1, BLOCK_VALUES // max(columns, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def neighbours(
    points: NDArray[np.float32], count: int, *, exact_up_to: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest other points of each point; within nearby cells only, where there are many points.

    Args:
        points: (point, feature) float32, centred.
        count: neighbours wanted, fewer than points.
        exact_up_to: with more points, they are first sorted into cells around random points, and neighbours are looked
            for among the points of the three nearest cells.
        generator: source of chance for the cells.

    Returns:
        (point, neighbour) int64, -1 where the cells hold too few, and (point, neighbour) float32 squared distance,
        infinite there; nearest first.
    """
    total = len(points)
    which = np.full((total, count), -1, dtype=np.int64)
    far = np.full((total, count), np.inf, dtype=np.float32)
    if total <= exact_up_to:
        for some in blocks(total, total):
            members = np.arange(total)[some]
            _closest(points, members, np.arange(total), count, which, far)
        return which, far
    centres = points[np.sort(generator.choice(total, size=max(2, round(np.sqrt(total))), replace=False))]
    cell, _ = nearest(points, centres)
    beside = np.argsort(squared_distances(centres, centres), axis=1)[:, :3]
    members_of = [np.flatnonzero(cell == index) for index in range(len(centres))]
    for index, members in enumerate(members_of):
        candidates = np.concatenate([members_of[near] for near in np.unique(np.append(beside[index], index))])
        for some in blocks(len(members), len(candidates)):
            _closest(points, members[some], candidates, count, which, far)
    return which, far


def _closest(
    points: NDArray[np.float32],
    members: NDArray[np.int64],
    candidates: NDArray[np.int64],
    count: int,
    which: NDArray[np.int64],
    far: NDArray[np.float32],
) -> None:
    """Write the nearest candidates of some points into ``which`` and ``far``."""
    distances = squared_distances(points[members], points[candidates])
    distances[candidates[None] == members[:, None]] = np.inf
    kept = min(count, len(candidates) - 1)
    if kept < 1:
        return
    best = np.argpartition(distances, kept - 1, axis=1)[:, :kept]
    values = np.take_along_axis(distances, best, axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    which[members, :kept] = candidates[np.take_along_axis(best, order, axis=1)]
    far[members, :kept] = np.take_along_axis(values, order, axis=1)
