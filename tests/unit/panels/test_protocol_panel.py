"""The protocol panel from code: its table, the images behind a cell, the threshold, the pairs, and its ways out."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import xarray as xr

from workbench import data, models, view
from workbench.data.scenes import SceneSource
from workbench.errors import InputError, Interrupted, StoreMismatchError, UnknownNameError
from workbench.evaluate import DataChoice, ModelChoice, Protocol, binarise, binarised_iou, method_comparison
from workbench.panels import ProtocolPanel, protocol_cell
from workbench.panels.protocol_table import cells_of, sorted_methods

if TYPE_CHECKING:
    from pathlib import Path

IOU, MASS, FOUND = "binarised_iou(binarise=otsu)", "relevance_mass", "waiou(binarise=otsu, weights=frequency)"
COMPLEXITY = "entropy"


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    images = SceneSource("part", 24, size=48, seed=5)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 5, 4, 2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(96, len(images.categories)),
    )
    preparation = models.Preprocessing(resize=32, crop=32, mean=0.5, std=0.25)
    model = models.load(network, name="small", categories=images.categories, preprocessing=preparation)
    return Protocol(
        methods=["saliency", "input_x_gradient", "random_maps", "random_units"],
        models=[ModelChoice.of(model, layer="1")],
        data=[DataChoice.of(images, name="scenes", objects="any")],
        metrics=[MASS, IOU, COMPLEXITY, "waiou"],
    )


@pytest.fixture(scope="module")
def table(protocol: Protocol) -> xr.Dataset:
    return protocol.run(errors="keep")


@pytest.fixture
def panel(table: xr.Dataset, protocol: Protocol) -> ProtocolPanel:
    return ProtocolPanel(table, protocol=protocol)


def test_it_begins_with_the_first_number_and_sorts_by_its_metric(panel: ProtocolPanel, table: xr.Dataset) -> None:
    assert (panel.state.method, panel.state.metric, panel.state.sort) == ("saliency", MASS, MASS)
    values = table["value"].sel(metric=MASS).squeeze().values
    expected = [str(table["method"].values[index]) for index in np.argsort(-values, kind="stable")]
    assert panel.methods == expected
    assert panel.methods[-1] == "random_units", "without a number it comes last"


def test_headers_sort_and_turn(panel: ProtocolPanel, table: xr.Dataset) -> None:
    column = panel.state.names["metric"].index(COMPLEXITY)
    box = panel.table_box
    box._handle(box, {"sort": column}, [])
    values = table["value"].sel(metric=COMPLEXITY).squeeze()
    assert values["better"].item() == "lower"
    assert panel.methods[0] == str(values.idxmin("method").item()), "the best stands above, which here is the lowest"
    assert (box.sorted, box.descending) == (column, False)
    box._handle(box, {"sort": column}, [])
    assert panel.methods[0] == str(values.idxmax("method").item())
    assert box.descending
    assert panel.methods[-1] == "random_units", "what has no number is last either way"
    box._handle(box, {"sort": -1}, [])
    assert panel.methods == sorted(panel.state.names["method"])
    assert (box.sorted, box.descending, panel.state.sort) == (-1, False, "")


def test_cells_say_value_interval_and_chance(table: xr.Dataset) -> None:
    part = table.isel(model=0, data=0)
    row = part["method"].values.tolist().index("saliency")
    column = part["metric"].values.tolist().index(MASS)
    entry, found = cells_of(part)[row][column], part.sel({"method": "saliency", "metric": MASS})
    for name in ("value", "low", "high"):
        assert f"{float(found[name]):.3g}" in entry["said"]
    assert f"n {int(found['n'])}" in entry["said"]
    assert "chance: " in entry["said"]
    assert 0 <= entry["low"] <= entry["value"] <= entry["high"] <= 1
    missing = cells_of(part)[row][part["metric"].values.tolist().index(FOUND)]
    assert missing["value"] is None
    assert "no number, is not for explanation methods" in missing["said"]
    best = [entry["best"] for entry in (line[column] for line in cells_of(part))]
    assert sum(best) == 1
    assert best.index(True) == sorted_methods(part, MASS, best_first=True)[0]


def test_the_score_of_the_cell_is_the_table_s_where_it_cuts_alike(panel: ProtocolPanel) -> None:
    panel.state.metric = IOU
    result = panel.result
    assert result.attrs["binariser"] == "otsu"
    for name in ("value", "low", "high", "n"):
        np.testing.assert_allclose(float(result[name]), float(result[f"table_{name}"]), rtol=1e-12)
    np.testing.assert_allclose(result["iou"], result["score"])
    assert (np.diff(result["iou"]) >= 0).all()


def test_the_slider_recomputes_score_and_outline(panel: ProtocolPanel, protocol: Protocol) -> None:
    panel.state.metric = IOU
    panel.controls.threshold.value = 0.3
    assert (panel.state.binariser, panel.state.threshold) == ("fraction", 0.3)
    maps = protocol.heatmaps(method="saliency")
    scored = binarised_iou(maps["heatmap"], maps["mask"], binarise="fraction(fraction=0.3)")
    result = panel.result
    assert float(result["value"]) == float(scored["value"])
    assert (float(result["low"]), float(result["high"])) == (float(scored["low"]), float(scored["high"]))
    chosen = binarise(maps["heatmap"], method="fraction(fraction=0.3)")
    for row, name in enumerate(result["image"].values):
        np.testing.assert_array_equal(result["chosen"][row], chosen.sel(image=name))
    assert f"{float(scored['value']):.3g} [" in panel.score.lines[0]
    assert "In the table" in panel.score.lines[1]
    panel.controls.threshold.value = 0.8
    assert float(panel.result["value"]) != float(scored["value"])


def test_the_threshold_stays_from_method_to_method_and_goes_with_the_metric(panel: ProtocolPanel) -> None:
    panel.state.metric = IOU
    panel.state.binariser, panel.state.threshold = "percentile", 0.2
    panel.table_box.selected = [1, panel.state.names["metric"].index(IOU)]
    assert (panel.state.method, str(panel.state.cut)) == ("input_x_gradient", "percentile(share=0.2)")
    panel.state.metric = FOUND
    assert str(panel.state.cut) == "otsu"


def test_units_are_shown_on_the_parts_that_they_are_linked_to(panel: ProtocolPanel) -> None:
    panel.state.method = "random_units"
    panel.state.metric = FOUND
    result = panel.result
    np.testing.assert_allclose(float(result["value"]), float(result["table_value"]), rtol=1e-12)
    assert all(re.fullmatch(r"1:\d", str(name)) for name in result["unit"].values), "units of the layer '1'"
    both = (result["chosen"] & result["mask"]).sum(("y", "x"))
    np.testing.assert_allclose(result["iou"], both / (result["chosen"] | result["mask"]).sum(("y", "x")))
    assert f"{result['unit'].values[0]} on {result['part'].values[0]}" in panel.picture.alt


def test_making_the_maps_tells_how_far_it_is_and_can_be_stopped(table: xr.Dataset, protocol: Protocol) -> None:
    panel = ProtocolPanel(table, protocol=protocol)
    said: list[tuple[float, str]] = []
    request = panel.request()
    panel.compute(request, stop=lambda: False, report=lambda share, words, _: said.append((share, words)))
    assert said[0] == (-1, "Making the maps of saliency")
    assert said[-1][0] == 1
    assert "Making the maps of saliency: " in said[-1][1]
    said.clear()
    panel.compute(request, stop=lambda: True, report=lambda share, words, _: said.append((share, words)))
    assert said == [], "maps that are known need no work that could be stopped"
    fresh = ProtocolPanel(table, protocol=protocol)
    with pytest.raises(Interrupted, match="Stopped on request"):
        fresh.compute(request, stop=lambda: True, report=lambda *_: None)


def test_a_cell_without_a_number_says_why_and_shows_its_images(panel: ProtocolPanel) -> None:
    panel.state.metric = FOUND
    assert panel.result.attrs["note"] == "is not for explanation methods"
    assert panel.wait()
    assert "has no number: is not for explanation methods" in panel.score.lines[1]
    assert np.isfinite(float(panel.result["value"]))


def test_pairs_are_those_of_the_metric_in_the_table_s_order(panel: ProtocolPanel, table: xr.Dataset) -> None:
    panel.state.metric = IOU
    panel.state.pairs = True
    _ = panel.result
    assert panel.wait()
    expected = method_comparison(table, metric=IOU)
    xr.testing.assert_identical(panel.comparison, expected)
    picture = view.protocol_pairs(expected, order=panel.methods)
    assert panel.pairs.box.alt == picture.alt
    upper = np.triu_indices(3, k=1)
    assert f"{int((expected['better'].values[upper] != 0).sum())} of 3 pairs" in picture.alt
    panel.state.metric = FOUND
    assert panel.wait()
    assert "a comparison needs two" in panel.pairs.message.text
    assert panel.pairs.box.source == ""
    panel.state.pairs = False
    assert panel.pairs.widget.layout.display == "none"


def test_a_significant_pair_is_drawn_with_a_sign(table: xr.Dataset) -> None:
    scores = table.copy(deep=True)
    shifted = scores["score"].sel({"method": "saliency", "metric": MASS}) + 5
    scores["score"].loc[{"method": "saliency", "metric": MASS}] = shifted
    found = method_comparison(scores, metric=MASS)
    assert "saliency is better than random_maps (difference 5" in view.protocol_pairs(found).alt
    texts = [text.get_text() for text in view.protocol_pairs(found).figure.axes[0].texts]
    assert any(text.startswith("▲ +") for text in texts)
    assert any(text.startswith("▼ \N{MINUS SIGN}") for text in texts)


def test_table_and_report_are_exported(panel: ProtocolPanel, table: xr.Dataset, tmp_path: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(panel.save(tmp_path / "a.csv").read_text())))
    assert len(lines) == 4 * 4
    first = next(line for line in lines if (line["method"], line["metric"]) == ("saliency", MASS))
    assert float(first["value"]) == table["value"].sel({"method": "saliency", "metric": MASS}).item()
    assert panel.save(tmp_path / "a.html").read_text().startswith("<!doctype html>")
    for name in ("a.png", "a.svg", "a.nc"):
        assert panel.save(tmp_path / name).exists()
    assert [entry[0] for entry in panel.actions.formats] == ["png", "svg", "netcdf", "csv", "report"]
    assert panel.file("csv").kind == "text/csv"
    with pytest.raises(InputError, match=r"ends with '\.txt'"):
        panel.save(tmp_path / "a.txt")


@pytest.mark.parametrize("given", [True, False])
def test_the_code_reproduces_what_is_shown(table: xr.Dataset, protocol: Protocol, given: bool) -> None:
    network = protocol.models[0].model
    options: dict[str, Any] = {"protocol": protocol} if given else {"models": [network]}
    panel = ProtocolPanel(table, **options)
    panel.state.metric, panel.state.pairs = IOU, True
    panel.state.order, panel.state.count = "highest", 2
    shown: list[Any] = []
    names: dict[str, Any] = {"table": table, "display": shown.append, **options}
    exec(panel.code(), names)
    xr.testing.assert_identical(names["cell"], panel.result)
    assert panel.wait()
    assert [picture.alt for picture in shown] == [panel.picture.alt, panel.pairs.box.alt]


def test_what_is_not_at_hand_is_asked_for_in_words_and_the_table_stays(table: xr.Dataset) -> None:
    panel = ProtocolPanel(table)
    with pytest.raises(InputError, match=r"'small', which is not at hand.*ProtocolPanel\(table, models="):
        _ = panel.result
    assert "ProtocolPanel(table, models=" in panel.message.text
    assert panel.table_box.rows == [str(name) for name in table["method"].values]
    assert panel.comparison.sizes["first"] == 3


@pytest.mark.parametrize(
    ("trait", "value", "error", "words"),
    [
        ("method", "saliancy", UnknownNameError, "Did you mean 'saliency'"),
        ("metric", "iou", UnknownNameError, "Unknown metric 'iou'"),
        ("sort", "speed", UnknownNameError, "'' sorts by name"),
        ("seed", 7, UnknownNameError, "Unknown seed 7"),
        ("binariser", "otso", UnknownNameError, "Did you mean 'otsu'"),
        ("order", "best", UnknownNameError, "Unknown order 'best'"),
    ],
)
def test_a_state_that_cannot_be_is_refused(
    panel: ProtocolPanel, trait: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        setattr(panel.state, trait, value)


def test_a_threshold_out_of_range_is_refused(panel: ProtocolPanel) -> None:
    panel.state.binariser = "fraction"
    with pytest.raises(InputError, match=r"threshold is 1.5; fraction of 'fraction' lies from 0.05 to 1"):
        panel.state.threshold = 1.5


def test_what_is_no_table_is_refused(table: xr.Dataset, protocol: Protocol) -> None:
    with pytest.raises(InputError, match=r"expected what Protocol\.run gives"):
        ProtocolPanel(table.drop_vars("score"))
    other = Protocol(methods=["saliency"], models=protocol.models, data=protocol.data, metrics=[MASS])
    with pytest.raises(StoreMismatchError, match="The table is of the protocol"):
        ProtocolPanel(table, protocol=other)
    with pytest.raises(InputError, match="The table has no number yet"):
        ProtocolPanel(table.assign(n=table["n"] * 0), protocol=protocol)


def test_a_cell_refuses_what_it_cannot_show(table: xr.Dataset, protocol: Protocol) -> None:
    maps = protocol.heatmaps(method="saliency")
    wanted: dict[str, Any] = {"method": "saliency", "metric": MASS}
    with pytest.raises(InputError, match="count is 0"):
        protocol_cell(table, maps, **wanted, count=0)
    with pytest.raises(InputError, match=r"maps are not what Protocol\.heatmaps gives"):
        protocol_cell(table, maps["heatmap"], **wanted)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Unknown seed 3"):
        protocol_cell(table, maps, **wanted, seed=3)
    with pytest.raises(InputError, match="no 'chosen'"):
        view.protocol_cell(maps)
    with pytest.raises(InputError, match="is no comparison"):
        view.protocol_pairs(table)


def test_images_without_masks_are_outlined_and_not_scored(table: xr.Dataset, protocol: Protocol) -> None:
    maps = protocol.heatmaps(method="saliency")
    bare = maps.assign(mask=maps["mask"] & False)
    cell = protocol_cell(table, bare, method="saliency", metric=MASS, count=2)
    assert np.isnan(float(cell["value"]))
    assert int(cell["n"]) == 0
    assert cell["chosen"].any()
    assert "not annotated" in view.protocol_cell(cell).alt


def test_the_oracle_binariser_reads_the_masks(table: xr.Dataset, protocol: Protocol) -> None:
    maps = protocol.heatmaps(method="random_maps")
    cell = protocol_cell(table, maps, method="random_maps", metric=IOU, binariser="area_matched", count=3)
    np.testing.assert_array_equal(cell["chosen"].sum(("y", "x")), cell["mask"].sum(("y", "x")))


def test_handwriting_has_no_masks() -> None:
    digits = data.digits()
    protocol = Protocol(
        methods=["saliency"], models=["digits"], data=[data.Subset(digits, np.arange(3))], metrics=["entropy"]
    )
    shown = ProtocolPanel(protocol.run(), protocol=protocol)
    assert int(shown.result["n"]) == 0
    assert shown.wait()
    assert "Nothing is annotated" in shown.score.lines[0]
