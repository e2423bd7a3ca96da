"""Making a store, and finishing one that was interrupted or damaged."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.errors import DiskSpaceError, StoreDamagedError, StoreError, StoreMismatchError
from workbench.store.backends import Backend, Lock, is_debris
from workbench.store.compute import fixed_threads, layer_values, logit_values, probe
from workbench.store.engines import Job, run
from workbench.store.layout import Encoder, index_files, metadata_files
from workbench.store.planning import Request, check_request, check_same, make_plan
from workbench.store.progress import ProgressBar, say, size_text
from workbench.store.receipts import (
    FINISHED_KEY,
    INDEX_RECEIPT,
    PLAN_KEY,
    FileRecord,
    receipt_key,
    seal,
    seal_finished,
    seal_receipt,
)
from workbench.store.verify import VerifyReport, read_inventory, read_plan, verify
from workbench.store.writer import claim_receipt, write_all, write_checked

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from workbench.models import ImageModel
    from workbench.store.inputs import Inputs
    from workbench.store.plan import Plan

# Kept free beside what is written: file systems fail in odd ways when they are full to the last byte.
SPARE_BYTES = 16 * 2**20


def extract(
    model: ImageModel, inputs: Inputs, request: Request, backend: Backend, *, engine: Any, progress: bool
) -> None:
    """Make a store, or go on with the one that is there.

    Args:
        model: the model.
        inputs: the images.
        request: what to extract, and how.
        backend: where the store will lie.
        engine: ``"serial"`` or a ``dask.distributed`` Client.
        progress: print what will be written, and show a bar.
    """
    with backend.lock() as lock:
        outputs = None
        if backend.read(PLAN_KEY) is None:
            _refuse_strangers(backend)
            with fixed_threads(request.threads) if request.threads else nullcontext():
                outputs = probe(model, request.layers, inputs)
            plan = make_plan(model, inputs, request, outputs)
            _refuse_full_disk(backend, plan, estimate(plan, outputs), images=plan.images)
            write_checked(backend, PLAN_KEY, seal(plan.to_json()))
        else:
            plan = read_plan(backend)
            check_request(plan, request, inputs, where=backend.location)
            check_same(plan, model, inputs, where=backend.location)
            _refuse_other_index(backend, plan, inputs)
        complete(Job(model, plan, inputs, backend), lock=lock, engine=engine, progress=progress, outputs=outputs)


def resume(
    model: ImageModel,
    inputs: Inputs,
    backend: Backend,
    *,
    engine: Any,
    progress: bool,
) -> None:
    """Compute what is missing from a store or damaged in it, and nothing else."""
    with backend.lock() as lock:
        plan = read_plan(backend)
        check_same(plan, model, inputs, where=backend.location)
        complete(Job(model, plan, inputs, backend), lock=lock, engine=engine, progress=progress)


def complete(
    job: Job, *, lock: Lock, engine: Any, progress: bool, outputs: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Plan minus receipts: compute it, verify everything, mark the store as finished.

    Args:
        job: the model, plan, images and place.
        lock: the hold on the store.
        engine: who computes.
        progress: print what will be written, and show a bar.
        outputs: a probe of the model, where there was one already.

    Raises:
        StoreDamagedError: the store does not verify although everything was computed.
    """
    backend, plan = job.backend, job.plan
    report = verify(backend, plan, job.inputs.identifiers)
    _warn_of_strangers(report)
    if report.complete and report.finished:
        return
    _clear_away(backend, report)
    _write_frame(job)
    done = read_inventory(backend, plan, backend.sizes()).blocks
    todo = [block for block in plan.blocks if block.index not in done]
    if todo:
        left = sum(len(block) for block in todo)
        if outputs is None:
            with fixed_threads(plan.threads):
                outputs = probe(job.model, [layer.name for layer in plan.layers], job.inputs)
        _announce(job, estimate(plan, outputs), images=left, progress=progress)
        title = str(plan.provenance["model"])
        with ProgressBar(shown=progress, total=plan.images, done=plan.images - left, title=title) as bar:
            run(engine, job, todo, lock=lock, progress=bar)
    _finish(job, lock)


def estimate(plan: Plan, outputs: Mapping[str, torch.Tensor]) -> float:
    """Bytes that one image will take on disk, from how well a few images compress."""
    count = len(outputs[""])
    small = replace(plan, images=count, batch_size=count, block_images=count)
    values = logit_values(outputs[""])
    for layer in plan.layers:
        names = [str(index) for index in range(count)]
        values.update(layer_values(layer, outputs[layer.name], dtype=plan.dtype, names=names))
    return sum(len(data) for _, data in Encoder(small).shards(small.blocks[0], values)) / count


