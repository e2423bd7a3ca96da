"""Heatmaps tell the truth: centred colours, marks for what is no number, units on the colour bar."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.collections import LineCollection
from matplotlib.patches import PathPatch
from PIL import Image

from workbench import view
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError
from workbench.view.axes import _cells, _outline
from workbench.view.words import describe_map

PICTURE = np.full((16, 16, 3), 0.5, np.float32)


def heat() -> np.ndarray:
    values = np.zeros((16, 16), np.float32)
    values[2:6, 10:14] = 2
    values[12, 3] = -1
    return values


def colour(picture: view.Picture, row: float, column: float) -> np.ndarray:
    """The colour that is drawn at a cell of the first map."""
    picture.figure.draw_without_rendering()
    axes = picture.figure.axes[0]
    x, y = axes.transData.transform((column, row))
    with Image.open(io.BytesIO(picture.png(dpi=picture.figure.dpi))) as image:
        pixels = np.asarray(image.convert("RGB"), float)
    return pixels[round(pixels.shape[0] - y), round(x)]


def test_red_is_for_blue_against_and_white_neither() -> None:
    picture = view.heatmap(heat())
    red, blue, white = colour(picture, 4, 12), colour(picture, 12, 3), colour(picture, 8, 8)
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert white.min() > 240


def test_the_colour_bar_is_centred_and_has_the_unit() -> None:
    bar = view.heatmap(heat(), PICTURE, unit="drop of the logit").figure.axes[-1]
    assert bar.get_ylabel() == "drop of the logit"
    assert bar.get_ylim() == (-2, 2)


def test_title_and_unit_come_from_the_attributes() -> None:
    values = xr.DataArray(heat(), dims=("y", "x"), attrs={"method": "occlusion", "score": "logit"})
    picture = view.heatmap(values)
    assert picture.figure.axes[0].get_title(loc="left") == "occlusion"
    assert picture.figure.axes[-1].get_ylabel() == "evidence (logit)"
    assert view.heatmap(values.expand_dims("image")).alt == picture.alt


def test_nan_and_infinity_are_hatched_and_named() -> None:
    values = heat()
    values[0, :3], values[15, 15], values[15, 0] = np.nan, np.inf, -np.inf
    picture = view.heatmap(values, PICTURE)
    hatches = {patch.get_hatch() for patch in picture.figure.axes[0].patches if isinstance(patch, PathPatch)}
    assert len(hatches) == 3
    legend = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert legend == ["3 NaN", "1 +∞", "1 \N{MINUS SIGN}∞"]
    assert "3 NaN, 1 +∞, 1 \N{MINUS SIGN}∞" in picture.alt


def test_clipped_values_are_drawn_as_clipped() -> None:
    picture = view.heatmap(heat(), limit=1.5)
    assert picture.figure.axes[-1].get_ylim() == (-1.5, 1.5)
    red, green, blue = colour(picture, 4, 12)
    assert red > 240
    assert 150 < green < 200
    assert blue < 30
    assert "6 % above the scale" in picture.alt


def test_the_words_say_where() -> None:
    alt = view.heatmap(heat(), PICTURE, title="Occlusion: house", unit="logit").alt
    assert "Occlusion: house" in alt
    assert "from \N{MINUS SIGN}1 to 2 (logit)" in alt
    assert "highest lies in the upper centre (x 10, y 2)" in alt
    assert "lowest lies in the lower left (x 3, y 12)" in alt
    assert "Half of the positive sum lies in 3 % of the area" in alt


@settings(max_examples=60)
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(width=32)))
def test_there_are_words_for_any_map(values: np.ndarray) -> None:
    assert describe_map(values, "logit").endswith(".")


@given(arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_an_outline_has_one_segment_an_edge(mask: np.ndarray) -> None:
    edges = 0
    for row in range(-1, mask.shape[0]):
        for column in range(-1, mask.shape[1]):

            def inside(r: int, c: int) -> bool:
                return 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1] and bool(mask[r, c])

            edges += inside(row, column) != inside(row, column + 1)
            edges += inside(row, column) != inside(row + 1, column)
    assert len(_outline(mask)) == edges


@given(arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_marked_cells_are_those_of_the_mask(mask: np.ndarray) -> None:
    if not mask.any():
        return
    path = _cells(mask)
    rows, columns = np.indices(mask.shape)
    found = path.contains_points(np.stack([columns.ravel(), rows.ravel()], axis=1)).reshape(mask.shape)
    assert np.array_equal(found, mask)


def test_the_contour_encloses_the_highest_share() -> None:
    (lines,) = {
        len(item.get_segments())
        for item in view.heatmap(heat(), contour=16 / 256).figure.axes[0].collections
        if isinstance(item, LineCollection)
    }
    assert lines == 16, "the outline of a block of 4 by 4 cells"


def test_a_flat_map_has_no_contour() -> None:
    for flat in (np.zeros((4, 4)), np.full((1, 1), 3.02), np.full((3, 5), 0.1)):
        picture = np.zeros((60, 60 * flat.shape[1] // flat.shape[0], 3))
        for drawing in (
            view.heatmap(flat, contour=0.1),
            view.unit_sheet(flat[None], picture[None], contour=0.1, interpolation="bilinear"),
        ):
            axes = drawing.figure.axes[0]
            assert all(not item.get_segments() for item in axes.collections if isinstance(item, LineCollection))


def test_a_grid_shares_its_scale_or_does_not() -> None:
    maps = np.stack([heat(), heat() / 2])
    shared = view.heatmaps(maps, [PICTURE, PICTURE], titles=["a", "b"], unit="logit")
    own = view.heatmaps(maps, [PICTURE, PICTURE], titles=["a", "b"], unit="logit", shared_scale=False)
    assert [axes.get_ylim() for axes in shared.figure.axes if axes.get_ylabel()] == [(-2, 2)]
    assert [axes.get_ylim() for axes in own.figure.axes if axes.get_ylabel()] == [(-2, 2), (-1, 1)]
    assert shared.alt.startswith("2 heatmaps over the picture. a. ")


def test_a_grid_is_titled_by_the_identifiers() -> None:
    maps = xr.DataArray(np.stack([heat()] * 3), dims=("image", "y", "x"), coords={"image": ["p", "q", "r"]})
    picture = view.heatmaps(maps, columns=2)
    assert [axes.get_title(loc="left") for axes in picture.figure.axes[:3]] == ["p", "q", "r"]
    assert not picture.figure.axes[3].axison, "the empty place of the grid is blank"


def test_pictures_alone() -> None:
    picture = view.images(np.zeros((3, 8, 8, 1), np.uint8), titles=["a", "b", "c"])
    assert picture.alt == "3 pictures: a; b; c."


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((np.zeros((2, 2, 2, 2)),), {}, ShapeError, r"expected 2: \(y, x\)"),
        ((np.zeros((4, 4)), np.zeros((4, 9, 3))), {}, ShapeError, "proportions differ"),
        ((np.zeros((4, 4)), np.zeros((4, 4, 2))), {}, ShapeError, "1 or 3 channels"),
        ((np.zeros((4, 4)), np.full((4, 4, 3), 200.0)), {}, InputError, "Divide by 255"),
        ((np.zeros((4, 4)), np.full((4, 4, 3), np.nan)), {}, NotFiniteError, "NaN"),
        ((np.array([["a"]]),), {}, DtypeError, "dtype"),
        ((np.zeros((4, 4)), np.zeros((4, 4, 3))), {"opacity": 2}, InputError, "opacity is 2"),
        ((np.zeros((4, 4)),), {"contour": 1.5}, InputError, "contour is 1.5"),
    ],
)
def test_bad_input_is_named(arguments: tuple, options: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        view.heatmap(*arguments, **options)


def test_counts_must_agree() -> None:
    with pytest.raises(ShapeError, match="1 pictures for 2 maps"):
        view.heatmaps([heat(), heat()], [PICTURE])
    with pytest.raises(ShapeError, match="1 titles for 2 drawings"):
        view.heatmaps([heat(), heat()], titles=["a"])
    with pytest.raises(ShapeError, match="no heatmap"):
        view.heatmaps([])
    with pytest.raises(ShapeError, match="no picture"):
        view.images([])
