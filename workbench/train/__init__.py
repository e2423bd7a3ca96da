"""Training: of the networks that ship (``python -m workbench.train``), and of any small classifier."""

from workbench.train.classifier import Pictures, Step, accuracy, fit, predictions
from workbench.train.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Pictures", "Recipe", "Step", "accuracy", "fit", "predictions"]
