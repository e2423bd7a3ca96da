"""Units that are called after captions and after parts, and graphs that say so."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from workbench.data.scenes import SceneSource
from workbench.errors import InputError, ShapeError
from workbench.interpret import MemoryActivations, dissect
from workbench.interpret.relations import Edge, RelationGraph, captioned, names_of, sentence, unsupported
from workbench.interpret.relations.naming import _phrases


@pytest.fixture(scope="module")
def captions() -> list[str]:
    source = SceneSource("relation", 160, seed=8)
    return [source.sample(index).scene.render(24).caption for index in range(len(source))]


@pytest.fixture(scope="module")
def store(captions: list[str]) -> MemoryActivations:
    """Unit 0 fires where something striped is red, unit 1 anywhere, unit 2 always alike, unit 3 on sand."""
    generator = np.random.default_rng(0)
    maps = generator.uniform(0, 0.2, size=(len(captions), 4, 2, 2))
    maps[:, 0, 0, 1] += ["striped red" in each for each in captions]
    maps[:, 1, 1, 1] += generator.uniform(size=len(captions)) < 0.3
    maps[:, 2] = 0.5
    maps[:, 3, 1, 0] += ["sand background" in each for each in captions]
    return MemoryActivations({"a": xr.DataArray(maps.astype(np.float32), dims=("image", "unit", "y", "x"))})


def test_units_are_called_after_what_is_said_where_they_fire(store, captions):
    share = 1 - np.mean(["striped red" in each for each in captions])
    found = captioned(store, captions, layer="a", quantile=float(share))
    names = found["name"].values.tolist()
    assert names[0] == "striped red"
    assert names[1] == names[2] == ""
    assert names[3] == "sand background"
    assert found["correlation"].values[0] == pytest.approx(1)
    assert np.isnan(found["correlation"].values[[1, 2]]).all()
    assert (found["q_value"].values[[0, 3]] < 1e-4).all()


def test_names_do_not_come_from_chance(store, captions):
    shuffled = np.random.default_rng(1).permutation(captions)
    assert captioned(store, shuffled.tolist(), layer="a")["name"].values.tolist() == [""] * 4


def test_a_graph_says_the_names_of_captions_and_of_parts(store, captions):
    words = names_of(captioned(store, captions, layer="a"))
    assert set(words) == {("a", 0), ("a", 3)}
    edge = Edge(
        "a", 0, "b", 1, "causal", "excites", 0.5, q_value=0.01, partner_layer="a", partner_unit=3, condition="above"
    )
    graph = RelationGraph.from_edges([edge]).named(words)
    said = sentence(graph.edge(0), evidence=False)
    assert said.endswith("unit 1 of b, when it lies above unit 3 of a, sand background.")
    assert unsupported(said, graph) == []
    masks = np.zeros((len(captions), 1, 2, 2), dtype=bool)
    masks[:, 0, 0, 1] = ["striped red" in each for each in captions]
    parts = xr.DataArray(masks, dims=("image", "part", "y", "x"), coords={"part": ["stripe"]})
    share = 1 - masks.mean()
    assert names_of(dissect(store, parts, layer="a", quantile=float(share)))["a", 0] == "stripe"


def test_phrases_end_at_commas_and_at_empty_words():
    texts = ["A red square, on a sand background."] * 8 + ["A bird of prey."] * 8
    phrases, table = _phrases(texts)
    assert set(phrases) == {"red square", "sand background", "red", "square", "sand", "background", "bird", "prey"}
    assert phrases[:2] == ["red square", "sand background"]
    assert table[:, phrases.index("prey")].tolist() == [0] * 8 + [1] * 8


def test_bad_questions_are_refused(store, captions):
    with pytest.raises(ShapeError, match="159 captions and 160 images"):
        captioned(store, captions[1:], layer="a")
    with pytest.raises(InputError, match="No phrase of the 160"):
        captioned(store, ["a red square"] * 160, layer="a")
    with pytest.raises(InputError, match="q is 0"):
        captioned(store, captions, layer="a", q=0)
    with pytest.raises(InputError, match="neither 'label' nor 'name'"):
        names_of(xr.Dataset({"iou": ("unit", [0.5])}))
