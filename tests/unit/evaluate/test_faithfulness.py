"""Metrics that hide pixels: known answers on networks that can be seen through, invariants, bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench import evaluate, explain, models
from workbench.errors import DtypeError, InputError, Interrupted, NotFiniteError, ShapeError, UnknownNameError
from workbench.explain import Progress
from workbench.models import ImageModel, Preprocessing

SIZE = 8
DIMS = ("image", "y", "x")
NAMES = (
    "comprehensiveness",
    "deletion",
    "infidelity",
    "insertion",
    "pixel_flipping",
    "road",
    "sensitivity_n",
    "sufficiency",
)
SMALL = {
    "deletion": {"steps": 8},
    "insertion": {"steps": 8},
    "pixel_flipping": {"region": 2, "steps": 6},
    "infidelity": {"samples": 6},
    "sensitivity_n": {"samples": 4, "shares": (0.2, 0.6)},
    "road": {"shares": (0.3, 0.7)},
}
RANKED = ("deletion", "insertion", "comprehensiveness", "sufficiency", "road")


class Weighted(nn.Module):
    """The first logit is a weighted sum of all pixels, the others are its negative and nothing."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        total = (inputs * self.weights).sum((1, 2, 3))
        return torch.stack([total, -total, torch.zeros_like(total)], 1)


def linear() -> ImageModel:
    weights = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) / SIZE
    return models.load(Weighted(weights).double().eval(), preprocessing=Preprocessing(mean=0.5, std=0.25))


def pictures(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).double()


def maps(values) -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=DIMS)


def contributions(model: ImageModel, inputs: torch.Tensor) -> xr.DataArray:
    """What each pixel adds to the first logit, over a baseline of zeros: the one true answer."""
    return maps((inputs * model.module.weights).sum(1).detach().numpy())


def noise(count: int = 3, seed: int = 0) -> xr.DataArray:
    return maps(np.random.default_rng(seed).normal(size=(count, SIZE, SIZE)))


def run(name: str, heatmaps: xr.DataArray, model, images, **parameters) -> xr.Dataset:
    return evaluate.metrics[name](heatmaps, model, images, **{**SMALL.get(name, {}), **parameters})


@pytest.mark.parametrize("name", ["deletion", "insertion", "pixel_flipping", "comprehensiveness", "sufficiency"])
def test_the_true_contributions_beat_every_other_map(name):
    model, inputs = linear(), pictures()
    options = {"target": 0, "score": "logit", "baseline": "zero"}
    truth = run(name, contributions(model, inputs), model, inputs, **options)
    higher = truth.attrs["better"] == "higher"
    assert evaluate.metrics[name].card.better == truth.attrs["better"]
    for seed in range(5):
        other = run(name, noise(seed=seed), model, inputs, **options)["score"]
        assert bool((truth["score"] > other).all() if higher else (truth["score"] < other).all())
    worst = run(name, -contributions(model, inputs), model, inputs, **options)["score"]
    assert bool((truth["score"] > worst).all() if higher else (truth["score"] < worst).all())


