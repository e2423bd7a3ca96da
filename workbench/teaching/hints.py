"""Hints that are opened one at a time, each inside the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from workbench.errors import InputError


@dataclass(frozen=True)
class Hints:
    """Hints from the vaguest to the plainest.

    In a notebook they are nested folds, opened by mouse or by keyboard: nobody sees the last one by accident.

    Attributes:
        steps: the hints, in the order in which they should be read.
    """

    steps: tuple[str, ...]

    def upto(self, count: int) -> str:
        """The first hints as plain text, for where there is no notebook.

        Args:
            count: how many to give, from 1 to the number of hints.

        Returns:
            One numbered line a hint.

        Raises:
            InputError: there are not that many, or fewer than one was asked for.
        """
        if not 1 <= count <= len(self.steps):
            raise InputError(f"Hint {count} was asked for; there are {len(self.steps)}, counted from 1.")
        return "\n".join(f"{number}. {step}" for number, step in enumerate(self.steps[:count], start=1))

    def __str__(self) -> str:
        more = len(self.steps) - 1
        return self.upto(1) + (f"\n({more} more: hints.upto(2) shows the next)" if more else "")

    def _repr_html_(self) -> str:
        folded = ""
        for number, step in reversed(list(enumerate(self.steps, start=1))):
            summary = f"Hint {number} of {len(self.steps)}"
            folded = f"<details><summary>{summary}</summary><p>{escape(step)}</p>{folded}</details>"
        return folded


def hint(*steps: str) -> Hints:
    """Offer hints, the first one vague, the last one nearly the answer.

    Args:
        *steps: the hints, in order.

    Returns:
        The hints, folded into each other where they stand last in a cell.

    Raises:
        InputError: there is no hint, or an empty one.
    """
    if not steps or not all(step.strip() for step in steps):
        raise InputError(f"{len(steps)} hints, empty ones among them; expected at least one, each a sentence.")
    return Hints(tuple(steps))
