"""The benchmark of places in photographs, where units follow the objects, and where they do not."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FILE = Path(__file__).parents[4] / "benchmarks" / "relations_photographs.py"


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    specification = importlib.util.spec_from_file_location("relations_photographs_benchmark", FILE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, specification.name, module)  # where dataclasses look up their annotations
        specification.loader.exec_module(module)
        yield module


def scenes_of(benchmark: ModuleType, *, follow: bool):
    """Three categories in 40 photographs, each in three of four; unit 5 - i for category i."""
    generator = np.random.default_rng(0)
    centres = generator.uniform(0, 224, size=(40, 3, 2))
    centres[generator.uniform(size=(40, 3)) < 0.25] = np.nan
    places = generator.uniform(0, 224, size=(2, 40, 6))
    if follow:
        known = np.where(np.isfinite(centres), centres, 0)
        places[:, :, [5, 4, 3]] = known.transpose(2, 0, 1) + generator.normal(scale=3, size=(2, 40, 3))
    linked = np.tile([5, 4, 3], (40, 1))
    return benchmark.Scenes(centres, places, linked, 16.0)


def test_units_that_follow_objects_have_small_angles_and_dealt_anew_large_ones(benchmark):
    found = scenes_of(benchmark, follow=True)
    angle, image, pairs = found.angles()
    assert pairs == 3
    assert len(angle) == len(image) > 40
    assert np.median(angle) < 5
    for null in ({"photographs": np.random.default_rng(1)}, {"units": np.random.default_rng(3)}):
        assert found.angles(**null)[0].mean() > 30
    assert scenes_of(benchmark, follow=False).angles()[0].mean() == pytest.approx(90, abs=15)


def test_an_angle_is_that_of_two_arrows(benchmark):
    centres = np.array([[[0.0, 0], [0, 50]]] * 2)  # the second to the right of the first
    places = np.zeros((2, 2, 2))
    places[:, 0, 1], places[:, 1, 1] = (50, 0), (40, 40)  # its unit below, and below to the right
    found = benchmark.Scenes(centres, places, np.tile([0, 1], (2, 1)), 16.0)
    np.testing.assert_allclose(found.angles()[0], [90, 45])
    short = benchmark.Scenes(centres, places, np.tile([0, 1], (2, 1)), 51.0)
    assert len(short.angles()[0]) == 0
    same = benchmark.Scenes(centres, places, np.zeros((2, 2), dtype=int), 16.0)
    assert same.angles()[2] == 0


def test_centres_are_those_of_the_masks(benchmark):
    masks = np.zeros((1, 2, 4, 6), dtype=bool)
    masks[0, 0, 1:3, 2:5] = True
    found = benchmark.centres(masks)
    np.testing.assert_allclose(found[0, 0], [1.5, 3])
    assert np.isnan(found[0, 1]).all()
