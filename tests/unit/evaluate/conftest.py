"""A small protocol and its table, computed once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import xarray as xr

# importlib mode does not put the folder of the tests on the path
sys.path.insert(0, str(Path(__file__).parent))

from protocols import protocol

from workbench.evaluate import Protocol


@pytest.fixture(scope="session")
def small() -> Protocol:
    return protocol()


@pytest.fixture(scope="session")
def table(small: Protocol) -> xr.Dataset:
    return small.run()
