"""The perturbation methods against their definitions, written out slowly."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from captum.attr import KernelShap
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import nn

from workbench import explain, models
from workbench.explain import baseline_images
from workbench.explain.extremal_perturbation import SmoothMask, area_penalty, look_up, pyramid
from workbench.explain.hipe import block_levels
from workbench.explain.inpainting import inpaint_pictures
from workbench.explain.meaningful_perturbation import enlargement, penalty
from workbench.explain.random_masks import draw_masks
from workbench.explain.regression import draw_selections
from workbench.explain.window_fills import Harmonic, hide_windows
from workbench.models import ImageModel, Preprocessing


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


@pytest.fixture(scope="module")
def model() -> ImageModel:
    return models.load(network().double(), preprocessing=Preprocessing(mean=0.4, std=0.3))


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.randn(1, 3, 16, 20, generator=torch.Generator().manual_seed(0)).double()


def logit(model: ImageModel, image: torch.Tensor, target: int = 2) -> float:
    return float(model.module(image)[0, target].detach())


def close(found: object, wanted: np.ndarray, share: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(found), wanted, atol=share * np.abs(wanted).max(), rtol=0)


def literal_mask(grid: np.ndarray, size: tuple[int, int], shift: tuple[int, int]) -> np.ndarray:
    """Bilinear interpolation between the centres of the cells, pixel by pixel."""
    cells = len(grid)
    cell = [math.ceil(pixels / cells) for pixels in size]
    mask = np.empty(size)
    for y, x in np.ndindex(*size):
        weights = np.zeros(grid.shape)
        place = []
        for pixel, offset, width in zip((y, x), shift, cell, strict=True):
            across = (pixel + offset + 0.5) * cells / ((cells + 1) * width) - 0.5
            across = min(max(across, 0.0), cells - 1.0)
            low = min(int(across), cells - 1)
            high = min(low + 1, cells - 1)
            place.append(((low, 1 - (across - low)), (high, across - low)))
        for (row, down), (column, right) in itertools.product(*place):
            weights[row, column] += down * right
        mask[y, x] = (weights * grid).sum()
    return mask


@pytest.mark.parametrize("normalisation", ["coverage", "expectation"])
def test_rise_is_a_sum_over_its_masks(model: ImageModel, inputs: torch.Tensor, normalisation: str) -> None:
    count, keep = 23, 0.4
    draws = draw_masks(count, cells=3, keep=keep, size=(16, 20), seed=7)
    hidden = baseline_images("noise", inputs, model=model, seed=7)
    weighted, coverage, scores = np.zeros((16, 20)), np.zeros((16, 20)), []
    for grid, shift in zip(draws.grids.numpy(), draws.shifts.tolist(), strict=True):
        mask = literal_mask(grid.astype(float), (16, 20), tuple(shift))
        seen = torch.from_numpy(mask) * inputs + torch.from_numpy(1 - mask) * hidden
        scores.append(logit(model, seen))
        weighted += scores[-1] * mask
        coverage += mask
    wanted = weighted / (count * keep) if normalisation == "expectation" else weighted / coverage - np.mean(scores)
    found = explain.rise(
        model, inputs, target=2, masks=count, cells=3, keep=keep, baseline="noise", seed=7, batch_size=5,
        normalisation=normalisation,
    )  # fmt: skip
    close(found[0], wanted)
    assert found.attrs["evaluations"] == count


def test_rise_finds_the_part_that_a_known_model_looks_at() -> None:
    """The mean of one corner as the score: the exact map is known up to the spread of the masks."""

    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            corner = x[:, :, :8, :8].mean((1, 2, 3))
            return torch.stack([corner, -corner], dim=1)

    model = models.load(Corner().eval(), preprocessing=Preprocessing(mean=0.5, std=0.5))
    inputs = torch.ones(1, 3, 24, 24)
    maps = [explain.rise(model, inputs, target=0, masks=count, cells=6)[0].values for count in (50, 400, 3000)]
    last = maps[-1]
    assert last[:8, :8].min() > last[12:, 12:].max()
    # the error of a mean of random masks falls as the root of their number: here by more than half at each step
    truth = explain.rise(model, inputs, target=0, masks=6000, cells=6, seed=1)[0].values
    errors = [float(np.sqrt(((each - truth) ** 2).mean())) for each in maps]
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


def test_lime_is_a_weighted_ridge(model: ImageModel, inputs: torch.Tensor) -> None:
    parts = (np.arange(16)[:, None] // 8) * 4 + np.arange(20) // 5
    found = explain.lime(model, inputs, target=2, samples=40, superpixels=parts, seed=3, batch_size=7)
    shown = draw_selections(40, 8, 3)
    scores, weights = [], []
    for row in shown:
        image = inputs.clone()
        for part in np.flatnonzero(~row):
            inside = torch.from_numpy(parts == part)
            image[0][:, inside] = inputs[0][:, inside].mean(1, keepdim=True)
        scores.append(logit(model, image))
        ones = np.ones(8)
        cosine = (row * ones).sum() / max(np.linalg.norm(row) * np.linalg.norm(ones), 1e-300)
        weights.append(np.sqrt(np.exp(-((1 - cosine) ** 2) / 0.25**2)))
    fitted = Ridge(alpha=1).fit(shown.astype(float), scores, sample_weight=weights)
    close(found[0], fitted.coef_[parts])
    assert float(found.fit[0]) == pytest.approx(fitted.score(shown.astype(float), scores, sample_weight=weights))
    assert found.attrs["evaluations"] == 40


def test_kernel_shap_estimates_the_shapley_values(model: ImageModel, inputs: torch.Tensor) -> None:
    parts = (np.arange(16)[:, None] // 8) * 2 + np.arange(20) // 10
    hidden = baseline_images("black", inputs, model=model)
    score = {}
    for row in itertools.product([False, True], repeat=4):
        shown = torch.from_numpy(np.array(row)[parts])
        score[row] = logit(model, torch.where(shown, inputs, hidden))
    shapley = np.zeros(4)
    for order in itertools.permutations(range(4)):
        row = [False] * 4
        for part in order:
            before = score[tuple(row)]
            row[part] = True
            shapley[part] += (score[tuple(row)] - before) / 24
    found = explain.kernel_shap(model, inputs, target=2, samples=3000, superpixels=parts, baseline="black")
    # 3000 coalitions of 16: the frequencies are within a few per cent of the Shapley kernel
    close(found[0], shapley[parts], share=0.05)
    assert abs(float(found.completeness_gap[0])) < 1e-3 * np.abs(shapley).sum()


@pytest.mark.parametrize("batch_size", [4, 64])
def test_kernel_shap_is_captum_s(model: ImageModel, inputs: torch.Tensor, batch_size: int) -> None:
    parts = (np.arange(16)[:, None] // 8) * 4 + np.arange(20) // 5
    hidden = baseline_images("black", inputs, model=model)
    torch.manual_seed(6)
    wanted = KernelShap(model.module).attribute(
        inputs, baselines=hidden, target=2, feature_mask=torch.from_numpy(parts)[None, None], n_samples=60
    )
    found = explain.kernel_shap(
        model, inputs, target=2, samples=60, superpixels=parts, baseline="black", seed=6, batch_size=batch_size
    )
    close(found[0], wanted[0, 0].numpy(), share=1e-3)  # captum fits in float32, with weights of a million


def test_hipe_is_its_loop(model: ImageModel, inputs: torch.Tensor) -> None:
    values, signed, count = np.zeros((16, 20)), np.zeros((16, 20)), 0
    reference = logit(model, inputs)
    for level, cells in enumerate((2, 4, 8)):
        rows = np.round(np.linspace(0, 16, cells + 1)).astype(int)
        columns = np.round(np.linspace(0, 20, round(cells * 20 / 16) + 1)).astype(int)
        middle = (values.min() + values.max()) / 2
        kept = values.copy()
        for y, x in itertools.product(range(-1, len(rows) - 1), range(-1, len(columns) - 1)):
            box = np.s_[
                rows[max(y, 0)] : rows[min(y + 2, len(rows) - 1)],
                columns[max(x, 0)] : columns[min(x + 2, len(columns) - 1)],
            ]
            if level and kept[box].max() < middle:
                continue
            image = inputs.clone()
            image[(0, slice(None), *box)] = inputs[(0, slice(None), *box)].mean((1, 2), keepdim=True)
            fall = reference - logit(model, image)
            values[box] += max(fall, 0)
            signed[box] += fall
            count += 1
    found = explain.hipe(model, inputs, target=2, cells=2, levels=3, batch_size=7)
    close(found[0], values)
    close(found.signed[0], signed)
    assert found.attrs["evaluations"] == int(found.evaluations[0]) == count
    assert count < sum(len(boxes) for boxes in block_levels((16, 20), 2, 3)), "nothing was left out"


def test_the_published_numbers_of_blocks() -> None:
    assert [len(boxes) for boxes in block_levels((224, 224), 8, 3)] == [81, 289, 1089]


def test_hierarchical_occlusion_without_a_threshold_is_dense(model: ImageModel, inputs: torch.Tensor) -> None:
    found = explain.hierarchical_occlusion(model, inputs, target=2, patch=(2, 4), levels=3, threshold=0.0)
    dense = explain.occlusion(model, inputs, target=2, patch=(2, 4), stride=(1, 2))
    close(found[0], dense[0].values)
    assert (found.level == 0).all()


def test_hierarchical_occlusion_is_its_rule(model: ImageModel, inputs: torch.Tensor) -> None:
    reference = logit(model, inputs)

    def fall(box: tuple[slice, slice]) -> float:
        image = inputs.clone()
        image[(0, slice(None), *box)] = 0
        return reference - logit(model, image)

    values, count = np.zeros((16, 20)), 0
    for patch, stride in ((8, 4), (4, 2), (2, 1)):
        tops = sorted({*range(0, 16 - patch + 1, stride), 16 - patch})
        lefts = sorted({*range(0, 20 - patch + 1, stride), 20 - patch})
        total, number = np.zeros((16, 20)), np.zeros((16, 20))
        for top, left in itertools.product(tops, lefts):
            box = np.s_[top : top + patch, left : left + patch]
            if patch == 8 or np.abs(values[box]).max() >= 0.6 * np.abs(values).max():
                total[box] += fall(box)
                number[box] += 1
                count += 1
        values = np.where(number > 0, total / np.maximum(number, 1), values / 4)
    found = explain.hierarchical_occlusion(model, inputs, target=2, patch=2, levels=3, threshold=0.6, batch_size=9)
    close(found[0], values)
    assert int(found.evaluations[0]) == count


@pytest.mark.parametrize("weights", ["increase", "softmax"])
def test_score_cam_is_its_loop(model: ImageModel, inputs: torch.Tensor, weights: str) -> None:
    maps = model.module[:4](inputs).detach()  # type: ignore[index]
    large = nn.functional.interpolate(maps, (16, 20), mode="bilinear", align_corners=False)[0]
    floor = logit(model, torch.zeros_like(inputs))
    increases = []
    for each in large:
        mask = (each - each.min()) / (each.max() - each.min())
        increases.append(logit(model, inputs * mask) - floor)
    factors = np.array(increases)
    if weights == "softmax":
        factors = np.exp(factors) / np.exp(factors).sum()
    wanted = sum(factor * each.numpy() for factor, each in zip(factors, large, strict=True))
    found = explain.score_cam(model, inputs, target=2, layer="3", weights=weights, batch_size=3)
    close(found.signed[0], wanted)
    close(found[0], np.maximum(wanted, 0))
    assert found.attrs["evaluations"] == 9


def test_meaningful_perturbation_lowers_what_it_says(model: ImageModel, inputs: torch.Tensor) -> None:
    """At 16 pixels nothing is shifted: the last loss can be computed again from the mask of the step before."""
    options = {"target": 2, "area_weight": 1e-3, "smoothness_weight": 1e-2, "cells": 5}
    hidden = baseline_images("blur", inputs, model=model)
    scale = abs(logit(model, inputs) - logit(model, hidden))
    kept = torch.ones(1, 5, 6, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([kept], lr=0.1)
    losses = []
    for _ in range(30):
        mask = torch.zeros(16, 20, dtype=torch.float64)
        for v, u in itertools.product(range(5), range(6)):
            mask = mask + kept[0, v, u] * torch.outer(enlargement(5, 16)[:, v], enlargement(6, 20)[:, u])
        seen = mask * inputs + (1 - mask) * hidden
        area = sum(1 - kept[0, v, u] for v, u in itertools.product(range(5), range(6)))
        variation = sum((kept[0, v + 1, u] - kept[0, v, u]).abs() ** 3 for v in range(4) for u in range(6))
        variation = variation + sum((kept[0, v, u + 1] - kept[0, v, u]).abs() ** 3 for v in range(5) for u in range(5))
        loss = model.module(seen)[0, 2] / scale + 1e-3 * area + 1e-2 * variation
        assert float(penalty(kept, 1e-3, 1e-2).detach()) == pytest.approx(
            float((1e-3 * area + 1e-2 * variation).detach())
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            kept.clamp_(0, 1)
        losses.append(float(loss.detach()))
    found = explain.meaningful_perturbation(model, inputs, iterations=30, **options)
    assert float(found.loss[0]) == pytest.approx(losses[-1], rel=1e-5)
    assert losses[-1] < losses[0]
    assert found.attrs["evaluations"] == found.attrs["gradients"] == 30


def test_a_smooth_mask_is_a_smooth_maximum_of_bumps() -> None:
    size, step = (13, 17), 3
    smooth = SmoothMask(size, step, torch.device("cpu"), torch.float64)
    points = torch.rand(2, *smooth.grid, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = np.empty((2, *size))
    for number, y, x in np.ndindex(2, *size):
        heights = []
        for v, u in itertools.product(range(-4, 5), repeat=2):
            row, column = y // step + v, x // step + u
            row, column = (  # mirrored at the border
                place if 0 <= place < count else (-1 - place if place < 0 else 2 * count - 1 - place)
                for place, count in zip((row, column), smooth.grid, strict=True)
            )
            value = float(points[number, row, column])
            distance = math.hypot(y % step + 0.5 - (v + 0.5) * step, x % step + 0.5 - (u + 0.5) * step) / (3 * step)
            heights.append(value * math.exp(-2 * max(distance - 0.5, 0) ** 2))
        powers = np.exp(20 * np.array(heights))
        wanted[number, y, x] = (np.array(heights) * powers).sum() / powers.sum()
    close(smooth(points)[:, 0], wanted)


def test_the_area_penalty_compares_the_sorted_mask() -> None:
    mask = torch.rand(2, 1, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    areas = torch.tensor([0.1, 0.45])
    for each, area, found in zip(mask, areas, area_penalty(mask, areas), strict=True):
        ordered = np.sort(each.numpy().ravel())
        wanted = np.zeros(99)
        wanted[math.floor((1 - float(area)) * 99) :] = 1
        # neighbours in rank that differ by less than a ten-thousandth share a rank
        assert float(found) == pytest.approx(((ordered - wanted) ** 2).mean(), rel=1e-3)


def test_the_pyramid_goes_from_hidden_to_seen(model: ImageModel, inputs: torch.Tensor) -> None:
    levels = pyramid(inputs, None)
    assert levels.shape == (1, 8, 3, 16, 20)
    for value, wanted in ((0.0, levels[:, 0]), (1.0, inputs), (3.5 / 7, (levels[:, 3] + levels[:, 4]) / 2)):
        torch.testing.assert_close(look_up(levels, torch.full((1, 1, 16, 20), value).double()), wanted)
    assert levels[:, 0].std() < levels[:, 4].std() < inputs.std()


def test_an_extremal_perturbation_has_its_area_and_finds_the_object() -> None:
    class Patch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bright = 20 * x[:, :, 6:16, 11:21].mean((1, 2, 3))
            return torch.stack([bright, -bright], dim=1)

    model = models.load(Patch().eval(), preprocessing=Preprocessing(mean=0.5, std=0.5))
    inputs = torch.zeros(1, 3, 32, 32)
    inputs[:, :, 6:16, 11:21] = 2.0
    found = explain.extremal_perturbation(model, inputs, target=0, areas=(0.1, 0.2), iterations=800)
    assert float(found.area_error[0]) < 0.03
    inside = float(found[0, 6:16, 11:21].mean())
    assert inside > 0.7
    assert inside > 3 * float(found[0, 20:, 20:].mean())
    assert found.attrs["evaluations"] == 1600


def solved(picture: torch.Tensor, hidden: np.ndarray) -> torch.Tensor:
    """(channel, y, x) float64 with each hidden pixel the mean of its neighbours, by the linear system written out."""
    height, width = hidden.shape
    number = -np.ones(hidden.shape, int)
    number[hidden] = np.arange(hidden.sum())
    system = scipy.sparse.lil_matrix((hidden.sum(), hidden.sum()))
    right = np.zeros((hidden.sum(), len(picture)))
    for v, u in np.argwhere(hidden):
        around = [(v + 1, u), (v - 1, u), (v, u + 1), (v, u - 1)]
        around = [(a, b) for a, b in around if 0 <= a < height and 0 <= b < width]
        system[number[v, u], number[v, u]] = len(around)
        for a, b in around:
            if hidden[a, b]:
                system[number[v, u], number[a, b]] = -1
            else:
                right[number[v, u]] += picture[:, a, b].double().numpy()
    filled = picture.double().clone()
    found = scipy.sparse.linalg.spsolve(system.tocsr(), right).reshape(len(right), -1)
    filled[:, torch.from_numpy(hidden)] = torch.from_numpy(found.T)
    return filled


def rectangle(window: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    y, x, height, width = window
    hidden = np.zeros(size, bool)
    hidden[y : y + height, x : x + width] = True
    return hidden


@pytest.mark.parametrize(("window", "tolerance"), [((3, 5, 2, 2), 0.01), ((8, 8, 8, 10), 0.02), ((0, 0, 10, 12), 0.05)])
def test_inpainting_is_nearly_harmonic(window: tuple[int, int, int, int], tolerance: float) -> None:
    """Against the linear system solved exactly."""
    rough = torch.from_numpy(np.random.default_rng(0).random((1, 2, 6, 7)))
    picture = nn.functional.interpolate(rough, (32, 36), mode="bilinear")
    hidden = rectangle(window, (32, 36))
    wanted = solved(picture[0], hidden).numpy()
    filled = inpaint_pictures(picture, torch.from_numpy(hidden)[None, None])[0].numpy()
    error = (filled - wanted)[:, hidden]
    assert np.sqrt((error**2).mean()) < tolerance
    np.testing.assert_array_equal(filled[:, ~hidden], picture[0].numpy()[:, ~hidden])


@settings(max_examples=40)
@given(data=st.data())
def test_rectangles_are_inpainted_exactly(data: st.DataObject) -> None:
    """Windows inside, at each border, and across the whole image in one direction."""
    rows, columns = data.draw(st.integers(2, 12)), data.draw(st.integers(2, 12))
    height, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    if (height, width) == (rows, columns):
        height -= 1
    corners = st.tuples(st.integers(0, rows - height), st.integers(0, columns - width))
    windows = [(*corner, height, width) for corner in data.draw(st.lists(corners, min_size=1, max_size=4))]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    picture = torch.randn(2, rows, columns, dtype=torch.float64, generator=generator)
    found = hide_windows(picture, Harmonic(picture), np.array(windows))
    for window, filled in zip(windows, found, strict=True):
        wanted = solved(picture, rectangle(window, (rows, columns)))
        torch.testing.assert_close(filled, wanted, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", ["occlusion", "incremental_occlusion"])
@pytest.mark.parametrize("baseline", ["inpaint", "hidden_mean"])
def test_occlusion_with_what_surrounds_the_window(
    model: ImageModel, inputs: torch.Tensor, method: str, baseline: str
) -> None:
    own = {"engine": "incremental"} if method == "incremental_occlusion" else {}
    found = explain.explain(method, model, inputs, target=2, patch=4, stride=4, baseline=baseline, **own)
    wanted = np.empty((16, 20))
    for y, x in itertools.product(range(0, 16, 4), range(0, 20, 4)):
        window = np.s_[y : y + 4, x : x + 4]
        image = inputs.clone()
        if baseline == "inpaint":
            image[0] = solved(inputs[0], rectangle((y, x, 4, 4), (16, 20)))
        else:
            image[(0, slice(None), *window)] = inputs[(0, slice(None), *window)].mean((1, 2), keepdim=True)
        wanted[window] = logit(model, inputs) - logit(model, image)
    close(found[0], wanted)
