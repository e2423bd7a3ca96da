"""Rendered scenes: pictures whose every cause is known.

A :class:`Scene` holds objects on a background under a light; ``scene.render(size)`` gives the picture with masks of
its objects and parts, its factors, a caption and the relations that hold in it; interventions change one thing.
:func:`generate` renders whole sets for a task, :class:`SceneSource` makes their images one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.data.scenes.elements import (
    CORNERS,
    PATTERNS,
    TEXTURES,
    Background,
    Illumination,
    Part,
    SceneObject,
    Watermark,
    usual_parts,
)
from workbench.data.scenes.labels import has_part, holds, object_label, part_label, relation_label
from workbench.data.scenes.palette import BACKGROUND_COLOURS, OBJECT_COLOURS
from workbench.data.scenes.relations import RELATIONS, Relation
from workbench.data.scenes.render import Rendering
from workbench.data.scenes.scene import Scene
from workbench.data.scenes.shapes import COMPOSITES, PART_NAMES, SHAPES
from workbench.data.scenes.source import SceneSource, annotated, generate, manifest_hash, parameters
from workbench.data.scenes.tasks import (
    TASKS,
    Sample,
    Task,
    labels,
    presence_task,
    relation_task,
    sample_scene,
    watermark,
)

if TYPE_CHECKING:
    from workbench.data.scenes.torch_dataset import SceneDataset

__all__ = [
    "BACKGROUND_COLOURS",
    "COMPOSITES",
    "CORNERS",
    "OBJECT_COLOURS",
    "PART_NAMES",
    "PATTERNS",
    "RELATIONS",
    "SHAPES",
    "TASKS",
    "TEXTURES",
    "Background",
    "Illumination",
    "Part",
    "Relation",
    "Rendering",
    "Sample",
    "Scene",
    "SceneDataset",
    "SceneObject",
    "SceneSource",
    "Task",
    "Watermark",
    "annotated",
    "generate",
    "has_part",
    "holds",
    "labels",
    "manifest_hash",
    "object_label",
    "parameters",
    "part_label",
    "presence_task",
    "relation_label",
    "relation_task",
    "sample_scene",
    "usual_parts",
    "watermark",
]


def __getattr__(name: str) -> Any:
    if name == "SceneDataset":  # needs torch, which everything else here does without
        from workbench.data.scenes.torch_dataset import SceneDataset

        return SceneDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
