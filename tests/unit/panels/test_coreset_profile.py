"""Features in the plane against their definition, and results on coresets against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError, NotFiniteError, ShapeError, UnknownNameError
from workbench.interpret import coreset
from workbench.panels import as_activations, coreset_map, coreset_units, project
from workbench.panels.coreset_comparison import category_number


def table(images: int = 40, units: int = 6, seed: int = 0) -> xr.DataArray:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(images, units)) * np.arange(1, units + 1)
    return xr.DataArray(values.astype(np.float32), dims=("image", "unit"))


@given(st.integers(0, 50), st.integers(3, 30), st.integers(2, 8))
def test_the_plane_is_that_of_the_singular_vectors(seed: int, images: int, units: int) -> None:
    features = table(images, units, seed)
    found = project(features)
    centred = features.values.astype(np.float64) - features.values.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :2] * values[:2]), atol=1e-3 * values[0])
    np.testing.assert_allclose(found["explained"], values[:2] ** 2 / (values**2).sum(), atol=1e-4)
    assert str(found["axis"].values[0]).startswith("principal component 1 (")


def test_the_means_of_categories_lie_in_their_own_plane() -> None:
    features, category = table(), np.arange(40) % 3
    found = project(features, method="means", category=category)
    means = np.stack([features.values[category == each].mean(axis=0) for each in range(3)])
    drawn = np.stack([found.values[category == each].mean(axis=0) for each in range(3)])
    for first in range(3):  # three means span a plane: it keeps their distances
        for second in range(3):
            np.testing.assert_allclose(
                np.linalg.norm(drawn[first] - drawn[second]), np.linalg.norm(means[first] - means[second]), rtol=1e-4
            )


def test_a_single_unit_gives_a_line() -> None:
    found = project(table(units=1))
    assert (found.values[:, 1] == 0).all()
    assert float(found["explained"][0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (lambda t: t * 0, {}, InputError, "they are one point"),
        (lambda t: t.where(t.image > 3), {}, NotFiniteError, "features"),
        (lambda t: t, {"method": "tsne"}, UnknownNameError, "projection 'tsne'"),
        (lambda t: t, {"method": "means"}, InputError, "needs the category"),
        (lambda t: t, {"method": "means", "category": np.arange(40) % 2}, InputError, "means of 2 categories"),
        (lambda t: t, {"method": "means", "category": np.arange(7)}, ShapeError, "7 categories for 40 images"),
    ],
)
def test_what_has_no_plane_is_refused(change: Any, options: Any, error: type[Exception], words: str) -> None:
    features = change(table().assign_coords(image=np.arange(40)))
    with pytest.raises(error, match=words):
        project(features, **options)


def test_the_map_says_what_was_chosen_in_which_order_and_for_whom() -> None:
    category = np.arange(40) % 2
    data = as_activations(table(), labels=category, categories=("even", "odd"))
    chosen = coreset.choose(data, selector="k_center_greedy", fraction=0.2, labels=category)
    result = coreset_map(data, chosen, labels=category)
    for place, index in enumerate(chosen.indices):
        assert bool(result["chosen"][index])
        assert int(result["order"][index]) == place
        assert float(result["stands_for"][index]) == chosen.weights[place]
    assert int(result["chosen"].sum()) == len(chosen)
    assert float(result["stands_for"].sum()) == 40
    np.testing.assert_array_equal(result["category"], category)
    assert (result.attrs["selector"], result.attrs["within"]) == ("k-centre greedy", "category")


def test_a_coreset_of_more_images_is_refused() -> None:
    chosen = coreset.choose(table(), selector="random", fraction=1.0)
    with pytest.raises(ShapeError, match="12 images, but the coreset points to image 39"):
        coreset_map(as_activations(table(12)), chosen, labels=None)
    with pytest.raises(ShapeError, match=r"expected \(image, axis\) of 40 images"):
        coreset_map(as_activations(table()), chosen, labels=None, positions=np.zeros((3, 2)))
    with pytest.raises(NotFiniteError):
        coreset_map(as_activations(table()), chosen, labels=None, positions=np.full((40, 2), np.nan))


def test_units_and_their_images_are_those_of_plain_loops() -> None:
    features, category = abs(table()), np.arange(40) % 3
    data = as_activations(features, labels=category, categories=("a", "b", "c"))
    chosen = coreset.choose(data, selector="random", fraction=0.3, labels=category, seed=1)
    found = coreset_units(data, chosen, category="b", labels="true", ranks=2, top=3)
    prepared = coreset.subject("relevant_units", data, labels="true")
    for number, some in enumerate((np.arange(40), np.sort(chosen.indices))):
        weights = prepared.interpret(some, None)[1]
        np.testing.assert_array_equal(found["weight"][number], weights)
        heaviest = sorted((unit for unit in range(6) if weights[unit] > 0), key=lambda unit: -weights[unit])[:2]
        assert [unit for unit in found["ranked"].values[number] if unit >= 0] == heaviest
        for rank, unit in enumerate(heaviest):
            best = sorted(some, key=lambda image: -features.values[image, unit])[:3]
            assert found["index"].values[number, rank].tolist() == best
            np.testing.assert_allclose(found["activation"][number, rank], features.values[best, unit])
            assert float(found["greatest"][number, rank]) == features.values[:, unit].max()
        assert int(found["images"][number]) == len(some)
        assert int(found["members"][number]) == (category[some] == 1).sum()


def test_few_images_leave_places_empty() -> None:
    category = np.arange(40) % 3
    data = as_activations(abs(table()), labels=category)
    chosen = coreset.choose(data, selector="random", count=3, labels=category)
    found = coreset_units(data, chosen, category=0, labels=category, top=5)
    assert (found["index"].sel(source="coreset").values[..., 3:] == -1).all()
    assert np.isnan(found["activation"].sel(source="coreset").values[..., 3:]).all()
    with pytest.raises(InputError, match="ranks is 0"):
        coreset_units(data, chosen, category=0, labels=category, ranks=0)


def test_categories_go_by_name_or_number() -> None:
    names = ["crane", "duck", "crane"]
    assert [category_number(each, names) for each in ("duck", 2, "0")] == [1, 2, 0]
    with pytest.raises(InputError, match="Several categories are called 'crane'"):
        category_number("crane", names)
    for wrong in ("goose", 3, "3"):
        with pytest.raises(UnknownNameError):
            category_number(wrong, names)


def test_features_become_activations() -> None:
    named = table(3).assign_coords(image=["x", "y", "z"]).assign_attrs(layer="conv").transpose("unit", "image")
    data = as_activations(named, labels=[0, 1, -1], categories=("a", "b"))
    assert data.layers == ("conv",)
    assert list(data.identifiers) == ["x", "y", "z"]
    np.testing.assert_array_equal(data.dataset("conv")["mean"], table(3))
    with pytest.raises(ShapeError, match="expected \\(image, unit\\)"):
        as_activations(table().rename(unit="x"))
