"""Features for choosing a coreset without storing anything: one pass over the images that keeps two numbers a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from workbench.arrays import IMAGE, UNIT, strings
from workbench.errors import InputError
from workbench.models import capture
from workbench.store.naming import dimension_names

if TYPE_CHECKING:
    from workbench.interpret.coreset.choice import Pool
    from workbench.models import ImageModel


def features_of(
    model: ImageModel, images: Any, *, layer: str, pool: Pool = "both", batch_size: int = 64
) -> xr.DataArray:
    """Pooled features of images, as a store would give them, with nothing written and no map kept.

    Args:
        model: the model.
        images: anything that ``model.prepare`` takes; read a batch at a time.
        layer: name of the layer, see ``model.layers``.
        pool: ``"mean"``, ``"max"`` or ``"both"`` over positions.
        batch_size: images a forward pass.

    Returns:
        (image, unit) float32; twice as many as units for ``"both"``, means first.

    Raises:
        UnknownNameError: no such layer.
        InputError: an unknown pool, a layer without units, or images that cannot be used.
    """
    if pool not in ("mean", "max", "both"):
        raise InputError(f"pool is {pool!r}; expected 'mean', 'max' or 'both'.")
    shape = model.check_layer(layer)
    modules = dict(model.module.named_modules())
    dims = dimension_names(shape, module=modules.get(layer) or modules.get(layer.rpartition(":")[0]))
    if UNIT not in dims:
        raise InputError(f"layer {layer!r} has the dimensions {dims}: no 'unit'. Choose another layer.")
    positions = [1 + axis for axis, dim in enumerate(dims) if dim != UNIT]
    names: list[str] = []
    parts: list[torch.Tensor] = []
    with torch.inference_mode():
        for identifiers, inputs in model.batches(images, batch_size=batch_size):
            with capture(model, layer) as found:
                model.logits(inputs)
            maps = found[layer].float()
            kinds = {
                "mean": maps.mean(positions) if positions else maps,
                "max": maps.amax(positions) if positions else maps,
            }
            chosen = [kinds["mean"], kinds["max"]] if pool == "both" else [kinds[pool]]
            parts.append(torch.cat(chosen, dim=1).cpu())
            names += identifiers
    return xr.DataArray(
        np.asarray(torch.cat(parts).numpy(), dtype=np.float32),
        dims=(IMAGE, UNIT),
        coords={IMAGE: strings(names)},
        attrs={"model": model.name, "weights_hash": model.weights_hash, "layer": layer, "pool": pool},
    )
