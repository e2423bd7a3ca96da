"""Who computes the blocks: this process, one by one, or the workers of a dask cluster. The bytes are the same."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import InputError
from workbench.store.compute import block_values
from workbench.store.writer import BackgroundWriter, BlockWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.models import ImageModel
    from workbench.store.backends import Backend, Lock
    from workbench.store.inputs import Inputs
    from workbench.store.plan import Block, Plan
    from workbench.store.progress import Progress


@dataclass(frozen=True)
class Job:
    """All that is needed to compute and write any block of a store."""

    model: ImageModel
    plan: Plan
    inputs: Inputs
    backend: Backend


def check_engine(engine: Any) -> None:
    """Refuse what is no engine.

    Raises:
        InputError: neither ``"serial"`` nor a ``dask.distributed`` Client.
    """
    is_client = type(engine).__module__.startswith("distributed.") and hasattr(engine, "register_plugin")
    if engine != "serial" and not is_client:
        raise InputError(f"engine is {engine!r}; expected 'serial' or a dask.distributed Client.")


def run(engine: Any, job: Job, blocks: Sequence[Block], *, lock: Lock, progress: Progress) -> None:
    """Compute and write blocks.

    Args:
        engine: ``"serial"``, or a ``dask.distributed`` Client.
        job: what to compute.
        blocks: the blocks to compute.
        lock: the hold on the store.
        progress: told of finished images.
    """
    if engine == "serial":
        run_serial(job, blocks, lock=lock, progress=progress)
    else:
        from workbench.store.dask_engine import run_dask

        run_dask(engine, job, blocks, lock=lock, progress=progress)


def run_serial(job: Job, blocks: Sequence[Block], *, lock: Lock, progress: Progress) -> None:
    """The reference: blocks in their order, one being written while the next is computed."""
    tasks = tuple(job.plan.tasks(blocks))
    stream = block_values(job.model, job.plan, job.inputs, tasks, on_images=progress.update)
    with closing(stream), BackgroundWriter(BlockWriter(job.backend, job.plan, lock)) as background:
        for block, values in stream:
            background.put(block, values)