def test_curves_begin_and_end_where_they_must():
    model, inputs = linear(), pictures()
    options = {"target": 0, "score": "logit", "baseline": "zero"}
    whole = model.logits(inputs)[:, 0].detach().numpy()
    deleted = run("deletion", noise(), model, inputs, **options)["curve"]
    np.testing.assert_allclose(deleted[:, 0], whole)
    np.testing.assert_allclose(deleted[:, -1], 0, atol=1e-9)
    inserted = run("insertion", noise(), model, inputs, **options)["curve"]
    np.testing.assert_allclose(inserted[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose(inserted[:, -1], whole)
    # what is shown first in one is hidden first in the other
    np.testing.assert_allclose(deleted + inserted, np.broadcast_to(whole[:, None], deleted.shape), atol=1e-9)


def test_the_true_contributions_are_perfectly_faithful():
    model, inputs = linear(), pictures()
    truth = contributions(model, inputs)
    options = {"target": 0, "baseline": "zero"}
    np.testing.assert_allclose(run("infidelity", truth, model, inputs, **options)["score"], 0, atol=1e-12)
    np.testing.assert_allclose(run("sensitivity_n", truth, model, inputs, **options)["score"], 1)
    gradient = maps(np.broadcast_to(model.module.weights.detach().sum(0).numpy(), truth.shape))
    found = run("infidelity", gradient, model, inputs, target=0, perturbation="noise", normalise=False)
    np.testing.assert_allclose(found["score"], 0, atol=1e-12)
    np.testing.assert_allclose(run("infidelity", 7 * truth, model, inputs, **options)["scale"], 1 / 7)
    assert float(run("infidelity", 7 * truth, model, inputs, normalise=False, **options)["score"].min()) > 1e-3


def test_road_tells_the_right_order_from_its_reverse():
    model, inputs = linear(), pictures(6)
    inputs = inputs.cumsum(3) / 3
    target = model.predict(inputs)["predicted"].values
    sign = xr.DataArray(np.where(target == 0, 1, -1), dims="image")
    truth = contributions(model, inputs) * sign
    shares = (0.1, 0.3, 0.5)
    removed = evaluate.road(truth, model, inputs, target=target, shares=shares)
    spared = evaluate.road(truth, model, inputs, target=target, shares=shares, order="least")
    assert float(removed["value"]) < float(spared["value"])
    assert (removed.attrs["better"], spared.attrs["better"]) == ("lower", "higher")


@pytest.mark.parametrize("name", NAMES)
def test_the_result(name):
    model, inputs = linear(), pictures()
    result = run(name, noise().assign_attrs(method="noise"), model, inputs)
    assert result["score"].dims == ("image",)
    assert result["score"].dtype == np.float64
    assert np.isfinite(result["score"]).all()
    assert float(result["low"]) <= float(result["value"]) <= float(result["high"])
    assert int(result["n"]) == 3
    assert result["image"].values.tolist() == ["0", "1", "2"]
    assert result.attrs["metric"] == name
    assert result.attrs["better"] == evaluate.metrics[name].card.better
    assert result.attrs["explanation_method"] == "noise"
    assert result.attrs["weights_hash"] == model.weights_hash
    assert json.loads(result.attrs["versions"])
    np.testing.assert_array_equal(result["target"], model.predict(inputs)["predicted"])


@pytest.mark.parametrize("name", NAMES)
def test_no_more_pictures_at_once_than_asked_and_the_same_whatever_the_batch(name):
    model, inputs = linear(), pictures()
    whole = run(name, noise(), model, inputs)
    seen = []
    model.module.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    small = run(name, noise(), model, inputs, batch_size=2)
    assert max(seen) == 2
    xr.testing.assert_allclose(small.drop_vars(["low", "high"]), whole.drop_vars(["low", "high"]), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_images_one_at_a_time(name):
    model, inputs = linear(), pictures()
    together = run(name, noise(), model, inputs)
    for index in range(3):
        alone = run(name, noise()[index : index + 1], model, inputs[index : index + 1])
        np.testing.assert_allclose(alone["score"], together["score"][index : index + 1], rtol=1e-9)
        assert np.isnan(alone["low"]), "one image has no interval"
        assert int(alone["n"]) == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name):
    model, inputs = linear(), pictures()
    flat = maps(np.ones((3, SIZE, SIZE)))
    first, again, other = (run(name, flat, model, inputs, seed=seed, score="logit") for seed in (0, 0, 1))
    xr.testing.assert_identical(first, again)
    if name != "sensitivity_n":  # there a constant map scores 0 whatever is drawn
        table = "fall" if name == "infidelity" else "curve"
        assert float(np.abs(first[table] - other[table]).max()) > 0


@pytest.mark.parametrize("name", RANKED)
def test_a_constant_map_scores_as_a_random_order_does(name):
    model, inputs = linear(), pictures(12)
    options = {"target": 0, "score": "logit"}
    flat = [
        float(run(name, maps(np.zeros((12, SIZE, SIZE))), model, inputs, seed=s, **options).value) for s in range(8)
    ]
    chance = [float(run(name, noise(12, s), model, inputs, **options).value) for s in range(8)]
    spread = np.std(flat) + np.std(chance)
    assert abs(np.mean(flat) - np.mean(chance)) <= 3 * spread / np.sqrt(8)


def test_constant_maps_have_defined_scores():
    model, inputs = linear(), pictures()
    zeros = maps(np.zeros((3, SIZE, SIZE)))
    found = run("infidelity", zeros, model, inputs)
    np.testing.assert_allclose(found["score"], (found["fall"] ** 2).mean("sample"))
    np.testing.assert_array_equal(found["scale"], 1)
    np.testing.assert_array_equal(run("sensitivity_n", zeros + 0.1, model, inputs)["score"], 0)


def test_sensitivity_n_is_missing_where_the_score_never_moves():
    model, inputs = linear(), pictures()
    found = run("sensitivity_n", noise(), model, inputs, target=[0, 2, 0])
    assert np.isnan(found["score"][1])
    assert int(found["n"]) == 2


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    power=st.sampled_from((1, 3)),
    factor=st.floats(0.01, 100),
    name=st.sampled_from(("deletion", "sufficiency", "road")),
)
def test_only_the_order_counts(seed, power, factor, name):
    model, inputs, heat = linear(), pictures(1), noise(1, seed)
    stretched = run(name, factor * heat**power, model, inputs)
    np.testing.assert_array_equal(stretched["score"], run(name, heat, model, inputs)["score"])


def test_the_target_is_what_the_maps_explain():
    model, inputs = linear(), pictures()
    heat = explain.saliency(model, inputs, target=[2, 1, 0])
    np.testing.assert_array_equal(run("deletion", heat, model, inputs)["target"], [2, 1, 0])
    np.testing.assert_array_equal(run("deletion", heat, model, inputs, target=1)["target"], [1, 1, 1])


def test_signed_maps_are_taken_where_sums_are_compared():
    model, inputs = linear(), pictures()
    truth = contributions(model, inputs)
    unsigned = np.abs(truth).assign_coords(signed=truth)
    options = {"target": 0, "baseline": "zero"}
    np.testing.assert_allclose(run("sensitivity_n", unsigned, model, inputs, **options)["score"], 1)
    np.testing.assert_allclose(run("infidelity", unsigned, model, inputs, **options)["score"], 0, atol=1e-12)
    assert float(run("sensitivity_n", np.abs(truth), model, inputs, **options)["score"].max()) < 0.99


def test_random_maps_stand_in_for_others():
    heat = explain.saliency(linear(), pictures(), target=1)
    found = evaluate.random_maps(heat, seed=3)
    assert found.shape == heat.shape
    assert "signed" not in found.coords
    np.testing.assert_array_equal(found["target"], heat["target"])
    np.testing.assert_array_equal(found, evaluate.random_maps(heat, seed=3))
    assert float(np.abs(found - evaluate.random_maps(heat, seed=4)).max()) > 0


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_named(name):
    model, inputs = linear(), pictures()
    with pytest.raises(ShapeError, match=r"8 x 4 pixels and the network input 8 x 8.*workbench\.explain"):
        run(name, noise()[:, :, :4], model, inputs)
    with pytest.raises(ShapeError, match="2 heatmaps for 3 images"):
        run(name, noise()[:2], model, inputs)
    with pytest.raises(ShapeError, match="expected a DataArray"):
        run(name, noise().values, model, inputs)
    broken = noise()
    broken[1, 2, 3] = np.nan
    with pytest.raises(NotFiniteError, match="image 1, y 2, x 3"):
        run(name, broken, model, inputs)
    with pytest.raises(DtypeError, match=r"models\.load"):
        run(name, noise(), model.module, inputs)
    with pytest.raises(InputError, match="batch_size is 0"):
        run(name, noise(), model, inputs, batch_size=0)
    with pytest.raises(InputError, match="'logit' or 'probability'"):
        run(name, noise(), model, inputs, score="logits")
    if name != "road":
        with pytest.raises(UnknownNameError, match="Did you mean 'black'"):
            run(name, noise(), model, inputs, baseline="blak")


def test_maps_of_other_images_are_refused():
    model = linear()
    found = xr.DataArray(
        np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8),
        dims=("image", "y", "x", "channel"),
        coords={"image": ["first", "second"]},
    )
    heat = noise(2).assign_coords(image=["second", "first"])
    with pytest.raises(ShapeError, match="heatmap 0 is of image 'second', and image 0 is 'first'"):
        run("deletion", heat, model, found)
    result = run("deletion", heat.isel(image=[1, 0]), model, found)
    assert result["image"].values.tolist() == ["first", "second"]


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("deletion", {"steps": 0}, "steps is 0"),
        ("deletion", {"steps": 65}, "1 to 64"),
        ("insertion", {"steps": 2.5}, "whole number"),
        ("pixel_flipping", {"order": "best"}, "'most' or 'least'"),
        ("pixel_flipping", {"region": 9}, "region is 9"),
        ("sufficiency", {"shares": ()}, "rising"),
        ("comprehensiveness", {"shares": (0.5, 0.2)}, "rising"),
        ("road", {"shares": (0.5, 1.0)}, "between 0 and 1"),
        ("road", {"noise": -1}, "noise is -1"),
        ("road", {"order": "first"}, "'most' or 'least'"),
        ("infidelity", {"perturbation": "patch"}, "'square' or 'noise'"),
        ("infidelity", {"side": 9}, "side is 9"),
        ("infidelity", {"perturbation": "noise", "noise": 0}, "noise is 0"),
        ("infidelity", {"samples": 0}, "samples is 0"),
        ("sensitivity_n", {"samples": 2}, "samples is 2"),
    ],
)
def test_bad_parameters_are_named(name, parameters, message):
    with pytest.raises(InputError, match=message):
        run(name, noise(), linear(), pictures(), **parameters)


