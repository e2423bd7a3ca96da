"""Everything that reads activations reads them from a store on disk, with the same result as from memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
import xarray as xr

from workbench import interpret, models
from workbench.interpret import coreset
from workbench.interpret.reading import map_blocks
from workbench.store import ActivationStore


@pytest.fixture(scope="module")
def store(planted, tmp_path_factory):
    return ActivationStore.extract(
        planted.model,
        planted.pictures,
        layers=["activation"],
        path=tmp_path_factory.mktemp("planted") / "store",
        dtype="float32",
        labels=planted.labels,
        progress=False,
    )


def test_methods_agree_between_disk_and_memory(planted, store):
    for labels in ("predicted", "true"):
        disk = interpret.relevant_units(store, labels, units_per_category=2)
        memory = interpret.relevant_units(planted.store, labels, units_per_category=2)
        np.testing.assert_allclose(disk["weight"], memory["weight"], atol=1e-6)
        assert list(disk["category"].values) == list(memory["category"].values)
    disk, memory = (interpret.dissect(each, planted.masks) for each in (store, planted.store))
    np.testing.assert_array_equal(disk["intersection"], memory["intersection"])
    head = interpret.Head(planted.model, "activation")
    disk, memory = (interpret.concepts(each, head=head, count=3) for each in (store, planted.store))
    np.testing.assert_allclose(disk["direction"], memory["direction"], atol=1e-4)


def test_results_carry_the_provenance_of_the_store(store):
    result = interpret.relevant_units(store, units_per_category=2)
    assert result.attrs["model"] == "planted"
    assert result.attrs["weights_hash"] == store.dataset("activation").attrs["weights_hash"]
    assert result.attrs["pixels_hash"]


def test_results_can_be_saved(planted, store, tmp_path):
    result = interpret.relevant_units(store, units_per_category=2)
    result.to_zarr(tmp_path / "units.zarr", consolidated=False)
    opened = xr.open_zarr(tmp_path / "units.zarr", consolidated=False).load()
    np.testing.assert_array_equal(opened["weight"], result["weight"])
    assert interpret.heatmaps(opened, store, images=[0]).shape == interpret.heatmaps(result, store, images=[0]).shape


def test_the_rest_is_not_extracted(planted, store, tmp_path):
    chosen = coreset.choose(store, fraction=0.25, labels="true", images=planted.pictures)
    small = ActivationStore.extract(
        planted.model, chosen, layers=["activation"], path=tmp_path / "small", dtype="float32", progress=False
    )
    assert len(small.identifiers) == len(chosen)
    direct = interpret.relevant_units(small, chosen.labels, sparsity=0.2)
    selected = interpret.relevant_units(interpret.select(store, chosen.indices), "true", sparsity=0.2)
    np.testing.assert_allclose(direct["objective"], selected["objective"], rtol=1e-5)


def test_ablation_reads_the_store(planted, held_out, store):
    weight = interpret.relevant_units(store, units_per_category=2)["weight"]
    result = interpret.ablation_curve(
        planted.model, held_out.pictures, {"units": weight}, store=store, labels=held_out.labels, counts=(0, 2)
    )
    assert float(result["accuracy"].sel(ranking="units", removed=2)) < 0.5


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A store of 400 images, in chunks of several images each."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(1024, 2))
    network = models.load(network, name="wide", preprocessing=models.Preprocessing(resize=None, mean=0.0, std=1.0))
    pictures = np.random.default_rng(0).integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("wide") / "store"
    return ActivationStore.extract(network, pictures, layers=["0"], path=path, progress=False)


@pytest.mark.parametrize("seed", range(3))
def test_scattered_images_are_read_in_their_order(wide, seed):
    generator = np.random.default_rng(seed)
    outer = generator.permutation(400)[: generator.integers(20, 400)]
    inner = generator.integers(0, len(outer), 50)  # some of them twice
    read = list(map_blocks(interpret.select(wide, outer), "0", indices=inner))
    assert np.concatenate([part for part, _ in read]).tolist() == inner.tolist()
    values = np.concatenate([values for _, values in read])
    expected = wide.dataset("0")["maps"].values[outer[inner]].astype(np.float32)
    np.testing.assert_array_equal(values, expected.reshape(50, 16, -1))


def test_blocks_stay_small_whatever_is_read(wide, monkeypatch):
    monkeypatch.setattr("workbench.interpret.reading.BLOCK_BYTES", 30 * 16 * 64 * 4)
    spans = []
    original = xr.DataArray.isel

    def watched(self, indexers=None, **others):
        if indexers and isinstance(indexers.get("image"), slice):
            spans.append(indexers["image"].stop - indexers["image"].start)
        return original(self, indexers, **others)

    monkeypatch.setattr(xr.DataArray, "isel", watched)
    some = np.random.default_rng(1).permutation(400)[:200]
    parts = [part for part, _ in map_blocks(wide, "0", indices=some)]
    assert np.concatenate(parts).tolist() == some.tolist()
    assert len(parts) == 7
    assert 1 < max(spans) <= 30


def test_reading_scattered_images_takes_little_more_memory_than_they_do(wide):
    some = np.sort(np.random.default_rng(2).permutation(400)[:200])
    list(map_blocks(wide, "0", indices=some))  # imports
    tracemalloc.start()
    read = list(map_blocks(interpret.select(wide, some), "0"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * sum(values.nbytes for _, values in read)
