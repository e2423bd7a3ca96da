"""How alike two maps of one image are, as the sanity checks measure it: by ranks, by structure, by edges.

Two maps that are both constant are alike entirely; a constant map and any other have nothing in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from workbench.arrays import IMAGE, X, Y, check_array
from workbench.errors import ShapeError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

MEASURES = ("spearman", "spearman_absolute", "ssim", "hog")
WINDOW = 7  # pixels of the window of SSIM
CELL = 16  # pixels of a cell of the histogram of gradients, as in [adebayo2018]
LEAST = 7  # pixels below which neither SSIM nor gradients can be taken


def map_similarity(first: Any, second: Any, *, measures: Sequence[str] = MEASURES) -> NDArray[np.float64]:
    """Similarity of pairs of maps.

    Args:
        first: (image, y, x) finite numbers.
        second: (image, y, x), the other map of each image.
        measures: of ``"spearman"`` (rank correlation), ``"spearman_absolute"`` (of absolute values), ``"ssim"``
            (structural similarity of the maps, each scaled to [0, 1]; windows of 7 pixels) and ``"hog"`` (Pearson
            correlation of histograms of oriented gradients; cells of 16 pixels, or a third of a smaller image).

    Returns:
        (image, measure) float64 in [-1, 1]; 1 where both are alike or both constant, 0 where one is constant.

    Raises:
        ShapeError: maps of different shapes, or smaller than 7 pixels for SSIM or gradients.
        NotFiniteError: NaN or infinity.
        UnknownNameError: an unknown measure.

    Source: [adebayo2018]
    """
    return compare(describe(first, measures=measures), describe(second, measures=measures))


@dataclass(frozen=True, eq=False)
class Described:
    """What maps are compared by, so that one can be compared with many; made by :func:`describe`.

    Attributes:
        maps: (image, y, x) float64.
        features: measure to (image, ...) float64, rows of zero mean and unit length where they are correlated.
    """

    maps: NDArray[np.float64]
    features: Mapping[str, NDArray[np.float64]]


def describe(maps: Any, *, measures: Sequence[str] = MEASURES) -> Described:
    """Prepare maps for comparison.

    Args:
        maps: (image, y, x) finite numbers.
        measures: as in :func:`map_similarity`.

    Returns:
        What they are compared by.

    Raises:
        ShapeError, NotFiniteError, UnknownNameError: as in :func:`map_similarity`.
    """
    for name in measures:
        if name not in MEASURES:
            raise unknown_name("measure of similarity", name, MEASURES)
    values = check_array(maps, name="maps", dims=(IMAGE, Y, X)).astype(np.float64)
    if min(values.shape[1:]) < LEAST and {"ssim", "hog"} & set(measures):
        raise ShapeError(
            f"maps are {values.shape[1]} x {values.shape[2]} pixels; SSIM and gradients need {LEAST} or more."
        )
    makers: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "spearman": _ranks,
        "spearman_absolute": lambda values: _ranks(np.abs(values)),
        "ssim": _scaled,
        "hog": _gradients,
    }
    return Described(values, {name: makers[name](values) for name in measures})


def compare(first: Described, second: Described) -> NDArray[np.float64]:
    """Similarity of pairs of maps that are described by the same measures.

    Args:
        first: one map of each image.
        second: the other.

    Returns:
        (image, measure) float64, as in :func:`map_similarity`.

    Raises:
        ShapeError: maps of different shapes.
    """
    if first.maps.shape != second.maps.shape:
        raise ShapeError(
            f"first has shape {first.maps.shape} and second {second.maps.shape}; expected maps of the same images."
        )
    flat = [np.ptp(described.maps, axis=(1, 2)) == 0 for described in (first, second)]
    equal = (first.maps == second.maps).all(axis=(1, 2))
    columns = []
    for name, features in first.features.items():
        if name == "ssim":
            found = _structure(features, second.features[name])
        else:
            found = np.clip(np.einsum("ip,ip->i", features, second.features[name]), -1, 1)
            # no edge that a histogram catches: the features are constant although the map is not
            still = ~(features.any(axis=1) & second.features[name].any(axis=1))
            found = np.where(still, equal.astype(np.float64), found)
        found = np.where(flat[0] & flat[1], 1.0, found)
        columns.append(np.where(flat[0] ^ flat[1], 0.0, found))
    return np.stack(columns, axis=1)


def _ranks(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    return _unit(rankdata(maps.reshape(len(maps), -1), axis=1))


def _gradients(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.feature import hog

    cell = max(min(CELL, min(maps.shape[1:]) // 3), 1)
    return _unit(np.asarray([hog(picture, pixels_per_cell=(cell, cell)) for picture in _scaled(maps)]))


def _unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows of zero mean and unit length; of zeros where they are constant."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    constant = np.ptp(rows, axis=1, keepdims=True) == 0
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=~constant))


def _structure(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.metrics import structural_similarity

    measure: Callable[..., Any] = structural_similarity
    pairs = zip(left, right, strict=True)
    return np.asarray([measure(one, other, data_range=1.0, win_size=WINDOW) for one, other in pairs], dtype=np.float64)


def _scaled(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each map from its minimum to its maximum onto [0, 1]; a constant one onto 0."""
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps - low, high - low, out=np.zeros_like(maps), where=high > low))
