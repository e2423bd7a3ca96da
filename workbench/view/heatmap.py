"""Heatmaps: evidence for and against, over the picture that was explained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, X, Y, check_array
from workbench.errors import ShapeError
from workbench.view.axes import (
    bare,
    check_picture,
    colour_bar,
    draw_map,
    headline,
    legend_of_marks,
    new_figure,
)
from workbench.view.picture import Picture
from workbench.view.scale import choose_scale, combined
from workbench.view.words import describe_map, describe_odd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TITLE_HEIGHT, BAR_WIDTH, MARGIN = 0.3, 0.75, 0.15


def heatmap(
    heat: Any,
    picture: Any = None,
    *,
    title: str = "",
    unit: str | None = None,
    opacity: float = 0.65,
    contour: float | None = None,
    limit: float | None = None,
    clip: float = 0.0,
    kind: Literal["diverging", "sequential", "auto"] = "diverging",
    size: float = 3.6,
) -> Picture:
    """Draw one heatmap, over the picture that it explains where one is given.

    Colours are centred at 0: red is evidence for, blue against, white none. What no colour can say is drawn apart: NaN
    and infinity are hatched, values beyond the scale get their own colour and a colour bar that points onwards.

    Args:
        heat: (y, x) float, or (image, y, x) with one image; a DataArray brings title and unit along.
        picture: (y, x, channel) or (y, x), uint8 in 0..255 or float in [0, 1], of the same proportions.
        title: stands above the picture; the method's name where omitted and known.
        unit: what the values are, on the colour bar; from the attributes ``units`` or ``score`` where omitted.
        opacity: of the map over the picture, in [0, 1].
        contour: outline the share of the area, in (0, 1), where the values are highest.
        limit: the magnitude at which colours end; the greatest in the map where omitted.
        clip: where there is no limit, the share of values, in [0, 0.5], that may lie beyond the scale.
        kind: ``"diverging"``, ``"sequential"``, or ``"auto"`` for sequential where no value is negative.
        size: of the longer side of the map, in inches.

    Returns:
        The drawing.

    Raises:
        ShapeError, DtypeError: not a map, or not of the picture's proportions.
        InputError: an option out of its range.
    """
    return heatmaps(
        [single(heat)],
        None if picture is None else [picture],
        titles=[title or method_of(heat)],
        unit=unit, opacity=opacity, contour=contour, limit=limit, clip=clip, kind=kind, size=size, columns=1,
    )  # fmt: skip


def heatmaps(
    heats: Any,
    pictures: Any = None,
    *,
    titles: Sequence[str] | None = None,
    unit: str | None = None,
    opacity: float = 0.65,
    contour: float | None = None,
    limit: float | None = None,
    clip: float = 0.0,
    kind: Literal["diverging", "sequential", "auto"] = "diverging",
    shared_scale: bool = True,
    columns: int = 4,
    size: float = 2.2,
) -> Picture:
    """Draw a grid of heatmaps, one an image or one a method.

    Args:
        heats: (image, y, x) float, or a sequence of (y, x).
        pictures: (image, y, x, channel) or a sequence of (y, x, channel), one a map, or None.
        titles: one a map; image identifiers where omitted and known.
        unit: what the values are, on the colour bars.
        opacity: see :func:`heatmap`.
        contour: see :func:`heatmap`.
        limit: see :func:`heatmap`.
        clip: see :func:`heatmap`.
        kind: see :func:`heatmap`.
        shared_scale: one scale for all maps, so that their colours compare; otherwise one a map.
        columns: maps in a row, at most.
        size: of the longer side of one map, in inches.

    Returns:
        The drawing.

    Raises:
        ShapeError, DtypeError: not maps, not as many pictures or titles as maps, or other proportions.
        InputError: an option out of its range.
    """
    maps = as_maps(heats)
    drawn = as_pictures(pictures, len(maps))
    names = as_titles(titles, heats, len(maps))
    unit = unit_of(heats) if unit is None else unit
    everything = np.concatenate([values.ravel() for values in maps])
    common = choose_scale(everything, kind=kind, limit=limit, clip=clip)
    scales = [common if shared_scale else choose_scale(values, kind=kind, limit=limit, clip=clip) for values in maps]
    columns = max(1, min(columns, len(maps)))
    rows = math.ceil(len(maps) / columns)
    tall, wide = max((m.shape for m in maps), key=lambda s: s[0] / s[1])
    cell_width, cell_height = size * min(1, wide / tall), size * min(1, tall / wide)
    bars = 1 if shared_scale else columns
    titled = TITLE_HEIGHT if any(names) else 0.05
    figure = new_figure(columns * (cell_width + MARGIN) + bars * BAR_WIDTH, rows * (cell_height + titled) + MARGIN)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, values, picture, name, scale in zip(grid.flat, maps, drawn, names, scales, strict=False):
        draw_map(axes, values, picture, scale, opacity=opacity, contour=contour)
        headline(axes, name)
        if not shared_scale:
            colour_bar(figure, axes, scale, unit, opacity=opacity if picture is not None else 1.0)
    for axes in grid.flat[len(maps) :]:
        axes.set_axis_off()
    if shared_scale:
        colour_bar(figure, grid, common, unit, opacity=opacity if pictures is not None else 1.0)
    clipped = common if shared_scale else combined(scales)
    legend_of_marks(figure, everything, clipped)
    said = [_sentence(values, name, unit) for values, name in zip(maps, names, strict=True)]
    odd = describe_odd(everything, clipped)
    over = " over the picture" if pictures is not None else ""
    alt = f"{'Heatmap' if len(maps) == 1 else f'{len(maps)} heatmaps'}{over}. " + " ".join(said)
    return Picture(figure, alt + odd)


def images(
    pictures: Any,
    *,
    titles: Sequence[str] | None = None,
    columns: int = 6,
    size: float = 1.6,
) -> Picture:
    """Draw a grid of pictures.

    Args:
        pictures: (image, y, x, channel) or a sequence of (y, x, channel); uint8 in 0..255 or float in [0, 1].
        titles: one a picture; image identifiers where omitted and known.
        columns: pictures in a row, at most.
        size: of the longer side of one picture, in inches.

    Returns:
        The drawing.

    Raises:
        ShapeError, DtypeError, InputError: not pictures, or not as many titles.
    """
    count = len(pictures)
    drawn = as_pictures(pictures, count)
    if not count:
        raise ShapeError("There is no picture to draw; expected at least one.")
    names = as_titles(titles, pictures, count)
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    figure = new_figure(columns * (size + MARGIN), rows * (size + (TITLE_HEIGHT if any(names) else 0.05)) + MARGIN)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, picture, name in zip(grid.flat, drawn, names, strict=False):
        axes.imshow(picture, interpolation="nearest")
        headline(axes, name)
        bare(axes)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    listed = "; ".join(name for name in names if name)
    return Picture(figure, f"{count} picture{'' if count == 1 else 's'}{': ' + listed if listed else ''}.")


def single(heat: Any) -> Any:
    """The one map in ``heat``: (y, x), or (image, y, x) with one image."""
    if np.ndim(heat) == 3 and len(heat) == 1:
        return heat[0]
    return heat


def as_maps(heats: Any) -> list[NDArray[np.floating]]:
    """A list of (y, x) float arrays, NaN and infinity allowed: they are drawn as such."""
    maps = [check_array(heat, name="heat", dims=(Y, X), kinds="biuf", finite=False) for heat in heats]
    if not maps:
        raise ShapeError("There is no heatmap to draw; expected at least one.")
    return [values if values.dtype.kind == "f" else values.astype(np.float64) for values in maps]


def as_pictures(pictures: Any, count: int) -> list[Any]:
    """A list of ``count`` checked pictures, or of ``count`` times None."""
    if pictures is None:
        return [None] * count
    if len(pictures) != count:
        raise ShapeError(f"{len(pictures)} pictures for {count} maps; expected one picture a map.")
    return [check_picture(picture, name=f"picture {i}") for i, picture in enumerate(pictures)]


def as_titles(titles: Sequence[str] | None, named: Any, count: int) -> list[str]:
    """One title a drawing: the given ones, else the identifiers that ``named`` carries, else blanks."""
    if titles is None:
        known = isinstance(named, xr.DataArray) and IMAGE in named.coords and named.coords[IMAGE].ndim == 1
        titles = [str(name) for name in named.coords[IMAGE].values] if known else [""] * count
    if len(titles) != count:
        raise ShapeError(f"{len(titles)} titles for {count} drawings; expected one each.")
    return list(titles)


def method_of(heat: Any) -> str:
    """The method that made a map, as its attributes say, or ""."""
    return str(heat.attrs.get("method", "")) if isinstance(heat, xr.DataArray) else ""


def unit_of(heat: Any) -> str:
    """What the values of a map are: its attribute ``units``, else its ``score``, else a plain word."""
    first = heat[0] if isinstance(heat, list | tuple) else heat
    attributes = first.attrs if isinstance(first, xr.DataArray) else {}
    if attributes.get("units"):
        return str(attributes["units"])
    return f"evidence ({attributes['score']})" if attributes.get("score") else "value"


def _sentence(values: NDArray[np.floating], name: str, unit: str) -> str:
    said = describe_map(values, unit)
    return f"{name}. {said}" if name else said
