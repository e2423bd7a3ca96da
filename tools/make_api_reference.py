"""Builds the API reference from the docstrings, as HTML in docs/_build/api (or the folder given)."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import pdoc
import pdoc.render
from freshness import ROOT

import workbench


def load(name: str) -> None:
    """Import a module, so that one that cannot be imported stops the build, with the names that it loads lazily."""
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        setattr(module, public, getattr(module, public))


def main() -> None:
    """Write one page a module."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "_build" / "api"
    load("workbench")
    for module in pkgutil.walk_packages(workbench.__path__, "workbench."):
        if not module.name.endswith("__main__"):
            load(module.name)
    pdoc.render.configure(docformat="google")
    pdoc.pdoc("workbench", output_directory=folder)
    print(f"The API reference is in {folder / 'index.html'}")


if __name__ == "__main__":
    main()
