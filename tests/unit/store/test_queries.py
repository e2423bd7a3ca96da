"""Questions to a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest

from workbench.errors import DtypeError, InputError, UnknownNameError
from workbench.store import ActivationStore


@pytest.fixture(scope="module")
def store(reference: Path) -> ActivationStore:
    return ActivationStore.open(reference)


def test_properties(store: ActivationStore) -> None:
    assert store.layers == {"1": (8, 11, 11), "3": (12, 5, 5), "6": (5,)}
    assert store.categories == store.label_categories == ("ant", "bee", "cow", "dog", "eel")
    assert store.labels is not None
    assert store.labels.dims == store.predicted.dims == ("image",)
    assert store.logits.dims == ("image", "category")
    np.testing.assert_array_equal(store.logits.argmax("category"), store.predicted)
    assert "22 images" in repr(store)
    assert store.missing == ()


def test_top_images(store: ActivationStore) -> None:
    top = store.top_images("3", 2, 4)
    highest = store.dataset("3")["max"].isel(unit=2)
    assert list(top["max"].values) == sorted(highest.values, reverse=True)[:4]
    for rank in range(4):
        name = str(top["image"].values[rank])
        assert store.identifiers[int(top["index"].values[rank])] == name
        shown = top["maps"].isel(image=rank).values
        np.testing.assert_array_equal(shown, store.image_maps("3", name).isel(unit=2))
        assert shown[int(top["argmax_y"][rank]), int(top["argmax_x"][rank])] == top["max"][rank]
    assert store.top_images("3", 2, 100).sizes["image"] == 22
    by_mean = store.top_images("6", 1, 3, by="mean")
    assert (np.diff(by_mean["mean"].values) <= 0).all()


def test_unit_map_and_image_maps_are_views_of_the_same_numbers(store: ActivationStore) -> None:
    maps = store.dataset("1")["maps"].values
    np.testing.assert_array_equal(store.unit_map("1", 5), maps[:, 5])
    np.testing.assert_array_equal(store.unit_map("1", 5, images=["7", "3"]), maps[[7, 3], 5])
    np.testing.assert_array_equal(store.unit_map("1", 5, images=np.arange(22) % 2 == 0), maps[::2, 5])
    np.testing.assert_array_equal(store.image_maps("1", 4), maps[4])
    np.testing.assert_array_equal(store.image_maps("1", "4"), maps[4])
    assert store.unit_map("1", 5).attrs["layer"] == "1"


def test_select_is_lazy(store: ActivationStore) -> None:
    part = store.select("3", units=[4, 1], label="bee")
    assert isinstance(part["maps"].data, dask.array.Array)
    assert list(part["unit"].values) == [4, 1]
    assert set(part["label"].values) == {1}
    whole = store.dataset("3")["maps"].values
    np.testing.assert_array_equal(part["maps"].compute(), whole[[1, 6, 11, 16, 21]][:, [4, 1]])
    chosen = store.select("3", images=[9, 2])
    np.testing.assert_array_equal(chosen["maps"].compute(), whole[[9, 2]])
    code = int(store.predicted.values[0])
    predicted = store.select("3", predicted=store.categories[code])
    assert set(predicted["predicted"].values) == {code}
    mean = store.select("3")["maps"].astype("float64").mean(("image", "y", "x"))
    np.testing.assert_allclose(mean.compute(), whole.astype("float64").mean((0, 2, 3)))


def test_indexing_of_every_kind(store: ActivationStore) -> None:
    whole = store.dataset("3")["maps"].values
    lazy = store.dataset("3")["maps"]
    np.testing.assert_array_equal(lazy[::-2, [3, 1], 2], whole[::-2][:, [3, 1], 2])
    np.testing.assert_array_equal(lazy.sel(image=["4", "2"], unit=slice(2, 5)), whole[[4, 2], 2:6])
    np.testing.assert_array_equal(lazy[-1], whole[-1])


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda store: store.dataset("9"), UnknownNameError, "Unknown layer '9'"),
        (lambda store: store.top_images("3", 12), InputError, "units 0 to 11; unit 12"),
        (lambda store: store.top_images("3", -1), InputError, "unit -1"),
        (lambda store: store.top_images("3", 1.5), DtypeError, "unit is 1.5"),
        (lambda store: store.top_images("3", 1, 0), InputError, "k is 0"),
        (lambda store: store.top_images("3", 1, by="median"), UnknownNameError, "Unknown ranking 'median'"),
        (lambda store: store.image_maps("3", "x"), UnknownNameError, "Unknown image 'x'"),
        (lambda store: store.image_maps("3", 22), InputError, "image 22 does not exist"),
        (lambda store: store.unit_map("3", 1, images=[True]), InputError, "one entry an image"),
        (lambda store: store.unit_map("3", 1, images=[0.5]), DtypeError, "float64"),
        (lambda store: store.quantile("3", 1.5), InputError, "q is 1.5"),
        (lambda store: store.quantile("3", []), InputError, r"q is \[\]"),
        (lambda store: store.select("3", label="fox"), UnknownNameError, "category of the labels"),
        (lambda store: store.select("3", predicted=7), InputError, "Category 7 of the model"),
        (lambda store: store.select("3", units=[99]), InputError, "unit 99"),
    ],
)
def test_bad_questions(ask: Any, error: type[Exception], message: str, store: ActivationStore) -> None:
    with pytest.raises(error, match=message):
        ask(store)
