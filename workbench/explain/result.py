"""The one type of result: a map an image, with its signed original and its provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from workbench.arrays import IMAGE, X, Y, check_array, provenance, strings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workbench.explain.score import Question


def heatmaps(
    question: Question,
    values: Any,
    *,
    method: str,
    parameters: Mapping[str, Any],
    signed: Any = None,
    finite: bool = True,
    coords: Mapping[str, Any] | None = None,
    **facts: Any,
) -> xr.DataArray:
    """Wrap maps as every explainer returns them.

    Args:
        question: what was asked.
        values: (image, y, x) float, on the grid of the network input.
        method: registered name of the method.
        parameters: its parameters, as JSON can hold them.
        signed: (image, y, x) float, values below 0 speaking against the target; ``values`` where omitted.
        finite: refuse NaN; False for partial maps, where NaN means not known yet.
        coords: more coordinates, name to ``(dims, values)``.
        **facts: more provenance.

    Returns:
        DataArray (image, y, x) float32. Coordinates: ``image`` (identifiers), ``y`` and ``x`` (pixels), ``target``
        (image) int64, ``category`` (image) its name, ``reference`` (image) the score of the untouched image,
        ``signed`` (image, y, x) float32. Attributes: method, parameters, score, model, weights_hash and versions.

    Raises:
        NotFiniteError: NaN or infinity in a final map.
        ShapeError: not (image, y, x).
    """
    array = _as_maps(values, "the map", finite)
    height, width = question.size
    targets = question.targets.cpu().numpy()
    names = question.model.categories
    return xr.DataArray(
        array,
        dims=(IMAGE, Y, X),
        coords={
            IMAGE: strings(question.identifiers),
            Y: np.arange(height),
            X: np.arange(width),
            "target": (IMAGE, targets),
            "category": (IMAGE, strings(names[i] if names else i for i in targets)),
            "reference": (IMAGE, question.reference.detach().cpu().double().numpy()),
            "signed": ((IMAGE, Y, X), array if signed is None else _as_maps(signed, "the signed map", finite)),
            **(coords or {}),
        },
        name=method,
        attrs={**question.facts, **provenance(method=method, parameters=dict(parameters), **facts)},
    )


def _as_maps(values: Any, name: str, finite: bool) -> np.ndarray[Any, np.dtype[np.float32]]:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().float().numpy()
    return check_array(values, name=name, dims=(IMAGE, Y, X), kinds="f", finite=finite).astype(np.float32)
