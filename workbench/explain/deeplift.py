"""DeepLIFT, by captum's rules, on a copy of the network that is made to fit them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from captum.attr import DeepLift
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR, nonlinear
from torch import nn

from workbench.explain.baselines import baseline_images, describe
from workbench.explain.gradients import Rows, ScoreModule, attribute_all, completeness_gap, require_gradient
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Score, ask
from workbench.explain.unsharing import unshared

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

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


class _Rescale(DeepLift):  # type: ignore[misc]
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


def _separated(network: ScoreModule) -> ScoreModule:
    """Give each nonlinearity an input tensor of its own.

    captum replaces the gradient of that tensor. Where another layer reads the tensor too (a skip connection), or a
    nonlinearity made it (an activation before pooling), it would replace theirs or come too late for them.
    """

    def own(_module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(argument.clone() for argument in arguments)

    for part in network.modules():
        if type(part) in _RULES or type(part) in SUPPORTED_NON_LINEAR:
            part.register_forward_pre_hook(own)
    return network


_RULES: dict[type[nn.Module], Callable[..., torch.Tensor]] = {
    **dict.fromkeys(_ELEMENTWISE, nonlinear),
    nn.MaxPool2d: _max_pool,
}


@explainers.register(
    title="DeepLIFT (rescale rule)",
    source=("shrikumar2017",),
    access="gradients",
    returns="each pixel's part in the difference from the baseline's score, summed over the channels",
    cost="two evaluations and a gradient",
    note="Adds up to the score minus the baseline's score where every nonlinearity has a rule (products of two layers, "
    "as in attention or squeeze-and-excitation, and the softmax of score='probability' have none that is exact); "
    "how nearly is in the coordinate completeness_gap.",
    parameters={
        "baseline": ("choice", "black", ("zero", "black", "mean", "blur", "noise")),
        "seed": ("int", 0, 0, 1000),
    },
)
def deeplift(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    baseline: str | torch.Tensor = "black",
    seed: int = 0,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Differences from a baseline, shared out layer by layer by the rescale rule. Source: [shrikumar2017].

    The network is rewritten in a copy, so that activations that work in place, are shared between layers, or are
    functions get their rule too.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        baseline: what the image is compared with: a name of :data:`workbench.explain.baselines`, or a tensor.
        seed: for baselines that draw.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked between images; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32, signed, in units of the score, summed over the channels. The coordinate
        ``completeness_gap`` (image) is the score minus the baseline's score minus the sum of the map.

    Raises:
        InputError: no gradient leads through the model, it cannot be rewritten, or an argument cannot be used.
        UnknownNameError, NotFiniteError, ShapeError, DtypeError: the target, baseline or images cannot be used.
        Interrupted: ``stop`` answered True.
    """
    question = ask(model, images, target=target, score=score)
    require_gradient(question)
    start = baseline_images(baseline, question.inputs, model=model, seed=seed)

    def attribute(network: nn.Module, rows: Rows) -> torch.Tensor:
        with warnings.catch_warnings():
            # captum announces its hooks each time; they are on our copy
            warnings.filterwarnings("ignore", message="\\s*Setting forward, backward hooks", category=UserWarning)
            found: torch.Tensor = _Rescale(network).attribute(
                rows.inputs, baselines=start[rows.start : rows.start + 1], target=rows.targets
            )
        return found

    with Meter(2 * len(question), progress=progress, stop=stop, label="DeepLIFT") as meter:
        network = _separated(ScoreModule(model, question.score, meter, unshared(model, question.inputs[:1])))
        # one image at a time: captum's rule for softmax mixes the images of a batch
        found = attribute_all(question, network, 1, attribute, meter)
    return heatmaps(
        question,
        found.float().sum(1),
        method="deeplift",
        parameters={"baseline": describe(baseline), "seed": seed},
        coords={"completeness_gap": ("image", completeness_gap(question, start, found, 32))},
    )
