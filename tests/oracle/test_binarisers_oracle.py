"""Each binariser, which takes all maps at once, against scikit-image, scikit-learn or a loop, one map at a time."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from skimage import filters
from sklearn.cluster import KMeans

from workbench import evaluate

SIZE = 18
PEERS = {
    "otsu": filters.threshold_otsu,
    "li": filters.threshold_li,
    "yen": filters.threshold_yen,
    "triangle": filters.threshold_triangle,
    "mean": filters.threshold_mean,
}


def pictures() -> np.ndarray:
    """Smooth, noisy, sparse, stepped and skewed maps, none constant."""
    generator = np.random.default_rng(5)
    smooth = generator.normal(size=(20, SIZE, SIZE)).cumsum(1).cumsum(2)
    noise = generator.uniform(size=(20, SIZE, SIZE)) * 1e-6
    stepped = generator.integers(0, 5, size=(20, SIZE, SIZE)).astype(float)
    skewed = generator.exponential(size=(20, SIZE, SIZE)) ** 4
    sparse = np.where(generator.uniform(size=(20, SIZE, SIZE)) < 0.03, generator.uniform(size=(20, SIZE, SIZE)), 0)
    sparse[:, 0, 0] = 0.7
    return np.maximum(np.concatenate([smooth, noise, stepped, skewed, sparse]), 0)


def chosen(values: np.ndarray, method: str, **options) -> np.ndarray:
    maps = xr.DataArray(values, dims=("image", "y", "x"))
    return evaluate.binarise(maps, method=method, **options).values


@pytest.mark.parametrize("method", list(PEERS))
def test_scikit_image_chooses_the_same_pixels(method):
    values = pictures()
    expected = np.stack([picture > PEERS[method](picture) for picture in values])
    np.testing.assert_array_equal(chosen(values, method), expected)


def test_the_threshold_of_scikit_image_is_the_last_value_that_is_not_chosen():
    values = pictures()[:20]
    maps = evaluate.binarise(xr.DataArray(values, dims=("image", "y", "x")), method="otsu")
    expected = [filters.threshold_otsu(picture) for picture in values]
    np.testing.assert_allclose(maps["threshold"], expected, rtol=1e-12)


def test_a_fraction_of_the_maximum_and_mean_plus_deviations():
    for picture, half, above in zip(
        pictures(),
        chosen(pictures(), "fraction(fraction=0.3)"),
        chosen(pictures(), "mean_deviations(deviations=1.5)"),
        strict=True,
    ):
        np.testing.assert_array_equal(half, picture >= 0.3 * picture.max())
        np.testing.assert_array_equal(above, picture > picture.mean() + 1.5 * picture.std())


def test_a_percentile_chooses_that_share_of_each_map():
    values = np.random.default_rng(0).permuted(np.arange(1.0, SIZE * SIZE + 1).reshape(1, -1).repeat(6, 0), axis=1)
    found = chosen(values.reshape(6, SIZE, SIZE), "percentile(share=0.25)")
    np.testing.assert_array_equal(found.sum(axis=(1, 2)), np.full(6, SIZE * SIZE // 4))


def test_the_quantile_of_the_dataset_is_one_a_unit():
    values = np.random.default_rng(1).exponential(size=(30, 3, SIZE, SIZE))
    values[:, 2] *= 100
    found = evaluate.binarise(
        xr.DataArray(values, dims=("image", "unit", "y", "x")), method="dataset_quantile(share=0.01)"
    )
    for unit in range(3):
        threshold = np.quantile(values[:, unit], 0.99)
        np.testing.assert_array_equal(found[:, unit], values[:, unit] > threshold)


def test_two_means_is_at_least_as_good_as_k_means():
    for picture, found in zip(pictures()[::4], chosen(pictures()[::4], "two_means"), strict=True):
        flat = picture.reshape(-1, 1)
        clusters = [flat[found.ravel()], flat[~found.ravel()]]
        cost = sum(((cluster - cluster.mean()) ** 2).sum() for cluster in clusters)
        peer = KMeans(n_clusters=2, n_init=5, random_state=0).fit(flat).inertia_
        assert cost <= peer * (1 + 1e-9)


def test_two_means_against_every_split():
    generator = np.random.default_rng(2)
    for _ in range(20):
        values = np.sort(generator.integers(0, 9, size=12).astype(float))
        costs = {
            start: values[start:].var() * len(values[start:]) + values[:start].var() * start
            for start in range(1, 12)
            if values[start] > values[start - 1]
        }
        best = min(costs.values())
        found = chosen(values.reshape(1, 3, 4), "two_means")
        assert costs[12 - int(found.sum())] == pytest.approx(best)


def test_area_matched_chooses_as_many_pixels_as_the_part_has():
    values = np.random.default_rng(3).uniform(size=(8, SIZE, SIZE))
    masks = np.random.default_rng(4).uniform(size=values.shape) < 0.2
    masks[3] = False
    dims = ("image", "y", "x")
    found = evaluate.binarise(
        xr.DataArray(values, dims=dims), method="area_matched", masks=xr.DataArray(masks, dims=dims)
    )
    for picture, mask, result in zip(values, masks, found.values, strict=True):
        highest = np.argsort(picture.ravel())[::-1][: mask.sum()]
        expected = np.zeros(picture.size, dtype=bool)
        expected[highest] = True
        np.testing.assert_array_equal(result.ravel(), expected)
