"""How far long work is, how long it will take, and how to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import DtypeError, Interrupted

if TYPE_CHECKING:
    import xarray as xr

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Progress:
    """One report of how far an explanation is.

    Attributes:
        done: units of work done (evaluations of the model, one an input).
        total: units of work in all, as far as known.
        seconds_left: estimated from the pace so far; None before the first unit.
        partial: the result as it would be now, (image, y, x), NaN where nothing is known yet; None where a method
            has nothing to show before its end.
    """

    done: int
    total: int
    seconds_left: float | None
    partial: xr.DataArray | None = None

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else 1.0


Report = bool | Callable[[Progress], Any]


def check_stop(stop: Stop | None, *, doing: str) -> None:
    """Stop here if that was asked, in work whose steps are too unlike each other to be counted.

    Args:
        stop: asked once; None never stops.
        doing: what is being done, for the message.

    Raises:
        Interrupted: ``stop`` answered True.
    """
    if stop is not None and stop():
        raise Interrupted(f"Stopped on request while {doing}.")


class Meter:
    """Counts work, tells whoever asked, and stops when asked to.

    Use as a context manager, so that a progress bar is closed whatever happens.

    Args:
        total: units of work in all.
        progress: False for silence, True for a bar on standard error, or a callable that takes :class:`Progress`.
        stop: asked after every step; work ends with :class:`Interrupted` when it answers True.
        label: what to write before the bar.

    Raises:
        DtypeError: ``progress`` or ``stop`` is neither of these.
    """

    def __init__(self, total: int, *, progress: Report = False, stop: Stop | None = None, label: str = "") -> None:
        if not (isinstance(progress, bool) or callable(progress)):
            raise DtypeError(f"progress is {progress!r}; expected True, False or a callable that takes a Progress.")
        if stop is not None and not callable(stop):
            raise DtypeError(f"stop is {stop!r}; expected a callable without arguments that answers True to stop.")
        self.total = total
        self.done = 0
        self._report = progress if callable(progress) else None
        self._stop = stop
        self._bar: Any = None
        if progress is True:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=label, unit="evaluation", leave=False)
        self._started = time.monotonic()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the pace so far; None before the first unit."""
        return self._left(self.done)

    def _left(self, done: float) -> float | None:
        return (time.monotonic() - self._started) / done * max(self.total - done, 0) if done else None

    def within(self, count: int) -> Report:
        """What work that is a part of this one reports to, so that a long part is heard of before it is done.

        Args:
            count: units of this work that the part stands for; whole ones are reported as done.

        Returns:
            For ``progress=`` of the part; False where nobody listens.
        """
        listener = self._report
        if listener is None:
            return False

        def heard(part: Progress) -> None:
            done = self.done + count * part.fraction
            listener(Progress(int(done), self.total, self._left(done)))

        return heard

    def check(self) -> None:
        """Stop here if that was asked.

        Raises:
            Interrupted: ``stop`` answered True.
        """
        if self._stop is not None and self._stop():
            raise Interrupted(f"Stopped on request after {self.done} of {self.total} evaluations.")

    def advance(self, count: int, partial: Callable[[], xr.DataArray] | None = None) -> None:
        """Count work that was done, report it, and stop if that was asked.

        Args:
            count: units of work.
            partial: makes the partial result; called only where someone listens.

        Raises:
            Interrupted: ``stop`` answered True.
        """
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        if self._report is not None:
            self._report(Progress(self.done, self.total, self.seconds_left, None if partial is None else partial()))
        self.check()
