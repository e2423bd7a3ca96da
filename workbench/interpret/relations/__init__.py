"""Relations that a model encodes: which units go together, where, and which cause which."""

from workbench.interpret.relations.association import association_edges
from workbench.interpret.relations.between_layers import causal_relations, concept_relations
from workbench.interpret.relations.causal import causal_edges
from workbench.interpret.relations.comparison import compare
from workbench.interpret.relations.concept_edges import concept_edges
from workbench.interpret.relations.counterfactual import Wiring, by_place, change_scene, hold_unit, wiring
from workbench.interpret.relations.discover import discover
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.itemsets import association_sets
from workbench.interpret.relations.kinds import layer_pairs, relation_kinds
from workbench.interpret.relations.naming import answers_to, captioned, names_of, with_names
from workbench.interpret.relations.sentences import paragraph, sentence, unsupported
from workbench.interpret.relations.spatial import spatial_edges
from workbench.interpret.relations.table import EFFECT_UNITS, KINDS, Edge

__all__ = [
    "EFFECT_UNITS",
    "KINDS",
    "Edge",
    "RelationGraph",
    "Wiring",
    "answers_to",
    "association_edges",
    "association_sets",
    "by_place",
    "captioned",
    "causal_edges",
    "causal_relations",
    "change_scene",
    "compare",
    "concept_edges",
    "concept_relations",
    "discover",
    "hold_unit",
    "layer_pairs",
    "names_of",
    "paragraph",
    "relation_kinds",
    "sentence",
    "spatial_edges",
    "unsupported",
    "wiring",
    "with_names",
]
