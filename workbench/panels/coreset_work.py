"""Long work on a store that can be stopped, is counted, and goes on where it was: around what does not ask itself."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.errors import Interrupted
from workbench.interpret.coreset import coreset_curve
from workbench.interpret.coreset.curve import FRACTIONS, RANDOM
from workbench.interpret.reading import label_categories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.interpret import Activations
    from workbench.interpret.coreset import Subject
    from workbench.interpret.coreset.choice import Pool

KEPT_BYTES = 64 * 2**20


class Stoppable:
    """Activations that are read in blocks, and ask before each block whether to go on.

    Each thread has a question of its own, for as long as it asks: what was prepared for one is read on by another.

    Args:
        source: the activations.
    """

    def __init__(self, source: Activations) -> None:
        self.source = source
        self._question = threading.local()

    @contextmanager
    def asking(self, stop: Callable[[], bool]) -> Iterator[None]:
        """Let this thread ask, before each block that it reads, whether to stop.

        Args:
            stop: answers True to stop.
        """
        self._question.stop = stop
        try:
            yield
        finally:
            del self._question.stop

    @property
    def layers(self) -> Any:
        """Names of the layers."""
        return self.source.layers

    @property
    def identifiers(self) -> Any:
        """One name an image."""
        return self.source.identifiers

    @property
    def categories(self) -> Any:
        """Names of the outputs."""
        return self.source.categories

    @property
    def label_categories(self) -> tuple[str, ...]:
        """Names of the categories that the labels count."""
        return label_categories(self.source)

    @property
    def labels(self) -> Any:
        """(image) integers, or None."""
        return self.source.labels

    @property
    def predicted(self) -> Any:
        """(image) integers."""
        return self.source.predicted

    @property
    def logits(self) -> Any:
        """(image, category)."""
        return self.source.logits

    def dataset(self, layer: str) -> xr.Dataset:
        """One layer; every block that is read begins here.

        Args:
            layer: its name.

        Returns:
            As the source's.

        Raises:
            Interrupted: the answer was to stop.
        """
        if getattr(self._question, "stop", bool)():
            raise Interrupted("Stopped on request while activations were read.")
        return self.source.dataset(layer)

    def quantile(self, layer: str, q: float) -> xr.DataArray:
        """As the source's.

        Args:
            layer: its name.
            q: in [0, 1].

        Returns:
            (unit) float64.
        """
        return self.source.quantile(layer, q)


class Memory:
    """Interpretations by the images that they were made from, so that no curve makes one twice.

    Args:
        most: bytes of results to keep, those that were used last.
    """

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most, self._bytes = most, 0
        self._known: OrderedDict[Any, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()  # the choice and the curve are computed side by side

    def __len__(self) -> int:
        return len(self._known)

    def around(self, subject: Subject, *, stop: Callable[[], bool], told: Callable[[], None]) -> Subject:
        """A subject that remembers, can be stopped, and tells of every interpretation.

        Args:
            subject: the subject; it must always be the same one for one memory.
            stop: answers True to stop.
            told: called before each interpretation.

        Returns:
            A subject that gives the same.
        """

        def interpret(indices: NDArray[Any], weights: NDArray[Any] | None) -> NDArray[Any]:
            if stop():
                raise Interrupted("Stopped on request between two interpretations.")
            told()
            key = indices.tobytes(), None if weights is None else weights.tobytes()
            with self._lock:
                if key in self._known:
                    self._known.move_to_end(key)
                    return self._known[key]
            found = subject.interpret(indices, weights)
            with self._lock:
                self._bytes += found.nbytes - (self._known[key].nbytes if key in self._known else 0)
                self._known[key] = found
                while self._bytes > self._most and len(self._known) > 1:
                    self._bytes -= self._known.popitem(last=False)[1].nbytes
            return found

        return replace(subject, interpret=interpret)


def watched_curve(
    subject: Subject,
    store: Activations,
    selector: str,
    *,
    layer: str,
    pool: Pool,
    seed: int,
    splits: int,
    random_draws: int,
    memory: Memory,
    stop: Callable[[], bool],
    told: Callable[[float, float | None], None],
    fractions: Sequence[float] = FRACTIONS,
) -> xr.Dataset:
    """The curve of one selector beside random, as :func:`~workbench.interpret.coreset.coreset_curve` gives it.

    Args:
        subject: the interpretation.
        store: the activations.
        selector: a registered selector.
        layer: whose pooled features it sees.
        pool: which of them.
        seed: of splits, draws and the floor.
        splits: halvings.
        random_draws: random coresets a split and fraction.
        memory: of this subject; what was computed before a stop is not computed again.
        stop: asked before each interpretation.
        told: called with the share done, and the seconds left or None.
        fractions: shares of one half.

    Returns:
        The curve.

    Raises:
        Interrupted: ``stop`` answered True.
        WorkbenchError: whatever ``coreset_curve`` refuses.
    """
    names = [RANDOM] if selector == RANDOM else [RANDOM, selector]
    total = splits * (2 + len(fractions) * (random_draws + len(names) - 1))
    began, done = time.monotonic(), 0

    def count() -> None:
        nonlocal done
        left = (time.monotonic() - began) / done * (total - done) if done else None
        told(min(done / total, 1.0), left)
        done += 1

    return coreset_curve(
        memory.around(subject, stop=stop, told=count), store, names, fractions=fractions, splits=splits,
        random_draws=random_draws, layer=layer, pool=pool, pools={}, seed=seed, workers=1, progress=False,
    )  # fmt: skip
