"""Protocols small enough to be run in a test, and pictures that no manifest vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench import evaluate
from workbench.data.scenes import SceneSource
from workbench.data.source import AnnotatedImage, Box

METHODS = ("gradcam", "saliency", "random_maps")
METRICS = ("pointing_game", "binarised_iou", "deletion(steps=4)", "intervention_agreement", "sparseness")


def protocol(**changes: Any) -> evaluate.Protocol:
    """Three methods on six scenes by five metrics, or what is wanted in their place."""
    chosen: dict[str, Any] = {
        "methods": METHODS,
        "models": ["scenes_part"],
        "data": [SceneSource("part", 6, seed=5)],
        "metrics": METRICS,
        "binarisers": ["otsu", "fraction(fraction=0.3)"],
        **changes,
    }
    return evaluate.Protocol(**chosen)


def cells_of(folder: Path) -> list[Path]:
    """The files of finished cells."""
    return sorted(folder.rglob("cell-*.json"))


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
