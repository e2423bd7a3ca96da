"""How alike two maps of one image are, as the sanity checks measure it: by ranks, by structure, by edges.

Two maps that are both constant are alike entirely; a constant map and any other have nothing in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arrays import IMAGE, X, Y, check_array
from workbench.errors import ShapeError, unknown_name
from workbench.stats import spearman

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    for name in measures:
        if name not in MEASURES:
            raise unknown_name("measure of similarity", name, MEASURES)
    left, right = (
        check_array(maps, name=name, dims=(IMAGE, Y, X)).astype(np.float64)
        for maps, name in ((first, "first"), (second, "second"))
    )
    if left.shape != right.shape:
        raise ShapeError(f"first has shape {left.shape} and second {right.shape}; expected maps of the same images.")
    if min(left.shape[1:]) < LEAST and {"ssim", "hog"} & set(measures):
        raise ShapeError(f"maps are {left.shape[1]} x {left.shape[2]} pixels; SSIM and gradients need {LEAST} or more.")
    compare = {
        "spearman": lambda: _ranks(left, right),
        "spearman_absolute": lambda: _ranks(np.abs(left), np.abs(right)),
        "ssim": lambda: _structure(left, right),
        "hog": lambda: _gradients(left, right),
    }
    return np.stack([compare[name]() for name in measures], axis=1)


def _ranks(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    found = spearman(left.reshape(len(left), -1), right.reshape(len(right), -1))
    return _settled(found, left, right)


def _structure(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.metrics import structural_similarity

    pairs = zip(_scaled(left), _scaled(right), strict=True)
    compare: Callable[..., Any] = structural_similarity
    found = [compare(one, other, data_range=1.0, win_size=WINDOW) for one, other in pairs]
    return _settled(np.asarray(found, dtype=np.float64), left, right)


def _gradients(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.feature import hog

    cell = max(min(CELL, min(left.shape[1:]) // 3), 1)

    def features(maps: NDArray[np.float64]) -> NDArray[np.float64]:
        found = [hog(picture, pixels_per_cell=(cell, cell)) for picture in _scaled(maps)]
        rows = np.asarray(found, dtype=np.float64)
        return np.asarray(rows - rows.mean(axis=1, keepdims=True))

    one, other = features(left), features(right)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    found = np.full(len(left), np.nan)
    np.divide((one * other).sum(axis=1), norms, out=found, where=norms > 0)
    return np.asarray(np.clip(_settled(found, left, right), -1, 1))


def _scaled(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each map from its minimum to its maximum onto [0, 1]; a constant one onto 0."""
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps - low, high - low, out=np.zeros_like(maps), where=high > low))


def _settled(found: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = [np.ptp(maps, axis=(1, 2)) == 0 for maps in (left, right)]
    found = np.where(flat[0] & flat[1], 1.0, found)
    found = np.where(flat[0] ^ flat[1], 0.0, found)
    # edges that no histogram catches: the features are constant although the map is not
    return np.where(np.isnan(found), (left == right).all(axis=(1, 2)).astype(np.float64), found)
