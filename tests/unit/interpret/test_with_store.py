"""Everything that reads activations reads them from a store on disk, with the same result as from memory."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from workbench import interpret
from workbench.interpret import coreset
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
