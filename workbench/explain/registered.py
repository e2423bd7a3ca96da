"""The registry of explainers, and the one way to call any of them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.registry import Registry

if TYPE_CHECKING:
    import xarray as xr

explainers = Registry("explainer")


def explain(name: str, model: Any, images: Any, **parameters: Any) -> xr.DataArray:
    """Explain with the method of a name.

    Args:
        name: a name in :data:`explainers`.
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        **parameters: ``target``, ``score``, ``progress``, ``stop``, and those of the method's card.

    Returns:
        DataArray (image, y, x) float32, see :func:`workbench.explain.result.heatmaps`.

    Raises:
        UnknownNameError: no such method, with the nearest names.
        WorkbenchError: what the method itself raises.
    """
    result: xr.DataArray = explainers[name](model, images, **parameters)
    return result
