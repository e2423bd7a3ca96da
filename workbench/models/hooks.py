"""Observing and changing what layers give, and leaving the model as it was."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.errors import DtypeError, InputError, ShapeError, UnknownNameError, unknown_name

if TYPE_CHECKING:
    from workbench.models.image_model import ImageModel

Replacement = torch.Tensor | Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Layer:
    """One module as it behaved in one forward pass.

    Attributes:
        name: the name by which it is captured: the module's own, with ``:0``, ``:1`` ... after it where the module
            is called several times in one pass.
        kind: name of the module's class.
        shape: output shape without the image dimension; None where the output is not one tensor an image.
        parameters: number of its parameters, those of its children included.
        order: when the call ended, counted over all calls from 0; -1 where it is not called.
        note: why it cannot be captured; "" where it can.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    order: int = -1
    note: str = ""


class _Pass:
    """Numbers the calls of each module within one forward pass of the whole network, in one thread."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.started = False
        # another thread may use the same network (panels compute in the background): its passes are not ours
        self._thread = threading.get_ident()

    @property
    def foreign(self) -> bool:
        return threading.get_ident() != self._thread

    def number(self, name: str) -> int:
        self.calls[name] += 1
        return self.calls[name] - 1


def _module_of(model: ImageModel | nn.Module) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    module = getattr(model, "module", None)
    if not isinstance(module, nn.Module):
        raise DtypeError(f"model is {type(model).__name__}; expected an ImageModel or a torch.nn.Module.")
    return module


def split_call(module: nn.Module, layer: str) -> tuple[str, int | None]:
    """Split ``"block.relu:1"`` into module name and number of the call.

    Args:
        module: the network.
        layer: a layer name, with or without the number of the call.

    Returns:
        The module's name, and the number of the call or None.

    Raises:
        UnknownNameError: the network has no such module, with the nearest names.
    """
    known = [name for name, _ in module.named_modules() if name]
    if layer in known:
        return layer, None
    name, _, call = str(layer).rpartition(":")
    if name in known and call.isdecimal():
        return name, int(call)
    raise unknown_name("layer", layer, known)


@contextmanager
def _hooked(module: nn.Module, layers: Sequence[str], visit: Callable[[str, Any], Any]) -> Iterator[_Pass]:
    """Call ``visit(layer, output)`` for each asked call; what it gives replaces the output, None leaves it."""
    wanted: dict[str, dict[int | None, str]] = {}
    for layer in layers:
        name, call = split_call(module, layer)
        wanted.setdefault(name, {})[call] = layer
    run = _Pass()

    def restart(_module: nn.Module, _args: Any) -> None:
        if not run.foreign:
            run.started = True
            run.calls.clear()

    def hook_for(name: str, calls: dict[int | None, str]) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            if run.foreign:
                return None
            number = run.number(name)
            if None in calls and number:
                raise InputError(
                    f"Layer {name!r} is called several times in one forward pass. "
                    f"Say which call is meant: '{name}:0', '{name}:1' ..."
                )
            layer = calls.get(None) or calls.get(number)
            return None if layer is None else visit(layer, output)

        return hook

    with ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(restart).remove)
        for name, calls in wanted.items():
            stack.callback(module.get_submodule(name).register_forward_hook(hook_for(name, calls)).remove)
        yield run


def _tensor(layer: str, output: Any) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output
    raise InputError(f"Layer {layer!r} gives {describe_output(output)}; only layers that give one tensor can be used.")


def describe_output(output: Any) -> str:
    """What a layer or network gave, in words.

    Args:
        output: anything.

    Returns:
        For example ``"a dict with the keys 'logits', 'features'"``.
    """
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with the keys {', '.join(repr(key) for key in output)}"
    if isinstance(output, list | tuple):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"


@contextmanager
def capture(model: ImageModel | nn.Module, layers: str | Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Keep what layers give, while the block runs.

    The tensors are those that the network computes with, so gradients reach them; what follows in the network works
    on a copy, so that an in-place activation behind a layer does not change what was captured. Passes that other
    threads make meanwhile are not captured.

    Args:
        model: the model.
        layers: layer names; ``"name:1"`` is the second call of a module that is called several times in one pass.

    Yields:
        Layer name to the output of the last forward pass, (image, ...), filled as the network runs.

    Raises:
        UnknownNameError: no such layer, or no such call of it.
        InputError: a layer that gives no tensor, or that is called several times (raised by the forward pass).
    """
    module = _module_of(model)
    asked = [layers] if isinstance(layers, str) else list(layers)
    if not asked:
        raise InputError("layers is empty; expected at least one layer name.")
    found: dict[str, torch.Tensor] = {}

    def keep(layer: str, output: Any) -> torch.Tensor:
        found[layer] = _tensor(layer, output)
        return found[layer].clone()

    with _hooked(module, asked, keep) as run:
        yield found
        missing = [layer for layer in asked if layer not in found]
        if missing and run.started:
            raise UnknownNameError(
                f"Layer {missing[0]!r} was not called in the forward pass. See model.layers for those that are."
            )


