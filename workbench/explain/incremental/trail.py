"""The trail of a window through a network: which pixels of each layer can change when it is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from workbench.arrays import strings
from workbench.errors import DtypeError, InputError
from workbench.explain.incremental.boxes import follow
from workbench.explain.incremental.engine import program_of
from workbench.explain.incremental.occlusion import network_of
from workbench.explain.incremental.operations import Constant, Opaque, SizeOf
from workbench.explain.incremental.schedule import costs
from workbench.explain.incremental.translate import UntraceableError
from workbench.models import ImageModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.explain.incremental.program import Program
    from workbench.explain.lattice import Size


def changed_boxes(model: Any, window: Sequence[int], *, size: Size | None = None) -> xr.Dataset:
    """Follow one window of the input through a network: the box of each layer that hiding it can change.

    Outside its box a layer's value is the original's, exactly, whatever the window shows; inside, it may change. That
    follows from the kernels, strides and paddings alone: no image is needed. Activations and batch norms that are
    computed together with a convolution are listed with it, as one layer. Source: [nakandala2019].

    Args:
        model: from :func:`workbench.models.load`.
        window: (row, column, rows, columns) in pixels of the network input.
        size: (y, x) pixels of the network input; None for the model's own.

    Returns:
        Dataset (layer), in the order of computation, the input first. ``y``, ``x``, ``height``, ``width``: the box,
        in pixels of the layer, int64, of height and width 0 where nothing can change; ``rows``, ``columns``: pixels of
        the whole layer; ``share``: of its pixels that can change, 0 to 1; ``work``: the layer's share of the
        multiplications of one forward pass, which sum to 1; ``local`` (bool): False from a layer on that sees the
        whole map, counted as one pixel, which changes. ``operation`` (layer) says what is computed. The share times
        the work, summed, is what this window costs at least, in forward passes.

    Raises:
        DtypeError: the model is no :class:`ImageModel`, or the window is not made of integers.
        InputError: a window of other than four numbers, or not inside the image, or a network that cannot be followed
            symbolically (control flow that depends on data, say).
        NotDeterministicError: the network is in training mode.
    """
    if not isinstance(model, ImageModel):
        raise DtypeError(f"model is {type(model).__name__}; expected what workbench.models.load(...) gives.")
    channels, *own = model.input_shape if size is None else (model.preprocessing.channels,)
    height, width = own if size is None else (size, size) if isinstance(size, int) else size
    row, column, rows, columns = _checked(window, (height, width))
    image = torch.zeros(1, channels, height, width, device=model.device, dtype=model.dtype)
    try:
        program = program_of(network_of(model), image)
    except UntraceableError as error:
        raise InputError(
            f"{model.name!r} cannot be traced ({error}): its control flow may depend on data, so nothing can be said "
            "of what a window changes."
        ) from error
    low_y, high_y = _interval(program, 0, row, rows)
    low_x, high_x = _interval(program, 1, column, columns)
    extents = np.array([step.extent if step.local else (1, 1) for step in program.steps])
    box = np.stack([low_y, low_x, np.maximum(high_y - low_y, 0), np.maximum(high_x - low_x, 0)], axis=1)
    box[(box[:, 2:] == 0).any(axis=1)] = 0
    listed = [n for n, step in enumerate(program.steps) if not isinstance(step.operation, Constant | SizeOf)]
    box, extents = box[listed], extents[listed]
    steps = [program.steps[number] for number in listed]
    return xr.Dataset(
        {
            **{name: ("layer", box[:, place]) for place, name in enumerate(("y", "x", "height", "width"))},
            "rows": ("layer", extents[:, 0]),
            "columns": ("layer", extents[:, 1]),
            "share": ("layer", box[:, 2:].prod(axis=1) / extents.prod(axis=1)),
            "work": ("layer", _work(program)[listed]),
            "local": ("layer", np.array([step.local for step in steps])),
        },
        coords={
            "layer": strings([step.layer for step in steps]),
            "operation": ("layer", strings([step.operation.name for step in steps])),
        },
        attrs={"model": model.name, "window": [row, column, rows, columns], "size": [height, width]},
    )


def _checked(window: Sequence[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    given = np.asarray(window)
    if given.shape != (4,):
        raise InputError(f"window has shape {given.shape}; expected four numbers: row, column, rows, columns.")
    if given.dtype.kind not in "iu":
        raise DtypeError(f"window is made of {given.dtype}; expected integers: row, column, rows, columns.")
    row, column, rows, columns = (int(number) for number in given)
    if min(row, column) < 0 or min(rows, columns) < 1 or row + rows > size[0] or column + columns > size[1]:
        raise InputError(
            f"Window {[row, column, rows, columns]} (row, column, rows, columns) is not inside an image of "
            f"{size[0]} by {size[1]} pixels (y, x)."
        )
    return row, column, rows, columns


def _interval(program: Program, axis: int, first: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(step) first changed pixel and one past the last, along one axis; 0 and 1 for steps without pixels."""
    spans = follow(program, axis, np.array([first]), np.array([length]))
    local = np.array([step.local for step in program.steps])
    return np.where(local, spans.low[:, 0], 0), np.where(local, spans.high[:, 0], 1)


def _work(program: Program) -> NDArray[np.float64]:
    """(step) share of the multiplications of one forward pass; steps without pixels share theirs by their size."""
    price = costs(program)
    fixed = [
        float(np.prod(step.shape)) if not step.local and isinstance(step.operation, Opaque) else 0.0
        for step in program.steps
    ]
    spread = np.array(fixed) * (price.fixed / max(sum(fixed), 1.0))
    return np.asarray((price.multiplications * price.pixels + spread) / max(price.dense, 1.0))
