"""The incremental engine against its definition: occlude one window, run the whole network, look at the answer."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from workbench.explain.incremental.engine import IncrementalEngine
from workbench.explain.lattice import positions


def dense_oracle(module: nn.Module, image: Tensor, windows: NDArray[np.int64], fill: Tensor) -> Tensor:
    """One forward pass a window, straight from the definition."""
    occluded = image.repeat(len(windows), 1, 1, 1)
    for picture, (y, x, height, width) in zip(occluded, windows.tolist(), strict=True):
        picture[:, y : y + height, x : x + width] = fill[:, y : y + height, x : x + width]
    with torch.inference_mode():
        return module(occluded)


def incremental(module: nn.Module, image: Tensor, windows: NDArray[np.int64], fill: Tensor, batch: int = 5) -> Tensor:
    engine = IncrementalEngine(module, image)
    plan = dataclasses.replace(engine.plan(windows), batch=batch)
    return engine.scores(windows, fill, plan=plan)


def settle(module: nn.Module, size: tuple[int, int], channels: int = 3) -> nn.Module:
    """Random weights whose activations neither die out nor explode, in float64: batch norms fitted to noise."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0.0, 0.2)
    module = module.double()
    if norms:
        module.train()
        for part in module.modules():
            if isinstance(part, nn.Dropout | nn.Dropout2d):
                part.eval()
        with torch.no_grad():
            module(torch.randn(2, channels, *size, dtype=torch.float64))
    module.eval()
    head = [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d)][-1]
    with torch.no_grad():
        # answers of order one, so that an absolute tolerance means something
        size_of_answers = module(torch.randn(1, channels, *size, dtype=torch.float64)).abs().max()
        for parameter in head.parameters():
            parameter /= size_of_answers
    return module


def random_windows(
    size: tuple[int, int], patch: tuple[int, int], stride: tuple[int, int], count: int, seed: int
) -> NDArray[np.int64]:
    corners = positions(size, patch, stride)
    # the corners of the image are where padding can go wrong, so they are always among the windows
    chosen = np.unique(np.r_[0, len(corners) - 1, np.random.default_rng(seed).permutation(len(corners))[:count]])
    return np.concatenate([corners[chosen], np.tile([patch], (len(chosen), 1))], axis=1)


# name: (size, arguments); small variants where float64 has only a slow convolution
ARCHITECTURES: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "alexnet": ((64, 81), {}),
    "vgg11_bn": ((33, 48), {}),
    "squeezenet1_0": ((48, 65), {}),
    "squeezenet1_1": ((49, 64), {}),
    "googlenet": ((48, 65), {"init_weights": False, "aux_logits": False}),
    "resnet18": ((48, 65), {}),
    "resnet50": ((49, 48), {}),
    "densenet121": ((48, 65), {}),
    "mobilenet_v2": ((48, 65), {"width_mult": 0.25}),
    "inception_v3": ((75, 81), {"init_weights": False, "aux_logits": False}),
    "shufflenet_v2_x0_5": ((65, 48), {}),
    "mnasnet0_5": ((48, 65), {}),
    "regnet_x_400mf": ((48, 65), {}),
    "mobilenet_v3_small": ((48, 65), {}),
    "convnext_tiny": ((48, 64), {}),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_equal_to_dense_in_double_precision(name: str) -> None:
    size, arguments = ARCHITECTURES[name]
    torch.manual_seed(0)
    module = settle(getattr(torchvision.models, name)(weights=None, num_classes=10, **arguments), size)
    image = torch.randn(1, 3, *size, dtype=torch.float64)
    fill = torch.randn(3, *size, dtype=torch.float64)
    windows = random_windows(size, (14, 9), (7, 5), 4, seed=1)
    expected = dense_oracle(module, image, windows, fill)
    with torch.inference_mode():
        effect = (expected - module(image)).abs().max()
    assert effect > 1e-3, "the windows change nothing, so agreement would mean nothing"
    assert (incremental(module, image, windows, fill) - expected).abs().max() < 1e-9


