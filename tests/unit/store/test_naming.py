"""Names of the axes of a layer's output."""

from __future__ import annotations

import pytest
from torch import nn
from torchvision.models.swin_transformer import SwinTransformerBlock

from workbench.errors import InputError, ShapeError
from workbench.store.naming import check_dimension_names, dimension_names


@pytest.mark.parametrize(
    ("shape", "module", "expected"),
    [
        ((5,), nn.Linear(2, 5), ("unit",)),
        ((7, 5), nn.LayerNorm(5), ("token", "unit")),
        ((5, 4, 4), nn.Conv2d(3, 5, 1), ("unit", "y", "x")),
        ((5, 9), nn.Conv1d(3, 5, 1), ("unit", "x")),
        ((5, 2, 4, 4), nn.Conv3d(3, 5, 1), ("unit", "z", "y", "x")),
        ((4, 4, 8), SwinTransformerBlock(8, 2, [4, 4], [0, 0]), ("y", "x", "unit")),
        ((2, 3, 4, 5), nn.Identity(), ("axis_1", "axis_2", "axis_3", "axis_4")),
        ((), nn.Identity(), ()),
        ((5, 4, 4), None, ("unit", "y", "x")),
    ],
)
def test_names(shape: tuple[int, ...], module: nn.Module | None, expected: tuple[str, ...]) -> None:
    assert dimension_names(shape, module=module) == expected


def test_given_names_are_checked() -> None:
    assert check_dimension_names("a", ["unit", "x"], (3, 4)) == ("unit", "x")
    with pytest.raises(ShapeError, match="one name an axis"):
        check_dimension_names("a", ["unit"], (3, 4))
    with pytest.raises(InputError, match="must differ"):
        check_dimension_names("a", ["unit", "unit"], (3, 4))
    with pytest.raises(InputError, match="'image' is taken"):
        check_dimension_names("a", ["unit", "image"], (3, 4))
