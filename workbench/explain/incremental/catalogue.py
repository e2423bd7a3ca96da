"""The functions that can be followed pixel by pixel, and how.

Each entry takes the arguments of a call, in which a followed map stands as :class:`Local` and anything else as its
value, and returns the operation, its inputs and where y and x are in the result; or None where this call, with these
arguments, needs whole maps. The entries are in :mod:`windows`, :mod:`pixels` and :mod:`orders`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from workbench.explain.incremental.operations import Operation

Layout = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Local:
    """A map whose pixels can be followed: what the catalogue is told about an argument.

    Attributes:
        step: the step that computes it.
        shape: for one image, in the network's own dimension order.
        layout: which dimensions are y and x.
    """

    step: int
    shape: tuple[int, ...]
    layout: tuple[int, int]

    @property
    def extent(self) -> tuple[int, int]:
        """(y, x) pixels."""
        return self.shape[self.layout[0]], self.shape[self.layout[1]]

    def feature_last(self, dim: int) -> int:
        """Where a dimension of the network's order is in the feature-last order."""
        dim %= len(self.shape)
        if dim == 0:
            return 0
        if dim in self.layout:
            return 1 + self.layout.index(dim)
        return 3 + [d for d in range(1, len(self.shape)) if d not in self.layout].index(dim)


@dataclass(frozen=True, eq=False)
class Pieces:
    """What ``chunk`` and ``split`` of a local map return: one local operation a piece."""

    source: Local
    pieces: tuple[Operation, ...]


Found = tuple[Operation, tuple[Local | Tensor, ...], Layout | None] | Pieces | None
Entry = Callable[..., Found]

MODULES: dict[type[nn.Module], Callable[..., Found]] = {}
FUNCTIONS: dict[Any, Entry] = {}


def look_up(target: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> Found:
    """How a call can be followed.

    Args:
        target: a module, a function, or the name of a method.
        args: its arguments; followed maps as :class:`Local`.
        kwargs: its keyword arguments.
        result: what it returned for one image.

    Returns:
        (operation, inputs, layout of the result), the pieces of a split, or None where it cannot be followed.
    """
    if isinstance(target, nn.Module):
        entry, args = MODULES.get(type(target)), (target, *args)
    else:
        entry = FUNCTIONS.get(target)
    if entry is None:
        return None
    rest = {name: argument for name, argument in kwargs.items() if name not in ("input", "tensors")}
    args = (*args, *(argument for name, argument in kwargs.items() if name not in rest))
    try:
        bound = inspect.signature(entry).bind(*args, result=result, **rest)
    except TypeError:  # a form of the call that the entry does not know: whole maps are always right
        return None
    return entry(*bound.args, **bound.kwargs)


def module_entry(*kinds: type[nn.Module]) -> Callable[[Entry], Entry]:
    """Register the decorated function for modules of some kinds; it takes the module first."""

    def register(entry: Entry) -> Entry:
        MODULES.update(dict.fromkeys(kinds, entry))
        return entry

    return register


def function_entry(*targets: Any) -> Callable[[Entry], Entry]:
    """Register the decorated function for functions, and for methods by name."""

    def register(entry: Entry) -> Entry:
        FUNCTIONS.update(dict.fromkeys(targets, entry))
        return entry

    return register


def is_map(value: object) -> bool:
    """Whether this is a map in the order (image, feature, y, x)."""
    return isinstance(value, Local) and value.layout == (2, 3) and len(value.shape) == 4
