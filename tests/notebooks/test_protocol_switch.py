"""The switch of the notebook on the evaluation protocol: the same cells on real pictures, with a mirror and without."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "notebooks" / "source" / "04_evaluation_protocol.py"
Run = Callable[[], dict[str, Any]]

# The same cells with fewer pictures: what is tested is that they fit, not what they find.
FEWER = {
    "PHOTOGRAPHS = False": "PHOTOGRAPHS = True",
    "np.arange(16)": "np.arange(4)",
    "np.arange(1197, 1237)": "np.arange(1197, 1209)",
    '"part", 24,': '"part", 10,',
}


@pytest.fixture
def run() -> Run:
    """A function that runs all cells and gives the names that they made."""

    def cells() -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "notebook"}
        source = SOURCE.read_text(encoding="utf-8")
        for old, new in FEWER.items():
            assert old in source, f"the notebook no longer says {old!r}"
            source = source.replace(old, new)
        for cell in jupytext.reads(source, fmt="py:percent").cells:
            if cell.cell_type == "code":
                exec(compile(ast.parse(cell.source), SOURCE.stem, "exec"), names)
        return names

    return cells


def check(names: dict[str, Any]) -> None:
    table = names["table"]
    assert np.isfinite(table["value"]).all(), "every method is scored by every metric on these pictures too"
    assert (table["control_n"].sel(control="chance").max("method") > 0).any()
    assert -1 <= names["lowest"] <= 1
    assert names["panel"].result.attrs["binariser"] == "fraction(fraction=0.3)"
    assert names["again"] == names["protocol"]
    assert names["feedback"].passed
    assert int((names["own"] < 0.05).sum()) == names["different"]


@pytest.mark.mirror
@pytest.mark.slow
def test_photographs_of_the_mirror(mirror: Path, run: Run) -> None:
    names = run()
    assert names["model"].name == "mobilenet_v2"
    check(names)


@pytest.mark.slow
def test_handwriting_without_a_mirror(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    names = run()
    assert names["model"].name == "digits"
    check(names)
