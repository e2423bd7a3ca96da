"""One network before one set of images, with all that several methods and metrics ask of them, made once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.arrays import IMAGE, strings
from workbench.data.source import Subset
from workbench.errors import InputError
from workbench.evaluate.part_masks import read_part_masks
from workbench.evaluate.protocol.choices import ANY, TARGET
from workbench.evaluate.regions import masks_on_grid
from workbench.explain.progress import check_stop
from workbench.interpret import Head, observe

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.data.source import AnnotatedImage, ImageSource
    from workbench.evaluate.overlap import Overlaps
    from workbench.evaluate.protocol.choices import DataChoice, ModelChoice
    from workbench.evaluate.protocol.description import Protocol
    from workbench.explain.progress import Stop
    from workbench.interpret import MemoryActivations
    from workbench.models import ImageModel


BATCH = 64  # images that the network is asked for at a time


@dataclass(frozen=True, eq=False)
class Half:
    """Images that units are learned from, or that they are scored on.

    Attributes:
        positions: (image) int64, where they stand in the data; for images that only serve learning, in those.
        store: activations of the layer.
        parts: (image, part, y, x) bool, masks of the parts on the network's grid.
        inputs: (image, channel, y, x), network input.
    """

    positions: NDArray[np.int64]
    store: MemoryActivations
    parts: xr.DataArray
    inputs: torch.Tensor


@dataclass(frozen=True, eq=False)
class Situation:
    """What is asked of one network and one set of images.

    Attributes:
        model_choice: the network, at hand.
        data_choice: the images, at hand.
        target: what explanations explain.
        stop: asked between the steps of all that is made here; True ends the work with
            :class:`~workbench.errors.Interrupted`. What is finished by then is kept.
    """

    model_choice: ModelChoice
    data_choice: DataChoice
    target: str
    stop: Stop | None = None

    def check(self, doing: str) -> None:
        """Stop here if that was asked.

        Args:
            doing: what is being done, for the message.

        Raises:
            Interrupted: it was.
        """
        check_stop(self.stop, doing=doing)

    @property
    def model(self) -> ImageModel:
        """The network."""
        if self.model_choice.model is None:
            raise InputError(f"The model {self.model_choice.name!r} is not at hand.")
        return self.model_choice.model

    @property
    def source(self) -> ImageSource:
        """The images."""
        if self.data_choice.source is None:
            raise InputError(f"The data {self.data_choice.name!r} are not at hand.")
        return self.data_choice.source

    @cached_property
    def identifiers(self) -> list[str]:
        """One name an image."""
        return [str(name) for name in self.source.identifiers]

    @cached_property
    def inputs(self) -> torch.Tensor:
        """(image, channel, y, x), network input."""
        parts = []
        for _, chunk in self.model.batches(self.source, batch_size=BATCH):
            parts.append(chunk)
            self.check("preparing the images")
        return torch.cat(parts)

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """(image) int64, the category that is explained.

        Raises:
            InputError: labels are wanted and there are none, or they count other categories than the network's.
        """
        if self.target == "predicted":
            found = []
            for chunk in torch.split(self.inputs, BATCH):
                self.check("predicting")
                found.append(self.model.predict(chunk, batch_size=BATCH)["predicted"].values)
            return np.concatenate(found).astype(np.int64)
        labels = self.source.labels
        if labels is None or (np.asarray(labels) < 0).any():
            raise InputError(f"target is 'label', but not every image of {self.data_choice.name!r} has a label.")
        if self.model.categories and tuple(self.source.categories) != tuple(self.model.categories):
            raise InputError(
                f"target is 'label', but the labels of {self.data_choice.name!r} count other categories than "
                f"{self.model.name!r} gives. Use target='predicted'."
            )
        return np.asarray(labels, dtype=np.int64)

    @cached_property
    def objects(self) -> xr.DataArray | None:
        """(image, y, x) bool, what an explanation should find; None where no image has a mask or a box of it."""
        categories = self.model.categories
        masks = []
        for index in range(len(self.source)):
            self.check("reading masks")
            item = self.source[index]
            category = categories[self.targets[index]] if categories else str(self.targets[index])
            masks.append(_object(item, self.data_choice.objects, category))
        if not any(mask.any() for mask in masks):
            return None
        found = masks_on_grid(masks, self.model)
        return found.assign_coords({IMAGE: strings(self.identifiers)})

    @cached_property
    def parts(self) -> xr.DataArray | None:
        """(image, part, y, x) bool, masks of all parts on the network's grid; None where the data have none."""
        return _parts(self.source, self.model, self.data_choice.parts)

    @cached_property
    def truth(self) -> xr.Dataset | None:
        """What each part is worth by intervention; None where the images cannot be drawn again."""
        from workbench.data.scenes import SceneSource
        from workbench.evaluate.intervention import intervention_truth

        if not isinstance(self.source, SceneSource):
            return None
        present = {name for index in range(len(self.source)) for name in self._part_names(self.source, index)}
        of: Any = "part" if present else "object"
        return intervention_truth(self.model, self.source, of=of, target=self.targets.tolist(), stop=self.stop)

    @staticmethod
    def _part_names(source: Any, index: int) -> set[str]:
        return {name for item in source.sample(index).scene.objects for name in item.part_names}

    @cached_property
    def _halves(self) -> dict[int, tuple[Half, Half]]:
        return {}

    def halves(self, seed: int) -> tuple[Half, Half]:
        """The images that interpretation methods learn from, and those that their maps are scored on.

        Args:
            seed: of the split, where one set of images has to serve for both.

        Returns:
            Both.

        Raises:
            InputError: no masks of parts, or too few images.
        """
        if seed not in self._halves:
            self._halves[seed] = self._split(seed)
        return self._halves[seed]

    def _split(self, seed: int) -> tuple[Half, Half]:
        learn = self.data_choice.learn
        everything = np.arange(len(self.source))
        if learn is not None and learn.source is not None:
            names = self.data_choice.parts or learn.parts
            return self._half(learn.source, np.arange(len(learn.source)), names), self._half(self.source, everything)
        if len(everything) < 4:
            raise InputError(
                f"{self.data_choice.name!r} has {len(everything)} images; interpretation methods learn from one half "
                "and are scored on the other, of which labels take one half again: at least 4. Pass "
                "DataChoice.of(images, learn=other images)."
            )
        order = np.random.default_rng(seed).permutation(len(everything))
        cut = len(order) // 2
        return self._half(self.source, np.sort(order[:cut])), self._half(self.source, np.sort(order[cut:]))

    def _half(self, source: ImageSource, positions: NDArray[np.int64], names: tuple[str, ...] | None = None) -> Half:
        some: Any = source if len(positions) == len(source) else Subset(source, positions)
        own = source is self.source
        inputs = self.inputs[positions.tolist()] if own else self.model.prepare(some)
        if own and self.parts is not None:
            parts: xr.DataArray | None = self.parts.isel({IMAGE: positions})
        else:
            parts = _parts(some, self.model, self.data_choice.parts if names is None else names)
        if parts is None:
            raise InputError(f"{self.data_choice.name!r} has no masks of parts, which units could be linked to.")
        store = observe(self.model, inputs, layers=self.model_choice.layer, stop=self.stop)
        named = [str(source.identifiers[int(index)]) for index in positions]
        return Half(positions, _named(store, named), parts, inputs)

    @cached_property
    def pooled(self) -> dict[tuple[int, str], Overlaps]:
        """What all units of the layer share with the parts, by seed of the split and binariser; filled by scoring.

        Every method is compared with units drawn from the same pool, whose maps are too large to be kept.
        """
        return {}

    @property
    def head(self) -> Head:
        """The network behind the layer."""
        return Head(self.model, self.model_choice.layer)


