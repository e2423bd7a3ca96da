"""A JupyterLab workbench for interpreting deep models.

Importing this package imports neither torch nor a widget library: a room is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from workbench import data, evaluate, explain, interpret, models, panels, stats, store, teaching, train, view
    from workbench.store import ActivationStore

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "data",
        "evaluate",
        "explain",
        "interpret",
        "models",
        "panels",
        "stats",
        "store",
        "teaching",
        "train",
        "view",
    ],
    submod_attrs={"store": ["ActivationStore"]},
)
