"""Entries of the catalogue that move no pixel: permuted, regrouped, shuffled, split and sliced features."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.explain.incremental.catalogue import Found, Local, Pieces, function_entry, is_map, module_entry
from workbench.explain.incremental.operations import Axis, Pointwise, Window, same

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@function_entry("permute", torch.permute)
def _permute(source: Any, *dims: Any, result: Tensor) -> Found:
    order = list(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else list(dims)
    if not isinstance(source, Local):
        return None
    order = [int(dim) % len(source.shape) for dim in order]
    if order[0] != 0:
        return None
    layout = (order.index(source.layout[0]), order.index(source.layout[1]))
    features = [source.feature_last(dim) for dim in order if dim and dim not in source.layout]
    if features == sorted(features):
        return Pointwise(same, "permutation"), (source,), layout
    return Pointwise(lambda pixels: pixels.permute(0, 1, 2, *features), "permutation"), (source,), layout


@function_entry("transpose", torch.transpose, "swapaxes")
def _transpose(source: Any, first: int, second: int, *, result: Tensor) -> Found:
    if not isinstance(source, Local):
        return None
    order = list(range(len(source.shape)))
    order[first], order[second] = order[second], order[first]
    return _permute(source, order, result=result)


def _register_permute() -> None:
    try:
        from torchvision.ops.misc import Permute
    except ImportError:  # a network of one's own needs no torchvision
        return

    @module_entry(Permute)
    def _permute_module(module: Any, source: Any, *, result: Tensor) -> Found:
        return _permute(source, list(module.dims), result=result)


_register_permute()


@function_entry(
    "view", "reshape", torch.reshape, "flatten", torch.flatten, "unflatten", "unsqueeze", torch.unsqueeze, "squeeze"
)
def _regroup(source: Any, *_: Any, result: Tensor, **__: Any) -> Found:
    """Features regrouped; pixels must stay where they are, together at the end or right after the image."""
    if not isinstance(source, Local) or result.ndim < 3 or result.shape[0] != 1:
        return None
    ndim = len(source.shape)
    if source.layout == (ndim - 2, ndim - 1) and tuple(result.shape[-2:]) == source.extent:
        layout, features = (result.ndim - 2, result.ndim - 1), tuple(result.shape[1:-2])
    elif source.layout == (1, 2) and tuple(result.shape[1:3]) == source.extent:
        layout, features = (1, 2), tuple(result.shape[3:])
    else:
        return None

    def function(pixels: Tensor) -> Tensor:
        return pixels.reshape(*pixels.shape[:3], *features)

    return Pointwise(function, "reshape"), (source,), layout


@function_entry(F.channel_shuffle, torch.channel_shuffle)
def _shuffle(source: Any, groups: int, *, result: Tensor) -> Found:
    if not is_map(source):
        return None

    def function(pixels: Tensor) -> Tensor:
        grouped = pixels.reshape(*pixels.shape[:3], groups, -1)
        return grouped.transpose(3, 4).flatten(3)

    return Pointwise(function, "channel shuffle"), (source,), (2, 3)


@module_entry(nn.ChannelShuffle)
def _shuffle_module(module: nn.ChannelShuffle, source: Any, *, result: Tensor) -> Found:
    return _shuffle(source, module.groups, result=result)


@function_entry("chunk", torch.chunk, "split", torch.split, "tensor_split", torch.tensor_split)
def _split(source: Any, _: Any = None, dim: int = 0, *, result: Any, **__: Any) -> Found:
    if not isinstance(source, Local) or source.feature_last(dim) < 3:
        return None
    place = source.feature_last(dim)
    pieces, start = [], 0
    for part in result:
        pieces.append(Pointwise(_narrow(place, start, part.shape[dim]), "split"))
        start += part.shape[dim]
    return Pieces(source, tuple(pieces))


def _narrow(place: int, start: int, length: int) -> Callable[[Tensor], Tensor]:
    return lambda pixels: pixels.narrow(place, start, length)


@function_entry(operator.getitem)
def _item(source: Any, index: Any, *, result: Any) -> Found:
    if not isinstance(source, Local):
        return None
    index = index if isinstance(index, tuple) else (index,)
    ndim = len(source.shape)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = (*index[:at], *[slice(None)] * (ndim - len(index) + 1), *index[at + 1 :])
    index = (*index, *[slice(None)] * (ndim - len(index)))
    if len(index) != ndim or index[0] != slice(None) or not all(isinstance(item, slice | int) for item in index):
        return None
    y, x = source.layout
    features = tuple(index[dim] for dim in range(1, ndim) if dim not in source.layout)
    if not isinstance(index[y], slice) or not isinstance(index[x], slice):
        return None
    layout = (y - _dropped(index, y), x - _dropped(index, x))
    if index[y] == slice(None) and index[x] == slice(None):
        place = (slice(None), slice(None), slice(None), *features)
        return Pointwise(lambda pixels: pixels[place], "slice"), (source,), layout
    if any(item != slice(None) for item in features) or not is_map(source):
        return None
    axes = [_sliced(item, size) for item, size in zip((index[y], index[x]), source.extent, strict=True)]
    return Window(axes[0], axes[1], 0.0, "slice", "slice"), (source,), layout


def _sliced(item: slice, size: int) -> Axis:
    start, _, step = item.indices(size)
    return Axis(1, step, -start)


def _dropped(index: Sequence[Any], dim: int) -> int:
    return sum(isinstance(item, int) for item in index[:dim])