def situation_of(protocol: Protocol, model: str, data: str, *, stop: Stop | None = None) -> Situation:
    """A network before images.

    Args:
        protocol: with both at hand.
        model: name of the model.
        data: name of the data.
        stop: as :class:`Situation` has it.

    Returns:
        The situation.
    """
    chosen = next(item for item in protocol.models if item.name == model)
    images = next(item for item in protocol.data if item.name == data)
    return Situation(chosen, images, protocol.target, stop)


def _named(store: MemoryActivations, identifiers: list[str]) -> MemoryActivations:
    return replace(store, identifiers=tuple(identifiers))


def _object(item: AnnotatedImage, wanted: str | tuple[str, ...], category: str) -> NDArray[np.bool_]:
    """(y, x): the union of the wanted masks, or of the wanted boxes where the image has no masks."""
    height, width = int(item.image.shape[0]), int(item.image.shape[1])
    found = np.zeros((height, width), dtype=bool)

    def matches(name: str) -> bool:
        if wanted == ANY:
            return True
        return name == category or name.endswith(f" {category}") if wanted == TARGET else name in wanted

    for name, mask in item.masks.items():
        if matches(name):
            found |= mask
    if item.masks:
        return found
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    for box in item.boxes:
        if matches(box.category):
            inside = (rows >= box.top) & (rows < box.bottom)
            found |= inside[:, None] & ((columns >= box.left) & (columns < box.right))
    return found


def _parts(source: Any, model: ImageModel, names: tuple[str, ...]) -> xr.DataArray | None:
    if not any(source[index].masks for index in range(len(source))):
        return None
    # overlaps and parts that nobody shows are said by waiou's table; here each subset would say them again
    found, _ = read_part_masks(source, model, parts=names or None)
    return found.drop_vars("overlap")
