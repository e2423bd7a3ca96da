"""Concept edges against a loop: one image at a time, through the whole network, slopes by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from workbench import models
from workbench.interpret.relations import concept_edges

SIZE, STEP = 10, 1e-6


class Smooth(nn.Module):
    """Two strided layers with a path around the second, smooth so that differences are slopes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.one = nn.Sequential(nn.Conv2d(3, 7, 3, padding=1), nn.Softplus())
        self.two = nn.Sequential(nn.Conv2d(7, 5, 3, stride=2, padding=1), nn.Tanh())
        self.around = nn.Conv2d(3, 5, 1, stride=2)
        self.end = nn.Linear(5, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.end(torch.tanh(self.two(self.one(inputs)) + self.around(inputs)).mean((2, 3)))


def test_slopes_are_those_of_the_loop():
    module = Smooth().double()
    model = models.load(module, preprocessing=models.Preprocessing(resize=(SIZE, SIZE)), name="smooth")
    inputs = torch.randn((12, 3, SIZE, SIZE), dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    generator = np.random.default_rng(6)
    source, target = generator.uniform(size=(2, 7)), generator.normal(size=(2, 2))
    graph = concept_edges(
        model, inputs, source="one", target="end", source_concepts=source, target_concepts=target, examples=9,
        batch_size=5,
    )  # fmt: skip

    def amounts(image: torch.Tensor, maps: torch.Tensor | None = None) -> np.ndarray:
        hooks = [] if maps is None else [module.one.register_forward_hook(lambda _m, _a, _o: maps)]
        with torch.no_grad():
            logits = module(image[None])[0].numpy()
        for hook in hooks:
            hook.remove()
        return logits @ (target / np.linalg.norm(target, axis=1, keepdims=True)).T

    with torch.no_grad():
        first = module.one(inputs)
    spread = np.std([amounts(image) for image in inputs], axis=0)
    for concept, direction in enumerate(source):
        vector = torch.from_numpy(direction / np.linalg.norm(direction))
        strength = torch.einsum("u,iuyx->iyx", vector, first)
        chosen = sorted(range(len(inputs)), key=lambda index: -float(strength[index].max()))[:9]
        slopes = []
        for index in chosen:
            peak = strength[index].max()
            segment = (strength[index] >= 0.5 * peak).double()
            push = STEP * vector[:, None, None] * segment
            up, down = (amounts(inputs[index], first[index : index + 1] + sign * push) for sign in (1, -1))
            slopes.append((up - down) / (2 * STEP) * float(peak))
        for other in range(2):
            along = np.array(slopes)[:, other]
            edge = 2 * concept + other
            assert float(graph.dataset["magnitude"][edge]) == pytest.approx(along.mean() / spread[other], rel=1e-4)
            assert float(graph.dataset["score"][edge]) == pytest.approx((along > 0).mean())
            assert graph.edge(edge).relation == ("excites" if along.mean() > 0 else "inhibits")
