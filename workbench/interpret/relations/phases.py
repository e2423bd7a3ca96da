"""Progress of work whose later parts cannot be counted before the earlier ones are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.explain import Meter, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workbench.explain.progress import Report, Stop

STEPS = 1000  # into which the whole is divided


def share(progress: Report, begin: float, end: float) -> Report:
    """Progress of a part, told as progress of the whole.

    Args:
        progress: False, True for a bar of the part's own, or a callable that takes a Progress of the whole.
        begin: how much of the whole is done before the part, in [0, 1].
        end: how much is done after it, in [0, 1].

    Returns:
        False, True, or a callable that takes the Progress of the part.
    """
    if isinstance(progress, bool):
        return progress

    def report(state: Progress) -> None:
        # how long later parts take is not known
        left = state.seconds_left if end == 1 else None
        progress(Progress(round(STEPS * (begin + (end - begin) * state.fraction)), STEPS, left))

    return report


class Phases:
    """Parts of one piece of work, done in order; some may be left out.

    Args:
        weights: name of each part, in order, to how much of the whole it is thought to be.
        progress: False, True for a bar a part, or a callable that takes a Progress of the whole.
        stop: asked after every step; True ends the work with ``Interrupted``.
    """

    def __init__(self, weights: Mapping[str, float], *, progress: Report = False, stop: Stop | None = None) -> None:
        self._progress, self._stop = progress, stop
        self._ends: dict[str, tuple[float, float]] = {}
        before, whole = 0.0, sum(weights.values())
        for name, weight in weights.items():
            self._ends[name] = before / whole, (before + weight) / whole
            before += weight

    def meter(self, name: str, total: int) -> Meter:
        """The meter of a part, to be used as a context manager.

        Args:
            name: of the part.
            total: units of work in it.

        Returns:
            The meter.
        """
        return Meter(total, progress=share(self._progress, *self._ends[name]), stop=self._stop, label=name)

    def finish(self) -> None:
        """Tell that all is done, whatever was left out."""
        if not isinstance(self._progress, bool):
            self._progress(Progress(STEPS, STEPS, 0.0))
