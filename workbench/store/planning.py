"""From what a caller asks for to a plan, and whether a store that is there already is the one that is asked for."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from workbench.arrays import provenance
from workbench.errors import InputError, StoreMismatchError
from workbench.models.hooks import split_call
from workbench.store.compute import model_facts
from workbench.store.naming import check_dimension_names, dimension_names
from workbench.store.plan import LayerPlan, Plan, block_size, choose_batch_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workbench.models import ImageModel
    from workbench.store.inputs import Inputs

# What must be the same for the same numbers, and what changes at most their last bits.
_HARD_FACTS = ("weights_hash", "preprocessing", "pixels_hash", "manifest_hash")
_SOFT_FACTS = ("device", "versions")


@dataclass(frozen=True)
class Request:
    """What the caller asked for, checked; None where the plan may choose.

    Attributes:
        layers: layer names.
        dtype: dtype of the maps.
        batch_size: images a forward pass.
        threads: torch threads.
        dims: names of the axes, by layer, where the caller knows better.
        block_bytes: most bytes a block, uncompressed.
    """

    layers: tuple[str, ...]
    dtype: str
    batch_size: int | None
    threads: int | None
    dims: Mapping[str, Sequence[str]]
    block_bytes: int


def check_layers(layers: Any) -> tuple[str, ...]:
    """Layer names as a tuple.

    Raises:
        InputError: none, a name twice, or something that is no name.
    """
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    if not names:
        raise InputError("layers is empty; expected at least one layer name. See model.layers.")
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"layers holds {next(n for n in names if not isinstance(n, str))!r}; expected layer names.")
    if len(set(names)) != len(names):
        raise InputError(f"layers names a layer twice: {', '.join(names)}.")
    return names


def make_plan(model: ImageModel, inputs: Inputs, request: Request, outputs: Mapping[str, torch.Tensor]) -> Plan:
    """Fix everything that decides the bytes of the store.

    Args:
        model: the model.
        inputs: the images.
        request: what was asked for.
        outputs: what a probe of a few images gave, by layer, and the logits under "".
    """
    layers = tuple(_layer_plan(model, name, outputs[name], request.dims) for name in request.layers)
    draft = Plan(
        images=len(inputs),
        categories=tuple(model.category_names(outputs[""].shape[1])),
        layers=layers,
        dtype=request.dtype,
        batch_size=1,
        block_images=1,
        threads=request.threads or torch.get_num_threads(),
        label_categories=inputs.categories,
        provenance=provenance(**facts(model, inputs)),
    )
    size = draft.bytes_per_image
    batch = request.batch_size
    if batch is None:
        accelerator = model.device.type != "cpu"
        batch = choose_batch_size(size, len(inputs), accelerator=accelerator, budget=request.block_bytes)
    block = block_size(size, batch, len(inputs), budget=request.block_bytes)
    return replace(draft, batch_size=batch, block_images=block)


def _layer_plan(model: ImageModel, name: str, output: torch.Tensor, dims: Mapping[str, Sequence[str]]) -> LayerPlan:
    shape = tuple(output.shape[1:])
    if name in dims:
        return LayerPlan(name, check_dimension_names(name, dims[name], shape), shape)
    module = model.module.get_submodule(split_call(model.module, name)[0])
    return LayerPlan(name, dimension_names(shape, module=module), shape)


def facts(model: ImageModel, inputs: Inputs) -> dict[str, Any]:
    """What identifies the model and the images of a store."""
    return {
        **model_facts(model),
        "device": model.device.type,
        "manifest_hash": inputs.manifest_hash,
        "identifiers_hash": inputs.identifiers_hash(),
        "pixels_hash": inputs.pixels_hash(),
    }


def check_same(plan: Plan, model: ImageModel, inputs: Inputs, *, where: str) -> None:
    """Refuse to go on with another model or other images.

    Raises:
        StoreMismatchError: with everything that differs.
    """
    now = provenance(**facts(model, inputs))
    differences = [] if plan.images == len(inputs) else [f"{plan.images} images there, {len(inputs)} given"]
    differences += _differences(plan.provenance, now, _HARD_FACTS)
    if differences:
        raise StoreMismatchError(
            f"{where} was made by {plan.provenance.get('model')!r} over other data or weights: "
            f"{'; '.join(differences)}. Give the same model and images, or choose another path."
        )
    soft = _differences(plan.provenance, now, _SOFT_FACTS)
    if soft:
        warnings.warn(
            f"{where} was begun elsewhere ({'; '.join(soft)}): what is computed now may differ in the last bits.",
            UserWarning,
            stacklevel=2,
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        if before.get(name) != now.get(name):
            there, here = (str(value.get(name, "none"))[:24] or "none" for value in (before, now))
            found.append(f"{name.replace('_', ' ')} {there} there, {here} given")
    return found


def check_request(plan: Plan, request: Request, inputs: Inputs, *, where: str) -> None:
    """Refuse to go on with a store that was planned otherwise than asked now.

    Raises:
        StoreMismatchError: with everything that differs.
    """
    pairs: list[tuple[str, Any, Any]] = [
        ("layers", tuple(layer.name for layer in plan.layers), request.layers),
        ("dtype", plan.dtype, request.dtype),
        ("batch_size", plan.batch_size, request.batch_size or plan.batch_size),
        ("threads", plan.threads, request.threads or plan.threads),
        ("identifiers", plan.provenance["identifiers_hash"], inputs.identifiers_hash()),
    ]
    pairs += [
        (f"dims of {layer.name}", layer.dims, tuple(request.dims.get(layer.name, layer.dims))) for layer in plan.layers
    ]
    differences = [f"{name} {there} there, {here} asked" for name, there, here in pairs if there != here]
    if differences:
        raise StoreMismatchError(
            f"There is another store at {where}: {'; '.join(differences)}. Choose another path, or delete it first."
        )
