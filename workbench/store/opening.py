"""Whether a store can be read, and what it lacks where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import ShardMissingError, StoreDamagedError, StoreError
from workbench.store.layout import metadata_files
from workbench.store.receipts import FINISHED_KEY, INDEX_RECEIPT, FileRecord, read_files, unseal
from workbench.store.verify import Inventory, Kind, read_inventory, verify

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.store.backends import Backend
    from workbench.store.plan import Plan


@dataclass(frozen=True)
class State:
    """What of a store is there.

    Attributes:
        finished: whether the store was finished.
        pending: numbers of the blocks that were never written.
        damaged: numbers of the blocks with a file that is missing, truncated or damaged.
        index: whether identifiers and labels can be read.
        problems: keys of files that are not as they should be.
        missing: whether one of them is not there at all.
    """

    finished: bool
    pending: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()
    index: bool = True
    problems: tuple[str, ...] = ()
    missing: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing is lacking."""
        return self.finished and not self.problems

    def usable(self, plan: Plan) -> NDArray[np.int64]:
        """Indices of the images that can be read."""
        bad = {*self.pending, *self.damaged}
        spans = [np.arange(block.start, block.stop) for block in plan.blocks if block.index not in bad]
        return np.concatenate(spans) if spans else np.zeros(0, np.int64)


def inspect(backend: Backend, plan: Plan, *, content: bool) -> State:
    """Find out what of a store is there, by the sizes of its files or, with ``content``, by their bytes too."""
    sizes = backend.sizes()
    finished, inventory = _inventory(backend, plan, sizes)
    if content:
        report = verify(backend, plan, ())
        kinds = {finding.key: finding.kind for finding in report.harmful}
        pending, finished = report.pending, report.finished
    else:
        records = {**{key: FileRecord.of(data) for key, data in metadata_files(plan).items()}, **inventory.files}
        bad: dict[str, Kind] = {
            key: "missing" if key not in sizes else "truncated"
            for key in records
            if sizes.get(key) != records[key].size
        }
        kinds = {**bad, **dict.fromkeys(inventory.bad, "damaged")}
        # identifiers and labels are read anyway, and everything is found by them: their bytes are always checked
        for key, record in (inventory.index or {}).items():
            if key not in kinds and backend.record(key) != record:
                kinds[key] = "damaged"
        pending = tuple(block.index for block in plan.blocks if block.index not in inventory.blocks)
    damaged = {
        block.index
        for block in plan.blocks
        if block.index not in pending and any(key in kinds for key in plan.shards(block))
    }
    index_there = inventory.index is not None and not any(key in kinds for key in inventory.index)
    problems = tuple(sorted(kinds)) + (() if index_there or INDEX_RECEIPT in kinds else (INDEX_RECEIPT,))
    return State(finished, tuple(pending), tuple(sorted(damaged)), index_there, problems, "missing" in kinds.values())


def _inventory(backend: Backend, plan: Plan, sizes: dict[str, int]) -> tuple[bool, Inventory]:
    """What is vouched for: in one file where the store is finished, else by its receipts."""
    data = backend.read(FINISHED_KEY) if FINISHED_KEY in sizes else None
    if data is None:
        return False, read_inventory(backend, plan, sizes)
    try:
        files = read_files(unseal(data, key=FINISHED_KEY), plan_digest=plan.digest, key=FINISHED_KEY)
    except StoreDamagedError:
        # the receipts still tell; that the mark itself is damaged makes the store unfinished
        return False, read_inventory(backend, plan, sizes)
    blocks = {block.index: {key: files[key] for key in plan.shards(block)} for block in plan.blocks}
    in_blocks = {key for block in blocks.values() for key in block}
    return True, Inventory(blocks, {key: record for key, record in files.items() if key not in in_blocks})


def refusal(backend: Backend, plan: Plan, state: State) -> StoreError:
    """The error for a store that is not whole."""
    ways = "store.resume(model, images) completes it; allow_partial=True opens what is there."
    lacking = sorted({*state.pending, *state.damaged})
    images = sum(len(plan.blocks[index]) for index in lacking)
    count = f"{images} of {plan.images} images ({len(lacking)} of {len(plan.blocks)} blocks)"
    if state.problems:
        shown = ", ".join(state.problems[:3]) + (
            f" and {len(state.problems) - 3} more" if len(state.problems) > 3 else ""
        )
        kind = ShardMissingError if state.missing else StoreDamagedError
        return kind(
            f"{backend.location} is damaged: {shown} {'is missing or' if state.missing else 'is'} not as it was "
            f"written; {count} cannot be used. store.verify() says more; {ways}"
        )
    return StoreError(f"{backend.location} is not finished: {count} are not written. {ways}")
