"""Concepts that a network composes a category of: non-negative directions in a layer, found without annotation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from workbench.arrays import CATEGORY, UNIT, provenance, strings
from workbench.errors import InputError, NotFiniteError
from workbench.interpret.features import source_facts
from workbench.interpret.head import units_first
from workbench.interpret.reading import (
    category_of_images,
    chosen_categories,
    map_blocks,
    one_layer,
    unit_coordinates,
    unit_maps,
)
from workbench.interpret.registry import interpreters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations
    from workbench.interpret.head import Head

CONCEPT = "concept"
Negative = Literal["refuse", "clip"]


@dataclass(frozen=True)
class Factors:
    """One category's factorisation, and how it was reached.

    Attributes:
        directions: (concept, unit) float32 of unit length.
        error: of the reconstruction, in the units of the solver.
        iterations: that it took.
        converged: whether it stopped by itself.
    """

    directions: NDArray[np.float32]
    error: float
    iterations: int
    converged: bool


@interpreters.register(
    title="Invertible concepts (ICE)",
    source=("zhang2021",),
    access="gradients",
    returns="non-negative directions by category, with fidelity and importance",
    signed=False,
    specificity="class",
    coverage="one layer",
    annotation="labels",
    feedback="map",
    cost="a factorisation a category; two passes of the network behind the layer",
    note="Importance is the exact derivative of the logit, of which the paper takes a finite difference.",
    parameters={"count": ("int", 10, 2, 25)},
)
def concepts(
    store: Activations,
    labels: Any = "predicted",
    *,
    layer: str | None = None,
    categories: Sequence[str] | None = None,
    count: int = 10,
    head: Head | None = None,
    negative: Negative = "refuse",
    most_positions: int = 50_000,
    iterations: int = 400,
    seed: int = 0,
) -> xr.Dataset:
    """Factorise the maps of each category into non-negative concepts.

    Each position of each image of the category is a row A; A is approximated by S P, with rows of P the concepts'
    directions (of unit length) and S, their strength at the position, as their heatmap.

    Args:
        store: an activation store, or other activations.
        labels: ``"predicted"``, ``"true"``, or (image) integers, -1 to leave an image out.
        layer: the layer's name; may be left out where there is but one.
        categories: names of the categories to interpret; all that have images where omitted.
        count: concepts a category.
        head: the network behind the layer, ``Head(model, layer)``; without it, no importance and no fidelity.
        negative: what to do where the layer gives values below zero: ``"refuse"``, or ``"clip"`` them to zero.
        most_positions: at most so many rows, drawn by ``seed``, are factorised.
        iterations: at most so many, of coordinate descent.
        seed: of initial values and of the draw.

    Returns:
        Dataset: ``direction`` (category, concept, unit) float32 of unit length, concepts by falling importance (by
        strength where no head is given); ``strength`` (category, concept), mean of S; ``reconstruction_error``
        (category), ||A - S P|| / ||A|| on all rows; ``converged`` (category) bool; ``images`` (category). With a
        head: ``importance`` (category, concept), mean derivative of the category's logit along the concept added
        at every position; ``logit_error`` (category), mean |y(A) - y(S P)| / mean |y(A)|: the smaller, the more
        faithful.

    Raises:
        InputError: too few images for ``count`` concepts, values below zero, all zero, or a parameter out of range.
        UnknownNameError: no such layer or category.
        NotFiniteError: NaN or infinity in the maps.
        StoreMismatchError: the head does not belong to these maps.

    Source: [zhang2021]
    """
    name = one_layer(store, layer)
    category, names = category_of_images(store, labels)
    if head is not None:
        head.check(store)
    _check_options(count, negative, iterations, most_positions)
    chosen = chosen_categories(categories, names, category)
    results = []
    for each in chosen:
        indices = np.flatnonzero(category == each)
        factors = factorise(store, name, indices, names[each], count, negative, most_positions, iterations, seed)
        results.append(_describe(store, name, indices, each, factors, negative, head))
    result = xr.concat(results, dim=xr.Variable(CATEGORY, strings(names[each] for each in chosen)))
    units = unit_coordinates(name, result.sizes[UNIT])
    return result.assign_coords({CONCEPT: np.arange(count), **units}).assign_attrs(
        provenance(method="concepts", layers=[name], negative=negative, seed=seed, **source_facts(store, [name]))
    )


def concept_strengths(maps: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """How strongly each concept is present at each position: non-negative least squares.

    Args:
        maps: (image, unit, position) float, zero or more.
        directions: (concept, unit) float, zero or more.

    Returns:
        (image, concept, position) float32, zero or more.
    """
    rows = np.moveaxis(maps, 1, 2).reshape(-1, maps.shape[1]).astype(np.float64)
    strengths = _nonnegative_coordinates(rows, directions.astype(np.float64))
    return np.moveaxis(strengths.reshape(len(maps), maps.shape[2], -1), 2, 1).astype(np.float32)


def rows_of(store: Activations, layer: str, indices: NDArray[np.int64], negative: Negative) -> NDArray[np.float32]:
    """The maps of some images as they are factorised.

    Args:
        store: the activations.
        layer: the layer's name.
        indices: (image) positions in the store.
        negative: as in :func:`concepts`.

    Returns:
        (image, unit, position) float32, zero or more.

    Raises:
        InputError: values below zero that are to be refused.
    """
    maps = np.concatenate([values for _, values in map_blocks(store, layer, indices=indices)])
    if maps.min() < 0:
        if negative == "refuse":
            raise InputError(
                f"layer {layer!r} gives values down to {maps.min():.3g}; concepts are sums of what is there, zero or "
                "more. Choose a layer behind a ReLU, or pass negative='clip'."
            )
        maps = np.maximum(maps, 0)
    return maps


def _nonnegative_coordinates(
    rows: NDArray[np.float64], directions: NDArray[np.float64], *, sweeps: int = 500, tolerance: float = 1e-7
) -> NDArray[np.float64]:
    """Coordinate descent on all rows at once, from the small Gram matrix of the directions."""
    gram, wanted = directions @ directions.T, rows @ directions.T
    strengths = np.zeros_like(wanted)
    scale = max(float(np.abs(wanted).max(initial=0)), np.finfo(np.float64).tiny)
    for _ in range(sweeps):
        largest = 0.0
        for concept in range(len(gram)):
            if gram[concept, concept] <= 0:
                continue
            slope = strengths @ gram[:, concept] - wanted[:, concept]
            moved = np.maximum(strengths[:, concept] - slope / gram[concept, concept], 0)
            largest = max(largest, float(np.abs(moved - strengths[:, concept]).max(initial=0)))
            strengths[:, concept] = moved
        if largest <= tolerance * scale:
            break
    return strengths


def factorise(
    store: Activations,
    layer: str,
    indices: NDArray[np.int64],
    category: str,
    count: int,
    negative: Negative,
    most: int,
    iterations: int,
    seed: int,
) -> Factors:
    """Factorise the maps of some images.

    Args:
        store: the activations.
        layer: the layer's name.
        indices: (image) positions in the store.
        category: what to call these images in a message.
        count: concepts.
        negative: as in :func:`concepts`.
        most: rows at most.
        iterations: at most so many.
        seed: of initial values and of the draw of rows.

    Returns:
        The factors.

    Raises:
        InputError, NotFiniteError: as in :func:`concepts`.
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    maps = rows_of(store, layer, indices, negative)
    rows = np.moveaxis(maps, 1, 2).reshape(-1, maps.shape[1])
    if not rows.any():
        raise InputError(f"layer {layer!r} is zero on all {len(indices)} images of {category!r}; nothing to factorise.")
    if len(rows) < count or rows.shape[1] < count:
        raise InputError(
            f"category {category!r} has {len(indices)} images, which give {len(rows)} positions of {rows.shape[1]} "
            f"units; {count} concepts need at least as many of each. Ask for fewer concepts or give more images."
        )
    if len(rows) > most:
        rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), size=most, replace=False))]
    # scaled, because the library's stopping rule knows no unit
    scale = float(rows.mean())
    model = NMF(count, init="nndsvda", max_iter=iterations, tol=1e-4, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # reported as `converged` instead
        model.fit(rows / np.float32(scale))
    directions = np.asarray(model.components_, dtype=np.float32)
    if not np.isfinite(directions).all():
        raise NotFiniteError(f"The factorisation of {category!r} broke down; ask for fewer than {count} concepts.")
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = np.divide(directions, lengths, out=np.zeros_like(directions), where=lengths > 0)
    return Factors(directions, float(model.reconstruction_err_), int(model.n_iter_), model.n_iter_ < iterations)


def _describe(
    store: Activations,
    layer: str,
    indices: NDArray[np.int64],
    category: int,
    factors: Factors,
    negative: Negative,
    head: Head | None,
) -> xr.Dataset:
    maps = rows_of(store, layer, indices, negative)
    strengths = concept_strengths(maps, factors.directions)
    rebuilt = np.einsum("icp,cu->iup", strengths, factors.directions)
    strength = strengths.mean(axis=(0, 2))
    facts: dict[str, Any] = {
        "strength": (CONCEPT, strength),
        "reconstruction_error": ((), float(np.linalg.norm(maps - rebuilt) / np.linalg.norm(maps))),
        "converged": ((), factors.converged),
        "images": ((), len(indices)),
    }
    order = np.argsort(-strength, kind="stable")
    if head is not None:
        original, approximate = (_as_layer(values, store, layer, indices) for values in (maps, rebuilt))
        gradient = head.gradients(original, category)
        along = units_first(gradient, store, layer).sum(axis=2)
        importance = (along @ factors.directions.T).mean(axis=0)
        wanted, found = (head.logits(values)[:, category] for values in (original, approximate))
        facts["importance"] = (CONCEPT, importance)
        facts["logit_error"] = ((), float(np.abs(wanted - found).mean() / max(float(np.abs(wanted).mean()), 1e-12)))
        order = np.argsort(-importance, kind="stable")
    result = xr.Dataset({"direction": ((CONCEPT, UNIT), factors.directions), **facts})
    return result.isel({CONCEPT: order})


def _as_layer(
    maps: NDArray[np.float32], store: Activations, layer: str, indices: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(image, unit, position) in the layer's own order of dimensions."""
    own = store.dataset(layer)["maps"]
    first = unit_maps(store, layer)
    shape = (len(indices), *(first.sizes[dim] for dim in first.dims[1:]))
    return np.asarray(xr.DataArray(maps.reshape(shape), dims=first.dims).transpose(*own.dims).values)


def _check_options(count: int, negative: str, iterations: int, most: int) -> None:
    if count < 1 or iterations < 1 or most < count:
        raise InputError(
            f"count is {count}, iterations {iterations} and most_positions {most}; expected at least 1 of each, and "
            "at least as many positions as concepts."
        )
    if negative not in ("refuse", "clip"):
        raise InputError(f"negative is {negative!r}; expected 'refuse' or 'clip'.")
