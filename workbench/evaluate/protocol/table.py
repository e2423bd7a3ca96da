"""From finished cells to one table in which no number stands without its interval and its n."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, provenance, strings
from workbench.evaluate.protocol.checks import kind_of
from workbench.evaluate.protocol.scoring import FIELDS, Cell
from workbench.evaluate.registry import metrics
from workbench.stats import bootstrap_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workbench.evaluate.protocol.description import Protocol

METHOD, METRIC, MODEL, DATA, SEED, CONTROL = "method", "metric", "model", "data", "seed", "control"
CONTROLS = ("random units", "shuffled images", "chance", "centre", "area")
PLACE = (METHOD, METRIC, MODEL, DATA)
MISSING = "has not been computed yet"


def tabulate(protocol: Protocol, values: Mapping[Cell, Mapping[str, Any]]) -> xr.Dataset:
    """The table of a protocol.

    Args:
        protocol: the protocol; its images need not be at hand.
        values: results by cell; cells may be missing.

    Returns:
        As :meth:`Protocol.run`.
    """
    axes: dict[str, list[Any]] = {
        METHOD: [str(item) for item in protocol.methods],
        METRIC: [column.label for column in protocol.columns],
        MODEL: [item.name for item in protocol.models],
        DATA: [item.name for item in protocol.data],
        SEED: list(protocol.seeds),
    }
    shape = tuple(len(axes[name]) for name in PLACE)
    images = max(item.count for item in protocol.data)
    score = np.full((*shape, len(protocol.seeds), images), np.nan)
    own = np.full((*shape, len(protocol.seeds), len(FIELDS)), np.nan)
    controls = np.full((*shape, len(CONTROLS), len(protocol.seeds), len(FIELDS)), np.nan)
    note = np.full(shape, "", dtype=object)
    done = np.zeros((shape[0], *shape[2:], len(protocol.seeds)), dtype=bool)
    for (i, m, d, s), _ in np.ndenumerate(done):
        cell = Cell(axes[METHOD][i], axes[MODEL][m], axes[DATA][d], axes[SEED][s])
        found: Mapping[str, Any] | None = values.get(cell)
        done[i, m, d, s] = found is not None
        for j, label in enumerate(axes[METRIC]):
            entry: Mapping[str, Any] = {"note": MISSING} if found is None else found[label]
            if "note" in entry:
                note[i, j, m, d] = entry["note"]
                continue
            score[i, j, m, d, s, : len(entry["score"])] = entry["score"]
            own[i, j, m, d, s] = entry.get("own", np.nan)
            for name, numbers in entry["controls"].items():
                controls[i, j, m, d, CONTROLS.index(name), s] = numbers
    table = xr.Dataset({"score": ((*PLACE, SEED, IMAGE), score)})
    table = table.assign(_estimates(score, own))
    table = table.assign({f"control_{name}": ((*PLACE, CONTROL), column) for name, column in _pooled(controls).items()})
    table["note"] = (PLACE, np.where((note == "") & (table["n"].values == 0), "no image could be scored", note))
    table["done"] = ((METHOD, MODEL, DATA, SEED), done)
    table = table.assign_coords(_coordinates(protocol, axes))
    return table.assign_attrs(provenance(protocol=protocol.hash, description=protocol.to_json()))


def _estimates(score: Any, own: Any) -> dict[str, Any]:
    """value, low, high and n: of the mean over images, or the metric's own where it is no mean."""
    known = np.isfinite(score)
    counts = known.sum(axis=-2)
    mean = np.divide(
        np.where(known, score, 0).sum(axis=-2), counts, out=np.full(counts.shape, np.nan), where=counts > 0
    )
    summary = bootstrap_dataset(xr.DataArray(mean, dims=(*PLACE, IMAGE)), over=IMAGE)
    theirs, pooled = np.isfinite(own[..., 0]).any(axis=-1), _pooled(own)
    return {name: (PLACE, np.where(theirs, pooled[name], summary[name].values)) for name in FIELDS[:3]} | {
        "n": (PLACE, np.where(theirs, pooled["n"], summary["n"].values).astype(np.int64))
    }


def _pooled(numbers: Any) -> dict[str, Any]:
    """Over seeds (the last axis but one): the mean value, the widest interval and the smallest n of the seeds known."""
    known = np.isfinite(numbers[..., 0])
    counts = known.sum(axis=-1)
    nothing = counts == 0
    value = np.where(known, numbers[..., 0], 0).sum(axis=-1) / np.maximum(counts, 1)
    low, high, n = (
        np.where(known, numbers[..., index], fill) for index, fill in ((1, np.inf), (2, -np.inf), (3, np.inf))
    )
    # an interval that one seed lacks is not known for all of them
    return {
        "value": np.where(nothing, np.nan, value),
        "low": np.where(nothing, np.nan, low.min(axis=-1)),
        "high": np.where(nothing, np.nan, high.max(axis=-1)),
        "n": np.where(nothing, 0, n.min(axis=-1)).astype(np.int64),
    }


def _coordinates(protocol: Protocol, axes: Mapping[str, Any]) -> dict[str, Any]:
    columns = protocol.columns
    images = max(item.count for item in protocol.data)
    identifiers = np.full((len(protocol.data), images), "", dtype=object)
    for row, item in enumerate(protocol.data):
        if item.source is not None:
            identifiers[row, : item.count] = [str(name) for name in item.source.identifiers]
        else:
            identifiers[row, : item.count] = [str(index) for index in range(item.count)]
    return {
        **{name: strings(axes[name]) for name in (METHOD, METRIC, MODEL, DATA)},
        SEED: axes[SEED],
        IMAGE: np.arange(images),
        CONTROL: strings(CONTROLS),
        "kind": (METHOD, strings(kind_of(item) for item in protocol.methods)),
        "method_name": (METHOD, strings(item.name for item in protocol.methods)),
        "metric_name": (METRIC, strings(column.choice.name for column in columns)),
        "metric_kind": (METRIC, strings(column.kind for column in columns)),
        "better": (METRIC, strings(metrics[column.choice.name].card.better for column in columns)),
        "binariser": (METRIC, strings(column.binariser for column in columns)),
        "weights": (METRIC, strings(column.weights for column in columns)),
        "weights_hash": (MODEL, strings(item.weights_hash for item in protocol.models)),
        "layer": (MODEL, strings(item.layer for item in protocol.models)),
        "manifest_hash": (DATA, strings(item.content for item in protocol.data)),
        "identifier": ((DATA, IMAGE), identifiers),
    }
