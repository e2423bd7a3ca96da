"""Dissection: planted truth, ties, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from workbench import interpret
from workbench.errors import DtypeError, InputError, ShapeError, UnknownNameError


def test_planted_units_are_labelled_by_what_they_see(planted):
    result = interpret.dissect(planted.store, planted.masks, quantile=0.95)
    assert result["label"].values[:6].tolist() == ["red", "green", "blue"] * 2
    assert set(result["label"].values[6:]) == {""}
    assert float(result["best"][:6].min()) > 0.3
    assert result["iou"].dims == ("unit", "part")
    assert result.attrs["method"] == "dissect"
    assert result["unit"].values[2] == "activation:2"


def test_annotated_images_are_found_by_name(planted):
    some = planted.masks.isel(image=[40, 3, 77])
    result = interpret.dissect(planted.store, some)
    assert result.attrs["annotated_images"] == 3
    np.testing.assert_array_equal(result["part_area"], some.sum(("image", "y", "x")))
    by_order = interpret.dissect(planted.store, planted.masks.drop_vars("image"))
    xr.testing.assert_equal(by_order, interpret.dissect(planted.store, planted.masks))


def test_objects_serve_as_parts(planted):
    masks = planted.masks.rename(part="object")
    assert interpret.dissect(planted.store, masks).sizes["part"] == 3


def test_the_larger_intersection_breaks_a_tie():
    maps = xr.DataArray(np.zeros((1, 1, 2, 8), dtype=np.float32), dims=("image", "unit", "y", "x"))
    maps[0, 0, 0, :4] = 1
    masks = xr.DataArray(np.zeros((1, 2, 2, 8), dtype=bool), dims=("image", "part", "y", "x"))
    masks[0, 0, 0, :2] = True  # 2 of 4
    masks[0, 1] = True
    masks[0, 1, :, 4:] = False  # 4 of 8
    store = interpret.MemoryActivations({"layer": maps})
    result = interpret.dissect(store, masks.assign_coords(part=["small", "large"]), quantile=0.5)
    np.testing.assert_allclose(result["iou"], [[0.5, 0.5]])
    assert result["label"].item() == "large"


def test_bad_input_is_named(planted):
    masks = planted.masks
    with pytest.raises(ShapeError, match="DataArray"):
        interpret.dissect(planted.store, masks.values)
    with pytest.raises(ShapeError, match="expected a DataArray"):
        interpret.dissect(planted.store, masks.isel(part=0))
    with pytest.raises(DtypeError, match="float64"):
        interpret.dissect(planted.store, masks.astype(float))
    with pytest.raises(InputError, match="'elsewhere'"):
        interpret.dissect(planted.store, masks.isel(image=[0]).assign_coords(image=["elsewhere"]))
    with pytest.raises(ShapeError, match="2 images without names"):
        interpret.dissect(planted.store, masks.isel(image=[0, 1]).drop_vars("image"))
    with pytest.raises(InputError, match="No part is visible"):
        interpret.dissect(planted.store, masks & False)
    with pytest.raises(InputError, match="quantile is 1"):
        interpret.dissect(planted.store, masks, quantile=1)
    with pytest.raises(UnknownNameError, match="activation"):
        interpret.dissect(planted.store, masks, layer="layer4")
    flat = interpret.MemoryActivations({"fc": xr.DataArray(np.ones((120, 4)), dims=("image", "unit"))})
    with pytest.raises(InputError, match="convolutional"):
        interpret.dissect(flat, masks.drop_vars("image"))


def test_bad_weights_are_named(planted):
    with pytest.raises(ShapeError, match="3 weights for 120 images"):
        interpret.dissect(planted.store, planted.masks, weights=np.ones(3))
    with pytest.raises(InputError, match="below 0"):
        interpret.dissect(planted.store, planted.masks, weights=np.zeros(120))
