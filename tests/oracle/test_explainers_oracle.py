"""Explainers against captum, a literal loop, and formulas written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import DeepLift, Occlusion
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench import data, explain, models
from workbench.explain import baseline_images
from workbench.models import ImageModel, Preprocessing


def network(*, inplace: bool = False, pool: tuple[int, int] = (2, 2)) -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=inplace),
        nn.MaxPool2d(*pool),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(inplace=inplace),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


def load(module: nn.Module) -> ImageModel:
    return models.load(module, preprocessing=Preprocessing(mean=0.4, std=0.3))


def pictures(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def close(found: object, wanted: torch.Tensor | np.ndarray) -> None:
    wanted = np.asarray(wanted.detach() if isinstance(wanted, torch.Tensor) else wanted)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(np.asarray(found), wanted, atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize(("patch", "stride"), [((4, 4), (2, 2)), ((6, 4), (3, 2)), ((2, 8), (2, 4))])
def test_occlusion_is_captum_s(patch: tuple[int, int], stride: tuple[int, int]) -> None:
    model, inputs = load(network()), pictures(2, 24, 20)
    found = explain.occlusion(model, inputs, target=[1, 3], patch=patch, stride=stride, batch_size=9)
    wanted = Occlusion(model.module).attribute(
        inputs, sliding_window_shapes=(3, *patch), strides=(3, *stride), baselines=0, target=torch.tensor([1, 3])
    )
    close(found, wanted[:, 0])


@pytest.mark.mirror
@pytest.mark.parametrize("name", ["squeezenet1_0", "mobilenet_v2"])
def test_occlusion_is_captum_s_on_real_weights(mirror: Path, name: str) -> None:
    model = models.load(name, weights=data.fetch(name))
    inputs = pictures(1, 96, 96, seed=3)
    wanted = Occlusion(model.module).attribute(
        inputs, sliding_window_shapes=(3, 16, 16), strides=(3, 16, 16), baselines=0, target=7
    )
    options = {"target": 7, "patch": 16, "stride": 16}
    found = explain.occlusion(model, inputs, **options)
    assert found.attrs["passes"] == "traced"
    close(found, wanted[:, 0])
    close(explain.incremental_occlusion(model, inputs, engine="incremental", **options), wanted[:, 0])


@settings(max_examples=25)
@given(
    height=st.integers(8, 14),
    width=st.integers(8, 14),
    patch=st.tuples(st.integers(2, 8), st.integers(2, 8)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    baseline=st.sampled_from(["zero", "black", "mean", "blur", "noise"]),
    score=st.sampled_from(["logit", "probability"]),
)
def test_occlusion_is_a_loop(
    height: int, width: int, patch: tuple[int, int], stride: tuple[int, int], baseline: str, score: str
) -> None:
    model, inputs = load(network().double()), pictures(1, height, width).double()
    found = explain.occlusion(
        model, inputs, target=2, score=score, patch=patch, stride=stride, baseline=baseline, batch_size=13, seed=4
    )
    hidden = baseline_images(baseline, inputs, model=model, seed=4)

    def ask(images: torch.Tensor) -> float:
        logits = model.module(images).detach()[0]
        return float(logits[2] if score == "logit" else torch.softmax(logits, 0)[2])

    total, count = np.zeros((height, width)), np.zeros((height, width))
    tops = sorted({*range(0, height - patch[0] + 1, stride[0]), height - patch[0]})
    lefts = sorted({*range(0, width - patch[1] + 1, stride[1]), width - patch[1]})
    for top in tops:
        for left in lefts:
            window = np.s_[top : top + patch[0], left : left + patch[1]]
            occluded = inputs.clone()
            occluded[(0, slice(None), *window)] = hidden[(0, slice(None), *window)]
            total[window] += ask(inputs) - ask(occluded)
            count[window] += 1
    close(found[0], total / count)


def numerical_gradient(score: Callable[[torch.Tensor], float], image: torch.Tensor) -> torch.Tensor:
    gradient, step = torch.zeros_like(image), 1e-6
    for index in np.ndindex(*image.shape):
        up, down = image.clone(), image.clone()
        up[index] += step
        down[index] -= step
        gradient[index] = (score(up) - score(down)) / (2 * step)
    return gradient


def test_gradients_are_differences() -> None:
    model, inputs = load(network(inplace=True).double()), pictures(1, 8, 8).double()
    gradient = numerical_gradient(lambda image: float(model.module(image)[0, 1].detach()), inputs)[0]
    saliency = explain.saliency(model, inputs, target=1)
    close(saliency[0], gradient.abs().amax(0))
    close(saliency.signed[0], gradient.sum(0))
    close(explain.input_x_gradient(model, inputs, target=1)[0], (gradient * inputs[0]).sum(0))


def test_integrated_gradients_are_a_riemann_sum() -> None:
    module, inputs = network(), pictures(2, 10, 12)
    model = load(module)
    start = torch.full_like(inputs, -0.4 / 0.3)
    total = torch.zeros_like(inputs)
    steps = 2000
    for step in range(steps):
        point = (start + (step + 0.5) / steps * (inputs - start)).requires_grad_()
        (gradient,) = torch.autograd.grad(module(point)[:, 3].sum(), point)
        total += gradient / steps
    found = explain.integrated_gradients(model, inputs, target=3, baseline="black", steps=300)
    wanted = ((inputs - start) * total).sum(1).detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=0.01 * np.abs(wanted).max())


def test_smoothgrad_is_the_mean_over_noisy_copies() -> None:
    module, inputs = network(), pictures(1, 8, 8)
    width = float(inputs.max() - inputs.min())
    generator = torch.Generator().manual_seed(0)
    gradients = []
    for _ in range(3000):
        noisy = (inputs + 0.2 * width * torch.randn(inputs.shape, generator=generator)).requires_grad_()
        gradients.append(torch.autograd.grad(module(noisy)[0, 2], noisy)[0])
    wanted = torch.stack(gradients).mean(0)[0]
    spread = torch.stack(gradients).std(0)[0] / 3000**0.5
    found = explain.smoothgrad(load(module), inputs, target=2, samples=3000, noise=0.2, batch_size=200)
    error = np.abs(np.asarray(found.signed[0]) - wanted.sum(0).numpy())
    # two independent means, three channels: five standard errors, at 64 pixels
    assert (error <= 5 * 2**0.5 * (spread**2).sum(0).sqrt().numpy()).all()


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layer", ["3", "4"])
def test_gradcam_by_hand(inplace: bool, layer: str) -> None:
    inputs = pictures(2, 16, 12)
    plain = network()
    number = int(layer) + 1
    maps = plain[:number](inputs).detach().requires_grad_()
    score = plain[number:](maps)[[0, 1], [1, 2]].sum()
    (gradient,) = torch.autograd.grad(score, maps)
    wanted = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True)
    wanted = nn.functional.interpolate(wanted, (16, 12), mode="bilinear", align_corners=False)[:, 0].detach()
    found = explain.gradcam(load(network(inplace=inplace)), inputs, target=[1, 2], layer=layer)
    close(found.signed, wanted)
    close(found, wanted.clamp(min=0))


@pytest.mark.filterwarnings("ignore:\\s*Setting forward, backward hooks:UserWarning")  # captum announces its hooks
def test_deeplift_is_captum_s_where_captum_is_exact() -> None:
    # without pooling: behind an activation, captum's rule for it reads a gradient too early, and nothing adds up
    model, inputs = load(network(pool=(1, 1))), pictures(2, 12, 12)
    reference = torch.zeros_like(inputs)
    wanted = DeepLift(network(pool=(1, 1))).attribute(inputs.clone().requires_grad_(), baselines=reference, target=1)
    close(explain.deeplift(model, inputs, target=1, baseline="zero"), wanted.sum(1))


def test_deeplift_of_a_hidden_layer_by_hand() -> None:
    """One rectified layer: the rescale rule is the ratio of differences."""
    torch.manual_seed(0)
    first, second = nn.Linear(12, 5), nn.Linear(5, 2)
    module = nn.Sequential(nn.Flatten(), first, nn.ReLU(inplace=True), second).eval()
    inputs = pictures(1, 2, 2)
    hidden, before = first(inputs.flatten(1)), first(torch.zeros(1, 12))
    ratio = (hidden.relu() - before.relu()) / (hidden - before)
    wanted = inputs.flatten(1)[0] * ((second.weight[1] * ratio[0]) @ first.weight)
    found = explain.deeplift(load(module), inputs, target=1, baseline="zero")
    close(found[0], wanted.reshape(3, 2, 2).sum(0))


@pytest.mark.parametrize("pool", [(2, 2), (3, 2), (3, 1)])
def test_deeplift_adds_up_behind_pooling(pool: tuple[int, int]) -> None:
    model, inputs = load(network(pool=pool)), pictures(2, 15, 15)
    found = explain.deeplift(model, inputs)
    start = model.logits(torch.full_like(inputs, -0.4 / 0.3)).detach().numpy()[[0, 1], found.target]
    np.testing.assert_allclose(found.sum(("y", "x")), found.reference - start, atol=1e-4)
