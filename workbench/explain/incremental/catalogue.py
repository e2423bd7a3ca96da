"""The functions that can be followed pixel by pixel, and how.

Each entry takes the arguments of a call, in which a followed map stands as :class:`Local` and anything else as its
value, and returns the operation, its inputs and where y and x are in the result; or None where this call, with these
arguments, needs whole maps.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.explain.incremental.kernels.convolution import Convolution, Native
from workbench.explain.incremental.operations import (
    Activation,
    Axis,
    GlobalMean,
    Operation,
    Pointwise,
    Window,
    maximum_pool,
    mean_factors,
    mean_pool,
    sum_pool,
)

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

_MODULES: dict[type[nn.Module], Callable[..., Found]] = {}
_FUNCTIONS: dict[Any, Entry] = {}


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
        entry, args = _MODULES.get(type(target)), (target, *args)
    else:
        entry = _FUNCTIONS.get(target)
    if entry is None:
        return None
    rest = {name: argument for name, argument in kwargs.items() if name not in ("input", "tensors")}
    args = (*args, *(argument for name, argument in kwargs.items() if name not in rest))
    try:
        bound = inspect.signature(entry).bind(*args, result=result, **rest)
    except TypeError:  # a form of the call that the entry does not know: whole maps are always right
        return None
    return entry(*bound.args, **bound.kwargs)


def _module(*kinds: type[nn.Module]) -> Callable[[Entry], Entry]:
    def register(entry: Entry) -> Entry:
        _MODULES.update(dict.fromkeys(kinds, entry))
        return entry

    return register


def _function(*targets: Any) -> Callable[[Entry], Entry]:
    def register(entry: Entry) -> Entry:
        _FUNCTIONS.update(dict.fromkeys(targets, entry))
        return entry

    return register


def _is_map(value: object) -> bool:
    """Whether this is a map in the order (image, feature, y, x)."""
    return isinstance(value, Local) and value.layout == (2, 3) and len(value.shape) == 4


# ---- convolution ---------------------------------------------------------------------------------------------------


@_function(F.conv2d, torch.conv2d)
def _convolution(
    source: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    result: Tensor,
) -> Found:
    if not _is_map(source) or not isinstance(weight, Tensor):
        return None
    strides, dilations = _pair(stride), _pair(dilation)
    if padding == "same":
        paddings = tuple(d * (k - 1) // 2 for d, k in zip(dilations, weight.shape[2:], strict=True))
    else:
        paddings = (0, 0) if padding == "valid" else _pair(padding)
    axes = [Axis(*parts) for parts in zip(weight.shape[2:], strides, paddings, dilations, strict=True)]
    window = Window(
        axes[0],
        axes[1],
        0.0,
        "convolution",
        "convolution",
        Convolution(weight, bias, groups),
    )
    return window, (source,), (2, 3)


@_module(nn.Conv2d)
def _convolution_module(module: nn.Conv2d, source: Any, *, result: Tensor) -> Found:
    if module.padding_mode != "zeros":
        return None
    return _convolution(
        source, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups, result=result
    )


# ---- pooling -------------------------------------------------------------------------------------------------------


@_module(nn.MaxPool2d)
def _maximum_module(module: nn.MaxPool2d, source: Any, *, result: Any) -> Found:
    return _maximum(
        source,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
        module.return_indices,
        result=result,
    )


@_function(F.max_pool2d, torch.max_pool2d)
def _maximum(
    source: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    result: Any,
) -> Found:
    if not _is_map(source) or return_indices:
        return None
    kernels, strides = _pair(kernel_size), _pair(stride if stride not in (None, ()) else kernel_size)
    y, x = (Axis(*parts) for parts in zip(kernels, strides, _pair(padding), _pair(dilation), strict=True))
    # nothing outside the map must ever win, also beyond its far side, where ceil_mode looks
    return Window(y, x, float("-inf"), "pooling", "maximum pooling", pool=maximum_pool), (source,), (2, 3)


@_module(nn.AvgPool2d)
def _mean_module(module: nn.AvgPool2d, source: Any, *, result: Tensor) -> Found:
    return _mean(
        source,
        module.kernel_size,
        module.stride,
        module.padding,
        module.ceil_mode,
        module.count_include_pad,
        module.divisor_override,
        result=result,
    )


@_function(F.avg_pool2d)
def _mean(
    source: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    result: Tensor,
) -> Found:
    if not _is_map(source):
        return None
    kernels, strides = _pair(kernel_size), _pair(stride if stride not in (None, ()) else kernel_size)
    axes = [Axis(*parts) for parts in zip(kernels, strides, _pair(padding), strict=True)]
    if kernels == source.extent and result.shape[2:] == (1, 1) and not any(_pair(padding)) and not divisor_override:
        return GlobalMean(lambda mean: mean[:, :, None, None], "global mean"), (source,), None
    scale = None
    pool = mean_pool
    if divisor_override is not None:

        def pool(pixels: Tensor, y: Axis, x: Axis) -> Tensor:
            return sum_pool(pixels, y, x) / divisor_override
    elif any(_pair(padding)) or ceil_mode:
        pool = sum_pool
        factors = [
            mean_factors(size, outputs, axis, count_padding=count_include_pad).to(result)
            for size, outputs, axis in zip(source.extent, result.shape[2:], axes, strict=True)
        ]
        scale = (factors[0], factors[1])
    return Window(axes[0], axes[1], 0.0, "pooling", "mean pooling", pool=pool, scale=scale), (source,), (2, 3)


@_module(nn.AdaptiveAvgPool2d)
def _adaptive_module(module: nn.AdaptiveAvgPool2d, source: Any, *, result: Tensor) -> Found:
    return _adaptive(source, module.output_size, result=result)


@_function(F.adaptive_avg_pool2d)
def _adaptive(source: Any, output_size: Any, *, result: Tensor) -> Found:
    if not _is_map(source):
        return None
    outputs = tuple(result.shape[2:])
    if outputs == (1, 1):
        return GlobalMean(lambda mean: mean[:, :, None, None], "global mean"), (source,), None
    if any(size % count for size, count in zip(source.extent, outputs, strict=True)):
        return None
    kernel = tuple(size // count for size, count in zip(source.extent, outputs, strict=True))
    if kernel == (1, 1):
        return Pointwise(_same, "identity"), (source,), (2, 3)
    return _mean(source, kernel, result=result)


@_function(torch.mean, "mean")
def _global_mean(source: Any, dim: Any = None, keepdim: bool = False, *, result: Tensor, dtype: Any = None) -> Found:
    if not _is_map(source) or dtype is not None or dim is None or isinstance(dim, int):
        return None
    if {int(axis) % 4 for axis in dim} != {2, 3}:
        return None
    if keepdim:
        return GlobalMean(lambda mean: mean[:, :, None, None], "global mean"), (source,), None
    return GlobalMean(_same, "global mean"), (source,), None


# ---- one pixel at a time: one map -----------------------------------------------------------------------------------


def _same(value: Tensor) -> Tensor:
    return value


@_module(nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
def _identity_module(module: nn.Module, source: Any, *, result: Any) -> Found:
    return _identity(source, result=result)


@_function("contiguous", "clone", "detach", torch.clone, torch.detach)
def _identity(source: Any, *, result: Any, memory_format: Any = None) -> Found:
    return (Pointwise(_same, "identity"), (source,), source.layout) if isinstance(source, Local) else None


@_function(F.dropout, F.dropout2d, F.alpha_dropout)
def _dropout(source: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, result: Any) -> Found:
    # a dropout that is always on is stochastic: left alone here, and found out by the check that two runs agree
    return None if training else _identity(source, result=result)


def _stochastic_depth(source: Any, p: float, mode: str, training: bool = True, *, result: Any) -> Found:
    return None if training else _identity(source, result=result)


_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.ELU,
    nn.SELU, nn.CELU, nn.GELU, nn.Mish, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Threshold, nn.Hardshrink,
    nn.Softshrink, nn.Tanhshrink,
)  # fmt: skip


@_module(*_ACTIVATIONS)
def _activation_module(module: nn.Module, source: Any, *, result: Any) -> Found:
    if not isinstance(source, Local):
        return None
    over, native = _over(module)
    operation = Pointwise(module, type(module).__name__, fresh=True, activation=over, native=native)
    return operation, (source,), source.layout


def _over(module: nn.Module) -> tuple[Activation, Native | None]:
    """The activation of a module written over its input, and as oneDNN knows it, where that saves anything."""
    if isinstance(module, nn.ReLU):
        return torch.relu_, ("relu", ())
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        low, high = float(module.min_val), float(module.max_val)
        return lambda pixels: F.hardtanh(pixels, low, high, inplace=True), ("hardtanh", (low, high))
    if isinstance(module, nn.LeakyReLU):
        slope = float(module.negative_slope)
        return lambda pixels: F.leaky_relu(pixels, slope, inplace=True), ("leaky_relu", (slope,))
    if isinstance(module, nn.SiLU):
        return lambda pixels: F.silu(pixels, inplace=True), None
    return module, None


_UNARY = (
    F.relu, torch.relu, "relu", F.relu6, F.leaky_relu, F.silu, F.hardswish, F.hardsigmoid, F.hardtanh, F.elu, F.selu,
    F.celu, F.gelu, F.mish, F.softplus, F.softsign, F.logsigmoid, F.sigmoid, torch.sigmoid, "sigmoid", F.tanh,
    torch.tanh, "tanh", torch.abs, "abs", torch.exp, "exp", torch.log, "log", torch.sqrt, "sqrt", torch.rsqrt, "rsqrt",
    torch.square, "square", torch.neg, "neg", operator.neg, torch.clamp, "clamp", "clamp_min", "clamp_max",
    torch.pow, "pow", operator.pow, torch.erf, "erf", torch.sin, "sin", torch.cos, "cos",
)  # fmt: skip


def _unary(target: Any) -> Entry:
    def entry(source: Any, *rest: Any, result: Any, **kwargs: Any) -> Found:
        if not isinstance(source, Local) or any(isinstance(item, Local | Tensor) for item in (*rest, *kwargs.values())):
            return None

        def function(pixels: Tensor) -> Tensor:
            return _call(target, pixels, *rest, **kwargs)

        name = target if isinstance(target, str) else target.__name__
        over, native = _over(nn.ReLU()) if name == "relu" else (function, None)
        return Pointwise(function, name, fresh=True, activation=over, native=native), (source,), source.layout

    return entry


_FUNCTIONS.update({target: _unary(target) for target in _UNARY})


def _call(target: Any, first: Any, *rest: Any, **kwargs: Any) -> Any:
    return getattr(first, target)(*rest, **kwargs) if isinstance(target, str) else target(first, *rest, **kwargs)


@_module(nn.BatchNorm2d)
def _batch_norm_module(module: nn.BatchNorm2d, source: Any, *, result: Any) -> Found:
    return _batch_norm(
        source,
        module.running_mean,
        module.running_var,
        module.weight,
        module.bias,
        False,
        eps=module.eps,
        result=result,
    )


@_function(F.batch_norm)
def _batch_norm(
    source: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    result: Tensor,
) -> Found:
    if not _is_map(source) or training or running_mean is None or running_var is None:
        return None
    scale = (running_var.double() + eps).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -running_mean.double() * scale
    shift = shift if bias is None else shift + bias.double()
    a, b = scale.to(result), shift.to(result)
    operation = Pointwise(lambda pixels: torch.addcmul(b, pixels, a), "batch norm", affine=(scale, shift), fresh=True)
    return operation, (source,), (2, 3)


@_module(nn.PReLU)
def _prelu(module: nn.PReLU, source: Any, *, result: Any) -> Found:
    if not _is_map(source):
        return None
    slope = module.weight
    operation = Pointwise(lambda pixels: torch.where(pixels > 0, pixels, slope * pixels), "PReLU", fresh=True)
    return operation, (source,), (2, 3)


def _last_is_feature(source: Any) -> bool:
    return isinstance(source, Local) and len(source.shape) == 4 and source.layout == (1, 2)


@_module(nn.Linear, nn.LayerNorm)
def _last_dimension_module(module: nn.Module, source: Any, *, result: Any) -> Found:
    if not _last_is_feature(source) or (isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1):
        return None
    return Pointwise(module, type(module).__name__, fresh=True), (source,), (1, 2)


@_function(F.layer_norm)
def _layer_norm(
    source: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *, result: Any
) -> Found:
    if not _last_is_feature(source) or len(normalized_shape) != 1:
        return None

    def function(pixels: Tensor) -> Tensor:
        return F.layer_norm(pixels, normalized_shape, weight, bias, eps)

    return Pointwise(function, "layer norm", fresh=True), (source,), (1, 2)


@_function(F.linear)
def _linear(source: Any, weight: Any, bias: Any = None, *, result: Any) -> Found:
    if not _last_is_feature(source) or not isinstance(weight, Tensor):
        return None
    return Pointwise(lambda pixels: F.linear(pixels, weight, bias), "linear", fresh=True), (source,), (1, 2)


@_function(F.softmax, torch.softmax, "softmax", F.log_softmax, torch.log_softmax)
def _softmax(source: Any, dim: Any = None, *, result: Any, **kwargs: Any) -> Found:
    if not isinstance(source, Local) or not isinstance(dim, int) or kwargs.get("dtype") is not None:
        return None
    place = source.feature_last(dim)
    return (Pointwise(lambda p: F.softmax(p, place), "softmax"), (source,), source.layout) if place > 2 else None


del _FUNCTIONS[F.log_softmax], _FUNCTIONS[torch.log_softmax]


# ---- one pixel at a time: several maps ------------------------------------------------------------------------------


def _binary(function: Callable[..., Tensor]) -> Entry:
    def entry(first: Any, second: Any, *, result: Any, alpha: Any = None) -> Found:
        if not isinstance(result, Tensor):
            return None
        chosen = function
        if alpha is not None and alpha != 1:

            def chosen(a: Any, b: Any) -> Tensor:
                return function(a, b, alpha=alpha)

        if isinstance(first, Local) and isinstance(second, Local):
            if first.layout != second.layout or first.extent != second.extent or len(first.shape) != len(second.shape):
                return None
            return Pointwise(chosen, function.__name__, fresh=True), (first, second), first.layout
        swapped = isinstance(second, Local)
        source, other = (second, first) if swapped else (first, second)
        if isinstance(other, Tensor) and other.ndim:
            if not isinstance(other := _broadcast(other, source), Tensor):
                return None
            if other.shape[1:3] != (1, 1):
                inputs = (other, source) if swapped else (source, other)
                return Pointwise(chosen, function.__name__, fresh=True), inputs, source.layout
        if not isinstance(other, Tensor | int | float):
            return None

        def single(pixels: Tensor) -> Tensor:
            return chosen(other, pixels) if swapped else chosen(pixels, other)

        # adding zero in place or multiplying by a Python number may return a new tensor always: torch never aliases here
        return Pointwise(single, function.__name__, fresh=True), (source,), source.layout

    return entry


def _broadcast(other: Tensor, source: Local) -> Tensor | None:
    """A constant in the feature-last order, (1, y or 1, x or 1, features...), where it fits the map."""
    if other.ndim > len(source.shape):
        return None
    full = other.reshape((1,) * (len(source.shape) - other.ndim) + tuple(other.shape))
    y, x = source.layout
    spread = (full.shape[y], full.shape[x])
    if full.shape[0] != 1 or spread not in (source.extent, (1, 1)):
        return None
    if any(o not in (1, s) for o, s in zip(full.shape, source.shape, strict=True)):
        return None  # the constant would widen the map
    rest = [dim for dim in range(1, full.ndim) if dim not in source.layout]
    return full.permute(0, y, x, *rest).contiguous()


for _targets, _made in (
    ((operator.add, torch.add, "add"), torch.add),
    ((operator.sub, torch.sub, "sub"), torch.sub),
    ((operator.mul, torch.mul, "mul"), torch.mul),
    ((operator.truediv, torch.div, "div"), torch.true_divide),
    ((torch.maximum, "maximum"), torch.maximum),
    ((torch.minimum, "minimum"), torch.minimum),
):
    _FUNCTIONS.update(dict.fromkeys(_targets, _binary(_made)))


@_function(torch.cat, torch.concat)
def _concatenate(sources: Any, dim: int = 0, *, result: Tensor, axis: int | None = None) -> Found:
    dim = dim if axis is None else axis
    first = sources[0]
    if not all(isinstance(s, Local) and s.layout == first.layout and s.extent == first.extent for s in sources):
        return None
    place = first.feature_last(dim)
    if place < 3:
        return None
    if len(sources) == 1:
        return _identity(first, result=result)
    operation = Pointwise(lambda *maps: torch.cat(maps, place), "concatenation", fresh=True)
    return operation, tuple(sources), first.layout


# ---- the same numbers in another order ------------------------------------------------------------------------------


@_function("permute", torch.permute)
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
        return Pointwise(_same, "permutation"), (source,), layout
    return Pointwise(lambda pixels: pixels.permute(0, 1, 2, *features), "permutation"), (source,), layout


@_function("transpose", torch.transpose, "swapaxes")
def _transpose(source: Any, first: int, second: int, *, result: Tensor) -> Found:
    if not isinstance(source, Local):
        return None
    order = list(range(len(source.shape)))
    order[first], order[second] = order[second], order[first]
    return _permute(source, order, result=result)


def _permute_module(module: Any, source: Any, *, result: Tensor) -> Found:
    return _permute(source, list(module.dims), result=result)


@_function(
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


@_function(F.channel_shuffle, torch.channel_shuffle)
def _shuffle(source: Any, groups: int, *, result: Tensor) -> Found:
    if not _is_map(source):
        return None

    def function(pixels: Tensor) -> Tensor:
        return pixels.unflatten(3, (groups, -1)).transpose(3, 4).flatten(3)

    return Pointwise(function, "channel shuffle"), (source,), (2, 3)


@_module(nn.ChannelShuffle)
def _shuffle_module(module: nn.ChannelShuffle, source: Any, *, result: Tensor) -> Found:
    return _shuffle(source, module.groups, result=result)


@_function("chunk", torch.chunk, "split", torch.split, "tensor_split", torch.tensor_split)
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


@_function(operator.getitem)
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
    if any(item != slice(None) for item in features) or not _is_map(source):
        return None
    axes = [_sliced(item, size) for item, size in zip((index[y], index[x]), source.extent, strict=True)]
    return Window(axes[0], axes[1], 0.0, "slice", "slice"), (source,), layout


def _sliced(item: slice, size: int) -> Axis:
    start, _, step = item.indices(size)
    return Axis(1, step, -start)


def _dropped(index: Sequence[Any], dim: int) -> int:
    return sum(isinstance(item, int) for item in index[:dim])


@_function(F.pad)
def _pad(source: Any, pad: Any, mode: str = "constant", value: Any = None, *, result: Tensor) -> Found:
    if not _is_map(source) or mode != "constant":
        return None
    left, right, top, bottom, front, back = (*pad, *[0] * (6 - len(pad)))[:6]
    fill = float(value or 0.0)
    if len(pad) > 6 or ((front or back) and (left or right or top or bottom)):
        return None
    if front or back:
        return Pointwise(lambda pixels: F.pad(pixels, (front, back), value=fill), "channel padding"), (source,), (2, 3)
    return Window(Axis(padding=top), Axis(padding=left), fill, "slice", "padding"), (source,), (2, 3)


@_module(nn.ZeroPad2d, nn.ConstantPad2d)
def _pad_module(module: nn.ConstantPad2d, source: Any, *, result: Tensor) -> Found:
    return _pad(source, module.padding, "constant", module.value, result=result)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[-1]))


def _register_torchvision() -> None:
    """Entries for what torchvision adds, where it is installed."""
    try:
        from torchvision.ops.misc import Permute
        from torchvision.ops.stochastic_depth import stochastic_depth
    except ImportError:  # a network of one's own needs no torchvision
        return
    _FUNCTIONS[stochastic_depth] = _stochastic_depth
    _MODULES[Permute] = _permute_module


_register_torchvision()
