"""Grad-CAM, computed by captum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import InputError
from workbench.explain.attribution import attribute_asking, require_gradient
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Score, pose
from workbench.models.hooks import Layer, split_call, trace_layers

if TYPE_CHECKING:
    import torch
    import xarray as xr
    from torch import nn

    from workbench.models import ImageModel


@explainers.register(
    title="Grad-CAM",
    source=("selvaraju2017",),
    access="gradients",
    returns="a layer's maps weighted by their mean gradients, positive part, enlarged to the image",
    signed=False,
    coverage="one layer",
    cost="one evaluation and its gradient",
    note="As coarse as the layer's maps (7 x 7 in most ImageNet networks). The positive part is shown, as published; "
    "evidence against is in the coordinate signed.",
    parameters={"layer": ("layer", None)},
)
def gradcam(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    layer: str | None = None,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """A layer's maps, each weighted by the mean of its gradient, summed and enlarged. Source: [selvaraju2017].

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        layer: a layer that gives maps and is called once; None is :func:`default_layer`.
        batch_size: images a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32, at least 0, enlarged bilinearly to the network input; ``signed`` is the same
        before negative values are cut off. The attribute ``parameters`` names the layer.

    Raises:
        UnknownNameError: no such layer, category or score.
        InputError: a layer without maps or called several times, no layer with maps, or a model without gradients.
        NotFiniteError, ShapeError, DtypeError: the images cannot be used.
        Interrupted: ``stop`` answered True.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    posed = pose(model, images, target=target, score=score, batch_size=batch_size)
    require_gradient(posed)
    chosen = default_layer(model, posed.inputs[:1]) if layer is None else _checked(model, layer, posed.inputs[:1])

    def attribute(network: nn.Module, inputs: torch.Tensor, rows: slice) -> torch.Tensor:
        part = network.get_submodule(f"network.{chosen}")
        maps = LayerGradCam(network, part).attribute(inputs, additional_forward_args=rows)
        found: torch.Tensor = LayerAttribution.interpolate(maps.float(), tuple(inputs.shape[2:]), "bilinear")
        return found

    with Meter(len(posed), progress=progress, stop=stop, label="Grad-CAM") as meter:
        question, enlarged = attribute_asking(posed, batch_size, attribute, meter, hooks=True)
    signed = enlarged[:, 0]
    return heatmaps(question, signed.clamp(min=0), signed=signed, method="gradcam", parameters={"layer": chosen})


def default_layer(model: ImageModel, inputs: torch.Tensor | None = None) -> str:
    """The last layer that still has the resolution of the last convolution: all its features, before they are pooled.

    In a plain network that is the activation after the last convolution; in a residual or dense one the output of
    the last block, which holds more than its last convolution does.

    Args:
        model: the model.
        inputs: (image, channel, y, x) float, to find the layers with; zeros of the model's input size where omitted.

    Returns:
        A layer name.

    Raises:
        InputError: no convolution gives a map larger than one pixel.
    """
    records = _records(model, inputs)
    convolutions = [record for record in records if record.kind == "Conv2d" and _pixels(record) > 1]
    if not convolutions:
        raise InputError(
            f"{model.name!r} has no convolution with a map larger than one pixel; name a layer= with maps."
        )
    last = convolutions[-1].shape
    same = [
        record
        for record in records
        if record.shape is not None
        and len(record.shape) == 3
        and last is not None
        and record.shape[1:] == last[1:]
        and ":" not in record.name
    ]
    return same[-1].name


def _records(model: ImageModel, inputs: torch.Tensor | None) -> list[Layer]:
    records = model.layer_records if inputs is None else trace_layers(model.module, inputs)
    return sorted((record for record in records if record.shape is not None), key=lambda record: record.order)


def _pixels(record: Layer) -> int:
    return record.shape[1] * record.shape[2] if record.shape is not None and len(record.shape) == 3 else 0


def _checked(model: ImageModel, layer: str, inputs: torch.Tensor) -> str:
    name, call = split_call(model.module, layer)
    records = {record.name: record for record in trace_layers(model.module, inputs)}
    advice = f"The default would be {default_layer(model, inputs)!r}."
    if call is not None or f"{name}:0" in records:
        raise InputError(
            f"Layer {name!r} is called several times in one pass; Grad-CAM needs one that is called once. {advice}"
        )
    record = records[name]
    if record.shape is None:
        raise InputError(f"Layer {layer!r} ({record.kind}) cannot be used: {record.note}. {advice}")
    if not _pixels(record):
        raise InputError(f"Layer {layer!r} gives shape {record.shape}; Grad-CAM needs maps (unit, y, x). {advice}")
    return layer
