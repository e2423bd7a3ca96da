"""A network together with all that is needed to ask it about pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from workbench.arrays import CATEGORY, IMAGE, provenance, strings
from workbench.data import as_source
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError, unknown_name
from workbench.models.hooks import Layer, describe_output, trace_layers
from workbench.models.preprocessing import Preprocessing
from workbench.models.state import hash_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.data import ImageSource

Output = str | int | Callable[[Any], torch.Tensor]
Target = int | str | Sequence[int | str] | None


@dataclass(frozen=True, eq=False)
class ImageModel:
    """An image classifier, in evaluation mode, with its preprocessing and categories; made by :func:`models.load`.

    Attributes:
        module: the network.
        name: what results call it.
        categories: names of the outputs, in their order; empty where nobody has said how many there are.
        preprocessing: how pictures become network input.
        output: how the logits are found in what the network gives: None where it gives them, a key or index of a
            dict or tuple, or a function.
        facts: what else is known: architecture, origin of the weights, model card.
    """

    module: nn.Module
    name: str
    categories: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(declared=False))
    output: Output | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        size = self.preprocessing.size
        sees = f"{self.preprocessing.channels} x {size[0]} x {size[1]}" if size else "any size"
        return f"<ImageModel {self.name!r}: {sees} -> {len(self.categories) or '?'} categories, on {self.device}>"

    @property
    def device(self) -> torch.device:
        """Where the network's weights are; the CPU where it has none."""
        return next((tensor.device for tensor in self._tensors()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Floating dtype of the network's weights; float32 where it has none."""
        return next((tensor.dtype for tensor in self._tensors() if tensor.is_floating_point()), torch.float32)

    def _tensors(self) -> Iterator[torch.Tensor]:
        yield from self.module.parameters()
        yield from self.module.buffers()

    @property
    def weights_hash(self) -> str:
        """SHA-256 of names, dtypes, shapes and bytes of the weights; computed afresh, since weights can be edited."""
        return hash_state(self.module)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channel, y, x) of the network input.

        Raises:
            InputError: the preprocessing does not fix the size.
        """
        size = self.preprocessing.size
        if size is None:
            raise InputError(
                f"The input size of {self.name!r} is not known. Load it with "
                "preprocessing=models.Preprocessing(resize=..., crop=..., mean=..., std=...)."
            )
        return (self.preprocessing.channels, *size)

    @cached_property
    def layer_records(self) -> tuple[Layer, ...]:
        """What each module gives, found by one forward pass over a zero image.

        Raises:
            InputError: the input size is not known.
        """
        zeros = torch.zeros((1, *self.input_shape), dtype=self.dtype, device=self.device)
        return trace_layers(self.module, zeros)

    @property
    def layers(self) -> dict[str, tuple[int, ...]]:
        """Layer name to output shape without the image dimension; layers that can be captured only.

        Raises:
            InputError: the input size is not known.
        """
        return {layer.name: layer.shape for layer in self.layer_records if layer.shape is not None}

    def check_layer(self, name: str) -> tuple[int, ...]:
        """The output shape of a layer, or why there is none.

        Args:
            name: a layer name as in :attr:`layers`.

        Returns:
            Its output shape without the image dimension.

        Raises:
            UnknownNameError: no such layer, with the nearest names.
            InputError: a layer that cannot be captured, with the reason.
        """
        for layer in self.layer_records:
            if layer.name == name:
                if layer.shape is None:
                    raise InputError(f"Layer {name!r} ({layer.kind}) cannot be used: {layer.note}.")
                return layer.shape
        raise unknown_name("layer", name, self.layers, hint="See model.layers.")

    def prepare(self, images: Any) -> torch.Tensor:
        """Make network input.

        Args:
            images: a *floating* torch tensor, (image, channel, y, x) or (channel, y, x), is taken as prepared input
                as it is; anything else goes through :func:`workbench.data.as_source` and is resized, cropped and
                normalised.

        Returns:
            (image, channel, y, x) float, normalised, of the model's dtype, on its device.

        Raises:
            ShapeError, DtypeError, NotFiniteError, InputError: the images cannot be used; the image is named.
        """
        if _is_prepared(images):
            return self._check_prepared(images)
        return torch.cat([inputs for _, inputs in self.batches(images, batch_size=64)])

    def batches(self, images: Any, *, batch_size: int) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
        """Make network input a batch at a time, so that a dataset need not fit into memory.

        Args:
            images: see :meth:`prepare`.
            batch_size: images a batch, at least 1.

        Yields:
            The identifiers, and (image, channel, y, x) float on the model's device.

        Raises:
            ShapeError, DtypeError, NotFiniteError, InputError: the images cannot be used; the image is named.
        """
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; expected at least 1.")
        if _is_prepared(images):
            inputs = self._check_prepared(images)
            for start in range(0, len(inputs), batch_size):
                chunk = inputs[start : start + batch_size]
                yield tuple(str(start + index) for index in range(len(chunk))), chunk
            return
        if not self.preprocessing.declared:
            raise InputError(
                f"How pictures are prepared for {self.name!r} is not known. Load it with "
                "preprocessing=models.Preprocessing(resize=..., crop=..., mean=..., std=...), or with "
                "models.Preprocessing.imagenet(), or pass a float tensor that is prepared already."
            )
        source = as_source(images)
        identifiers = source.identifiers
        for start in range(0, len(source), batch_size):
            indices = range(start, min(start + batch_size, len(source)))
            names = tuple(str(identifiers[index]) for index in indices)
            yield names, self._prepare_some(source, indices, names).to(self.device, self.dtype)

    def _prepare_some(self, source: ImageSource, indices: range, names: tuple[str, ...]) -> torch.Tensor:
        pictures = [source[index].image for index in indices]
        if len({picture.shape for picture in pictures}) == 1:
            return self.preprocessing.apply(np.stack(pictures), names=list(names))
        single = [
            self.preprocessing.apply(picture[None], names=[name]) for picture, name in zip(pictures, names, strict=True)
        ]
        sizes = sorted({tuple(item.shape[2:]) for item in single})
        if len(sizes) > 1:
            raise ShapeError(
                f"The images have different sizes, {sizes[0]} and {sizes[-1]} among them, and the preprocessing of "
                f"{self.name!r} brings them to no common one. Give it a crop=."
            )
        return torch.cat(single)

    def _check_prepared(self, inputs: torch.Tensor) -> torch.Tensor:
        inputs = inputs[None] if inputs.ndim == 3 else inputs
        if inputs.ndim != 4 or 0 in inputs.shape:
            raise ShapeError(
                f"inputs have shape {tuple(inputs.shape)}; expected (image, channel, y, x), none of them 0."
            )
        if self.preprocessing.declared and inputs.shape[1] != self.preprocessing.channels:
            raise ShapeError(
                f"inputs have shape {tuple(inputs.shape)}: {inputs.shape[1]} channels; {self.name!r} takes "
                f"{self.preprocessing.channels}. The order is (image, channel, y, x)."
            )
        # the sum is quicker, and not finite where anything is not; it may also overflow
        bad = ~torch.isfinite(inputs).flatten(1).all(1) if not torch.isfinite(inputs.sum()) else None
        if bad is not None and bad.any():
            raise NotFiniteError(
                f"inputs hold NaN or infinity in {int(bad.sum())} of {len(inputs)} images, the first is image "
                f"{int(bad.nonzero()[0])}. Repair or drop them."
            )
        return inputs.to(self.device, self.dtype)

    def pictures(self, inputs: torch.Tensor) -> NDArray[np.float32]:
        """The pictures that the network sees, on the grid on which heatmaps live.

        Args:
            inputs: (image, channel, y, x) float, normalised.

        Returns:
            (image, y, x, channel) float32 in [0, 1].
        """
        return self.preprocessing.invert(inputs)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run the network; gradients flow.

        Args:
            inputs: (image, channel, y, x) float, normalised, as :meth:`prepare` gives it.

        Returns:
            (image, category) float.

        Raises:
            InputError: the network gives a tuple or a dict and no ``output=`` says where the logits are.
            ShapeError: images of a size that it cannot take, or an output that is not (image, category).
        """
        try:
            raw = self.module(inputs)
        except RuntimeError as error:
            size, seen = self.preprocessing.size, tuple(inputs.shape[2:])
            if size is None or seen == size:
                raise
            raise ShapeError(
                f"{self.name!r} cannot take images of {seen[0]} x {seen[1]} pixels; it was made for "
                f"{size[0]} x {size[1]}. Its own words: {error}"
            ) from error
        logits = self._logits_in(raw)
        if logits.ndim != 2 or len(logits) != len(inputs):
            raise ShapeError(
                f"{self.name!r} gives shape {tuple(logits.shape)} for {len(inputs)} images; expected "
                "(image, category). Load it with output=<a function that makes logits of what it gives>."
            )
        if self.categories and logits.shape[1] != len(self.categories):
            raise ShapeError(
                f"{self.name!r} gives {logits.shape[1]} logits an image, but {len(self.categories)} categories "
                "were named."
            )
        return logits

    def _logits_in(self, raw: Any) -> torch.Tensor:
        found = raw
        if callable(self.output):
            found = self.output(raw)
        elif self.output is not None:
            try:
                found = raw[self.output]
            except (KeyError, IndexError, TypeError):
                raise InputError(
                    f"output is {self.output!r}, but {self.name!r} gives {describe_output(raw)}. Take one of these."
                ) from None
        if not isinstance(found, torch.Tensor):
            example = next(iter(found), "logits") if isinstance(found, Mapping) else 0
            raise InputError(
                f"{self.name!r} gives {describe_output(found)}, not a tensor of logits. Say where they are: "
                f"models.load(..., output={example!r}), or output=<a function of what it gives>."
            )
        return found

    def predict(self, images: Any, *, batch_size: int = 64) -> xr.Dataset:
        """Predict, a batch at a time.

        Args:
            images: see :meth:`prepare`.
            batch_size: images a batch.

        Returns:
            ``logits`` and ``probability`` (image, category) float32, ``predicted`` (image) int64, with the
            coordinates ``image`` (identifiers) and ``category`` (names).

        Raises:
            NotFiniteError: the network gives NaN or infinity; the image is named.
            ShapeError, DtypeError, InputError: the images cannot be used.
        """
        names: list[str] = []
        parts: list[torch.Tensor] = []
        with torch.inference_mode():
            for identifiers, inputs in self.batches(images, batch_size=batch_size):
                names += identifiers
                parts.append(self.logits(inputs).float().cpu())
        logits = torch.cat(parts)
        check_finite_logits(logits, names, self.name)
        return xr.Dataset(
            {
                "logits": ((IMAGE, CATEGORY), logits.numpy()),
                "probability": ((IMAGE, CATEGORY), logits.softmax(1).numpy()),
                "predicted": ((IMAGE,), logits.argmax(1).numpy()),
            },
            coords={IMAGE: strings(names), CATEGORY: strings(self.category_names(logits.shape[1]))},
            attrs=provenance(
                model=self.name, weights_hash=self.weights_hash, preprocessing=self.preprocessing.to_json()
            ),
        )

    def category_names(self, count: int) -> list[str]:
        """Names of the outputs, ``"0"``, ``"1"`` ... where nobody has named them.

        Args:
            count: number of outputs.

        Returns:
            One name an output.
        """
        return list(self.categories) if self.categories else [str(index) for index in range(count)]

    def category_index(self, name: int | str) -> int:
        """The index of a category.

        Args:
            name: a category's name, or its index, which is checked.

        Returns:
            The index, from 0.

        Raises:
            UnknownNameError: no category of this name, with the nearest names.
            InputError: an index outside the categories, or a name that several categories have.
            DtypeError: neither a name nor an integer.
        """
        if isinstance(name, int | np.integer) and not isinstance(name, bool):
            index, count = int(name), len(self.categories)
            if index < 0 or (count and index >= count):
                last = f"0 to {count - 1}" if count else "0 or more"
                raise InputError(f"Category {index} does not exist in {self.name!r}; expected {last}.")
            return index
        if not isinstance(name, str):
            raise DtypeError(f"A category is {name!r}, {type(name).__name__}; expected its name or its index.")
        found = [index for index, known in enumerate(self.categories) if known == name]
        if not found:
            hint = "" if self.categories else "Load the model with categories=, or give the index."
            raise unknown_name("category", name, self.categories, hint=hint)
        if len(found) > 1:
            raise InputError(f"{len(found)} categories are called {name!r}: {found}. Give the index of the one meant.")
        return found[0]

    def targets(self, target: Any, count: int) -> torch.Tensor:
        """Category indices, one an image.

        Args:
            target: one category (index or name) for all images, or one an image. To explain the prediction, pass
                what :meth:`predict` gives as ``predicted``.
            count: number of images.

        Returns:
            (image) int64, on the model's device.

        Raises:
            ShapeError: another number of targets than images.
            UnknownNameError, InputError, DtypeError: see :meth:`category_index`.
        """
        if isinstance(target, torch.Tensor):
            target = target.tolist()
        elif isinstance(target, np.ndarray | xr.DataArray):
            target = np.asarray(target).tolist()
        if isinstance(target, str | int | np.integer) or not isinstance(target, Sequence):
            target = [target] * count
        if len(target) != count:
            raise ShapeError(f"{len(target)} targets for {count} images; expected one category, or one an image.")
        return torch.tensor([self.category_index(item) for item in target], dtype=torch.int64, device=self.device)


def check_finite_logits(logits: torch.Tensor, identifiers: Sequence[str], model: str) -> None:
    """Refuse logits that are not numbers.

    Args:
        logits: (image, ...) float.
        identifiers: one name an image.
        model: the model's name, for the message.

    Raises:
        NotFiniteError: NaN or infinity, with the first image in which it appears.
    """
    bad = ~torch.isfinite(logits).flatten(1).all(1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise NotFiniteError(
            f"{model!r} gives NaN or infinity for {int(bad.sum())} of {len(logits)} images, the first is image {first} "
            f"({identifiers[first]!r}). Check its weights and the input's scale."
        )


def _is_prepared(images: Any) -> bool:
    return isinstance(images, torch.Tensor) and images.is_floating_point()
