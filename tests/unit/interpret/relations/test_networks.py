"""Association and places in real architectures: a shipped network, ResNet, MobileNet, a small vision transformer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v2, resnet18
from torchvision.models.vision_transformer import VisionTransformer

from workbench import models
from workbench.data import scenes
from workbench.errors import InputError
from workbench.interpret import observe
from workbench.interpret.relations import discover
from workbench.models import Preprocessing

BOTH = ("association", "spatial")


@pytest.fixture(scope="module")
def pictures():
    return scenes.generate("relation", 80, seed=3, size=96)


def seeded(make) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


ARCHITECTURES = {
    "resnet18": (lambda: resnet18(num_classes=5), ["layer3", "layer4"], True),
    "mobilenet_v2": (lambda: mobilenet_v2(num_classes=5), ["features.6", "features.13"], True),
    "vision transformer": (
        lambda: VisionTransformer(64, 16, 2, 2, 24, 48, num_classes=5),
        ["encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1"],
        False,
    ),
    "linear": (lambda: resnet18(num_classes=5), ["avgpool", "fc"], False),
}


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_relations_are_found_in_any_architecture(pictures, name):
    make, layers, placed = ARCHITECTURES[name]
    model = models.load(seeded(make), preprocessing=Preprocessing(resize=(64, 64), mean=0.5, std=0.25), name=name)
    store = observe(model, pictures, layers=layers)
    kinds = BOTH if placed else BOTH[:1]
    some = {"units": {layer: [0, 1, 2, 3, 4] for layer in layers}}
    graph = discover(store, model, kinds=kinds, layers=layers, options=dict.fromkeys(kinds, some))
    for kind in kinds:
        edges = graph.filter(kind=kind)
        assert len(edges) == 25
        assert edges.column("tested").any()
    if not placed:
        with pytest.raises(InputError, match="places"):
            discover(store, model, kinds="spatial", layers=layers)


def test_the_shipped_relation_network_has_units_that_keep_their_place(pictures):
    model = models.load("scenes_relation")
    graph = discover(
        observe(model, pictures, layers=["layer2", "layer3"]), model, kinds=BOTH, layers=["layer2", "layer3"]
    )
    placed = graph.filter(kind="spatial").significant()
    assert len(placed) > 20
    # what one layer sees, the next sees at the same place: most of the closest pairs do not lie apart
    closest = placed.strongest(10)
    assert np.median(np.hypot(closest.column("offset_y"), closest.column("offset_x"))) < 8
    assert all(edge.exemplars for edge in placed)
