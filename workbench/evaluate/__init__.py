"""How good is an explanation or an interpretation."""

from workbench.evaluate.localisation import (
    box_iou,
    energy_pointing_game,
    mask_average_precision,
    mask_iou,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from workbench.evaluate.regions import boxes_to_masks, masks_on_grid
from workbench.evaluate.registry import metrics
from workbench.evaluate.tuning import cross_tuned, tune_threshold

__all__ = [
    "box_iou",
    "boxes_to_masks",
    "cross_tuned",
    "energy_pointing_game",
    "mask_average_precision",
    "mask_iou",
    "masks_on_grid",
    "metrics",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
    "tune_threshold",
]
