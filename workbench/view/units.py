"""Unit sheets: the images that make one unit fire most, and where in them it fires."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.errors import InputError
from workbench.view.axes import colour_bar, draw_map, headline, legend_of_marks, new_figure
from workbench.view.heatmap import BAR_WIDTH, MARGIN, TITLE_HEIGHT, as_maps, as_pictures, as_titles
from workbench.view.histogram import draw_histogram
from workbench.view.picture import Picture
from workbench.view.scale import choose_scale
from workbench.view.words import describe_odd, number, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.figure import FigureBase
    from numpy.typing import NDArray

SPOKEN = 4  # images that the alternative text goes into
HISTOGRAM_HEIGHT = 1.9


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
    count = len(maps)
    rows, columns = _grid(count, columns)
    titled = titles is None or any(titles)
    figure = new_figure(columns * (size + MARGIN) + BAR_WIDTH, rows * (size + TITLE_HEIGHT * titled) + MARGIN)
    alt = draw_unit_sheet(
        figure, maps, pictures, name=name, titles=titles, unit=unit, opacity=opacity, contour=contour,
        interpolation=interpolation, columns=columns,
    )  # fmt: skip
    return Picture(figure, alt)


def unit_profile(
    result: xr.Dataset,
    *,
    opacity: float = 0.7,
    contour: float | None = None,
    interpolation: Literal["nearest", "bilinear"] = "nearest",
    columns: int = 4,
    size: float = 1.75,
) -> Picture:
    """Draw what one unit responds to: its sheet, and below it how strongly it fires over all images.

    Args:
        result: ``maps`` (top, y, x) and ``pictures`` (top, row, column, channel) of the images that make the unit fire
            most, ``greatest`` (image), its greatest activation in every image; the coordinate ``title`` (top); the
            attributes ``layer`` and ``unit``; optionally ``chosen`` (image) bool and the attribute ``category``, the
            images drawn again in front.
        opacity: of the maps over the pictures, in [0, 1].
        contour: outline the share of each map, in (0, 1), where it is highest.
        interpolation: ``"nearest"`` shows the cells of the map, ``"bilinear"`` blends them.
        columns: images in a row, at most.
        size: of one image, in inches.

    Returns:
        The drawing.

    Raises:
        InputError: a result without these variables, or an option out of its range.
        ShapeError: maps and pictures of other proportions.
    """
    missing = [name for name in ("maps", "pictures", "greatest") if name not in result]
    if missing:
        raise InputError(f"The result has no variable {missing[0]!r}; expected what UnitPanel.result gives.")
    name = f"unit {result.attrs.get('unit')} of {result.attrs.get('layer')}"
    rows, columns = _grid(result.sizes["top"], columns)
    sheet_height = rows * (size + TITLE_HEIGHT) + 2 * MARGIN
    figure = new_figure(columns * (size + MARGIN) + BAR_WIDTH, sheet_height + HISTOGRAM_HEIGHT, compress=False)
    parts = np.asarray(figure.subfigures(2, 1, height_ratios=[sheet_height, HISTOGRAM_HEIGHT]))
    upper, lower = parts.flat
    chosen = result["chosen"].values if "chosen" in result else None
    sheet = draw_unit_sheet(
        upper, result["maps"].values, result["pictures"].values, name=name,
        titles=[str(title) for title in result["title"].values], unit="activation", opacity=opacity, contour=contour,
        interpolation=interpolation, columns=columns,
    )  # fmt: skip
    counts = draw_histogram(
        lower, result["greatest"].values, unit=f"greatest activation of {name}", part=chosen,
        part_name=str(result.attrs.get("category", "")), marks={f"top {result.sizes['top']}": _threshold(result)},
    )  # fmt: skip
    return Picture(figure, f"{sheet} {counts}")


def draw_unit_sheet(
    figure: FigureBase,
    maps: Any,
    pictures: Any,
    *,
    name: str,
    titles: Sequence[str] | None,
    unit: str,
    opacity: float,
    contour: float | None,
    interpolation: Literal["nearest", "bilinear"],
    columns: int,
) -> str:
    """Draw a unit sheet into a figure or a part of one; see :func:`unit_sheet`.

    Returns:
        The alternative text.
    """
    values = as_maps(maps)
    drawn = as_pictures(pictures, len(values))
    names = as_titles(titles, maps, len(values))
    everything = np.concatenate([one.ravel() for one in values])
    scale = choose_scale(everything, kind="auto")
    grid = figure.subplots(*_grid(len(values), columns), squeeze=False)
    for axes, one, picture, title in zip(grid.flat, values, drawn, names, strict=False):
        draw_map(axes, one, picture, scale, opacity=opacity, contour=contour, interpolation=interpolation)
        headline(axes, title)
    for axes in grid.flat[len(values) :]:
        axes.set_axis_off()
    colour_bar(figure, grid, scale, unit, opacity=opacity)
    legend_of_marks(figure, everything, scale)
    return _alt(name, unit, values, names, describe_odd(everything, scale))


def _grid(count: int, columns: int) -> tuple[int, int]:
    columns = max(1, min(columns, count))
    return max(1, math.ceil(count / columns)), columns


def _threshold(result: xr.Dataset) -> float:
    """The greatest activation of the last of the top images."""
    highest = np.sort(result["greatest"].values[np.isfinite(result["greatest"].values)])
    return float(highest[-min(result.sizes["top"], len(highest))])


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
