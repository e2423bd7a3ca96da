"""Comparisons that anybody can run again: what is compared on what, by which measures, as one hash and one table."""

from workbench.evaluate.protocol.choices import Choice, DataChoice, ModelChoice
from workbench.evaluate.protocol.comparison import method_comparison, ranking_agreement
from workbench.evaluate.protocol.description import Column, Protocol

__all__ = ["Choice", "Column", "DataChoice", "ModelChoice", "Protocol", "method_comparison", "ranking_agreement"]
