"""The shortcut that a network has learned is found by comparing its relations with those of one that has not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from workbench import interpret, models
from workbench.data import scenes
from workbench.interpret.relations import RelationGraph, compare, discover

LAYERS = ["layer4", "classifier"]


@pytest.fixture(scope="module")
def pictures() -> xr.Dataset:
    """Shapes with a mark in the corner that belongs to the shape's category in half of the pictures."""
    return scenes.generate("object_confounded", 240, seed=5, size=96, agreement=0.5)


def concepts(pictures: xr.Dataset) -> tuple[list[str], xr.DataArray]:
    """Where each category's mark is, and where each shape is."""
    categories = json.loads(pictures.attrs["categories"])
    marks = [pictures["watermark_mask"].values & (pictures["cue"].values == k)[:, None, None] for k in range(8)]
    shapes = [pictures["object_mask"].values[:, 0] & (pictures["label"].values == k)[:, None, None] for k in range(8)]
    names = [*(f"mark of {name}" for name in categories), *categories]
    coords = {"image": pictures["image"].values, "part": names}
    return categories, xr.DataArray(np.stack([*marks, *shapes], 1), dims=("image", "part", "y", "x"), coords=coords)


def graph_of(network: str, pictures: xr.Dataset) -> RelationGraph:
    """Causal edges from the last maps to the categories, their units named by dissection."""
    model = models.load(network)
    store = interpret.observe(model, pictures, layers=LAYERS)
    categories, masks = concepts(pictures)
    found = interpret.dissect(store, masks, layer=LAYERS[0], quantile=0.99)
    names = {
        (LAYERS[0], int(index)): str(name) for index, name in zip(found["index"], found["label"].values, strict=True)
    }
    names |= {(LAYERS[1], index): name for index, name in enumerate(categories)}
    return discover(store, model, pictures, kinds="causal", layers=LAYERS).named(names)


def test_the_shortcut_is_among_the_first_three_changes(pictures):
    clean, confounded = (graph_of(name, pictures) for name in ("scenes_object", "scenes_object_confounded"))
    changes = compare(clean, confounded, by="name")
    first = [
        (str(each["status"].values), str(each["source_name"].values), str(each["target_name"].values))
        for each in (changes.isel(edge=position) for position in range(3))
    ]
    shortcuts = [(status, source, target) for status, source, target in first if source == f"mark of {target}"]
    assert shortcuts, first
    assert all(status == "appeared" for status, _, _ in shortcuts)
    same = compare(clean, clean, by="name")
    assert set(same["status"].values) <= {"kept"}
