"""Protocols: the same hash everywhere, cells that are resumed and refused, one table whoever computed it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config

from workbench import evaluate, explain, models
from workbench.data.scenes import SceneSource
from workbench.data.source import AnnotatedImage, Box
from workbench.errors import (
    DtypeError,
    InputError,
    Interrupted,
    StoreDamagedError,
    StoreMismatchError,
    UnknownNameError,
)
from workbench.evaluate.protocol import running
from workbench.evaluate.protocol.choices import as_choice

METHODS = ("gradcam", "saliency", "random_maps")
METRICS = ("pointing_game", "binarised_iou", "deletion(steps=4)", "intervention_agreement", "sparseness")


def protocol(**changes) -> evaluate.Protocol:
    """Small enough to be run in a test."""
    chosen = {
        "methods": METHODS,
        "models": ["scenes_part"],
        "data": [SceneSource("part", 6, seed=5)],
        "metrics": METRICS,
        "binarisers": ["otsu", "fraction(fraction=0.3)"],
        **changes,
    }
    return evaluate.Protocol(**chosen)


@pytest.fixture(scope="module")
def small() -> evaluate.Protocol:
    return protocol()


@pytest.fixture(scope="module")
def table(small) -> xr.Dataset:
    return small.run()


# ---- the description


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """What another process left that said its protocol's hash and was killed as soon as it had written a cell."""
    folder = tmp_path_factory.mktemp("killed")
    code = f"""
import os, signal
from workbench import evaluate
from workbench.data.scenes import SceneSource

protocol = evaluate.Protocol(
    methods={METHODS!r}, models=["scenes_part"], data=[SceneSource("part", 6, seed=5)], metrics={METRICS!r},
    binarisers=["otsu", "fraction(fraction=0.3)"],
)
print(protocol.hash, flush=True)
protocol.run(path={str(folder)!r}, progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    return folder, done


def test_the_hash_is_the_same_in_another_process(small, killed):
    assert killed[1].stdout.split()[-1] == small.hash, killed[1].stderr


def test_work_that_was_killed_goes_on(small, table, killed, monkeypatch):
    folder, done = killed
    assert done.returncode == -signal.SIGKILL
    assert len(cells_of(folder)) == 1
    computed = []
    original = running.score_cell
    monkeypatch.setattr(running, "score_cell", lambda *args, **kw: computed.append(args[2]) or original(*args, **kw))
    xr.testing.assert_identical(small.run(path=folder), table)
    assert [cell.method for cell in computed] == ["saliency", "random_maps"]


def test_a_protocol_is_frozen_hashable_and_read_back(small):
    again = evaluate.Protocol.from_json(small.to_json())
    assert again == small
    assert hash(again) == hash(small)
    assert again.hash == small.hash
    assert len({small, again}) == 1
    with pytest.raises(AttributeError):
        small.seeds = (1,)


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": ("gradcam", "saliency")},
        {"metrics": METRICS[:-1]},
        {"seeds": (0, 1)},
        {"binarisers": ["otsu"]},
        {"target": "label"},
        {"models": ["scenes_object"]},
        {"data": [SceneSource("part", 6, seed=6)]},
        {"data": [SceneSource("part", 7, seed=5)]},
    ],
)
def test_whatever_changes_the_numbers_changes_the_hash(small, changes):
    assert protocol(**changes).hash != small.hash


def test_how_parameters_are_written_does_not_matter():
    written = ["occlusion(patch=12, baseline=mean)", "occlusion(baseline='mean',patch=12)"]
    given_as = [*written, ("occlusion", {"baseline": "mean", "patch": np.int64(12)})]
    assert len({protocol(methods=[item]).hash for item in given_as}) == 1


@given(
    st.dictionaries(
        st.sampled_from(["patch", "stride", "baseline", "seed"]),
        st.one_of(st.integers(-5, 300), st.floats(-1, 1), st.booleans(), st.sampled_from(["mean", "zero"])),
    )
)
def test_text_says_all_of_a_choice(parameters):
    choice = as_choice(("occlusion", parameters))
    if not any(isinstance(value, bool) for value in parameters.values()):  # JSON's true is not Python's True
        assert as_choice(str(choice)) == choice
    assert choice.parameters == parameters


def test_metrics_that_cut_maps_have_a_column_a_binariser():
    found = protocol(metrics=["waiou", "binarised_iou(binarise=li)", "pointing_game"], weightings=["frequency", "area"])
    assert [(column.choice.name, column.binariser, column.weights) for column in found.columns] == [
        ("waiou", "otsu", "frequency"),
        ("waiou", "otsu", "area"),
        ("waiou", "fraction(fraction=0.3)", "frequency"),
        ("waiou", "fraction(fraction=0.3)", "area"),
        ("binarised_iou", "li", ""),
        ("pointing_game", "", ""),
    ]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"methods": ["gradcan"]}, UnknownNameError, "gradcam"),
        ({"metrics": ["pointing"]}, UnknownNameError, "pointing_game"),
        ({"methods": ["ablation_curve"]}, UnknownNameError, "method"),
        ({"methods": ["occlusion(ptch=3)"]}, InputError, "patch"),
        ({"methods": ["gradcam", "gradcam"]}, InputError, "more than once"),
        ({"methods": ["gradcam(seed=1)"]}, InputError, "protocol's own"),
        ({"methods": [("occlusion", {"patch": object()})]}, DtypeError, "object"),
        ({"methods": ["occlusion(12)"]}, InputError, "parameter=value"),
        ({"methods": ["a b"]}, InputError, "neither"),
        ({"methods": [3]}, DtypeError, "names no method"),
        ({"methods": []}, InputError, "empty"),
        ({"metrics": ["binarised_iou(binarise=otsuu)"]}, UnknownNameError, "otsu"),
        ({"binarisers": ["otsuu"]}, UnknownNameError, "otsu"),
        ({"weightings": ["size"]}, UnknownNameError, "area"),
        ({"seeds": [-1]}, InputError, "zero or more"),
        ({"seeds": [True]}, InputError, "whole number"),
        ({"target": "best"}, InputError, "predicted"),
        ({"models": ["scenes_parts"]}, UnknownNameError, "scenes_part"),
        ({"models": [3]}, DtypeError, "models.load"),
        ({"data": []}, InputError, "empty"),
    ],
)
def test_bad_descriptions_are_refused(changes, error, words):
    with pytest.raises(error, match=words):
        protocol(**changes)


def test_a_layer_without_maps_is_refused():
    with pytest.raises(InputError, match="unit, y, x"):
        evaluate.ModelChoice.of("scenes_part", layer="classifier")
    with pytest.raises(UnknownNameError, match="layer"):
        evaluate.ModelChoice.of("scenes_part", layer="layer9")


def test_no_protocol_is_told_from_one():
    with pytest.raises(InputError, match="no protocol"):
        evaluate.Protocol.from_json("{")
    with pytest.raises(InputError, match="no protocol"):
        evaluate.Protocol.from_json("{}")
    other = json.loads(protocol().to_json()) | {"version": 99}
    with pytest.raises(InputError, match="version 99"):
        evaluate.Protocol.from_json(json.dumps(other))


# ---- the table


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


@dataclass(frozen=True, eq=False)
class Pictures:
    """Grey pictures with a box each, that no manifest vouches for."""

    boxes: bool = True
    count: int = 2
    shade: int = 100
    labels: None = None
    categories: tuple[str, ...] = ()
    manifest_hash: str = ""

    @property
    def identifiers(self):
        return [f"picture {index}" for index in range(self.count)]

    def __len__(self):
        return self.count

    def __getitem__(self, index, /):
        image = np.random.default_rng(index).integers(0, self.shade, size=(120, 96, 3), dtype=np.uint8)
        box = Box("thing", 10, 20, 30, 60)
        return AnnotatedImage(image, f"picture {index}", None, {}, (box,) if self.boxes else ())


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


# ---- running


def cells_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("cell-*.json"))


def test_a_second_run_computes_nothing(small, table, tmp_path, monkeypatch):
    xr.testing.assert_identical(small.run(path=tmp_path), table)
    assert len(cells_of(tmp_path)) == 3

    def refuse(*_, **__):
        raise AssertionError("this cell was there already")

    monkeypatch.setattr(running, "score_cell", refuse)
    xr.testing.assert_identical(small.run(path=tmp_path), table)
    assert next(tmp_path.iterdir()).name == small.hash[:16]


def test_stopped_work_goes_on_where_it_was(small, table, tmp_path, monkeypatch):
    seen = []
    with pytest.raises(Interrupted):
        small.run(path=tmp_path, progress=seen.append, stop=lambda: len(seen) == 2)
    assert len(cells_of(tmp_path)) == 2
    partly = small.table(tmp_path)
    assert partly["done"].values.ravel().tolist() == [True, True, False]
    assert "not been computed" in str(partly["note"].values[2, 0, 0, 0])
    xr.testing.assert_equal(partly["value"].isel(method=[0, 1]), table["value"].isel(method=[0, 1]))
    computed = []
    original = running.score_cell
    monkeypatch.setattr(running, "score_cell", lambda *args, **kw: computed.append(args[2]) or original(*args, **kw))
    xr.testing.assert_identical(small.run(path=tmp_path), table)
    assert [cell.method for cell in computed] == ["random_maps"]


def test_a_half_written_cell_is_no_cell(small, table, tmp_path):
    small.run(path=tmp_path)
    last = cells_of(tmp_path)[0]
    last.rename(last.with_name(f"{last.name}.77.part"))  # as a killed process leaves it
    xr.testing.assert_identical(small.run(path=tmp_path), table)


def test_damaged_cells_and_those_of_others_are_refused(small, tmp_path):
    small.run(path=tmp_path)
    first = cells_of(tmp_path)[0]
    written = first.read_bytes()
    first.write_bytes(written.replace(b"0.", b"1.", 1))
    with pytest.raises(StoreDamagedError, match="Delete it"):
        small.run(path=tmp_path)
    first.write_bytes(written[:-20])
    with pytest.raises(StoreDamagedError, match="Delete it"):
        small.table(tmp_path)
    other = protocol(seeds=(0, 1), methods=METHODS)
    seen = []
    with pytest.raises(Interrupted):
        other.run(path=tmp_path, progress=seen.append, stop=lambda: bool(seen))
    stranger = next(path for path in cells_of(tmp_path) if path.parent.name == other.hash[:16])
    first.write_bytes(stranger.read_bytes())
    with pytest.raises(StoreMismatchError, match="belongs to the protocol"):
        small.run(path=tmp_path)
    second = cells_of(tmp_path / small.hash[:16])[1]
    first.write_bytes(second.read_bytes())
    with pytest.raises(StoreMismatchError, match="another cell"):
        small.run(path=tmp_path)


def test_joblib_gives_the_same_table(small, table, tmp_path):
    with parallel_config(backend="threading"):
        found = small.run("joblib", workers=2, path=tmp_path)
    xr.testing.assert_identical(found, table)
    assert len(cells_of(tmp_path)) == 3


def test_dask_gives_the_same_table(small, table):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, worker_dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = small.run(client)
    xr.testing.assert_identical(found, table)


def test_workers_keep_a_network_of_their_own(small):
    """Threads hang hooks into the network; none may see those of another."""
    ready = small.at_hand()
    modules, barrier = [], threading.Barrier(2)

    def work() -> None:
        cell = running.cells(ready)[1]
        running._elsewhere(ready, cell, "a key of this test", "raise")
        modules.append(running._here.situation.model.module)
        barrier.wait(timeout=60)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(module) for module in [*modules, ready.models[0].model.module]}) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [({"engine": "fast"}, "engine"), ({"workers": 0}, "workers"), ({"errors": "ignore"}, "errors")],
)
def test_bad_options_of_a_run_are_refused(small, options, words):
    with pytest.raises(InputError, match=words):
        small.run(**options)


# ---- the maps behind a cell


def test_the_maps_behind_a_cell_give_its_numbers(small, table):
    found = small.heatmaps(method="gradcam")
    assert found["heatmap"].dims == ("image", "y", "x")
    assert found["picture"].shape == (6, 96, 96, 3)
    scores = evaluate.pointing_game(found["heatmap"], found["mask"])["score"]
    cell = table["score"].sel({"method": "gradcam", "metric": "pointing_game"}).squeeze()
    np.testing.assert_allclose(scores.values, cell.values[found["position"].values])
    assert found["image"].values.tolist() == table["identifier"].values[0].tolist()
    with pytest.raises(UnknownNameError, match="gradcam"):
        small.heatmaps(method="gradcan")
    with pytest.raises(UnknownNameError, match="seed"):
        small.heatmaps(method="gradcam", seed=4)


def test_the_maps_of_units_have_their_parts():
    found = protocol(
        methods=["random_units(share=0.1)"], metrics=["waiou"], data=[SceneSource("part", 8, seed=5)]
    ).heatmaps(method="random_units(share=0.1)")
    assert found["heatmap"].dims == ("image", "unit", "y", "x")
    assert found.sizes["image"] == 4
    assert found["part_mask"].sizes["image"] == 4
    assert found["shown"].all()
    assert str(found["unit"].values[0]).startswith("layer4.relu2:")


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
