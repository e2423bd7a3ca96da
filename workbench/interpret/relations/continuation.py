"""What a network does between two layers, run again without what stands before them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from workbench.arrays import UNIT, X, Y
from workbench.errors import InputError
from workbench.explain.incremental.trace import Trace, trace_plainly
from workbench.explain.incremental.translate import UntraceableError
from workbench.models import capture, replace_output
from workbench.models.hooks import split_call
from workbench.store.naming import dimension_names

if TYPE_CHECKING:
    from workbench.models import ImageModel

SLACK = 1e-3  # relative: two orders of the same sums may differ by so much in float32


@dataclass(frozen=True)
class Layout:
    """How a layer's output is laid out, and the same with its units first.

    Attributes:
        layer: name of the layer.
        dims: names of its dimensions without the image, in the layer's own order.
        sizes: their sizes.
    """

    layer: str
    dims: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, model: ImageModel, layer: str) -> Layout:
        """The layout of a layer.

        Args:
            model: the model; its input size must be known.
            layer: name of the layer.

        Returns:
            The layout.

        Raises:
            UnknownNameError: no such layer.
            InputError: a layer that cannot be captured, or one without units.
        """
        sizes = model.check_layer(layer)
        module = model.module.get_submodule(split_call(model.module, layer)[0])
        dims = dimension_names(sizes, module=module)
        if UNIT not in dims:
            raise InputError(
                f"layer {layer!r} gives {tuple(sizes)} for an image: no axis of these is known to be its units. "
                "Choose a convolutional, linear or attention layer."
            )
        return cls(layer, dims, tuple(sizes))

    @property
    def units(self) -> int:
        """Number of units."""
        return self.sizes[self.dims.index(UNIT)]

    @property
    def grid(self) -> tuple[int, int] | None:
        """(y, x) size of the maps; None where positions are no places in the picture."""
        others = tuple(dim for dim in self.dims if dim != UNIT)
        return (self.sizes[self.dims.index(Y)], self.sizes[self.dims.index(X)]) if others == (Y, X) else None

    def units_first(self, values: torch.Tensor) -> torch.Tensor:
        """(image, ...) in the layer's own order as (image, unit, position)."""
        return values.movedim(1 + self.dims.index(UNIT), 1).reshape(len(values), self.units, -1)

    def as_layer(self, maps: torch.Tensor) -> torch.Tensor:
        """(image, unit, position) in the layer's own order."""
        axis = self.dims.index(UNIT)
        others = [size for dim, size in zip(self.dims, self.sizes, strict=True) if dim != UNIT]
        return maps.reshape(len(maps), self.units, *others).movedim(1, 1 + axis)


@dataclass(frozen=True, eq=False)
class Observed:
    """What a batch of images gives.

    Attributes:
        source: (image, unit, position) of the source layer.
        target: (image, unit, position) of the target layer.
        beside: what else the part behind the source reads.
    """

    source: torch.Tensor
    target: torch.Tensor
    beside: tuple[Any, ...]


