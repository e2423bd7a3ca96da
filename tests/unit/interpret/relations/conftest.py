"""One planted circuit, and its activations on pictures that were drawn for it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import xarray as xr

from workbench.interpret import MemoryActivations, observe
from workbench.interpret.relations.planted import PlantedCircuit, plant

LAYERS = ("layer1", "layer2", "classifier")


@dataclass(frozen=True)
class Grown:
    circuit: PlantedCircuit
    images: xr.Dataset
    store: MemoryActivations


@pytest.fixture(scope="session")
def grown() -> Grown:
    circuit = plant()
    images = circuit.images(400)
    return Grown(circuit, images, observe(circuit.model, images, layers=list(LAYERS)))
