"""Panels: controls around :mod:`workbench.view`, in JupyterLab and under Voila. The only room that knows widgets."""

from workbench.panels.coreset import CoresetPanel
from workbench.panels.coreset_comparison import coreset_units
from workbench.panels.coreset_profile import as_activations, coreset_map, project
from workbench.panels.explanation import ExplanationPanel
from workbench.panels.occlusion import OcclusionPanel
from workbench.panels.protocol import ProtocolPanel
from workbench.panels.protocol_cell import protocol_cell
from workbench.panels.relation import RelationPanel
from workbench.panels.relation_profile import counterfactual_test, edge_profile, edge_wiring
from workbench.panels.unit import UnitPanel
from workbench.panels.unit_profile import rank_units, unit_profile

__all__ = [
    "CoresetPanel",
    "ExplanationPanel",
    "OcclusionPanel",
    "ProtocolPanel",
    "RelationPanel",
    "UnitPanel",
    "as_activations",
    "coreset_map",
    "coreset_units",
    "counterfactual_test",
    "edge_profile",
    "edge_wiring",
    "project",
    "protocol_cell",
    "rank_units",
    "unit_profile",
]
