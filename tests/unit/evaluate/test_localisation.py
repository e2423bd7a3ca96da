"""Localisation: known answers, invariants, chance, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from workbench import evaluate
from workbench.data.source import Box
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError, UnknownNameError

DIMS = ("image", "y", "x")
EVERY = (
    evaluate.pointing_game,
    evaluate.relevance_mass,
    evaluate.energy_pointing_game,
    evaluate.relevance_rank,
    evaluate.mask_average_precision,
    evaluate.mask_iou,
    evaluate.box_iou,
    evaluate.binarised_iou,
)


def maps(values) -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=DIMS)


def rectangles(count: int = 8, size: int = 20, seed: int = 0) -> xr.DataArray:
    generator = np.random.default_rng(seed)
    masks = np.zeros((count, size, size), dtype=bool)
    for mask in masks:
        top, left = generator.integers(0, size - 7, size=2)
        mask[top : top + 6, left : left + 5] = True
    return maps(masks)


@pytest.mark.parametrize("metric", EVERY)
def test_the_mask_itself_scores_one(metric):
    masks = rectangles()
    result = metric(masks.astype(float), masks)
    np.testing.assert_array_equal(result["score"], np.ones(result["score"].shape))
    np.testing.assert_array_equal(result["n"], 8)


@pytest.mark.parametrize("metric", EVERY)
def test_the_opposite_of_the_mask_scores_nothing(metric):
    masks = rectangles()
    result = metric(1.0 - masks, masks)
    assert float(result["value"].max()) < 0.2
    if metric not in (evaluate.box_iou, evaluate.mask_average_precision):  # a box surrounds, a curve counts to the end
        np.testing.assert_array_equal(result["score"], np.zeros(result["score"].shape))


@pytest.mark.parametrize("metric", EVERY)
@pytest.mark.parametrize("constant", [0.0, -1.0, 3.0])
def test_a_constant_map_scores_chance(metric, constant):
    masks = rectangles()
    result = metric(maps(np.full(masks.shape, constant)), masks)
    if metric is evaluate.pointing_game:
        np.testing.assert_allclose(result["score"], masks.mean(("y", "x")))
    else:
        np.testing.assert_allclose(result["score"], result["chance"])


@pytest.mark.parametrize("metric", [*EVERY[1:5], evaluate.binarised_iou])
def test_random_maps_score_chance_within_the_interval(metric):
    masks = rectangles(count=200)
    noise = maps(np.random.default_rng(1).uniform(size=masks.shape))
    result = metric(noise, masks)
    chance = float(result["baseline_value"])
    # average precision of noise is a little above the share of positives in a finite sample
    slack = 0.02 if metric is evaluate.mask_average_precision else 0.0
    assert float(result["low"]) - slack <= chance <= float(result["high"]) + slack


@given(st.integers(0, 2**32 - 1), st.sampled_from(EVERY), st.floats(0.001, 1000))
def test_scores_are_bounded_and_blind_to_scale_and_mirror(seed, metric, factor):
    masks = rectangles(count=3, seed=seed)
    heat = maps(np.random.default_rng(seed).normal(size=masks.shape))
    score = metric(heat, masks)["score"]
    assert float(score.min()) >= 0
    assert float(score.max()) <= 1
    mirrored = metric(heat.isel(x=slice(None, None, -1)), masks.isel(x=slice(None, None, -1)))["score"]
    if metric is not evaluate.box_iou:  # of two blobs of one size the first is taken, and mirroring changes which
        np.testing.assert_allclose(score, mirrored, atol=1e-12)
    # a scaled value may fall just under a scaled threshold
    if metric not in (evaluate.box_iou, evaluate.mask_iou, evaluate.binarised_iou):
        np.testing.assert_allclose(metric(heat * factor, masks)["score"], score, atol=1e-9)


def test_a_worked_example():
    heat = maps([[[0, 0, 0, 0], [0, 4, 2, 0], [0, 2, 1, 0], [-5, 0, 0, 1.0]]])
    mask = maps([[[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]]) > 0
    assert float(evaluate.pointing_game(heat, mask)["score"][0]) == 1
    assert float(evaluate.relevance_mass(heat, mask)["score"][0]) == pytest.approx(8 / 10)
    assert float(evaluate.energy_pointing_game(heat, mask)["score"][0]) == pytest.approx(9 / 10)
    assert float(evaluate.relevance_rank(heat, mask)["score"][0]) == 1
    assert float(evaluate.mask_average_precision(heat, mask)["score"][0]) == 1
    overlaps = evaluate.mask_iou(heat, mask, thresholds=(0.25, 0.5, 1))["score"][0]
    np.testing.assert_allclose(overlaps, [3 / 5, 1, 1 / 3])
    found = evaluate.box_iou(heat, mask, thresholds=(0.25, 0.5, 1), levels=(0.3, 0.5))
    np.testing.assert_allclose(found["score"][0], [4 / 9, 1, 1 / 4])
    np.testing.assert_array_equal(found["localised"].transpose("threshold", "level"), [[1, 0], [1, 1], [0, 0]])
    np.testing.assert_array_equal(found["box"][0, 2], [1, 1, 2, 2])


@pytest.mark.parametrize("binariser", evaluate.BINARISER_FAMILY, ids=str)
def test_a_binarised_map_overlaps_as_its_pixels_do(binariser):
    masks = rectangles()
    masks[3] = False
    heat = maps(np.random.default_rng(0).exponential(size=masks.shape) + masks.values)
    result = evaluate.binarised_iou(heat, masks, binarise=str(binariser))
    truth = masks if binariser.reads_masks else None
    chosen = evaluate.binarise(heat, method=binariser, masks=truth).values
    for index in range(8):
        if index == 3:
            assert np.isnan(result["score"][index])
            continue
        mask = masks.values[index]
        assert float(result["score"][index]) == (chosen[index] & mask).sum() / (chosen[index] | mask).sum()
        a, b = chosen[index].mean(), mask.mean()
        assert float(result["chance"][index]) == pytest.approx(a * b / (a + b - a * b))
    assert int(result["n"]) == 7


def test_every_object_of_an_image_is_scored_and_absent_ones_are_left_out():
    masks = xr.concat([rectangles(seed=0), rectangles(seed=1)], dim="object").assign_coords(object=["cup", "ball"])
    masks[1, 3:] = False
    heat = masks.sel(object="cup").astype(float).drop_vars("object")
    result = evaluate.relevance_mass(heat, masks)
    assert result["score"].dims == ("image", "object")
    assert float(result["value"].sel(object="cup")) == 1
    assert float(result["value"].sel(object="ball")) < 1
    np.testing.assert_array_equal(result["n"].sel(object=["cup", "ball"]), [8, 3])
    assert result["score"].sel(object="ball")[3:].isnull().all()


def test_one_image_has_a_score_but_no_interval():
    result = evaluate.relevance_mass(rectangles(1).astype(float), rectangles(1))
    assert (float(result["value"]), int(result["n"])) == (1, 1)
    assert np.isnan(result["low"])


def test_boxes_serve_as_masks():
    masks = rectangles(4)
    boxes = []
    for mask in masks.values:
        rows, columns = np.nonzero(mask)
        boxes.append([Box("cup", columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)])
    heat = maps(np.random.default_rng(0).uniform(size=masks.shape))
    xr.testing.assert_equal(evaluate.boxes_to_masks(boxes, like=heat), masks)
    for metric in EVERY:
        np.testing.assert_allclose(metric(heat, boxes)["score"], metric(heat, masks)["score"])


def test_of_several_boxes_the_best_counts():
    heat = maps(np.zeros((1, 10, 10)))
    heat[0, 6:9, 6:9] = 1
    boxes = [[Box("cat", 0, 0, 2, 2), Box("cat", 6, 6, 9, 9)]]
    assert float(evaluate.box_iou(heat, boxes, thresholds=[0.5])["score"][0, 0]) == 1


def test_the_threshold_is_learned_on_other_images():
    masks = rectangles(20)
    blurred = masks.astype(float) * 0.65 + 0.3  # the object stands out from 0.4 of the maximum on
    assert evaluate.tune_threshold(blurred, masks, metric="mask_iou") == 0.4
    tuned = evaluate.cross_tuned(blurred, masks, metric="mask_iou", folds=4)
    np.testing.assert_array_equal(tuned["threshold"], np.full(20, 0.4))
    assert float(tuned["value"]) == 1
    assert int(tuned["n"]) == 20


def test_cross_tuning_does_not_use_the_image_that_it_scores():
    masks = rectangles(2)
    heat = masks.astype(float)
    heat[0] = masks[0] * 0.65 + 0.3  # needs 0.4 or more
    heat[1] = masks[1] * (0.15 + 0.85 * (np.arange(20) % 2))  # needs 0.1
    tuned = evaluate.cross_tuned(heat, masks, metric="mask_iou", thresholds=(0.1, 0.4))
    np.testing.assert_array_equal(tuned["threshold"], [0.1, 0.4])


@pytest.mark.parametrize("metric", EVERY)
def test_bad_input_is_named(metric):
    masks = rectangles(3)
    heat = masks.astype(float)
    with pytest.raises(ShapeError, match=r"20 x 20 pixels and masks 10 x 20.*masks_on_grid"):
        metric(heat, masks.isel(y=slice(10)))
    with pytest.raises(ShapeError, match="3 heatmaps and masks of 2 images"):
        metric(heat, masks.isel(image=slice(2)))
    with pytest.raises(ShapeError, match=r"'b'.*'c'"):
        metric(heat.assign_coords(image=["a", "b", "c"]), masks.assign_coords(image=["a", "c", "b"]))
    with pytest.raises(ShapeError, match="DataArray"):
        metric(heat.values, masks)
    with pytest.raises(ShapeError, match="missing"):
        metric(heat, masks.rename(image="photo"))
    with pytest.raises(DtypeError, match="float64; expected bool"):
        metric(heat, heat)
    with pytest.raises(InputError, match="every mask is empty"):
        metric(heat, masks & False)
    with pytest.raises(NotFiniteError, match="image 1"):
        metric(heat.where(xr.DataArray([True, False, True], dims="image")), masks)
    with pytest.raises(ShapeError, match="1 lists of boxes for 3"):
        metric(heat, [[Box("cup", 0, 0, 1, 1)]])
    with pytest.raises(InputError, match="no area"):
        metric(heat, [[Box("cup", 4, 0, 4, 1)], [], []])


def test_bad_parameters_are_named():
    masks = rectangles(3)
    heat = masks.astype(float)
    with pytest.raises(InputError, match="tolerance is -1"):
        evaluate.pointing_game(heat, masks, tolerance=-1)
    for thresholds in ([], [0], [1.2], [float("nan")]):
        with pytest.raises(InputError, match="thresholds"):
            evaluate.mask_iou(heat, masks, thresholds=thresholds)
    with pytest.raises(InputError, match="no thresholds"):
        evaluate.tune_threshold(heat, masks, metric="relevance_mass")
    with pytest.raises(UnknownNameError, match="box_iou"):
        evaluate.tune_threshold(heat, masks, metric="box_io")
    with pytest.raises(InputError, match="folds is 4"):
        evaluate.cross_tuned(heat, masks, folds=4)


def test_every_metric_has_a_card():
    for metric in EVERY:
        card = evaluate.metrics[metric.__name__].card
        assert card.feedback == "number"
        assert card.annotation == "masks"
