"""Score-CAM: a layer's maps, each weighted by what the model says of the image seen through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F

from workbench.errors import InputError
from workbench.explain.baselines import baseline_images, describe
from workbench.explain.gradcam import default_layer
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.random_masks import blend
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Question, Score, ask
from workbench.models import capture

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

Weights = Literal["increase", "softmax"]


@explainers.register(
    title="Score-CAM",
    source=("wang2020",),
    access="activations",
    returns="a layer's maps weighted by the score of the image seen through each, positive part",
    signed=False,
    coverage="one layer",
    cost="one evaluation a channel of the layer that is not constant: 512 in SqueezeNet, 1280 in MobileNetV2, "
    "2048 in ResNet50; plus one",
    note="As coarse as the layer's maps. The positive part is shown, as published; evidence against is in the "
    "coordinate signed. The paper takes a softmax over the channels (weights='softmax'); its authors' code does not.",
    parameters={
        "layer": ("layer", None),
        "weights": ("choice", "increase", ("increase", "softmax")),
        "baseline": ("choice", "zero", ("zero", "black", "mean", "blur", "noise", "inpaint")),
        "seed": ("int", 0, 0, 1000),
    },
)
def score_cam(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    layer: str | None = None,
    weights: Weights = "increase",
    baseline: str | torch.Tensor = "zero",
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Look at the image through each map of a layer, and weight the map by what that does to the score.

    Each map is enlarged bilinearly to the image and stretched to [0, 1]; its weight is the score of the image seen
    through it minus the score of the wholly hidden image. Maps are enlarged a batch at a time. Source: [wang2020].

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        layer: a layer that gives maps (unit, y, x); None is :func:`workbench.explain.gradcam.default_layer`.
        weights: ``"increase"`` (the score's increase itself) or ``"softmax"`` (of the increases, over the channels).
        baseline: what is seen where the map is low: ``"zero"`` as published, another name of
            :data:`workbench.explain.baselines`, or a tensor. Masks are soft, so ``"inpaint"`` fills each tile of
            the picture from around itself.
        seed: for baselines that draw.
        batch_size: inputs a forward pass, at least 1.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far).
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32, at least 0, enlarged bilinearly to the network input; ``signed`` is the same
        before negative values are cut off. The attribute ``parameters`` names the layer, ``evaluations`` counts the
        masked inputs of all images and one hidden one each; the coordinate of that name those of each image.

    Raises:
        UnknownNameError: no such layer, category or baseline.
        InputError: a layer without maps, one that is called several times, or other weights.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images or the model's answers cannot be used.
    """
    if weights not in get_args(Weights):
        raise InputError(f"weights is {weights!r}; expected 'increase' or 'softmax'.")
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    chosen = default_layer(model, question.inputs[:1]) if layer is None else layer
    hidden = baseline_images(baseline, question.inputs, model=model, seed=seed)
    parameters = {"layer": chosen, "weights": weights, "baseline": describe(baseline), "seed": seed}
    maps = layer_maps(question, chosen, batch_size)
    units = [np.flatnonzero((each.amax((1, 2)) > each.amin((1, 2))).cpu().numpy()) for each in maps]
    signed = np.full((len(question), *question.size), np.nan)
    counts = np.zeros(len(question), np.int64)

    def draw(finite: bool) -> xr.DataArray:
        return heatmaps(
            question,
            np.maximum(signed, 0),
            signed=signed,
            method="score_cam",
            parameters=parameters,
            finite=finite,
            coords={"evaluations": ("image", counts.copy())},
            evaluations=int(counts.sum()),
        )

    total = sum(len(each) + 1 for each in units)
    with Meter(total, progress=progress, stop=stop, label="Score-CAM") as meter, torch.no_grad():
        meter.check()
        for image, active in enumerate(units):
            here = torch.tensor([image], device=question.inputs.device)
            floor = question.scores(hidden[image : image + 1], here)
            counts[image] += 1
            increases = np.empty(0)

            def partial(image: int = image, active: NDArray[np.int64] = active) -> xr.DataArray:
                signed[image] = weighted_sum(maps[image], active, increases, weights, question.size)  # noqa: B023
                return draw(finite=False)

            meter.advance(1, partial)
            for start in range(0, len(active), batch_size):
                some = torch.from_numpy(active[start : start + batch_size]).to(here.device)
                seen = blend(question.inputs[image], hidden[image], unit_masks(maps[image][some], question.size))
                scores = question.scores(seen, here.expand(len(some))) - floor
                increases = np.concatenate([increases, scores.cpu().double().numpy()])
                counts[image] += len(some)
                meter.advance(len(some), partial)
            partial()
    return draw(finite=True)


def layer_maps(question: Question, layer: str, batch_size: int) -> torch.Tensor:
    """What a layer gives for the images.

    Args:
        question: what is explained.
        layer: a layer name.
        batch_size: images a forward pass.

    Returns:
        (image, unit, y, x) float32 or float64.

    Raises:
        UnknownNameError: no such layer.
        InputError: a layer without maps, or one that is called several times.
    """
    parts = []
    with torch.no_grad(), capture(question.model, layer) as found:
        for some in torch.split(question.inputs, batch_size):
            question.model.logits(some)
            output = found[layer]
            if output.ndim != 4:
                raise InputError(
                    f"Layer {layer!r} gives shape {tuple(output.shape[1:])}; Score-CAM needs maps (unit, y, x). The "
                    f"default would be {default_layer(question.model, question.inputs[:1])!r}."
                )
            parts.append(output.to(torch.promote_types(output.dtype, torch.float32)))
    return torch.cat(parts)


def unit_masks(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps as masks: enlarged, and each stretched to [0, 1].

    Args:
        maps: (unit, y, x) float, none of them constant.
        size: (y, x) pixels of the masks.

    Returns:
        (unit, 1, y, x) float.
    """
    large = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)
    low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
    span = high - low
    return (large - low) / torch.where(span > 0, span, torch.ones_like(span))


def weighted_sum(
    maps: torch.Tensor,
    active: NDArray[np.int64],
    increases: NDArray[np.float64],
    weights: Weights,
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """The map as far as it is known.

    Args:
        maps: (unit, y, x) float, all maps of one image.
        active: (active) int64, the units that are not constant.
        increases: (known) float64, what the first of these do to the score.
        weights: ``"increase"`` or ``"softmax"``.
        size: (y, x) pixels.

    Returns:
        (y, x) float32.
    """
    share = increases
    if weights == "softmax" and len(increases):
        powers = np.exp(increases - increases.max())
        share = powers / powers.sum()
    factors = torch.from_numpy(share).to(maps)
    known = torch.from_numpy(active[: len(increases)]).to(maps.device)
    # enlarging is linear, so that the sum can be enlarged instead of the maps
    small = torch.einsum("u,uyx->yx", factors, maps[known])
    large = F.interpolate(small[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    return np.asarray(large.cpu().float().numpy())
