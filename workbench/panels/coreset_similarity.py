"""The part of a coreset panel that holds the similarity curve: it has its own worker, progress, message and picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import Interrupted
from workbench.panels.parts import Message, PictureBox, ProgressBar, Ticket, Worker, column
from workbench.panels.parts.panel import drawing
from workbench.panels.words import time_left

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import xarray as xr

    from workbench.view import Picture

STOPPED = "Stopped. Uncheck the box and check it again, and it goes on from there."


class Similarity:
    """A curve that is computed on demand, off the main thread; a newer question cancels an older one.

    Args:
        compute: gives the curve that a question asks for; called with the question, a function that answers whether
            to stop, and one that is told the share done and the seconds left.
        draw: gives the picture of a curve.
        say: gives what is said of a curve below its progress bar.
        finished: a curve that is shown whatever the question.

    Attributes:
        curve: what is known, or None.
        error: what went wrong last, or None.
        box: shows the picture.
        progress: shows how far it is, and stops it.
        message: says what went wrong.
        widget: all three.
    """

    def __init__(
        self,
        compute: Callable[[Any, Callable[[], bool], Callable[[float, float | None], None]], xr.Dataset],
        draw: Callable[[xr.Dataset], Picture],
        say: Callable[[xr.Dataset], str],
        finished: xr.Dataset | None = None,
    ) -> None:
        self._compute, self._draw, self._say = compute, draw, say
        self.finished = self.curve = finished
        self.error: BaseException | None = None
        self._asked: Hashable = None
        self._computing, self._drawing = Worker(), Worker()
        self.box, self.message = PictureBox(), Message()
        self.progress = ProgressBar(self.stop, label="Progress of the curve")
        self.widget = column([self.message, self.progress, self.box], "stage")
        self.hide()

    def show(self, question: Hashable, *, again: bool = False) -> None:
        """Show the curve that a question asks for; compute it where it is not known.

        Args:
            question: what the curve depends on.
            again: ask once more where the same question was stopped or failed.
        """
        self.widget.layout.display = ""
        if self.finished is None and (question != self._asked or (again and self.curve is None)):
            self._asked = question
            self._computing.submit(lambda ticket: self._work(ticket, question))
        elif not self._computing.busy:
            self._drawing.submit(self._show)

    def hide(self) -> None:
        """Show nothing, and stop the work."""
        self.widget.layout.display = "none"
        self.stop()

    def stop(self) -> None:
        """Stop the work; what was computed of the curve is kept for the next time."""
        self._computing.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the curve is computed and drawn.

        Args:
            timeout: in seconds, at most, for each.

        Returns:
            Whether it is.
        """
        return self._computing.wait(timeout) and self._drawing.wait(timeout)

    def _work(self, ticket: Ticket, question: Any) -> None:
        self.error = None
        self.message.show(None)
        self.box.busy = True

        def told(done: float, seconds: float | None) -> None:
            if not ticket.stopped():
                self.progress.show(done, f"Curve: {time_left(seconds)}", running=True)

        told(0, None)
        try:
            curve = self._compute(question, ticket.stopped, told)
        except Interrupted:
            if not ticket.superseded:
                self._end(None, STOPPED)
            return
        except Exception as error:  # shown in the panel, and raised by its .curve
            if not ticket.superseded:
                self._fail(error)
            return
        if not ticket.superseded:
            self._end(curve, "Done")
            self._drawing.submit(self._show)

    def _end(self, curve: xr.Dataset | None, words: str) -> None:
        self.curve = curve
        if curve is None:
            self.box.source = ""
        self.box.busy = False
        self.progress.show(1 if curve is not None else 0, words, running=False)

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self.message.show(error)
        self._end(self.finished, "")

    def _show(self, _: Ticket) -> None:
        curve = self.curve
        if curve is None:
            return
        try:
            with drawing:
                self.box.show(self._draw(curve))
            self.progress.show(1, self._say(curve), running=False)
        except Exception as error:  # as in _work
            self._fail(error)
