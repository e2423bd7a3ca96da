"""How much of the image a map speaks of: sparseness, entropy, effective complexity.

All three look at absolute values. A map of zeros prefers no pixel, and counts as a constant one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, X, Y, check_array
from workbench.errors import InputError
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import made_by, ordered_maps, summarised

if TYPE_CHECKING:
    from numpy.typing import NDArray


@metrics.register(
    title="Sparseness",
    source=("chalasani2020",),
    access="black box",
    returns="Gini index of the map's absolute values, 0 for a constant map",
    feedback="number",
    better="higher",
    note="Says how short an explanation is, not whether it is right.",
)
def sparseness(heatmaps: xr.DataArray) -> xr.Dataset:
    """Gini index of the absolute values: 0 where all are equal, near 1 where one pixel has everything.

    Args:
        heatmaps: (image, y, x) finite numbers.

    Returns:
        Dataset: ``score`` (image) in [0, 1), higher is sparser; ``value``, ``low``, ``high``, ``n``, the mean over
        images with its 95 % BCa bootstrap interval.

    Raises:
        ShapeError: no DataArray (image, y, x).
        NotFiniteError: NaN or infinity in a map.

    Source: [chalasani2020]
    """
    values = np.sort(_sizes(heatmaps), axis=1)
    count = values.shape[1]
    # constant maps exactly 0: the weights cancel, their rounded products need not
    weights = (2 * np.arange(1, count + 1) - count - 1) / count
    score = np.where(np.ptp(values, axis=1) == 0, 0.0, values @ weights / values.sum(axis=1))
    return _report(heatmaps, score, metric="sparseness", better="higher")


@metrics.register(
    title="Entropy",
    source=("bhatt2020",),
    access="black box",
    returns="entropy of the map's absolute values as shares of their sum, in nats",
    feedback="number",
    better="lower",
    note="Called complexity in its paper. Says how short an explanation is, not whether it is right.",
)
def entropy(heatmaps: xr.DataArray) -> xr.Dataset:
    """Entropy of the absolute values as shares of their sum. Source: [bhatt2020].

    Args:
        heatmaps: (image, y, x) finite numbers.

    Returns:
        Dataset: ``score`` (image) in nats, from 0 (one pixel) to the logarithm of the number of pixels (a constant
        map), lower is simpler; ``value``, ``low``, ``high``, ``n`` as in :func:`sparseness`.

    Raises:
        ShapeError, NotFiniteError: as in :func:`sparseness`.
    """
    values = _sizes(heatmaps)
    shares = values / values.sum(axis=1, keepdims=True)
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    score = np.maximum(-np.einsum("ip,ip->i", shares, logarithms), 0)
    return _report(heatmaps, score, metric="entropy", better="lower")


@metrics.register(
    title="Effective complexity",
    source=("nguyen2020",),
    access="black box",
    returns="share of the pixels whose absolute value exceeds a share of the largest",
    feedback="number",
    better="lower",
    note="The paper asks how many features are needed for a wanted fidelity; here, as is common, how many count.",
    parameters={"threshold": ("float", 0.05, 0.0, 0.99)},
)
def effective_complexity(heatmaps: xr.DataArray, *, threshold: float = 0.05) -> xr.Dataset:
    """Share of the pixels that matter to the map: whose absolute value is above a share of the largest.

    The paper defines it by how many features are needed until the score is explained well enough; this is its common
    simplification, which needs no model.

    Args:
        heatmaps: (image, y, x) finite numbers.
        threshold: share of the map's largest absolute value, in [0, 1).

    Returns:
        Dataset: ``score`` (image) in (0, 1], lower is simpler; times the number of pixels it is a count. ``value``,
        ``low``, ``high``, ``n`` as in :func:`sparseness`.

    Raises:
        ShapeError, NotFiniteError: as in :func:`sparseness`.
        InputError: a threshold outside [0, 1).

    Source: [nguyen2020]
    """
    if not 0 <= threshold < 1:
        raise InputError(f"threshold is {threshold}; expected a share of the maximum in [0, 1).")
    values = _sizes(heatmaps)
    score = (values > threshold * values.max(axis=1, keepdims=True)).mean(axis=1)
    return _report(heatmaps, score, metric="effective_complexity", better="lower", threshold=threshold)


def _sizes(heatmaps: xr.DataArray) -> NDArray[np.float64]:
    """(image, pixel): absolute values, each map scaled to a maximum of 1; a map of zeros becomes one of ones."""
    values = check_array(ordered_maps(heatmaps).values, name="heatmaps", dims=(IMAGE, Y, X))
    sizes = np.abs(values.astype(np.float64)).reshape(len(values), -1)
    largest = sizes.max(axis=1, keepdims=True)
    return np.asarray(np.divide(sizes, largest, out=np.ones_like(sizes), where=largest > 0))


def _report(heatmaps: xr.DataArray, score: NDArray[np.float64], **facts: Any) -> xr.Dataset:
    coords = {name: coord for name, coord in heatmaps.coords.items() if set(coord.dims) <= {IMAGE}}
    scores = xr.Dataset({"score": (IMAGE, score)}, coords=coords)
    return summarised(scores, {**facts, **made_by(heatmaps)})
