"""One convolution for all the small shapes that boxes come in.

Torch chooses a slow convolution for small batches on one thread, and lays the weights out anew in every call. Where
oneDNN is at hand (float32 on a CPU) it is called directly, with weights that were laid out once and the activation
applied in registers; everywhere else torch chooses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

Pair = tuple[int, int]

# An activation that oneDNN applies itself, and its numbers: ("hardtanh", (0.0, 6.0)) is ReLU6.
Native = tuple[str, tuple[float, ...]]


def _at_hand() -> bool:
    names = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight", "_reorder_convolution_weight")
    return bool(torch._C._has_mkldnn) and all(hasattr(torch.ops.mkldnn, name) for name in names)


class Convolution:
    """A two-dimensional convolution of feature-last maps, and the activation after it.

    Args:
        weight: (feature out, feature in / groups, y, x).
        bias: (feature out,) or None.
        groups: of features.
        activation: applied to the result, (position, y, x, feature) in any memory order; may overwrite it.
        native: the same activation as oneDNN knows it, where it does.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        groups: int,
        *,
        activation: Callable[[Tensor], Tensor] | None = None,
        native: Native | None = None,
    ) -> None:
        # in this order no convolution of feature-last maps has to move its weights
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias = bias
        self.groups = groups
        self.activation = activation
        self.native = native
        self._packed: dict[Any, Tensor] = {}

    def with_activation(self, activation: Callable[[Tensor], Tensor], native: Native | None) -> Convolution:
        """The same convolution with an activation after it."""
        return Convolution(self.weight, self.bias, self.groups, activation=activation, native=native)

    def scaled(self, scale: Tensor, shift: Tensor) -> Convolution:
        """The same convolution with a batch norm folded in.

        Args:
            scale: (feature out,) float64.
            shift: (feature out,) float64.
        """
        weight = (self.weight.double() * scale[:, None, None, None]).to(self.weight)
        bias = shift if self.bias is None else self.bias.double() * scale + shift
        return Convolution(weight, bias.to(weight), self.groups)

    def after(self, scale: Tensor, shift: Tensor) -> Convolution:
        """The same convolution, of single pixels, applied to scale x + shift.

        Args:
            scale: (feature in,) float64.
            shift: (feature in,) float64.
        """
        wide = self.weight.double()
        bias = torch.einsum("oiyx,i->o", wide, shift)
        bias = bias if self.bias is None else bias + self.bias.double()
        weight = (wide * scale[:, None, None]).to(self.weight)
        return Convolution(weight, bias.to(weight), self.groups, activation=self.activation, native=self.native)

    def __call__(
        self, pixels: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1)
    ) -> Tensor:
        """Convolve.

        Args:
            pixels: (position, y, x, feature).
            stride: (y, x).
            padding: (y, x) rows and columns of zeros on either side.
            dilation: (y, x).

        Returns:
            (position, y, x, feature out).
        """
        fast = self.native is not None or self.activation is None
        on_processor = pixels.device.type == "cpu" and pixels.dtype == torch.float32
        differentiated = torch.is_grad_enabled() and pixels.requires_grad  # oneDNN's own calls have no gradient
        if on_processor and _ONE_DNN and torch.backends.mkldnn.enabled and not differentiated:
            result = self._one_dnn(pixels, stride, padding, dilation)
            return result if fast or self.activation is None else self.activation(result)
        channel_second = pixels.permute(0, 3, 1, 2)
        result = F.conv2d(channel_second, self.weight, self.bias, stride, padding, dilation, self.groups)
        result = result.permute(0, 2, 3, 1)
        return result if self.activation is None else self.activation(result)

    def _one_dnn(self, pixels: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        name, scalars = self.native or ("none", ())
        if self.weight.shape[2:] == (1, 1) and self.groups == 1 and stride == (1, 1) and padding == (0, 0):
            rows = pixels.reshape(-1, pixels.shape[3])
            if "linear" not in self._packed:
                flat = self.weight.flatten(1).contiguous()
                self._packed["linear"] = torch.ops.mkldnn._reorder_linear_weight(flat, len(rows))
            result = torch.ops.mkldnn._linear_pointwise(
                rows, self._packed["linear"], self.bias, name, list(scalars), ""
            )
            return result.view(*pixels.shape[:3], -1)  # type: ignore[no-any-return]
        channel_second = pixels.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        if padding not in self._packed:
            self._packed[padding] = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight.contiguous(),
                list(padding),
                list(stride),
                list(dilation),
                self.groups,
                list(channel_second.shape),
            )
        result = torch.ops.mkldnn._convolution_pointwise(
            channel_second, self._packed[padding], self.bias, list(padding), list(stride), list(dilation), self.groups,
            name, list(scalars), "",
        )  # fmt: skip
        return result.permute(0, 2, 3, 1)  # type: ignore[no-any-return]


_ONE_DNN = _at_hand()
