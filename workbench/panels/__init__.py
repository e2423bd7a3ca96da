"""Panels: controls around :mod:`workbench.view`, in JupyterLab and under Voila. The only room that knows widgets."""

from workbench.panels.explanation import ExplanationPanel

__all__ = ["ExplanationPanel"]
