"""Coresets: what holds for every selector, shares by category, coresets as image sources, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench import interpret
from workbench.data import ImageSource, as_source
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError, UnknownNameError
from workbench.interpret import coreset

ALL = (
    "random",
    "moderate",
    "herding",
    "k_center_greedy",
    "k_medoids",
    "facility_location",
    "d2",
    "kernel_herding",
    "target_aware",
)


def table(values) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype=np.float32), dims=("image", "unit"))


def test_all_selectors_are_registered():
    assert set(coreset.selectors) >= set(ALL)
    for name in ALL:
        assert coreset.selectors[name].card.feedback == "exemplars"


@given(st.sampled_from(ALL), st.integers(1, 40), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_what_holds_for_every_selector(selector, images, fraction, seed):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(images + 1, 3)).round(1)  # with copies now and then
    if np.ptp(features, axis=0).max() == 0:
        return
    found = coreset.choose(table(features), selector=selector, fraction=fraction, seed=seed)
    assert len(found) == max(1, round(fraction * (images + 1)))
    assert len(set(found.indices.tolist())) == len(found)
    assert found.indices.min() >= 0
    assert found.indices.max() <= images
    assert found.weights.sum() == pytest.approx(images + 1)
    again = coreset.choose(table(features), selector=selector, fraction=fraction, seed=seed)
    np.testing.assert_array_equal(found.indices, again.indices)


@pytest.mark.parametrize("selector", ALL)
def test_each_category_gets_its_share(planted, selector):
    found = coreset.choose(planted.store, selector=selector, fraction=0.2, labels="true")
    sizes = np.bincount(planted.labels)
    np.testing.assert_array_equal(np.bincount(planted.labels[found.indices]), np.round(0.2 * sizes))
    np.testing.assert_array_equal(found.labels, planted.labels[found.indices])
    for category in range(3):
        assert found.weights[found.labels == category].sum() == pytest.approx(sizes[category])


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_a_count_is_met_exactly(sizes, data):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    count = data.draw(st.integers(len(sizes), len(labels)))
    features = table(np.random.default_rng(0).normal(size=(len(labels), 2)))
    if len(labels) < 2:
        return
    found = coreset.choose(features, selector="random", count=count, labels=labels)
    assert len(found) == count
    assert set(labels[found.indices]) == set(labels)


@pytest.mark.parametrize("selector", ["k_center_greedy", "k_medoids", "facility_location"])
def test_spread_out_selectors_find_every_cluster(selector):
    generator = np.random.default_rng(0)
    sizes = (300, 40, 5)
    features = np.concatenate([generator.normal(index * 20, 1, size=(size, 4)) for index, size in enumerate(sizes)])
    found = coreset.choose(table(features), selector=selector, count=12)
    assert set(np.repeat([0, 1, 2], sizes)[found.indices]) == {0, 1, 2}


def test_means_and_maxima_side_by_side(planted):
    both = coreset.pooled_features(planted.store, pool="both")
    maps = planted.store.maps["activation"]
    np.testing.assert_allclose(both[:, :16], maps.mean(("y", "x")), atol=1e-6)
    np.testing.assert_allclose(both[:, 16:], maps.max(("y", "x")), atol=1e-6)


@pytest.mark.parametrize("pool", ["mean", "max", "both"])
def test_features_of_a_pass_are_those_of_a_store(planted, pool):
    passed = coreset.features_of(planted.model, planted.pictures, layer="activation", pool=pool, batch_size=50)
    stored = coreset.pooled_features(planted.store, pool=pool)
    np.testing.assert_allclose(passed, stored, atol=1e-6)
    assert list(passed["image"].values) == list(stored["image"].values)
    linear = coreset.features_of(planted.model, planted.pictures, layer="readout", pool="mean")
    np.testing.assert_allclose(linear, planted.store.logits, atol=1e-5)


def test_unlabelled_images_are_never_chosen(planted):
    labels = planted.labels.copy()
    labels[:60] = -1
    found = coreset.choose(interpret.coreset.pooled_features(planted.store), fraction=1.0, labels=labels)
    assert found.indices.min() >= 60
    assert len(found) == 60


def test_a_coreset_is_an_image_source(planted):
    found = coreset.choose(planted.store, count=10, labels="true", images=planted.pictures)
    assert isinstance(found, ImageSource)
    assert as_source(found) is found
    assert list(found.identifiers) == [f"picture 0-{index}" for index in found.indices]
    np.testing.assert_array_equal(found[3].image, as_source(planted.pictures)[int(found.indices[3])].image)
    store = interpret.observe(planted.model, found, layers="activation")
    np.testing.assert_allclose(store.maps["activation"], planted.store.maps["activation"][found.indices], atol=1e-5)


def test_a_coreset_of_features_asks_for_its_pictures(planted):
    found = coreset.choose(planted.store, count=10)
    with pytest.raises(InputError, match="with_images"):
        found[0]
    assert len(found.with_images(planted.pictures)[0].image) == 16
    with pytest.raises(ShapeError, match="points to"):
        found.with_images(planted.pictures.isel(image=slice(3)))


def test_a_coreset_can_be_saved(planted, tmp_path):
    found = coreset.choose(planted.store, count=10, labels="true", selector="d2", gamma=0.5)
    found.to_dataset().to_zarr(tmp_path / "coreset.zarr", consolidated=False)
    opened = xr.open_zarr(tmp_path / "coreset.zarr", consolidated=False)
    np.testing.assert_array_equal(opened["index"], found.indices)
    np.testing.assert_array_equal(opened["label"], found.labels)
    assert opened.attrs["selector"] == "d2"
    assert '"gamma": 0.5' in opened.attrs["parameters"]
    assert opened.attrs["model"] == "planted"


def test_bad_input_is_named(planted):
    features = coreset.pooled_features(planted.store)
    for fraction in (0, -0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="fraction is"):
            coreset.choose(features, fraction=fraction)
    with pytest.raises(InputError, match="121 images are asked for; there are 120"):
        coreset.choose(features, count=121)
    with pytest.raises(InputError, match="3 categories"):
        coreset.choose(features, count=2, labels=planted.labels)
    with pytest.raises(InputError, match="give one of them"):
        coreset.choose(features)
    with pytest.raises(InputError, match="give one of them"):
        coreset.choose(features, count=3, fraction=0.1)
    with pytest.raises(InputError, match="same features"):
        coreset.choose(features * 0 + 1, count=3)
    broken = features.copy()
    broken[4, 2] = np.nan
    with pytest.raises(NotFiniteError, match="'picture 0-4'"):
        coreset.choose(broken, count=3)
    with pytest.raises(UnknownNameError, match="k_medoids"):
        coreset.choose(features, count=3, selector="k_medoid")
    with pytest.raises(InputError, match="only a store knows"):
        coreset.choose(features, count=3, labels="true")
    with pytest.raises(ShapeError, match="2 labels"):
        coreset.choose(features, count=3, labels=[0, 1])
    with pytest.raises(DtypeError, match="labels"):
        coreset.choose(features, count=3, labels=planted.labels / 2)
    with pytest.raises(InputError, match="no image has a label"):
        coreset.choose(features, count=3, labels=planted.labels * 0 - 1)
    unlabelled = interpret.MemoryActivations(planted.store.maps)
    with pytest.raises(InputError, match="no true labels"):
        coreset.choose(unlabelled, count=3, labels="true")
    with pytest.raises(InputError, match="pool is 'sum'"):
        coreset.choose(planted.store, count=3, pool="sum")
    with pytest.raises(InputError, match="pool is 'sum'"):
        coreset.features_of(planted.model, planted.pictures, layer="activation", pool="sum")
    with pytest.raises(UnknownNameError, match="activation"):
        coreset.features_of(planted.model, planted.pictures, layer="activatio")
    with pytest.raises(ShapeError, match="image, unit"):
        coreset.choose(features.rename(unit="feature"), count=3)
