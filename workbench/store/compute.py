"""From images to the values of blocks: forward passes, in the batches of the plan, a bounded number at a time."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.arrays import UNIT
from workbench.errors import DtypeError, NotFiniteError, ShapeError
from workbench.models import capture
from workbench.store.plan import LOGITS, PREDICTED, Block, LayerPlan, Plan, Span, Task, pooled_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from workbench.models import ImageModel
    from workbench.store.inputs import Inputs

Values = dict[str, NDArray[Any]]
# Bytes of a layer's output that are pooled at a time on the CPU.
_POOL_BYTES = 4 * 2**20


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Compute with a given number of torch threads: the last bits of a convolution depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def forward(model: ImageModel, layers: Sequence[str], inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """One forward pass.

    Args:
        model: the model.
        layers: layer names.
        inputs: (image, channel, y, x) network input.

    Returns:
        Layer name to its output, (image, ...), and the logits under "".

    Raises:
        ShapeError: a layer whose output is not one entry an image.
        DtypeError: a layer whose output is not floating.
    """
    with torch.no_grad(), capture(model, layers) as outputs:
        logits = model.logits(inputs)
    found = {name: outputs[name].detach() for name in layers}
    for name, output in found.items():
        if output.ndim == 0 or len(output) != len(inputs):
            raise ShapeError(
                f"Layer {name!r} gives shape {tuple(output.shape)} for {len(inputs)} images; expected the image first."
            )
        if not output.is_floating_point():
            raise DtypeError(f"Layer {name!r} gives {output.dtype}; only floating activations can be stored.")
    return {**found, "": logits.detach()}


def batch_values(model: ImageModel, plan: Plan, inputs: torch.Tensor, *, names: Sequence[str]) -> Values:
    """The values of one batch for every array of the plan.

    Args:
        model: the model.
        plan: the plan.
        inputs: (image, channel, y, x) network input.
        names: identifiers of the images, for messages.

    Returns:
        (image, ...) by array path, in the dtype of the array.

    Raises:
        NotFiniteError: an activation or a logit is NaN or infinite.
        DtypeError: an activation does not fit the dtype of the store.
        ShapeError: a layer's output has another shape than the plan says.
    """
    outputs = forward(model, [layer.name for layer in plan.layers], inputs)
    logits = outputs[""].float()
    _check_finite(logits, logits, what="the logits", names=names)
    values = logit_values(logits)
    for layer in plan.layers:
        values.update(layer_values(layer, outputs[layer.name], dtype=plan.dtype, names=names))
    return values


def logit_values(logits: torch.Tensor) -> Values:
    """Logits, and the category with the highest, by array path."""
    return {LOGITS: logits.float().cpu().numpy(), PREDICTED: logits.argmax(1).cpu().numpy()}


def layer_values(layer: LayerPlan, output: torch.Tensor, *, dtype: str, names: Sequence[str]) -> Values:
    """One layer's maps as they are stored, and what is pooled from the stored values.

    Pooling the stored values, not those before rounding, keeps ``max == maps.max()`` exactly true.
    The first position wins where several hold the maximum.
    """
    if tuple(output.shape[1:]) != layer.shape:
        raise ShapeError(
            f"Layer {layer.name!r} gives shape {tuple(output.shape[1:])} for image {names[0]!r}; "
            f"the store was planned for {layer.shape}. All images must give the same shape."
        )
    # on the CPU a few images at a time: the copies that pooling needs stay small, and in the cache
    step = len(output) if output.is_cuda else max(1, _POOL_BYTES // max(1, output[0].nbytes))
    values: Values = {}
    for start in range(0, len(output), step):
        part = slice(start, start + step)
        for path, some in _some_layer_values(layer, output[part], dtype=dtype, names=names[part]).items():
            whole = values.setdefault(path, np.empty((len(output), *some.shape[1:]), some.dtype))
            whole[part] = some
    return values


def _some_layer_values(layer: LayerPlan, output: torch.Tensor, *, dtype: str, names: Sequence[str]) -> Values:
    maps = output.to(getattr(torch, dtype))
    _check_finite(output, maps, what=f"layer {layer.name!r}", names=names)
    values: Values = {f"{layer.group}/maps": maps.cpu().numpy()}
    if not layer.has_units:
        return values
    wide = maps.to(getattr(torch, pooled_dtype(dtype)))
    flat = wide.movedim(1 + layer.dims.index(UNIT), 1).reshape(len(wide), layer.units, -1)
    highest, where = flat.max(2)
    values[f"{layer.group}/max"] = highest.cpu().numpy()
    values[f"{layer.group}/mean"] = flat.mean(2).cpu().numpy()
    sizes = tuple(size for dim, size in zip(layer.dims, layer.shape, strict=True) if dim != UNIT)
    indices = np.unravel_index(where.cpu().numpy(), sizes) if sizes else ()
    for dim, index in zip(layer.positions, indices, strict=True):
        values[f"{layer.group}/argmax_{dim}"] = index.astype(np.int32)
    return values


def _check_finite(before: torch.Tensor, stored: torch.Tensor, *, what: str, names: Sequence[str]) -> None:
    finite = torch.isfinite(stored)
    if bool(finite.all()):
        return
    first = int((~finite).flatten(1).any(1).nonzero()[0])
    if bool(torch.isfinite(before).all()):
        raise DtypeError(
            f"{what} reaches {float(before.abs().max()):.4g} for image {names[first]!r}; {stored.dtype} holds at most "
            f"{torch.finfo(stored.dtype).max:.4g}. Extract with dtype='float32'."
        )
    raise NotFiniteError(
        f"{what} holds NaN or infinity, first for image {names[first]!r}. Check the weights and the input's scale."
    )


def block_values(
    model: ImageModel,
    plan: Plan,
    inputs: Inputs,
    tasks: Sequence[Task],
    *,
    on_images: Callable[[int], object] = lambda count: None,
) -> Generator[tuple[Block, Values], None, None]:
    """Compute blocks in order, preparing the next batch while the network runs.

    Args:
        model: the model.
        plan: the plan.
        inputs: the images.
        tasks: what to compute.
        on_images: called after each batch with the number of images of it that were asked for.

    Yields:
        Each block of the tasks with its values, (image, ...) by array path. The arrays are the caller's to keep.
    """
    work = [(task, span) for task in tasks for span in task.batches]
    with ThreadPoolExecutor(1, "prepare", torch.set_num_threads, (plan.threads,)) as pool, fixed_threads(plan.threads):
        upcoming: Future[torch.Tensor] | None = None
        partial: Values = {}
        for number, (task, span) in enumerate(work):
            current = upcoming or pool.submit(inputs.batch, model, span)
            batch = current.result()
            upcoming = pool.submit(inputs.batch, model, work[number + 1][1]) if number + 1 < len(work) else None
            values = batch_values(model, plan, batch, names=inputs.identifiers[span.start : span.stop])
            on_images(sum(block.shared(span) for block in task.blocks))
            yield from _cut(task, span, values, partial)


def _cut(task: Task, span: Span, values: Values, partial: Values) -> Iterator[tuple[Block, Values]]:
    """Put a batch into the blocks that it belongs to; give out those that are complete."""
    for block in task.blocks:
        if not block.shared(span):
            continue
        if span.start <= block.start and block.stop <= span.stop:
            part = slice(block.start - span.start, block.stop - span.start)
            yield block, {path: array[part] for path, array in values.items()}
            continue
        if not partial:
            partial.update({path: np.empty((len(block), *item.shape[1:]), item.dtype) for path, item in values.items()})
        for path, array in values.items():
            partial[path][span.start - block.start : span.stop - block.start] = array
        if span.stop == block.stop:
            complete = dict(partial)
            partial.clear()
            yield block, complete


def probe(model: ImageModel, layers: Sequence[str], inputs: Inputs, *, images: int = 4) -> dict[str, torch.Tensor]:
    """One small forward pass, to learn shapes and how well the values compress.

    Returns:
        Layer name to output on the CPU, and the logits under "".
    """
    count = min(images, len(inputs))
    outputs = forward(model, layers, inputs.batch(model, Span(0, count)))
    return {name: output.cpu() for name, output in outputs.items()}


def model_facts(model: ImageModel) -> Mapping[str, str]:
    """What identifies a model: its name, the hash of its weights, its preprocessing."""
    preprocessing = model.preprocessing.to_json()
    text = json.dumps(preprocessing, sort_keys=True)
    return {"model": model.name, "weights_hash": model.weights_hash, "preprocessing": text}
