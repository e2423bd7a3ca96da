"""The Makefile and the installation script, run with stand-ins for Python, pip and Jupyter that note their calls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A Python that is new enough unless FAKE_OLD is set, and whose pip fails where FAKE_PIP_FAILS is set.
PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) [ -z "${FAKE_OLD:-}" ] ;;
    --version) echo "Python ${FAKE_OLD:-3.11.9}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$FAKE_JUPYTER" "$3/bin/jupyter" ;;
    "-m pip --version") [ "$(basename "$(dirname "$(dirname "$0")")")" = .venv ] ;;
    *) echo "python $*" >> "$FAKE_LOG"; [ -z "${FAKE_PIP_FAILS:-}" ] ;;
esac
"""
JUPYTER = '#!/bin/sh\nfor word in "$@"; do printf "[%s]" "$word" >> "$FAKE_LOG"; done\n'
ID = '#!/bin/sh\necho "$FAKE_USER"\n'


@dataclass
class Workplace:
    """A copy of the commands in a folder of their own."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def make(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.folder / 'fake'}:/usr/bin:/bin", **self.variables, **variables}
        return subprocess.run(
            ["make", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def log(self) -> list[str]:
        """How the stand-ins were called since the last look."""
        path = Path(self.variables["FAKE_LOG"])
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/install.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    scripts = {"python3.11": PYTHON, "id": ID, "jupyter-template": JUPYTER}
    (tmp_path / "fake").mkdir()
    for name, text in scripts.items():
        path = tmp_path / "fake" / name
        path.write_text(text)
        path.chmod(0o755)
    variables = {
        "FAKE_LOG": str(tmp_path / "log"),
        "FAKE_JUPYTER": str(tmp_path / "fake" / "jupyter-template"),
        "FAKE_USER": "1000",
        "PYTHON": "python3.11",
    }
    return Workplace(tmp_path, variables)


def test_lab_installs_pinned_versions_and_opens_the_start_notebook(workplace: Workplace) -> None:
    done = workplace.make("lab")
    assert done.returncode == 0, done.stderr
    pip, jupyter = workplace.log()
    assert pip == "python -m pip install --disable-pip-version-check -c constraints.txt -e ."
    assert jupyter == "[lab][--ServerApp.ip=127.0.0.1][notebooks/00_start.ipynb]"


def test_a_second_run_installs_nothing(workplace: Workplace) -> None:
    workplace.make("lab")
    workplace.log()
    workplace.make("lab")
    assert [line for line in workplace.log() if "pip" in line] == []


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_list_of_dependencies_is_installed(workplace: Workplace, changed: str) -> None:
    workplace.make("lab")
    workplace.log()
    later = (workplace.folder / ".venv" / ".installed-lab").stat().st_mtime + 10
    os.utime(workplace.folder / changed, (later, later))
    workplace.make("lab")
    assert any("pip install" in line for line in workplace.log())


def test_arguments_are_passed_on(workplace: Workplace) -> None:
    workplace.make("lab", "ARGS=--no-browser --port=8901")
    assert "[--no-browser][--port=8901]" in workplace.log()[-1]


@pytest.mark.parametrize(("user", "allowed"), [("0", True), ("1000", False)])
def test_root_is_allowed_only_to_root(workplace: Workplace, user: str, allowed: bool) -> None:
    workplace.make("lab", FAKE_USER=user)
    assert ("[--allow-root]" in workplace.log()[-1]) is allowed


def test_an_interrupted_installation_is_taken_up_again(workplace: Workplace) -> None:
    failed = workplace.make("lab", FAKE_PIP_FAILS="1")
    assert failed.returncode != 0
    assert not list((workplace.folder / ".venv").glob(".installed*"))
    assert not any("[lab]" in line for line in workplace.log())
    workplace.make("lab")
    assert any("pip install" in line for line in workplace.log())
    assert (workplace.folder / ".venv" / ".installed-lab").exists()


@pytest.mark.parametrize("how", ["environment", "argument"])
def test_torch_comes_first_from_the_index_that_is_named(workplace: Workplace, how: str) -> None:
    index = "https://wheels.example.org/cpu"
    if how == "environment":
        workplace.make("lab", TORCH_INDEX_URL=index)
    else:
        workplace.make("lab", f"TORCH_INDEX_URL={index}")
    torch, package = [line for line in workplace.log() if "pip install" in line]
    assert f"--index-url {index} -c constraints.txt torch torchvision" in torch
    assert "--no-deps" in torch
    assert "index-url" not in package


def test_tests_need_more_than_the_lab(workplace: Workplace) -> None:
    workplace.make("lab")
    workplace.log()
    workplace.make(".venv/.installed-test")
    assert workplace.log() == ["python -m pip install --disable-pip-version-check -c constraints.txt -e .[test]"]


def test_an_old_python_is_named_with_what_to_do(workplace: Workplace) -> None:
    done = workplace.make("lab", FAKE_OLD="3.9.2")
    assert done.returncode != 0
    assert "python3.11 is Python 3.9.2" in done.stderr
    assert "needs Python 3.11 or newer" in done.stderr
    assert not (workplace.folder / ".venv").exists()


def test_an_old_environment_is_not_overwritten(workplace: Workplace) -> None:
    workplace.make("lab")
    (workplace.folder / ".venv" / ".installed-lab").unlink()
    done = workplace.make("lab", FAKE_OLD="3.9.2")
    assert done.returncode != 0
    assert ".venv holds Python 3.9.2" in done.stderr


def test_help_lists_every_command(workplace: Workplace) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, flags=re.M)
    assert phony
    shown = re.findall(r"^  make (\w+)", workplace.make("help").stdout, flags=re.M)
    assert shown == phony[1].split()


def test_continuous_integration_calls_make_test_with_the_browser_required() -> None:
    path = ROOT / ".ci" / "run"
    text = path.read_text(encoding="utf-8")
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", path], check=True)
    assert text.rstrip().endswith("exec make test")
    assert "export REQUIRE_BROWSER=1" in text


def test_make_test_runs_every_kind_of_test(workplace: Workplace) -> None:
    plan = workplace.make("-n", "test").stdout
    kinds = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert {f"tests/{kind}" for kind in kinds} <= set(plan.split())
    assert "notebooks/*.ipynb" in plan
    assert "ruff check" in plan
    assert "tests/unit/test_imports.py" in plan
