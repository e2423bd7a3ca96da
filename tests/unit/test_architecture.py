"""The table of rooms in docs/architecture.md says what the import test enforces."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def enforced() -> dict[str, set[str]]:
    specification = importlib.util.spec_from_file_location("direction", Path(__file__).with_name("test_imports.py"))
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.ALLOWED


def documented() -> dict[str, set[str]]:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", text, flags=re.MULTILINE)
    return {room: set() if allowed == "nothing" else set(allowed.split(", ")) for room, allowed in rows}


def test_the_table_is_what_is_enforced() -> None:
    assert documented() == enforced()


def test_every_room_of_the_package_is_in_the_table() -> None:
    rooms = {path.parent.name for path in (ROOT / "workbench").glob("*/__init__.py")}
    files = {path.stem for path in (ROOT / "workbench").glob("*.py")} - {"__init__"}
    assert rooms | files == set(documented())
