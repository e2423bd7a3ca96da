"""What all tests share: the mirror of real data, and a figure backend that needs no display."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "agg")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real photographs and weights; the test is skipped, with the reason, where there is none."""
    value = os.environ.get("WORKBENCH_MIRROR", "")
    if not value:
        pytest.skip("WORKBENCH_MIRROR is unset: set it to a folder with the real photographs and weights")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"WORKBENCH_MIRROR is {value!r}, which is not a folder")
    return folder
