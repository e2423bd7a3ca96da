"""One explained picture: what the network saw, and beside it one heatmap a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InputError
from workbench.view.axes import bare, check_picture, colour_bar, draw_map, headline, legend_of_marks, new_figure
from workbench.view.heatmap import BAR_WIDTH, MARGIN, TITLE_HEIGHT, as_maps
from workbench.view.picture import Picture
from workbench.view.scale import choose_scale, combined
from workbench.view.words import describe_map, describe_odd

if TYPE_CHECKING:
    import xarray as xr

NEEDED = ("heatmap", "picture")
LONGEST_TITLE = 26
ALONE, TOGETHER = 3.5, 2.9  # inches of one map, beside the picture and beside others


def explanation(
    result: xr.Dataset,
    *,
    opacity: float = 0.65,
    contour: float | None = None,
    clip: float = 0.0,
    size: float | None = None,
) -> Picture:
    """Draw one picture and its heatmaps, each with its own scale centred at 0.

    Args:
        result: ``heatmap`` (explainer, y, x) float, ``picture`` (y, x, channel) float in [0, 1], the coordinates
            ``explainer`` (titles) and ``units`` (explainer), and the attributes ``image`` and ``target``. Where the
            attribute ``complete`` is 0, NaN means "not computed yet" and leaves the picture bare.
        opacity: of the maps over the picture, in [0, 1].
        contour: outline the share of the area, in (0, 1), where a map is highest.
        clip: the share of values, in [0, 0.5], that may lie beyond a scale.
        size: of the longer side of one map, in inches; found from the number of maps where omitted.

    Returns:
        The drawing.

    Raises:
        InputError: a result without these variables, or an option out of its range.
        ShapeError: map and picture of other proportions.
    """
    missing = [name for name in NEEDED if name not in result]
    if missing:
        raise InputError(f"The result has no variable {missing[0]!r}; expected what ExplanationPanel.result gives.")
    maps = as_maps(result["heatmap"].transpose("explainer", "y", "x").values)
    picture = check_picture(result["picture"].transpose("y", "x", "channel").values)
    methods = [str(name) for name in result["explainer"].values]
    units = [str(unit) for unit in result["units"].values] if "units" in result.coords else ["value"] * len(maps)
    complete = bool(result.attrs.get("complete", 1))
    name, target = str(result.attrs.get("image", "picture")), str(result.attrs.get("target", ""))
    height, width = picture.shape[:2]
    if size is None:
        size = ALONE if len(maps) == 1 else TOGETHER
    wide, tall = size * min(1, width / height), size * min(1, height / width)
    figure = new_figure((len(maps) + 1) * (wide + MARGIN) + len(maps) * BAR_WIDTH, tall + TITLE_HEIGHT + MARGIN)
    first, *others = figure.subplots(1, len(maps) + 1)
    first.imshow(picture, interpolation="nearest")
    headline(first, shortened(name))
    bare(first)
    scales = [choose_scale(values, clip=clip) for values in maps]
    for axes, values, scale, method, unit in zip(others, maps, scales, methods, units, strict=True):
        draw_map(axes, values, picture, scale, opacity=opacity, contour=contour, hatch_nan=complete)
        headline(axes, f"{method}: {shortened(target)}" if target else method)
        colour_bar(figure, axes, scale, unit, opacity=opacity)
    if complete:
        legend_of_marks(figure, np.stack(maps), combined(scales))
    said = [f"The picture {name}, and beside it {'a heatmap' if len(maps) == 1 else f'{len(maps)} heatmaps'} over it."]
    for values, scale, method, unit in zip(maps, scales, methods, units, strict=True):
        lead = f"{method}{' for ' + target if target else ''}"
        said.append(f"{lead}: {describe_map(values, unit)}{describe_odd(values, scale) if complete else ''}")
    if not complete:
        said.append("It is not complete: where nothing is known yet, the picture is bare.")
    return Picture(figure, " ".join(said))


def shortened(text: str, length: int = LONGEST_TITLE) -> str:
    """A title that fits above a picture, its middle left out where it is too long.

    >>> shortened("scenes-object-seed-0-image-000012")
    'scenes-object…image-000012'
    """
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[head + 1 - length :]}"
