"""Giving each unit the name of a part, and not scoring it on the images that the name was chosen on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import PART, UNIT, provenance, strings
from workbench.errors import InputError, ShapeError, unknown_name
from workbench.evaluate.binarise import Binariser, as_binariser
from workbench.evaluate.overlap import aligned_units, measure, row_coordinates

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNLABELLED = -1
FLOOR = 0.04  # of network dissection


def link_units(
    heatmaps: xr.DataArray, masks: xr.DataArray, *, binarise: str | Binariser = "otsu", floor: float = FLOOR
) -> xr.Dataset:
    """Label each unit with the part that its binarised maps cover best, on average over the images that show it.

    Args:
        heatmaps: (image, unit, y, x) finite numbers, as for :func:`waiou`.
        masks: (image, part, y, x) bool on the same grid.
        binarise: how maps are cut, see :func:`~workbench.evaluate.binarise`.
        floor: units whose best mean IoU is below get no label, in [0, 1].

    Returns:
        Dataset: ``label`` (unit), a part's name or ""; ``best`` (unit) float64, its mean IoU; ``iou`` (unit, part)
        float64, NaN for a part that no image shows. A unit's IoU with its own label is biased upwards on these images:
        it was chosen for being the largest. Score it on others, as :func:`waiou` does.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError, UnknownNameError: as :func:`waiou`.

    Source: [bau2017], [behzadi2023]
    """
    check_floor(floor)
    maps, truth = aligned_units(heatmaps, masks)
    found = measure(maps, truth, as_binariser(binarise))
    table, _ = mean_table(found.iou)
    label = best_parts(table, found.shared.sum(axis=0), floor)
    names = [str(name) for name in truth[PART].values]
    best = np.where(label >= 0, np.take_along_axis(table, np.maximum(label, 0)[:, None], axis=1)[:, 0], np.nan)
    coords = {name: coord for name, coord in row_coordinates(maps, truth).items() if coord[0] == (UNIT,)}
    return xr.Dataset(
        {"label": (UNIT, named(label, names)), "best": (UNIT, best), "iou": ((UNIT, PART), table)},
        coords={**coords, PART: truth[PART]},
        attrs=provenance(method="link_units", binariser=str(as_binariser(binarise)), floor=floor),
    )


def check_floor(floor: float) -> None:
    """Refuse a floor that no IoU can be compared with.

    Args:
        floor: in [0, 1].

    Raises:
        InputError: it is not.
    """
    if not 0 <= floor <= 1:
        raise InputError(f"floor is {floor}; expected an IoU from 0 to 1.")


def mean_table(iou: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The mean IoU of each unit and part, and over how many images.

    Args:
        iou: (image, unit, part) float64, NaN where a pair does not count.

    Returns:
        (unit, part) float64, NaN where no image counts; (unit, part) int64.
    """
    counts = np.isfinite(iou).sum(axis=0)
    total = np.nansum(iou, axis=0)
    return np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0), counts


def best_parts(table: NDArray[np.float64], shared: NDArray[np.float64], floor: float) -> NDArray[np.int64]:
    """The part with the largest mean IoU, of equals the one with the larger intersection.

    Args:
        table: (unit, part) float64, mean IoU, NaN where unknown.
        shared: (unit, part) float64, pixels of intersection over all images.
        floor: the least IoU that earns a label; zero overlap never does.

    Returns:
        (unit) int64, index of the part, -1 for none.
    """
    comparable = np.nan_to_num(table, nan=-1.0)
    best = np.lexsort((-shared, -comparable), axis=1)[:, 0]
    score = np.take_along_axis(comparable, best[:, None], axis=1)[:, 0]
    return np.where((score >= floor) & (score > 0), best, UNLABELLED)


def given_labels(labels: Any, parts: list[str], count: int) -> NDArray[np.int64]:
    """Labels that the caller knows already, as indices of parts.

    Args:
        labels: (unit) names of parts, "" for a unit without one.
        parts: the names that there are.
        count: number of units.

    Returns:
        (unit) int64, -1 for none.

    Raises:
        ShapeError: another number of labels than units.
        UnknownNameError: no such part, with the nearest names.
    """
    names = [str(name) for name in np.atleast_1d(np.asarray(labels)).ravel()]
    if len(names) != count:
        raise ShapeError(f"{len(names)} labels for {count} units; expected the name of a part, or '', for each.")
    position = {name: index for index, name in enumerate(parts)} | {"": UNLABELLED}
    for name in names:
        if name not in position:
            raise unknown_name("part", name, parts)
    return np.array([position[name] for name in names], dtype=np.int64)


def named(label: NDArray[np.int64], parts: list[str]) -> NDArray[np.object_]:
    """Names of parts from their indices.

    Args:
        label: (unit) int64, -1 for none.
        parts: names of the parts.

    Returns:
        (unit) str, "" for none.
    """
    return strings(parts[index] if index >= 0 else "" for index in label)


def halves(usable: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split images at random into those that labels are learned on and those that they are scored on.

    Args:
        usable: (image) bool, images that show a part; the others fall in neither half.
        seed: of the split.

    Returns:
        Two (image) bool; of an odd number the scored half has one more.

    Raises:
        InputError: fewer than two usable images.
    """
    found = np.flatnonzero(usable)
    if len(found) < 2:
        raise InputError(
            f"{len(found)} image shows a part; labels are learned on one half of the images and scored on the other, "
            "which needs at least two. Pass link=<labels learned on other images>, or link='same' and call it biased."
        )
    order = np.random.default_rng(seed).permutation(found)
    linking, scoring = (np.zeros(len(usable), dtype=bool) for _ in range(2))
    linking[order[: len(order) // 2]] = True
    scoring[order[len(order) // 2 :]] = True
    return linking, scoring
