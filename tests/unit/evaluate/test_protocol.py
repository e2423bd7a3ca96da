"""The table of a protocol: the metrics' own numbers, none without its n, and what it says of methods and metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from protocols import METHODS, Pictures, protocol

from workbench import evaluate, explain, models
from workbench.data.scenes import SceneSource
from workbench.errors import InputError, StoreMismatchError, UnknownNameError


def test_numbers_are_those_of_the_metrics_themselves(small, table):
    model, source = models.load("scenes_part"), SceneSource("part", 6, seed=5)
    inputs = model.prepare(source)
    predicted = model.predict(inputs)["predicted"].values.tolist()
    maps = explain.gradcam(model, inputs, target=predicted)
    masks = np.stack(
        [
            source[index].masks.get(model.categories[predicted[index]], np.zeros((96, 96), dtype=bool))
            for index in range(6)
        ]
    )
    truth = xr.DataArray(masks, dims=("image", "y", "x"), coords={"image": maps["image"].values})
    cell = table.sel({"method": "gradcam"}).isel(model=0, data=0, seed=0)
    for label, found in (
        ("pointing_game", evaluate.pointing_game(maps, truth)),
        ("binarised_iou(binarise=otsu)", evaluate.binarised_iou(maps, truth, binarise="otsu")),
        ("deletion(steps=4)", evaluate.deletion(maps, model, inputs, steps=4)),
        ("sparseness", evaluate.sparseness(maps)),
    ):
        one = cell.sel({"metric": label})
        np.testing.assert_allclose(one["score"].values, found["score"].values, atol=1e-9, err_msg=label)
        assert float(one["value"]) == pytest.approx(float(found["value"]))
        assert float(one["low"]) == pytest.approx(float(found["low"]), abs=1e-9)
        assert float(one["high"]) == pytest.approx(float(found["high"]), abs=1e-9)
        assert int(one["n"]) == int(found["n"])
        if "baseline_value" in found:
            control = one.sel(control=str(found.attrs["baseline"]))
            assert float(control["control_value"]) == pytest.approx(float(found["baseline_value"]))
            assert int(control["control_n"]) == int(found["n"])


def test_no_number_stands_without_its_n_and_a_reason(table):
    known = np.isfinite(table["value"].values)
    assert (table["n"].values[known] > 0).all()
    assert (table["n"].values[~known] == 0).all()
    assert (table["note"].values[known] == "").all()
    assert (table["note"].values[~known] != "").all()
    several = table["n"].values >= 2
    assert np.isfinite(table["low"].values[several]).all()
    assert (table["low"].values[several] <= table["value"].values[several] + 1e-12).all()
    assert table.attrs["protocol"] == protocol().hash
    assert evaluate.Protocol.from_json(table.attrs["description"]) == protocol()


def test_the_table_survives_a_file(table, tmp_path):
    table.to_zarr(tmp_path / "table.zarr", consolidated=False)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "table.zarr", consolidated=False).load(), table)


def test_several_seeds_are_averaged_image_by_image():
    found = protocol(methods=["random_maps"], metrics=["pointing_game"], seeds=(0, 1, 2)).run()
    scores = found["score"].isel(method=0, metric=0, model=0, data=0)
    assert scores.sizes["seed"] == 3
    assert not np.array_equal(scores.isel(seed=0), scores.isel(seed=1))
    assert float(found["value"].squeeze()) == pytest.approx(float(scores.mean("seed").mean()))


def test_what_does_not_apply_is_said_and_what_fails_is_raised_or_kept():
    plain = protocol(
        methods=["gradcam"], data=[Pictures(boxes=False)], metrics=["pointing_game", "intervention_agreement"]
    )
    found = plain.run().squeeze()
    assert (found["n"] == 0).all()
    assert "masks or boxes" in str(found["note"].values[0])
    assert "rendered scenes" in str(found["note"].values[1])
    failing = protocol(methods=["gradcam(layer=nowhere)", "saliency"], metrics=["sparseness"])
    with pytest.raises(UnknownNameError, match="nowhere"):
        failing.run()
    kept = failing.run(errors="keep").squeeze()
    assert kept["note"].values[0].startswith("UnknownNameError")
    assert kept["n"].values.tolist() == [0, 6]


def test_one_image_has_a_value_and_no_interval():
    found = protocol(data=[SceneSource("part", 1, seed=5)], methods=["saliency"], metrics=["sparseness"]).run()
    found = found.squeeze()
    assert int(found["n"]) == 1
    assert np.isfinite(float(found["value"]))
    assert np.isnan(float(found["low"]))


def test_interpretation_methods_need_images_and_parts():
    units = {"methods": ["relevant_units"], "metrics": ["waiou"], "binarisers": ["otsu"]}
    with pytest.raises(InputError, match="at least 4"):
        protocol(**units, data=[SceneSource("part", 3, seed=5)]).run()
    with pytest.raises(InputError, match="no masks of parts"):
        protocol(**units, data=[Pictures(boxes=False, count=6)]).run()


@pytest.mark.parametrize(
    ("units", "words"), [([99], "numbers from 0"), ({"flying": [1]}, "category"), ([], "numbers from 0")]
)
def test_chosen_units_must_exist(units, words):
    chosen = protocol(
        methods=[("chosen_units", {"units": units})], metrics=["waiou"], data=[SceneSource("part", 8, seed=5)]
    )
    with pytest.raises((InputError, UnknownNameError), match=words):
        chosen.run()


# ---- images of one's own


def test_boxes_serve_where_there_are_no_masks():
    chosen = evaluate.DataChoice.of(Pictures(), objects="any")
    found = protocol(data=[chosen], methods=["random_maps"], metrics=["relevance_mass"]).run()
    share = 20 * 40 / (96 * 96)  # of the square in the middle, which the network sees
    assert float(found["control_value"].sel(control="chance").squeeze()) == pytest.approx(share, rel=1e-6)
    assert int(found["n"].squeeze()) == 2


def test_images_without_a_manifest_are_known_by_their_content():
    first, second = (evaluate.DataChoice.of(Pictures(shade=shade), name="pictures") for shade in (100, 101))
    assert first.content.startswith("content:")
    assert first.content != second.content
    assert first == evaluate.DataChoice.of(Pictures(), name="pictures")
    described = evaluate.Protocol.from_json(protocol(data=[first], metrics=["sparseness"]).to_json())
    with pytest.raises(InputError, match="not at hand"):
        described.run()
    with pytest.raises(StoreMismatchError, match="not those"):
        described.run(data={"pictures": Pictures(shade=101)})
    with pytest.raises(UnknownNameError, match="pictures"):
        described.run(data={"picture": Pictures()})
    assert int(described.run(data={"pictures": Pictures()})["n"].min()) == 2


def test_another_network_of_the_same_name_is_refused(small):
    other = replace(models.load("scenes_object"), name="scenes_part")
    with pytest.raises(StoreMismatchError, match="not the one"):
        evaluate.Protocol.from_json(small.to_json()).run(models=[other])


# ---- what the table says


def test_methods_are_compared_in_the_direction_of_the_metric(table):
    found = evaluate.method_comparison(table, metric="deletion(steps=4)")
    scores = table["score"].sel({"metric": "deletion(steps=4)"}).squeeze()
    differences = (scores.isel(method=0) - scores.isel(method=2)).values
    assert float(found["difference"][0, 2]) == pytest.approx(differences.mean())
    better = found["better"].values
    assert (better == -better.T).all()
    significant = found["adjusted"].values < 0.05
    assert (better[significant] == -np.sign(found["difference"].values[significant])).all()
    with pytest.raises(UnknownNameError, match="metric"):
        evaluate.method_comparison(table, metric="deletion")
    with pytest.raises(InputError, match=r"Protocol\.run"):
        evaluate.method_comparison(xr.Dataset(), metric="deletion")


def test_rankings_point_the_same_way_whatever_better_means(table):
    turned = table.copy(deep=True)
    for name in ("score", "value"):
        turned[name] = -turned[name]
    turned["better"] = ("metric", np.where(table["better"] == "higher", "lower", "higher").astype(object))
    first, second = (evaluate.ranking_agreement(each) for each in (table, turned))
    np.testing.assert_allclose(first["tau"].values, second["tau"].values)
    assert first["method"].values.tolist() == list(METHODS)
    # of metrics that are means over images both are the same ranking
    np.testing.assert_allclose(first["tau"].values, first["tau_of_values"].values)
    with pytest.raises(InputError, match="two of each"):
        evaluate.ranking_agreement(table, metrics=["sparseness"])
    with pytest.raises(UnknownNameError, match="gradcam"):
        evaluate.ranking_agreement(table, methods=["gradcan", "saliency"])