@pytest.mark.parametrize("name", NAMES)
def test_progress_and_stopping(name):
    model, inputs = linear(), pictures()
    reports: list[Progress] = []
    run(name, noise(), model, inputs, batch_size=2, progress=reports.append)
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    assert reports[-1].done == reports[-1].total
    asked = iter([False, True])
    with pytest.raises(Interrupted, match="Stopped on request"):
        run(name, noise(), model, inputs, batch_size=2, stop=lambda: next(asked))


@pytest.mark.parametrize("name", NAMES)
def test_nan_from_the_model_is_refused(name):
    model, inputs = linear(), pictures()

    def break_hidden(_, given, found):
        return torch.where((given[0] == inputs[:, None]).flatten(2).all(2).any(0)[:, None], found, torch.nan)

    model.module.register_forward_hook(break_hidden)
    with pytest.raises(NotFiniteError, match="gives NaN"):
        run(name, noise(), model, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_other_floating_types(name, dtype):
    model, inputs = linear(), pictures()
    exact = run(name, noise(), model, inputs, target=0, score="logit")
    model.module.to(dtype)
    found = run(name, noise(), model, inputs, target=0, score="logit")
    assert found["score"].dtype == np.float64
    if dtype == torch.float32 and name != "road":  # a removal may tip a decision
        np.testing.assert_allclose(found["score"], exact["score"], rtol=1e-3, atol=1e-3)


def test_filling_needs_something_to_fill_from():
    with pytest.raises(InputError, match="nothing is left"):
        evaluate.impute(torch.zeros(1, 3, 6, 6), torch.ones(1, 1, 6, 6, dtype=torch.bool))


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), share=st.floats(0.05, 0.95))
def test_filled_pixels_lie_between_those_that_are_known(seed, share):
    generator = torch.Generator().manual_seed(seed)
    picture = torch.randn(1, 2, 13, 10, generator=generator)
    removed = torch.rand(1, 1, 13, 10, generator=generator) < share
    if bool(removed.all()):
        removed[..., 0, 0] = False
    found = evaluate.impute(picture, removed)
    known = picture[:, :, ~removed[0, 0]]
    slack = 1e-3 * float(known.max() - known.min())
    assert bool((found >= known.amin(2)[..., None, None] - slack).all())
    assert bool((found <= known.amax(2)[..., None, None] + slack).all())
    torch.testing.assert_close(found[:, :, ~removed[0, 0]], known, rtol=0, atol=0)
