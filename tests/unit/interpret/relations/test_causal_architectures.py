"""Causal edges in networks of every common kind: convolutional with and without paths around, attention, shipped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from workbench import models
from workbench.data import scenes
from workbench.interpret.relations import causal_edges


def load(module: nn.Module) -> models.ImageModel:
    return models.load(module, preprocessing=models.Preprocessing(resize=(32, 32)), name="random")


def noise(count: int) -> torch.Tensor:
    return torch.randn((count, 3, 32, 32), generator=torch.Generator().manual_seed(3))


def vit() -> nn.Module:
    torch.manual_seed(0)
    module = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=5
    )
    for parameter in module.parameters():  # as it is made, the logits are 0 and attention is nearly even
        nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("resnet18", "layer1", "layer2.0"),
        ("resnet18", "layer4", "fc"),
        ("mobilenet_v2", "features.3", "features.5"),
        ("vit", "encoder.layers.encoder_layer_0.mlp.1", "encoder.layers.encoder_layer_1"),
        ("vit", "encoder.layers.encoder_layer_0", "heads"),
        ("vit", "conv_proj", "encoder.layers.encoder_layer_0"),
    ],
)
def test_effects_are_measured_in_torchvision_networks(name, source, target):
    torch.manual_seed(0)
    model = load(vit() if name == "vit" else torchvision.models.get_model(name, weights=None, num_classes=6))
    graph = causal_edges(
        model, noise(24), source=source, target=target, sources=[0, 3, 5], targets=[0, 2, 4], active=0.2, q=0.5,
        batch_size=8, interactions=5,
    )  # fmt: skip
    assert graph.dataset.attrs["rerun"] == "the part between the layers"
    singles = [edge for edge in graph if edge.partner is None]
    assert len(singles) == 9
    assert sum(edge.tested for edge in singles) >= 5
    assert any(abs(edge.effect) > 1e-3 for edge in singles if edge.tested)
    convolutional = name != "vit" and target != "fc"
    for edge in singles:
        assert np.isfinite([edge.offset_y, edge.offset_x]).all() == (convolutional and edge.tested)


def test_screening_works_in_a_transformer():
    model, images = load(vit()), noise(60)
    options = {"source": "encoder.layers.encoder_layer_0.mlp.1", "target": "heads", "batch_size": 60, "active": 0.3}
    everything = causal_edges(model, images, interactions=0, **options)
    effects = {(edge.source_unit, edge.target_unit): abs(edge.effect) for edge in everything if edge.tested}
    few = causal_edges(model, images, interactions=0, confirm=len(effects) // 3, screen_images=120, **options)
    kept = {(edge.source_unit, edge.target_unit) for edge in few if edge.tested}
    assert len(kept) == len(effects) // 3
    best = sorted(effects, key=effects.__getitem__, reverse=True)[:12]
    assert len(kept & set(best)) >= 10


def test_a_shipped_network():
    model = models.load("scenes_relation")
    images = scenes.generate("relation", 60, seed=5)
    graph = causal_edges(
        model, images, source="layer3", target="layer4", sources=range(8), targets=range(8), interactions=3
    )
    tested = [edge for edge in graph if edge.tested and edge.partner is None]
    assert len(tested) > 30
    assert {edge.relation for edge in graph.significant()} >= {"excites", "inhibits"}
    for edge in tested:
        assert abs(edge.offset_y) < 96
        assert edge.low <= edge.effect <= edge.high
    for edge in graph.significant():
        if edge.partner is None:
            assert edge.category == "" or edge.category in model.categories
