"""Relations that a model encodes: which units go together, where, and which cause which."""

from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.table import EFFECT_UNITS, KINDS, Edge

__all__ = ["EFFECT_UNITS", "KINDS", "Edge", "RelationGraph"]
