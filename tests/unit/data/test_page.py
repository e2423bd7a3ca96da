"""docs/data.md: its code runs, its table is complete, its manifest can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench import data
from workbench.data.croissant import parse_manifest

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "pictures" / "a.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block("python"), names)
    for name in ("digits", "photographs", "scenes", "mine"):
        source = names[name]
        assert isinstance(source, data.ImageSource)
        assert source[0].image.dtype == np.uint8


def test_the_table_names_every_manifest_and_loaders_that_exist() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \| (.*?) \|$", PAGE, flags=re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(data.manifests())
    for name, loaders, place in rows:
        for loader in re.findall(r"data\.(\w+)\(\)", loaders):
            assert callable(getattr(data, loader)), loader
        found = data.manifest(name)
        assert ("mirror" in place) == (found.package is None and bool(found.files) and found.files[0].url is None)


def test_the_manifest_can_be_read() -> None:
    found = parse_manifest(json.loads(block("json")))
    assert found.licence == "CC-BY-4.0"
    assert found.files[0].is_archive
