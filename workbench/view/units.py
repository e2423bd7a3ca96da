"""Unit sheets: the images that make one unit fire most, and where in them it fires."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.view.axes import colour_bar, draw_map, headline, legend_of_marks, new_figure
from workbench.view.heatmap import BAR_WIDTH, MARGIN, TITLE_HEIGHT, as_maps, as_pictures, as_titles
from workbench.view.picture import Picture
from workbench.view.scale import choose_scale
from workbench.view.words import describe_odd, number, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPOKEN = 4


def unit_sheet(
    maps: Any,
    pictures: Any,
    *,
    name: str = "unit",
    titles: Sequence[str] | None = None,
    unit: str = "activation",
    opacity: float = 0.55,
    contour: float | None = None,
    interpolation: Literal["nearest", "bilinear"] = "nearest",
    columns: int = 3,
    size: float = 1.75,
) -> Picture:
    """Draw the images that make one unit fire most, with the unit's map over each.

    All maps share one scale, which starts at 0 (or is centred there, where an activation is negative).

    Args:
        maps: (image, y, x) float, the unit's map in each image, highest image first.
        pictures: (image, y, x, channel), uint8 in 0..255 or float in [0, 1]: the images as the network saw them.
        name: what to call the unit in the alternative text, for example ``"unit 12 of layer3"``.
        titles: one an image; image identifiers where omitted and known.
        unit: what the values are, on the colour bar.
        opacity: of the maps over the pictures, in [0, 1].
        contour: outline the share of each map, in (0, 1), where it is highest.
        interpolation: ``"nearest"`` shows the cells of the map, ``"bilinear"`` blends them.
        columns: images in a row, at most.
        size: of one image, in inches.

    Returns:
        The drawing.

    Raises:
        ShapeError, DtypeError: not maps, not as many pictures or titles as maps, or other proportions.
        InputError: an option out of its range.
    """
    values = as_maps(maps)
    drawn = as_pictures(pictures, len(values))
    names = as_titles(titles, maps, len(values))
    everything = np.concatenate([one.ravel() for one in values])
    scale = choose_scale(everything, kind="auto")
    columns = max(1, min(columns, len(values)))
    rows = math.ceil(len(values) / columns)
    figure = new_figure(
        columns * (size + MARGIN) + BAR_WIDTH, rows * (size + (TITLE_HEIGHT if any(names) else 0.05)) + MARGIN
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, one, picture, title in zip(grid.flat, values, drawn, names, strict=False):
        draw_map(axes, one, picture, scale, opacity=opacity, contour=contour, interpolation=interpolation)
        headline(axes, title)
    for axes in grid.flat[len(values) :]:
        axes.set_axis_off()
    colour_bar(figure, grid, scale, unit, opacity=opacity)
    legend_of_marks(figure, everything, scale)
    return Picture(figure, _alt(name, unit, values, names, describe_odd(everything, scale)))


def _alt(name: str, unit: str, values: list[NDArray[np.floating]], names: list[str], odd: str) -> str:
    spoken = [_peak(one, title) for one, title in zip(values, names, strict=True)]
    rest = f"; and {len(spoken) - SPOKEN} more" if len(spoken) > SPOKEN else ""
    images = "the image that makes" if len(values) == 1 else f"the {len(values)} images that make"
    alt = f"{name[:1].upper()}{name[1:]}: {images} it fire most, its map over each ({unit}). "
    return alt + "; ".join(spoken[:SPOKEN]) + rest + "." + odd


def _peak(values: NDArray[np.floating], title: str) -> str:
    finite = np.isfinite(values)
    lead = f"{title}: " if title else ""
    if not finite.any():
        return f"{lead}no finite value"
    highest = float(values[finite].max())
    row, column = (int(i) for i in np.argwhere(finite & (values == highest))[0])
    where = "" if values.size == 1 else f" in the {place(row, column, (values.shape[0], values.shape[1]))}"
    return f"{lead}{number(highest)}{where}"
