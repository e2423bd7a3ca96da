"""Preparation against torchvision's own presets, image by image, and the published accuracy of real weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from workbench import data, models
from workbench.models import Preprocessing


@pytest.mark.parametrize(
    "weights",
    [
        torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1,
        torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V2,
        torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1,  # bicubic
    ],
)
def test_as_torchvision_prepares(weights: object, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 12, 15, 3), dtype=np.uint8)
    pictures = [
        Image.fromarray(array).resize(size, Image.Resampling.BICUBIC)
        for array, size in zip(coarse, [(320, 290), (240, 401)], strict=True)
    ]
    preset = weights.transforms()  # type: ignore[attr-defined]
    paths = []
    for index, picture in enumerate(pictures):
        paths.append(tmp_path / f"{index}.png")
        picture.save(paths[-1])
    model = models.load(torch.nn.Identity(), preprocessing=preset)
    assert model.preprocessing == Preprocessing.from_torchvision(preset)
    wanted = torch.stack([preset(picture) for picture in pictures])
    torch.testing.assert_close(model.prepare(paths), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", torchvision.models.list_models(module=torchvision.models))
def test_every_torchvision_classifier_says_how_it_prepares_pictures(name: str) -> None:
    for weights in torchvision.models.get_model_weights(name):
        preset = weights.transforms()
        taken = Preprocessing.from_torchvision(preset)
        picture = np.random.default_rng(0).integers(0, 256, (1, 64, 80, 3), dtype=np.uint8)
        # the presets' own sizes take seconds; the order of steps is the same with small ones
        preset.crop_size, preset.resize_size = [24], [28]
        small = Preprocessing(28, 24, taken.mean, taken.std, interpolation=taken.interpolation)
        torch.testing.assert_close(small.apply(picture, names=["0"])[0], preset(Image.fromarray(picture[0])))
        assert taken.size is not None


@pytest.mark.mirror
@pytest.mark.slow
def test_real_weights_reach_the_accuracy_that_was_published_with_them(mirror: Path) -> None:
    images = data.imagenet_samples()
    found = models.load("mobilenet_v2", weights="mobilenet_v2").predict(images)
    labels = np.asarray(images.labels)
    ranks = (found.logits.values > np.take_along_axis(found.logits.values, labels[:, None], 1)).sum(1)
    assert len(labels) == 600
    assert 100 * np.mean(ranks == 0) == pytest.approx(85.3, abs=0.05)
    assert 100 * np.mean(ranks < 5) == pytest.approx(97.0, abs=0.05)
