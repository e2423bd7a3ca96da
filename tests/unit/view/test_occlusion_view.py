"""Occlusion maps in the making: measured and estimated told apart, cost and trust in words, one window looked under."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workbench import view
from workbench.errors import InputError, NotFiniteError
from workbench.explain import lattice
from workbench.view.occlusion import (
    certificate_in_words,
    cost_in_words,
    expectation_in_words,
    fall_in_words,
    map_areas,
    measured_in_words,
)


def result(
    *, exact: float = 0.25, maps: int = 1, certificate: float = 0.9, low: float = 0.85, high: float = 0.94
) -> Any:
    """A map of 32 by 32 pixels from windows of 16 and 8 pixels."""
    lattices = [lattice(32, patch, patch // 2) for patch in (16, 8)]
    corners = np.concatenate([item.corners for item in lattices])
    extents = np.concatenate([np.tile(item.patch, (len(item), 1)) for item in lattices])
    windows = len(corners)
    generator = np.random.default_rng(0)
    names = [f"Method {i}" for i in range(maps)]
    return xr.Dataset(
        {
            "heatmap": (("explainer", "y", "x"), generator.normal(size=(maps, 32, 32))),
            "picture": (("y", "x", "channel"), generator.random((32, 32, 3)).astype(np.float32)),
            "window_exact": ("window", np.arange(windows) < round(exact * windows)),
            "certificate": certificate,
            "certificate_low": low,
            "certificate_high": high,
            "forward_equivalents": 14.5,
        },
        coords={
            "explainer": names,
            "units": ("explainer", ["evidence (logit)"] * maps),
            "row": ("window", corners[:, 0]),
            "column": ("window", corners[:, 1]),
            "height": ("window", extents[:, 0]),
            "width": ("window", extents[:, 1]),
        },
        attrs={"image": "a picture", "target": "house", "complete": 1},
    )


def test_the_alternative_text_says_map_cost_and_trust() -> None:
    alt = view.occlusion(result()).alt
    assert "Method 0 for house" in alt
    assert "14 of 58 windows were measured exactly; the others are estimated." in alt
    assert "The work of 14.5 forward passes: 25 % of the 58" in alt
    assert "0.90 (nine times in ten between 0.85 and 0.94)" in alt


def test_a_dot_a_measured_window_at_its_centre() -> None:
    drawn = view.occlusion(result(exact=0.5))
    with_dots, without = (
        [len(axes.collections) for axes in picture.figure.axes[:2]]
        for picture in (drawn, view.occlusion(result(exact=0.5), measured=False))
    )
    assert with_dots[0] == without[0] == 0
    assert with_dots[1] > without[1]
    offsets = np.asarray(drawn.figure.axes[1].collections[-1].get_offsets())
    assert len(offsets) == 29
    assert offsets[0].tolist() == [7.5, 7.5], "the first window covers pixels 0 to 15"
    sizes = drawn.figure.axes[1].collections[-1].get_sizes()
    assert sizes[0] > sizes[-1], "a large window has a large dot"


def test_no_window_measured_is_no_dot() -> None:
    assert view.occlusion(result(exact=0)).figure.axes[1].get_xlabel() == ""


@pytest.mark.parametrize("maps", [1, 2])
def test_the_areas_are_where_the_picture_is(maps: int) -> None:
    given = result(maps=maps)
    given["picture"][:] = 0.0
    drawn = view.occlusion(given, measured=False, opacity=1)
    with Image.open(io.BytesIO(drawn.png(dpi=100))) as image:
        pixels = np.asarray(image.convert("RGB"), float)
    areas = map_areas(drawn)
    assert len(areas) == 1 + maps
    tall, wide = pixels.shape[:2]
    left, top, width, height = areas[0]
    inside = pixels[round(tall * top) + 3 : round(tall * (top + height)) - 3, :][
        :, round(wide * left) + 3 : round(wide * (left + width)) - 3
    ]
    assert inside.max() == 0, "the black picture fills its area"
    assert pixels[round(tall * (top + height)) + 4, round(wide * (left + width / 2))].min() > 200, "and ends there"
    for left, _, width, height in areas:
        assert width * wide == pytest.approx(height * tall, rel=0.02), "the picture is square"
        assert 0 <= left < left + width <= 1


def test_one_window_looked_under() -> None:
    picture = np.full((32, 32, 3), 0.5, np.float32)
    drawn = view.occluded(
        picture, (0, 24, 8, 8), target="house", reference=2.0, score=2.5, expected=-0.4, sigma=0.1, unit="logit"
    )
    assert "8 by 8 pixels hidden in the upper right (x 24, y 0)" in drawn.alt
    assert "the logit of house rises by 0.5, from 2 to 2.5" in drawn.alt
    assert "In the map it rises by 0.4 here, estimated, give or take 0.1." in drawn.alt
    frame = drawn.figure.axes[0].patches[-1]
    assert frame.get_bbox().bounds == (23.5, -0.5, 8, 8)
    with pytest.raises(NotFiniteError):
        view.occluded(picture * np.nan, (0, 0, 8, 8), target="house", reference=2.0, score=2.5)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (fall_in_words(0.0), "stays the same"),
        (expectation_in_words(None, 0), "knows nothing"),
        (expectation_in_words(float("nan"), 0), "knows nothing"),
        (expectation_in_words(0.5, 0.0), "measured"),
        (certificate_in_words(result(certificate=np.nan)), "Nobody knows yet"),
        (certificate_in_words(result(certificate=1, low=1, high=1)), "Exact"),
        (certificate_in_words(result(certificate=0.1, low=-0.2)), "between \N{MINUS SIGN}0.20 and"),
        (measured_in_words(result(exact=1)), "All 58 windows were measured; nothing is estimated."),
        (cost_in_words(result()), "every window of all 2 sizes in turn"),
        (cost_in_words(result().isel(window=slice(9, None))), "every window in turn"),
    ],
)
def test_words(made: str, words: str) -> None:
    assert words in made


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_an_estimate_is_never_called_measured(expected: float, sigma: float) -> None:
    said = expectation_in_words(expected, sigma)
    assert ("measured" in said) == (sigma == 0)
    assert ("estimated" in said) == (sigma > 0)


def test_another_result_is_refused() -> None:
    with pytest.raises(InputError, match="no variable 'window_exact'"):
        view.occlusion(result().drop_vars("window_exact"))
