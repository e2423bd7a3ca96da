"""Drawings of whole results: an explanation, a unit, a histogram; and the data behind them as a file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import xarray as xr

from workbench import view
from workbench.errors import InputError, ShapeError
from workbench.view.explanation import shortened

RANDOM = np.random.default_rng(0)


def explained(**attributes: Any) -> xr.Dataset:
    heat = RANDOM.normal(size=(2, 8, 8)).astype(np.float32)
    return xr.Dataset(
        {"heatmap": (("explainer", "y", "x"), heat), "picture": (("y", "x", "channel"), np.full((8, 8, 3), 0.5))},
        coords={"explainer": ["Occlusion", "Saliency"], "units": ("explainer", ["drop", "slope"])},
        attrs={"image": "scene-1", "target": "house", **attributes},
    )


def profiled(**attributes: Any) -> xr.Dataset:
    return xr.Dataset(
        {
            "maps": (("top", "y", "x"), np.abs(RANDOM.normal(size=(5, 4, 4)))),
            "pictures": (("top", "row", "column", "channel"), RANDOM.random((5, 16, 16, 3))),
            "greatest": ("image", np.arange(20.0)),
            "chosen": ("image", np.arange(20) % 2 == 0),
        },
        coords={"title": ("top", list("abcde"))},
        attrs={"layer": "layer3", "unit": 12, "category": "house", **attributes},
    )


def test_an_explanation_shows_the_picture_and_each_method_with_its_unit() -> None:
    picture = view.explanation(explained())
    titles = [axes.get_title(loc="left") for axes in picture.figure.axes]
    assert titles[:3] == ["scene-1", "Occlusion: house", "Saliency: house"]
    assert [axes.get_ylabel() for axes in picture.figure.axes[3:]] == ["drop", "slope"]
    assert "2 heatmaps" in picture.alt
    assert "Occlusion for house: Values from" in picture.alt


def test_what_is_not_computed_yet_is_bare_and_said() -> None:
    partial = explained(complete=0)
    partial["heatmap"][0, :4] = np.nan
    picture = view.explanation(partial)
    assert picture.figure.axes[1].patches[:] == []
    assert not picture.figure.legends
    assert "not complete" in picture.alt
    assert view.explanation(partial.assign_attrs(complete=1)).figure.axes[1].patches[:] != []


def test_a_result_without_its_parts_is_refused() -> None:
    with pytest.raises(InputError, match="no variable 'heatmap'"):
        view.explanation(explained().drop_vars("heatmap"))
    with pytest.raises(InputError, match="no variable 'greatest'"):
        view.unit_profile(profiled().drop_vars("greatest"))


def test_a_long_name_keeps_both_ends() -> None:
    name = shortened("scenes-object-seed-2026-image-000012", 20)
    assert len(name) == 20
    assert name.startswith("scenes-obj")
    assert name.endswith("000012")


def test_a_unit_sheet_has_one_scale_and_names_the_peaks() -> None:
    maps = np.zeros((2, 4, 4))
    maps[0, 0, 3], maps[1, 3, 0] = 5, 3
    picture = view.unit_sheet(maps, np.zeros((2, 16, 16, 3)), name="unit 1 of layer2", titles=["a", "b"])
    assert picture.figure.axes[-1].get_ylim() == (0, 5)
    assert "a: 5 in the upper right; b: 3 in the lower left" in picture.alt


def test_a_unit_that_can_be_negative_gets_a_centred_scale() -> None:
    picture = view.unit_sheet(np.array([[[-1.0, 2.0]]]), np.zeros((1, 8, 16, 3)))
    assert picture.figure.axes[-1].get_ylim() == (-2, 2)


def test_a_linear_unit_is_one_cell() -> None:
    assert "a: 4." in view.unit_sheet(np.full((1, 1, 1), 4.0), np.zeros((1, 8, 8, 3)), titles=["a"]).alt


def test_a_profile_has_both_drawings() -> None:
    picture = view.unit_profile(profiled(), contour=0.1, interpolation="bilinear")
    assert "Unit 12 of layer3: the 5 images" in picture.alt
    assert "In front, house: 10 images" in picture.alt
    assert "The mark 'top 5' lies at 15." in picture.alt


def test_a_histogram_counts_every_value() -> None:
    values = np.array([0.0, 0.0, 1.0, 2.0, np.nan, np.inf])
    picture = view.histogram(values, unit="activation", counted="images", bins=4, part=values == 0, part_name="none")
    axes = picture.figure.axes[0]
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == [2, 0, 1, 1, 2, 0, 0, 0]
    assert axes.get_xlabel() == "activation; 2 values NaN or infinite, not drawn"
    assert axes.get_ylabel() == "images"
    assert "33 % are exactly 0" not in picture.alt
    assert "50 % are exactly 0" in picture.alt


def test_a_histogram_without_a_number_says_so() -> None:
    picture = view.histogram([np.nan], unit="activation")
    assert picture.figure.axes[0].texts[0].get_text() == "no finite value"


def test_bad_histograms_are_refused() -> None:
    with pytest.raises(ShapeError, match="no values"):
        view.histogram([], unit="a")
    with pytest.raises(ShapeError, match=r"part has shape \(1,\)"):
        view.histogram([1.0, 2.0], unit="a", part=[True])
    with pytest.raises(InputError, match="bins is 0"):
        view.histogram([1.0], unit="a", bins=0)


def test_the_data_behind_a_picture_can_be_opened_again() -> None:
    result = profiled(nested={"a": [1, 2]}, absent=None, finished=True)
    content = view.netcdf(result)
    with xr.open_dataset(io.BytesIO(content), engine="h5netcdf") as opened:
        assert np.array_equal(opened["maps"], result["maps"])
        assert opened["chosen"].dtype == np.int8
        assert np.array_equal(opened["chosen"], result["chosen"])
        assert opened["title"].values.tolist() == list("abcde")
        assert opened.attrs["nested"] == '{"a": [1, 2]}'
        assert opened.attrs["finished"] == 1
        assert "absent" not in opened.attrs
    assert result["chosen"].dtype == bool, "the result itself is as it was"


def test_one_array_is_saved_under_its_name() -> None:
    heat = xr.DataArray(np.ones((2, 2)), dims=("y", "x"), name="occlusion", attrs={"method": "occlusion"})
    with xr.open_dataset(io.BytesIO(view.netcdf(heat)), engine="h5netcdf") as opened:
        assert opened["occlusion"].attrs["method"] == "occlusion"
