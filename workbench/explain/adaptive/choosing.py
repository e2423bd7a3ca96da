"""Which windows are worth measuring next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.explain.adaptive.surface import Surface
    from workbench.explain.lattice import Lattice


def coarse_lattice(lattice: Lattice, count: int) -> NDArray[np.int64]:
    """Evenly spread windows of a lattice, the border included.

    Args:
        lattice: all windows.
        count: how many are wanted, about.

    Returns:
        (window) int64, increasing.
    """
    rows, columns = lattice.shape
    share = min(1.0, (count / (rows * columns)) ** 0.5)
    picked = [
        np.unique(
            np.linspace(0, length - 1, max(2 if length > 1 else 1, round(length * share))).round().astype(np.int64)
        )
        for length in (rows, columns)
    ]
    return np.asarray((picked[0][:, None] * columns + picked[1][None, :]).ravel())


def highest(surface: Surface, count: int, *, exclude: NDArray[np.int64]) -> NDArray[np.int64]:
    """The windows that may well be the most important ones: they decide few ranks, but where a reader looks first.

    Args:
        surface: what is known.
        count: how many to choose.
        exclude: windows that are measured anyway.

    Returns:
        (window) int64, none of them known or excluded; fewer where there are no more.
    """
    candidates = np.setdiff1d(np.arange(len(surface.places)), np.concatenate([surface.known, exclude]))
    promise = surface.compressed[candidates] + surface.deviation[candidates]
    return np.asarray(candidates[np.argsort(-promise, kind="stable")[: max(count, 0)]])


def least_certain(surface: Surface, count: int, *, exclude: NDArray[np.int64]) -> NDArray[np.int64]:
    """The windows whose rank among all is least certain, spread out: each choice lowers its neighbours' claim.

    How far a rank may be off is the deviation times how many windows lie near the expected value.

    Args:
        surface: what is known.
        count: how many to choose.
        exclude: windows that are measured anyway.

    Returns:
        (window) int64, none of them known or excluded; fewer where there are no more.
    """
    candidates = np.setdiff1d(np.arange(len(surface.places)), np.concatenate([surface.known, exclude]))
    if count >= len(candidates):
        return candidates
    if count < 1:
        return np.zeros(0, np.int64)
    ordered = np.sort(surface.compressed)
    reach = 0.25 * float(surface.compressed.std()) + 1e-9
    values = surface.compressed[candidates]
    crowd = np.searchsorted(ordered, values + reach) - np.searchsorted(ordered, values - reach)
    promising = candidates[np.argsort(-(crowd * surface.deviation[candidates]), kind="stable")[: max(512, 4 * count)]]
    crowd_of = dict(zip(candidates.tolist(), crowd.tolist(), strict=True))
    weight = np.array([crowd_of[int(window)] for window in promising], dtype=np.float64)
    covariance = surface.covariance(promising)
    chosen: list[int] = []
    for _ in range(count):
        claim = weight**2 * np.diag(covariance)
        claim[chosen] = -1.0
        best = int(claim.argmax())
        chosen.append(best)
        column = covariance[:, best].copy()
        covariance -= np.outer(column, column) / max(float(column[best]), 1e-12)
    return np.asarray(promising[chosen])
