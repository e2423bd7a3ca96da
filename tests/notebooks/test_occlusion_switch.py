"""The switch of the notebook on occlusion: the same cells on an ImageNet network and photographs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import jupytext
import pytest

SOURCE = Path(__file__).parents[2] / "notebooks" / "source" / "01_occlusion_acceleration.py"

# The same cells with fewer windows, masks and pictures: what is tested is that they fit, not what they find.
FEWER = {
    "PHOTOGRAPHS = False": "PHOTOGRAPHS = True",
    "np.arange(0, 600, 60)": "np.arange(0, 600, 200)",
    "CERTIFIED = 16, 8, 4": "CERTIFIED = 64, 32, 2",
    "explain.rise, masks=300": "explain.rise, masks=8",
    "explain.lime, samples=200": "explain.lime, samples=8",
    "timed(explain.hipe)": "timed(explain.hipe, levels=1, cells=4)",
    "for _ in range(2):\n        began": "for _ in range(1):\n        began",
    "budget=48": "budget=16",
    '{"budget": 48}': '{"budget": 16}',
}


@pytest.mark.mirror
@pytest.mark.slow
def test_photographs_of_the_mirror(mirror: Path) -> None:
    source = SOURCE.read_text(encoding="utf-8")
    for old, new in FEWER.items():
        assert old in source, f"the notebook no longer says {old!r}"
        source = source.replace(old, new)
    cells = jupytext.reads(source, fmt="py:percent").cells
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells:
        if cell.cell_type == "code":
            exec(compile(ast.parse(cell.source), SOURCE.stem, "exec"), names)
    assert names["model"].name == "mobilenet_v2"
    assert names["outside"] == 0 < names["inside"]
    assert names["apart"] < 1e-4
    assert names["difference"] < 1e-9 < names["effect"]
    assert len(names["certificates"]) == 2
    assert names["race"].notna().all(axis=None)
    assert "evidence on the object" not in names["race"], "nobody has drawn masks of these photographs"
    assert names["panel"].result.attrs["complete"]
