"""Reading arrays of a store without ever mistaking a missing shard for zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.abc.store import ByteRequest, Store
from zarr.storage import WrapperStore

from workbench.errors import ShardMissingError, StoreDamagedError
from workbench.store.layout import metadata_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from zarr.core.buffer import Buffer, BufferPrototype

    from workbench.store.plan import ArrayPlan, Plan


class GuardedStore(WrapperStore[Store]):
    """A Zarr store in which a shard that the plan promises cannot be absent.

    Zarr reads an absent chunk as the fill value, without a word.
    """

    def __init__(self, store: Store, plan: Plan) -> None:
        super().__init__(store)
        self._plan = plan
        self._metadata = metadata_files(plan)

    def _with_store(self, store: Store) -> GuardedStore:
        return GuardedStore(store, self._plan)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The bytes of a key.

        Raises:
            ShardMissingError: the plan promises the key, and it is not there.
        """
        if byte_range is None and key in self._metadata:
            # the plan has its own checksum, so it is trusted before the files that were made from it
            return prototype.buffer.from_bytes(self._metadata[key])
        value = await self._store.get(key, prototype, byte_range)
        if value is None:
            self._refuse_absence(key)
        return value

    def _refuse_absence(self, key: str) -> None:
        path, separator, rest = key.partition("/c/")
        if not separator:
            return
        number = int(rest.split("/")[0])
        blocks = self._plan.blocks
        if path in self._plan.block_arrays and number < len(blocks):
            block = blocks[number]
            raise ShardMissingError(
                f"{path}: shard {number} of {len(blocks)} (images {block.start} to {block.stop - 1}) is missing. "
                "Run store.resume(model, images); do not average over it."
            )
        if path in self._plan.index_arrays:
            raise ShardMissingError(f"{path}: {key} is missing. Run store.resume(model, images).")


@dataclass(frozen=True)
class StoredArray(BackendArray):
    """One array of a store, read when it is indexed; damage is named."""

    array: Any
    plan: ArrayPlan
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        values = indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)
        return np.asarray(values)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        return read_checked(self.plan.path, lambda: np.asarray(self.array.oindex[key]))


def read_checked(path: str, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Read, and say which array is damaged where a checksum does not fit.

    Raises:
        StoreDamagedError: bytes that do not match their checksum, or that cannot be decoded.
    """
    try:
        return read()
    except (ValueError, RuntimeError, EOFError) as error:
        if isinstance(error, ShardMissingError):
            raise
        raise StoreDamagedError(
            f"{path} cannot be read: {error}. store.verify() says which images are affected, "
            "store.resume(model, images) computes them again."
        ) from error


def open_array(store: Store, array: ArrayPlan) -> xr.Variable:
    """An array of a store as a lazily read variable."""
    opened = zarr.open_array(store, path=array.path, mode="r")
    dtype = np.dtype(object) if array.dtype == "string" else np.dtype(array.dtype)
    stored = StoredArray(opened, array, array.shape, dtype)
    encoding = {"preferred_chunks": dict(zip(array.dims, array.chunks, strict=True))}
    return xr.Variable(array.dims, indexing.LazilyIndexedArray(stored), encoding=encoding)
