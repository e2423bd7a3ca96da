"""captum's DeepLIFT, completed, so that what it gives adds up. Source: [shrikumar2017], [kokhlikyan2020]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from captum.attr import DeepLift
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR, nonlinear
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

# captum has the rescale rule for a few activations and silently takes the plain gradient of all others;
# the rule is the same for every function of one variable
_ELEMENTWISE = (
    nn.CELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Softsign,
    nn.Tanhshrink,
)


class Rescale(DeepLift):  # type: ignore[misc]
    """captum's DeepLift with a rule for every element-wise activation, and one for pooling windows that overlap."""

    def _is_non_linear(self, module: nn.Module) -> bool:
        return type(module) in _RULES or type(module) in SUPPORTED_NON_LINEAR

    def _backward_hook(self, module: nn.Module, grad_input: torch.Tensor, grad_output: torch.Tensor) -> Any:
        own = _RULES.get(type(module))
        if own is None or not self.satisfies_attribute_criteria(module):
            return super()._backward_hook(module, grad_input, grad_output)
        multipliers = own(module, module.input, module.output, grad_input, grad_output, eps=self.eps)
        del module.input, module.output
        return multipliers


def _max_pool(
    module: nn.MaxPool2d,
    inputs: torch.Tensor,
    outputs: torch.Tensor,
    grad_input: torch.Tensor,
    grad_output: torch.Tensor,
    eps: float,
) -> torch.Tensor:
    """captum's rule for max pooling, adding up what a pixel gets from several windows.

    captum unpools, which keeps one window's share where windows overlap: more than half of SqueezeNet's score is lost.
    """
    with torch.no_grad():
        (image, reference), (top, top_reference) = inputs.chunk(2), outputs.chunk(2)
        difference = torch.cat(2 * [image - reference])
        highest = torch.maximum(top, top_reference)
        shares = grad_output * torch.cat([highest - top_reference, top - highest])
        twin = nn.MaxPool2d(module.kernel_size, module.stride, module.padding, module.dilation, True, module.ceil_mode)
        _, indices = twin(inputs)
        spread = torch.zeros_like(inputs).flatten(2).scatter_add_(2, indices.flatten(2), shares.flatten(2))
        ours, theirs = spread.view_as(inputs).chunk(2)
        total = torch.cat(2 * [ours + theirs])
        return torch.where(difference.abs() < eps, grad_input, total / difference)


def separate(network: nn.Module) -> None:
    """Give each nonlinearity an input tensor of its own.

    captum replaces the gradient of that tensor. Where another layer reads the tensor too (a skip connection), or a
    nonlinearity made it (an activation before pooling), it would replace theirs or come too late for them.

    Args:
        network: a copy, which keeps the hooks that are put on it.
    """

    def own(_module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(argument.clone() for argument in arguments)

    for part in network.modules():
        if type(part) in _RULES or type(part) in SUPPORTED_NON_LINEAR:
            part.register_forward_pre_hook(own)


_RULES: dict[type[nn.Module], Callable[..., torch.Tensor]] = {
    **dict.fromkeys(_ELEMENTWISE, nonlinear),
    nn.MaxPool2d: _max_pool,
}
