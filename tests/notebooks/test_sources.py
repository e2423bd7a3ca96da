"""Notebooks and exercises: fresh from their sources, complete by the notebook contract, and without outputs."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks" / "source").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = sorted((ROOT / "notebooks" / "exercises").glob("*.ipynb"))
EVERY = [pytest.param(path, id=path.relative_to(ROOT / "notebooks").as_posix()) for path in NOTEBOOKS + EXERCISES]
COMMITTED = [pytest.param(path, id=path.stem) for path in NOTEBOOKS]

Tool = Callable[[str], ModuleType]


def prose(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_every_notebook_has_a_source_and_is_fresh(tool: Tool) -> None:
    files = tool("make_notebooks").generate()
    assert set(files) == set(NOTEBOOKS + EXERCISES), "a notebook without a source would never be generated again"
    assert tool("freshness").stale(files) == [], "run `make exercises`"


@pytest.mark.parametrize("path", EVERY)
def test_nothing_that_was_computed_is_committed(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", EVERY)
def test_every_cell_is_python(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)


@pytest.mark.parametrize("path", COMMITTED)
def test_the_notebook_contract_is_kept(path: Path) -> None:
    text = prose(path)
    assert text.startswith("# ")
    assert "badge_logo.svg" in text
    for heading in ("Exercise", "Summary", "Limits", "References"):
        assert re.search(rf"^## {heading}", text, flags=re.M), heading
    objectives = re.search(r"^\*\*Objectives\.\*\*.*\n\n((?:(?:- |  ).+\n)+)", text, flags=re.M)
    assert objectives
    assert 3 <= len(re.findall(r"^- ", objectives[1], flags=re.M)) <= 5
    assert re.search(r"^\*\*Measured budget\.\*\* .*\d+ s.*\d+ MB", text, flags=re.M)
    assert re.search(r"^\*\*Prerequisites\.\*\* ", text, flags=re.M)
    assert re.search(r"^## Exercise: .+\n\n\*Difficulty: \w+\. \d+ minutes\.\*", text, flags=re.M)


@pytest.mark.parametrize("path", COMMITTED)
def test_it_is_offline_unless_the_one_switch_is_turned(path: Path) -> None:
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert len(re.findall(r"^PHOTOGRAPHS = False", code, flags=re.M)) == 1


@pytest.mark.parametrize("path", COMMITTED)
def test_each_idea_is_predicted_run_explained_and_checked(path: Path) -> None:
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert code.count("teaching.predict(") == code.count(".reveal(") >= 2
    assert "teaching.check(" in code
    assert "teaching.hint(" in code


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in EXERCISES])
def test_exercises_do_not_hold_their_solutions(path: Path) -> None:
    solved = nbformat.read(ROOT / "notebooks" / path.name, as_version=4).cells
    asked = nbformat.read(path, as_version=4).cells
    solutions = [cell.source for cell in solved if "solution" in cell.metadata.get("tags", [])]
    assert solutions
    assert sum("exercise" in cell.metadata.get("tags", []) for cell in asked) == len(solutions)
    text = "\n".join(cell.source for cell in asked)
    for solution in solutions:
        code = [line for line in solution.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        assert code[-1] not in text


def test_cutting_leaves_the_question_and_a_place_for_the_answer(tool: Tool) -> None:
    cut = tool("make_notebooks").cut
    assert (
        cut("# How much?\n# From 0 to 1.\ntotal = 3\nshare = total / 4") == "# How much?\n# From 0 to 1.\nshare = ..."
    )
    assert cut("print(1)") == "..."
    assert cut("# Write it.\ndef share(a, *, b=1):\n    return a") == "# Write it.\ndef share(a, *, b=1): ..."


def test_a_source_becomes_a_notebook_and_an_exercise(tool: Tool) -> None:
    source = (
        "# %% [markdown]\n# # Title\n# {{badge}}\n\n"
        '# %% tags=["solution"]\n# Add.\nanswer = 1 + 1\n\n'
        '# %% tags=["solution-only"]\nassert answer == 2\n'
    )
    build = tool("make_notebooks").build
    path = ROOT / "notebooks" / "exercises" / "title.ipynb"
    solved = nbformat.reads(build(source, path=path, exercise=False), as_version=4).cells
    asked = nbformat.reads(build(source, path=path, exercise=True), as_version=4).cells
    assert [cell.source for cell in solved[1:]] == ["# Add.\nanswer = 1 + 1", "assert answer == 2"]
    assert [cell.source for cell in asked[1:]] == ["# Add.\nanswer = ..."]
    assert "urlpath=lab/tree/notebooks/exercises/title.ipynb" in asked[0].source
    assert build(source, path=path, exercise=True) == build(source, path=path, exercise=True)
