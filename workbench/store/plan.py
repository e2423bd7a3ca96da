"""The plan of a store: which images make a batch, a block, a shard. Pure: nothing here reads or writes."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from workbench.arrays import CATEGORY, IMAGE, UNIT
from workbench.errors import DtypeError, InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FORMAT = "interpretation-workbench activation store"
VERSION = 1
DTYPES = ("float16", "float32", "float64")
# One block over all layers, before compression: two of them are in memory at a time, and one more encoded.
BLOCK_BYTES = 16 * 2**20
# A block is what a killed run loses, so it is bounded in images too, however small they are.
BLOCK_IMAGES = 1024
CHUNK_BYTES = 256 * 2**10
INDEX_CHUNK = 65_536
# Arrays with one entry an image, whatever the layer; beside them the names of the categories.
IMAGES = "images"
IDENTIFIERS, LABELS, CATEGORIES = f"{IMAGES}/image", f"{IMAGES}/label", f"{IMAGES}/category"
LOGITS, PREDICTED = f"{IMAGES}/logits", f"{IMAGES}/predicted"


@dataclass(frozen=True)
class Span:
    """A range of images, ``stop`` exclusive."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def shared(self, other: Span) -> int:
        """Number of images that both ranges hold."""
        return max(0, min(self.stop, other.stop) - max(self.start, other.start))


@dataclass(frozen=True)
class Block(Span):
    """The images of one shard of every array: written once, by one writer, vouched for by one receipt."""

    index: int