class Continuation(ABC):
    """The part of a network from one layer to another.

    Args:
        source: layout of the layer that is changed.
        target: layout of the layer that is read.

    Attributes:
        source: as given.
        target: as given.
    """

    def __init__(self, source: Layout, target: Layout) -> None:
        self.source = source
        self.target = target

    def observe(self, inputs: torch.Tensor) -> Observed:
        """Run the network up to the target, unchanged.

        Args:
            inputs: (image, channel, y, x) float, as ``model.prepare`` gives it.

        Returns:
            What the layers gave.
        """
        with torch.no_grad():
            source, target, beside = self._observe(inputs)
        return Observed(self.source.units_first(source), self.target.units_first(target), beside)

    def rerun(self, observed: Observed, images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Run on from other maps of the source; gradients flow.

        Args:
            observed: what :meth:`observe` gave.
            images: (row) int64: of which image each row is a variant.
            maps: (row, unit, position) float, in place of the source's output.

        Returns:
            (row, unit, position) of the target.
        """
        return self.target.units_first(self._rerun(observed, images, self.source.as_layer(maps)))

    @abstractmethod
    def _observe(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, tuple[Any, ...]]: ...

    @abstractmethod
    def _rerun(self, observed: Observed, images: torch.Tensor, values: torch.Tensor) -> torch.Tensor: ...


class WholeNetwork(Continuation):
    """Runs the network from the image on and replaces the source's output: always possible, and slow.

    Args:
        model: the model.
        source: layout of the layer that is changed.
        target: layout of the layer that is read.
    """

    def __init__(self, model: ImageModel, source: Layout, target: Layout) -> None:
        super().__init__(source, target)
        self._model = model

    def _observe(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, tuple[Any, ...]]:
        with capture(self._model, [self.source.layer, self.target.layer]) as found:
            self._model.module(inputs)
        return found[self.source.layer], found[self.target.layer], (inputs,)

    def _rerun(self, observed: Observed, images: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        with (
            replace_output(self._model, {self.source.layer: values}),
            capture(self._model, self.target.layer) as found,
        ):
            self._model.module(observed.beside[0][images])
        return found[self.target.layer]


class TracedPart(Continuation):
    """Runs only what stands between the layers; what else is read there is kept from the first run.

    Args:
        model: the model.
        source: layout of the layer that is changed.
        target: layout of the layer that is read.
        inputs: (image, channel, y, x) float: at least one image, on which it is seen what grows with their number.

    Raises:
        UntraceableError: the network cannot be traced.
        InputError: the target does not depend on the source.
    """

    def __init__(self, model: ImageModel, source: Layout, target: Layout, inputs: torch.Tensor) -> None:
        super().__init__(source, target)
        trace = trace_plainly(model.module)
        nodes = list(trace.graph_module.graph.nodes)
        start, end = (_node(model, trace, layout.layer) for layout in (source, target))
        behind = _depends_on(nodes, {start})
        if end not in behind:
            raise InputError(
                f"Layer {target.layer!r} does not depend on layer {source.layer!r}: no path leads from one to the "
                "other. Choose a target behind the source."
            )
        fixed = set(nodes) - _depends_on(nodes, {node for node in nodes if node.op == "placeholder"})
        needed = _leads_to(nodes, {end}, behind - {start})
        # what does not depend on the image, such as parameters, is read again rather than carried along
        needed |= _leads_to(nodes, {read for node in needed for read in node.all_input_nodes} & fixed, fixed)
        read = {read for node in needed for read in node.all_input_nodes} - needed - {start}
        beside = [node for node in nodes if node in read]
        self._before = _extract(trace, [], (start, end, *beside))
        self._between = _extract(trace, [start, *beside], (end,))
        seen = [self.observe(inputs[:1].expand(count, *inputs.shape[1:])).beside for count in (2, 3)]
        self._grows = [_count(two) == 2 and _count(three) == 3 for two, three in zip(*seen, strict=True)]

    def _observe(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, tuple[Any, ...]]:
        # not called as modules are: that would print what went wrong where it is handled
        source, target, *beside = self._before.forward(inputs)
        return source, target, tuple(beside)

    def _rerun(self, observed: Observed, images: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        rows = [
            value if not grows else value[images] if isinstance(value, torch.Tensor) else len(images)
            for value, grows in zip(observed.beside, self._grows, strict=True)
        ]
        result: torch.Tensor = self._between.forward(values, *rows)[0]
        return result


def continuation(model: ImageModel, source: str, target: str, inputs: torch.Tensor) -> Continuation:
    """The part of a network between two layers: alone where that can be, else within the whole.

    The part is found by tracing. It is used only if it gives what the whole network gives, unchanged and changed, on a
    few images.

    Args:
        model: the model; its input size must be known.
        source: name of the layer that is changed.
        target: name of the layer that is read, behind it.
        inputs: (image, channel, y, x) float: images to compare on; the first eight are used.

    Returns:
        The part.

    Raises:
        UnknownNameError: no such layer.
        InputError: a layer without units, layers in the wrong order, or without a path from one to the other.
        NotDeterministicError: a part of the network is in training mode.
    """
    layouts = Layout.of(model, source), Layout.of(model, target)
    order = {record.name: record.order for record in model.layer_records}
    if order[source] >= order[target]:
        what = "is the source itself" if source == target else "comes before it"
        raise InputError(
            f"An effect runs from an earlier layer to a later one; the source is {source!r}, and the target {target!r} "
            f"{what}. Choose a target behind the source."
        )
    whole = WholeNetwork(model, *layouts)
    try:
        part = TracedPart(model, *layouts, inputs)
        agrees = _agree(part, whole, inputs[:8])
    except (UntraceableError, RuntimeError, TypeError):  # the last two: the part cannot run alone or on other batches
        agrees = False
    return part if agrees else whole


def _agree(part: Continuation, whole: Continuation, inputs: torch.Tensor) -> bool:
    """Whether both give the same, for all images as they are and for some of them with another's source output."""
    first, second = part.observe(inputs), whole.observe(inputs)
    images = torch.arange(len(inputs) - 1, -1, -1, device=inputs.device).repeat(2)[: len(inputs) + 1]
    with torch.no_grad():
        changed = second.source[images].flip(0) * 0.5
        reruns = [each.rerun(observed, images, changed) for each, observed in ((part, first), (whole, second))]
    pairs = [(first.source, second.source), (first.target, second.target), (reruns[0], reruns[1])]
    return all(_close(left, right) for left, right in pairs)


def _count(value: Any) -> int:
    """What a value says of the number of images: its length, itself where it is a number."""
    if isinstance(value, torch.Tensor):
        return len(value) if value.ndim else -1
    return value if isinstance(value, int) else -1


def _close(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.shape == right.shape and bool((left - right).abs().max() <= SLACK * right.abs().max())


def _node(model: ImageModel, trace: Trace, layer: str) -> fx.Node:
    name, call = split_call(model.module, layer)
    calls = trace.calls.get(name, ())
    if not calls or (call or 0) >= len(calls):
        raise UntraceableError(f"layer {layer!r} is inside a module that is not traced")
    return calls[call or 0]


def _depends_on(nodes: list[fx.Node], roots: set[fx.Node]) -> set[fx.Node]:
    """The roots and what is computed from them."""
    found = set(roots)
    for node in nodes:
        if any(read in found for read in node.all_input_nodes):
            found.add(node)
    return found


def _leads_to(nodes: list[fx.Node], ends: set[fx.Node], within: set[fx.Node]) -> set[fx.Node]:
    """The ends and what they are computed from, of the nodes ``within``."""
    found = set(ends)
    for node in reversed(nodes):
        if node in within and any(user in found for user in node.users):
            found.add(node)
    return found


def _extract(trace: Trace, given: list[fx.Node], wanted: tuple[fx.Node, ...]) -> fx.GraphModule:
    """The part of a trace that computes ``wanted`` where ``given`` is known; without it, from the image."""
    nodes = list(trace.graph_module.graph.nodes)
    needed = _leads_to(nodes, set(wanted), set(nodes) - set(given)) - set(given)
    graph, copies = fx.Graph(), {}
    for number, node in enumerate(given):
        copies[node] = graph.placeholder(f"given_{number}")
    for node in nodes:
        if node in needed and node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in wanted))
    return fx.GraphModule(trace.graph_module, graph)
