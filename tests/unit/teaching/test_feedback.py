from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError
from workbench.teaching import Feedback, check

ARRAY = np.arange(6.0).reshape(2, 3)
LABELLED = xr.DataArray(ARRAY, dims=("y", "x"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (0.25, 0.25),
        (3, 3.0),
        (np.float32(0.25), 0.25),
        (np.array([0.25]), 0.25),
        (True, np.bool_(True)),
        (" Petals", "petals"),
        ({"a", "b"}, {"b", "a"}),
        (["a", "b"], {"b", "a"}),
        ([1, 2.0], (1, 2)),
        ({"a": 1}, {"a": 1.0}),
        (ARRAY.tolist(), ARRAY),
        (LABELLED.T, LABELLED),
    ],
)
def test_right_answers_pass(answer: Any, expected: Any) -> None:
    feedback = check(answer, expected=expected)
    assert feedback.passed, str(feedback)
    assert str(feedback).startswith("Right")


@pytest.mark.parametrize(
    ("answer", "expected", "score", "message"),
    [
        (..., 1.0, 0, "put your answer"),
        (0.4, 0.25, 0, "too high"),
        (0.1, 0.25, 0, "too low"),
        (-0.25, 0.25, 0, "wrong sign"),
        (25.0, 0.25, 0, "percentage"),
        (float("nan"), 0.25, 0, "division by zero"),
        ("0.25", 0.25, 0, "one number"),
        (True, 1.0, 0, "one number"),
        (ARRAY, 1.0, 0, "one number"),
        (False, True, 0, "other way round"),
        (1, True, 0, "True or False"),
        ("stem", "petals", 0, "not 'stem'"),
        (3, "petals", 0, "in quotes"),
        ({"a", "c"}, {"a", "b"}, 1 / 3, "1 is missing, 1 does not belong"),
        ({"a"}, {"a", "b", "c"}, 1 / 3, "2 are missing"),
        ("ab", {"a", "b"}, 0, "braces"),
        ([1, 2], [1, 2, 3], 0, "too few"),
        ([1, 2, 4], [1, 2, 3], 2 / 3, "entry 2"),
        (5, [5], 0, "a list"),
        ({"a": 1, "b": 3}, {"a": 1, "b": 2}, 0.5, "'b'"),
        ({"a": 1}, {"a": 1, "b": 2}, 0.25, "of the keys"),
        ([1], {"a": 1}, 0, "a dict"),
        (ARRAY.T, ARRAY, 0, "(3, 2)"),
        (ARRAY + np.eye(2, 3), ARRAY, 4 / 6, "2 of 6"),
        (np.full((2, 3), np.inf), ARRAY, 0, "infinite"),
        (np.full((2, 3), "a"), ARRAY, 0, "dtype"),
        (LABELLED.rename(y="row"), LABELLED, 0, "dimensions"),
    ],
)
def test_wrong_answers_are_graded_and_say_what_is_off(answer: Any, expected: Any, score: float, message: str) -> None:
    feedback = check(answer, expected=expected, name="share")
    assert feedback.score == pytest.approx(score)
    assert not feedback.passed
    assert message in feedback.message
    assert "share" in str(feedback)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_number_passes_exactly_where_it_is_within_the_tolerance(answer: float, expected: float) -> None:
    allowed = 0.1 * (abs(expected) or 1.0)
    assert check(answer, expected=expected, tolerance=0.1).passed == (abs(answer - expected) <= allowed)


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9), min_size=1))
def test_a_set_earns_intersection_over_union(answer: set[int], expected: set[int]) -> None:
    assert check(answer, expected=expected).score == len(answer & expected) / len(answer | expected)


@given(st.one_of(st.integers(), st.text(), st.sets(st.integers()), st.lists(st.floats()), st.none()))
def test_any_answer_gets_a_grade_from_0_to_1(answer: Any) -> None:
    for expected in (1.5, "text", {1, 2}, [1.0], {"a": 1}, True, ARRAY, LABELLED):
        assert 0 <= check(answer, expected=expected).score <= 1


def test_the_message_does_not_give_the_answer_away() -> None:
    for wrong in (0.1, 0.4, -0.3217, 32.17, "x", float("inf")):
        assert "0.3217" not in check(wrong, expected=0.3217).message.replace("-0.3217", "")


def test_a_function_may_grade() -> None:
    feedback = check(4, expected=lambda answer: Feedback(0.5, f"{answer} is even, but not prime."))
    assert feedback.message == "4 is even, but not prime."


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(InputError, match="tolerance is -1"):
        check(1, expected=1, tolerance=-1)


def test_html_is_a_status_with_text() -> None:
    html = check("<b>", expected="a")._repr_html_()
    assert 'role="status"' in html
    assert "&lt;b&gt;" in html
