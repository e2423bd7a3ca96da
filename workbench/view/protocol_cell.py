"""The images behind one cell of a protocol's table: the map, what a binariser chooses of it, and the mask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from workbench.errors import InputError
from workbench.view.axes import (
    GROUND,
    INK,
    TEXT_SIZE,
    bare,
    check_picture,
    colour_bar,
    draw_map,
    draw_outline,
    headline,
    new_figure,
)
from workbench.view.picture import Picture
from workbench.view.scale import choose_scale
from workbench.view.words import count, number, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = "row"
# Told apart by lightness alone: a dark line on white, and a light line on black.
CHOSEN, TRUTH = (INK, GROUND), ("#ffe14d", "#000000")
NEEDED = ("heatmap", "chosen", "mask", "picture", "iou", "score")
TITLE_LETTERS = 24


def protocol_cell(cell: xr.Dataset, *, opacity: float = 0.65, columns: int = 3, size: float = 2.4) -> Picture:
    """Draw the images behind a score: heatmap, outline of what is chosen, outline of the mask, and their IoU.

    Args:
        cell: what :func:`workbench.panels.protocol_cell` gives: ``heatmap``, ``chosen``, ``mask`` (row, y, x),
            ``picture`` (row, y, x, channel), ``iou`` and ``score`` (row).
        opacity: of the maps over the pictures, in [0, 1].
        columns: images side by side, at most.
        size: of the longer side of one image, in inches.

    Returns:
        The drawing.

    Raises:
        InputError: something else than such a cell, one without images, or an option out of range.
    """
    lacking = [name for name in NEEDED if not isinstance(cell, xr.Dataset) or name not in cell]
    if lacking:
        raise InputError(
            f"There is no {lacking[0]!r} in what is to be drawn; expected what panels.protocol_cell gives."
        )
    total = cell.sizes[ROW]
    if not total or columns < 1:
        raise InputError(f"{total} images in {columns} columns cannot be drawn; expected at least one of each.")
    maps = np.asarray(cell["heatmap"].values, dtype=np.float64)
    scale = choose_scale(maps, kind="auto")
    columns = min(columns, total)
    lines = math.ceil(total / columns)
    height = size * min(1.0, maps.shape[1] / maps.shape[2])
    titled = 0.65 if "unit" in cell.coords and str(cell["unit"].values[0]) else 0.5
    figure = new_figure(columns * (size + 0.1) + 0.9, lines * (height + titled) + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False)
    said = []
    for index, axes in enumerate(grid.flat[:total]):
        one = cell.isel({ROW: index})
        _draw(axes, one, scale, opacity)
        title, words = _in_words(one)
        headline(axes, title)
        said.append(words)
    for axes in grid.flat[total:]:
        axes.set_axis_off()
    colour_bar(figure, grid, scale, "value of the map", opacity=opacity)
    by = f"chosen by {cell.attrs.get('binariser', 'the binariser')}"
    handles = [
        Line2D(
            [], [], color=line, linewidth=1.6, label=label, path_effects=[withStroke(linewidth=3.2, foreground=casing)]
        )
        for (line, casing), label in ((CHOSEN, by), (TRUTH, "mask: what should be found"))
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=TEXT_SIZE, labelcolor=INK,
        borderpad=0.2,
    )  # fmt: skip
    of = " by ".join(str(cell.attrs[name]) for name in ("method", "metric") if name in cell.attrs)
    return Picture(figure, f"{count(total, 'image')} behind {of or 'a score'}. " + " ".join(said))


def _draw(axes: Axes, one: xr.Dataset, scale: Any, opacity: float) -> None:
    picture = check_picture(one["picture"].values)
    draw_map(axes, np.asarray(one["heatmap"].values, dtype=np.float64), picture, scale, opacity=opacity)
    for name, (line, casing), width in (("mask", TRUTH, 1.4), ("chosen", CHOSEN, 0.9)):
        draw_outline(axes, np.asarray(one[name].values, dtype=bool), line=line, casing=casing, width=width)
    bare(axes)


def _in_words(one: xr.Dataset) -> tuple[str, str]:
    """The title of an image, and a sentence about it."""
    identifier = str(one["image"].item())
    unit, part = (str(one[name].item()) if name in one.coords else "" for name in ("unit", "part"))
    of = f"{unit} on {part}" if unit and part else unit
    iou, score = float(one["iou"]), float(one["score"])
    overlap = f"IoU {number(iou)}" if np.isfinite(iou) else "not annotated"
    scored = f", score {number(score)}" if np.isfinite(score) else ""
    chosen = share(float(one["chosen"].mean()))
    name = identifier if len(identifier) <= TITLE_LETTERS else "…" + identifier[-TITLE_LETTERS + 1 :]
    title = "\n".join(filter(None, (name, of, f"{overlap}{scored}")))
    return title, f"{identifier}{', ' if of else ''}{of}: {overlap}{scored}; {chosen} of it is chosen."
