"""Holding every file of a store against what vouches for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from workbench.errors import MissingFileError, StoreDamagedError
from workbench.store.backends import Backend, is_debris
from workbench.store.layout import metadata_files
from workbench.store.plan import Block, Plan
from workbench.store.receipts import (
    FINISHED_KEY,
    INDEX_RECEIPT,
    PLAN_KEY,
    FileRecord,
    read_files,
    receipt_key,
    seal_finished,
    unseal,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Kind = Literal["missing", "truncated", "damaged", "foreign", "leftover"]
_THREADS = 4  # hashing releases the interpreter lock, and reading waits for the disk


@dataclass(frozen=True)
class Finding:
    """One file that is not as it should be.

    Attributes:
        key: path of the file in the store.
        kind: ``"missing"``, ``"truncated"`` (or otherwise of another length), ``"damaged"`` (right length, other
            bytes), ``"foreign"`` (nothing in the plan has this name), ``"leftover"`` (a killed writer's temporary).
        layers: layers that cannot be trusted because of it; () where none is affected.
        images: first and last identifier that are affected; () where none is.
        block: number of the block; None where it belongs to none.
    """

    key: str
    kind: Kind
    layers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    block: int | None = None

    def __str__(self) -> str:
        affected = ""
        if self.layers:
            images = self.images[0] if self.images[0] == self.images[-1] else f"{self.images[0]} to {self.images[-1]}"
            affected = f": {', '.join(self.layers)} of images {images}"
        return f"{self.kind} {self.key}{affected}"


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        location: the store.
        files: number of files that were held against their record.
        bytes: their size.
        findings: what is not as it should be.
        pending: blocks that have not been written yet.
        finished: whether the store is marked as finished.
    """

    location: str
    files: int
    bytes: int
    findings: tuple[Finding, ...]
    pending: tuple[int, ...] = ()
    finished: bool = False
    _blocks: tuple[Block, ...] = field(default=(), repr=False)
    _identifiers: tuple[str, ...] = field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """Whether everything that the plan promises is there, byte for byte. Files that are not ours do no harm."""
        return not self.pending and not self.harmful

    @property
    def ok(self) -> bool:
        """Whether the store is complete, marked as finished, and holds nothing else."""
        return self.complete and self.finished and not self.findings

    @property
    def harmful(self) -> tuple[Finding, ...]:
        """The findings that make data unusable: missing, truncated, damaged."""
        return tuple(finding for finding in self.findings if finding.kind not in ("foreign", "leftover"))

    @property
    def blocks(self) -> tuple[int, ...]:
        """Numbers of the blocks with a harmful finding."""
        return tuple(sorted({finding.block for finding in self.harmful if finding.block is not None}))

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers with a harmful finding."""
        return tuple(sorted({layer for finding in self.harmful for layer in finding.layers}))

    @property
    def images(self) -> tuple[str, ...]:
        """Identifiers of all images with a harmful finding."""
        return tuple(
            name
            for index in self.blocks
            for name in self._identifiers[self._blocks[index].start : self._blocks[index].stop]
        )

    def __str__(self) -> str:
        if self.ok:
            return (
                f"{self.location}: finished, {self.files} files, {self.bytes / 1e6:.1f} MB, all as they were written."
            )
        lines = [f"{self.location}: {self.files} files, {self.bytes / 1e6:.1f} MB checked."]
        if self.pending:
            lines.append(f"  {len(self.pending)} of {len(self._blocks)} blocks are not written yet.")
        lines += [f"  {finding}" for finding in self.findings]
        if not self.complete:
            lines.append("  store.resume(model, images) computes just these again.")
        elif not self.finished:
            lines.append("  Everything is there, but the store is not marked as finished: store.resume(model, images).")
        return "\n".join(lines)


@dataclass(frozen=True)
class Inventory:
    """What the receipts of a store vouch for.

    Attributes:
        blocks: files of each block that has a receipt, by block number.
        index: files of the index of images; None where its receipt is not there.
        bad: keys of receipts that cannot be trusted.
    """

    blocks: Mapping[int, Mapping[str, FileRecord]]
    index: Mapping[str, FileRecord] | None
    bad: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, FileRecord]:
        """All files that are vouched for, by key."""
        found = dict(self.index or {})
        for files in self.blocks.values():
            found.update(files)
        return found


def read_plan(backend: Backend) -> Plan:
    """The plan of a store.

    Raises:
        MissingFileError: there is no store.
        StoreDamagedError: the plan is damaged.
        StoreError: the store is of another kind or version.
    """
    data = backend.read(PLAN_KEY)
    if data is None:
        raise MissingFileError(
            f"There is no activation store at {backend.location} (no {PLAN_KEY}). "
            "Check the path, or make one with ActivationStore.extract."
        )
    try:
        content = unseal(data, key=PLAN_KEY)
    except StoreDamagedError as error:
        raise StoreDamagedError(
            f"{backend.location}: {error} Nothing else says how the store is laid out: extract to a new path."
        ) from error
    return Plan.from_json(content, where=backend.location)


def read_inventory(backend: Backend, plan: Plan, present: Iterable[str]) -> Inventory:
    """Read every receipt.

    Args:
        backend: where the store lies.
        plan: its plan.
        present: keys of the files that are there.

    Returns:
        What the receipts vouch for; a receipt that is damaged vouches for nothing.
    """
    there = set(present)
    keys = {INDEX_RECEIPT: "index", **{receipt_key(block.index): block.index for block in plan.blocks}}
    with ThreadPoolExecutor(_THREADS) as pool:
        asked = [key for key in keys if key in there]
        documents = dict(zip(asked, pool.map(backend.read, asked), strict=True))
    blocks: dict[int, Mapping[str, FileRecord]] = {}
    index: Mapping[str, FileRecord] | None = None
    bad = []
    for key, data in documents.items():
        try:
            files = read_files(unseal(data or b"", key=key), plan_digest=plan.digest, key=key)
        except StoreDamagedError:
            bad.append(key)  # reported by verify() under its name, and made anew by resume()
            continue
        name = keys[key]
        if isinstance(name, int):
            blocks[name] = files
        else:
            index = files
    return Inventory(blocks, index, tuple(bad))


def verify(backend: Backend, plan: Plan, identifiers: Sequence[str], *, content: bool = True) -> VerifyReport:
    """Hold every file against its record.

    Args:
        backend: where the store lies.
        plan: its plan.
        identifiers: names of the images, for the report; () where they cannot be read.
        content: also read and hash every file; otherwise sizes only.

    Returns:
        What was found.
    """
    sizes = backend.sizes()
    inventory = read_inventory(backend, plan, sizes)
    records = {**{key: FileRecord.of(data) for key, data in metadata_files(plan).items()}, **inventory.files}
    kinds: dict[str, Kind] = dict.fromkeys(inventory.bad, "damaged")
    if inventory.index is None and INDEX_RECEIPT not in inventory.bad:
        kinds[INDEX_RECEIPT] = "missing"
    kinds.update(_compare(backend, records, sizes, content=content))
    finished = _finished_state(backend, plan, inventory, sizes, kinds)
    promised = {key for block in plan.blocks for key in plan.shards(block)}
    promised |= {PLAN_KEY, FINISHED_KEY, INDEX_RECEIPT, *records, *plan.index_keys}
    promised |= {receipt_key(block.index) for block in plan.blocks}
    for key in sizes.keys() - promised:
        kinds[key] = "leftover" if is_debris(key) else "foreign"
    owners = _owners(plan)
    damaged = {int(key.split("/")[1].split(".")[0]) for key in inventory.bad if key != INDEX_RECEIPT}
    pending = tuple(
        block.index for block in plan.blocks if block.index not in inventory.blocks and block.index not in damaged
    )
    findings = tuple(_finding(plan, key, kinds[key], owners, identifiers) for key in sorted(kinds))
    checked = [key for key in records if key in sizes]
    return VerifyReport(
        backend.location,
        len(checked),
        sum(sizes[key] for key in checked),
        findings,
        pending,
        finished,
        plan.blocks,
        tuple(identifiers) or tuple(f"#{index}" for index in range(plan.images)),
    )


def _compare(
    backend: Backend, records: Mapping[str, FileRecord], sizes: Mapping[str, int], *, content: bool
) -> dict[str, Kind]:
    def kind(key: str) -> Kind | None:
        if key not in sizes:
            return "missing"
        if sizes[key] != records[key].size:
            return "truncated"
        if content:
            found = backend.record(key)
            if found is None:
                return "missing"
            if found != records[key]:
                return "damaged"
        return None

    with ThreadPoolExecutor(_THREADS) as pool:
        return {key: found for key, found in zip(records, pool.map(kind, records), strict=True) if found}


def _finished_state(
    backend: Backend, plan: Plan, inventory: Inventory, sizes: Mapping[str, int], kinds: dict[str, Kind]
) -> bool:
    """Whether the store is marked as finished; a mark that contradicts the receipts is damage."""
    if FINISHED_KEY not in sizes:
        return False
    if backend.read(FINISHED_KEY) == seal_finished(plan.digest, inventory.files):
        return True
    if set(inventory.blocks) == {block.index for block in plan.blocks} and inventory.index is not None:
        kinds[FINISHED_KEY] = "damaged"
        return False
    for block in plan.blocks:  # a finished store had every receipt
        if block.index not in inventory.blocks:
            kinds.setdefault(receipt_key(block.index), "missing")
    return False


def _owners(plan: Plan) -> dict[str, tuple[str, ...]]:
    every = tuple(layer.name for layer in plan.layers)
    owners = {}
    for path in plan.block_arrays:
        group = path.rpartition("/")[0]
        owners[path] = tuple(layer.name for layer in plan.layers if layer.group == group) or every
    return owners


def _finding(
    plan: Plan, key: str, kind: Kind, owners: Mapping[str, tuple[str, ...]], identifiers: Sequence[str]
) -> Finding:
    if kind in ("foreign", "leftover"):
        return Finding(key, kind)
    every = tuple(layer.name for layer in plan.layers)
    names = tuple(identifiers) or tuple(f"#{index}" for index in range(plan.images))
    path, separator, rest = key.partition("/c/")
    if separator and path in owners:
        block = plan.blocks[int(rest.split("/")[0])]
        return Finding(key, kind, owners[path], (names[block.start], names[block.stop - 1]), block.index)
    if key.startswith("receipts/") and key != INDEX_RECEIPT:
        block = plan.blocks[int(unquote(key).split("/")[1].split(".")[0])]
        return Finding(key, kind, every, (names[block.start], names[block.stop - 1]), block.index)
    folder = key.removesuffix("/zarr.json")
    layers = owners.get(folder) or tuple(layer.name for layer in plan.layers if layer.group == folder) or every
    return Finding(key, kind, layers, (names[0], names[-1]))
