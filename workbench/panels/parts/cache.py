"""The results that were computed last, so that a step back is free."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Result = TypeVar("Result")


class Cache(Generic[Result]):
    """Keeps the results of the ``capacity`` questions that were asked last.

    Args:
        capacity: how many results to keep, at least 1.
    """

    def __init__(self, capacity: int = 32) -> None:
        self.capacity = capacity
        self._known: OrderedDict[Hashable, Result] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def get(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result for ``key``, computed where it is not known; an exception is not kept.

        Args:
            key: everything that the result depends on.
            compute: makes the result.

        Returns:
            The result, the same object every time.
        """
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        result = compute()
        with self._lock:
            self._known[key] = result
            while len(self._known) > self.capacity:
                self._known.popitem(last=False)
        return result
