"""Explanations from gradients, computed by captum. Source: [kokhlikyan2020]."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.errors import InputError
from workbench.explain.attribution import Rows, ScoreModule, attribute_all, attribute_asking, completeness_gap
from workbench.explain.baselines import baseline_images, describe
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Score, ask, pose

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

_BASELINES = ("choice", "black", ("zero", "black", "mean", "blur", "noise"))


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators, and put them back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        before = torch.mps.get_rng_state() if device.type == "mps" else None
        torch.manual_seed(seed)
        try:
            yield
        finally:
            if before is not None:
                torch.mps.set_rng_state(before)


def _counts(name: str, value: int, least: int = 1) -> None:
    if value < least:
        raise InputError(f"{name} is {value}; expected at least {least}.")


@explainers.register(
    title="Saliency",
    source=("simonyan2013",),
    access="gradients",
    returns="largest absolute gradient over the channels; signed: their sum",
    signed=False,
    cost="one evaluation and its gradient",
    note="How fast the score changes with a pixel, not how much the pixel contributed.",
)
def saliency(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Gradient of the score with respect to each pixel. Source: [simonyan2013].

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        batch_size: images a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32, at least 0: the largest absolute gradient over the channels, in units of the
        score a unit of normalised input; ``signed`` is the sum of the gradients over the channels.

    Raises:
        InputError: no gradient leads through the model, or an argument cannot be used.
        UnknownNameError, NotFiniteError, ShapeError, DtypeError: the target or the images cannot be used.
        Interrupted: ``stop`` answered True.
    """
    from captum.attr import Saliency

    posed = pose(model, images, target=target, score=score, batch_size=batch_size)

    def attribute(network: nn.Module, inputs: torch.Tensor, rows: slice) -> torch.Tensor:
        gradient: torch.Tensor = Saliency(network).attribute(inputs, abs=False, additional_forward_args=rows).float()
        return torch.stack([gradient.abs().amax(1), gradient.sum(1)], 1)

    with Meter(len(posed), progress=progress, stop=stop, label="saliency") as meter:
        question, found = attribute_asking(posed, batch_size, attribute, meter)
    return heatmaps(question, found[:, 0], signed=found[:, 1], method="saliency", parameters={})


