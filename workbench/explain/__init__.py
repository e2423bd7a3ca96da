"""Explanation, why this prediction, on this input."""

from workbench.explain.baselines import baseline_images, baselines
from workbench.explain.lattice import Lattice, lattice, positions
from workbench.explain.occlusion import occlusion
from workbench.explain.progress import Meter, Progress
from workbench.explain.registered import explain, explainers
from workbench.explain.score import Question, ask

__all__ = [
    "Lattice",
    "Meter",
    "Progress",
    "Question",
    "ask",
    "baseline_images",
    "baselines",
    "explain",
    "explainers",
    "lattice",
    "occlusion",
    "positions",
]
