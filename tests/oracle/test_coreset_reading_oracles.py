"""What methods read, against loops over positions and patches; and what a coreset that matches it gives."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from workbench import interpret
from workbench.interpret import coreset


@pytest.fixture
def store():
    maps = np.maximum(np.random.default_rng(0).normal(size=(7, 5, 3, 4)), 0).astype(np.float32)
    return interpret.MemoryActivations({"layer": xr.DataArray(maps, dims=("image", "unit", "y", "x"))})


def products(matrices: list[np.ndarray]) -> np.ndarray:
    """(image, image) scalar products of matrices."""
    return np.array([[(one * other).sum() for other in matrices] for one in matrices])


def test_concepts_read_the_second_moment_of_positions(store):
    maps = store.maps["layer"].values.astype(float)
    expected = []
    for image in maps:
        total = np.zeros((5, 5))
        for y in range(3):
            for x in range(4):
                here = image[:, y, x]
                if here.any():
                    total += np.outer(here, here) / np.linalg.norm(here)
        expected.append(total)
    read = coreset.reading(store, "concepts").values.astype(float)
    np.testing.assert_allclose(read @ read.T, products(expected), rtol=1e-4)


def test_relevant_units_read_norms_and_their_products(store):
    x = np.sqrt((store.maps["layer"].values.astype(float) ** 2).sum(axis=(2, 3)))
    x /= np.sqrt((x**2).sum(axis=1).mean())
    read = coreset.reading(store, "relevant_units")
    leading = int(read.attrs["leading"])
    assert leading == 10
    np.testing.assert_allclose(read[:, :5], store.maps["layer"].mean(("y", "x")), rtol=1e-5)
    np.testing.assert_allclose(read[:, 5:10], store.maps["layer"].max(("y", "x")), rtol=1e-5)
    rest = read.values[:, leading:].astype(float)
    np.testing.assert_allclose(rest @ rest.T, (x @ x.T) + (x @ x.T) ** 2, rtol=1e-4)


def test_rules_read_pairs_that_fire_together(store):
    heat = xr.DataArray(np.random.default_rng(1).uniform(size=(7, 12, 16)), dims=("image", "y", "x"))
    patches = interpret.explained_patches(heat, size=4, most=3)
    activity = interpret.patch_activity(store, patches).values
    pairs = [np.zeros((5, 5)) for _ in range(7)]
    for row, image in zip(activity, patches["image_index"].values, strict=True):
        fired = np.zeros(5)
        fired[[unit for unit in np.argsort(-row, kind="stable")[:2] if row[unit] > 0]] = 1
        pairs[image] += np.outer(fired, fired)
    read = coreset.reading(store, "rules", patches=patches, top_units=2).values.astype(float)
    np.testing.assert_allclose(read @ read.T, products(pairs), rtol=1e-5)


def test_dissection_reads_maxima_and_areas_beyond_quantiles(store):
    maps = store.maps["layer"].values
    read = coreset.reading(store, "dissect").values
    np.testing.assert_array_equal(read[:, :5], maps.max(axis=(2, 3)))
    for place, quantile in enumerate((0.98, 0.99, 0.995, 0.998)):
        for unit in range(5):
            cut = np.float32(np.quantile(maps[:, unit].astype(float), quantile))
            area = (maps[:, unit] > cut).mean(axis=(1, 2))
            spread = area.std() or 1.0
            np.testing.assert_allclose(read[:, 5 * (1 + place) + unit], area / spread, rtol=1e-3)


def test_whole_numbers_of_copies_give_back_what_all_images_give():
    # every image four times: a quarter of them holds all there is to read
    maps = np.maximum(np.random.default_rng(2).normal(size=(12, 6, 3, 3)), 0).astype(np.float32)
    many = interpret.MemoryActivations(
        {"layer": xr.DataArray(np.repeat(maps, 4, axis=0), dims=("image", "unit", "y", "x"))}
    )
    read = coreset.reading(many, "concepts")
    found = coreset.choose(read, selector="target_aware", count=12)
    whole = read.values.mean(axis=0)
    error = np.linalg.norm(read.values[found.indices].mean(axis=0) - whole) / np.linalg.norm(whole)
    assert error < 0.06  # an image alone is ten times as far
    alone = np.linalg.norm(read.values - whole, axis=1) / np.linalg.norm(whole)
    assert error < 0.15 * alone.mean()
