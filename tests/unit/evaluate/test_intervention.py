"""Truth by intervention: what differs is the part and nothing else, known answers, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench import evaluate, models
from workbench.data import scenes
from workbench.data.scenes.render import footprint
from workbench.errors import DtypeError, InputError, Interrupted, NotFiniteError, ShapeError, UnknownNameError
from workbench.evaluate.intervention import without_part


class Amount(nn.Module):
    """Its one logit is the amount of some colours in the picture, each with a factor of its own."""

    def __init__(self, factors: dict[str, float]) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(pictures))
        for name, factor in self.factors.items():
            colour = torch.tensor(scenes.OBJECT_COLOURS[name])[:, None, None]
            near = torch.exp(-300 * ((pictures - colour) ** 2).sum(1))
            total = total + factor * near.mean((1, 2))
        return total[:, None]


def amount(**factors: float) -> models.ImageModel:
    return models.load(
        Amount(factors), categories=("amount",), preprocessing=models.Preprocessing(resize=(96, 96)), name="amount"
    )


def bird() -> scenes.Scene:
    """A bird whose parts have colours of their own, on a plain background in plain light."""
    colours = {"eye": "white", "beak": "orange", "wing": "teal", "head": "blue", "body": "red", "tail": "purple"}
    parts = tuple(scenes.Part(name, colour) for name, colour in colours.items())
    return scenes.Scene((scenes.SceneObject("bird", "red", size=0.8, parts=parts),))


@pytest.fixture(scope="module")
def measured():
    model = models.load("scenes_object")
    source = scenes.SceneSource("object", 24, seed=5)
    return model, source, evaluate.intervention_truth(model, source)


def test_a_network_that_looks_for_one_colour_uses_one_part():
    found = evaluate.intervention_truth(amount(orange=100.0), [bird()])
    effect = found["effect"][0].to_series()
    assert effect["beak"] > 0.2
    # at its edge the head lies over a little of the beak
    assert effect.drop("beak").abs().max() < 1e-2 * effect["beak"]


def test_effects_have_a_sign_and_a_part_that_hides_another_is_worth_less_for_it():
    found = evaluate.intervention_truth(amount(teal=-100.0, red=100.0), [bird()])["effect"][0]
    alone = evaluate.intervention_truth(amount(teal=-100.0), [bird()])["effect"][0]
    assert float(alone.sel(part="wing")) < -1
    # without the wing, more of the red body is seen
    assert float(found.sel(part="wing")) < float(alone.sel(part="wing"))
    assert float(found.sel(part="body")) > 1


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31 - 1), index=st.integers(0, 100))
def test_nothing_else_in_the_picture_changes(seed, index):
    scene = scenes.sample_scene("object", index, seed=seed).scene
    before = scene.render(64)
    for part in scene.objects[0].parts:
        after = without_part(scene, part.name).render(64)
        changed = (before.image != after.image).any(axis=2)
        alone = replace(scene.objects[0], parts=(part,))
        assert not (changed & ~footprint(alone, size=64)).any(), part.name
        visible = before.part_mask(part.name)
        if visible.sum() > 20 and part.name != "eye":
            assert changed[visible].mean() > 0.5, part.name


def test_the_last_part_takes_its_object_with_it():
    one = replace(bird().objects[0], parts=(scenes.Part("wing", "teal"),))
    other = scenes.SceneObject("circle", "red", size=0.2, position=(0.2, 0.2))
    scene = scenes.Scene((one, other))
    assert without_part(scene, "wing") == scenes.Scene((other,))
    assert without_part(scene, "beak") == scene


def test_the_same_part_of_two_objects_goes_together():
    left, right = (replace(bird().objects[0], size=0.4, position=(x, 0.5)) for x in (0.25, 0.75))
    found = evaluate.intervention_truth(amount(orange=100.0), [scenes.Scene((left, right))])
    single = evaluate.intervention_truth(amount(orange=100.0), [scenes.Scene((left,))])
    both, one = (float(table["effect"][0].sel(part="beak")) for table in (found, single))
    assert both == pytest.approx(2 * one, rel=0.1)


def test_objects_and_watermarks_are_taken_away_too():
    disc = scenes.SceneObject("circle", "red", size=0.3, position=(0.3, 0.3))
    star = scenes.SceneObject("star", "blue", size=0.3, position=(0.7, 0.7))
    scene = scenes.Scene((disc, star), watermark=scenes.Watermark("square", "green"))
    found = evaluate.intervention_truth(amount(blue=100.0, green=50.0), [scene], of="object")
    assert found["part"].values.tolist() == ["object 0", "object 1", "watermark"]
    effect = found["effect"][0].values
    assert effect[0] == pytest.approx(0, abs=1e-3)
    assert effect[1] > 1
    assert effect[2] > 0.5
    for column, mask in enumerate((*scene.render(96).object_masks, scene.render(96).watermark_mask)):
        np.testing.assert_array_equal(found["part_mask"][0, column], mask)


def test_sets_datasets_and_scenes_give_the_same_whatever_the_batch(measured):
    model, source, whole = measured
    table = scenes.generate("object", 24, seed=5)
    some = evaluate.intervention_truth(model, table.isel(image=[7, 3, 20]), batch_size=2)
    assert some["image"].values.tolist() == [f"object-5-{number:07d}" for number in (7, 3, 20)]
    plain = evaluate.intervention_truth(model, [source.sample(index).scene for index in (7, 3, 20)])
    expected = whole.isel(image=[7, 3, 20])
    for found in (some, plain):
        np.testing.assert_array_equal(found["part_mask"], expected["part_mask"].sel(part=found["part"]))
        np.testing.assert_allclose(found["effect"], expected["effect"].sel(part=found["part"]), atol=1e-4)
    assert some.attrs["dataset"] == whole.attrs["dataset"] == source.manifest_hash
    np.testing.assert_array_equal(table["part_mask"].sel(part=whole["part"]), whole["part_mask"])


def test_targets_are_the_prediction_or_what_is_asked_for(measured):
    model, source, whole = measured
    predicted = model.predict(np.stack([source[index].image for index in range(len(source))]))["predicted"]
    np.testing.assert_array_equal(whole["target"], predicted)
    asked = evaluate.intervention_truth(model, [bird(), bird()], target=["bird", "house"])
    assert asked["target"].values.tolist() == [model.category_index("bird"), model.category_index("house")]
    assert float(asked["score"][0]) > float(asked["score"][1])


def test_progress_is_told_and_work_can_be_stopped():
    told = []
    evaluate.intervention_truth(
        amount(red=1.0), [bird()], batch_size=2, progress=lambda progress: told.append(progress)
    )
    assert told[-1].done == told[-1].total == 6
    with pytest.raises(Interrupted):
        evaluate.intervention_truth(amount(red=1.0), [bird()], stop=lambda: True)


def test_the_result_survives_a_file(measured, tmp_path):
    _, _, found = measured
    found.to_zarr(tmp_path / "truth.zarr", consolidated=False)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "truth.zarr", consolidated=False).load(), found)


def as_map(truth: xr.Dataset, values: np.ndarray) -> xr.DataArray:
    """A heatmap whose sum over each part is a number."""
    area = truth["part_mask"].sum(("y", "x"))
    spread = np.nan_to_num(values) / np.maximum(area.values, 1)
    heat = (truth["part_mask"] * spread[:, :, None, None]).sum("part")
    return xr.DataArray(heat.values, dims=("image", "y", "x"), coords={"image": truth["image"]})


def test_a_map_of_the_truth_scores_one_and_its_opposite_minus_one(measured):
    _, _, truth = measured
    found = evaluate.intervention_agreement(as_map(truth, truth["effect"].values), truth["part_mask"], truth)
    scored = found["score"].notnull().values
    assert scored.sum() > 5
    np.testing.assert_allclose(found["score"][scored], 1)
    np.testing.assert_array_equal(found["top"][scored], 1)
    assert (float(found["value"]), float(found["low"]), float(found["high"])) == pytest.approx((1, 1, 1))
    opposite = evaluate.intervention_agreement(-as_map(truth, truth["effect"].values), truth["part_mask"], truth)
    np.testing.assert_allclose(opposite["score"][scored], -1)


def test_random_maps_score_chance_and_an_even_map_ranks_by_area():
    generator = np.random.default_rng(0)
    effect = xr.DataArray(generator.normal(size=(400, 5)), dims=("image", "part"))
    owner = generator.permuted(np.tile(np.arange(100) % 5, (400, 1)), axis=1).reshape(400, 10, 10)
    masks = xr.DataArray(owner[:, None] == np.arange(5)[:, None, None], dims=("image", "part", "y", "x"))
    noise = xr.DataArray(generator.normal(size=(400, 10, 10)), dims=("image", "y", "x"))
    found = evaluate.intervention_agreement(noise, masks, effect)
    assert float(found["low"]) <= 0 <= float(found["high"])
    assert float(found["top_low"]) <= 0.2 <= float(found["top_high"])
    masks[:, 2, :5] = False  # parts of different sizes
    even = evaluate.intervention_agreement(noise * 0 + 1, masks, effect)
    np.testing.assert_allclose(even["score"], even["area"])
    silent = evaluate.intervention_agreement(noise * 0, masks, effect)
    np.testing.assert_array_equal(silent["score"], np.zeros(400))


def test_maps_that_carry_their_sign_are_judged_by_it(measured):
    _, _, truth = measured
    signed = as_map(truth, truth["effect"].values)
    shown = np.maximum(signed, 0).assign_coords(signed=signed)
    np.testing.assert_allclose(evaluate.intervention_agreement(shown, truth["part_mask"], truth)["value"], 1)


def test_explanations_of_a_real_network_agree_better_than_chance(measured):
    from workbench import explain

    model, _, truth = measured
    pictures = scenes.generate("object", 24, seed=5)["pixels"]
    heat = explain.occlusion(model, pictures, target=truth["target"].values, patch=16, stride=8)
    found = evaluate.intervention_agreement(heat, truth["part_mask"], truth)
    assert float(found["low"]) > 0


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_agreement_depends_on_ranks_alone_and_is_bounded(seed):
    generator = np.random.default_rng(seed)
    effect = xr.DataArray(generator.normal(size=(4, 4)), dims=("image", "part"))
    masks = xr.DataArray(generator.uniform(size=(4, 4, 6, 6)) < 0.3, dims=("image", "part", "y", "x"))
    masks[:, :, 0, 0] = True
    heat = xr.DataArray(generator.normal(size=(4, 6, 6)), dims=("image", "y", "x"))
    found = evaluate.intervention_agreement(heat, masks, effect)
    assert float(abs(found["score"]).max()) <= 1
    bent = evaluate.intervention_agreement(heat * 4, masks, effect**3 * 7 + 1)
    np.testing.assert_allclose(bent["score"], found["score"])
    turned = evaluate.intervention_agreement(-heat, masks, effect)
    np.testing.assert_allclose(turned["score"], -found["score"])


def test_one_image_has_a_score_but_no_interval(measured):
    _, _, truth = measured
    row = int(np.flatnonzero(np.isfinite(truth["effect"]).sum("part") >= 5)[0])
    one = truth.isel(image=[row])
    found = evaluate.intervention_agreement(as_map(one, one["effect"].values), one["part_mask"], one)
    assert (float(found["value"]), int(found["n"])) == (pytest.approx(1), 1)
    assert np.isnan(found["low"])


def test_bad_scenes_are_named():
    model = amount(red=1.0)
    disc = scenes.Scene((scenes.SceneObject("circle", "red"),))
    with pytest.raises(InputError, match=r"None of the 1 scenes has a part\..*of='object'"):
        evaluate.intervention_truth(model, [disc])
    with pytest.raises(InputError, match="of is 'pixel'"):
        evaluate.intervention_truth(model, [bird()], of="pixel")
    with pytest.raises(InputError, match="of at least one"):
        evaluate.intervention_truth(model, [])
    with pytest.raises(InputError, match="of at least one"):
        evaluate.intervention_truth(model, np.zeros((2, 96, 96, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="batch_size is 0"):
        evaluate.intervention_truth(model, [bird()], batch_size=0)
    with pytest.raises(UnknownNameError, match="category"):
        evaluate.intervention_truth(model, [bird()], target="heron")
    table = scenes.generate("object", 2)
    with pytest.raises(InputError, match="drawn again"):
        evaluate.intervention_truth(model, table.drop_attrs())
    with pytest.raises(InputError, match="another version"):
        evaluate.intervention_truth(model, table.assign_attrs(manifest_hash="old"))
    own = scenes.generate(scenes.presence_task("beak"), 2)
    with pytest.raises(InputError, match="SceneSource for a task of your own"):
        evaluate.intervention_truth(model, own)


def test_bad_agreement_input_is_named(measured):
    _, _, truth = measured
    heat, masks = as_map(truth, truth["effect"].values), truth["part_mask"]
    with pytest.raises(ShapeError, match="masks_on_grid"):
        evaluate.intervention_agreement(heat, masks.isel(y=slice(9)), truth)
    with pytest.raises(ShapeError, match="expected equally many"):
        evaluate.intervention_agreement(heat, masks[:4], truth)
    with pytest.raises(ShapeError, match=r"expected \(image, part, y, x\)"):
        evaluate.intervention_agreement(heat, masks[:, 0], truth)
    with pytest.raises(ShapeError, match=r"expected \(image, part\)"):
        evaluate.intervention_agreement(heat, masks, truth["score"])
    with pytest.raises(ShapeError, match="entry 0 of truth"):
        evaluate.intervention_agreement(heat, masks, truth.isel(image=slice(None, None, -1)))
    with pytest.raises(DtypeError, match="expected bool"):
        evaluate.intervention_agreement(heat, masks.astype(int), truth)
    with pytest.raises(NotFiniteError, match="image 0"):
        evaluate.intervention_agreement(heat * np.nan, masks, truth)
    renamed = [str(name).replace("beak", "beek") for name in masks["part"].values]
    with pytest.raises(UnknownNameError, match="Unknown part 'beek'"):
        evaluate.intervention_agreement(heat, masks.assign_coords(part=renamed), truth)
    with pytest.raises(InputError, match="every mask is empty"):
        evaluate.intervention_agreement(heat, masks & False, truth)
    with pytest.raises(InputError, match="No image has 15 visible parts"):
        evaluate.intervention_agreement(heat, masks, truth, least_parts=15)
    with pytest.raises(InputError, match="least_parts is 1"):
        evaluate.intervention_agreement(heat, masks, truth, least_parts=1)
    with pytest.raises(InputError, match="reduction is 'median'"):
        evaluate.intervention_agreement(heat, masks, truth, reduction="median")
    with pytest.raises(InputError, match="correlation is 'pearson'"):
        evaluate.intervention_agreement(heat, masks, truth, correlation="pearson")
