"""Occlusion at several resolutions within a budget, with a certificate of how near the map is to the dense one."""

from workbench.explain.adaptive.certificate import Certificate
from workbench.explain.adaptive.multi_resolution import (
    AnytimeMap,
    multi_resolution_occlusion,
    multi_resolution_steps,
)

__all__ = ["AnytimeMap", "Certificate", "multi_resolution_occlusion", "multi_resolution_steps"]
