"""The extraction on the workers of a ``dask.distributed`` cluster."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from distributed import as_completed, get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol.pickle import dumps, loads

from workbench.store.compute import block_values
from workbench.store.receipts import receipt_key
from workbench.store.writer import BlockWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.store.backends import Lock
    from workbench.store.engines import Job
    from workbench.store.plan import Block, Task
    from workbench.store.progress import Progress


class JobPlugin(WorkerPlugin):
    """Loads the job, and with it the model, once a worker; workers that join or restart later load it too."""

    def __init__(self, job: Job) -> None:
        self.name = f"workbench-extract-{job.plan.digest[:16]}"
        self._payload: bytes = dumps(job)  # type: ignore[no-untyped-call]  # distributed is half typed
        self.job: Job | None = None

    def setup(self, worker: Any) -> None:
        """Load the job when the worker starts."""
        self.job = loads(self._payload)  # type: ignore[no-untyped-call]  # distributed is half typed


class CoordinatorHold:
    """The process that handed out the work holds the store, and checks its hold before each result it accepts."""

    def check(self) -> None:
        """Checked elsewhere."""


def run_task(name: str, task: Task) -> int:
    """Compute and write one task on a worker; may run twice, and then leaves the same bytes.

    Args:
        name: name of the plugin that holds the job.
        task: what to compute.

    Returns:
        Number of images that the task was asked for.
    """
    plugin: Any = get_worker().plugins[name]
    job: Job = plugin.job
    left = tuple(block for block in task.blocks if job.backend.read(receipt_key(block.index)) is None)
    writer = BlockWriter(job.backend, job.plan, CoordinatorHold())
    with closing(block_values(job.model, job.plan, job.inputs, tuple(job.plan.tasks(left)))) as stream:
        for block, values in stream:
            writer.write(block, values)
    return sum(len(block) for block in task.blocks)


def run_dask(client: Any, job: Job, blocks: Sequence[Block], *, lock: Lock, progress: Progress) -> None:
    """Compute and write blocks on the workers of a cluster.

    A worker that dies loses what it had not finished; dask gives that to another.

    Args:
        client: the cluster.
        job: what to compute.
        blocks: the blocks to compute.
        lock: the hold on the store, kept by this process.
        progress: told of finished images.
    """
    plugin = JobPlugin(job)
    client.register_plugin(plugin)
    try:
        futures = [
            client.submit(run_task, plugin.name, task, key=f"{plugin.name}-{task.start}", pure=False)
            for task in job.plan.tasks(blocks)
        ]
        try:
            for future in as_completed(futures):  # type: ignore[no-untyped-call]  # distributed is half typed
                lock.check()
                progress.update(future.result())
        finally:
            client.cancel(futures)
    finally:
        client.unregister_worker_plugin(plugin.name)