@explainers.register(
    title="Input x gradient",
    source=("shrikumar2016",),
    access="gradients",
    returns="normalised pixel times gradient, summed over the channels",
    cost="one evaluation and its gradient",
    note="A pixel that is zero as network input (mid-grey, mostly) gets zero, whatever it means.",
)
def input_x_gradient(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Each pixel times the gradient of the score with respect to it. Source: [shrikumar2016].

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        batch_size: images a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32, signed, in units of the score, summed over the channels.

    Raises:
        InputError: no gradient leads through the model, or an argument cannot be used.
        UnknownNameError, NotFiniteError, ShapeError, DtypeError: the target or the images cannot be used.
        Interrupted: ``stop`` answered True.
    """
    from captum.attr import InputXGradient

    posed = pose(model, images, target=target, score=score, batch_size=batch_size)

    def attribute(network: nn.Module, inputs: torch.Tensor, rows: slice) -> torch.Tensor:
        found: torch.Tensor = InputXGradient(network).attribute(inputs, additional_forward_args=rows).float()
        return found.sum(1)

    with Meter(len(posed), progress=progress, stop=stop, label="input x gradient") as meter:
        question, found = attribute_asking(posed, batch_size, attribute, meter)
    return heatmaps(question, found, method="input_x_gradient", parameters={})


@explainers.register(
    title="Integrated gradients",
    source=("sundararajan2017",),
    access="gradients",
    returns="gradient averaged on the way from the baseline, times the way, summed over the channels",
    cost="50 evaluations and gradients",
    note="Adds up to the score minus the baseline's score; how nearly is in the coordinate completeness_gap.",
    parameters={"baseline": _BASELINES, "steps": ("int", 50, 5, 300), "seed": ("int", 0, 0, 1000)},
)
def integrated_gradients(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    baseline: str | torch.Tensor = "black",
    steps: int = 50,
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Gradients integrated along the straight line from a baseline to the image. Source: [sundararajan2017].

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        baseline: where the way begins: a name of :data:`workbench.explain.baselines`, or a tensor.
        steps: points of the Gauss-Legendre quadrature, at least 1.
        seed: for baselines that draw.
        batch_size: evaluations a forward pass.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32, signed, in units of the score, summed over the channels. The coordinate
        ``completeness_gap`` (image) is the score minus the baseline's score minus the sum of the map: 0 for an exact
        integral.

    Raises:
        InputError: no gradient leads through the model, or an argument cannot be used.
        UnknownNameError, NotFiniteError, ShapeError, DtypeError: the target, baseline or images cannot be used.
        Interrupted: ``stop`` answered True.
    """
    from captum.attr import IntegratedGradients

    _counts("steps", steps)
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    start = baseline_images(baseline, question.inputs, model=model, seed=seed)

    def attribute(network: nn.Module, rows: Rows) -> torch.Tensor:
        found: torch.Tensor = IntegratedGradients(network).attribute(
            rows.inputs,
            baselines=start[rows.start : rows.start + 1],
            target=rows.targets,
            n_steps=steps,
            internal_batch_size=batch_size,
        )
        return found

    with Meter(len(question) * steps, progress=progress, stop=stop, label="integrated gradients") as meter:
        found = attribute_all(question, ScoreModule(model, question.score, meter), 1, attribute, meter)
    parameters = {"baseline": describe(baseline), "steps": steps, "seed": seed}
    return heatmaps(
        question,
        found.float().sum(1),
        method="integrated_gradients",
        parameters=parameters,
        coords={"completeness_gap": ("image", completeness_gap(question, start, found, batch_size))},
    )


@explainers.register(
    title="SmoothGrad",
    source=("smilkov2017",),
    access="gradients",
    returns="largest absolute value over the channels of the gradient averaged over noisy copies; signed: their sum",
    signed=False,
    cost="25 evaluations and gradients",
    parameters={"samples": ("int", 25, 2, 200), "noise": ("float", 0.15, 0.01, 0.5), "seed": ("int", 0, 0, 1000)},
)
def smoothgrad(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Gradient of the score, averaged over copies of the image with Gaussian noise. Source: [smilkov2017].

    Every image gets the same draw, so that a batch answers as its images do one at a time.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        samples: noisy copies an image, at least 1.
        noise: standard deviation of the noise as a share of the image's own range, above 0.
        seed: of the noise.
        batch_size: evaluations a forward pass.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32, at least 0: the largest absolute value over the channels of the averaged
        gradient; ``signed`` is its sum over the channels.

    Raises:
        InputError: no gradient leads through the model, or an argument cannot be used.
        UnknownNameError, NotFiniteError, ShapeError, DtypeError: the target or the images cannot be used.
        Interrupted: ``stop`` answered True.
    """
    from captum.attr import NoiseTunnel, Saliency

    _counts("samples", samples)
    if not noise > 0:
        raise InputError(f"noise is {noise}; expected a share of the image's range above 0.")
    question = ask(model, images, target=target, score=score, batch_size=batch_size)

    def attribute(network: nn.Module, rows: Rows) -> torch.Tensor:
        width = float((rows.inputs.amax() - rows.inputs.amin()).detach()) or 1.0
        with _seeded(seed, rows.inputs.device):  # captum draws from the global generator
            found: torch.Tensor = NoiseTunnel(Saliency(network)).attribute(
                rows.inputs,
                nt_type="smoothgrad",
                nt_samples=samples,
                nt_samples_batch_size=min(samples, batch_size),
                stdevs=noise * width,
                target=rows.targets,
                abs=False,
            )
        return found

    with Meter(len(question) * samples, progress=progress, stop=stop, label="SmoothGrad") as meter:
        gradients = attribute_all(question, ScoreModule(model, question.score, meter), 1, attribute, meter)
    parameters = {"samples": samples, "noise": noise, "seed": seed}
    values, signed = gradients.float().abs().amax(1), gradients.float().sum(1)
    return heatmaps(question, values, signed=signed, method="smoothgrad", parameters=parameters)
