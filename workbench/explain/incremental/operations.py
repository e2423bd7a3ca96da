"""What one step of a traced network does, and how far a change of its input reaches.

Inside the engine every map is *feature last*: (position, y, x, features...). A change then is a box of rows that can be
cut out and pasted without touching the features, and that is the memory order in which convolutions are fastest.

A :class:`Pointwise` step looks at one pixel (of one or several maps), a :class:`Window` at a rectangle of pixels, a
:class:`GlobalMean` at all of them but linearly; :class:`Source` and :class:`Constant` look at nothing, and
:class:`SizeOf` only at a shape. Anything else is :class:`Opaque`: it is given whole maps, in the dimension order that
the network's author had in mind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from workbench.explain.incremental.kernels.convolution import Convolution, Native

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Axis:
    """A sliding window along one axis.

    Attributes:
        kernel: pixels that the window reads.
        stride: pixels that it moves.
        padding: pixels before the first one that it may read (negative: it starts that far inside).
        dilation: distance between the pixels that it reads.
    """

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Pixels from the first to the last one that the window reads."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def step(self) -> int:
        """Distance between the pixels that have to be read: windows of one pixel skip what they stride over."""
        return self.stride if self.kernel == 1 else 1

    def span(self, outputs: int) -> int:
        """Pixels that must be read to compute so many neighbouring outputs."""
        return outputs if self.kernel == 1 else self.reach + (outputs - 1) * self.stride

    def padding_after(self, size: int, outputs: int) -> int:
        """Pixels that are read after the last one of a map of this size."""
        return (outputs - 1) * self.stride + self.reach - self.padding - size


@dataclass(frozen=True, eq=False)
class Source:
    """The network's input."""

    name: str = "input"


