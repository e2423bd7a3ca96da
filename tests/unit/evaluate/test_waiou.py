"""The weighted average IoU: worked examples, controls, bias of linking, invariants and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import evaluate
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError, UnknownNameError
from workbench.evaluate.overlap import aligned_units, measure

CUT = "fraction(fraction=0.5)"
SIZE = 16


def units(values) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype=float), dims=("image", "unit", "y", "x"))


def parts(values, names=("a", "b")) -> xr.DataArray:
    return xr.DataArray(np.asarray(values) > 0, dims=("image", "part", "y", "x"), coords={"part": list(names)})


def row(*pixels: int) -> list[list[int]]:
    return [[int(pixel in pixels) for pixel in range(4)]]


def example() -> tuple[xr.DataArray, xr.DataArray]:
    """Three images of four pixels, three units linked to a, b, a. IoU of the units with their parts:

    image 0: 1, 1/2, 1/2; image 1: 1/2, - (b is not there), 1; image 2: 1/3, 1, 0.
    """
    maps = units([[row(0, 1), row(2, 3), row(0)], [row(0, 1), row(2), row(0)], [row(0), row(3), row(3)]])
    return maps, parts([[row(0, 1), row(2)], [row(0), row()], [row(0, 1, 2), row(3)]])


def squares(count: int = 60, seed: int = 0, names=("a", "b", "c")) -> xr.DataArray:
    """A square of 5 x 5 pixels a part and image, each in a column of its own; every third image lacks the last."""
    generator = np.random.default_rng(seed)
    masks = np.zeros((count, len(names), SIZE, SIZE), dtype=bool)
    for image in range(count):
        for part in range(len(names)):
            top = generator.integers(0, SIZE - 5)
            masks[image, part, top : top + 5, 5 * part : 5 * part + 5] = True
    masks[::3, -1] = False
    return parts(masks, names)


def noise(count: int, number: int, seed: int = 0) -> xr.DataArray:
    return units(np.random.default_rng(seed).uniform(size=(count, number, SIZE, SIZE)))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("uniform", (1 + 1 / 2 + 1 / 2 + 1 / 2 + 1 + 1 / 3 + 1 + 0) / 8),
        # a: two units, mean (1 + 1/2 + 1/2 + 1 + 1/3 + 0) / 6; b: one unit, mean (1/2 + 1) / 2
        ("frequency", (2 * (10 / 3 / 6) + 1 * (3 / 2 / 2)) / 3),
        # relevance 2, 1, 0: the third unit does not count
        ("relevance", (2 * (1 + 1 / 2 + 1 / 3) + (1 / 2 + 1)) / (2 * 3 + 2)),
        # part over all parts: a has 2/3, 1, 3/4 of the object, b has 1/3, -, 1/4
        (
            "area",
            (2 / 3 * (1 + 1 / 2) + 1 * (1 / 2 + 1) + 3 / 4 * (1 / 3 + 0) + 1 / 3 * 1 / 2 + 1 / 4 * 1)
            / (2 * (2 / 3 + 1 + 3 / 4) + 1 / 3 + 1 / 4),
        ),
    ],
)
def test_a_worked_example_of_every_weighting(weights, expected):
    maps, masks = example()
    found = evaluate.waiou(maps, masks, binarise=CUT, weights=weights, link=["a", "b", "a"], relevance=[2.0, 1.0, 0.0])
    assert float(found["value"]) == pytest.approx(expected)
    assert int(found["n"]) == 3
    assert float(found["low"]) <= expected <= float(found["high"])
    np.testing.assert_allclose(found["iou"], [[11 / 18, 0], [0, 0.75], [0.5, 0.5]])
    np.testing.assert_array_equal(found["images"], [[3, 2]] * 3)
    assert found["label"].values.tolist() == ["a", "b", "a"]
    np.testing.assert_allclose(found["label_iou"], [11 / 18, 0.75, 0.5])
    np.testing.assert_array_equal(found["part_units"], [2, 1])


def test_the_object_may_be_more_than_its_parts():
    maps, masks = example()
    whole = xr.DataArray(np.ones((3, 1, 4), dtype=bool), dims=("image", "y", "x"))
    found = evaluate.waiou(maps, masks, binarise=CUT, weights="area", link=["a", "b", "a"], objects=whole)
    area = np.array([2, 1, 3, 1, 1, 2, 1, 3]) / 4
    iou = np.array([1, 1 / 2, 1 / 3, 1 / 2, 1, 1 / 2, 1, 0])
    assert float(found["value"]) == pytest.approx((area * iou).sum() / area.sum())


def test_relevance_may_depend_on_the_image_and_units_may_be_shown_on_some():
    maps, masks = example()
    relevance = np.array([[1.0, 0, 0], [3, 0, 0], [0, 2, 0]])
    found = evaluate.waiou(maps, masks, binarise=CUT, weights="relevance", link=["a", "b", "a"], relevance=relevance)
    assert float(found["value"]) == pytest.approx((1 * 1 + 3 * 1 / 2 + 2 * 1) / 6)
    found = evaluate.waiou(maps, masks, binarise=CUT, weights="uniform", link=["a", "b", "a"], shown=relevance > 0)
    assert float(found["value"]) == pytest.approx((1 + 1 / 2 + 1) / 3)
    np.testing.assert_array_equal(found["images"].sel(part="a"), [2, 1, 0])


def test_a_unit_without_a_part_covers_nothing_or_is_left_out():
    maps, masks = example()
    both = {
        unlinked: evaluate.waiou(
            maps, masks, binarise=CUT, weights="uniform", link=["a", "b", ""], floor=0, unlinked=unlinked
        )
        for unlinked in ("zero", "left out")
    }
    assert float(both["zero"]["value"]) == pytest.approx((1 + 1 / 2 + 1 / 2 + 1 / 3 + 1) / 8)
    assert float(both["left out"]["value"]) == pytest.approx((1 + 1 / 2 + 1 / 2 + 1 / 3 + 1) / 5)
    assert float(both["zero"]["linked"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("weights", ["frequency", "relevance", "area", "uniform"])
@pytest.mark.parametrize(
    "binariser", [item for item in evaluate.BINARISER_FAMILY if item.name != "mean_deviations"], ids=str
)
def test_maps_equal_to_the_masks_score_one(weights, binariser):
    masks = squares(12)
    found = evaluate.waiou(
        units(masks.values), masks, binarise=binariser, weights=weights, relevance=np.ones(3), resamples=100, draws=2
    )
    assert found["label"].values.tolist() == ["a", "b", "c"]
    for name in ("value", "low", "high"):
        assert float(found[name]) == pytest.approx(1), name
    np.testing.assert_allclose(found["label_iou"], 1)
    shuffled = found["control_value"].sel(control="shuffled images")
    assert float(shuffled) < 0.9


@pytest.mark.parametrize("weights", ["frequency", "area", "uniform"])
def test_random_maps_score_chance_within_the_interval(weights):
    found = evaluate.waiou(
        noise(400, 6), squares(400), binarise="percentile(share=0.2)", weights=weights, floor=0, pool=noise(400, 30, 1)
    )
    for control in ("shuffled images", "chance"):
        other = found["control_value"].sel(control=control)
        assert float(found["low"]) <= float(other) <= float(found["high"]), control
    assert float(found["control_low"][0]) <= float(found["value"]) <= float(found["control_high"][0])
    assert float(found["value"]) == pytest.approx(float(found["chance"].mean()), abs=0.01)


def test_linking_on_the_scored_images_is_biased_upward_and_the_default_is_not():
    masks = squares(24)
    gaps = {"held out": [], "same": []}
    for seed in range(20):
        for link, found in gaps.items():
            result = evaluate.waiou(
                noise(24, 8, seed), masks, binarise="percentile(share=0.2)", link=link, floor=0, seed=seed, draws=1
            )
            found.append(float(result["value"]) - float(result["baseline_value"]))
            assert result.attrs["biased"] == int(link == "same")
    bias = {link: (np.mean(found), np.std(found) / np.sqrt(len(found))) for link, found in gaps.items()}
    assert bias["same"][0] > 4 * bias["same"][1], "random maps seem to find their parts"
    assert abs(bias["held out"][0]) < 3 * bias["held out"][1] + 0.001


def test_the_halves_do_not_meet():
    found = evaluate.waiou(noise(13, 2), squares(13), seed=4)
    half = found["half"].values
    assert sorted(half) == ["linking"] * 6 + ["scoring"] * 7
    assert np.isfinite(found["score"].values).tolist() == (half == "scoring").tolist()
    other = evaluate.waiou(noise(13, 2), squares(13), seed=5)
    assert half.tolist() != other["half"].values.tolist()


def test_labels_are_learned_by_mean_iou_and_ties_by_intersection():
    masks = parts([[row(0), row(1, 2)]] * 2)
    # the first unit has 1/3 with a and 2/3 with b, the second nothing with either
    maps = units([[row(0, 1, 2), row(3)]] * 2)
    found = evaluate.link_units(maps, masks, binarise=CUT)
    np.testing.assert_allclose(found["iou"], [[1 / 3, 2 / 3], [0, 0]])
    assert found["label"].values.tolist() == ["b", ""]
    np.testing.assert_array_equal(found["best"], [2 / 3, np.nan])
    # IoU 1/2 with both: {0, 1} and a = {0}: 1 of 2 pixels; with b = {0, 1, 2, 3}: 2 of 4
    tied = evaluate.link_units(units([[row(0, 1)]]), parts([[row(0), row(0, 1, 2, 3)]]), binarise=CUT)
    np.testing.assert_allclose(tied["iou"], [[0.5, 0.5]])
    assert tied["label"].values.tolist() == ["b"]
    assert evaluate.link_units(maps, masks, binarise=CUT, floor=0.7)["label"].values.tolist() == ["", ""]


def test_a_part_is_judged_on_the_images_that_show_it():
    masks = squares(9, names=("a", "b"))
    masks[2:, 1] = False  # and the first image lacks it anyway
    maps = units(masks.values)
    found = evaluate.link_units(maps, masks, binarise="fraction")
    np.testing.assert_allclose(np.diag(found["iou"]), [1, 1])


def test_random_units_are_drawn_from_the_pool():
    masks = squares(40)
    maps = units(masks.values)
    pool = xr.concat([maps, noise(40, 30)], dim="unit")
    found = evaluate.waiou(maps, masks, pool=pool, draws=50)
    control = found.sel(control="random units")
    assert int(control["control_n"]) == 50
    assert float(control["control_high"]) < float(found["low"])
    whole = evaluate.waiou(maps, masks, pool=maps, draws=5)
    np.testing.assert_allclose(whole["control_value"].sel(control="random units"), 1)
    without = evaluate.waiou(maps, masks)
    assert np.isnan(without["control_value"].sel(control="random units"))


@pytest.mark.parametrize("binariser", ["otsu", "fraction(fraction=0.3)", "area_matched"])
def test_a_pool_may_be_measured_once_for_several_methods(binariser):
    masks = squares(20)
    pool = noise(20, 12)
    measured = measure(*aligned_units(pool, masks), evaluate.as_binariser(binariser))
    for maps in (units(masks.values), noise(20, 3)):
        once = evaluate.waiou(maps, masks, pool=measured, binarise=binariser, draws=4)
        xr.testing.assert_identical(once, evaluate.waiou(maps, masks, pool=pool, binarise=binariser, draws=4))
    with pytest.raises(InputError, match=r"pool was cut by .* and the maps are cut by 'mean'"):
        evaluate.waiou(maps, masks, pool=measured, binarise="mean")
    with pytest.raises(ShapeError, match="measured on 20 images and 3 parts, and the masks are of 19 and 3"):
        evaluate.waiou(maps[:19], masks[:19], pool=measured, binarise=binariser)


def test_maps_that_only_know_where_a_part_usually_is_score_no_more_than_on_other_images():
    masks = squares(60)
    usual = masks.mean("image").values[None].repeat(60, 0)
    found = evaluate.waiou(units(usual), masks, binarise=CUT)
    shuffled = float(found["control_value"].sel(control="shuffled images"))
    assert float(found["value"]) > 2 * float(found["baseline_value"])
    assert float(found["low"]) <= shuffled <= float(found["high"])


def test_the_interval_covers_what_a_large_set_gives():
    masks, generator = squares(1500, seed=9), np.random.default_rng(9)
    hit = generator.uniform(size=(1500, 3, 1, 1)) < 0.6
    maps = units(np.where(hit, masks.values, masks.values[:, ::-1]))
    labels = ["a", "b", "c"]
    truth = float(evaluate.waiou(maps, masks, link=labels, binarise=CUT, draws=1)["value"])
    covered = []
    for start in range(0, 1500, 30):
        some = slice(start, start + 30)
        found = evaluate.waiou(maps[some], masks[some], link=labels, binarise=CUT, draws=1, resamples=400)
        covered.append(float(found["low"]) <= truth <= float(found["high"]))
    assert np.mean(covered) >= 0.86  # of 50 intervals of 95 %, fewer than 43 cover once in a thousand times


def test_area_matched_is_marked_as_reading_the_truth():
    found = evaluate.waiou(noise(20, 2), squares(20), binarise="area_matched", floor=0)
    assert found.attrs["biased"] == 1
    assert evaluate.as_binariser("area_matched").reads_masks


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), binariser=st.sampled_from(evaluate.BINARISER_FAMILY))
def test_scores_are_bounded_and_blind_to_the_order_of_images_and_to_scale(seed, binariser):
    masks, maps = squares(8, seed=seed), noise(8, 3, seed=seed) ** 4
    options = {"binarise": binariser, "link": ["a", "b", "c"], "resamples": 100, "draws": 2}
    found = evaluate.waiou(maps, masks, **options)
    for name in ("value", "baseline_value"):
        assert 0 <= float(found[name]) <= 1
    assert float(found["iou"].min()) >= 0
    assert float(found["iou"].max()) <= 1
    order = np.random.default_rng(seed).permutation(8)
    moved = evaluate.waiou(maps[order], masks[order], **options)
    assert float(moved["value"]) == pytest.approx(float(found["value"]))
    np.testing.assert_allclose(moved["iou"], found["iou"])
    if binariser.name != "li":
        assert float(evaluate.waiou(maps * 8, masks, **options)["value"]) == pytest.approx(float(found["value"]))


def test_blocks_and_dask_change_nothing(monkeypatch):
    masks, maps = squares(20), noise(20, 4)
    for binariser in ("otsu", "dataset_quantile(share=0.1)", "area_matched"):
        whole = evaluate.waiou(maps, masks, binarise=binariser, floor=0)
        monkeypatch.setattr("workbench.evaluate.overlap.BLOCK", 3 * 4 * SIZE * SIZE + 1)
        xr.testing.assert_equal(evaluate.waiou(maps.chunk(image=5), masks, binarise=binariser, floor=0), whole)


def test_the_result_says_where_it_comes_from_and_survives_a_file(tmp_path):
    maps = noise(10, 3).rename(unit="concept").assign_coords(concept=["x", "y", "z"]).assign_attrs(method="concepts")
    found = evaluate.waiou(maps, squares(10).assign_coords(image=[f"picture {i}" for i in range(10)]))
    facts = {"binariser": "otsu", "weights": "frequency", "link": "held out", "interpretation_method": "concepts"}
    assert facts.items() <= found.attrs.items()
    assert found["unit"].values.tolist() == ["x", "y", "z"]
    assert found["image"].values[3] == "picture 3"
    found.to_zarr(tmp_path / "result.zarr", consolidated=False)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "result.zarr", consolidated=False).load(), found)


def test_one_image_has_a_score_but_no_interval_and_cannot_be_split():
    maps, masks = example()
    found = evaluate.waiou(maps[:1], masks[:1], binarise=CUT, link=["a", "b", "a"])
    assert float(found["value"]) == pytest.approx((2 * 0.75 + 0.5) / 3)
    assert int(found["n"]) == 1
    assert np.isnan([found["low"], found["high"]]).all()
    with pytest.raises(InputError, match=r"1 image shows a part.*link='same'"):
        evaluate.waiou(maps[:1], masks[:1])
    assert float(evaluate.waiou(maps[:1], masks[:1], binarise=CUT, link="same")["value"]) > 0


def test_silent_and_constant_maps_are_misses_and_not_errors():
    masks = squares(12)
    silent = evaluate.waiou(units(masks.values) * 0, masks, link=["a", "b", "c"])
    assert float(silent["value"]) == 0
    constant = evaluate.waiou(units(masks.values) * 0 + 2, masks, link=["a", "b", "c"])
    assert float(constant["value"]) == pytest.approx(float(constant["baseline_value"]))
    assert float(constant["value"]) == pytest.approx(25 / SIZE**2)
    nothing = evaluate.waiou(units(masks.values) * 0, masks)
    assert (float(nothing["value"]), float(nothing["linked"])) == (0, 0)
    with pytest.raises(InputError, match="0 image shows a part"):
        evaluate.waiou(units(masks.values) * 0, masks, shown="responding")
    left_out = evaluate.waiou(units(masks.values) * 0, masks, unlinked="left out")
    assert np.isnan(left_out["value"])
    assert int(left_out["n"]) == 0


def test_units_that_do_not_respond_may_be_left_out():
    masks = squares(20)
    maps = units(masks.values)
    maps[::2] = 0
    assert float(evaluate.waiou(maps, masks, link=["a", "b", "c"], weights="uniform")["value"]) < 0.6
    found = evaluate.waiou(maps, masks, link=["a", "b", "c"], weights="uniform", shown="responding", pool=maps)
    assert float(found["value"]) == 1
    assert float(found["control_value"].sel(control="random units")) == 1


def test_bad_input_is_named():
    maps, masks = noise(6, 3), squares(6)
    with pytest.raises(ShapeError, match=r"16 x 16 pixels and masks 8 x 16.*masks_on_grid"):
        evaluate.waiou(maps, masks.isel(y=slice(8)))
    with pytest.raises(ShapeError, match="6 heatmaps and masks of 5 images"):
        evaluate.waiou(maps, masks[:5])
    with pytest.raises(ShapeError, match=r"'b'.*'c'"):
        evaluate.waiou(maps[:2].assign_coords(image=["a", "b"]), masks[:2].assign_coords(image=["a", "c"]))
    with pytest.raises(ShapeError, match="one map a unit"):
        evaluate.waiou(maps[:, 0], masks)
    with pytest.raises(ShapeError, match=r"expected a DataArray \(image, part, y, x\)"):
        evaluate.waiou(maps, masks[:, 0])
    with pytest.raises(DtypeError, match="expected bool"):
        evaluate.waiou(maps, masks.astype(int))
    with pytest.raises(InputError, match="no part is visible in any image"):
        evaluate.waiou(maps, masks & False)
    with pytest.raises(InputError, match="every name once"):
        evaluate.waiou(maps, masks.assign_coords(part=["a", "a", "b"]))
    broken = maps.copy()
    broken[2, 1, 3, 3] = np.nan
    with pytest.raises(NotFiniteError, match="image 2, unit 1"):
        evaluate.waiou(broken, masks)
    with pytest.raises(UnknownNameError, match="Unknown part 'beek'"):
        evaluate.waiou(maps, masks.assign_coords(part=["beak", "wing", "leg"]), link=["beek", "wing", ""])
    with pytest.raises(ShapeError, match="2 labels for 3 units"):
        evaluate.waiou(maps, masks, link=["a", "b"])
    with pytest.raises(UnknownNameError, match="otsu"):
        evaluate.waiou(maps, masks, binarise="ostu")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weights": "size"}, InputError, "Unknown weights 'size'"),
        ({"weights": "relevance"}, InputError, "needs relevance="),
        ({"weights": "relevance", "relevance": [1.0, -1, 2]}, InputError, "down to -1"),
        ({"weights": "relevance", "relevance": [1.0, np.nan, 2]}, NotFiniteError, "unit 1"),
        ({"weights": "relevance", "relevance": [1.0]}, ShapeError, "relevance has shape"),
        ({"link": "crossed"}, InputError, "link is 'crossed'"),
        ({"floor": 2}, InputError, "floor is 2"),
        ({"unlinked": "one"}, InputError, "unlinked is 'one'"),
        ({"shown": "sometimes"}, InputError, "shown is 'sometimes'"),
        ({"shown": np.ones((6, 3))}, DtypeError, "shown has dtype"),
        ({"shown": np.ones((3, 6), dtype=bool)}, ShapeError, "shown has shape"),
        ({"draws": 0}, InputError, "draws is 0"),
        ({"resamples": 5}, InputError, "resamples 5"),
    ],
)
def test_bad_parameters_are_named(options, error, message):
    with pytest.raises(error, match=message):
        evaluate.waiou(noise(6, 3), squares(6), **options)


def test_an_object_without_pixels_is_named():
    masks = squares(6)
    whole = masks.any("part")
    whole[2] = False
    with pytest.raises(InputError, match="object of image 2 has no pixels"):
        evaluate.waiou(noise(6, 3), masks, weights="area", objects=whole)


def test_linked_units_are_scored_without_a_threshold():
    masks = squares(30)
    maps = units(masks.values)
    perfect = evaluate.unit_localisation(maps, masks, ["a", "b", "c"])
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(perfect[name], 1)
    np.testing.assert_array_equal(perfect["n"], 30)
    mixed = evaluate.unit_localisation(noise(30, 4), masks, ["a", "", "c", "c"])
    assert mixed["score"].sel(criterion="relevance_mass")[:, 1].isnull().all()
    assert mixed["score"].sel(criterion="relevance_mass")[::3, 2:].isnull().all()
    for index, (unit, part) in enumerate([(0, "a"), (2, "c")]):
        peer = evaluate.relevance_rank(noise(30, 4)[:, unit], masks.sel(part=part))
        np.testing.assert_allclose(
            mixed["score"].sel(criterion="relevance_rank")[:, unit], peer["score"], err_msg=index
        )
    low, high = (mixed[name].sel(criterion="relevance_mass") for name in ("low", "high"))
    assert float(low) <= 25 / SIZE**2 <= float(high)
    with pytest.raises(UnknownNameError, match="criterion"):
        evaluate.unit_localisation(maps, masks, ["a", "b", "c"], criteria=["iou"])
    with pytest.raises(InputError, match="criteria are empty"):
        evaluate.unit_localisation(maps, masks, ["a", "b", "c"], criteria=[])
    with pytest.raises(InputError, match="No unit has a label"):
        evaluate.unit_localisation(maps, masks, ["", "", ""])
