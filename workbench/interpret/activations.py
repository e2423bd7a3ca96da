"""What interpretation reads: an activation store, a selection of its images, or activations in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr

from workbench.arrays import CATEGORY, IMAGE, UNIT, check_array, strings
from workbench.errors import InputError, ShapeError, unknown_name
from workbench.interpret.reading import label_categories, quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.explain.progress import Stop
    from workbench.models import ImageModel


class Activations(Protocol):
    """What an :class:`~workbench.store.ActivationStore` offers to interpretation."""

    @property
    def layers(self) -> Any:
        """Names of the layers."""

    @property
    def identifiers(self) -> Any:
        """One name an image."""

    @property
    def categories(self) -> Any:
        """Names of the outputs."""

    @property
    def labels(self) -> Any:
        """(image) integers, -1 for none; None where nothing is labelled."""

    @property
    def predicted(self) -> Any:
        """(image) integers: the category of the largest logit."""

    @property
    def logits(self) -> Any:
        """(image, category)."""

    def dataset(self, layer: str) -> xr.Dataset:
        """One layer.

        Args:
            layer: its name.

        Returns:
            ``maps`` (image, ...), read when they are indexed; ``max`` and ``mean`` (image, unit).
        """

    def quantile(self, layer: str, q: float) -> xr.DataArray:
        """Quantile of each unit over all images and positions.

        Args:
            layer: its name.
            q: in [0, 1].

        Returns:
            (unit) float64.
        """


@dataclass(frozen=True)
class MemoryActivations:
    """Activations that fit into memory, for a few images or a test.

    Attributes:
        maps: layer name to (image, unit, ...) or (image, ..., unit) float: any positions, such as y and x.
        categories: names of the outputs.
        labels: (image) int64, -1 for none, or None.
        logits: (image, category) float32, or None.
        identifiers: one name an image; "0", "1" ... where empty.
        attrs: where the numbers come from.
    """

    maps: Mapping[str, xr.DataArray]
    categories: tuple[str, ...] = ()
    labels: NDArray[np.int64] | None = None
    logits: xr.DataArray | None = None
    identifiers: Sequence[str] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    _pooled: dict[str, xr.Dataset] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.maps:
            raise InputError("maps is empty; expected at least one layer.")
        counts = {layer: maps.sizes[IMAGE] for layer, maps in self.maps.items()}
        count = next(iter(counts.values()))
        if len(set(counts.values())) > 1:
            raise ShapeError(f"The layers hold {counts} images; expected the same in each.")
        if self.labels is not None and len(self.labels) != count:
            raise ShapeError(f"{len(self.labels)} labels for {count} images; expected one an image.")
        if not len(self.identifiers):
            object.__setattr__(self, "identifiers", tuple(str(index) for index in range(count)))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(self.maps)

    @property
    def predicted(self) -> NDArray[np.int64] | None:
        """(image) int64: the category of the largest logit; None without logits."""
        return None if self.logits is None else np.asarray(self.logits.argmax(CATEGORY).values, dtype=np.int64)

    def dataset(self, layer: str) -> xr.Dataset:
        """Maps and pooled values of one layer.

        Args:
            layer: its name.

        Returns:
            ``maps`` (image, ...), ``max`` and ``mean`` (image, unit).

        Raises:
            UnknownNameError: no such layer.
        """
        if layer not in self.maps:
            raise unknown_name("layer", layer, self.maps)
        if layer not in self._pooled:
            # methods ask for a layer many times, and pooling reads all of it
            self._pooled[layer] = self._made(layer)
        return self._pooled[layer].copy()

    def _made(self, layer: str) -> xr.Dataset:
        maps = self.maps[layer].assign_coords({IMAGE: strings(self.identifiers)})
        positions = [dim for dim in maps.dims if dim not in (IMAGE, UNIT)]
        pooled = {"max": maps.max(positions), "mean": maps.mean(positions)}
        return xr.Dataset({"maps": maps, **pooled}, attrs=dict(self.attrs))

    def quantile(self, layer: str, q: float) -> xr.DataArray:
        """Quantile of each unit over all images and positions.

        Args:
            layer: its name.
            q: in [0, 1].

        Returns:
            (unit) float64.
        """
        return quantile(self, layer, q)


@dataclass(frozen=True)
class Selection:
    """Some images of other activations, in the order given: a coreset, one half of a split, one category.

    Attributes:
        source: the other activations.
        indices: (image) int64, positions in them.
    """

    source: Activations
    indices: NDArray[np.int64]

    @property
    def layers(self) -> Any:
        """Names of the layers."""
        return self.source.layers

    @property
    def identifiers(self) -> Sequence[str]:
        """Identifiers of the chosen images."""
        names = self.source.identifiers
        return [str(names[int(index)]) for index in self.indices]

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(self.source.categories)

    @property
    def label_categories(self) -> tuple[str, ...]:
        """Names of the categories that the labels count."""
        return label_categories(self.source)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """(image) int64, or None."""
        labels = self.source.labels
        return None if labels is None else np.asarray(labels)[self.indices]

    @property
    def predicted(self) -> NDArray[np.int64] | None:
        """(image) int64, or None."""
        predicted = self.source.predicted
        return None if predicted is None else np.asarray(predicted)[self.indices]

    @property
    def logits(self) -> xr.DataArray | None:
        """(image, category), or None."""
        logits = self.source.logits
        return None if logits is None else logits.isel({IMAGE: self.indices})

    def rooted(self, positions: NDArray[np.int64]) -> tuple[Activations, NDArray[np.int64]]:
        """The source, and where in it some of the chosen images are.

        Args:
            positions: (image) int64, among the chosen.

        Returns:
            The source and (image) int64, positions in it.
        """
        return self.source, self.indices[positions]

    def dataset(self, layer: str) -> xr.Dataset:
        """As the source's, of the chosen images.

        Args:
            layer: its name.

        Returns:
            ``maps`` (image, ...), and what else the source has by image.
        """
        return self.source.dataset(layer).isel({IMAGE: self.indices})

    def quantile(self, layer: str, q: float) -> xr.DataArray:
        """Quantile of each unit over the chosen images and all positions.

        Args:
            layer: its name.
            q: in [0, 1].

        Returns:
            (unit) float64.
        """
        return quantile(self, layer, q)


def select(source: Activations, indices: Any) -> Selection:
    """Some images of a store, as a store of their own; nothing is read or copied yet.

    Args:
        source: an activation store.
        indices: (image) positions in the store, in the wanted order.

    Returns:
        The selection.

    Raises:
        InputError: no index, or one out of range.
        DtypeError: indices that are not integers.
    """
    chosen = check_array(indices, name="indices", dims=(IMAGE,), kinds="iu").astype(np.int64)
    count = len(source.identifiers)
    if chosen.min() < 0 or chosen.max() >= count:
        raise InputError(f"indices reach from {chosen.min()} to {chosen.max()}; expected within the {count} images.")
    if isinstance(source, Selection):
        return Selection(source.source, source.indices[chosen])
    return Selection(source, chosen)


def observe(
    model: ImageModel,
    images: Any,
    *,
    layers: str | Sequence[str],
    labels: Any = None,
    batch_size: int = 64,
    stop: Stop | None = None,
) -> MemoryActivations:
    """Run a network over a few images and keep what its layers give in memory.

    For more images than fit into memory, use ``ActivationStore.extract``.

    Args:
        model: the model.
        images: anything that ``model.prepare`` takes.
        layers: names of layers, see ``model.layers``.
        labels: one integer an image, -1 for none.
        batch_size: images a forward pass.
        stop: asked before each forward pass; True ends the work with :class:`Interrupted`.

    Returns:
        The activations, float32.

    Raises:
        UnknownNameError: no such layer.
        InputError: the images cannot be used.
        Interrupted: ``stop`` answered True.
    """
    import torch

    from workbench.explain.progress import check_stop
    from workbench.models import capture
    from workbench.store.naming import dimension_names

    modules = dict(model.module.named_modules())

    chosen = [layers] if isinstance(layers, str) else list(layers)
    shapes = {layer: model.check_layer(layer) for layer in chosen}
    names: list[str] = []
    kept: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in chosen}
    logits: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for identifiers, inputs in model.batches(images, batch_size=batch_size):
            check_stop(stop, doing=f"running {model.name!r} over the images")
            with capture(model, chosen) as found:
                logits.append(model.logits(inputs).float().cpu().numpy())
            names += identifiers
            for layer in chosen:
                kept[layer].append(found[layer].float().cpu().numpy())
    maps = {
        layer: xr.DataArray(
            np.concatenate(kept[layer]),
            dims=(IMAGE, *dimension_names(shapes[layer], module=modules.get(layer.rpartition(":")[0] or layer))),
        )
        for layer in chosen
    }
    return MemoryActivations(
        maps,
        tuple(model.category_names(logits[0].shape[1])),
        None if labels is None else check_array(labels, name="labels", dims=(IMAGE,), kinds="iu").astype(np.int64),
        xr.DataArray(np.concatenate(logits), dims=(IMAGE, CATEGORY)),
        names,
        {"model": model.name, "weights_hash": model.weights_hash},
    )
