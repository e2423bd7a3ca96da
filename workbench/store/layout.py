"""The files of a store: Zarr metadata, the index of images, and the bytes of every shard. No file is touched here."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from workbench.store.plan import CATEGORIES, IDENTIFIERS, IMAGES, LABELS, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.store.local import Buffers
    from workbench.store.plan import ArrayPlan, Block


class Encoder:
    """Turns values into the bytes of shards, through zarr itself, in memory.

    The bytes are known before anything is written, so that what is read back can be held against them.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._store = MemoryStore()
        self._arrays = {path: _create(self._store, array) for path, array in plan.block_arrays.items()}

    def shards(self, block: Block, values: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, Buffers]]:
        """Encode one block, one shard at a time.

        Args:
            block: the images.
            values: (image, ...) of the block's images, by array path.

        Yields:
            Key and bytes of each shard.
        """
        for path, array in self._plan.block_arrays.items():
            self._arrays[path][block.start : block.stop] = values[path]
            key = array.shard_key(block.index)
            yield key, _take(self._store, key)


def metadata_files(plan: Plan) -> dict[str, bytes]:
    """Every ``zarr.json`` of a store, by key.

    Plain xarray opens the store with them: ``xr.open_zarr(path, group="layers/features.18", consolidated=False)``.
    """
    return dict(_metadata_files(json.dumps(plan.to_json(), sort_keys=True)))


@lru_cache(maxsize=8)
def _metadata_files(text: str) -> dict[str, bytes]:
    plan = Plan.from_json(json.loads(text), where="a plan")
    store = MemoryStore()
    # sorted: a plan that was read back must give the same bytes as the one that was made
    facts = dict(sorted(plan.provenance.items()))
    root = zarr.create_group(store, attributes=facts)
    root.create_group("layers")
    root.create_group(IMAGES, attributes=facts)
    for layer in plan.layers:
        root.create_group(layer.group, attributes={**facts, "layer": layer.name})
    for array in (*plan.index_arrays.values(), *plan.block_arrays.values()):
        _create(store, array)
    return _take_all(store)


def index_files(plan: Plan, identifiers: Sequence[str], labels: NDArray[np.int64] | None) -> dict[str, bytes]:
    """The shards of the arrays that are known beforehand: identifiers, labels (-1 for none), category names."""
    store = MemoryStore()
    values: dict[str, Any] = {
        IDENTIFIERS: np.array(list(identifiers), dtype=object),
        LABELS: np.full(plan.images, -1, np.int64) if labels is None else labels,
        CATEGORIES: np.array(list(plan.categories), dtype=object),
    }
    for path, array in plan.index_arrays.items():
        _create(store, array)[:] = values[path]
    return {key: data for key, data in _take_all(store).items() if not key.endswith("zarr.json")}


def _create(store: MemoryStore, array: ArrayPlan) -> Any:
    text = array.dtype == "string"
    return zarr.create_array(
        store,
        name=array.path,
        shape=array.shape,
        dtype=str if text else array.dtype,
        chunks=array.chunks,
        shards=array.shards,
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        fill_value="" if text else 0,
        dimension_names=array.dims,
        # a dead unit's chunk is all zeros, and must exist all the same: absence means damage here
        config={"write_empty_chunks": True},
    )


def _take(store: MemoryStore, key: str) -> Buffers:
    """Take a file out of a store in memory, without copying it."""
    buffer = sync(store.get(key, default_buffer_prototype()))
    if buffer is None:
        raise KeyError(key)
    sync(store.delete(key))
    array: Any = buffer.as_numpy_array()
    return memoryview(array).cast("B")


def _take_all(store: MemoryStore) -> dict[str, bytes]:
    async def keys() -> list[str]:
        return [key async for key in store.list()]

    return {key: bytes(_take(store, key)) for key in sorted(sync(keys()))}
