"""The lattice of patch positions: complete, inside, ordered, and what is averaged over it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DtypeError, InputError, ShapeError
from workbench.explain import Lattice, lattice, positions


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    patch = tuple(draw(st.integers(1, side)) for side in size)
    stride = tuple(draw(st.integers(1, side)) for side in patch)
    return lattice(size, patch, stride)  # type: ignore[arg-type]


@given(lattices())
def test_every_pixel_is_covered_by_whole_windows(made: Lattice) -> None:
    covered = np.zeros(made.size)
    for top, left in made.corners:
        window = covered[top : top + made.patch[0], left : left + made.patch[1]]
        assert window.shape == made.patch
        window += 1
    assert covered.min() >= 1
    np.testing.assert_array_equal(made.coverage, covered)


@given(lattices())
def test_corners_are_different_and_in_order(made: Lattice) -> None:
    numbers = made.corners[:, 0] * made.size[1] + made.corners[:, 1]
    assert (np.diff(numbers) > 0).all()
    assert len(made) == len(made.corners) == made.shape[0] * made.shape[1]
    for axis, starts in enumerate((made.rows, made.columns)):
        assert set(starts[:-1] % made.stride[axis]) <= {0}
        assert starts[-1] == made.size[axis] - made.patch[axis]


@given(lattices(), st.integers(0, 2**32 - 1))
def test_average_is_the_mean_of_the_windows_over_a_pixel(made: Lattice, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, len(made)))
    values[1, rng.random(len(made)) < 0.3] = np.nan
    maps = made.average(values)
    assert maps.shape == (2, *made.size)
    y, x = int(rng.integers(made.size[0])), int(rng.integers(made.size[1]))
    over = [
        number
        for number, (top, left) in enumerate(made.corners)
        if top <= y < top + made.patch[0] and left <= x < left + made.patch[1]
    ]
    for row in (0, 1):
        known = [value for value in values[row, over] if not np.isnan(value)]
        np.testing.assert_allclose(maps[row, y, x], np.mean(known) if known else np.nan, atol=1e-10)


@given(lattices())
def test_the_refinement_order_is_a_permutation(made: Lattice) -> None:
    assert sorted(made.refinement_order()) == list(range(len(made)))


def test_the_refinement_order_covers_the_image_early() -> None:
    made = lattice(224, 28, 14)
    first = made.refinement_order()[: len(made) // 2]
    measured = np.full(len(made), np.nan)
    measured[first] = 1.0
    assert np.isnan(made.average(measured)).mean() < 0.1
    measured[:] = np.nan
    measured[: len(made) // 2] = 1.0
    assert np.isnan(made.average(measured)).mean() > 0.4, "row by row would not have done"


def test_positions_by_hand() -> None:
    assert positions((4, 5), 2, 2).tolist() == [[0, 0], [0, 2], [0, 3], [2, 0], [2, 2], [2, 3]]
    assert positions(3, (3, 2), 1).tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((8, 9, 1), InputError, "patch of 9 pixels does not fit into an image of 8"),
        ((8, 4, 0), InputError, "stride is 0"),
        ((8, 0, 1), InputError, "patch is 0"),
        ((8, 2, 3), InputError, "stride of 3 with a patch of 2 pixels would leave pixels"),
        ((8, 2.0, 1), DtypeError, "patch is 2.0; expected an integer or a pair"),
        ((8, (2, 2, 2), 1), DtypeError, "expected an integer or a pair"),
        ((8, True, 1), DtypeError, "patch is True"),
    ],
)
def test_unusable_sizes(arguments: tuple[object, object, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        lattice(*arguments)  # type: ignore[arg-type]


def test_values_of_another_lattice() -> None:
    with pytest.raises(ShapeError, match=r"expected \(\.\.\., 9\)"):
        lattice(6, 2, 2).average(np.zeros(4))
