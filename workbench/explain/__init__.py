"""Explanation, why this prediction, on this input."""

from workbench.explain.adaptive import (
    AnytimeMap,
    Certificate,
    multi_resolution_occlusion,
    multi_resolution_steps,
)
from workbench.explain.baselines import baseline_images, baselines
from workbench.explain.deeplift import deeplift
from workbench.explain.extremal_perturbation import extremal_perturbation
from workbench.explain.gradcam import gradcam
from workbench.explain.gradients import input_x_gradient, integrated_gradients, saliency, smoothgrad
from workbench.explain.hierarchical import hierarchical_occlusion
from workbench.explain.hipe import hipe
from workbench.explain.incremental import (
    IncrementalEngine,
    incremental_occlusion,
    plan_incremental,
)
from workbench.explain.incremental.trail import changed_boxes
from workbench.explain.lattice import Lattice, lattice, positions
from workbench.explain.meaningful_perturbation import meaningful_perturbation
from workbench.explain.occlusion import occlusion
from workbench.explain.progress import Meter, Progress
from workbench.explain.random_masks import rise
from workbench.explain.registered import explain, explainers
from workbench.explain.regression import kernel_shap, lime
from workbench.explain.score import Question, ask, at_once
from workbench.explain.score_cam import score_cam

__all__ = [
    "AnytimeMap",
    "Certificate",
    "IncrementalEngine",
    "Lattice",
    "Meter",
    "Progress",
    "Question",
    "ask",
    "at_once",
    "baseline_images",
    "baselines",
    "changed_boxes",
    "deeplift",
    "explain",
    "explainers",
    "extremal_perturbation",
    "gradcam",
    "hierarchical_occlusion",
    "hipe",
    "incremental_occlusion",
    "input_x_gradient",
    "integrated_gradients",
    "kernel_shap",
    "lattice",
    "lime",
    "meaningful_perturbation",
    "multi_resolution_occlusion",
    "multi_resolution_steps",
    "occlusion",
    "plan_incremental",
    "positions",
    "rise",
    "saliency",
    "score_cam",
    "smoothgrad",
]
