"""Panels: controls around :mod:`workbench.view`, in JupyterLab and under Voila. The only room that knows widgets."""

from workbench.panels.explanation import ExplanationPanel
from workbench.panels.occlusion import OcclusionPanel
from workbench.panels.unit import UnitPanel
from workbench.panels.unit_profile import rank_units, unit_profile

__all__ = ["ExplanationPanel", "OcclusionPanel", "UnitPanel", "rank_units", "unit_profile"]
