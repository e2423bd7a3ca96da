"""The small notebooks that the browser opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

if TYPE_CHECKING:
    from pathlib import Path

# A network of its own, so that these tests know nothing of those that ship.
MODEL = """
import torch
from workbench import models
from workbench.data.scenes import SceneSource

torch.manual_seed(0)
images = SceneSource("object", 24)
network = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 5, 4, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(6), torch.nn.Flatten(),
    torch.nn.Linear(288, len(images.categories)),
)
model = models.load(
    network, name="small", categories=images.categories,
    preprocessing=models.Preprocessing(resize=64, crop=64, mean=0.5, std=0.25),
)
"""
EXPLANATION = """
from workbench.panels import ExplanationPanel

explanation = ExplanationPanel(model, images)
explanation
"""
OCCLUSION = """
from workbench.panels import OcclusionPanel

occlusion = OcclusionPanel(model, images)
occlusion.state.parameters = {"patch": 8, "budget": 64}
occlusion
"""
UNITS = """
import tempfile
from workbench import ActivationStore
from workbench.panels import UnitPanel

store = ActivationStore.extract(
    model, images, layers=["1", "4"], path=tempfile.mkdtemp() + "/small.zarr", progress=False
)
units = UnitPanel(store, images)
units
"""
CORESET = """
import tempfile
from workbench import ActivationStore
from workbench.panels import CoresetPanel

many = SceneSource("object", 96, seed=3)
store = ActivationStore.extract(
    model, many, layers=["1"], path=tempfile.mkdtemp() + "/many.zarr", labels=many.labels, progress=False
)
coresets = CoresetPanel(store, many, labels="true")
coresets.state.fraction = 0.2
coresets
"""
CORESET_CONCEPTS = """
from workbench.interpret import coreset

prepared = coreset.subject("concepts", store, labels="true", layer="1", count=3)
concepts = CoresetPanel(store, many, labels="true", method=prepared)
concepts.state.fraction = 0.4
concepts.state.category = "house"
concepts
"""
PROTOCOL = """
from workbench.evaluate import Protocol
from workbench.panels import ProtocolPanel

compared = Protocol(
    methods=["saliency", "input_x_gradient", "occlusion(patch=16)", "random_maps"],
    models=[model],
    data=[images],
    metrics=["relevance_mass", "binarised_iou", "entropy", "waiou"],
    target="label",
)
protocols = ProtocolPanel(compared.run(errors="keep"), protocol=compared)
protocols
"""
RELATIONS = """
from workbench import models
from workbench.data.scenes import SceneSource
from workbench.interpret import observe, relations
from workbench.panels import RelationPanel

model = models.load("scenes_relation")
images = SceneSource("relation", 120, seed=3)
store = observe(model, images, layers=["layer4", "classifier"])
causes = relations.causal_edges(
    model, images, source="layer4", target="classifier", sources=range(24), interactions=0, least_share=0.1
)
places = relations.spatial_edges(store, model, pairs=[("layer4", "layer4")], units={"layer4": range(12)})
graph = relations.RelationGraph.concatenate([causes, places])
related = RelationPanel(graph, model, images, store=store)
related
"""


@dataclass(frozen=True)
class Notebook:
    """A notebook with one panel in it, for one file of tests.

    Attributes:
        name: of the file.
        cells: its code.
        height: of the browser's window, in pixels.
        reset: code that brings the panel back to the state in which it began.
    """

    name: str
    cells: tuple[str, ...]
    height: int
    reset: str


# Many more edges than can be read at once: 64 units a layer, three layers, three kinds.
MANY_RELATIONS = """
from workbench import models
from workbench.data.scenes import SceneSource
from workbench.interpret import observe, relations
from workbench.panels import RelationPanel

model = models.load("scenes_relation")
images = SceneSource("relation", 100, seed=3)
layers = ["layer3", "layer4", "classifier"]
store = observe(model, images, layers=layers)
units = {"layer3": range(40), "layer4": range(48)}
causes = relations.causal_edges(
    model, images, source="layer4", target="classifier", interactions=0, least_share=0
)
pairs = [("layer3", "layer4")]
graph = relations.RelationGraph.concatenate([
    causes,
    relations.association_edges(store, model, pairs=pairs, units=units),
    relations.spatial_edges(store, model, pairs=pairs, units=units),
])
many = RelationPanel(graph, model, images, store=store)
many
"""


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook of code cells."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook = new_notebook(cells=[new_code_cell(cell.strip()) for cell in cells], metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
