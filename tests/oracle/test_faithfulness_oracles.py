"""Each metric that asks the model against captum where captum has it, or against a slow loop from its definition."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
import xarray as xr
from captum.attr import Saliency
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from torch import nn

from workbench import evaluate, explain, models
from workbench.explain import baseline_images
from workbench.models import ImageModel, Preprocessing

HEIGHT, WIDTH, IMAGES = 9, 11, 3
TARGETS = (2, 0, 1)
DIMS = ("image", "y", "x")


@pytest.fixture(scope="module")
def model() -> ImageModel:
    torch.manual_seed(4)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5 * 4 * 5, 3)
    )
    return models.load(network.double().eval(), preprocessing=Preprocessing(mean=0.4, std=0.3))


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.randn(IMAGES, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture(scope="module")
def heat() -> xr.DataArray:
    values = np.random.default_rng(2).normal(size=(IMAGES, HEIGHT, WIDTH))  # no two values are equal
    return xr.DataArray(values, dims=DIMS, coords={"target": ("image", list(TARGETS))})


def score(model: ImageModel, image: torch.Tensor, target: int, kind: str) -> float:
    with torch.no_grad():
        logits = model.module(image[None])[0]
    return float(logits.softmax(0)[target] if kind == "probability" else logits[target])


def falling_order(values: np.ndarray) -> list[tuple[int, int]]:
    pixels = [(row, column) for row in range(values.shape[0]) for column in range(values.shape[1])]
    return sorted(pixels, key=lambda pixel: -values[pixel])


def literal_removal(model, inputs, heat, baseline, kind, counts, *, keep=False) -> np.ndarray:
    """(image, count): scores after replacing the first pixels, or all but the first, one by one."""
    shown = baseline_images(baseline, inputs, model=model, seed=0)
    curve = np.empty((IMAGES, len(counts)))
    for index in range(IMAGES):
        order = falling_order(heat.values[index])
        for step, count in enumerate(counts):
            changed = inputs[index].clone()
            for row, column in order[count:] if keep else order[:count]:
                changed[:, row, column] = shown[index, :, row, column]
            curve[index, step] = score(model, changed, TARGETS[index], kind)
    return curve


def literal_area(curve: np.ndarray, at: np.ndarray) -> np.ndarray:
    pieces = [(curve[:, i] + curve[:, i + 1]) / 2 * (at[i + 1] - at[i]) for i in range(len(at) - 1)]
    return np.sum(pieces, axis=0) / (at[-1] - at[0])


@pytest.mark.parametrize("kind", ["logit", "probability"])
@pytest.mark.parametrize("baseline", ["zero", "black", "mean", "blur", "noise"])
@pytest.mark.parametrize("name", ["deletion", "insertion"])
def test_deletion_and_insertion(name, baseline, kind, model, inputs, heat):
    result = evaluate.metrics[name](heat, model, inputs, baseline=baseline, steps=7, score=kind, batch_size=5)
    counts = [round(index * HEIGHT * WIDTH / 7) for index in range(8)]
    curve = literal_removal(model, inputs, heat, baseline, kind, counts, keep=name == "insertion")
    np.testing.assert_allclose(result["curve"], curve, rtol=1e-9)
    np.testing.assert_allclose(result["fraction"], np.array(counts) / (HEIGHT * WIDTH))
    np.testing.assert_allclose(result["score"], literal_area(curve, np.array(counts)), rtol=1e-9)


@pytest.mark.parametrize("order", ["most", "least"])
@pytest.mark.parametrize("region", [1, 4])
def test_pixel_flipping(order, region, model, inputs, heat):
    steps = 6
    result = evaluate.pixel_flipping(heat, model, inputs, order=order, region=region, steps=steps, baseline="black")
    shown = baseline_images("black", inputs, model=model)
    for index in range(IMAGES):
        corners = [(top, left) for top in range(0, HEIGHT, region) for left in range(0, WIDTH, region)]

        def relevance(corner, index=index):
            return heat.values[index, corner[0] : corner[0] + region, corner[1] : corner[1] + region].sum()

        corners.sort(key=relevance, reverse=order == "most")
        changed = inputs[index].clone()
        falls = [0.0]
        for top, left in corners[:steps]:
            part = (slice(None), slice(top, top + region), slice(left, left + region))
            changed[part] = shown[index][part]
            falls.append(
                score(model, inputs[index], TARGETS[index], "logit") - score(model, changed, TARGETS[index], "logit")
            )
        assert float(result["score"][index]) == pytest.approx(np.mean(falls))
    assert result.attrs["better"] == ("higher" if order == "most" else "lower")


def test_comprehensiveness_and_sufficiency(model, inputs, heat):
    shares = (0.1, 0.35, 0.8)
    counts = [round(share * HEIGHT * WIDTH) for share in shares]
    whole = np.array([score(model, inputs[i], TARGETS[i], "probability") for i in range(IMAGES)])
    without = literal_removal(model, inputs, heat, "mean", "probability", counts)
    alone = literal_removal(model, inputs, heat, "mean", "probability", counts, keep=True)
    options = {"baseline": "mean", "shares": shares}
    found = evaluate.comprehensiveness(heat, model, inputs, **options)
    np.testing.assert_allclose(found["score"], (whole[:, None] - without).mean(1), rtol=1e-9)
    found = evaluate.sufficiency(heat, model, inputs, **options)
    np.testing.assert_allclose(found["score"], (whole[:, None] - alone).mean(1), rtol=1e-9)


def exact_imputation(picture: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """The linear system of ROAD, written row by row, solved directly."""
    pixels = [tuple(pixel) for pixel in np.argwhere(removed)]
    number = {pixel: index for index, pixel in enumerate(pixels)}
    system = scipy.sparse.lil_matrix((len(pixels), len(pixels)))
    right = np.zeros((len(pixels), len(picture)))
    for index, (row, column) in enumerate(pixels):
        for down in (-1, 0, 1):
            for along in (-1, 0, 1):
                near = (row + down, column + along)
                inside = 0 <= near[0] < removed.shape[0] and 0 <= near[1] < removed.shape[1]
                if (down, along) == (0, 0) or not inside:
                    continue
                weight = 1 / 6 if down == 0 or along == 0 else 1 / 12
                system[index, index] += weight
                if near in number:
                    system[index, number[near]] -= weight
                else:
                    right[index] += weight * picture[:, near[0], near[1]]
    if not pixels:
        return picture
    solved = scipy.sparse.linalg.spsolve(system.tocsc(), right).reshape(len(pixels), len(picture))
    filled = picture.copy()
    for index, (row, column) in enumerate(pixels):
        filled[:, row, column] = solved[index]
    return filled


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(9, 11), (40, 33)])
def test_imputation(size, dtype):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(4, 3, *size, generator=generator).cumsum(3).to(dtype)
    removed = torch.rand(4, 1, *size, generator=generator) < 0.6
    removed[1, :, 2 : size[0] - 3, 1 : size[1] - 2] = True  # one large hole
    removed[2] = True
    removed[2, 0, 0, 0] = False  # a single pixel is left
    removed[3] = False
    found = evaluate.impute(pictures, removed)
    assert found.dtype == dtype
    for index in range(4):
        wanted = exact_imputation(pictures[index].double().numpy(), removed[index, 0].numpy())
        spread = float(pictures[index].max() - pictures[index].min())
        np.testing.assert_allclose(found[index].numpy(), wanted, atol=1e-3 * spread)


@pytest.mark.parametrize("order", ["most", "least"])
def test_road(order, model, inputs, heat):
    shares = (0.2, 0.5, 0.9)
    result = evaluate.road(heat, model, inputs, order=order, shares=shares, noise=0.0, batch_size=4)
    for index in range(IMAGES):
        ranked = falling_order(heat.values[index])[:: 1 if order == "most" else -1]
        for step, share in enumerate(shares):
            removed = np.zeros((HEIGHT, WIDTH), dtype=bool)
            for pixel in ranked[: round(share * HEIGHT * WIDTH)]:
                removed[pixel] = True
            filled = torch.from_numpy(exact_imputation(inputs[index].numpy(), removed))
            wanted = score(model, filled, TARGETS[index], "probability")
            assert float(result["curve"][index, step]) == pytest.approx(wanted, abs=2e-3)
            with torch.no_grad():
                predicted = int(model.module(filled[None]).argmax())
            assert float(result["kept"][index, step]) == (predicted == TARGETS[index])
    np.testing.assert_allclose(result["score"], result["kept"].mean("step"))


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("perturbation", ["square", "noise"])
def test_infidelity_is_captums(perturbation, normalise, model, inputs, heat):
    samples, side, noise, seed = 14, 3, 0.3, 5
    black = baseline_images("black", inputs, model=model)
    generator = np.random.default_rng(seed)
    tops = generator.integers(0, HEIGHT - side + 1, size=samples)
    lefts = generator.integers(0, WIDTH - side + 1, size=samples)

    def perturb(repeated: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        taken, changed = torch.zeros_like(repeated), repeated.clone()
        for position in range(len(repeated)):
            sample, image = position % samples, position // samples
            if perturbation == "square":
                rows = slice(tops[sample], tops[sample] + side)
                columns = slice(lefts[sample], lefts[sample] + side)
                taken[position, :, rows, columns] = 1
                changed[position, :, rows, columns] = black[image, :, rows, columns]
            else:
                draw = noise * np.random.default_rng([seed, sample]).standard_normal((HEIGHT, WIDTH))
                taken[position] = torch.from_numpy(draw)
                changed[position] -= torch.from_numpy(draw)
        return taken, changed

    attributions = torch.zeros_like(inputs)
    attributions[:, 0] = torch.from_numpy(heat.values)  # captum wants every channel; the map is their sum
    with torch.no_grad():
        wanted = captum_infidelity(
            model.module,
            perturb,
            inputs,
            attributions,
            target=torch.tensor(TARGETS),
            n_perturb_samples=samples,
            normalize=normalise,
        )
    found = evaluate.infidelity(
        heat,
        model,
        inputs,
        perturbation=perturbation,
        samples=samples,
        side=side,
        noise=noise,
        seed=seed,
        normalise=normalise,
        batch_size=8,
    )
    np.testing.assert_allclose(found["score"], wanted.numpy(), rtol=1e-7)


def test_sensitivity_n(model, inputs, heat):
    shares, samples, seed = (0.05, 0.3, 0.7), 9, 3
    found = evaluate.sensitivity_n(
        heat, model, inputs, shares=shares, samples=samples, seed=seed, baseline="mean", batch_size=4
    )
    shown = baseline_images("mean", inputs, model=model)
    for index in range(IMAGES):
        for step, share in enumerate(shares):
            sums, falls = [], []
            for sample in range(samples):
                drawn = np.random.default_rng([seed, sample]).permutation(HEIGHT * WIDTH)
                changed, total = inputs[index].clone(), 0.0
                for pixel in drawn[: round(share * HEIGHT * WIDTH)]:
                    row, column = divmod(int(pixel), WIDTH)
                    changed[:, row, column] = shown[index, :, row, column]
                    total += heat.values[index, row, column]
                whole = score(model, inputs[index], TARGETS[index], "logit")
                sums.append(total)
                falls.append(whole - score(model, changed, TARGETS[index], "logit"))
            wanted = np.corrcoef(sums, falls)[0, 1]
            assert float(found["correlation"][index, step]) == pytest.approx(wanted, abs=1e-9)
    np.testing.assert_allclose(found["score"], found["correlation"].mean("step"))


def draws(samples: int, radius: float, seed: int) -> torch.Tensor:
    shape = (3, HEIGHT, WIDTH)
    numbers = [np.random.default_rng([seed, sample]).random(shape, dtype=np.float32) for sample in range(samples)]
    return torch.from_numpy(radius * (2 * np.stack(numbers) - 1)).double()


def test_max_sensitivity_is_captums(model, inputs):
    samples, radius, seed = 6, 0.05, 2
    noise = draws(samples, radius, seed)
    saliency = Saliency(copy.deepcopy(model.module))

    def explanation(pictures: torch.Tensor | tuple[torch.Tensor], target: torch.Tensor) -> tuple[torch.Tensor]:
        noisy = pictures[0] if isinstance(pictures, tuple) else pictures  # captum passes now one, now the other
        return (saliency.attribute(noisy.clone().requires_grad_(), target=target).amax(1),)

    wanted = sensitivity_max(
        explanation,
        inputs,
        perturb_func=lambda repeated, *_: repeated + noise.repeat(IMAGES, 1, 1, 1),
        n_perturb_samples=samples,
        target=torch.tensor(TARGETS),
    )
    found = evaluate.max_sensitivity(
        "saliency", model, inputs, target=TARGETS, radius=radius, samples=samples, seed=seed, batch_size=4
    )
    # maps are kept in single precision
    np.testing.assert_allclose(found["score"], wanted.numpy(), rtol=1e-5)


def test_local_lipschitz(model, inputs):
    samples, radius, seed = 5, 0.1, 1
    noise = draws(samples, radius, seed)
    found = evaluate.local_lipschitz(
        "input_x_gradient", model, inputs, target=TARGETS, radius=radius, samples=samples, seed=seed, batch_size=4
    )
    for index in range(IMAGES):
        image = inputs[index : index + 1]
        here = explain.input_x_gradient(model, image, target=TARGETS[index]).values.astype(float)
        ratios = []
        for draw in noise:
            there = explain.input_x_gradient(model, image + draw, target=TARGETS[index]).values.astype(float)
            ratios.append(np.sqrt(((there - here) ** 2).sum()) / float((draw**2).sum().sqrt()))
        assert float(found["score"][index]) == pytest.approx(max(ratios), rel=1e-4)
