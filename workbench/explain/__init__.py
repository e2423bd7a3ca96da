"""Explanation, why this prediction, on this input."""

from workbench.explain.adaptive import (
    AnytimeMap,
    Certificate,
    multi_resolution_occlusion,
    multi_resolution_steps,
)
from workbench.explain.baselines import baseline_images, baselines
from workbench.explain.deeplift import deeplift
from workbench.explain.gradcam import gradcam
from workbench.explain.gradients import input_x_gradient, integrated_gradients, saliency, smoothgrad
from workbench.explain.lattice import Lattice, lattice, positions
from workbench.explain.occlusion import occlusion
from workbench.explain.progress import Meter, Progress
from workbench.explain.registered import explain, explainers
from workbench.explain.score import Question, ask

__all__ = [
    "AnytimeMap",
    "Certificate",
    "Lattice",
    "Meter",
    "Progress",
    "Question",
    "ask",
    "baseline_images",
    "baselines",
    "deeplift",
    "explain",
    "explainers",
    "gradcam",
    "input_x_gradient",
    "integrated_gradients",
    "lattice",
    "multi_resolution_occlusion",
    "multi_resolution_steps",
    "occlusion",
    "positions",
    "saliency",
    "smoothgrad",
]
