"""Interpretation, what has the model learned."""

from workbench.interpret.ablation import ablation_curve
from workbench.interpret.activations import Activations, MemoryActivations, Selection, observe, select
from workbench.interpret.dissection import dissect
from workbench.interpret.features import unit_features
from workbench.interpret.registry import interpreters
from workbench.interpret.relevant_units import relevant_units, relevant_units_of_features

__all__ = [
    "Activations",
    "MemoryActivations",
    "Selection",
    "ablation_curve",
    "dissect",
    "interpreters",
    "observe",
    "relevant_units",
    "relevant_units_of_features",
    "select",
    "unit_features",
]