def _refuse_strangers(backend: Backend) -> None:
    strangers = sorted(key for key in backend.sizes() if not is_debris(key))
    if strangers:
        raise StoreError(
            f"{backend.location} holds {len(strangers)} files that are no activation store, {strangers[0]!r} among "
            "them. Choose a path that does not exist yet, or an empty folder."
        )


def _refuse_full_disk(backend: Backend, plan: Plan, per_image: float, *, images: int) -> None:
    free, needed = backend.free_bytes(), per_image * images + SPARE_BYTES
    if free is not None and needed > free:
        raise DiskSpaceError(
            f"The extraction needs about {size_text(needed)} in {backend.location}, but only {size_text(free)} are "
            f"free. Free some space, choose another path, fewer layers or images, or a smaller dtype than {plan.dtype}."
        )


def _refuse_other_index(backend: Backend, plan: Plan, inputs: Inputs) -> None:
    there = read_inventory(backend, plan, [INDEX_RECEIPT] if backend.read(INDEX_RECEIPT) else []).index
    files = index_files(plan, inputs.identifiers, inputs.labels)
    if there is not None and dict(there) != {key: FileRecord.of(data) for key, data in files.items()}:
        raise StoreMismatchError(
            f"There is a store of the same images with other labels at {backend.location}. "
            "Give the same labels, choose another path, or delete it first."
        )


def _announce(job: Job, per_image: float, *, images: int, progress: bool) -> None:
    plan, backend = job.plan, job.backend
    _refuse_full_disk(backend, plan, per_image, images=images)
    free = backend.free_bytes()
    layers = ", ".join(layer.name for layer in plan.layers)
    say(
        f"Extracting {layers} of {plan.provenance['model']} over {images} images to {backend.location}: "
        f"about {size_text(per_image * images)} on disk (at most {size_text(plan.bytes_per_image * images)}), "
        f"in blocks of {plan.block_images} images." + ("" if free is None else f" {size_text(free)} are free."),
        shown=progress,
    )


def _warn_of_strangers(report: VerifyReport) -> None:
    strangers = [finding.key for finding in report.findings if finding.kind == "foreign"]
    if strangers:
        warnings.warn(
            f"{report.location} holds {len(strangers)} files that are not part of the store, {strangers[0]!r} among "
            "them. They are left alone, and no reader looks at them.",
            UserWarning,
            stacklevel=2,
        )


def _clear_away(backend: Backend, report: VerifyReport) -> None:
    """Withdraw every word that vouches for what is damaged, before anything is written over it."""
    backend.delete(FINISHED_KEY)
    for index in report.blocks:
        backend.delete(receipt_key(index))
    for finding in report.findings:
        if finding.kind in ("truncated", "damaged", "leftover"):
            backend.delete(finding.key)


def _write_frame(job: Job) -> None:
    """Write what is known before the first forward pass, where it is not there already."""
    backend, plan = job.backend, job.plan
    present = backend.sizes()
    write_all(backend, [(key, data) for key, data in metadata_files(plan).items() if key not in present])
    files = index_files(plan, job.inputs.identifiers, job.inputs.labels)
    records = {key: FileRecord.of(data) for key, data in files.items()}
    there = read_inventory(backend, plan, present).index
    missing = [key for key in files if there is None or key not in present]
    if missing and there is not None and dict(there) != records:
        raise StoreMismatchError(
            f"{backend.location}: the identifiers or labels on disk are damaged ({missing[0]}), and those given now "
            "are others than the store was made with. Give resume() the same labels= and identifiers=."
        )
    write_all(backend, [(key, files[key]) for key in missing])
    if there is None:
        claim_receipt(backend, INDEX_RECEIPT, seal_receipt(plan.digest, "index", records))


def _finish(job: Job, lock: Lock) -> None:
    backend, plan = job.backend, job.plan
    for key in backend.sizes():
        if is_debris(key):  # of a worker that was killed on the way
            backend.delete(key)
    report = verify(backend, plan, job.inputs.identifiers)
    if not report.complete:
        raise StoreDamagedError(f"The store does not verify, and was not marked as finished.\n{report}")
    lock.check()
    inventory = read_inventory(backend, plan, backend.sizes())
    write_checked(backend, FINISHED_KEY, seal_finished(plan.digest, inventory.files))
