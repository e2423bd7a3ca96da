"""Interpretation, what has the model learned."""

from workbench.interpret import coreset, relations
from workbench.interpret.ablation import ablation_curve
from workbench.interpret.activations import Activations, MemoryActivations, Selection, observe, select
from workbench.interpret.concept_vectors import concept_vectors
from workbench.interpret.concepts import concept_strengths, concepts
from workbench.interpret.dissection import dissect
from workbench.interpret.features import unit_features
from workbench.interpret.head import Head
from workbench.interpret.heatmaps import heatmaps, unit_heatmaps
from workbench.interpret.patches import explained_patches, patch_activity
from workbench.interpret.registry import interpreters
from workbench.interpret.relevant_units import relevant_units, relevant_units_of_features
from workbench.interpret.rules import rules

__all__ = [
    "Activations",
    "Head",
    "MemoryActivations",
    "Selection",
    "ablation_curve",
    "concept_strengths",
    "concept_vectors",
    "concepts",
    "coreset",
    "dissect",
    "explained_patches",
    "heatmaps",
    "interpreters",
    "observe",
    "patch_activity",
    "relations",
    "relevant_units",
    "relevant_units_of_features",
    "rules",
    "select",
    "unit_features",
    "unit_heatmaps",
]
