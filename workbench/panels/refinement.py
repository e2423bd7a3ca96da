"""An occlusion map that can be left and taken up again, and a look under one of its windows. No widgets here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.explain import Question, ask
from workbench.explain.baselines import Hiding, hiding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain import AnytimeMap
    from workbench.panels.explained import Subject

RUNNING = "running"


class Refinement:
    """One search, as far as it has come.

    Args:
        begin: makes the improving maps of one image.
        known: what another search with a smaller budget found; shown until this one knows more.

    Attributes:
        newest: the best map so far, or None.
        complete: whether the search has ended by itself.
    """

    def __init__(self, begin: Callable[[], Iterator[AnytimeMap]], known: AnytimeMap | None = None) -> None:
        self._begin = begin
        self._steps: Iterator[AnytimeMap] | None = None
        self.newest = known
        self.complete = False

    def maps(self) -> Iterator[AnytimeMap]:
        """The best map after each step, from where the search was left; the first is what is known already."""
        if self.newest is not None:
            yield self.newest
        if self.complete:
            return
        if self._steps is None:
            self._steps = self._begin()
        try:
            for found in self._steps:
                ended = ending(found) != RUNNING
                if ended or self.newest is None or spent(found) >= spent(self.newest):
                    self.newest = found
                if ended:
                    self.complete = True
                    self._steps = None
                yield self.newest
        except Exception:
            # What has failed cannot go on; the next attempt begins anew.
            self._steps = None
            raise

    def leave(self) -> None:
        """Forget the network's inner maps; the search begins anew when it is taken up, and shows what was known."""
        self._steps = None


def spent(found: AnytimeMap) -> float:
    """Forward-equivalents that a map of one image has cost."""
    return float(found.heatmap["forward_equivalents"].values[0])


def ending(found: AnytimeMap) -> str:
    """Why the search of one image ended; ``"running"`` while it goes on."""
    return str(found.heatmap["ended"].values[0])


def sizes(finest: int, count: int, shorter: int) -> list[int]:
    """The patch sizes of a map: the finest, and its doubles as far as they fit into the image.

    >>> sizes(16, 3, 96), sizes(40, 3, 96), sizes(128, 2, 96)
    ([16, 32, 64], [40, 80], [128])
    """
    return [finest, *(finest * 2**i for i in range(1, count) if finest * 2**i <= shorter)]


@dataclass(frozen=True, eq=False)
class Hidden:
    """An image one of whose windows is hidden.

    Attributes:
        picture: (y, x, channel) float32 in [0, 1], as the network sees it.
        reference: score of the untouched image.
        score: score with the window hidden.
    """

    picture: NDArray[np.float32]
    reference: float
    score: float


@dataclass(frozen=True, eq=False)
class Cover:
    """What hides the windows of one image.

    Attributes:
        question: the image, its category and its score.
        hiding: what windows show.
    """

    question: Question
    hiding: Hiding

    @staticmethod
    def of(subject: Subject, baseline: Any, seed: int) -> Cover:
        """What a map of this image hides its windows with."""
        question = ask(subject.model, subject.inputs, target=subject.index)
        return Cover(question, hiding(baseline, question.inputs, model=subject.model, seed=seed))

    def hide(self, window: Sequence[int]) -> Hidden:
        """Hide one window and ask the network.

        Args:
            window: first row, first column, rows and columns, in pixels.

        Returns:
            The occluded image and its score.
        """
        occluded = self.hiding.windows(0, np.asarray([window], dtype=np.int64))
        with torch.no_grad():
            score = float(self.question.scores(occluded, torch.zeros(1, dtype=torch.int64, device=occluded.device)))
        picture = self.question.model.pictures(occluded)[0]
        return Hidden(picture, float(self.question.reference[0]), score)


@dataclass(frozen=True, eq=False)
class Grid:
    """The windows of one size, of a result.

    Attributes:
        start: number of the first of them among all windows.
        rows: (row) int, upper edges.
        columns: (column) int, left edges.
        patch: (height, width) in pixels.
    """

    start: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    patch: tuple[int, int]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __contains__(self, window: int) -> bool:
        return self.start <= window < self.start + len(self)

    @staticmethod
    def all(result: xr.Dataset) -> list[Grid]:
        """One grid a window size, the smallest first."""
        heights, widths = result["height"].values, result["width"].values
        found = []
        for height, width in sorted({(int(h), int(w)) for h, w in zip(heights, widths, strict=True)}):
            chosen = np.flatnonzero((heights == height) & (widths == width))
            rows, columns = (np.unique(result[name].values[chosen]) for name in ("row", "column"))
            found.append(Grid(int(chosen[0]), rows, columns, (height, width)))
        return found
