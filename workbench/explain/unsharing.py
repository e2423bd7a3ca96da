"""A network rewritten so that every nonlinearity is a module of its own, called once and not in place.

DeepLift puts a rule on each nonlinear module; one that is called twice has two inputs and one rule, one that works in
place has lost its input, and one that is a function (``torch.relu``) has no module to put a rule on.
"""

from __future__ import annotations

import copy
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from workbench.errors import InputError
from workbench.models import structural_copy
from workbench.models.hooks import trace_layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.models import ImageModel


def _max_pool(
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nn.Module:
    # the function and the module have their last two arguments in opposite order
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)


_FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    F.relu: nn.ReLU,
    F.relu_: nn.ReLU,
    F.relu6: nn.ReLU6,
    F.leaky_relu: nn.LeakyReLU,
    F.elu: nn.ELU,
    F.silu: nn.SiLU,
    F.gelu: nn.GELU,
    F.hardswish: nn.Hardswish,
    F.hardsigmoid: nn.Hardsigmoid,
    F.softplus: nn.Softplus,
    torch.sigmoid: nn.Sigmoid,
    F.sigmoid: nn.Sigmoid,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    F.max_pool2d: _max_pool,
    torch.max_pool2d: _max_pool,
}
_METHODS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def unshared(model: ImageModel, inputs: torch.Tensor) -> nn.Module:
    """Rewrite a copy of the network; its weights are shared with the original.

    Args:
        model: the model.
        inputs: (image, channel, y, x) float, to look for modules that are called several times.

    Returns:
        A module that computes the same, in which each nonlinearity is a module of its own.

    Raises:
        InputError: the network's control flow depends on data, so that it cannot be rewritten, and a nonlinearity is
            called several times in one pass.
    """
    network = structural_copy(model)
    for part in network.modules():
        if hasattr(part, "inplace"):
            part.inplace = False  # type: ignore[assignment]
    try:
        graph = fx.Tracer().trace(network)
    except (torch.fx.proxy.TraceError, TypeError, RuntimeError, AttributeError, NotImplementedError) as error:
        return _untraceable(model, network, inputs, error)
    traced = fx.GraphModule(network, graph)
    _own_modules(traced)
    return traced.eval()


def _own_modules(traced: fx.GraphModule) -> None:
    seen: set[str] = set()
    for number, node in enumerate(list(traced.graph.nodes)):
        if node.op == "call_module":
            if node.target in seen:
                node.target = _add(traced, number, _twin(traced.get_submodule(node.target)))
            seen.add(node.target)
            continue
        table: dict[Any, Callable[..., nn.Module]] = {"call_function": _FUNCTIONS, "call_method": _METHODS}.get(
            node.op, {}
        )
        if node.target in table:
            source = node.args[0] if node.args else node.kwargs["input"]
            module = _module_for(table[node.target], node)
            with traced.graph.inserting_before(node):
                fresh = traced.graph.call_module(_add(traced, number, module), (source,))
            node.replace_all_uses_with(fresh)
            traced.graph.erase_node(node)
    traced.graph.lint()
    traced.recompile()


def _module_for(make: Callable[..., nn.Module], node: fx.Node) -> nn.Module:
    options = {key: value for key, value in node.kwargs.items() if key not in ("inplace", "input")}
    if make is _max_pool:
        return make(*node.args[1:], **options)
    # booleans behind the input of an activation say where it works, not what it computes
    return make(*(argument for argument in node.args[1:] if not isinstance(argument, bool)), **options)


def _add(traced: fx.GraphModule, number: int, module: nn.Module) -> str:
    name = f"unshared_{number}"
    traced.add_submodule(name, module.eval())
    return name


def _twin(module: nn.Module) -> nn.Module:
    """Another module around the same weights."""
    shared: dict[int, Any] = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, shared)


def _untraceable(model: ImageModel, network: nn.Module, inputs: torch.Tensor, error: Exception) -> nn.Module:
    repeated = [
        layer.name
        for layer in trace_layers(network, inputs)
        if ":" in layer.name and next(network.get_submodule(layer.name.rpartition(":")[0]).parameters(), None) is None
    ]
    if repeated:
        raise InputError(
            f"DeepLift cannot explain {model.name!r}: its module {repeated[0].rpartition(':')[0]!r} is called several "
            f"times in one pass, and the network cannot be rewritten: its control flow depends on data ({error}). "
            "Give each call a module of its own."
        ) from error
    return network
