"""Incremental occlusion: of each occluded image only what the window changes is computed.

:func:`incremental_occlusion` gives the map, :func:`plan_incremental` what that will take, and
:class:`IncrementalEngine` the answers for any windows of one image, for methods that choose their windows themselves.
"""

from workbench.explain.incremental.engine import Change, IncrementalEngine, program_of
from workbench.explain.incremental.occlusion import incremental_occlusion, network_of, plan_incremental
from workbench.explain.incremental.plan import IncrementalPlan
from workbench.explain.incremental.translate import UntraceableError

__all__ = [
    "Change",
    "IncrementalEngine",
    "IncrementalPlan",
    "UntraceableError",
    "incremental_occlusion",
    "network_of",
    "plan_incremental",
    "program_of",
]
