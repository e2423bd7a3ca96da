"""Four lists of dependencies, in step: pyproject.toml, constraints.txt, environment.yml, binder/environment.yml."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]

# What conda-forge calls a package, where that is not what the Python index calls it.
CONDA_NAMES = {
    "dask": "dask-core",  # without the packages that dask's own metapackage adds
    "lazy-loader": "lazy-loader",
    "matplotlib": "matplotlib-base",  # without Qt
    "torch": "pytorch",
}
BINDER_NAMES = {**CONDA_NAMES, "torch": "pytorch-cpu"}
# What conda needs besides: the interpreter, and what installs the package itself.
TOOLS = {"python", "pip", "hatchling"}
LISTS = [("environment.yml", CONDA_NAMES), ("binder/environment.yml", BINDER_NAMES)]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def core() -> dict[str, SpecifierSet]:
    requirements = map(Requirement, project()["project"]["dependencies"])
    return {canonicalize_name(item.name): item.specifier for item in requirements}


def extras() -> dict[str, Requirement]:
    lists = project()["project"]["optional-dependencies"].values()
    requirements = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(item.name): item for item in requirements if item.name != project()["project"]["name"]}


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.fullmatch(r"([\w.-]+)==(\S+)", line) for line in lines if line and not line.startswith("#")]
    assert all(pins), "constraints.txt holds pins and comments only"
    return {canonicalize_name(pin[1]): Version(pin[2]) for pin in pins if pin}


def conda(name: str) -> dict[str, tuple[str, str]]:
    """Package to (version, build) of a conda environment file."""
    found = {}
    for line in yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["dependencies"]:
        match = re.fullmatch(r"([\w.-]+?)\s*((?:[<>=!~]{1,2})[^=]+)?(?:=([^=]+))?", line)
        assert match, f"{name}: {line!r} is not understood"
        found[match[1]] = (match[2] or "", match[3] or "")
    return found


def bounds(text: str) -> SpecifierSet:
    return SpecifierSet(re.sub(r"^=(?!=)([\d.]+)$", r"==\1.*", text))


@pytest.mark.parametrize("name", [*core(), *extras()])
def test_every_dependency_is_pinned_within_its_bounds(name: str) -> None:
    specifier = core().get(name) or extras()[name].specifier
    assert name in constraints(), f"{name} has no pin in constraints.txt"
    assert specifier.contains(constraints()[name]), f"{name} {constraints()[name]} is not {specifier}"


@pytest.mark.parametrize(("file", "names"), LISTS, ids=[file for file, _ in LISTS])
def test_conda_lists_hold_what_the_package_needs_and_nothing_else(file: str, names: dict[str, str]) -> None:
    expected = {names.get(name, name) for name in core()} | TOOLS
    assert set(conda(file)) == expected


@pytest.mark.parametrize(("file", "names"), LISTS, ids=[file for file, _ in LISTS])
def test_conda_lists_have_the_same_bounds(file: str, names: dict[str, str]) -> None:
    listed = conda(file)
    different = {
        name: (str(specifier), listed[names.get(name, name)][0])
        for name, specifier in core().items()
        if bounds(listed[names.get(name, name)][0]) != specifier
    }
    assert different == {}


@pytest.mark.parametrize("file", [file for file, _ in LISTS])
def test_only_conda_forge_is_asked(file: str) -> None:
    channels = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["channels"]
    assert channels == ["conda-forge", "nodefaults"]


def test_python_is_the_tested_one() -> None:
    tested = project()["project"]["requires-python"]
    version = tested.removeprefix(">=")
    assert conda("environment.yml")["python"][0] == tested
    assert conda("binder/environment.yml")["python"][0] == f"={version}"
    assert project()["tool"]["ruff"]["target-version"] == "py" + version.replace(".", "")
    assert f"Programming Language :: Python :: {version}" in project()["project"]["classifiers"]


def test_binder_takes_builds_for_the_processor() -> None:
    binder = conda("binder/environment.yml")
    assert "pytorch-cpu" in binder
    assert binder["torchvision"][1].startswith("cpu")


def test_build_tool_is_the_one_that_is_declared() -> None:
    (build,) = map(Requirement, project()["build-system"]["requires"])
    for file, _ in LISTS:
        assert bounds(conda(file)[build.name][0]) == build.specifier


def third_party_imports() -> set[str]:
    """Top-level modules that the package imports anywhere, but for its own and Python's."""
    roots = set()
    for path in (ROOT / "workbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                roots.add(node.module.split(".")[0])
    return roots - sys.stdlib_module_names - {"workbench"}


def test_what_is_imported_is_declared() -> None:
    providers = packages_distributions()
    declared = {*core(), *extras()}
    missing = {
        module
        for module in third_party_imports()
        if not {canonicalize_name(name) for name in providers.get(module, [module])} & declared
    }
    assert missing == set(), "imported by the package, but in no list of dependencies"
