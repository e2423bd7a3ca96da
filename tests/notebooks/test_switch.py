"""The switch of the start notebook: the same cells on an ImageNet network and photographs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pytest

from workbench import models

ROOT = Path(__file__).parents[2]
Run = Callable[[], dict[str, Any]]


# The same cells with fewer pictures and windows: what is tested is that they fit, not what they find.
FEWER = {
    "PHOTOGRAPHS = False": "PHOTOGRAPHS = True",
    "np.arange(0, 600, 6)": "np.arange(0, 600, 60)",
    '"features.18", 32, 16': '"features.18", 64, 64',
}


@pytest.fixture
def run_until_exercise() -> Iterator[Run]:
    """A function that runs the cells of the start notebook before its exercise and gives the names that they made."""
    names: dict[str, Any] = {"__name__": "notebook"}

    def run() -> dict[str, Any]:
        source = (ROOT / "notebooks" / "source" / "00_start.py").read_text(encoding="utf-8")
        for old, new in FEWER.items():
            assert old in source, f"the notebook no longer says {old!r}"
            source = source.replace(old, new)
        cells = jupytext.reads(source, fmt="py:percent").cells
        end = next(number for number, cell in enumerate(cells) if cell.source.startswith("## Exercise"))
        for cell in cells[:end]:
            if cell.cell_type == "code":
                exec(compile(ast.parse(cell.source), "00_start", "exec"), names)
        return names

    yield run
    if "folder" in names:
        names["folder"].cleanup()


def check(names: dict[str, Any]) -> None:
    assert names["model"].name == "mobilenet_v2"
    assert names["heat"].shape == (1, 224, 224)
    assert np.ptp(names["heat"].values) > 0
    assert names["store"].verify().ok
    assert names["units"].result.attrs["unit"] == names["unit"]
    assert names["explanation"].result.sizes["y"] == 224


@pytest.mark.mirror
@pytest.mark.slow
def test_photographs_of_the_mirror(mirror: Path, run_until_exercise: Run, capsys: pytest.CaptureFixture[str]) -> None:
    names = run_until_exercise()
    check(names)
    assert (names["predictions"].predicted.values == names["pictures"].labels).mean() >= 0.7
    assert "Nobody has drawn a mask" in capsys.readouterr().out


@pytest.mark.slow
def test_photographs_of_scikit_image_without_a_mirror(run_until_exercise: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With untrained weights in the place of those that torchvision would download."""
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    load: Callable[..., models.ImageModel] = models.load
    monkeypatch.setattr(models, "load", lambda name: load(name, weights="random"))
    names = run_until_exercise()
    check(names)
    assert len(names["pictures"]) >= 6
