"""Who answers how far the score falls when windows are hidden, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.explain.baselines import Hiding
    from workbench.explain.score import Question


@dataclass(frozen=True, eq=False)
class Answer:
    """Falls of some windows, and what they cost.

    Attributes:
        falls: (window) float64, score of the untouched image minus score with the window hidden.
        cost: forward-equivalents spent: multiplications done over those of one forward pass.
    """

    falls: NDArray[np.float64]
    cost: float


class Evaluator(Protocol):
    """Measures windows of one image; windows are (window, 4) int64: first row, first column, rows, columns."""

    @property
    def approximates(self) -> bool:
        """Whether :meth:`approximate` is cheaper than :meth:`exact`."""

    @property
    def overhead(self) -> float:
        """Forward-equivalents spent before the first window."""

    def exact_cost(self, windows: NDArray[np.int64]) -> float:
        """Forward-equivalents that measuring some windows would take."""

    def exact(self, windows: NDArray[np.int64]) -> Answer:
        """Measure some windows."""

    def approximate(self, windows: NDArray[np.int64], looseness: float) -> Answer:
        """Measure some windows nearly; looseness above 0, the larger the cheaper."""


@dataclass(frozen=True, eq=False)
class ForwardPasses:
    """Plain forward passes: for anything that answers, also where nothing is known of its inside.

    Attributes:
        question: what is explained.
        image: number of the image within the question.
        hide: what the windows show.
        batch_size: windows a forward pass.
    """

    question: Question
    image: int
    hide: Hiding
    batch_size: int = 32

    @property
    def approximates(self) -> bool:
        """There is nothing cheaper than a forward pass here."""
        return False

    @property
    def overhead(self) -> float:
        """One pass for the untouched image."""
        return 1.0

    def exact_cost(self, windows: NDArray[np.int64]) -> float:
        """One forward pass a window.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.

        Returns:
            Forward-equivalents.
        """
        return float(len(windows))

    def exact(self, windows: NDArray[np.int64]) -> Answer:
        """Measure windows.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.

        Returns:
            The falls and the number of passes.

        Raises:
            NotFiniteError: the model gives NaN or infinity.
        """
        reference = self.question.reference[self.image]
        falls = []
        with torch.no_grad():
            for start in range(0, len(windows), self.batch_size):
                occluded = self.hide.windows(self.image, windows[start : start + self.batch_size])
                rows = torch.full((len(occluded),), self.image, dtype=torch.int64, device=occluded.device)
                falls.append((reference - self.question.scores(occluded, rows)).double().cpu().numpy())
        return Answer(np.concatenate(falls), float(len(windows)))

    def approximate(self, windows: NDArray[np.int64], looseness: float) -> Answer:
        """Not to be had without a look inside; exact instead.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.
            looseness: not used.

        Returns:
            See :meth:`exact`.
        """
        return self.exact(windows)
