"""The data behind a picture, as a file that any tool of the field can open."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Mapping


def netcdf(result: xr.Dataset | xr.DataArray) -> bytes:
    """A result as a NetCDF-4 file.

    Args:
        result: a Dataset or DataArray; what NetCDF cannot hold is written in the nearest form that it can: bool
            arrays as int8, nested attributes as JSON text, missing ones (None) not at all.

    Returns:
        The bytes of the file; ``xarray.open_dataset`` opens them with the engine ``h5netcdf``.
    """
    dataset = result.to_dataset(name=result.name or "value") if isinstance(result, xr.DataArray) else result
    plain = dataset.copy()
    for name, variable in dataset.variables.items():
        values = variable
        if variable.dtype.kind == "b":
            values = variable.astype(np.int8)
        elif variable.dtype.kind == "O":
            values = variable.astype(str)
        values = values.copy(deep=False)
        values.attrs = _plain(variable.attrs)
        if name in plain.coords:
            plain = plain.assign_coords({name: values})
        else:
            plain[name] = values
    plain.attrs = _plain(dataset.attrs)
    buffer = io.BytesIO()
    plain.to_netcdf(buffer, engine="h5netcdf")
    return buffer.getvalue()


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    plain = {}
    for key, value in attributes.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = int(value)
        elif not isinstance(value, str | int | float | np.ndarray | np.number):
            value = json.dumps(value, default=str)
        plain[str(key)] = value
    return plain
