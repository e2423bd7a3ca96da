"""A whole protocol on the planted network: true units come first, random units last, whatever cuts the maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

from workbench import evaluate
from workbench.data.source import AnnotatedImage

TRUE = ("chosen_units", {"units": {"red": [0, 3], "green": [1, 4], "blue": [2, 5]}})
METHODS = (
    TRUE,
    "relevant_units(units_per_category=5)",
    "dissect(quantile=0.9)",
    "concepts(count=3)",
    "concept_vectors(draws=2, random_concepts=19)",
    "rules(size=6, top_units=6, least_confidence=0.1)",
    "random_units",
)
BINARISERS = ("otsu", "fraction(fraction=0.5)", "mean", "two_means")


@dataclass(frozen=True, eq=False)
class Squares:
    """The planted pictures with their squares as masks; an image source."""

    found: object
    categories: tuple[str, ...] = ("red", "green", "blue")
    manifest_hash: str = ""
    labels: None = None

    @property
    def identifiers(self):
        return [str(name) for name in self.found.pictures["image"].values]

    def __len__(self):
        return len(self.found.pictures)

    def __getitem__(self, index, /):
        picture = np.round(self.found.pictures.values[index] * 255).astype(np.uint8)
        masks = self.found.masks.isel(image=index)
        kept = {str(name): masks.sel(part=name).values for name in masks["part"].values if masks.sel(part=name).any()}
        return AnnotatedImage(picture, self.identifiers[index], None, kept)


@pytest.fixture(scope="module")
def protocol(planted, held_out) -> evaluate.Protocol:
    return evaluate.Protocol(
        methods=METHODS,
        models=[evaluate.ModelChoice.of(planted.model, layer=planted.layer)],
        data=[evaluate.DataChoice.of(Squares(held_out), name="squares", learn=Squares(planted))],
        metrics=["waiou", "unit_localisation"],
        binarisers=BINARISERS,
    )


@pytest.fixture(scope="module")
def table(protocol) -> xr.Dataset:
    return protocol.run()


def units_of(protocol: evaluate.Protocol, method: str) -> set[str]:
    """The names of the units that a method draws; numbers where it draws something else."""
    return {str(name) for name in protocol.heatmaps(method=method)["unit"].values}


@pytest.mark.parametrize("binariser", BINARISERS)
def test_the_true_units_come_first_and_random_units_last(protocol, table, binariser):
    column = table.isel(model=0, data=0).isel(metric=list(table["binariser"].values).index(binariser))
    values = dict(zip((str(name) for name in column["method"].values), column["value"].values, strict=True))
    true, *others, random = values
    assert values[true] > 0.8
    for name in others:
        assert values[name] > values[random], (name, values)
        if values[name] == values[true]:  # only who found the true units themselves cannot be told from them
            assert units_of(protocol, name) == units_of(protocol, true), name
        else:
            assert values[name] < values[true], (name, values)


def test_the_best_is_told_from_the_worst_beyond_doubt(table):
    metric = next(str(name) for name in table["metric"].values if "otsu" in str(name))
    found = evaluate.method_comparison(table, metric=metric)
    true, random = str(found["first"].values[0]), str(found["first"].values[-1])
    pair = found.sel(first=true, second=random)
    assert float(pair["better"]) == 1
    assert float(pair["low"]) > 0
    assert float(pair["adjusted"]) < 0.01


def test_every_number_has_its_interval_n_and_controls(table):
    scored = np.isfinite(table["value"])
    assert scored.all()
    assert (table["n"].values[scored.values] >= 10).all()
    assert np.isfinite(table["low"].values).all()
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    weighted = table.isel(metric=np.flatnonzero(table["metric_name"].values == "waiou"))
    for control in ("random units", "shuffled images", "chance"):
        assert (weighted["control_n"].sel(control=control) > 0).all(), control
    first = weighted.isel(method=0)
    assert (first["low"] > first["control_high"].max("control")).all()


def test_binarisers_agree_here(table):
    metrics = [str(name) for name in table["metric"].values if str(name).startswith("waiou")]
    found = evaluate.ranking_agreement(table, metrics=metrics)
    assert int(found["methods"]) == len(METHODS)
    assert float(found["tau"].min()) > 0.5
