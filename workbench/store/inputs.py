"""The images of an extraction, as batches of network input and what identifies them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arrays import IMAGE, check_array
from workbench.data import ImageSource, Subset, as_source
from workbench.errors import InputError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from workbench.models import ImageModel
    from workbench.store.plan import Span

HASHED_IMAGES = 16


@dataclass(frozen=True)
class Inputs:
    """Images and what is known of them; exactly one of ``source`` and ``prepared`` is there.

    Attributes:
        identifiers: one unique name an image.
        labels: (image) int64, -1 for none; None where no image has one.
        categories: names that the labels index; may be empty.
        manifest_hash: hash of the dataset's manifest; "" where none vouches for it.
        source: pictures, prepared batch by batch.
        prepared: (image, channel, y, x) float, network input already.
    """

    identifiers: tuple[str, ...]
    labels: NDArray[np.int64] | None
    categories: tuple[str, ...] = ()
    manifest_hash: str = ""
    source: ImageSource | None = None
    prepared: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.identifiers)

    def batch(self, model: ImageModel, span: Span) -> torch.Tensor:
        """Network input of some images, (image, channel, y, x), on the model's device."""
        if self.source is None:
            return model.prepare(self.prepared[span.start : span.stop])  # type: ignore[index]
        return model.prepare(Subset(self.source, np.arange(span.start, span.stop)))

    def identifiers_hash(self) -> str:
        """SHA-256 over all identifiers, hex."""
        return hashlib.sha256("\n".join(self.identifiers).encode()).hexdigest()

    def pixels_hash(self) -> str:
        """SHA-256 over the pixels of up to 16 images spread evenly, hex.

        It is there to notice that other images were given to the same store, at the cost of decoding a few.
        """
        digest = hashlib.sha256()
        for index in np.unique(np.linspace(0, len(self) - 1, HASHED_IMAGES).astype(int)):
            if self.source is None:
                pixels = self.prepared[int(index)].detach().cpu().numpy()  # type: ignore[index]
            else:
                pixels = self.source[int(index)].image
            digest.update(f"{pixels.shape}{pixels.dtype}".encode())
            digest.update(np.ascontiguousarray(pixels).tobytes())
        return digest.hexdigest()


def as_inputs(images: Any, *, labels: Sequence[int] | None = None, identifiers: Sequence[str] | None = None) -> Inputs:
    """Give any accepted form of images the form that an extraction needs.

    Args:
        images: a floating torch tensor (image, channel, y, x), taken as network input as it is, or anything that
            :func:`workbench.data.as_source` takes.
        labels: one integer an image, -1 for none; taken from ``images`` where it has them.
        identifiers: one unique name an image; taken from ``images`` where it has them.

    Raises:
        InputError: no image, or identifiers that are not unique.
        ShapeError: not one label or identifier an image.
        DtypeError, NotFiniteError: what :func:`workbench.data.as_source` says.
    """
    prepared = type(images).__module__.startswith("torch") and images.is_floating_point()
    if prepared:
        if images.ndim != 4:
            raise ShapeError(f"images have shape {tuple(images.shape)}; expected (image, channel, y, x).")
        source, count = None, len(images)
        found_labels = None
        names: Sequence[str] = [str(index) for index in range(count)]
    else:
        source = as_source(images)
        count, names, found_labels = len(source), source.identifiers, source.labels
    if count == 0:
        raise InputError("There are no images; expected at least one.")
    chosen = tuple(str(name) for name in (names if identifiers is None else identifiers))
    if len(chosen) != count:
        raise ShapeError(f"{len(chosen)} identifiers for {count} images; expected one an image.")
    if len(set(chosen)) != count:
        raise InputError(f"Only {len(set(chosen))} of {count} identifiers are different; each must name one image.")
    if labels is not None:
        found_labels = check_array(labels, name="labels", dims=(IMAGE,), kinds="iu").astype(np.int64)
        if len(found_labels) != count:
            raise ShapeError(f"{len(found_labels)} labels for {count} images; expected one an image (-1 for none).")
    if source is None:
        return Inputs(chosen, found_labels, prepared=images)
    return Inputs(chosen, found_labels, tuple(source.categories), source.manifest_hash, source)