@dataclass(frozen=True, eq=False)
class Constant:
    """A map that no input changes, (1, y, x, features...)."""

    value: Tensor
    name: str = "constant"


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A function of the same pixel of each input; of feature-last maps, any number of pixels at a time.

    Attributes:
        function: takes one map an input, (position, y, x, features...), and returns one of the same extent.
        name: what to call it in a plan.
        affine: scale and shift a feature, where the function is just that (a batch norm), for folding.
        fresh: whether the result never shares memory with an input, so that an activation may overwrite it.
        activation: the same function of one map, which may be written over its input, where there is one.
        native: the same activation as oneDNN knows it, where it does.
        concatenates: whether the function puts the features of its inputs one after the other.
        rectified: scale and shift a feature, where the function is relu(scale x + shift).
    """

    function: Callable[..., Tensor]
    name: str
    affine: tuple[Tensor, Tensor] | None = None
    fresh: bool = False
    activation: Activation | None = None
    native: Native | None = None
    concatenates: bool = False
    rectified: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True, eq=False)
class Window:
    """A function of a rectangle of pixels around each output: convolution, pooling, padding or strided slicing.

    Attributes:
        y: the window along the vertical axis.
        x: the window along the horizontal axis.
        fill: what is read outside the map.
        kind: ``"convolution"``, ``"pooling"`` or ``"slice"``.
        name: what to call it in a plan.
        convolution: where it is one.
        pool: maximum or mean, takes (position, feature, y, x), kernel, stride and dilation.
        scale: factors (y,) and (x,) an output row and column (a mean whose windows overlap the border).
    """

    y: Axis
    x: Axis
    fill: float
    kind: str
    name: str
    convolution: Convolution | None = None
    pool: Callable[[Tensor, Axis, Axis], Tensor] | None = None
    scale: tuple[Tensor, Tensor] | None = None

    def multiplications(self, inputs: int) -> int:
        """Multiplications (or comparisons) for one output pixel.

        Args:
            inputs: number of input features.
        """
        if self.convolution is not None:
            return int(self.convolution.weight.numel())
        return inputs * self.y.kernel * self.x.kernel if self.kind == "pooling" else 0

    def on_window(self, window: Tensor) -> Tensor:
        """Compute from the pixels read, (position, y, x, feature); nothing is padded."""
        y, x = (replace(axis, stride=1) if axis.kernel == 1 else axis for axis in (self.y, self.x))
        return self._compute(window, replace(y, padding=0), replace(x, padding=0))

    def on_map(self, whole: Tensor, height: int, width: int) -> Tensor:
        """Compute the whole output, (position, height, width, feature), from whole maps."""
        after_y = self.y.padding_after(whole.shape[1], height)
        after_x = self.x.padding_after(whole.shape[2], width)
        native = self.convolution is not None and self.y.padding >= 0 and self.x.padding >= 0
        if native and _symmetric(self.y, after_y) and _symmetric(self.x, after_x):
            result = self._compute(whole, self.y, self.x)
        else:
            pads = (0, 0, self.x.padding, after_x, self.y.padding, after_y)
            padded = F.pad(whole, pads, value=self.fill) if any(pads) else whole
            result = self._compute(padded, replace(self.y, padding=0), replace(self.x, padding=0))
        if self.scale is not None:
            result = result * (self.scale[0][:, None, None] * self.scale[1][None, :, None])
        return result

    def _compute(self, pixels: Tensor, y: Axis, x: Axis) -> Tensor:
        if self.kind == "slice":
            return pixels[:, :: y.stride, :: x.stride]
        if self.convolution is not None:
            strides, paddings, dilations = (y.stride, x.stride), (y.padding, x.padding), (y.dilation, x.dilation)
            return self.convolution(pixels, strides, paddings, dilations)
        if self.pool is None:
            raise TypeError(f"The window {self.name!r} has neither weights nor pooling.")
        return self.pool(pixels.permute(0, 3, 1, 2), y, x).permute(0, 2, 3, 1)


def _symmetric(axis: Axis, after: int) -> bool:
    """Whether padding both sides alike gives the same outputs (a remainder that no window reaches does no harm)."""
    return axis.padding - axis.stride < after <= axis.padding


@dataclass(frozen=True, eq=False)
class GlobalMean:
    """The mean over all pixels; linear, so a change of the box is all that is needed.

    Attributes:
        finish: takes (position, feature) to the shape that the network expects.
        name: what to call it in a plan.
    """

    finish: Callable[[Tensor], Tensor]
    name: str


@dataclass(frozen=True, eq=False)
class SizeOf:
    """The shape of a value, known without it; ``function`` takes the shape with the number of positions put in."""

    function: Callable[[torch.Size], Any]
    shape: tuple[int, ...]
    name: str = "size"


@dataclass(frozen=True, eq=False)
class Opaque:
    """Any other function; its tensors are whole and in the network's own dimension order.

    Attributes:
        function: takes the values of the inputs.
        name: what to call it in a plan.
        reason: why it needs whole maps.
        multiplications: for one image.
    """

    function: Callable[..., Any]
    name: str
    reason: str
    multiplications: int = 0


Operation = Source | Constant | Pointwise | Window | GlobalMean | SizeOf | Opaque


def same(pixels: Tensor) -> Tensor:
    """What it is given."""
    return pixels


def maximum_pool(pixels: Tensor, y: Axis, x: Axis) -> Tensor:
    """Maximum over windows of (position, feature, y, x), nothing padded."""
    return F.max_pool2d(pixels, (y.kernel, x.kernel), (y.stride, x.stride), 0, (y.dilation, x.dilation))


def sum_pool(pixels: Tensor, y: Axis, x: Axis) -> Tensor:
    """Sum over windows of (position, feature, y, x), nothing padded."""
    return F.avg_pool2d(pixels, (y.kernel, x.kernel), (y.stride, x.stride), 0, divisor_override=1)


def mean_pool(pixels: Tensor, y: Axis, x: Axis) -> Tensor:
    """Mean over windows of (position, feature, y, x), nothing padded."""
    return F.avg_pool2d(pixels, (y.kernel, x.kernel), (y.stride, x.stride), 0)


def mean_factors(size: int, outputs: int, axis: Axis, *, count_padding: bool) -> Tensor:
    """One over the number of pixels that each window of an average counts along one axis, (outputs,) float64."""
    starts = torch.arange(outputs) * axis.stride - axis.padding
    ends = torch.minimum(starts + axis.kernel, torch.tensor(size + axis.padding))
    if not count_padding:
        starts, ends = starts.clamp(min=0), ends.clamp(max=size)
    return 1.0 / (ends - starts).double()
