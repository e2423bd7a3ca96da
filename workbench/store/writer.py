"""From the values of a block to files that are vouched for."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from workbench.errors import NotDeterministicError, StoreDamagedError
from workbench.store.layout import Encoder
from workbench.store.receipts import FileRecord, receipt_key, seal_receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from numpy.typing import NDArray

    from workbench.store.backends import Backend, Lock
    from workbench.store.local import Buffers
    from workbench.store.plan import Block, Plan


# Files of one block that are written at a time.
_WRITES = 8


class BlockWriter:
    """Writes blocks: each shard once, read back and held against what was meant, then one receipt."""

    def __init__(self, backend: Backend, plan: Plan, lock: Lock) -> None:
        self._backend = backend
        self._plan = plan
        self._lock = lock
        self._encoder = Encoder(plan)

    def write(self, block: Block, values: Mapping[str, NDArray[Any]]) -> None:
        """Write one block.

        Args:
            block: the images.
            values: (image, ...) of the block's images, by array path.

        Raises:
            DiskSpaceError: the disk is full, or cannot be written.
            StoreDamagedError: what was read back is not what was written.
            StoreLockedError: the hold on the store was lost.
            NotDeterministicError: the block was written before, with other bytes.
        """
        files = write_all(self._backend, self._encoder.shards(block, values))
        self._lock.check()
        claim_receipt(self._backend, receipt_key(block.index), seal_receipt(self._plan.digest, block.index, files))


class BackgroundWriter:
    """Writes one block while the next is computed; never more than one waits, which bounds the memory."""

    def __init__(self, writer: BlockWriter) -> None:
        self._writer = writer
        self._pool = ThreadPoolExecutor(1, "write")
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def put(self, block: Block, values: Mapping[str, NDArray[Any]]) -> None:
        """Hand over a block, after the one before it has been written; its error is raised here."""
        self.flush()
        self._running = self._pool.submit(self._writer.write, block, values)

    def flush(self) -> None:
        """Wait for the block that is being written, and raise what went wrong with it."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self._pool.shutdown()


def write_all(backend: Backend, files: Iterable[tuple[str, Buffers]]) -> dict[str, FileRecord]:
    """Write files, several at a time: a disk commits many small files together as fast as one.

    Args:
        backend: where to write.
        files: keys and bytes, taken as they are needed.

    Returns:
        The record of each file, by key, once all of them are written and checked.

    Raises:
        StoreDamagedError: what was read back is not what was written.
        DiskSpaceError: the disk is full, or cannot be written.
    """
    with ThreadPoolExecutor(_WRITES, "file") as pool:
        running = {key: pool.submit(write_checked, backend, key, data) for key, data in files}
        return {key: future.result() for key, future in running.items()}


def write_checked(backend: Backend, key: str, data: Buffers) -> FileRecord:
    """Write a file, read it back, and give its record.

    Raises:
        StoreDamagedError: what was read back is not what was written.
    """
    record = FileRecord.of(data)
    backend.write(key, data)
    if backend.record(key) != record:
        raise StoreDamagedError(
            f"{key} in {backend.location} does not read back as it was written. The disk or the network damages data; "
            "check it, then run the extraction again."
        )
    return record


def claim_receipt(backend: Backend, key: str, data: bytes) -> None:
    """Create a receipt; another run of the same work must have left the very same one.

    Raises:
        NotDeterministicError: a receipt with other bytes is there.
    """
    if backend.create(key, data):
        return
    there = backend.read(key)
    if there != data:
        raise NotDeterministicError(
            f"{backend.location}: {key} is there already and vouches for other bytes. The model gave different answers "
            "to the same images (dropout, or another version of torch?). Extract to a new path."
        )