def mirror_network(mirror: Path, name: str) -> nn.Module:
    """A network of the mirror with its real weights, in float64."""
    path = mirror / "weights" / "architectures.py"
    specification = importlib.util.spec_from_file_location("mirror_architectures", path)
    assert specification is not None
    assert specification.loader is not None
    architectures = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(architectures)
    makers = {
        "tiny_darknet": architectures.tiny_darknet,
        "cifar_resnet20": lambda: architectures.CifarResNet(20),
        "vit_mnist": architectures.ViTMnist,
        "squeezenet1_0": torchvision.models.squeezenet1_0,
    }
    module: nn.Module = makers[name]()
    module.load_state_dict(load_file(mirror / "weights" / f"{name}.safetensors"))
    return module.double().eval()


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("tiny_darknet", (3, 64, 81)),
        ("cifar_resnet20", (3, 32, 32)),
        ("vit_mnist", (1, 28, 28)),
        ("squeezenet1_0", (3, 96, 65)),
    ],
)
def test_equal_to_dense_with_real_weights(mirror: Path, name: str, shape: tuple[int, int, int]) -> None:
    module = mirror_network(mirror, name)
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(1, *shape, dtype=torch.float64, generator=generator)
    windows = random_windows(shape[1:], (9, 7), (3, 5), 12, seed=3)
    fill = torch.zeros(shape, dtype=torch.float64)
    expected = dense_oracle(module, image, windows, fill)
    assert (incremental(module, image, windows, fill) - expected).abs().max() < 1e-9


class Awkward(nn.Module):
    """What networks do besides convolution and pooling, in functional, method and operator form."""

    def __init__(self, kernel: int, stride: int, padding: int, dilation: int, ceil: bool, count: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, (kernel, 3), (stride, 1), (padding, 1), (dilation, 1))
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8, bias=False)
        self.grouped = nn.Conv2d(8, 12, 1, stride=2, groups=2)
        self.mean = nn.AvgPool2d(3, 2, 1, ceil_mode=ceil, count_include_pad=count)
        self.maximum = nn.MaxPool2d(3, 2, 1, ceil_mode=ceil)
        self.slope = nn.PReLU(12)
        self.position = nn.Parameter(torch.randn(1, 8, 1, 1))
        self.last = nn.Linear(24, 5)
        self.overwritten = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)))
        y = self.depthwise(x)
        self.overwritten(y)  # its result is thrown away: only the overwriting counts
        x = x + y * self.position
        x -= 0.1
        x = F.pad(x, (1, 2, 0, 1))
        halves = x.chunk(2, dim=1)
        x = torch.cat([halves[1], halves[0].tanh()], 1)
        x = x.view(x.size(0), 2, 4, x.size(2), x.size(3)).transpose(1, 2).contiguous().view(x.shape)
        x = self.slope(self.grouped(x))
        x = torch.cat((self.mean(x), self.maximum(x)), dim=1)
        x = F.pad(x[:, :, ::2, 1:], (0, 0, 0, 0, 1, 1))[:, 1:-1]
        return self.last(x.mean((2, 3)))


@settings(max_examples=40)
@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    ceil=st.booleans(),
    count=st.booleans(),
    height=st.integers(20, 31),
    width=st.integers(20, 31),
    patch=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 1000),
    batch=st.integers(1, 9),
)
def test_equal_to_dense_whatever_the_geometry(
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    ceil: bool,
    count: bool,
    height: int,
    width: int,
    patch: tuple[int, int],
    seed: int,
    batch: int,
) -> None:
    torch.manual_seed(seed)
    module = settle(Awkward(kernel, stride, padding, dilation, ceil, count), (height, width))
    image = torch.randn(1, 3, height, width, dtype=torch.float64)
    fill = torch.randn(3, height, width, dtype=torch.float64)
    # windows of several sizes at once, at the borders and anywhere
    windows = np.concatenate(
        [
            random_windows((height, width), patch, (1, 1), 6, seed),
            random_windows((height, width), (patch[1], patch[0]), (1, 1), 2, seed + 1),
        ]
    )
    expected = dense_oracle(module, image, windows, fill)
    assert (incremental(module, image, windows, fill, batch) - expected).abs().max() < 1e-9
