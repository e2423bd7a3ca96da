"""The direction of imports, read from the source of every module, functions included."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "workbench"

BASE = {"errors", "registry", "arrays", "stats"}
ROOMS = ("data", "models", "store", "explain", "interpret", "evaluate", "view")
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "registry": {"errors"},
    "arrays": {"errors"},
    "stats": {"errors", "registry", "arrays"},
    **{room: BASE | set(ROOMS[:position]) for position, room in enumerate(ROOMS)},
    # training stands beside interpretation
    "train": BASE | {"data", "models", "store", "explain"},
    # one sanity check trains a network on random labels
    "evaluate": BASE | set(ROOMS[: ROOMS.index("evaluate")]) | {"train"},
    "panels": BASE | set(ROOMS),
    "teaching": BASE | set(ROOMS),
}
WIDGETS = {"ipywidgets", "anywidget"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_names(source: str, package: tuple[str, ...]) -> Iterator[str]:
    """Dotted names that the source imports anywhere, relative ones made absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (origin, node.module or "") if part)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def violations(source: str, room: str, package: tuple[str, ...]) -> list[str]:
    """What the source imports from the package although its room may not."""
    found = []
    for name in imported_names(source, package):
        parts = name.split(".")
        if parts[0] != "workbench":
            continue
        target = parts[1] if len(parts) > 1 else ""
        if target.startswith("__"):  # the version of the package is no room
            continue
        if target != room and target not in ALLOWED[room]:
            found.append(f"{room} imports {name}")
    return found


def package_of(path: Path) -> tuple[str, ...]:
    return ("workbench", *path.relative_to(PACKAGE).parent.parts)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    assert room_of(path) in ALLOWED, f"{room_of(path)} is a new room: say here what it may import"
    assert violations(path.read_text(encoding="utf-8"), room_of(path), package_of(path)) == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_panels_import_widgets(path: Path) -> None:
    if room_of(path) == "panels":
        return
    roots = {name.split(".")[0] for name in imported_names(path.read_text(encoding="utf-8"), package_of(path))}
    assert not roots & WIDGETS


@pytest.mark.parametrize(
    ("source", "room", "wrong"),
    [
        ("def f():\n    from workbench.view import heatmap", "explain", True),
        ("from workbench import panels", "view", True),
        ("from ..panels import ExplanationPanel", "view", True),
        ("import workbench.interpret.units", "train", True),
        ("import workbench", "models", True),
        ("from workbench.data import digits", "models", False),
        ("from .card import Card", "models", False),
        ("from workbench import __version__", "store", False),
        ("import torch", "models", False),
    ],
)
def test_the_check_itself(source: str, room: str, wrong: bool) -> None:
    assert bool(violations(source, room, ("workbench", room))) is wrong


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"torch", "torchvision", "captum", "matplotlib", "xarray", "numpy", "pandas", "sklearn", "dask", *WIDGETS}
    assert not loaded_after("import workbench") & heavy


@pytest.mark.parametrize("room", ["data", "stats", "view"])
def test_rooms_that_need_no_network_do_not_load_torch(room: str) -> None:
    assert "torch" not in loaded_after(f"import workbench.{room}")


def test_every_room_is_reachable_from_the_package() -> None:
    rooms = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    loaded = loaded_after("import workbench as w; " + "; ".join(f"w.{room}" for room in rooms))
    assert "workbench" in loaded
