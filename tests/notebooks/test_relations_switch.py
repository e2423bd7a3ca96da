"""The switch of the notebook on relations: the same panel over a network for pictures, without a mirror."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import jupytext
import pytest

SOURCE = Path(__file__).parents[2] / "notebooks" / "source" / "03_relational_discovery.py"
# Section 4 alone: nothing else depends on the switch. Fewer units and pictures: what is tested is that they fit.
FEWER = {
    "PHOTOGRAPHS = False": "PHOTOGRAPHS = True",
    "np.arange(1597, 1797)": "np.arange(1697, 1797)",
    "np.arange(60)": "np.arange(48)",
}


def cells(names: dict[str, Any]) -> dict[str, Any]:
    """Run the imports, the switch and section 4."""
    source = SOURCE.read_text(encoding="utf-8")
    for old, new in FEWER.items():
        assert old in source, f"the notebook no longer says {old!r}"
        source = source.replace(old, new)
    code = [cell.source for cell in jupytext.reads(source, fmt="py:percent").cells if cell.cell_type == "code"]
    wanted = [each for each in code if each.startswith(("import os", "PHOTOGRAPHS", "if not PHOTOGRAPHS", "result = "))]
    assert sum("panels.RelationPanel" in each for each in wanted) == 1
    for each in wanted[: next(i for i, each in enumerate(wanted) if "panels.RelationPanel" in each) + 1]:
        exec(compile(ast.parse(each), SOURCE.stem, "exec"), names)
    return names


def look(names: dict[str, Any]) -> None:
    panel = names["panel"]
    assert "measured" in panel.result
    assert float(panel.result["foretold"].sel(change="unit")) != 0
    assert panel.wait(60)
    assert panel.exemplar_box.source


def test_without_a_mirror_it_is_handwriting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    names = cells({"__name__": "notebook"})
    assert names["shown"].name == "digits"
    look(names)


@pytest.mark.mirror
def test_with_a_mirror_it_is_photographs(mirror: Path) -> None:
    names = cells({"__name__": "notebook"})
    assert names["shown"].name.startswith("mobilenet_v2")
    look(names)
