"""What a store holds, and questions to it: everything that only reads."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import CATEGORY, IMAGE, UNIT
from workbench.errors import InputError, unknown_name
from workbench.store.plan import IDENTIFIERS, LABELS, LOGITS, PREDICTED, LayerPlan, Plan
from workbench.store.queries import category_mask, check_unit, image_positions, quantile, top_images, unit_coordinates
from workbench.store.reader import GuardedStore, open_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from workbench.store.backends import Backend
    from workbench.store.opening import State


class StoredActivations:
    """Activations, logits and labels of images, by layer, as they lie on disk; nothing here writes."""

    def __init__(self, backend: Backend, plan: Plan, state: State) -> None:
        self._backend = backend
        self._plan = plan
        self.state = state
        self._datasets: dict[str, xr.Dataset] = {}

    # ---------------------------------------------------------------- what it holds

    def __repr__(self) -> str:
        lacking = "" if self.state.whole else f", {self._plan.images - len(self.identifiers)} more not readable"
        layers = ", ".join(f"{layer.name} {layer.shape}" for layer in self._plan.layers)
        return f"<ActivationStore of {self.provenance['model']!r}: {len(self.identifiers)} images{lacking}; {layers}>"

    def __len__(self) -> int:
        return len(self.identifiers)

    @property
    def path(self) -> str:
        """Where the store lies."""
        return self._backend.location

    @property
    def plan(self) -> Plan:
        """What fixes the bytes of the store: batches, blocks, threads, layers."""
        return self._plan

    @property
    def provenance(self) -> dict[str, str | int | float]:
        """Model name, weights hash, preprocessing, data hashes and versions; attributes of every result."""
        return dict(self._plan.provenance)

    @property
    def layers(self) -> dict[str, tuple[int, ...]]:
        """Layer name to the shape of its output without the image dimension."""
        return {layer.name: layer.shape for layer in self._plan.layers}

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the model's categories, which ``logits`` and ``predicted`` index."""
        return self._plan.categories

    @property
    def label_categories(self) -> tuple[str, ...]:
        """Names of the dataset's categories, which ``labels`` index; the model's where the dataset names none."""
        return self._plan.label_categories or self._plan.categories

    @cached_property
    def identifiers(self) -> tuple[str, ...]:
        """Names of the images that can be read, in their order."""
        names = self._all_identifiers or tuple(f"#{index}" for index in range(self._plan.images))
        return names if self.state.whole else tuple(names[index] for index in self._usable)

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Names of the images that cannot be read; () unless the store was opened with ``allow_partial=True``."""
        names = self._all_identifiers or tuple(f"#{index}" for index in range(self._plan.images))
        lacking = np.setdiff1d(np.arange(self._plan.images), self._usable)
        return tuple(names[index] for index in lacking)

    @cached_property
    def labels(self) -> xr.DataArray | None:
        """(image) int64 index into ``label_categories``, -1 for none; None where no image has a label."""
        if not self.state.index:
            return None
        codes = self._variable(LABELS).values
        return None if (codes == -1).all() else self._along_images(codes, "label")

    @cached_property
    def predicted(self) -> xr.DataArray:
        """(image) int64: the category with the highest logit."""
        return self._along_images(self._variable(PREDICTED).values, "predicted")

    @property
    def logits(self) -> xr.DataArray:
        """(image, category) float32, read when it is used."""
        coordinates = {IMAGE: np.array(self.identifiers), CATEGORY: np.array(self.categories)}
        return xr.DataArray(self._variable(LOGITS), coords=coordinates, name="logits", attrs=self.provenance)

    def dataset(self, layer: str) -> xr.Dataset:
        """Everything on one layer, read when it is used.

        Args:
            layer: name of the layer.

        Returns:
            ``maps`` (image, unit, y, x) for a convolutional layer, (image, unit) for a linear one, (image, token,
            unit) for a sequence, else as the layer gives it; in the dtype of the store. Pooled over all positions:
            ``max``, ``mean`` (image, unit) float32, and the position of the first maximum, ``argmax_y``, ``argmax_x``
            (``argmax_token``) (image, unit) int32. ``logits`` (image, category). Coordinates: ``image``
            (identifiers), ``label``, ``predicted``, ``category``, ``unit`` (index) with its ``layer``.

        Raises:
            UnknownNameError: the store has no such layer.
        """
        if layer not in self._datasets:
            self._datasets[layer] = self._open_layer(self._layer(layer))
        # a shallow copy: what the caller loads or adds stays with the caller
        return self._datasets[layer].copy()

    # ---------------------------------------------------------------- questions

    def top_images(self, layer: str, unit: int, k: int = 9, *, by: str = "max") -> xr.Dataset:
        """The images to which a unit answers most strongly.

        Args:
            layer: name of the layer.
            unit: index of the unit.
            k: number of images; all where there are fewer.
            by: ``"max"`` or ``"mean"`` over positions.

        Returns:
            The dataset of the layer at this unit and these images, strongest first, equal ones in the order of the
            store: ``max``, ``mean``, ``argmax_y``, ``argmax_x`` (image), ``maps`` (image, y, x), read when it is used;
            the coordinate ``index`` (image) is the position in the store.

        Raises:
            UnknownNameError: no such layer or ranking.
            InputError: no such unit, k below 1, or a layer without units.
            DtypeError: unit is not a whole number.
        """
        plan = self._layer(layer)
        return top_images(self.dataset(layer), check_unit(plan, unit), k, by=by)

    def unit_map(self, layer: str, unit: int, *, images: Any = None) -> xr.DataArray:
        """What one unit gives, over all images.

        Args:
            layer: name of the layer.
            unit: index of the unit.
            images: identifiers, positions or a mask of the images wanted; all by default.

        Returns:
            (image, y, x) in the dtype of the store, in memory ((image) for a linear layer).

        Raises:
            UnknownNameError, InputError, DtypeError: no such layer, unit or image.
        """
        plan = self._layer(layer)
        maps = self.dataset(layer)["maps"].isel({UNIT: check_unit(plan, unit)})
        if images is not None:
            maps = maps.isel({IMAGE: image_positions(self.identifiers, images)})
        return maps.assign_attrs({**self.provenance, "layer": layer}).load()

    def image_maps(self, layer: str, image: str | int) -> xr.DataArray:
        """What all units give, for one image.

        Args:
            layer: name of the layer.
            image: identifier or position of the image.

        Returns:
            (unit, y, x) in the dtype of the store, in memory.

        Raises:
            UnknownNameError, InputError, DtypeError: no such layer or image.
        """
        maps = self.dataset(layer)["maps"]
        position = int(image_positions(self.identifiers, image)[0])
        return maps.isel({IMAGE: position}).assign_attrs({**self.provenance, "layer": layer}).load()

    def quantile(self, layer: str, q: float | ArrayLike) -> xr.DataArray:
        """Quantiles of each unit over all positions of all images, streamed.

        The order statistics are exact; interpolated as ``np.quantile`` does (``"linear"``), within a relative 1e-12.

        Args:
            layer: name of the layer.
            q: one number or several in [0, 1].

        Returns:
            (unit) float64, or (quantile, unit) for several.

        Raises:
            UnknownNameError: no such layer.
            InputError: q outside [0, 1], or a layer without units.
        """
        result = quantile(self.dataset(layer), self._plan, self._layer(layer), q)
        return result.assign_attrs({**self.provenance, "layer": layer})

    def select(
        self,
        layer: str,
        *,
        images: Any = None,
        units: Any = None,
        label: int | str | None = None,
        predicted: int | str | None = None,
    ) -> xr.Dataset:
        """A part of one layer as dask arrays: nothing is read before ``.compute()``.

        Args:
            layer: name of the layer.
            images: identifiers, positions or a mask of the images wanted.
            units: indices of the units wanted.
            label: only images with this label, by index or name.
            predicted: only images predicted as this category, by index or name.

        Returns:
            As :meth:`dataset`, in chunks that follow the store's shards.

        Raises:
            UnknownNameError, InputError, DtypeError: no such layer, image, unit or category, or no labels.
        """
        plan, dataset = self._layer(layer), self.dataset(layer)
        chunks = self._dask_chunks(plan)
        dataset = dataset.assign(
            {
                name: array.chunk({dim: size for dim, size in chunks.items() if dim in array.dims})
                for name, array in dataset.data_vars.items()
            }
        )
        keep = np.ones(len(self), bool)
        if label is not None:
            if self.labels is None:
                raise InputError("label was given, but the store has no labels. Extract with labels=.")
            keep &= category_mask(self.labels.values, label, self.label_categories, what="the labels")
        if predicted is not None:
            keep &= category_mask(self.predicted.values, predicted, self.categories, what="the model")
        positions = np.arange(len(self)) if images is None else image_positions(self.identifiers, images)
        positions = positions[keep[positions]]
        if len(positions) < len(self) or images is not None:
            dataset = dataset.isel({IMAGE: positions})
        if units is not None:
            dataset = dataset.isel({UNIT: [check_unit(plan, unit) for unit in np.atleast_1d(np.asarray(units))]})
        return dataset

    # ---------------------------------------------------------------- inside

    @cached_property
    def _zarr(self) -> GuardedStore:
        return GuardedStore(self._backend.zarr_store(), self._plan)

    @cached_property
    def _usable(self) -> NDArray[np.int64]:
        return self.state.usable(self._plan)

    @cached_property
    def _all_identifiers(self) -> tuple[str, ...] | None:
        if not self.state.index:
            return None
        return tuple(str(name) for name in open_array(self._zarr, self._plan.index_arrays[IDENTIFIERS]).values)

    def _layer(self, name: str) -> LayerPlan:
        if name not in self.layers:
            raise unknown_name("layer", name, self.layers, hint="The store holds these layers only.")
        return self._plan.layer(name)

    def _open_layer(self, layer: LayerPlan) -> xr.Dataset:
        prefix = f"{layer.group}/"
        variables: dict[str, Any] = {
            path.removeprefix(prefix): self._variable(path)
            for path in self._plan.block_arrays
            if path.startswith(prefix)
        }
        coordinates: dict[str, Any] = {
            IMAGE: np.array(self.identifiers),
            "predicted": self.predicted.variable,
            CATEGORY: np.array(self.categories),
            **unit_coordinates(layer),
        }
        if self.labels is not None:
            coordinates["label"] = self.labels.variable
        return xr.Dataset(
            {**variables, "logits": self._variable(LOGITS)}, coordinates, {**self.provenance, "layer": layer.name}
        )

    def _variable(self, path: str) -> xr.Variable:
        array = {**self._plan.block_arrays, **self._plan.index_arrays}[path]
        variable = open_array(self._zarr, array)
        return variable if self.state.whole else variable.isel({IMAGE: self._usable})

    def _along_images(self, values: NDArray[Any], name: str) -> xr.DataArray:
        return xr.DataArray(
            values, dims=(IMAGE,), coords={IMAGE: np.array(self.identifiers)}, name=name, attrs=self.provenance
        )

    def _dask_chunks(self, layer: LayerPlan) -> dict[str, int]:
        maps = self._plan.block_arrays[f"{layer.group}/maps"]
        units = dict(zip(maps.dims, maps.chunks, strict=True)).get(UNIT)
        return {IMAGE: self._plan.block_images, **({} if units is None else {UNIT: units})}
