"""Pictures of the images that a comparison of interpretations shows. No widgets here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data import as_source
from workbench.errors import InputError, ShapeError
from workbench.panels.unit_profile import is_prepared, pictures
from workbench.store import ActivationStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret import Activations

PLACES = ("source", "rank", "top")


def pictures_at(data: Activations, images: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
    """The pictures to be shown at each place, as the network saw them where a store says how.

    Args:
        data: the activations.
        images: what they are of.
        index: (source, rank, top) int64 positions of images, -1 for none.

    Returns:
        (source, rank, top, row, column, channel) float32 in [0, 1].

    Raises:
        InputError, ShapeError, StoreMismatchError: images that are not those of the activations.
    """
    wanted = np.unique(index[index >= 0])
    if not len(wanted):
        return np.zeros((*index.shape, 1, 1, 3), dtype=np.float32)
    names = [str(data.identifiers[int(one)]) for one in wanted]
    if isinstance(data, ActivationStore):
        found = pictures(data, images, names)
    else:
        found = _as_given(images, wanted, len(data.identifiers))
    result = np.zeros((*index.shape, *found.shape[1:]), dtype=np.float32)
    result[index >= 0] = found[np.searchsorted(wanted, index[index >= 0])]
    return result


def _as_given(images: Any, wanted: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Pictures of activations that do not know how images were prepared: by position, as they are."""
    if is_prepared(images):
        raise InputError("images is network input; without a store nobody knows how to turn it back into pictures.")
    source = as_source(images)
    if len(source) != count:
        raise ShapeError(f"{len(source)} images, but features of {count}. Give the images in their order.")
    found = [np.asarray(source[int(one)].image, dtype=np.float32) / 255 for one in wanted]
    if len({one.shape for one in found}) > 1:
        raise ShapeError("The images have different sizes. Resize them to one size, or give a store.")
    return np.stack(found)
