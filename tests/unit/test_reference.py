"""The docstrings are the API reference: it builds, describes every public name, and cites what the bibliography has."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import workbench
from workbench.registry import Registry

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.parent.name for path in (ROOT / "workbench").glob("*/__init__.py"))
SOURCE = re.compile(r"Sources?: ((?:\[[\w:-]+\](?:, | and )?)+)")


def public_objects(room: ModuleType) -> Iterator[tuple[str, Any]]:
    """Functions, classes and methods that a room makes public, with the names they have there."""
    for name in getattr(room, "__all__", []):
        found = getattr(room, name)
        if inspect.isfunction(found) or inspect.isclass(found):
            yield f"{room.__name__}.{name}", found
        if inspect.isclass(found):
            for method, value in vars(found).items():
                function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                inherited = any(method in vars(base) for base in found.__mro__[1:])  # described where it comes from
                if not method.startswith("_") and inspect.isfunction(function) and not inherited:
                    yield f"{room.__name__}.{name}.{method}", function


def undescribed(found: Any) -> list[str]:
    """What the docstring of a function or dataclass leaves out."""
    text = inspect.getdoc(found) or ""
    if not text:
        return ["docstring"]
    if inspect.isclass(found):
        if not dataclasses.is_dataclass(found) or "__init__" not in vars(found):
            return []
        own = vars(found).get("__annotations__", {})
        fields = [item for item in dataclasses.fields(found) if item.init and item.name in own]
        names = [item.name for item in fields if not item.name.startswith("_")]
    else:
        names = [name for name in inspect.signature(found).parameters if name not in ("self", "cls")]
    return [
        name for name in names if not re.search(rf"^\s+(\w+, )*\*{{0,2}}{name}(, \w+)*( \(.*\))?:", text, flags=re.M)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_described_with_its_parameters(room: str) -> None:
    module = importlib.import_module(f"workbench.{room}")
    missing = {name: gaps for name, found in public_objects(module) if (gaps := undescribed(found))}
    assert missing == {}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_is_and_what_is_public(room: str) -> None:
    module = importlib.import_module(f"workbench.{room}")
    assert (module.__doc__ or "").strip()
    missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
    assert missing == []


def test_the_reference_builds_with_a_page_a_room(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "tools" / "make_api_reference.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "does not resolve" not in done.stderr
    for room in ROOMS:
        assert (tmp_path / "workbench" / f"{room}.html").stat().st_size > 1000


def test_importing_the_package_for_the_reference_gives_its_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", workbench.__version__)


def bibliography() -> list[str]:
    return re.findall(r"^@\w+\{([\w:-]+),", (ROOT / "docs" / "references.bib").read_text(encoding="utf-8"), flags=re.M)


def docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def cited() -> Iterator[tuple[str, str]]:
    """Every bib key that is used, with where: docstrings, pages, notebooks and model cards."""
    for path in (ROOT / "workbench").rglob("*.py"):
        for text in docstrings(path.read_text(encoding="utf-8")):
            for keys in SOURCE.findall(text):
                yield from ((key, path.name) for key in re.findall(r"\[([\w:-]+)\]", keys))
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks" / "source").glob("*.py")]:
        yield from ((key, path.name) for key in re.findall(r"\[@([\w:-]+)\]", path.read_text(encoding="utf-8")))
    for path in (ROOT / "workbench").rglob("*.json"):
        facts = json.loads(path.read_text(encoding="utf-8"))
        yield from ((key, path.name) for key in facts.get("source", []) if isinstance(facts, dict))


def test_every_key_resolves() -> None:
    known = set(bibliography())
    assert {(key, place) for key, place in cited() if key not in known} == set()


def test_no_key_stands_twice() -> None:
    keys = bibliography()
    assert sorted(set(keys)) == sorted(keys)


def test_the_search_for_keys_finds_them() -> None:
    assert SOURCE.findall("Text.\n\nSource: [zeiler2014].") == ["[zeiler2014]"]
    assert SOURCE.findall("Sources: [a2014], [b2015].") == ["[a2014], [b2015]"]
    assert {key for key, _ in cited()}, "no source is cited anywhere, which cannot be"


def registries() -> list[Registry]:
    for room in ROOMS:
        importlib.import_module(f"workbench.{room}")
    modules = [module for name, module in sys.modules.items() if name.startswith("workbench.")]
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Registry)}
    return list(found.values())


def test_every_method_card_cites_what_is_in_the_bibliography() -> None:
    known = set(bibliography())
    missing = {(card.name, key) for registry in registries() for card in registry.cards() for key in card.source}
    assert {(name, key) for name, key in missing if key not in known} == set()


def test_the_check_of_docstrings_itself() -> None:
    def described(patch: int, stride: int) -> None:
        """Do it.

        Args:
            patch: pixels.
        """

    assert undescribed(described) == ["stride"]
    assert undescribed(lambda patch: None) == ["docstring"]
