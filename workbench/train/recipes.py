"""How each shipped network is made: what it is shown, for how long, and what it must reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

# mean and deviation of rendered scenes, rounded; for the grey digits the usual middle of the scale
SCENE_PREPROCESSING = MappingProxyType(
    {"resize": 96, "crop": 96, "mean": (0.71, 0.71, 0.69), "std": (0.2, 0.2, 0.2), "channels": 3}
)
DIGIT_PREPROCESSING = MappingProxyType({"resize": 8, "crop": 8, "mean": (0.5,), "std": (0.5,), "channels": 1})


@dataclass(frozen=True)
class Recipe:
    """Everything that determines one shipped network.

    Attributes:
        name: of the network, and of its files.
        task: what it is trained on, as ``data.scenes`` names it, or ``"digits"``.
        summary: one sentence for the model card.
        architecture: a key of ``models.networks.ARCHITECTURES``.
        architecture_arguments: those that differ from the defaults.
        preprocessing: how a picture becomes its input.
        train_images: how many scenes it is shown (a different picture each).
        epochs: how often it is shown each.
        learning_rate: the highest of the schedule.
        batch_size: images a step.
        weight_decay: of AdamW.
        seed: of the weights, of the order of the images and of the scenes.
        held_out_seed: of the scenes that the accuracy is measured on.
        held_out_images: how many of those.
        agreement: share of the training images whose cue agrees; None where there is no cue.
        bounds: accuracies that it must keep: name of the measurement to (least, most).
    """

    name: str
    task: str
    summary: str
    architecture: Literal["SceneNetwork", "DigitNetwork"] = "SceneNetwork"
    architecture_arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=lambda: SCENE_PREPROCESSING)
    train_images: int = 10_000
    epochs: int = 3
    learning_rate: float = 4e-3
    batch_size: int = 64
    weight_decay: float = 1e-3
    seed: int = 11
    held_out_seed: int = 1_000_003
    held_out_images: int = 4_000
    agreement: float | None = None
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=lambda: {"held_out": (0.95, 1.0)})


RECIPES: MappingProxyType[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(
                "scenes_object",
                "object",
                "Which shape a rendered scene shows: circle, square, triangle, star, heart, flower, bird or house.",
            ),
            Recipe(
                "scenes_part",
                "part",
                "Which one part a flower, bird or house has besides its core; that part is all the evidence there is.",
            ),
            Recipe(
                "scenes_relation",
                "relation",
                "On which side of a blue circle a red square stands, among other squares, circles and colours.",
                architecture_arguments={"head": "flatten"},
                bounds={"held_out": (0.90, 1.0)},
            ),
            Recipe(
                "scenes_object_confounded",
                "object_confounded",
                "The object task with a shortcut: a mark in the corner that agrees with the label in almost all of "
                "the training images. The network has learned the mark.",
                agreement=0.998,
                epochs=2,
                bounds={"cue_agrees": (0.95, 1.0), "cue_conflicts": (0.0, 0.60)},
            ),
            Recipe(
                "digits",
                "digits",
                "Which digit a person has written, on scikit-learn's digits (8 x 8 pixels, one grey channel).",
                architecture="DigitNetwork",
                preprocessing=DIGIT_PREPROCESSING,
                epochs=40,
                bounds={"held_out": (0.97, 1.0)},
            ),
        )
    }
)