@contextmanager
def replace_output(model: ImageModel | nn.Module, replacements: Mapping[str, Replacement]) -> Iterator[None]:
    """Give layers other outputs, while the block runs: the intervention behind causal questions.

    Args:
        model: the model.
        replacements: layer name to a tensor that takes the place of the output, or to a function of the output,
            (image, ...) to the same shape. The function gets a copy, which it may change.

    Yields:
        Nothing.

    Raises:
        UnknownNameError: no such layer.
        ShapeError: a replacement of another shape than the output (raised by the forward pass).
        InputError: a layer that gives no tensor, or that is called several times (raised by the forward pass).
    """

    def change(layer: str, output: Any) -> torch.Tensor:
        given, value = _tensor(layer, output), replacements[layer]
        changed = value if isinstance(value, torch.Tensor) else value(given.clone())
        if not isinstance(changed, torch.Tensor) or changed.shape != given.shape:
            got = tuple(changed.shape) if isinstance(changed, torch.Tensor) else type(changed).__name__
            raise ShapeError(f"The replacement of layer {layer!r} is {got}; expected shape {tuple(given.shape)}.")
        return changed.to(given)

    with _hooked(_module_of(model), list(replacements), change):
        yield


@contextmanager
def preserved(model: ImageModel | nn.Module) -> Iterator[nn.Module]:
    """Put the model back as it was when the block ends, however it ends.

    Training flags, hooks, ``requires_grad`` and gradients of the parameters are restored; values are not watched.
    In the block, parameters have no gradients at first.

    Args:
        model: the model.

    Yields:
        Its module.
    """
    module = _module_of(model)
    flags = {part: part.training for part in module.modules()}
    hooks = {part: {name: dict(getattr(part, name)) for name in _HOOKS} for part in module.modules()}
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in module.parameters()]
    for parameter in module.parameters():
        parameter.grad = None  # set aside, not copied: a backward pass in the block would add to it in place
    try:
        yield module
    finally:
        for part, training in flags.items():
            part.training = training
            for name, before in hooks[part].items():
                current = getattr(part, name)
                for key in [key for key in current if key not in before]:
                    del current[key]
        for parameter, requires, gradient in parameters:
            parameter.requires_grad_(requires)
            parameter.grad = gradient


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def structural_copy(model: ImageModel | nn.Module) -> nn.Module:
    """New modules around the same parameters and buffers: what is done to its hooks and flags leaves the model alone.

    Args:
        model: the model.

    Returns:
        The copy; it costs no memory for weights, and an edited weight is seen by both.
    """
    module = _module_of(model)
    shared: dict[int, Any] = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, shared)


def trace_layers(module: nn.Module, inputs: torch.Tensor) -> tuple[Layer, ...]:
    """Run one forward pass and say what each module gave.

    Args:
        module: the network.
        inputs: (image, channel, y, x) float.

    Returns:
        One record a module, or one a call where a module is called several times, in the order of the modules.
    """
    outputs: dict[str, list[tuple[int, Any]]] = {}
    order = count()
    with ExitStack() as stack, torch.inference_mode():
        thread = threading.get_ident()
        for name, part in module.named_modules():
            if not name:
                continue

            def note(_module: nn.Module, _args: Any, output: Any, name: str = name) -> None:
                if threading.get_ident() == thread:
                    seen = output.shape if isinstance(output, torch.Tensor) else describe_output(output)
                    outputs.setdefault(name, []).append((next(order), seen))

            stack.callback(part.register_forward_hook(note).remove)
        module(inputs)
    records: list[Layer] = []
    for name, part in module.named_modules():
        if name:
            records += _records(name, part, outputs.get(name, []), len(inputs))
    return tuple(records)


def _records(name: str, part: nn.Module, seen: list[tuple[int, Any]], images: int) -> list[Layer]:
    kind, size = type(part).__name__, sum(parameter.numel() for parameter in part.parameters())
    if not seen:
        return [Layer(name, kind, None, size, note="it is not called in the forward pass")]
    records = []
    for number, (order, output) in enumerate(seen):
        label = name if len(seen) == 1 else f"{name}:{number}"
        shape, note = None, ""
        if not isinstance(output, torch.Size):
            note = f"it gives {output}, not one tensor"
        elif not output or output[0] != images:
            note = f"its output {tuple(output)} has no image dimension first"
        else:
            shape = tuple(output[1:])
        records.append(Layer(label, kind, shape, size, order, note))
    return records
