"""The maps that a cell scores: made once to be scored, and again for whoever wants to see them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import CHANNEL, IMAGE, PART, UNIT, X, Y, provenance, strings
from workbench.errors import unknown_name
from workbench.evaluate.protocol.checks import INTERPRETATION, RANDOM_MAPS, kind_of
from workbench.evaluate.protocol.situation import situation_of
from workbench.evaluate.protocol.units import unit_maps
from workbench.evaluate.removal import random_maps
from workbench.explain import Meter, explainers

if TYPE_CHECKING:
    from workbench.evaluate.protocol.choices import Choice
    from workbench.evaluate.protocol.description import Protocol
    from workbench.evaluate.protocol.situation import Situation
    from workbench.evaluate.protocol.units import UnitMaps
    from workbench.explain.progress import Report, Stop

BATCH = 32  # images that a method explains at a time


def explanation_maps(situation: Situation, method: Choice, seed: int, *, progress: Report = False) -> xr.DataArray:
    """Heatmaps of all images by one method.

    Args:
        situation: network and images; its ``stop`` is asked on the way, by the method too.
        method: an explanation method, or random maps.
        seed: handed to methods that draw.
        progress: as :class:`~workbench.explain.Meter` takes it; counts images.

    Returns:
        (image, y, x) float32 with the names of the images.

    Raises:
        Interrupted: the situation's ``stop`` answered True.
        WorkbenchError: as the method.
    """
    inputs, targets = situation.inputs, situation.targets
    if method.name == RANDOM_MAPS:
        height, width = inputs.shape[2:]
        blank = xr.DataArray(np.zeros((len(inputs), height, width), dtype=np.float32), dims=(IMAGE, Y, X))
        found = random_maps(blank.assign_coords(target=(IMAGE, targets)), seed=seed)
        return found.assign_coords({IMAGE: strings(situation.identifiers)})
    options = method.parameters
    known = inspect.signature(explainers[method.name].function).parameters
    if "seed" in known:
        options["seed"] = seed
    if "stop" in known:
        options["stop"] = situation.stop
    parts = []
    with Meter(len(inputs), progress=progress, stop=situation.stop, label=method.name) as meter:
        for start in range(0, len(inputs), BATCH):
            meter.check()
            some = slice(start, start + BATCH)
            if "progress" in known:
                options["progress"] = meter.within(len(targets[some]))
            found = explainers[method.name](situation.model, inputs[some], target=targets[some].tolist(), **options)
            kept = {"target": (IMAGE, targets[some]), "signed": ((IMAGE, Y, X), found.coords["signed"].values)}
            parts.append(xr.DataArray(found.values, dims=(IMAGE, Y, X), coords=kept))
            meter.advance(len(found))
    maps = xr.concat(parts, IMAGE).assign_attrs(method=method.name)
    return maps.assign_coords({IMAGE: strings(situation.identifiers)})


def heatmaps_of(
    protocol: Protocol,
    *,
    method: str,
    model: str | None,
    data: str | None,
    seed: int | None,
    progress: Report,
    stop: Stop | None,
) -> xr.Dataset:
    """The maps behind a cell; see :meth:`Protocol.heatmaps`.

    Args:
        protocol: the protocol.
        method: as the table names it.
        model: likewise, or None.
        data: likewise, or None.
        seed: one of the seeds, or None.
        progress: as :class:`~workbench.explain.Meter` takes it.
        stop: likewise.

    Returns:
        Maps, pictures and masks.

    Raises:
        UnknownNameError: no such method, model, data or seed.
        Interrupted: ``stop`` answered True.
    """
    names = {
        "method": [str(item) for item in protocol.methods],
        "model": [item.name for item in protocol.models],
        "data": [item.name for item in protocol.data],
        "seed": [str(item) for item in protocol.seeds],
    }
    wanted = {"method": method, "model": model, "data": data, "seed": None if seed is None else str(seed)}
    chosen = {}
    for kind, name in wanted.items():
        chosen[kind] = names[kind][0] if name is None else name
        if chosen[kind] not in names[kind]:
            raise unknown_name(kind, name, names[kind])
    situation = situation_of(protocol.at_hand(), chosen["model"], chosen["data"], stop=stop)
    choice = protocol.methods[names["method"].index(method)]
    number = int(chosen["seed"])
    if kind_of(choice) == INTERPRETATION:
        return _of_units(situation, unit_maps(choice, situation, number, progress=progress))
    found = explanation_maps(situation, choice, number, progress=progress)
    positions = np.arange(len(situation.source))
    return _described(
        situation, xr.Dataset({"heatmap": found.drop_vars("signed", errors="ignore")}), positions, situation.inputs
    )


def _of_units(situation: Situation, found: UnitMaps) -> xr.Dataset:
    half = found.half
    maps = found.maps.drop_vars([name for name in found.maps.coords if name not in (IMAGE, UNIT)])
    table = xr.Dataset({"heatmap": maps, "shown": ((IMAGE, UNIT), found.shown)})
    table["relevance"] = ((IMAGE, UNIT), found.relevance)
    table["part_mask"] = ((IMAGE, PART, Y, X), half.parts.values)
    table = table.assign_coords({PART: half.parts[PART].values})
    return _described(situation, table, half.positions, half.inputs)


def _described(situation: Situation, table: xr.Dataset, positions: Any, inputs: Any) -> xr.Dataset:
    pictures = situation.model.pictures(inputs)
    table["picture"] = ((IMAGE, Y, X, CHANNEL), pictures)
    objects = situation.objects
    height, width = pictures.shape[1:3]
    masks = np.zeros((len(positions), height, width), dtype=bool) if objects is None else objects.values[positions]
    table["mask"] = ((IMAGE, Y, X), masks)
    names = strings(situation.identifiers[int(index)] for index in positions)
    facts = {"model": situation.model_choice.name, "data": situation.data_choice.name}
    return table.assign_coords({IMAGE: names, "position": (IMAGE, positions)}).assign_attrs(provenance(**facts))
