"""A coreset among all images, as a result that ``view.coreset_map`` draws. No widgets here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, UNIT, check_array, strings
from workbench.errors import InputError, ShapeError, unknown_name
from workbench.interpret import MemoryActivations
from workbench.interpret.coreset import Coreset, pooled_features, selectors
from workbench.interpret.reading import category_of_images
from workbench.view.words import share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.interpret import Activations
    from workbench.interpret.coreset.choice import Pool

AXIS = "axis"
Projection = Literal["pca", "means"]
READ = 4096
LARGEST_COVARIANCE = 4096  # units; with more, the covariance matrix would be larger than what it is made from
SOURCES = ("all", "coreset")


def project(features: xr.DataArray, *, method: Projection = "pca", category: Any = None) -> xr.DataArray:
    """The features of images in the plane.

    Args:
        features: (image, unit) finite floats.
        method: ``"pca"``, the two directions in which images differ most; ``"means"``, the two directions in which
            the means of the categories differ most, which sets them apart as far as a plane can.
        category: (image) integers, -1 for none; for ``"means"``, at least three of them.

    Returns:
        (image, axis) float32, centred, in the units of the features; the coordinate ``axis`` names the axes, and
        ``explained`` (axis) is the share of the variance of all features along each.

    Raises:
        InputError: an unknown method, features that are all alike, or too few categories.
        ShapeError: other dimensions, or another number of categories.
        NotFiniteError: NaN or infinity in the features.
    """
    from sklearn.decomposition import PCA

    if method not in get_args(Projection):
        raise unknown_name("projection", method, get_args(Projection))
    values = check_array(features.transpose(IMAGE, UNIT).values, name="features", dims=(IMAGE, UNIT))
    values = values.astype(np.float32, copy=False)
    if np.ptp(values, axis=0).max() == 0:
        raise InputError(f"All {len(values)} images have the same features; they are one point. Check the layer.")
    seen = values if method == "pca" else _means(values, category)
    count = min(2, *seen.shape)
    solver = "covariance_eigh" if seen.shape[1] <= LARGEST_COVARIANCE else "randomized"
    fitted = PCA(count, svd_solver=solver, random_state=0).fit(seen)
    centred = values - values.mean(axis=0)
    positions = np.zeros((len(values), 2), dtype=np.float32)  # one unit, or one direction: a line in the plane
    positions[:, :count] = centred @ fitted.components_.T
    total = float(np.square(centred, dtype=np.float64).sum())
    explained = np.square(positions, dtype=np.float64).sum(axis=0) / total
    called = "principal component" if method == "pca" else "principal component of the category means"
    return xr.DataArray(
        positions,
        dims=(IMAGE, AXIS),
        coords={
            **({IMAGE: features[IMAGE]} if IMAGE in features.coords else {}),
            AXIS: strings(f"{called} {i + 1} ({share(part)} of the variance)" for i, part in enumerate(explained)),
            "explained": (AXIS, explained),
        },
        name="position",
        attrs={**features.attrs, "projection": method},
    )


def coreset_map(
    data: Activations,
    coreset: Coreset,
    *,
    labels: Any = "predicted",
    layer: str | None = None,
    pool: Pool = "mean",
    projection: Projection = "pca",
    positions: Any = None,
) -> xr.Dataset:
    """All images in the plane, and which of them are chosen.

    Args:
        data: an activation store, or other activations.
        coreset: chosen from its images.
        labels: categories of the images: ``"predicted"``, ``"true"``, (image) integers, or None for none.
        layer: whose pooled features are projected; may be left out where there is but one.
        pool: which of them, ``"mean"``, ``"max"`` or ``"both"``.
        projection: see :func:`project`.
        positions: (image, axis) two numbers an image, in place of a projection.

    Returns:
        ``position`` (image, axis) float32; ``chosen`` (image) bool; ``stands_for`` (image) float64, for how many
        images, 0 where it is not chosen; ``order`` (image) int64, its place in the order of choice, -1 likewise;
        ``category`` (image) int64, -1 for none. Attributes say how the coreset was chosen.

    Raises:
        ShapeError: positions that are not (image, 2), or fewer images than the coreset points to.
        NotFiniteError: NaN or infinity in the positions or features.
        InputError: labels that are not known, or what :func:`project` refuses.
        UnknownNameError: no such layer.
    """
    total = len(data.identifiers)
    if int(coreset.indices.max()) >= total:
        raise ShapeError(f"{total} images, but the coreset points to image {int(coreset.indices.max())}.")
    member, names = members(data, labels)
    if positions is None:
        positions = project(pooled_features(data, layer=layer, pool=pool), method=projection, category=member)
    plane = as_positions(positions, total)
    order, stands_for = np.full(total, -1, dtype=np.int64), np.zeros(total)
    order[coreset.indices], stands_for[coreset.indices] = np.arange(len(coreset)), coreset.weights
    return xr.Dataset(
        {
            "position": plane.drop_attrs(),
            "chosen": (IMAGE, order >= 0),
            "stands_for": (IMAGE, stands_for),
            "order": (IMAGE, order),
            "category": (IMAGE, member),
        },
        coords={IMAGE: strings(data.identifiers)},
        attrs={
            **{key: value for key, value in coreset.attrs.items() if key != "versions"},
            "projection": str(plane.attrs.get("projection", "given")),
            "categories": json.dumps(names),
            "selector": selectors[coreset.selector].card.title,
            "parameters": json.dumps(dict(coreset.parameters), default=str),
            "within": "all" if coreset.labels is None else "category",
        },
    )


def as_activations(features: xr.DataArray, *, labels: Any = None, categories: Sequence[str] = ()) -> MemoryActivations:
    """Features as activations of one layer, for what reads a store.

    Args:
        features: (image, unit) real numbers; the attribute ``layer`` names them.
        labels: (image) integers, -1 for none.
        categories: their names, by index.

    Returns:
        The activations; they have no maps and no predictions.

    Raises:
        ShapeError: other dimensions, or another number of labels.
    """
    if set(features.dims) != {IMAGE, UNIT}:
        raise ShapeError(f"features have the dimensions {features.dims}; expected (image, unit).")
    table = features.transpose(IMAGE, UNIT)
    names = [str(name) for name in table[IMAGE].values] if IMAGE in table.coords else ()
    member = None if labels is None else check_array(labels, name="labels", dims=(IMAGE,), kinds="iu").astype(np.int64)
    layer = str(table.attrs.get("layer", "features"))
    return MemoryActivations(
        {layer: table.reset_coords(drop=True)}, tuple(categories), member, None, names, dict(table.attrs)
    )


def members(data: Activations, labels: Any) -> tuple[NDArray[np.int64], list[str]]:
    """The category of each image and the names of all categories; -1 and no names where ``labels`` is None.

    Raises:
        InputError, ShapeError: labels that are not known or do not fit.
    """
    if labels is None:
        return np.full(len(data.identifiers), -1, dtype=np.int64), []
    member, names = category_of_images(data, labels)
    return member, list(names)


def as_positions(positions: Any, count: int) -> xr.DataArray:
    """Two numbers an image, checked.

    Args:
        positions: (image, axis).
        count: images that there are.

    Returns:
        (image, axis) float32 with names of its axes.

    Raises:
        ShapeError: not two numbers for each image.
        NotFiniteError: NaN or infinity.
    """
    given = positions if isinstance(positions, xr.DataArray) else xr.DataArray(positions, dims=(IMAGE, AXIS))
    if set(given.dims) != {IMAGE, AXIS} or given.sizes[AXIS] != 2 or given.sizes[IMAGE] != count:
        raise ShapeError(f"positions are {dict(given.sizes)}; expected (image, axis) of {count} images and 2 axes.")
    table = given.transpose(IMAGE, AXIS)
    values = check_array(table.values, name="positions", dims=(IMAGE, AXIS)).astype(np.float32)
    names = table[AXIS].values if AXIS in table.coords else ("first axis", "second axis")
    return xr.DataArray(values, dims=(IMAGE, AXIS), coords={AXIS: strings(names)}, attrs=dict(table.attrs))


def _means(values: NDArray[np.float32], category: Any) -> NDArray[np.float32]:
    if category is None:
        raise InputError("The projection 'means' needs the category of each image: category=.")
    member = check_array(category, name="category", dims=(IMAGE,), kinds="iu")
    if len(member) != len(values):
        raise ShapeError(f"{len(member)} categories for {len(values)} images; expected one an image.")
    present = np.unique(member[member >= 0])
    if len(present) < 3:
        raise InputError(f"The means of {len(present)} categories span no plane; expected three or more. Take 'pca'.")
    return np.stack([values[member == each].mean(axis=0) for each in present])
