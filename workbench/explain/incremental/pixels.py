"""Entries of the catalogue that read one pixel of each of their maps: activations, norms, sums, concatenation."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.explain.incremental.catalogue import FUNCTIONS, Entry, Found, Local, function_entry, is_map, module_entry
from workbench.explain.incremental.operations import Activation, Pointwise, same

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.explain.incremental.kernels.convolution import Native


@module_entry(nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
def _identity_module(module: nn.Module, source: Any, *, result: Any) -> Found:
    return identity(source, result=result)


@function_entry("contiguous", "clone", "detach", torch.clone, torch.detach)
def identity(source: Any, *, result: Any, memory_format: Any = None) -> Found:
    """Nothing but the map itself."""
    return (Pointwise(same, "identity"), (source,), source.layout) if isinstance(source, Local) else None


@function_entry(F.dropout, F.dropout2d, F.alpha_dropout)
def _dropout(source: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, result: Any) -> Found:
    # a dropout that is always on is stochastic: left alone here, and found out by the check that two runs agree
    return None if training else identity(source, result=result)


def _register_stochastic_depth() -> None:
    try:
        from torchvision.ops.stochastic_depth import stochastic_depth
    except ImportError:  # a network of one's own needs no torchvision
        return

    @function_entry(stochastic_depth)
    def _stochastic_depth(source: Any, p: float, mode: str, training: bool = True, *, result: Any) -> Found:
        return None if training else identity(source, result=result)


_register_stochastic_depth()


_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.ELU,
    nn.SELU, nn.CELU, nn.GELU, nn.Mish, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Threshold, nn.Hardshrink,
    nn.Softshrink, nn.Tanhshrink,
)  # fmt: skip


@module_entry(*_ACTIVATIONS)
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
            changed: Tensor = _call(target, pixels, *rest, **kwargs)
            return changed

        name = target if isinstance(target, str) else target.__name__
        over, native = _over(nn.ReLU()) if name == "relu" else (function, None)
        return Pointwise(function, name, fresh=True, activation=over, native=native), (source,), source.layout

    return entry


FUNCTIONS.update({target: _unary(target) for target in _UNARY})


def _call(target: Any, first: Any, *rest: Any, **kwargs: Any) -> Any:
    return getattr(first, target)(*rest, **kwargs) if isinstance(target, str) else target(first, *rest, **kwargs)


@module_entry(nn.BatchNorm2d)
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


@function_entry(F.batch_norm)
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
    if not is_map(source) or training or running_mean is None or running_var is None:
        return None
    scale = (running_var.double() + eps).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -running_mean.double() * scale
    shift = shift if bias is None else shift + bias.double()
    a, b = scale.to(result), shift.to(result)
    operation = Pointwise(lambda pixels: torch.addcmul(b, pixels, a), "batch norm", affine=(scale, shift), fresh=True)
    return operation, (source,), (2, 3)


@module_entry(nn.PReLU)
def _prelu(module: nn.PReLU, source: Any, *, result: Any) -> Found:
    if not is_map(source):
        return None
    slope = module.weight
    operation = Pointwise(lambda pixels: torch.where(pixels > 0, pixels, slope * pixels), "PReLU", fresh=True)
    return operation, (source,), (2, 3)


def _last_is_feature(source: Any) -> bool:
    return isinstance(source, Local) and len(source.shape) == 4 and source.layout == (1, 2)


@module_entry(nn.Linear, nn.LayerNorm)
def _last_dimension_module(module: nn.Module, source: Any, *, result: Any) -> Found:
    if not _last_is_feature(source) or (isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1):
        return None
    return Pointwise(module, type(module).__name__, fresh=True), (source,), (1, 2)


@function_entry(F.layer_norm)
def _layer_norm(
    source: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *, result: Any
) -> Found:
    if not _last_is_feature(source) or len(normalized_shape) != 1:
        return None

    def function(pixels: Tensor) -> Tensor:
        return F.layer_norm(pixels, normalized_shape, weight, bias, eps)

    return Pointwise(function, "layer norm", fresh=True), (source,), (1, 2)


@function_entry(F.linear)
def _linear(source: Any, weight: Any, bias: Any = None, *, result: Any) -> Found:
    if not _last_is_feature(source) or not isinstance(weight, Tensor):
        return None
    return Pointwise(lambda pixels: F.linear(pixels, weight, bias), "linear", fresh=True), (source,), (1, 2)


@function_entry(F.softmax, torch.softmax, "softmax", F.log_softmax, torch.log_softmax)
def _softmax(source: Any, dim: Any = None, *, result: Any, **kwargs: Any) -> Found:
    if not isinstance(source, Local) or not isinstance(dim, int) or kwargs.get("dtype") is not None:
        return None
    place = source.feature_last(dim)
    return (Pointwise(lambda p: F.softmax(p, place), "softmax"), (source,), source.layout) if place > 2 else None


del FUNCTIONS[F.log_softmax], FUNCTIONS[torch.log_softmax]


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
    FUNCTIONS.update(dict.fromkeys(_targets, _binary(_made)))


@function_entry(torch.cat, torch.concat)
def _concatenate(sources: Any, dim: int = 0, *, result: Tensor, axis: int | None = None) -> Found:
    dim = dim if axis is None else axis
    first = sources[0]
    if not all(isinstance(s, Local) and s.layout == first.layout and s.extent == first.extent for s in sources):
        return None
    place = first.feature_last(dim)
    if place < 3:
        return None
    if len(sources) == 1:
        return identity(first, result=result)
    operation = Pointwise(
        lambda *maps: torch.cat(maps, place), "concatenation", fresh=True, concatenates=len(first.shape) == 4
    )
    return operation, tuple(sources), first.layout
