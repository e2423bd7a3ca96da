"""Coresets drawn: points told apart by shape and by colours that anybody can tell apart, curves, units side by side."""

from __future__ import annotations

import doctest
import importlib
import itertools
import json
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from workbench import view
from workbench.errors import InputError, ShapeError, UnknownNameError
from workbench.interpret.coreset.curve import summarise
from workbench.view.coreset import COLOURS, PALE, dot_size, nearest_point
from workbench.view.coreset_curve import enough_in_words
from workbench.view.coreset_units import FEW, likeness_in_words
from workbench.view.histogram import PART

# How the cones that are left see linear RGB, at full severity (Machado, Oliveira and Fernandes 2009).
SEEN_WITH = {
    "all cones": np.eye(3),
    "no long-wave cones": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle-wave cones": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short-wave cones": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ["coreset", "coreset_units"])
def test_the_examples_of_docstrings_hold(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"workbench.view.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def points(count: int = 60, *, categories: int = 3, chosen: int = 6) -> xr.Dataset:
    """Images in the plane, every tenth of them chosen."""
    generator = np.random.default_rng(0)
    member = np.arange(count) % categories
    return xr.Dataset(
        {
            "position": (("image", "axis"), generator.normal(size=(count, 2)) + member[:, None]),
            "chosen": ("image", np.arange(count) < chosen),
            "category": ("image", member),
        },
        coords={"image": [f"picture {i}" for i in range(count)], "axis": ["first (60 %)", "second (20 %)"]},
        attrs={
            "categories": json.dumps([f"c{i}" for i in range(categories)]),
            "selector": "Herding",
            "within": "category",
        },
    )


def lines(picture: view.Picture, marker: str) -> list[Any]:
    """The groups of points that are drawn with a marker and are not empty."""
    return [line for line in picture.figure.axes[0].lines if line.get_marker() == marker and len(line.get_xdata())]


def test_every_point_is_drawn_once_and_the_chosen_ones_with_another_shape() -> None:
    result = points()
    drawn = view.coreset_map(result)
    dots, diamonds = (np.concatenate([line.get_xydata() for line in lines(drawn, marker)]) for marker in ("o", "D"))
    positions = result["position"].values
    assert sorted(map(tuple, diamonds)) == sorted(map(tuple, positions[:6]))
    assert sorted(map(tuple, dots)) == sorted(map(tuple, positions[6:]))
    assert min(line.get_markersize() for line in lines(drawn, "D")) > max(
        line.get_markersize() for line in lines(drawn, "o")
    )
    assert all(line.get_markeredgewidth() > 0.5 for line in lines(drawn, "D"))


def test_each_category_has_a_colour_and_a_line_in_the_legend() -> None:
    drawn = view.coreset_map(points())
    assert [line.get_color() for line in lines(drawn, "o")] == list(COLOURS[:3])
    texts = [text.get_text() for text in drawn.figure.legends[0].get_texts()]
    assert texts == ["chosen: 6", "all: 60", "c0: 2 of 20", "c1: 2 of 20", "c2: 2 of 20"]


def test_a_category_is_brought_out_and_the_points_stay_where_they_are() -> None:
    result = points()
    before, after = view.coreset_map(result), view.coreset_map(result, category=1)
    colours = {line.get_color() for line in after.figure.axes[0].lines}
    assert colours == {PALE, COLOURS[1]}
    places = []
    for drawn in (before, after):
        drawn.png()
        places.append(drawn.figure.axes[0].transData.transform(result["position"].values))
    np.testing.assert_allclose(*places, atol=0.5)
    assert "Brought out: c1 2 of 20." in after.alt


def test_many_categories_share_a_colour_until_one_is_brought_out() -> None:
    result = points(categories=30)
    assert {line.get_color() for line in lines(view.coreset_map(result), "o")} == {PART}
    brought_out = view.coreset_map(result, category=29)
    assert {line.get_color() for line in lines(brought_out, "o")} == {PALE, PART}
    assert brought_out.figure.legends[0].get_texts()[-1].get_text() == "c29: 0 of 2"


def test_images_without_a_category_are_pale() -> None:
    result = points()
    result["category"][:10] = -1
    assert PALE in {line.get_color() for line in lines(view.coreset_map(result), "o")}
    result["category"][:] = -1
    assert {line.get_color() for line in lines(view.coreset_map(result), "o")} == {PART}


@pytest.mark.parametrize("cones", SEEN_WITH)
def test_any_two_colours_can_be_told_apart(cones: str) -> None:
    def seen(colours: Any) -> Any:
        rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.array(SEEN_WITH[cones]).T
        linear = np.clip(linear, 0, 1)
        again = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return rgb2lab(again[None])[0]

    for group in (COLOURS, (PART, FEW), (PART, PALE)):
        found = seen(group)
        least = min(np.linalg.norm(a - b) for a, b in itertools.combinations(found, 2))
        assert least > 15, f"{group} are {least:.1f} apart"  # a difference of 2.3 is just noticeable


def test_the_text_says_what_the_points_say() -> None:
    alt = view.coreset_map(points()).alt
    assert "60 images as points: first (60 %) and second (20 %)." in alt
    assert "6 of them (10 %) are chosen by Herding, within each category" in alt
    assert "By category: c0 2 of 20, c1 2 of 20, c2 2 of 20." in alt
    assert "and 20 more categories" in view.coreset_map(points(categories=30)).alt


@pytest.mark.parametrize(("dpi", "index"), [(96, 7), (192, 41)])
def test_the_point_that_is_clicked_is_found(dpi: int, index: int) -> None:
    result = points()
    drawn = view.coreset_map(result)
    drawn.png(dpi=dpi)
    figure = drawn.figure
    x, y = figure.axes[0].transData.transform(result["position"].values[index])
    across, down = x / figure.bbox.width, 1 - y / figure.bbox.height
    assert nearest_point(drawn, result["position"].values, across, down) == index
    assert nearest_point(drawn, result["position"].values, 0.99, 0.99) == -1
    assert nearest_point(view.histogram([1.0], unit="x"), result["position"].values, 0.5, 0.5) == -1


@given(st.integers(1, 200_000))
def test_points_shrink_as_they_become_many_and_never_vanish(count: int) -> None:
    assert 1.4 <= dot_size(count, chosen=False) <= 4
    assert dot_size(count, chosen=True) >= dot_size(2 * count, chosen=True) >= 3.2


def test_results_of_another_kind_are_refused() -> None:
    with pytest.raises(InputError, match="no variable 'position'; expected what CoresetPanel"):
        view.coreset_map(xr.Dataset())
    with pytest.raises(ShapeError, match="position has 3 axes"):
        view.coreset_map(
            points().drop_vars(["position", "axis"]).assign(position=(("image", "axis"), np.zeros((60, 3))))
        )
    with pytest.raises(UnknownNameError, match="category '7'"):
        view.coreset_map(points(), category=7)


def curve(*, score: float = 0.5, ceiling: float = 0.9, floor: float = 0.1) -> xr.Dataset:
    """A curve of three selectors, of which herding rises from ``score`` to the ceiling."""
    shares, splits = np.array([0.01, 0.1, 0.5]), 6
    rise = np.linspace(score, ceiling, 3)
    values = np.stack([rise - 0.1, rise, rise - 0.2]) + np.linspace(-0.01, 0.01, splits)[:, None, None]
    data = xr.Dataset(
        {
            "score": (("split", "selector", "fraction"), values),
            "ceiling": ("split", np.full(splits, ceiling)),
            "floor": ("split", np.full(splits, floor)),
        },
        coords={"selector": ["random", "herding", "moderate"], "fraction": shares},
    )
    return summarise(data).assign_attrs(subject="relevant_units")


def test_the_curve_lies_between_floor_and_ceiling_that_are_named() -> None:
    drawn = view.coreset_curve(curve(), selector="herding", fraction=0.05)
    axes = drawn.figure.axes[0]
    of_herding = next(line for line in axes.lines if line.get_label() == "herding")
    np.testing.assert_allclose(of_herding.get_ydata(), [0.5, 0.75, 1.0], atol=0.02)
    np.testing.assert_array_equal(of_herding.get_xdata(), [0.01, 0.1, 0.5])
    texts = " ".join(text.get_text() for text in axes.texts)
    assert "ceiling: all images of one half against the other (0.9)" in texts
    assert "floor: random units (0.1)" in texts
    assert "now: 5 %" in texts
    assert [line.get_ydata()[0] for line in axes.lines if line.get_label().startswith("_")][-3:] == [1, 0, 0.95]


def test_selectors_differ_by_marker_and_one_is_brought_out_with_its_interval() -> None:
    axes = view.coreset_curve(curve(), selector="herding").figure.axes[0]
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert {line.get_label() for line in named} == {"random", "herding", "moderate"}
    assert len({line.get_marker() for line in named}) == 3
    assert max(named, key=lambda line: line.get_linewidth()).get_label() == "herding"
    assert len(axes.collections) == 2, "intervals of random and of the one that is brought out"


def test_some_selectors_are_drawn_alone() -> None:
    axes = view.coreset_curve(curve(), selectors=["moderate"]).figure.axes[0]
    assert [line.get_label() for line in axes.lines if not line.get_label().startswith("_")] == ["moderate"]
    with pytest.raises(UnknownNameError, match="selector of the curve 'herdin'"):
        view.coreset_curve(curve(), selectors=["herdin"])


def test_it_is_said_how_little_is_enough() -> None:
    said = enough_in_words(curve(), "herding")
    assert said.startswith("herding stays at 0.95 of the ceiling or above from 50 % on.")
    assert "0.125 above random" in said
    assert "(p = 0.031, 6 splits)" in said
    assert enough_in_words(curve(), "moderate").startswith("moderate does not stay at 0.95 of the ceiling")
    alt = view.coreset_curve(curve(), fraction=0.05).alt
    assert "relevant units (VEBI)" in alt
    assert "(floor, random units, 0.1) to 1 (ceiling, all images of one half, 0.9)" in alt
    assert said in alt


def test_a_ceiling_at_the_floor_gives_no_score() -> None:
    flat = curve(score=0.1, ceiling=0.12, floor=0.1)
    drawn = view.coreset_curve(flat)
    assert "ceiling and floor lie less than 0.05 apart" in drawn.figure.axes[0].texts[-1].get_text()
    assert "no score" in drawn.alt


def test_splits_without_a_score_are_not_counted() -> None:
    some = curve().drop_vars(["value", "low", "high", "n"])
    some["ceiling"][:2] = 0.12
    assert "4 of 6 splits, ceiling above floor in these" in enough_in_words(summarise(some), "herding")


def test_what_is_no_curve_is_refused() -> None:
    with pytest.raises(InputError, match="no variable 'value'; expected what coreset_curve gives"):
        view.coreset_curve(xr.Dataset({"score": 1.0}))


def units(*, ranks: int = 2, members: int = 2, pictures: bool = True) -> xr.Dataset:
    """Units of one category: 3 and 1 by all images, 3 alone by the coreset."""
    weight = np.zeros((2, 8))
    weight[0, [3, 1]], weight[1, 3] = (0.5, 0.25), 0.75
    ranked = np.array([[3, 1], [3, -1]])[:, :ranks]
    generator = np.random.default_rng(0)
    activation = np.where((ranked >= 0)[..., None], generator.random((2, ranks, 2)) + 1, np.nan)
    result = xr.Dataset(
        {
            "weight": (("source", "unit"), weight),
            "similarity": 0.894,
            "images": ("source", [100, 10]),
            "members": ("source", [20, members]),
            "ranked": (("source", "rank"), ranked),
            "greatest": (("source", "rank"), np.full((2, ranks), 2.0)),
            "activation": (("source", "rank", "top"), activation),
        },
        coords={"source": ["all", "coreset"], "unit": [f"layer4:{i}" for i in range(8)]},
        attrs={"category": "house", "measure": "cosine", "layer": "layer4"},
    )
    if not pictures:
        return result
    return result.assign(
        maps=(("source", "rank", "top", "y", "x"), generator.random((2, ranks, 2, 4, 4)).astype(np.float32)),
        pictures=(
            ("source", "rank", "top", "row", "column", "channel"),
            generator.random((2, ranks, 2, 16, 16, 3)).astype(np.float32),
        ),
    )


def test_weights_stand_side_by_side() -> None:
    axes = view.coreset_units(units(pictures=False)).figure.axes[0]
    whole, few = axes.containers
    assert [bar.get_height() for bar in whole] == [0.5, 0.25]
    assert [bar.get_height() for bar in few] == [0.75, 0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3", "1"]
    assert whole[0].get_x() + whole[0].get_width() <= few[0].get_x() + 0.03
    assert few[0].get_hatch()
    assert not whole[0].get_hatch(), "told apart by hatching as well as by colour"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["from all 100 images", "from the 10 of the coreset"]


def test_the_images_of_the_heaviest_units_stand_below_with_one_scale_a_unit() -> None:
    figure = view.coreset_units(units()).figure
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 4 + 2, "two units with two images each at the left, one at the right"
    assert {
        image.norm.vmax
        for axes in shown
        for image in axes.images
        if image.norm.scaled() and image.get_array().ndim == 2
    } == {2.0}
    titles = [axes.get_ylabel() for axes in shown if axes.get_ylabel()]
    assert titles == ["unit 3\nweight 0.5", "unit 1\nweight 0.25", "unit 3\nweight 0.75"]
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "no other unit has a weight" in said


def test_a_map_of_one_cell_is_left_out() -> None:
    some = units().drop_vars("maps")
    figure = view.coreset_units(some).figure
    assert all(len(axes.images) == 1 for axes in figure.axes if axes.images)
    one_cell = some.assign(maps=(("source", "rank", "top", "y", "x"), np.ones((2, 2, 2, 1, 1), np.float32)))
    assert all(len(axes.images) == 1 for axes in view.coreset_units(one_cell).figure.axes if axes.images)


def test_likeness_is_said_and_missing_images_are_named() -> None:
    assert likeness_in_words(units()) == "Cosine 0.894; 1 of the 2 units found with all images is found again."
    assert "The coreset holds no image of house." in likeness_in_words(units(members=0))
    alt = view.coreset_units(units()).alt
    assert "Units for house. Cosine 0.894" in alt
    assert "From all (100 images): units 3 (0.5), 1 (0.25)." in alt
    assert "From the coreset (10 images): units 3 (0.75)." in alt


def test_no_weight_at_all_is_said() -> None:
    some = units(pictures=False)
    some["weight"][:] = 0
    drawn = view.coreset_units(some)
    assert "no unit has a weight" in [text.get_text() for text in drawn.figure.axes[0].texts]
    assert "From the coreset (10 images): no unit." in drawn.alt


def test_what_holds_no_units_is_refused() -> None:
    with pytest.raises(InputError, match="no variable 'weight'; expected what coreset_units gives"):
        view.coreset_units(xr.Dataset())
