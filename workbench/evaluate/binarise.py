"""From a heatmap to the pixels that it points at."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, X, Y, check_array, provenance
from workbench.errors import DtypeError, InputError, ShapeError
from workbench.evaluate.binarisers import ORACLES, POOLED, binarisers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

BLOCK = 1 << 18  # values that are sorted or counted at a time: more do not stay near the processor


@dataclass(frozen=True)
class Binariser:
    """A registered binariser with its parameters; frozen and hashable, so that a protocol can hold it.

    Written as text it is ``"otsu"`` or ``"fraction(fraction=0.3)"``, and every function that takes a binariser takes
    that text too.

    Attributes:
        name: as registered in ``evaluate.binarisers``.
        parameters: pairs of a parameter's name and its value, sorted by name; those left out have their defaults.
    """

    name: str
    parameters: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        known = inspect.signature(binarisers[self.name].function).parameters
        allowed = [name for name in list(known)[1:] if name != "areas"]
        for name, value in self.parameters:
            if name not in allowed:
                raise InputError(f"The binariser {self.name!r} has no parameter {name!r}; it has {allowed or 'none'}.")
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise DtypeError(f"{name} of the binariser {self.name!r} is {value!r}; expected a number.")
        object.__setattr__(self, "parameters", tuple(sorted(self.parameters)))
        # a bad value is told here, where it was written, and not in the middle of an evaluation
        options: dict[str, Any] = {**dict(self.parameters)}
        if self.name in ORACLES:
            options["areas"] = np.ones((1, 1), dtype=np.int64)
        binarisers[self.name](np.array([[0.0, 1.0]]), **options)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value:g}" for name, value in self.parameters)
        return f"{self.name}({inside})" if inside else self.name

    @property
    def reads_masks(self) -> bool:
        """Whether it looks at the truth that it is judged by."""
        return self.name in ORACLES


def as_binariser(value: str | Binariser) -> Binariser:
    """A binariser from its text.

    Args:
        value: ``"otsu"``, ``"fraction(fraction=0.3)"``, or a binariser.

    Returns:
        The binariser.

    Raises:
        UnknownNameError: no such binariser.
        InputError: text that is neither a name nor a name with numbers, or a value out of range.
        DtypeError: neither text nor a binariser.
    """
    if isinstance(value, Binariser):
        return value
    if not isinstance(value, str):
        raise DtypeError(f"A binariser is {value!r}; expected its name, for example 'otsu', or a Binariser.")
    found = re.fullmatch(r"(\w+)\s*(?:\((.*)\))?", value.strip())
    if found is None:
        raise InputError(f"{value!r} is no binariser; expected for example 'otsu' or 'fraction(fraction=0.3)'.")
    pairs = [pair.partition("=") for pair in (found[2] or "").split(",") if pair.strip()]
    try:
        parameters = tuple((name.strip(), float(number)) for name, _, number in pairs)
    except ValueError:
        raise InputError(f"{value!r} has a parameter that is no number; expected 'name(parameter=number)'.") from None
    return Binariser(found[1], parameters)


# the family over which a ranking of methods is to be looked at: none of them is known to be the published choice
BINARISER_FAMILY: tuple[Binariser, ...] = (
    *(Binariser("fraction", (("fraction", level),)) for level in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
    *(Binariser("percentile", (("share", share),)) for share in (0.05, 0.1, 0.2)),
    Binariser("dataset_quantile"),
    Binariser("otsu"),
    Binariser("mean"),
    *(Binariser("mean_deviations", (("deviations", count),)) for count in (1.0, 2.0)),
    *(Binariser(name) for name in ("triangle", "li", "yen", "two_means", "area_matched")),
)


def binarise(
    heatmaps: xr.DataArray, *, method: str | Binariser = "otsu", masks: xr.DataArray | None = None
) -> xr.DataArray:
    """The pixels that each heatmap points at.

    Values below zero count as zero: evidence against is not evidence of where. A map that is constant after that has
    no threshold: every pixel is chosen where it is above zero, none where it is zero. Of any other map, a pixel of
    the smallest value is never chosen. (``"dataset_quantile"`` has one threshold for all images, so a constant map
    lies above or below it as a whole; ``"area_matched"`` chooses as many pixels as it is told.)

    Args:
        heatmaps: (image, ..., y, x) finite numbers, where ``...`` may be ``unit`` or others.
        method: a binariser or its text, see ``evaluate.binarisers``.
        masks: (image, ..., y, x) bool of the same dimensions, for ``"area_matched"`` alone: how many pixels to choose.

    Returns:
        As ``heatmaps``, bool, with the coordinate ``threshold`` (image, ...) float64, the lowest value that is
        chosen; infinite where none is.

    Raises:
        ShapeError: a dimension is missing, or masks of another shape.
        NotFiniteError: NaN or infinity, with its place.
        DtypeError, InputError, UnknownNameError: as :func:`as_binariser`; masks that are missing or not wanted.
    """
    binariser = as_binariser(method)
    if not isinstance(heatmaps, xr.DataArray) or not {IMAGE, Y, X} <= set(heatmaps.dims):
        found = heatmaps.dims if isinstance(heatmaps, xr.DataArray) else type(heatmaps).__name__
        raise ShapeError(f"heatmaps have the dimensions {found}; expected a DataArray with (image, ..., y, x).")
    if binariser.reads_masks == (masks is None):
        raise InputError(f"{binariser} {'needs' if masks is None else 'does not take'} masks.")
    extra = [dim for dim in heatmaps.dims if dim not in (IMAGE, Y, X)]
    ordered = heatmaps.transpose(IMAGE, *extra, Y, X)
    values = check_array(ordered.values, name="heatmaps", dims=[str(dim) for dim in ordered.dims])
    shape = values.shape[:-2]
    values = np.maximum(values.reshape(shape[0], -1, values.shape[-2] * values.shape[-1]), 0)
    areas = None
    if masks is not None:
        if set(masks.dims) != set(heatmaps.dims) or masks.transpose(*ordered.dims).shape != ordered.shape:
            raise ShapeError(f"masks have {dict(masks.sizes)} and heatmaps {dict(heatmaps.sizes)}; expected the same.")
        areas = masks.transpose(*ordered.dims).values.astype(bool).sum(axis=(-2, -1)).reshape(values.shape[:2])
    levels = thresholds(values, binariser, areas=None if areas is None else areas[..., None])
    levels = levels.reshape(values.shape[:2])
    chosen = ordered.copy(data=(values >= levels[..., None]).reshape(ordered.shape))
    return chosen.assign_coords(threshold=((IMAGE, *extra), levels.reshape(shape))).assign_attrs(
        provenance(binariser=str(binariser))
    )


def thresholds(
    values: NDArray[Any], binariser: Binariser, *, areas: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """The lowest value that each map chooses, for maps that are checked already.

    Args:
        values: (image, map, position) numbers of zero or more, finite.
        binariser: how they are cut.
        areas: (image, map, part) int64, pixels to choose for each part, for a binariser that reads the masks.

    Returns:
        (image, map) float64, or (image, map, part) where areas are given; infinite where nothing is chosen.
    """
    method, options = binarisers[binariser.name], dict(binariser.parameters)
    images, maps, positions = values.shape
    if binariser.name in POOLED:
        return np.stack([method(values[:, unit].astype(np.float64), **options) for unit in range(maps)], axis=1)
    rows = values.reshape(images * maps, positions)
    table = None if areas is None else areas.reshape(len(rows), areas.shape[2])
    found = np.empty(len(rows) if table is None else table.shape)
    step = max(1, BLOCK // positions)
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        values = rows[block].astype(np.float64)
        if table is None:
            found[block] = _of_rows(values, method, options)
        else:
            silent = values.max(axis=1, keepdims=True) <= 0
            found[block] = np.where(silent, np.inf, method(values, areas=table[block], **options))
    return found.reshape(images, maps, *found.shape[1:])


def _of_rows(rows: NDArray[np.float64], method: Any, options: Mapping[str, Any]) -> NDArray[np.float64]:
    low, high = rows.min(axis=1), rows.max(axis=1)
    varied = high > low
    found = np.where(high > 0, low, np.inf)
    if varied.any():
        above = np.nextafter(low[varied], np.inf)
        found[varied] = np.maximum(method(rows[varied], **options), above)
    return found
