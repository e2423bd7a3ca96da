"""Dimension names, one checker of arrays, and the provenance that every result carries."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DtypeError, NotFiniteError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The names of dimensions, everywhere. Not "class": ``.sel(class=...)`` is not Python.
IMAGE, UNIT, Y, X = "image", "unit", "y", "x"
CHANNEL, CATEGORY, PART, OBJECT, TOKEN = "channel", "category", "part", "object", "token"

DISTRIBUTION = "interpretation-workbench"


def check_array(
    value: Any,
    *,
    name: str,
    dims: Sequence[str],
    kinds: str = "biuf",
    finite: bool = True,
    allow_empty: bool = False,
) -> NDArray[Any]:
    """Return ``value`` as a NumPy array, or say exactly why it cannot be used.

    Args:
        value: anything that ``np.asarray`` takes.
        name: what to call it in the message.
        dims: the dimension names that it must have, in order, for example ``("image", "y", "x")``.
        kinds: NumPy dtype kinds that are accepted (``b`` bool, ``i`` and ``u`` integer, ``f`` float).
        finite: refuse NaN and infinity.
        allow_empty: accept an array of size 0.

    Returns:
        The array, not copied where that is possible.

    Raises:
        ShapeError: wrong number of dimensions, or empty.
        DtypeError: a dtype of another kind.
        NotFiniteError: NaN or infinity, with the index of the first.
    """
    array = np.asarray(value)
    if array.ndim != len(dims):
        raise ShapeError(
            f"{name} has {array.ndim} dimensions, shape {array.shape}; expected {len(dims)}: ({', '.join(dims)})."
        )
    if array.dtype.kind not in kinds:
        raise DtypeError(
            f"{name} has dtype {array.dtype}; expected one of the NumPy kinds {kinds!r}. Convert it first."
        )
    if array.size == 0 and not allow_empty:
        raise ShapeError(f"{name} is empty, shape {array.shape}; expected at least one element a dimension.")
    if finite and array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            where = ", ".join(f"{dim} {index}" for dim, index in zip(dims, first, strict=True))
            raise NotFiniteError(
                f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first at {where}. "
                "Repair or drop these entries before explaining them."
            )
    return array


def strings(names: Iterable[Any]) -> NDArray[np.object_]:
    """Names as a coordinate that Zarr and NetCDF both keep.

    NumPy's fixed-length strings have no Zarr 3 specification; strings as objects become variable-length text.

    Args:
        names: anything that has a text.

    Returns:
        (n) object, each entry a ``str``.
    """
    return np.array([str(name) for name in names], dtype=object)


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, read from their metadata (nothing is imported)."""
    found = {"python": platform.python_version()}
    for package in (DISTRIBUTION, "torch", "torchvision", "captum", "numpy", "xarray", "zarr"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def provenance(**facts: Any) -> dict[str, str | int | float]:
    """Attributes that say where a result came from; every value survives Zarr and NetCDF.

    Args:
        **facts: what to record. Numbers and strings are kept; anything else becomes JSON text.

    Returns:
        The facts, and ``versions`` as JSON text.
    """
    facts = {key: value for key, value in facts.items() if value is not None}
    return {key: _plain(value) for key, value in {**facts, "versions": versions()}.items()}


def _plain(value: Any) -> str | int | float:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str | int | float):
        return value
    return json.dumps(value, sort_keys=True, default=_jsonable)


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
