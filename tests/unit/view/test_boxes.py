"""The drawing of changed boxes: where they lie, what is said, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from workbench import view
from workbench.errors import InputError, ShapeError


def trail(**changes: Any) -> xr.Dataset:
    numbers = {
        "y": [4, 2, 0],
        "x": [8, 3, 0],
        "height": [4, 3, 1],
        "width": [4, 5, 1],
        "rows": [16, 8, 1],
        "columns": [24, 12, 1],
        "share": [16 / 384, 15 / 96, 1.0],
        "local": [True, True, False],
    }
    variables = {name: ("layer", np.array(values)) for name, values in (numbers | changes).items()}
    return xr.Dataset(variables, coords={"layer": ["input", "features.12.convolution.3", "mean"]})


def test_each_box_lies_where_it_is_in_its_layer() -> None:
    figure = view.changed_boxes(trail()).figure
    found = [axes.patches[0] for axes in figure.axes]
    assert [box.get_xy() for box in found] == [(8, 4), (3, 2), (0, 0)]
    assert [(box.get_width(), box.get_height()) for box in found] == [(4, 4), (5, 3), (1, 1)]
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 24), (0, 12), (0, 1)]
    assert [axes.get_ylim() for axes in figure.axes] == [(16, 0), (8, 0), (1, 0)]


def test_all_layers_are_drawn_at_one_size() -> None:
    picture = view.changed_boxes(trail(), np.zeros((32, 48, 3), np.uint8))
    picture.png(dpi=50)
    boxes = [axes.get_position() for axes in picture.figure.axes]
    assert np.ptp([box.width for box in boxes]) < 1e-6
    assert np.ptp([box.height for box in boxes]) < 1e-6


def test_sizes_and_shares_are_said() -> None:
    picture = view.changed_boxes(trail(), title="One window")
    assert picture.alt.startswith("One window: the pixels of each layer")
    assert "features.12.convolution.3: 8 by 12, 16 %." in picture.alt
    assert "mean: sees the whole map." in picture.alt
    titles = [axes.get_title(loc="left") for axes in picture.figure.axes]
    assert max(map(len, titles)) <= 16
    assert picture.figure.axes[0].get_xlabel() == "16 by 24, 4 %"


def test_where_nothing_changes_no_box_is_drawn() -> None:
    figure = view.changed_boxes(trail(height=[0, 3, 1], width=[0, 5, 1])).figure
    assert [len(axes.patches) for axes in figure.axes] == [0, 1, 1]


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="no variable 'share'"):
        view.changed_boxes(trail().drop_vars("share"))
    with pytest.raises(InputError, match="0 layers"):
        view.changed_boxes(trail().isel(layer=slice(0, 0)))
    with pytest.raises(InputError, match="across is 0"):
        view.changed_boxes(trail(), across=0)
    with pytest.raises(ShapeError, match="proportions"):
        view.changed_boxes(trail(), np.zeros((48, 32, 3), np.uint8))
