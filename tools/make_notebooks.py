"""Writes the notebooks and their exercises from notebooks/source/*.py, one source a tutorial.

A cell tagged ``solution`` is cut in the exercise: its leading comment stays, and the name that its last line assigns
is set to ``...``. A cell tagged ``solution-only`` is left out. ``{{badge}}`` in a text cell becomes the Binder badge.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from freshness import ROOT, run
from links import project_links

SOURCES = ROOT / "notebooks" / "source"


def generate() -> Mapping[Path, str]:
    """Every notebook and every exercise, without outputs."""
    files = {}
    for source in sorted(SOURCES.glob("*.py")):
        for path, exercise in notebook_paths(source):
            files[path] = build(source.read_text(encoding="utf-8"), path=path, exercise=exercise)
    return files


def notebook_paths(source: Path) -> list[tuple[Path, bool]]:
    """What is written from a source: the notebook, and its exercise where a solution can be cut."""
    name = source.with_suffix(".ipynb").name
    paths = [(ROOT / "notebooks" / name, False)]
    if 'tags=["solution"]' in source.read_text(encoding="utf-8"):
        paths.append((ROOT / "notebooks" / "exercises" / name, True))
    return paths


def build(source: str, *, path: Path, exercise: bool) -> str:
    """One notebook as JSON text."""
    notebook = jupytext.reads(source, fmt="py:percent")
    badge = project_links().badge(path.relative_to(ROOT).as_posix())
    cells = [cell for cell in notebook.cells if not (exercise and "solution-only" in tags(cell))]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:02d}"
        cell["source"] = cell["source"].replace("{{badge}}", badge)
        if exercise and "solution" in tags(cell):
            cell["source"] = cut(cell["source"])
            cell["metadata"]["tags"] = ["exercise"]
    notebook["cells"] = cells
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook["nbformat_minor"] = 5
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook)) + "\n"


def tags(cell: Mapping[str, Any]) -> list[str]:
    """The tags of a cell."""
    return list(cell["metadata"].get("tags", []))


def cut(source: str) -> str:
    """A solution without its answer."""
    comment = list(takewhile(lambda line: line.startswith("#"), source.splitlines()))
    return "\n".join([*comment, stub(source)])


def stub(source: str) -> str:
    """What stands where the answer was: the name that the last statement assigns or defines, set to three dots."""
    last = ast.parse(source).body[-1]
    if isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
        return f"{last.targets[0].id} = ..."
    if isinstance(last, ast.FunctionDef):
        signature = ast.get_source_segment(source, last) or ""
        return signature.split(":\n", maxsplit=1)[0] + ": ..."
    return "..."


if __name__ == "__main__":
    run(generate, __doc__)
