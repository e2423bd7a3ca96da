"""The switch of the notebook on coresets: the same cells on real pictures, with a mirror and without one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import pytest

from workbench.interpret import coreset

SOURCE = Path(__file__).parents[2] / "notebooks" / "source" / "02_coreset_interpretation.py"
Run = Callable[[], dict[str, Any]]

# The same cells with fewer pictures and draws: what is tested is that they fit, not what they find.
FEWER = {
    "PHOTOGRAPHS = False": "PHOTOGRAPHS = True",
    "np.arange(500)": "np.arange(60)",
    "np.arange(1197, 1797)": "np.arange(1597, 1797)",
    "range(10)": "range(2)",
    "splits=6, random_draws=3": "splits=2, random_draws=1",
    "REPEATS = 10": "REPEATS = 1",
    "0.02, 0.05, 0.1, 0.2, 0.3, 0.5)": "0.05, 0.5)",
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A function that runs all cells and gives the names that they made; the selector of the exercise is forgotten."""
    monkeypatch.setattr(coreset.selectors, "_methods", dict(coreset.selectors._methods))
    names: dict[str, Any] = {"__name__": "notebook"}

    def cells() -> dict[str, Any]:
        source = SOURCE.read_text(encoding="utf-8")
        for old, new in FEWER.items():
            assert old in source, f"the notebook no longer says {old!r}"
            source = source.replace(old, new)
        for cell in jupytext.reads(source, fmt="py:percent").cells:
            if cell.cell_type == "code":
                exec(compile(ast.parse(cell.source), SOURCE.stem, "exec"), names)
        return names

    yield cells
    if "folder" in names:
        names["folder"].cleanup()


def check(names: dict[str, Any]) -> None:
    assert -1 <= names["ceiling"] <= 1
    assert set(names["curve"]["selector"].values) == set(names["rivals"])
    assert names["panel"].result.sizes["image"] == names["total"]
    assert "pictures" in names["panel"].result
    assert len(names["certificates"]) == 1
    assert len(names["small"].identifiers) == len(names["few"]) < names["total"]
    assert names["feedback"].passed
    assert len(names["own"]) > 0


@pytest.mark.mirror
@pytest.mark.slow
def test_photographs_of_the_mirror(mirror: Path, run: Run) -> None:
    names = run()
    assert names["model"].name == "mobilenet_v2"
    assert len(names["present"]) == 10
    check(names)


@pytest.mark.slow
def test_handwriting_without_a_mirror(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    names = run()
    assert names["model"].name == "digits"
    assert len(names["pictures"]) == 200
    check(names)