@dataclass(frozen=True)
class Task(Span):
    """The smallest range of images that is both whole batches and whole blocks: what an engine hands to a worker."""

    batches: tuple[Span, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class ArrayPlan:
    """One Zarr array: its path in the store, dimensions, shape, dtype, and the sizes of its chunks and shards."""

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None

    def shard_key(self, block: int) -> str:
        """Key of the shard that holds a block: the image axis is cut into blocks, no other axis is cut."""
        return "/".join([self.path, "c", str(block), *["0"] * (len(self.shape) - 1)])

    @property
    def bytes_per_image(self) -> int:
        """Size of one image's values, uncompressed."""
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class LayerPlan:
    """One layer: its name, and the names and sizes of its output's axes without the image axis."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def has_units(self) -> bool:
        """Whether one of the axes counts units, so that pooled arrays exist."""
        return UNIT in self.dims

    @property
    def units(self) -> int:
        """Number of units; 0 where no axis counts units."""
        return self.shape[self.dims.index(UNIT)] if self.has_units else 0

    @property
    def positions(self) -> tuple[str, ...]:
        """Dimensions that are pooled over: all but the unit dimension."""
        return tuple(dim for dim in self.dims if dim != UNIT)

    @property
    def group(self) -> str:
        """Path of the layer's Zarr group."""
        return f"layers/{quote(self.name, safe='.')}"


@dataclass(frozen=True)
class Plan:
    """Everything that fixes the bytes of a store, known before the first shard is written.

    Batch boundaries and the number of threads are part of it, because the last bits of an activation depend on both.

    Attributes:
        images: number of images.
        categories: names of the categories that the logits index.
        layers: the layers, in the order asked for.
        dtype: dtype of the maps.
        batch_size: images a forward pass.
        block_images: images a block; a multiple or a divisor of ``batch_size``.
        threads: torch threads of every forward pass.
        label_categories: names of the categories that the labels index.
        provenance: where the numbers come from: model, weights hash, preprocessing, data hashes, versions.
    """

    images: int
    categories: tuple[str, ...]
    layers: tuple[LayerPlan, ...]
    dtype: str
    batch_size: int
    block_images: int
    threads: int
    label_categories: tuple[str, ...] = ()
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, in the order of their images."""
        starts = range(0, self.images, self.block_images)
        return tuple(
            Block(start, min(start + self.block_images, self.images), index) for index, start in enumerate(starts)
        )

    def tasks(self, blocks: Sequence[Block]) -> Iterator[Task]:
        """Group blocks into tasks, each with exactly the batches that must be computed for it."""
        size = max(self.batch_size, self.block_images)
        wanted: dict[int, list[Block]] = {}
        for block in blocks:
            wanted.setdefault(block.start // size, []).append(block)
        for index, members in sorted(wanted.items()):
            stop = min((index + 1) * size, self.images)
            batches = tuple(
                Span(start, min(start + self.batch_size, self.images))
                for start in range(index * size, stop, self.batch_size)
            )
            yield Task(index * size, stop, batches, tuple(sorted(members, key=lambda block: block.index)))

    @cached_property
    def block_arrays(self) -> dict[str, ArrayPlan]:
        """Arrays that are written block by block, by path."""
        arrays = [array for layer in self.layers for array in self._layer_arrays(layer)]
        arrays.append(self._array(LOGITS, (IMAGE, CATEGORY), (len(self.categories),), "float32"))
        arrays.append(self._array(PREDICTED, (IMAGE,), (), "int64"))
        return {array.path: array for array in arrays}

    @cached_property
    def index_arrays(self) -> dict[str, ArrayPlan]:
        """Arrays that are known before the first forward pass, by path."""
        count, categories = self.images, len(self.categories)
        arrays = [
            ArrayPlan(IDENTIFIERS, (IMAGE,), (count,), "string", (min(count, INDEX_CHUNK),)),
            ArrayPlan(LABELS, (IMAGE,), (count,), "int64", (min(count, INDEX_CHUNK),)),
            ArrayPlan(CATEGORIES, (CATEGORY,), (categories,), "string", (categories,)),
        ]
        return {array.path: array for array in arrays}

    @property
    def bytes_per_image(self) -> int:
        """Bytes that one image takes in all arrays, uncompressed."""
        return sum(array.bytes_per_image for array in self.block_arrays.values())

    def layer(self, name: str) -> LayerPlan:
        """The plan of one layer; the caller has checked that it is there."""
        return next(layer for layer in self.layers if layer.name == name)

    @property
    def index_keys(self) -> frozenset[str]:
        """Keys of the files of the arrays that are known beforehand."""
        return frozenset(
            f"{array.path}/c/{number}"
            for array in self.index_arrays.values()
            for number in range(math.ceil(array.shape[0] / array.chunks[0]))
        )

    def shards(self, block: Block) -> dict[str, ArrayPlan]:
        """The arrays of every shard of a block, by shard key."""
        return {array.shard_key(block.index): array for array in self.block_arrays.values()}

    def _layer_arrays(self, layer: LayerPlan) -> Iterator[ArrayPlan]:
        yield self._array(f"{layer.group}/maps", (IMAGE, *layer.dims), layer.shape, self.dtype)
        if layer.has_units:
            pooled = pooled_dtype(self.dtype)
            for name in ("max", "mean"):
                yield self._array(f"{layer.group}/{name}", (IMAGE, UNIT), (layer.units,), pooled)
            for dim in layer.positions:
                yield self._array(f"{layer.group}/argmax_{dim}", (IMAGE, UNIT), (layer.units,), "int32")

    def _array(self, path: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: str) -> ArrayPlan:
        chunks = balanced_chunks(self.block_images, dims, shape, np.dtype(dtype).itemsize)
        shards = (
            self.block_images,
            *(math.ceil(size / chunk) * chunk for size, chunk in zip(shape, chunks[1:], strict=True)),
        )
        return ArrayPlan(path, dims, (self.images, *shape), dtype, chunks, shards)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values, with the format's name and version."""
        return {"format": FORMAT, "version": VERSION, **json.loads(json.dumps(asdict(self)))}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: str) -> Plan:
        """Read a plan, or say why this version cannot.

        Args:
            value: what :meth:`to_json` gave.
            where: location of the store, for the message.

        Raises:
            StoreError: not a store of this kind, or of a version that this one does not read.
        """
        if value.get("format") != FORMAT:
            raise StoreError(f"{where} is not an activation store (its plan names the format {value.get('format')!r}).")
        version = value.get("version")
        if version != VERSION:
            raise StoreError(version_message(where, version, value.get("provenance", {})))
        fields = {key: item for key, item in value.items() if key not in ("format", "version")}
        layers = tuple(LayerPlan(item["name"], tuple(item["dims"]), tuple(item["shape"])) for item in fields["layers"])
        names = {key: tuple(fields[key]) for key in ("categories", "label_categories")}
        return cls(**{**fields, **names, "layers": layers})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the plan, hex: two stores with the same digest have the same bytes."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def version_message(where: str, version: Any, provenance: Mapping[str, Any]) -> str:
    """Say what to do about a store of another format version."""
    writer = json.loads(str(provenance.get("versions", "{}"))).get("interpretation-workbench", "an unknown version")
    lead = (
        f"{where} has store format {version}, written by interpretation-workbench {writer}; "
        f"this version reads format {VERSION}."
    )
    if isinstance(version, int) and version > VERSION:
        return f"{lead} Upgrade interpretation-workbench to read it."
    return (
        f"{lead} To migrate it, extract the same images and layers to a new path with this version, "
        "or read it with the version that wrote it and write the arrays you need."
    )


