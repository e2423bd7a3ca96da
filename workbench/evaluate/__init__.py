"""How good is an explanation or an interpretation."""

from workbench.evaluate.agreement import intervention_agreement
from workbench.evaluate.binarise import BINARISER_FAMILY, Binariser, as_binariser, binarise
from workbench.evaluate.binarised_iou import binarised_iou
from workbench.evaluate.binarisers import binarisers
from workbench.evaluate.complexity import effective_complexity, entropy, sparseness
from workbench.evaluate.faithfulness import deletion, insertion
from workbench.evaluate.flipping import pixel_flipping
from workbench.evaluate.imputation import impute
from workbench.evaluate.infidelity import infidelity
from workbench.evaluate.intervention import intervention_truth
from workbench.evaluate.linking import link_units
from workbench.evaluate.localisation import (
    box_iou,
    energy_pointing_game,
    mask_average_precision,
    mask_iou,
    pointing_game,
    relevance_mass,
    relevance_rank,
)
from workbench.evaluate.memorising import train_on_random_labels
from workbench.evaluate.part_masks import part_masks
from workbench.evaluate.protocol import DataChoice, ModelChoice, Protocol, method_comparison, ranking_agreement
from workbench.evaluate.regions import boxes_to_masks, masks_on_grid
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import random_maps
from workbench.evaluate.road import road
from workbench.evaluate.robustness import local_lipschitz, max_sensitivity
from workbench.evaluate.sanity import label_randomisation, model_randomisation
from workbench.evaluate.sensitivity import sensitivity_n
from workbench.evaluate.similarity import map_similarity
from workbench.evaluate.sufficiency import comprehensiveness, sufficiency
from workbench.evaluate.tuning import cross_tuned, tune_threshold
from workbench.evaluate.unit_localisation import unit_localisation
from workbench.evaluate.waiou import waiou

__all__ = [
    "BINARISER_FAMILY",
    "Binariser",
    "DataChoice",
    "ModelChoice",
    "Protocol",
    "as_binariser",
    "binarise",
    "binarised_iou",
    "binarisers",
    "box_iou",
    "boxes_to_masks",
    "comprehensiveness",
    "cross_tuned",
    "deletion",
    "effective_complexity",
    "energy_pointing_game",
    "entropy",
    "impute",
    "infidelity",
    "insertion",
    "intervention_agreement",
    "intervention_truth",
    "label_randomisation",
    "link_units",
    "local_lipschitz",
    "map_similarity",
    "mask_average_precision",
    "mask_iou",
    "masks_on_grid",
    "max_sensitivity",
    "method_comparison",
    "metrics",
    "model_randomisation",
    "part_masks",
    "pixel_flipping",
    "pointing_game",
    "random_maps",
    "ranking_agreement",
    "relevance_mass",
    "relevance_rank",
    "road",
    "sensitivity_n",
    "sparseness",
    "sufficiency",
    "train_on_random_labels",
    "tune_threshold",
    "unit_localisation",
    "waiou",
]
