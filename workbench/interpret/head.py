"""The part of a network behind a layer: from the layer's maps to the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from workbench.arrays import IMAGE, UNIT
from workbench.errors import InputError, StoreMismatchError
from workbench.interpret.reading import unit_maps
from workbench.models import replace_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations
    from workbench.models import ImageModel

CHECKED_IMAGES = 8
RELATIVE = 0.02  # stored maps may be float16


@dataclass(frozen=True)
class Head:
    """What a network does with the maps of one layer; every path from input to output must lead through that layer.

    Attributes:
        model: the model; its input size must be known.
        layer: the layer's name.
        batch_size: images a forward pass.
    """

    model: ImageModel
    layer: str
    batch_size: int = 64

    def tensor(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits of maps; gradients flow.

        Args:
            maps: (image, ...) float, as the layer gives them.

        Returns:
            (image, category) float.
        """
        # what stands before the layer is computed in vain, on zeros, since networks cannot be cut in general
        zeros = torch.zeros((len(maps), *self.model.input_shape), dtype=self.model.dtype, device=self.model.device)
        with replace_output(self.model, {self.layer: maps.to(self.model.device, self.model.dtype)}):
            return self.model.logits(zeros)

    def logits(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of maps, a batch at a time.

        Args:
            maps: (image, ...) float, as the layer gives them.

        Returns:
            (image, category) float32.
        """
        with torch.inference_mode():
            parts = [
                self.tensor(torch.from_numpy(np.ascontiguousarray(maps[start : start + self.batch_size]))).float().cpu()
                for start in range(0, len(maps), self.batch_size)
            ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)

    def gradients(self, maps: NDArray[np.float32], category: int) -> NDArray[np.float32]:
        """How the logit of a category changes with each entry of the maps.

        Args:
            maps: (image, ...) float, as the layer gives them.
            category: index of the category.

        Returns:
            (image, ...) float32.
        """
        parts = []
        for start in range(0, len(maps), self.batch_size):
            some = torch.from_numpy(np.ascontiguousarray(maps[start : start + self.batch_size])).requires_grad_()
            with torch.enable_grad():
                total = self.tensor(some)[:, category].sum()
            parts.append(torch.autograd.grad(total, some)[0].float().numpy())
        return np.asarray(np.concatenate(parts), dtype=np.float32)

    def check(self, store: Activations) -> None:
        """Refuse a layer that does not decide the logits, or a store of another network.

        Args:
            store: activations of the same network, with logits.

        Raises:
            StoreMismatchError: the stored maps do not give the stored logits.
            InputError: the store has no logits.
        """
        if store.logits is None:
            raise InputError("These activations have no logits; extract them with the network.")
        count = min(CHECKED_IMAGES, len(store.identifiers))
        maps = np.asarray(store.dataset(self.layer)["maps"].isel({IMAGE: slice(count)}).values, dtype=np.float32)
        stored = np.asarray(store.logits.isel({IMAGE: slice(count)}).values)
        found = self.logits(maps)
        error = float(np.abs(found - stored).max())
        if error > RELATIVE * max(float(np.abs(stored).max()), 1e-6):
            raise StoreMismatchError(
                f"The maps of layer {self.layer!r} give other logits than those stored (by up to {error:.3g}). Either "
                f"the store is of another network than {self.model.name!r}, or a path leads around the layer: choose "
                "a layer through which everything passes."
            )


def layer_maps(store: Activations, layer: str, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """The maps of some images as the layer gave them, all in memory.

    Args:
        store: the activations.
        layer: the layer's name; it must have units.
        indices: (image) positions.

    Returns:
        (image, ...) float32 in the layer's own order of dimensions.
    """
    unit_maps(store, layer)
    return np.asarray(store.dataset(layer)["maps"].isel({IMAGE: indices}).values, dtype=np.float32)


def units_first(values: NDArray[np.float32], store: Activations, layer: str) -> NDArray[np.float32]:
    """Maps in the layer's own order of dimensions as (image, unit, position).

    Args:
        values: (image, ...) as the layer gives them.
        store: the activations, whose dimension names count.
        layer: the layer's name.

    Returns:
        (image, unit, position) float32.
    """
    own = store.dataset(layer)["maps"]
    array = xr.DataArray(values, dims=own.dims).transpose(IMAGE, UNIT, ...)
    return np.asarray(array.values.reshape(len(values), own.sizes[UNIT], -1))