def pooled_dtype(dtype: str) -> str:
    """Dtype of the pooled values beside maps of ``dtype``: never narrower than float32."""
    return "float64" if dtype == "float64" else "float32"


def check_dtype(dtype: Any) -> str:
    """The name of a dtype that maps can be stored in.

    Raises:
        DtypeError: another dtype.
    """
    try:
        name = str(np.dtype(dtype).name)
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise DtypeError(f"dtype is {dtype!r}; activations are stored as one of {', '.join(DTYPES)}.")
    return name


def choose_batch_size(bytes_per_image: int, images: int, *, accelerator: bool, budget: int = BLOCK_BYTES) -> int:
    """The batch size that ``"auto"`` means.

    The largest power of two of at most 32 (128 on an accelerator) whose activations fit the budget, so that one batch
    never makes more than one block; not more than the images there are.
    """
    most = 128 if accelerator else 32
    fitting = max(1, min(most, budget // max(1, bytes_per_image)))
    return min(images, 1 << int(math.log2(fitting)))


def check_batch_size(batch_size: Any, images: int) -> int:
    """A batch size that the caller chose, cut to the number of images.

    Raises:
        InputError: not a positive whole number.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size is {batch_size!r}; expected a whole number of at least 1, or 'auto'.")
    return min(batch_size, images)


def block_size(bytes_per_image: int, batch_size: int, images: int, *, budget: int = BLOCK_BYTES) -> int:
    """Images a block, from a budget of bytes over all layers.

    Args:
        bytes_per_image: bytes of one image in all arrays.
        batch_size: images a forward pass.
        images: number of images.
        budget: most bytes a block, uncompressed.

    Returns:
        As many whole batches as fit the budget, or, where one batch does not, the largest divisor of the batch that
        does (one image at least, however large it is).
    """
    fitting = max(1, min(BLOCK_IMAGES, budget // max(1, bytes_per_image)))
    if fitting >= batch_size:
        return batch_size * min(fitting // batch_size, math.ceil(images / batch_size))
    return max(size for size in range(1, fitting + 1) if batch_size % size == 0)


def balanced_chunks(
    block_images: int, dims: Sequence[str], shape: Sequence[int], itemsize: int, *, target: int = CHUNK_BYTES
) -> tuple[int, ...]:
    """Chunk sizes under which neither one image nor one unit is slow to read.

    An image's maps lie in ``units / chunk units`` chunks, a unit's in ``images / chunk images``. With about twice as
    many units as images a chunk, at 256 KiB, both take milliseconds. Position axes are not cut.

    Args:
        block_images: images a shard; the chunk's images divide it.
        dims: dimensions with ``image`` first.
        shape: sizes without the image axis.
        itemsize: bytes a value.
        target: bytes a chunk, uncompressed.

    Returns:
        One size a dimension, ``image`` first.
    """
    positions = math.prod(size for dim, size in zip(dims[1:], shape, strict=True) if dim not in (UNIT, CATEGORY))
    values = max(1, target // max(1, positions * itemsize))
    cut = {dim for dim in dims if dim in (UNIT, CATEGORY)}
    if not cut:
        return (_divisor(block_images, values), *shape)
    if positions == 1:
        # pooled values: a column over many images is what is asked for
        images = _divisor(block_images, BLOCK_IMAGES)
        most = max(1, values // images)
    else:
        images = _divisor(block_images, max(1, round(math.sqrt(values / 2))))
        most = max(1, values // images)
    return (
        images,
        *(_even_part(size, most) if dim in cut else size for dim, size in zip(dims[1:], shape, strict=True)),
    )


def _divisor(number: int, most: int) -> int:
    return max(part for part in range(1, min(number, most) + 1) if number % part == 0)


def _even_part(size: int, most: int) -> int:
    """Size of the parts when ``size`` is cut into the fewest equal parts of at most ``most``."""
    return math.ceil(size / math.ceil(size / most)) if size else 1
