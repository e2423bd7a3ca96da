"""A scale is centred where signs matter, and counts what it does not show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.errors import InputError
from workbench.view.scale import ABOVE, BELOW, choose_scale, combined

VALUES = arrays.arrays(
    np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf])
)


@given(VALUES)
def test_a_diverging_scale_is_centred_and_without_clipping_shows_everything(values: np.ndarray) -> None:
    scale = choose_scale(values)
    assert scale.low == -scale.high < 0
    assert (scale.below, scale.above, scale.count, scale.extend) == (0, 0, values.size, "neither")


@given(VALUES, st.floats(0, 0.5))
def test_no_more_than_the_share_is_clipped_unless_nearly_all_is_zero(values: np.ndarray, clip: float) -> None:
    scale = choose_scale(values, clip=clip)
    finite = values[np.isfinite(values)]
    assert scale.above == (finite > scale.high).sum()
    assert scale.below == (finite < scale.low).sum()
    if (np.abs(finite) > 0).mean() > 0.5 if finite.size else False:
        assert scale.above + scale.below <= np.ceil(clip * finite.size)


@pytest.mark.parametrize("values", [np.zeros(3), np.full(3, np.nan), np.array([])])
def test_nothing_to_show_gets_a_scale_to_one(values: np.ndarray) -> None:
    assert choose_scale(values).high == 1


def test_only_values_without_sign_get_the_sequential_map() -> None:
    assert choose_scale([0.0, 3.0], kind="auto").kind == "sequential"
    assert choose_scale([-1e-9, 3.0], kind="auto").kind == "diverging"
    assert choose_scale([0.0, 3.0], kind="auto").low == 0


def test_colours_beyond_the_scale_are_those_kept_for_it() -> None:
    scale = choose_scale([-2.0, 0.0, 2.0], limit=1)
    colours = scale.colours()(scale.normalise([-2.0, 0.0, 2.0, np.nan]))
    expected = [tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)) for colour in (BELOW, ABOVE)]
    assert colours[0][:3] == pytest.approx(expected[0])
    assert colours[2][:3] == pytest.approx(expected[1])
    assert min(colours[1][:3]) > 0.95, "zero is white"
    assert colours[3][3] == 0, "NaN has no colour"
    assert scale.extend == "both"


def test_opacity_is_in_the_colours() -> None:
    scale = choose_scale([0.0, 1.0], kind="sequential")
    assert scale.colours(0.5)([0.0, 1.0])[:, 3] == pytest.approx([0, 0.5])


def test_clipping_is_counted_over_several_scales() -> None:
    scales = [choose_scale([-3.0, 0.5], limit=1), choose_scale([2.0, 2.0, 0.1], limit=1)]
    together = combined(scales)
    assert (together.below, together.above, together.count) == (1, 2, 5)


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": np.nan}, {"clip": -0.1}, {"clip": 0.6}])
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(InputError, match=f"{name} is {value}"):
        choose_scale([1.0], **options)
