"""Networks, loaded, described and observed."""

from workbench.models.hooks import Layer, capture, preserved, replace_output, structural_copy
from workbench.models.image_model import ImageModel
from workbench.models.loading import available, load
from workbench.models.preprocessing import Preprocessing
from workbench.models.shipped import card, shipped

__all__ = [
    "ImageModel",
    "Layer",
    "Preprocessing",
    "available",
    "capture",
    "card",
    "load",
    "preserved",
    "replace_output",
    "shipped",
    "structural_copy",
]
