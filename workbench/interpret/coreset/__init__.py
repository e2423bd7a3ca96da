"""Coresets: a few images in place of all, chosen by their features alone."""

from workbench.interpret.coreset.adaptive import AdaptiveCoreset, adaptive_coreset
from workbench.interpret.coreset.calibration import Calibration, calibrate, certificate
from workbench.interpret.coreset.choice import Coreset, choose, pooled_features
from workbench.interpret.coreset.covering import facility_location, k_center_greedy, k_medoids
from workbench.interpret.coreset.curve import coreset_curve, split_halves
from workbench.interpret.coreset.passing import features_of
from workbench.interpret.coreset.pruning import d2
from workbench.interpret.coreset.reading import reading
from workbench.interpret.coreset.registry import selectors
from workbench.interpret.coreset.subjects import Subject, subject
from workbench.interpret.coreset.target import calibrated_weights, target_aware
from workbench.interpret.coreset.typical import herding, kernel_herding, moderate, random

__all__ = [
    "AdaptiveCoreset",
    "Calibration",
    "Coreset",
    "Subject",
    "adaptive_coreset",
    "calibrate",
    "calibrated_weights",
    "certificate",
    "choose",
    "coreset_curve",
    "d2",
    "facility_location",
    "features_of",
    "herding",
    "k_center_greedy",
    "k_medoids",
    "kernel_herding",
    "moderate",
    "pooled_features",
    "random",
    "reading",
    "selectors",
    "split_halves",
    "subject",
    "target_aware",
]
