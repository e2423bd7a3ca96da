"""A forecast, written down before the cell that shows what happens is run."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Forecast:
    """What a student expects, and what it is to be compared with once the result is there.

    Attributes:
        question: what was asked.
        answer: the forecast; "" while none has been made.
        choices: the answers to choose from; empty where any text will do.
        truth: what turned out to be so; "" until it is revealed.
        because: why it is so.
    """

    question: str
    answer: str = ""
    choices: tuple[str, ...] = ()
    truth: str = ""
    because: str = ""

    @property
    def right(self) -> bool | None:
        """Whether the forecast came true; None while one of the two is missing."""
        if not self.answer or not self.truth:
            return None
        return self.answer == self.truth

    def reveal(self, truth: str, *, because: str = "") -> Forecast:
        """Set what turned out to be so beside the forecast.

        Args:
            truth: what the result shows; one of the choices where there are choices.
            because: the reason, in a sentence.

        Returns:
            The same forecast with its truth; this one stays as it is.

        Raises:
            UnknownNameError: the truth is none of the choices.
        """
        if self.choices and truth not in self.choices:
            raise unknown_name("answer", truth, self.choices)
        return Forecast(self.question, self.answer, self.choices, truth, because)

    def lines(self) -> list[str]:
        """What is shown, one sentence a line, as plain text."""
        shown = [self.question]
        if self.choices and not self.truth:
            shown.append(f"Choose one: {', '.join(self.choices)}.")
        if not self.answer:
            shown.append("No forecast yet: write it as the second argument, then run the cell again.")
        elif not self.truth:
            shown.append(f"Your forecast: {self.answer}. Now run the next cell.")
        else:
            verdict = "as you said" if self.right else f"you said {self.answer}"
            shown.append(f"It is: {self.truth} ({verdict}).")
        if self.truth and not self.answer:
            shown[-1] = f"It is: {self.truth}. You made no forecast; make one next time, it is how surprises teach."
        if self.truth and self.because:
            shown.append(self.because)
        return shown

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        first, *rest = self.lines()
        return f"<p><strong>{escape(first)}</strong><br>{'<br>'.join(map(escape, rest))}</p>"


def predict(question: str, answer: str = "", *, choices: Sequence[str] = ()) -> Forecast:
    """Write a forecast down, before the result is seen.

    >>> forecast = predict("Where will the heat be?", "on the shape", choices=("on the shape", "around it"))
    >>> print(forecast.reveal("around it", because="The outline tells the shapes apart."))
    Where will the heat be?
    It is: around it (you said on the shape).
    The outline tells the shapes apart.

    Args:
        question: what to foresee.
        answer: the forecast; leave it out to see the question alone.
        choices: the answers to choose from; any text will do where it is empty.

    Returns:
        The forecast. A notebook shows it when it stands last in a cell; ``reveal`` compares it with the result.

    Raises:
        InputError: the question is empty.
        UnknownNameError: the answer is none of the choices.
    """
    if not question.strip():
        raise InputError("The question is empty; expected a sentence that says what to foresee.")
    if answer and choices and answer not in choices:
        raise unknown_name("answer", answer, choices)
    return Forecast(question, answer, tuple(choices))
