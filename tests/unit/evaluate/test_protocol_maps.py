"""The maps behind a protocol's cells: those that were scored, under names that say what they are of."""

from __future__ import annotations

import re

import numpy as np
import pytest
from protocols import protocol

from workbench import evaluate, interpret
from workbench.data.scenes import SceneSource
from workbench.errors import Interrupted, UnknownNameError
from workbench.evaluate.protocol import maps
from workbench.explain import Progress
from workbench.interpret.upsampling import stretch, upsample


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


INTERPRETATIONS = (
    "relevant_units",
    "dissect(quantile=0.98)",
    "concepts(count=2)",
    "concept_vectors(draws=2, random_concepts=5)",
    "rules(least_confidence=0.1)",
)


@pytest.fixture(scope="module")
def interpretations() -> evaluate.Protocol:
    learn = SceneSource("part", 60, seed=6)
    chosen = evaluate.DataChoice.of(SceneSource("part", 8, seed=5), name="scenes", learn=learn)
    return protocol(methods=INTERPRETATIONS, metrics=["waiou"], data=[chosen], binarisers=["otsu"]).at_hand()


@pytest.mark.parametrize(
    ("method", "pattern"),
    [
        (INTERPRETATIONS[0], r"layer4\.relu2:\d+"),
        (INTERPRETATIONS[1], r"layer4\.relu2:\d+"),
        (INTERPRETATIONS[2], r"[a-z]+, concept [01]"),
        (INTERPRETATIONS[3], r"concept [a-z ]+"),
        (INTERPRETATIONS[4], r"units \d+( \+ \d+)+ \N{RIGHTWARDS ARROW} [a-z]+"),
    ],
)
def test_every_map_says_what_it_is_of(interpretations, method, pattern):
    found = interpretations.heatmaps(method=method)
    names = [str(name) for name in found["unit"].values]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(pattern, name)] == []


@pytest.mark.parametrize("method", [INTERPRETATIONS[0], INTERPRETATIONS[4]])
def test_the_map_under_a_name_is_that_of_these_units(interpretations, method):
    """Of one unit, or of a rule: the least of the maps of its units."""
    found = interpretations.heatmaps(method=method)
    store = interpret.observe(interpretations.models[0].model, interpretations.data[0].source, layers="layer4.relu2")
    for name in found["unit"].values[:5]:
        units = [int(number) for number in re.findall(r"\d+", str(name).removeprefix("layer4.relu2:"))]
        each = interpret.unit_heatmaps(store, np.arange(8), ["layer4.relu2"] * len(units), units).values
        least = stretch(each).min(axis=1, keepdims=True)
        np.testing.assert_allclose(
            found["heatmap"].sel(unit=name), stretch(upsample(least, (96, 96)))[:, 0], atol=1e-5, err_msg=str(name)
        )


def test_progress_counts_images_and_hears_of_the_method_s_own(monkeypatch):
    monkeypatch.setattr(maps, "BATCH", 3)
    seen: list[Progress] = []
    chosen = protocol(methods=["saliency(batch_size=1)"])
    chosen.heatmaps(method="saliency(batch_size=1)", progress=seen.append)
    assert [(report.done, report.total) for report in seen] == [(done, 6) for done in (1, 2, 3, 3, 4, 5, 6, 6)]


@pytest.mark.parametrize("answers", range(6))
def test_the_maps_of_explanations_can_be_stopped_anywhere(small, answers, monkeypatch):
    """While images are prepared, predicted, explained, between batches: whenever it is asked for."""
    monkeypatch.setattr(maps, "BATCH", 2)
    asked = iter([False] * answers)
    with pytest.raises(Interrupted, match="Stopped on request"):
        small.heatmaps(method="saliency", stop=lambda: next(asked, True))


@pytest.mark.parametrize("method", INTERPRETATIONS)
def test_the_maps_of_interpretations_can_be_stopped_between_steps(interpretations, method):
    reports: list[Progress] = []
    with pytest.raises(Interrupted, match="Stopped on request"):
        interpretations.heatmaps(method=method, progress=reports.append, stop=lambda: bool(reports))
    assert [(report.done, report.total) for report in reports] == [(1, 2)]


def test_stopping_leaves_nothing_behind(small):
    before = small.heatmaps(method="gradcam")
    with pytest.raises(Interrupted):
        small.heatmaps(method="gradcam", stop=lambda: True)
    np.testing.assert_array_equal(small.heatmaps(method="gradcam")["heatmap"], before["heatmap"])
