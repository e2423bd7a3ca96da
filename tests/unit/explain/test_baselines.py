"""Baselines are what their names say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench import explain, models
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError, UnknownNameError
from workbench.explain import baseline_images, baselines
from workbench.explain.baselines import AROUND, hiding
from workbench.explain.inpainting import inpaint_pictures
from workbench.explain.window_fills import Harmonic
from workbench.models import ImageModel, Preprocessing

# enough to run each method, too little to use it for anything
PERTURBATION: dict[str, dict[str, Any]] = {
    "occlusion": {"patch": 4},
    "incremental_occlusion": {"patch": 4, "engine": "incremental"},
    "hierarchical_occlusion": {"patch": 4},
    "hipe": {"cells": 4, "levels": 2},
    "rise": {"masks": 40, "cells": 4},
    "lime": {"samples": 30, "segments": 6},
    "kernel_shap": {"samples": 30, "segments": 6},
    "score_cam": {"layer": "0"},
    "meaningful_perturbation": {"iterations": 3},
    "extremal_perturbation": {"iterations": 3},
}


@pytest.fixture
def model() -> ImageModel:
    return models.load(nn.Flatten(), preprocessing=Preprocessing(mean=(0.1, 0.2, 0.3), std=0.5))


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", sorted(set(baselines) - set(AROUND)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_dtype_and_independence_of_the_batch(
    name: str, dtype: torch.dtype, model: ImageModel, inputs: torch.Tensor
) -> None:
    inputs = inputs.to(dtype)
    kept = inputs.clone()
    made = baseline_images(name, inputs, model=model)
    assert made.shape == inputs.shape
    assert made.dtype == dtype
    assert torch.isfinite(made).all()
    assert torch.equal(inputs, kept)
    assert torch.equal(made[1:], baseline_images(name, inputs[1:], model=model))


def test_zero_and_black(model: ImageModel, inputs: torch.Tensor) -> None:
    assert baseline_images("zero", inputs, model=model).abs().max() == 0
    assert model.pictures(baseline_images("black", inputs, model=model)).max() < 1e-6


def test_mean_is_each_image_s_own(model: ImageModel, inputs: torch.Tensor) -> None:
    made = baseline_images("mean", inputs, model=model)
    torch.testing.assert_close(made[:, :, 3, 4], inputs.mean((2, 3)))
    assert made.std(dim=(2, 3)).max() < 1e-6


def test_blur_keeps_the_mean_and_takes_the_detail(model: ImageModel) -> None:
    flat = torch.full((1, 3, 16, 20), 0.7)
    torch.testing.assert_close(baseline_images("blur", flat, model=model), flat)
    spike = torch.zeros(1, 3, 225, 225)
    spike[:, :, 112, 112] = 1.0
    made = baseline_images("blur", spike, model=model)[0, 0]
    offsets = torch.arange(225.0) - 112
    variance = float((made.sum(0) * offsets**2).sum() / made.sum())
    assert variance**0.5 == pytest.approx(10 * 225 / 224, rel=0.01)


def test_noise_has_the_image_s_colours_and_range(model: ImageModel) -> None:
    inputs = (
        torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) + torch.tensor([0, 5, 9])[:, None, None]
    )
    made = baseline_images("noise", inputs, model=model, seed=3)
    assert torch.equal(made, baseline_images("noise", inputs, model=model, seed=3))
    assert not torch.equal(made, baseline_images("noise", inputs, model=model, seed=4))
    np.testing.assert_allclose(made.mean((2, 3)), inputs.mean((2, 3)), atol=0.02)
    assert (made.amax((2, 3)) <= inputs.amax((2, 3))).all()
    assert (made.amin((2, 3)) >= inputs.amin((2, 3))).all()


def test_a_baseline_of_one_s_own(model: ImageModel, inputs: torch.Tensor) -> None:
    own = torch.rand(3, 16, 20)
    assert torch.equal(baseline_images(own, inputs, model=model)[1], own)
    with pytest.raises(ShapeError, match=r"\(3, 4, 4\); expected \(2, 3, 16, 20\)"):
        baseline_images(torch.rand(3, 4, 4), inputs, model=model)
    with pytest.raises(NotFiniteError, match="baseline holds NaN"):
        baseline_images(own * torch.nan, inputs, model=model)
    with pytest.raises(DtypeError, match="baseline is int"):
        baseline_images(0, inputs, model=model)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean 'blur'"):
        baseline_images("blurr", inputs, model=model)


def test_the_mean_of_what_is_hidden_has_no_picture(model: ImageModel, inputs: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"'hidden_mean' depends on what is hidden.*occlusion, hierarchical_occlusion"):
        baseline_images("hidden_mean", inputs, model=model)
    network = models.load(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()).eval())
    for method in ("rise", "score_cam", "meaningful_perturbation", "extremal_perturbation", "integrated_gradients"):
        own = {"layer": "0"} if method == "score_cam" else {}
        with pytest.raises(InputError, match="depends on what is hidden"):
            explain.explain(method, network, inputs, baseline="hidden_mean", **own)


@pytest.mark.parametrize("method", PERTURBATION)
def test_inpainting_works_for_every_perturbation_method(method: str, inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = models.load(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten()).eval(),
        preprocessing=Preprocessing(mean=0.5, std=0.5),
    )
    found, other = (
        explain.explain(method, network, inputs, target=3, baseline=name, **PERTURBATION[method])
        for name in ("inpaint", "black")
    )
    assert np.isfinite(found).all()
    assert float(np.abs(found - other).max()) > 0
    assert "inpaint" in explain.explainers[method].card.parameters["baseline"][2]


def test_inpainted_tiles_keep_what_is_smooth_and_take_what_is_not(model: ImageModel) -> None:
    slope = torch.linspace(-1, 1, 40).expand(1, 3, 32, 40)  # harmonic: each pixel is the mean of its neighbours
    made = baseline_images("inpaint", slope, model=model)
    inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(made[inside], slope[inside], atol=1e-5, rtol=0)
    dotted = slope.clone()
    dotted[:, :, 10, 17] = 5.0
    assert baseline_images("inpaint", dotted, model=model)[0, 0, 10, 17] < 1.5


@pytest.mark.parametrize("name", sorted(baselines))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_hiding_leaves_the_rest_alone(name: str, dtype: torch.dtype, model: ImageModel, inputs: torch.Tensor) -> None:
    inputs = inputs.to(dtype)
    hidden = torch.zeros(3, 1, 16, 20, dtype=torch.bool)
    hidden[0, :, 2:5, 3:9] = hidden[1, :, :4, :4] = hidden[2, :, 10:, 12:] = True
    rows = torch.tensor([1, 0, 1])
    made = hiding(name, inputs, model=model)(rows, hidden)
    assert made.dtype == dtype
    assert torch.isfinite(made).all()
    visible = ~hidden.expand_as(made)
    assert torch.equal(made[visible], inputs[rows][visible])
    for index in range(3):
        alone = hiding(name, inputs[rows[index]][None], model=model)(torch.tensor([0]), hidden[index : index + 1])
        torch.testing.assert_close(alone[0], made[index])


def test_hidden_mean_is_the_mean_of_what_is_hidden(model: ImageModel, inputs: torch.Tensor) -> None:
    hidden = torch.zeros(1, 1, 16, 20, dtype=torch.bool)
    hidden[0, 0, 2:5, 3:9] = True
    made = hiding("hidden_mean", inputs, model=model)(torch.tensor([1]), hidden)
    torch.testing.assert_close(made[0, :, 3, 4], inputs[1, :, 2:5, 3:9].mean((1, 2)))


@settings(max_examples=20)
@given(data=st.data())
def test_inpainting_stays_within_the_colours_around_it(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(3, 20)), data.draw(st.integers(3, 20))
    seed = data.draw(st.integers(0, 100))
    generator = torch.Generator().manual_seed(seed)
    picture = torch.randn(1, 2, height, width, generator=generator)
    hidden = torch.rand(1, 1, height, width, generator=generator) < data.draw(st.floats(0.1, 0.9))
    hidden[0, 0, seed % height, seed % width] = False
    made = inpaint_pictures(picture, hidden)
    seen = picture[(~hidden).expand_as(picture)].reshape(2, -1)
    for channel in range(2):
        assert made[0, channel].max() <= seen[channel].max() + 1e-5
        assert made[0, channel].min() >= seen[channel].min() - 1e-5
    flat = torch.full_like(picture, 0.3)
    torch.testing.assert_close(inpaint_pictures(flat, hidden), flat)


def test_an_image_that_is_wholly_hidden_shows_its_mean_colour(model: ImageModel, inputs: torch.Tensor) -> None:
    hide = hiding("inpaint", inputs, model=model)
    hidden = torch.ones(2, 1, 16, 20, dtype=torch.bool)
    hidden[1, 0, :3] = False
    made = hide(torch.tensor([0, 1]), hidden)
    torch.testing.assert_close(made[0], inputs[0].mean((1, 2), keepdim=True).expand_as(made[0]))
    torch.testing.assert_close(made[1:], hide(torch.tensor([1]), hidden[1:]))
    torch.testing.assert_close(hide.windows(0, np.array([[0, 0, 16, 20]]))[0], made[0])


@pytest.mark.parametrize("name", sorted(baselines))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_windows_are_hidden_as_pixels_are(name: str, dtype: torch.dtype, model: ImageModel) -> None:
    smooth = nn.functional.interpolate(torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(2)), (32, 40))
    inputs = nn.functional.avg_pool2d(smooth, 5, 1, 2).to(dtype)
    windows = np.array([[0, 0, 6, 5], [10, 12, 6, 5], [26, 35, 6, 5], [3, 0, 1, 40], [0, 7, 32, 4], [9, 9, 8, 1]])
    hidden = torch.zeros(len(windows), 1, 32, 40, dtype=torch.bool)
    for mask, (y, x, height, width) in zip(hidden, windows.tolist(), strict=True):
        mask[0, y : y + height, x : x + width] = True
    hide = hiding(name, inputs, model=model, seed=1)
    wanted = hide(torch.ones(len(windows), dtype=torch.long), hidden)
    found = hide.windows(1, windows)
    assert found.dtype == dtype
    assert torch.equal(hide.windows(1, windows, feature_last=True), found)
    # rectangles are inpainted exactly, other shapes nearly
    near = 0.05 * float(inputs.max() - inputs.min()) if name == "inpaint" else 0.01 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, wanted, atol=near, rtol=0)
    torch.testing.assert_close(found[~hidden.expand_as(found)], wanted[~hidden.expand_as(found)], atol=0, rtol=0)


def test_a_window_fill_wants_one_image(inputs: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="one image"):
        Harmonic(inputs)
