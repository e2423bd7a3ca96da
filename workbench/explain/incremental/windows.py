"""Entries of the catalogue that read a rectangle of pixels: convolution, pooling, padding, global means."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.explain.incremental.catalogue import Found, function_entry, is_map, module_entry
from workbench.explain.incremental.kernels.convolution import Convolution
from workbench.explain.incremental.operations import (
    Axis,
    GlobalMean,
    Pointwise,
    Window,
    maximum_pool,
    mean_factors,
    mean_pool,
    same,
    sum_pool,
)


@function_entry(F.conv2d, torch.conv2d)
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
    if not is_map(source) or not isinstance(weight, Tensor):
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


@module_entry(nn.Conv2d)
def _convolution_module(module: nn.Conv2d, source: Any, *, result: Tensor) -> Found:
    if module.padding_mode != "zeros":
        return None
    return _convolution(
        source, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups, result=result
    )


@module_entry(nn.MaxPool2d)
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


@function_entry(F.max_pool2d, torch.max_pool2d)
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
    if not is_map(source) or return_indices:
        return None
    kernels, strides = _pair(kernel_size), _pair(stride if stride not in (None, ()) else kernel_size)
    y, x = (Axis(*parts) for parts in zip(kernels, strides, _pair(padding), _pair(dilation), strict=True))
    # nothing outside the map must ever win, also beyond its far side, where ceil_mode looks
    return Window(y, x, float("-inf"), "pooling", "maximum pooling", pool=maximum_pool), (source,), (2, 3)


@module_entry(nn.AvgPool2d)
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


@function_entry(F.avg_pool2d)
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
    if not is_map(source):
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


@module_entry(nn.AdaptiveAvgPool2d)
def _adaptive_module(module: nn.AdaptiveAvgPool2d, source: Any, *, result: Tensor) -> Found:
    return _adaptive(source, module.output_size, result=result)


@function_entry(F.adaptive_avg_pool2d)
def _adaptive(source: Any, output_size: Any, *, result: Tensor) -> Found:
    if not is_map(source):
        return None
    outputs = tuple(result.shape[2:])
    if outputs == (1, 1):
        return GlobalMean(lambda mean: mean[:, :, None, None], "global mean"), (source,), None
    if any(size % count for size, count in zip(source.extent, outputs, strict=True)):
        return None
    kernel = tuple(size // count for size, count in zip(source.extent, outputs, strict=True))
    if kernel == (1, 1):
        return Pointwise(same, "identity"), (source,), (2, 3)
    return _mean(source, kernel, result=result)


@function_entry(torch.mean, "mean")
def _global_mean(source: Any, dim: Any = None, keepdim: bool = False, *, result: Tensor, dtype: Any = None) -> Found:
    if not is_map(source) or dtype is not None or dim is None or isinstance(dim, int):
        return None
    if {int(axis) % 4 for axis in dim} != {2, 3}:
        return None
    if keepdim:
        return GlobalMean(lambda mean: mean[:, :, None, None], "global mean"), (source,), None
    return GlobalMean(same, "global mean"), (source,), None


@function_entry(F.pad)
def _pad(source: Any, pad: Any, mode: str = "constant", value: Any = None, *, result: Tensor) -> Found:
    if not is_map(source) or mode != "constant":
        return None
    left, right, top, bottom, front, back = (*pad, *[0] * (6 - len(pad)))[:6]
    fill = float(value or 0.0)
    if len(pad) > 6 or ((front or back) and (left or right or top or bottom)):
        return None
    if front or back:
        return Pointwise(lambda pixels: F.pad(pixels, (front, back), value=fill), "channel padding"), (source,), (2, 3)
    return Window(Axis(padding=top), Axis(padding=left), fill, "slice", "padding"), (source,), (2, 3)


@module_entry(nn.ZeroPad2d, nn.ConstantPad2d)
def _pad_module(module: nn.ConstantPad2d, source: Any, *, result: Tensor) -> Found:
    return _pad(source, module.padding, "constant", module.value, result=result)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[-1]))
