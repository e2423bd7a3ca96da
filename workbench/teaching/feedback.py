"""An answer, compared with what was expected: a grade, and a sentence that says what is off but not the answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Feedback:
    """The grade of one answer.

    Attributes:
        score: from 0 (nothing is right) to 1 (all of it is).
        message: what is right or off, in a sentence.
        name: what was asked for.
    """

    score: float
    message: str
    name: str = "answer"

    @property
    def passed(self) -> bool:
        """Whether everything is right."""
        return self.score == 1

    def __str__(self) -> str:
        mark = "Right" if self.passed else "Not yet" if self.score == 0 else f"Partly right ({self.score:.0%})"
        return f"{mark} - {self.name}: {self.message}"

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self.passed else "#9a6700"
        style = f"border-left: 4px solid {colour}; padding: 0.2em 0.8em"
        return f'<div role="status" style="{style}">{escape(str(self))}</div>'


def check(answer: Any, *, expected: Any, name: str = "answer", tolerance: float = 1e-6) -> Feedback:
    """Grade an answer without giving the right one away.

    >>> print(check(0.7, expected=0.5, tolerance=0.01))
    Not yet - answer: 0.7 is too high.
    >>> print(check({"petals", "stem"}, expected={"petals", "centre"}, name="parts"))
    Partly right (33%) - parts: 1 is missing, 1 does not belong.

    Args:
        answer: what the student gives: a number, text, truth value, collection, mapping, array or DataArray.
            ``...``, which stands where the solution was cut, counts as not answered.
        expected: the right answer, of the same kind; or a function from the answer to a :class:`Feedback`.
        name: what to call the answer in the message.
        tolerance: how far a number may be off, as a share of the expected number, or absolutely where that is 0.

    Returns:
        The grade. Sets earn the share of members that agree (intersection over union), sequences and arrays the share
        of places; other kinds are right or not.

    Raises:
        InputError: the tolerance is negative.
    """
    if tolerance < 0:
        raise InputError(f"tolerance is {tolerance}; expected 0 or more.")
    if answer is ...:
        return Feedback(0.0, "nothing is there yet; put your answer where the three dots stand.", name)
    if isinstance(expected, Callable):  # type: ignore[arg-type]  # a function type is what is meant
        graded: Feedback = expected(answer)
        return graded
    score, message = _compare(answer, expected, tolerance)
    return Feedback(score, message, name)


def _compare(answer: Any, expected: Any, tolerance: float) -> tuple[float, str]:
    if isinstance(expected, xr.DataArray):
        return _compare_labelled(answer, expected, tolerance)
    if isinstance(expected, np.ndarray) and expected.ndim:
        return _compare_arrays(np.asarray(answer), expected, tolerance)
    if isinstance(expected, bool | np.bool_):
        return _compare_truth(answer, bool(expected))
    if isinstance(expected, str):
        return _compare_text(answer, expected)
    if isinstance(expected, Real | np.ndarray):
        return _compare_numbers(answer, float(expected), tolerance)
    if isinstance(expected, Mapping):
        return _compare_mappings(answer, expected, tolerance)
    if isinstance(expected, Set):
        return _compare_sets(answer, expected)
    return _compare_sequences(answer, list(expected), tolerance)


def _compare_truth(answer: Any, expected: bool) -> tuple[float, str]:
    if not isinstance(answer, bool | np.bool_):
        return 0.0, f"{answer!r} is a {type(answer).__name__}; the answer is True or False."
    return (1.0, "that is so.") if bool(answer) == expected else (0.0, "it is the other way round.")


def _compare_text(answer: Any, expected: str) -> tuple[float, str]:
    if not isinstance(answer, str):
        return 0.0, f"{answer!r} is a {type(answer).__name__}; the answer is text, in quotes."
    if answer.strip().casefold() == expected.strip().casefold():
        return 1.0, f"{answer!r} it is."
    return 0.0, f"it is not {answer!r}."


def _compare_numbers(answer: Any, expected: float, tolerance: float) -> tuple[float, str]:
    if isinstance(answer, xr.DataArray | np.ndarray) and answer.size == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, Real):
        return 0.0, f"{_brief(answer)} is a {type(answer).__name__}; the answer is one number."
    value = float(answer)
    if not math.isfinite(value):
        return 0.0, f"{value} is not finite: look for a division by zero."
    allowed = tolerance * (abs(expected) or 1.0)
    if abs(value - expected) <= allowed:
        return 1.0, f"{value:.4g} it is."
    if expected and abs(value + expected) <= allowed:
        return 0.0, f"{value:.4g} has the wrong sign."
    if expected and abs(value / 100 - expected) <= allowed:
        return 0.0, f"{value:.4g} is a percentage; a share from 0 to 1 is wanted."
    return 0.0, f"{value:.4g} is too {'high' if value > expected else 'low'}."


def _compare_sets(answer: Any, expected: Set[Any]) -> tuple[float, str]:
    if isinstance(answer, str) or not isinstance(answer, Collection):
        return 0.0, f"{_brief(answer)} is a {type(answer).__name__}; several things are wanted, in braces."
    given = set(answer)
    missing, extra = len(expected - given), len(given - expected)
    if not missing and not extra:
        return 1.0, "all of them, and no other."
    parts = []
    if missing:
        parts.append(f"{missing} {'is' if missing == 1 else 'are'} missing")
    if extra:
        parts.append(f"{extra} {'does' if extra == 1 else 'do'} not belong")
    return len(expected & given) / len(expected | given), ", ".join(parts) + "."


def _compare_mappings(answer: Any, expected: Mapping[Any, Any], tolerance: float) -> tuple[float, str]:
    if not isinstance(answer, Mapping):
        return 0.0, f"{_brief(answer)} is a {type(answer).__name__}; a dict is wanted."
    score, message = _compare_sets(set(answer), set(expected))
    if score < 1:
        return score / 2, f"of the keys, {message}"
    graded = {key: _compare(answer[key], value, tolerance) for key, value in expected.items()}
    wrong = {key: text for key, (value, text) in graded.items() if value < 1}
    total = sum(value for value, _ in graded.values()) / max(len(graded), 1)
    if not wrong:
        return 1.0, "every entry is right."
    key, text = next(iter(wrong.items()))
    return min(total, 0.99), f"{len(wrong)} of {len(expected)} entries are off; at {key!r}, {text}"


def _compare_sequences(answer: Any, expected: list[Any], tolerance: float) -> tuple[float, str]:
    if isinstance(answer, str) or not isinstance(answer, Collection):
        return 0.0, f"{_brief(answer)} is a {type(answer).__name__}; a list is wanted."
    given = list(answer)
    if len(given) != len(expected):
        return 0.0, f"there are {len(given)} entries, which is too {'many' if len(given) > len(expected) else 'few'}."
    graded = [_compare(one, other, tolerance) for one, other in zip(given, expected, strict=True)]
    wrong = [position for position, (score, _) in enumerate(graded) if score < 1]
    if not wrong:
        return 1.0, "every entry is right."
    return 1 - len(wrong) / len(expected), f"entry {wrong[0]} (counted from 0): {graded[wrong[0]][1]}"


def _compare_labelled(answer: Any, expected: xr.DataArray, tolerance: float) -> tuple[float, str]:
    if isinstance(answer, xr.DataArray):
        if set(answer.dims) != set(expected.dims):
            return 0.0, f"the dimensions are {answer.dims}; {expected.dims} are wanted."
        answer = answer.transpose(*expected.dims)
    return _compare_arrays(np.asarray(answer), expected.to_numpy(), tolerance)


def _compare_arrays(answer: NDArray[Any], expected: NDArray[Any], tolerance: float) -> tuple[float, str]:
    if answer.dtype.kind not in "biuf":
        return 0.0, f"it has the dtype {answer.dtype}; numbers are wanted."
    if answer.shape != expected.shape:
        return 0.0, f"the shape is {answer.shape}; {expected.shape} is wanted."
    if answer.dtype.kind == "f" and not np.isfinite(answer).all():
        bad = int((~np.isfinite(answer)).sum())
        return 0.0, f"{bad} of {answer.size} values are NaN or infinite: look for a division by zero."
    difference = np.abs(answer.astype(np.float64) - expected.astype(np.float64))
    scale = float(np.abs(expected).max()) if expected.size else 0.0
    wrong = difference > tolerance * (scale or 1.0)
    if not wrong.any():
        return 1.0, "every value is right."
    place = tuple(int(index) for index in np.unravel_index(int(difference.argmax()), difference.shape))
    return float(1 - wrong.mean()), f"{int(wrong.sum())} of {wrong.size} values are off, most of all at {place}."


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
