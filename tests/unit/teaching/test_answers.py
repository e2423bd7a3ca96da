from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError, ShapeError
from workbench.interpret.coreset import k_center_greedy
from workbench.teaching.answers import changed_outputs, evidence_inside, farthest_first, kept_place

MASK = np.array([[True, False], [False, False]])


def test_the_share_counts_evidence_for_only() -> None:
    heat = np.array([[3.0, 1.0], [-5.0, 0.0]])
    assert evidence_inside(heat, MASK) == 0.75


@given(st.integers(0, 2**32 - 1))
def test_inside_and_outside_make_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    heat, mask = random.random((5, 7)) + 0.01, random.random((5, 7)) > 0.5
    assert evidence_inside(heat, mask) + evidence_inside(heat, ~mask) == pytest.approx(1)


def test_sizes_must_agree() -> None:
    with pytest.raises(ShapeError, match=r"\(3, 3\)"):
        evidence_inside(np.ones((3, 3)), MASK)


def test_without_evidence_there_is_no_share() -> None:
    with pytest.raises(InputError, match="above zero"):
        evidence_inside(-np.ones((2, 2)), MASK)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ((5, 1, 3, 1, 1, 12), (4, 7)),
        ((5, 1, 3, 2, 1, 6), (2, 4)),
        ((0, 4, 1, 1, 0, 9), (0, 4)),
        ((8, 2, 2, 2, 0, 5), (4, 5)),
        ((1, 2, 1, 4, 0, 3), (0, 0)),
    ],
)
def test_outputs_that_read_a_change(case: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert changed_outputs(*case) == expected


def test_nothing_changed_has_no_outputs() -> None:
    with pytest.raises(InputError, match="length is 0"):
        changed_outputs(3, 0, 3, 1, 1, 9)
    with pytest.raises(InputError, match="stride is 0"):
        changed_outputs(3, 1, 3, 0, 1, 9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_farthest_first_is_k_center_greedy(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).normal(size=(12, 3)).astype(np.float32)
    expected = k_center_greedy(points, count, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(farthest_first(points, count), expected)


def test_farthest_first_on_a_line() -> None:
    points = np.array([[0.0], [4.0], [5.0], [10.0], [7.0]])
    assert farthest_first(points, 4).tolist() == [2, 0, 3, 4]
    for wrong in (0, 6):
        with pytest.raises(InputError, match=f"count is {wrong}; expected from 1 to the 5 points"):
            farthest_first(points, wrong)


@given(st.integers(0, 2**32 - 1))
def test_kept_place_is_one_where_a_place_follows_and_none_by_chance(seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(2, 30, 2))
    assert kept_place(first, first + np.array([3, -2])) == pytest.approx(1)
    assert kept_place(first, -first) == pytest.approx(-1)
    dealt = [kept_place(first, second[generator.permutation(30)]) for _ in range(200)]
    assert np.mean(dealt) == pytest.approx(0, abs=0.06)


def test_kept_place_needs_places_that_move() -> None:
    with pytest.raises(ShapeError, match="same"):
        kept_place(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(InputError, match="moves"):
        kept_place(np.ones((3, 2)), np.ones((3, 2)))
