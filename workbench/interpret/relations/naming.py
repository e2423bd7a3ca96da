"""What units answer to, found by changing pictures, and graphs whose units are called so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import UNIT, provenance, strings
from workbench.errors import InputError, ShapeError
from workbench.interpret.activations import observe
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.table import EDGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workbench.models import ImageModel

CHANGE, GROUP = "change", "group"
NOTHING = ""


def answers_to(
    model: ImageModel,
    images: Any,
    changed: Mapping[str, Any],
    *,
    layer: str,
    groups: Mapping[str, Sequence[int]] | None = None,
    categories: Sequence[str] = (),
    batch_size: int = 64,
) -> xr.Dataset:
    """Name units by what must be changed in pictures for them to change.

    A unit answers to what moves its maximum most, on average over the pictures; where groups are given, to that of the
    group in which it moves it most: units of two models that were trained apart get the same name where they do the
    same.

    Args:
        model: the model.
        images: pictures, as ``model.prepare`` takes them.
        changed: what was changed (a watermark, an object) to the same pictures with that changed, in the same order.
        layer: whose units.
        groups: what was changed to (image) integers: of which category it is in each picture, -1 for none.
        categories: names of the categories that ``groups`` counts.
        batch_size: pictures a pass.

    Returns:
        Dataset: ``name`` (unit), ``"watermark"`` or, with groups, ``"watermark of star"``; "" for units that nothing
        moves. ``moved`` (change, unit) float64, the mean distance that the unit's maximum moves.

    Raises:
        InputError: nothing was changed, or a group that has no name.
        ShapeError: other numbers of pictures or group members than of images.
        UnknownNameError: no such layer.
    """
    if not changed:
        raise InputError("changed is empty; expected at least one thing that was changed, with the changed pictures.")
    base = _maxima(model, images, layer, batch_size)
    distance = {}
    for name, pictures in changed.items():
        other = _maxima(model, pictures, layer, batch_size)
        if other.shape != base.shape:
            raise ShapeError(
                f"There are {len(base)} pictures, and {len(other)} with {name!r} changed; expected as many."
            )
        distance[name] = np.abs(other - base)
    moved = np.stack([each.mean(axis=0) for each in distance.values()])
    member = {name: _members(name, values, len(base), len(categories)) for name, values in (groups or {}).items()}
    kinds = list(changed)
    names = []
    for unit, best in enumerate(moved.argmax(axis=0)):
        kind = kinds[best]
        if moved[best, unit] == 0:
            names.append(NOTHING)
        elif kind in member:
            there = [code for code in range(len(categories)) if (member[kind] == code).any()]
            of = max(there, key=lambda code: distance[kind][member[kind] == code, unit].mean())
            names.append(f"{kind} of {categories[of]}")
        else:
            names.append(kind)
    return xr.Dataset(
        {"name": (UNIT, strings(names)), "moved": ((CHANGE, UNIT), moved)},
        coords={CHANGE: strings(kinds)},
        attrs=provenance(method="relations.answers_to", layer=layer, model=model.name, weights_hash=model.weights_hash),
    )


def _maxima(model: ImageModel, images: Any, layer: str, batch_size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    seen = observe(model, images, layers=layer, batch_size=batch_size)
    return np.asarray(seen.dataset(layer)["max"].values, dtype=np.float64)


def _members(name: str, values: Sequence[int], count: int, known: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    codes = np.asarray(values)
    if codes.shape != (count,):
        raise ShapeError(
            f"groups[{name!r}] has shape {codes.shape}; expected one category for each of {count} pictures."
        )
    if codes.max(initial=-1) >= known or not (codes >= 0).any():
        raise InputError(f"groups[{name!r}] counts {codes.max(initial=-1) + 1} categories; {known} have names.")
    return codes.astype(np.int64)


def with_names(graph: RelationGraph, names: Mapping[tuple[str, int], str]) -> RelationGraph:
    """The same graph, its units called by names.

    Args:
        graph: the graph.
        names: (layer, index) to name; ends that are not in it keep what they are called.

    Returns:
        A graph with these names.
    """
    columns = {}
    for role in ("source", "target", "partner"):
        ends = zip(
            graph.column(f"{role}_layer"), graph.column(f"{role}_unit"), graph.column(f"{role}_name"), strict=True
        )
        called = [names.get((str(layer), int(unit)), str(own)) for layer, unit, own in ends]
        columns[f"{role}_name"] = (EDGE, strings(called))
    return RelationGraph(graph.dataset.assign(columns))
