"""What the axes of a layer's output are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.arrays import IMAGE, TOKEN, UNIT, X, Y
from workbench.errors import InputError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Modules whose output of one rank means something else than that rank usually does.
_BY_CLASS: dict[tuple[str, int], tuple[str, ...]] = {
    **{
        (name, 2): (UNIT, X)
        for name in ("Conv1d", "ConvTranspose1d", "BatchNorm1d", "MaxPool1d", "AvgPool1d", "AdaptiveAvgPool1d")
    },
    **{
        (name, 4): (UNIT, "z", Y, X)
        for name in ("Conv3d", "ConvTranspose3d", "BatchNorm3d", "MaxPool3d", "AvgPool3d", "AdaptiveAvgPool3d")
    },
}
_BY_RANK: dict[int, tuple[str, ...]] = {1: (UNIT,), 2: (TOKEN, UNIT), 3: (UNIT, Y, X)}
# torchvision's Swin transformers keep their channels last.
_CHANNELS_LAST = "torchvision.models.swin_transformer"


def dimension_names(shape: Sequence[int], *, module: Any = None) -> tuple[str, ...]:
    """Name the axes of one layer's output, without the image axis.

    Rank 1 is ``(unit,)`` (linear), rank 2 ``(token, unit)`` (sequence), rank 3 ``(unit, y, x)`` (convolution).
    The class of the module decides where it knows better: one- and three-dimensional convolutions, Swin blocks.
    Any other rank gets ``axis_1, axis_2 ...``, which claim nothing.

    Args:
        shape: sizes of the axes, without the image axis.
        module: the module that gave the output, or None where that is not known.

    Returns:
        One name an axis.
    """
    rank = len(shape)
    if module is not None:
        kind = type(module)
        if (kind.__name__, rank) in _BY_CLASS:
            return _BY_CLASS[kind.__name__, rank]
        if rank == 3 and kind.__module__ == _CHANNELS_LAST:
            return (Y, X, UNIT)
    return _BY_RANK.get(rank, tuple(f"axis_{axis + 1}" for axis in range(rank)))


def check_dimension_names(layer: str, dims: Sequence[str], shape: Sequence[int]) -> tuple[str, ...]:
    """Check the names that a caller gave to the axes of a layer.

    Args:
        layer: name of the layer, for the message.
        dims: the names, without the image axis.
        shape: sizes of the axes, without the image axis.

    Returns:
        The names.

    Raises:
        ShapeError: not one name an axis.
        InputError: a name twice, or the reserved name ``image``.
    """
    names = tuple(str(name) for name in dims)
    if len(names) != len(shape):
        raise ShapeError(
            f"Layer {layer!r} gives {len(shape)} axes besides the image, shape {tuple(shape)}; "
            f"dims names {len(names)}: {names}. Give one name an axis."
        )
    if len(set(names)) != len(names) or IMAGE in names:
        raise InputError(f"dims of layer {layer!r} are {names}; names must differ, and 'image' is taken.")
    return names
