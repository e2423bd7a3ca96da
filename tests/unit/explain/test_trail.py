"""The trail of a window: boxes against the pixels that really change, and what they cost against the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench import explain, models
from workbench.errors import DtypeError, InputError, NotDeterministicError
from workbench.explain.incremental import IncrementalEngine
from workbench.models import ImageModel, Preprocessing

SIZE = (30, 37)


def load(*parts: nn.Module) -> ImageModel:
    torch.manual_seed(0)
    return models.load(nn.Sequential(*parts).double(), preprocessing=Preprocessing(resize=SIZE), name="small")


@pytest.fixture(scope="module")
def model() -> ImageModel:
    """Nothing in it can hide a change: what reads a changed pixel changes."""
    return load(
        nn.Conv2d(3, 8, (3, 5), (2, 1), (1, 0)),
        nn.AvgPool2d(3, 2, 1),
        nn.Conv2d(8, 8, 3, dilation=2, padding=2),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, int, int, int]:
    height, width = draw(st.integers(1, SIZE[0])), draw(st.integers(1, SIZE[1]))
    return draw(st.integers(0, SIZE[0] - height)), draw(st.integers(0, SIZE[1] - width)), height, width


def changes(model: ImageModel, layers: list[str], window: tuple[int, int, int, int]) -> dict[str, Any]:
    """By definition: hide the window, run the whole network, compare each layer's pixels with the original's."""
    image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1)).to(model.dtype)
    row, column, rows, columns = window
    hidden = image.clone()
    hidden[..., row : row + rows, column : column + columns] += 1.5
    found = []
    for inputs in (image, hidden):
        with models.capture(model, layers) as captured, torch.no_grad():
            model.logits(inputs)
        found.append(captured)
    return {layer: (found[0][layer] != found[1][layer])[0].any(0).numpy() for layer in layers}


@settings(max_examples=40)
@given(window=windows())
def test_a_box_is_what_really_changes(model: ImageModel, window: tuple[int, int, int, int]) -> None:
    boxes = explain.changed_boxes(model, window)
    mine = ["0", "1", "3"]
    for name, changed in changes(model, mine, window).items():
        box = boxes.sel(layer=name)
        y, x = int(box["y"]), int(box["x"])
        expected = np.zeros((int(box["rows"]), int(box["columns"])), bool)
        expected[y : y + int(box["height"]), x : x + int(box["width"])] = True
        assert changed.shape == expected.shape
        assert not (changed & ~expected).any(), "something changes outside the box"
        assert float(box["share"]) == pytest.approx(expected.mean())
        if name == "3":
            continue  # a dilated kernel skips pixels, at the border of the map also the first of its box
        for axis in (0, 1):
            assert np.array_equal(
                np.flatnonzero(changed.any(axis))[[0, -1]], np.flatnonzero(expected.any(axis))[[0, -1]]
            )


def test_share_times_work_is_what_the_engine_counts(model: ImageModel) -> None:
    window = np.array([[3, 5, 6, 6]])
    boxes = explain.changed_boxes(model, window[0])
    assert float(boxes["work"].sum()) == pytest.approx(1)
    engine = IncrementalEngine(model.module, torch.randn(3, *SIZE, dtype=torch.float64))
    assert float((boxes["share"] * boxes["work"]).sum()) == pytest.approx(engine.cost(window))


def test_what_sees_the_whole_map_changes_as_a_whole(model: ImageModel) -> None:
    boxes = explain.changed_boxes(model, (0, 0, 2, 2))
    assert boxes["layer"].values.tolist()[1:] == ["0", "1", "3", "4", "5", "6"]
    after = boxes.isel(layer=slice(-3, None))
    assert not after["local"].any()
    assert (after["share"] == 1).all()
    assert boxes["local"][0]
    assert boxes.attrs["window"] == [0, 0, 2, 2]


def test_a_window_that_is_strided_over_changes_nothing() -> None:
    small = load(nn.Conv2d(3, 4, 1, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    box = explain.changed_boxes(small, (1, 1, 2, 3)).sel(layer="0")
    assert [int(box[name]) for name in ("y", "x", "height", "width")] == [0, 0, 0, 0]
    assert float(box["share"]) == 0


def test_the_size_may_be_another_than_the_models_own(model: ImageModel) -> None:
    boxes = explain.changed_boxes(model, (0, 0, 64, 48), size=(64, 48))
    assert boxes["rows"].values[0] == 64
    assert boxes["columns"].values[0] == 48
    assert (boxes["share"] == 1).all()


@pytest.mark.parametrize(
    ("window", "error", "words"),
    [
        ((0, 0, 4), InputError, "four numbers"),
        ((0, 0, 31, 4), InputError, "not inside an image of 30 by 37"),
        ((-1, 0, 4, 4), InputError, "not inside"),
        ((0, 0, 0, 4), InputError, "not inside"),
        ((0.5, 0, 4, 4), DtypeError, "integers"),
    ],
)
def test_unusable_windows(model: ImageModel, window: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        explain.changed_boxes(model, window)


def test_unusable_models() -> None:
    with pytest.raises(DtypeError, match="Linear"):
        explain.changed_boxes(nn.Linear(2, 2), (0, 0, 1, 1))

    class Dependent(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs.mean((2, 3)) if inputs.sum() > 0 else inputs.amax((2, 3))

    with pytest.raises(InputError, match="cannot be traced"):
        explain.changed_boxes(load(Dependent()), (0, 0, 1, 1))
    training = load(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    training.module.train()
    with pytest.raises(NotDeterministicError, match="training mode"):
        explain.changed_boxes(training, (0, 0, 1, 1))
