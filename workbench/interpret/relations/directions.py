"""Concepts as named directions among the units of a layer, from whatever form they are given in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import UNIT, check_array
from workbench.errors import InputError, ShapeError
from workbench.interpret.concept_vectors import DRAW
from workbench.interpret.concepts import CONCEPT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.relations.continuation import Layout


@dataclass(frozen=True, eq=False)
class Directions:
    """Concepts of one layer.

    Attributes:
        names: (concept) what they are called.
        vectors: (concept, unit) float64 of unit length; zero for a concept that is none.
    """

    names: tuple[str, ...]
    vectors: NDArray[np.float64]


def directions(concepts: Any, layout: Layout) -> Directions:
    """Concepts in any of the forms in which they are given, as named vectors of unit length.

    Args:
        concepts: as :func:`~workbench.interpret.relations.concept_edges` takes them.
        layout: of the layer that they live in.

    Returns:
        The directions.

    Raises:
        InputError: no concept.
        ShapeError: another number of units than the layer has, or other dimensions.
        NotFiniteError: NaN or infinity.
    """
    names, values = _named(concepts)
    table = check_array(values, name=f"concepts of layer {layout.layer!r}", dims=(CONCEPT, UNIT), kinds="iuf")
    if table.shape[1] != layout.units:
        raise ShapeError(
            f"The concepts have {table.shape[1]} units, layer {layout.layer!r} has {layout.units}. Find the concepts "
            "in this layer."
        )
    wide = table.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return Directions(names, np.divide(wide, length, out=np.zeros_like(wide), where=length > 0))


def _named(concepts: Any) -> tuple[tuple[str, ...], Any]:
    """Names and (concept, unit) values."""
    if isinstance(concepts, xr.Dataset):
        found = [name for name in ("direction", "vector") if name in concepts]
        if not found:
            raise InputError(
                "The dataset has neither 'direction' nor 'vector'; expected what interpret.concepts or "
                "interpret.concept_vectors gives."
            )
        concepts = concepts[found[0]]
    if isinstance(concepts, xr.DataArray):
        if DRAW in concepts.dims:
            concepts = concepts.mean(DRAW)
        others = [str(dim) for dim in concepts.dims if dim != UNIT]
        if UNIT not in concepts.dims or not others:
            raise ShapeError(f"The concepts have the dimensions {concepts.dims}; expected (concept, unit).")
        ordered = concepts.transpose(*others, UNIT)
        known = [ordered[dim].values if dim in ordered.coords else np.arange(ordered.sizes[dim]) for dim in others]
        labels = [" ".join(map(str, each)) for each in product(*known)]
        names = tuple(f"concept {label}" if label.isdecimal() else label for label in labels)
        return names, ordered.values.reshape(len(names), -1)
    if isinstance(concepts, Mapping):
        if not concepts:
            raise InputError("There is no concept; expected at least one.")
        return tuple(map(str, concepts)), np.stack([np.asarray(vector) for vector in concepts.values()])
    values = np.asarray(concepts)
    return tuple(f"concept {index}" for index in range(len(values) if values.ndim else 0)), values
