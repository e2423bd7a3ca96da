"""From a network to the list of its steps, in which the engine can follow a change.

The network is traced symbolically with ``torch.fx``, run once to learn shapes, and each traced node is translated by
:mod:`workbench.explain.incremental.translate` into one step that says how far a change of its input reaches. Batch
norms are folded into the convolutions before them, and activations into what they are applied to.
"""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from workbench.errors import NotDeterministicError
from workbench.explain.incremental.program import Program, fold
from workbench.explain.incremental.translate import Translator, UntraceableError
from workbench.models.loading import CallableModule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def trace_program(module: nn.Module, inputs: Tensor, *, keep: Sequence[str] = ()) -> Program:
    """Translate a network into steps.

    Args:
        module: the network, in evaluation mode; it is not changed.
        inputs: (1, channel, y, x), an input of the shape to trace for.
        keep: layers whose outputs must stay steps of their own (no folding across them).

    Returns:
        The program. It holds copies of folded weights: it describes the network as it is now.

    Raises:
        NotDeterministicError: a part of the network is in training mode.
        UntraceableError: the control flow depends on data, or the network does something that tracing cannot follow.
    """
    trace = trace_plainly(module)
    try:
        with torch.no_grad():
            recorder = _Recorder(trace.graph_module)
            recorder.run(inputs)
            outputs = {name: calls[-1] for name, calls in trace.calls.items()}
            program = Translator(trace.graph_module, recorder.values, outputs).program(inputs)
    except Exception as error:
        raise _untraceable(error) from error
    return fold(program, keep=frozenset(keep))


@dataclass(frozen=True, eq=False)
class Trace:
    """A network as a graph of operations none of which works in place.

    Attributes:
        graph_module: the graph, around a copy of the network that shares its weights.
        calls: name of a module to the nodes that are its outputs, one a call.
    """

    graph_module: fx.GraphModule
    calls: Mapping[str, Sequence[fx.Node]]


def trace_plainly(module: nn.Module) -> Trace:
    """Trace a network symbolically, as it is, with in-place operations turned into plain ones.

    Args:
        module: the network, in evaluation mode; it is not changed.

    Returns:
        The trace.

    Raises:
        NotDeterministicError: a part of the network is in training mode.
        UntraceableError: the control flow depends on data.
    """
    refuse_training(module)
    if any(isinstance(part, CallableModule) for part in module.modules()):
        raise UntraceableError("a black box can only be asked")
    try:
        private = _copy_sharing_weights(module)
        in_place = {name for name, part in private.named_modules() if getattr(part, "inplace", False) is True}
        for name in in_place:
            # an in-place activation would overwrite the original's maps, which every position is compared with
            private.get_submodule(name).inplace = False  # type: ignore[assignment]
        tracer = _Tracer()
        graph_module = fx.GraphModule(private, tracer.trace(private))
        _undo_in_place(graph_module.graph, in_place)
    except Exception as error:
        raise _untraceable(error) from error
    return Trace(graph_module, tracer.calls)


def _untraceable(error: BaseException) -> UntraceableError:
    """Whatever a network's own code does when symbols go through it, it cannot be traced: whoever asked says so."""
    return UntraceableError(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")


def refuse_training(module: nn.Module) -> None:
    """Refuse a network of which some part would behave differently from call to call.

    Args:
        module: the network.

    Raises:
        NotDeterministicError: a part is in training mode.
    """
    for name, part in module.named_modules():
        if part.training:
            raise NotDeterministicError(
                f"{name or type(module).__name__!r} is in training mode, so it may answer differently from call to "
                "call (dropout, batch statistics). Call model.eval() before explaining it."
            )


class _Tracer(fx.Tracer):
    """Remembers which node is the output of which module."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, list[fx.Node]] = {}

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy):
            self.calls.setdefault(self.path_of_module(m), []).append(result.node)
        return result


class _Recorder(fx.Interpreter):
    """Runs a trace and keeps every value, by node."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.values[n] = value
        return value


_IN_PLACE_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


def _copy_sharing_weights(module: nn.Module) -> nn.Module:
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.detach()
    return copy.deepcopy(module, memo)


def _comes_after(order: Mapping[fx.Node, int], here: int) -> Callable[[fx.Node], bool]:
    return lambda user: order.get(user, here) > here


def _undo_in_place(graph: fx.Graph, modules: set[str]) -> None:
    """Make every node return a new value; what later reads the overwritten value reads the new one."""
    order = {node: number for number, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        overwrites = node.op == "call_module" and node.target in modules
        if node.op == "call_function" and node.target in _IN_PLACE_OPERATORS:
            node.target = _IN_PLACE_OPERATORS[node.target]
            overwrites = True
        elif node.op == "call_method" and node.target.endswith("_") and not node.target.endswith("__"):
            node.target = node.target[:-1]
            overwrites = True
        elif node.op == "call_function" and getattr(node.target, "__name__", "").endswith("_"):
            plain = getattr(torch, node.target.__name__[:-1], None) or getattr(
                nn.functional, node.target.__name__[:-1], None
            )
            if plain is not None:
                node.target = plain
                overwrites = True
        if node.kwargs.get("inplace") is True:
            node.kwargs = {**node.kwargs, "inplace": False}
            overwrites = True
        if overwrites and node.args and isinstance(node.args[0], fx.Node):
            here = order[node]
            node.args[0].replace_all_uses_with(node, _comes_after(order, here))
