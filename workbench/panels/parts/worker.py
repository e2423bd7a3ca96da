"""Expensive work off the kernel's main thread: one thread, and a newer request cancels an older one."""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS_TO_END = 2.0


class Ticket:
    """One request for work.

    Attributes:
        superseded: whether it was stopped because a newer one came, not because a person asked.
    """

    def __init__(self, work: Callable[[Ticket], None]) -> None:
        self._work = work
        self._stop = threading.Event()
        self.superseded = False

    def stopped(self) -> bool:
        """Whether the work should end now; work asks this often."""
        return self._stop.is_set()

    def stop(self, *, superseded: bool = False) -> None:
        """Ask the work to end."""
        self.superseded = self.superseded or superseded
        self._stop.set()

    def run(self) -> None:
        """Do the work."""
        self._work(self)


class Worker:
    """Does one thing at a time, the newest that was asked for; there is a thread only while there is work."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: Ticket | None = None
        self._waiting: Ticket | None = None
        self._thread: threading.Thread | None = None
        _workers.add(self)

    @property
    def busy(self) -> bool:
        """Whether anything is being done or waits to be."""
        return self._thread is not None

    def submit(self, work: Callable[[Ticket], None]) -> Ticket:
        """Ask for work; what was asked before is stopped, or forgotten where it had not begun.

        Args:
            work: called on the worker's thread with its ticket; it must not raise, and should ask
                ``ticket.stopped()`` often.

        Returns:
            The ticket.
        """
        ticket = Ticket(work)
        with self._changed:
            for older in (self._running, self._waiting):
                if older is not None:
                    older.stop(superseded=True)
            self._waiting = ticket
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="workbench-panel", daemon=True)
                self._thread.start()
        return ticket

    def stop(self) -> None:
        """Ask the work in progress, and what waits, to end."""
        with self._changed:
            for ticket in (self._running, self._waiting):
                if ticket is not None:
                    ticket.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing left to do.

        Args:
            timeout: in seconds, at most; None for as long as it takes.

        Returns:
            Whether all work is done.
        """
        if self._thread is threading.current_thread():
            return True
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._running, self._waiting = self._waiting, None
                if self._running is None:
                    self._thread = None
                    self._changed.notify_all()
                    return
                ticket = self._running
            try:
                ticket.run()
            except BaseException:
                # A broken promise of the work must not leave those who wait hanging.
                with self._changed:
                    self._running = self._waiting = self._thread = None
                    self._changed.notify_all()
                raise


_workers: WeakSet[Worker] = WeakSet()


@atexit.register
def stop_all() -> None:
    """End all work when Python ends: a thread inside a network at that moment could crash the process."""
    for worker in list(_workers):
        worker.stop()
    for worker in list(_workers):
        worker.wait(SECONDS_TO_END)
