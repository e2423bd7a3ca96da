"""The Binder build, rendered by repo2docker's own classes; no Docker engine is needed for that."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from repo2docker.buildpacks import CondaBuildPack, PythonBuildPack

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch) -> CondaBuildPack:
    monkeypatch.chdir(ROOT)
    pack = CondaBuildPack("docker.io/library/buildpack-deps:jammy")
    pack.platform = "linux/amd64"
    return pack


def script(name: str) -> list[str]:
    """The commands of a script, comments left out."""
    lines = (ROOT / "binder" / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_it_is_a_conda_build(pack: CondaBuildPack) -> None:
    assert pack.detect()
    assert pack.environment_yaml_path == "binder/environment.yml"
    other = PythonBuildPack("docker.io/library/buildpack-deps:jammy")
    other.platform = "linux/amd64"
    assert not other.detect()


def test_python_is_pinned_to_the_tested_version(pack: CondaBuildPack) -> None:
    assert pack.python_version == "3.11"
    assert "python=3.11" in pack.environment_yaml["dependencies"]
    frozen = [source for source in pack.get_build_script_files() if source.endswith(".lock")]
    assert frozen == ["conda/environment.py-3.11-linux-64.lock"]


def test_the_image_is_built_from_our_files(pack: CondaBuildPack) -> None:
    dockerfile = pack.render()
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"' in dockerfile
    assert "RUN ./binder/postBuild" in dockerfile
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile
    copied, built = (
        dockerfile.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/"),
        dockerfile.index("RUN ./binder/postBuild"),
    )
    assert copied < built, "the repository must be there before postBuild installs it"


def test_post_build_stops_at_the_first_error_and_installs_the_package_alone() -> None:
    commands = script("postBuild")
    assert commands[0] == "set -e"
    install = next(line for line in commands if line.startswith("pip install"))
    assert "--no-deps" in install.split()
    assert install.split()[-1] == "."
    assert any("make_tour.py" in line for line in commands)


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_are_bash_and_can_be_run(name: str) -> None:
    path = ROOT / "binder" / name
    assert path.read_text(encoding="utf-8").startswith("#!/bin/bash\n")
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", path], check=True)


def test_start_limits_threads_and_hands_over(tmp_path: Path) -> None:
    show = 'echo "$OMP_NUM_THREADS $MKL_NUM_THREADS $OPENBLAS_NUM_THREADS $1"'
    command = [ROOT / "binder" / "start", "sh", "-c", show, "sh", "two words"]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert done.stdout.strip() == "2 2 2 two words"


def test_start_passes_the_exit_status_on() -> None:
    assert subprocess.run([ROOT / "binder" / "start", "sh", "-c", "exit 7"], check=False).returncode == 7
