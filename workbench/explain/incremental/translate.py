"""One traced node at a time: which operation it is, and where its pixels are.

What is not recognised becomes :class:`Opaque`, which is always right and never fast.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx
from torch.fx.node import map_arg
from torch.utils.flop_counter import FlopCounterMode

from workbench.explain.incremental import catalogue, orders, pixels, windows  # noqa: F401 - the entries register themselves
from workbench.explain.incremental.catalogue import Local, Pieces
from workbench.explain.incremental.operations import Constant, Opaque, Operation, SizeOf, Source
from workbench.explain.incremental.program import Program, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SIZE_METHODS = {"size"}
_STATIC_ATTRIBUTES = {"dtype", "device", "ndim", "layout", "is_cuda", "requires_grad"}
_STATIC_METHODS = {"dim", "ndimension", "is_floating_point"}


class UntraceableError(Exception):
    """A network cannot be followed symbolically; the message says why. Never leaves the engine."""


class Translator:
    """Translates a traced network, of which every node's value for one input is known.

    Args:
        graph_module: the trace.
        values: each node's value for the input.
        outputs: module name to the node that is its output.
    """

    def __init__(
        self, graph_module: fx.GraphModule, values: dict[fx.Node, Any], outputs: Mapping[str, fx.Node]
    ) -> None:
        self._module = graph_module
        self._values = values
        self._steps: list[Step] = []
        self._layers: dict[fx.Node, list[str]] = {}
        for layer, node in sorted(outputs.items(), key=lambda item: -item[0].count(".")):
            self._layers.setdefault(node, []).append(layer)
        self._known: dict[fx.Node, Any] = {}  # node -> Local | Pieces | step number (int) | _Fixed

    def program(self, inputs: Tensor) -> Program:
        """Translate all nodes.

        Args:
            inputs: (1, channel, y, x), the input that the values belong to.

        Returns:
            The program; its last step is the network's output.

        Raises:
            UntraceableError: more than one input, or an output that is not one tensor.
        """
        if sum(node.op == "placeholder" for node in self._module.graph.nodes) != 1:
            raise UntraceableError("the network takes more than one input")
        for node in self._module.graph.nodes:
            if node.op == "output":
                return self._finish(node, inputs)
            self._known[node] = self._translate(node)
        raise UntraceableError("the network has no output")

    def _finish(self, node: fx.Node, inputs: Tensor) -> Program:
        answer: Any = node.args[0]
        if not isinstance(answer, fx.Node) or not isinstance(self._values[answer], Tensor):
            raise UntraceableError(
                f"the network returns {type(self._values.get(answer, answer)).__name__}, not one tensor"
            )
        known = self._known[answer]
        if isinstance(known, _Fixed | Pieces):
            raise UntraceableError("the output does not depend on the input")
        number = known.step if isinstance(known, Local) else known
        if number != len(self._steps) - 1:
            last = self._steps[number]
            whole = Opaque(lambda value: value, "output", "the output is asked for as a whole")
            self._steps.append(Step(whole, (number,), ("output",), last.shape, None))
        channels, height, width = inputs.shape[1:]
        return Program(tuple(self._steps), (channels, height, width))

    def _translate(self, node: fx.Node) -> Any:
        value = self._values[node]
        if node.op == "placeholder":
            return self._add(Source(), (), node, (2, 3))
        if node.op == "get_attr":
            return _Fixed(value)
        arguments = [self._known[source] for source in node.all_input_nodes]
        if all(isinstance(known, _Fixed) for known in arguments) and not _random(node):
            return _Fixed(value)
        if (size := self._size(node)) is not None:
            return size
        if node.op == "call_function" and node.target is operator.getitem and isinstance(node.args[0], fx.Node):
            source = self._known.get(node.args[0])
            if isinstance(source, Pieces) and isinstance(node.args[1], int):
                return self._add_local(node, source.pieces[node.args[1]], (source.source,), source.source.layout)
        return self._from_catalogue(node) or self._opaque(node)

    def _size(self, node: fx.Node) -> Any:
        """The shape of a value, or what is fixed whatever the value is."""
        of = node.args[0] if node.args else None
        known = self._known.get(of) if isinstance(of, fx.Node) else None
        if known is None or isinstance(known, _Fixed | Pieces):
            return None
        value = self._values[of]  # type: ignore[index]
        if not isinstance(value, Tensor):
            return None
        number = known.step if isinstance(known, Local) else known
        shape = tuple(value.shape)
        if node.op == "call_function" and node.target is getattr:
            if node.args[1] == "shape":
                return self._add(SizeOf(lambda size: size, shape), (number,), node, None)
            return _Fixed(self._values[node]) if node.args[1] in _STATIC_ATTRIBUTES else None
        if node.op == "call_method" and node.target in _SIZE_METHODS:
            rest = node.args[1:] or tuple(node.kwargs.values())
            if rest:
                dim = int(self._values.get(rest[0], rest[0]))  # type: ignore[arg-type]
                return self._add(SizeOf(lambda size: size[dim], shape), (number,), node, None)
            return self._add(SizeOf(lambda size: size, shape), (number,), node, None)
        if node.op == "call_method" and node.target in _STATIC_METHODS:
            return _Fixed(self._values[node])
        return None

    def _from_catalogue(self, node: fx.Node) -> Any:
        locals_ = [self._known[source] for source in node.all_input_nodes if isinstance(self._known[source], Local)]
        if not locals_:
            return None
        for source in node.all_input_nodes:
            # values that differ from position to position cannot be put into a pixel-wise function as they are
            if isinstance(self._known[source], int) and isinstance(self._values[source], Tensor):
                return None
        value = self._values[node]
        args, kwargs = map_arg((node.args, dict(node.kwargs)), self._argument)
        target: Any = node.target
        if node.op == "call_module":
            target = self._module.get_submodule(str(node.target))
        found = catalogue.look_up(target, args, kwargs, value)
        if found is None:
            return None
        if isinstance(found, Pieces):
            return found
        operation, inputs, layout = found
        return self._add_local(node, operation, inputs, layout)

    def _argument(self, node: fx.Node) -> Any:
        known = self._known[node]
        return known if isinstance(known, Local | Pieces) else self._values[node]

    def _opaque(self, node: fx.Node) -> int:
        sources = tuple(node.all_input_nodes)
        fixed = {source: self._known[source].value for source in sources if isinstance(self._known[source], _Fixed)}
        varying = [source for source in sources if source not in fixed]
        numbers = []
        for source in varying:
            known = self._known[source]
            if isinstance(known, Pieces):
                known = self._whole_pieces(source, known)
            numbers.append(known.step if isinstance(known, Local) else known)
        call = self._call(node)
        template = (node.args, dict(node.kwargs))

        def function(*values: Any) -> Any:
            lookup = {**fixed, **dict(zip(varying, values, strict=True))}
            args, kwargs = map_arg(template, lookup.__getitem__)
            return call(*args, **kwargs)

        local = any(isinstance(self._known[source], Local | Pieces) for source in varying)
        name = _name(node, self._module)
        reason = f"{name} may read the whole map" if local else ""
        work = multiplications(function, [self._values[source] for source in varying])
        return int(self._add(Opaque(function, name, reason, work), tuple(numbers), node, None))

    def _whole_pieces(self, node: fx.Node, pieces: Pieces) -> int:
        """The tuple itself is asked for, not one of its pieces: make it of whole maps."""
        call, template = self._call(node), (node.args, dict(node.kwargs))

        def function(value: Any) -> Any:
            args, kwargs = map_arg(template, lambda _: value)
            return call(*args, **kwargs)

        operation = Opaque(function, str(node.target), f"{node.target} is used as a whole")
        return int(self._add(operation, (pieces.source.step,), node, None))

    def _call(self, node: fx.Node) -> Callable[..., Any]:
        if node.op == "call_module":
            return self._module.get_submodule(str(node.target))
        if node.op == "call_method":
            method = str(node.target)
            return lambda value, *args, **kwargs: getattr(value, method)(*args, **kwargs)
        return node.target  # type: ignore[return-value]

    def _add_local(
        self, node: fx.Node, operation: Operation, inputs: Sequence[Local | Tensor], layout: tuple[int, int] | None
    ) -> Any:
        numbers = []
        for source in inputs:
            if isinstance(source, Tensor):  # a map that no input changes, already feature last
                self._steps.append(Step(Constant(source), (), (f"{node.name}.constant",), tuple(source.shape), (1, 2)))
                numbers.append(len(self._steps) - 1)
            else:
                numbers.append(source.step)
        return self._add(operation, tuple(numbers), node, layout)

    def _add(self, operation: Operation, inputs: tuple[int, ...], node: fx.Node, layout: tuple[int, int] | None) -> Any:
        value = self._values[node]
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        layers = tuple(self._layers.get(node, (node.name,)))
        self._steps.append(Step(operation, inputs, layers, shape, layout))
        number = len(self._steps) - 1
        return Local(number, shape, layout) if layout is not None else number


@dataclass(frozen=True)
class _Fixed:
    """A value that no input changes."""

    value: Any


def multiplications(function: Callable[..., Any], values: Sequence[Any]) -> int:
    """Multiplications of a call, counted by torch while it runs once more."""
    with FlopCounterMode(display=False) as counter:
        function(*values)
    return int(counter.get_total_flops()) // 2


def _random(node: fx.Node) -> bool:
    name = str(getattr(node.target, "__name__", node.target))
    return "rand" in name or "dropout" in name or "bernoulli" in name


def _name(node: fx.Node, module: fx.GraphModule) -> str:
    if node.op == "call_module":
        return type(module.get_submodule(str(node.target))).__name__
    return str(getattr(node.target, "__name__", node.target))
