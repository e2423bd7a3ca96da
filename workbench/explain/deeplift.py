"""DeepLIFT, by captum's rules, on a copy of the network that is made to fit them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from workbench.explain.attribution import Rows, ScoreModule, attribute_all, completeness_gap, require_gradient
from workbench.explain.baselines import baseline_images, describe
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Score, ask
from workbench.explain.unsharing import unshared

if TYPE_CHECKING:
    import torch
    import xarray as xr
    from torch import nn


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
    from workbench.explain.rescale import Rescale, separate

    question = ask(model, images, target=target, score=score)
    require_gradient(question)
    start = baseline_images(baseline, question.inputs, model=model, seed=seed)

    def attribute(network: nn.Module, rows: Rows) -> torch.Tensor:
        with warnings.catch_warnings():
            # captum announces its hooks each time; they are on our copy
            warnings.filterwarnings("ignore", message="\\s*Setting forward, backward hooks", category=UserWarning)
            found: torch.Tensor = Rescale(network).attribute(
                rows.inputs, baselines=start[rows.start : rows.start + 1], target=rows.targets
            )
        return found

    with Meter(2 * len(question), progress=progress, stop=stop, label="DeepLIFT") as meter:
        network = ScoreModule(model, question.score, meter, unshared(model, question.inputs[:1]))
        separate(network)
        # one image at a time: captum's rule for softmax mixes the images of a batch
        found = attribute_all(question, network, 1, attribute, meter)
    return heatmaps(
        question,
        found.float().sum(1),
        method="deeplift",
        parameters={"baseline": describe(baseline), "seed": seed},
        coords={"completeness_gap": ("image", completeness_gap(question, start, found, 32))},
    )
