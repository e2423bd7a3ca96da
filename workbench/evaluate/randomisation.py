"""Networks without what they have learned: weights drawn again, layer by layer, always on a copy."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from workbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from workbench.models import ImageModel


@dataclass(frozen=True)
class WeightedLayer:
    """A layer that has weights of its own.

    Attributes:
        name: of the layer.
        owners: names of the modules whose own parameters are drawn again with it: itself, or parts of it that are never
            called by themselves (the projections of attention, for instance).
    """

    name: str
    owners: tuple[str, ...]


def weighted_layers(model: ImageModel, inputs: torch.Tensor) -> tuple[WeightedLayer, ...]:
    """The layers that have weights, in the order in which they finish, from the input to the output.

    Args:
        model: the model; it is not changed.
        inputs: (image, channel, y, x) float, what one forward pass is made with.

    Returns:
        The layers; those that are not used for these inputs are left out.

    Raises:
        InputError: nothing in the network has weights.
    """
    copied = copy.deepcopy(model.module)
    for weights in copied.parameters():
        weights.requires_grad_(weights.is_floating_point())
    finished: dict[str, None] = {}
    for name, part in copied.named_modules():
        part.register_forward_hook(lambda *_, name=name: finished.setdefault(name))
    with torch.enable_grad():
        logits = replace(model, module=copied).logits(inputs.detach().clone())
        if logits.requires_grad:
            logits.sum().backward()  # type: ignore[no-untyped-call]
    # weights that no gradient reaches are not used; where none is reached at all, gradients say nothing
    reached = {name for name, weights in copied.named_parameters() if weights.grad is not None}
    used = {name.rpartition(".")[0] for name in reached} or set(dict(copied.named_modules()))
    owners: dict[str, list[str]] = {}
    for name, part in copied.named_modules():
        if name in used and any(True for _ in part.parameters(recurse=False)):
            caller = name
            while caller not in finished and caller:
                caller = caller.rpartition(".")[0]
            owners.setdefault(caller, []).append(name)
    found = tuple(WeightedLayer(name, tuple(owners[name])) for name in finished if name in owners)
    if not found:
        raise InputError(
            f"Nothing in {model.name!r} has weights that could be randomised. A black box cannot be checked this way."
        )
    return found


def randomised(model: ImageModel, layers: Sequence[WeightedLayer], *, seed: int) -> ImageModel:
    """A copy of a model in which some layers have never been trained.

    A module that knows how its weights begin (``reset_parameters``) draws them so, normalisation its running statistics
    too; any other parameter keeps its values in a random order.

    Args:
        model: the model; it is not changed.
        layers: from :func:`weighted_layers`.
        seed: of the draws; each layer's depend on its name alone, not on what else is randomised.

    Returns:
        Another model of the same name with ``(randomised)`` after it, on the same device.
    """
    copied = copy.deepcopy(model.module)
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        for layer in layers:
            for owner in layer.owners:
                torch.manual_seed(_seed_of(owner, seed))
                _draw_again(copied.get_submodule(owner))
    return replace(model, module=copied, name=f"{model.name} (randomised)")


def _seed_of(owner: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {owner}".encode()).digest()[:7])


def _draw_again(part: nn.Module) -> None:
    reset = getattr(part, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    with torch.no_grad():
        for parameter in part.parameters(recurse=False):
            order = torch.randperm(parameter.numel(), device="cpu").to(parameter.device)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
