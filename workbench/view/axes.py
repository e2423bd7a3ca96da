"""The strokes that all drawings are made of: one map over one picture, its marks, its colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from scipy.ndimage import zoom

from workbench.arrays import CHANNEL, X, Y, check_array
from workbench.errors import InputError, ShapeError
from workbench.view.scale import ABOVE, BELOW
from workbench.view.words import odd_kinds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from numpy.typing import NDArray

    from workbench.view.scale import Scale

INK, QUIET, GROUND = "#1f2328", "#57606a", "#ffffff"
TITLE_SIZE, TEXT_SIZE = 9.5, 8.5
COLOUR_KEPT = 0.4  # share of a picture's colour below a map of one hue
SMOOTH_CELLS = 120  # along the longer side of an outlined map that is blended
# (name, hatch, face colour) of the values that are no numbers: no colour map holds these patterns.
MARKS = {"nan": ("/////", "#d0d7de"), "+inf": ("xxxxx", "#ffe8a3"), "-inf": (".....", "#c8f2f2")}


def new_figure(width: float, height: float, *, compress: bool = True) -> Figure:
    """A blank figure, in inches, that belongs to no pyplot state; ``compress`` draws axes of fixed shape together."""
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.03, compress=compress)
    return Figure(figsize=(width, height), layout=engine, facecolor=GROUND)


def check_picture(picture: Any, *, name: str = "picture") -> NDArray[np.float32]:
    """A picture as float RGB.

    Args:
        picture: (y, x, channel) or (y, x); uint8 in 0..255 or float in [0, 1]; 1 or 3 channels.
        name: what to call it in the message.

    Returns:
        (y, x, channel) float32 in [0, 1], three channels.

    Raises:
        ShapeError, DtypeError, NotFiniteError: no such array.
        InputError: float values outside [0, 1].
    """
    array = np.asarray(picture)
    if array.ndim == 2:
        array = array[..., None]
    array = check_array(array, name=name, dims=(Y, X, CHANNEL), kinds="uf")
    if array.shape[-1] not in (1, 3):
        raise ShapeError(f"{name} has shape {array.shape}; expected (y, x, channel) with 1 or 3 channels, last.")
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise InputError(f"{name} reaches from {low:.4g} to {high:.4g}; float pictures lie in [0, 1]. Divide by 255?")
    return np.broadcast_to(array, (*array.shape[:2], 3)).astype(np.float32)


def draw_map(
    axes: Axes,
    values: NDArray[np.floating],
    picture: NDArray[np.float32] | None,
    scale: Scale,
    *,
    opacity: float,
    contour: float | None = None,
    interpolation: Literal["nearest", "bilinear"] = "nearest",
    hatch_nan: bool = True,
) -> None:
    """Draw one map over one picture.

    Args:
        axes: where to.
        values: (y, x) float.
        picture: (y, x, channel) float in [0, 1] of the same proportions, or None for no picture.
        scale: how values become colours.
        opacity: of the map over the picture, in [0, 1].
        contour: outline the share of the map with the highest values, in (0, 1).
        interpolation: ``"nearest"`` shows the cells of the map, ``"bilinear"`` blends them.
        hatch_nan: hatch the cells that are NaN; otherwise they leave the picture bare.

    Raises:
        ShapeError: the proportions of map and picture differ.
        InputError: opacity or contour out of range.
    """
    if not 0 <= opacity <= 1:
        raise InputError(f"opacity is {opacity!r}; expected a number from 0 (only the picture) to 1 (only the map).")
    height, width = values.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    if picture is not None:
        check_proportions(values.shape, picture.shape)
        axes.imshow(_under(picture, scale), extent=extent, interpolation="nearest")
    axes.imshow(
        np.ma.masked_invalid(values),
        cmap=scale.colours(opacity if picture is not None else 1.0),
        norm=scale.normalise,
        extent=extent,
        interpolation=interpolation if np.isfinite(values).all() else "nearest",
        interpolation_stage="data",
    )
    mark_odd(axes, values if hatch_nan else np.nan_to_num(values, posinf=np.inf, neginf=-np.inf))
    if contour is not None:
        draw_contour(axes, values, contour, smooth=interpolation == "bilinear")
    bare(axes)
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")


def _under(picture: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    """The picture below a map: pale, and with little colour or none, so that no hue of it is taken for the map's."""
    grey = (picture @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    colour = 0.0 if scale.kind == "diverging" else COLOUR_KEPT
    return (0.15 + 0.85 * (colour * picture + (1 - colour) * grey)).astype(np.float32)


def check_proportions(map_shape: tuple[int, ...], picture_shape: tuple[int, ...]) -> None:
    """Refuse a map that cannot lie over a picture.

    Raises:
        ShapeError: their proportions differ by more than one cell of the map.
    """
    (height, width), (tall, wide) = map_shape[:2], picture_shape[:2]
    if abs(height * wide / tall - width) > 1:
        raise ShapeError(
            f"The map is {height} by {width} (y, x) and the picture {tall} by {wide}: their proportions differ, so one "
            "cannot lie over the other. Draw over the picture that the network saw: model.pictures(model.prepare(...))."
        )


def draw_contour(axes: Axes, values: NDArray[np.floating], part: float, *, smooth: bool = False) -> None:
    """Outline the share ``part`` of a map where its values are highest (nothing, where no value stands out).

    Args:
        axes: where to.
        values: (y, x) float.
        part: the share of the map, between 0 and 1.
        smooth: outline the blended map, not its cells.

    Raises:
        InputError: a share that is not between 0 and 1.
    """
    if not 0 < part < 1:
        raise InputError(f"contour is {part!r}; expected the share of the map to outline, between 0 and 1.")
    finite = np.isfinite(values)
    if not finite.any():
        return
    low, high = float(values[finite].min()), float(values[finite].max())
    if low == high:
        return
    steps = max(1, SMOOTH_CELLS // max(values.shape)) if smooth and finite.all() else 1
    fine = zoom(values.astype(np.float64), steps, order=1, mode="nearest", grid_mode=True) if steps > 1 else values
    finite = np.isfinite(fine)
    level = float(np.quantile(fine[finite], 1 - part))
    # A plateau at the bottom does not stand out; blending leaves rounding errors on it.
    inside = finite & (fine >= level) & (fine > low + 1e-6 * (high - low))
    draw_outline(axes, inside, cells=steps)


def draw_outline(
    axes: Axes, mask: NDArray[np.bool_], *, line: str = INK, casing: str = GROUND, width: float = 1.0, cells: int = 1
) -> None:
    """Outline the true cells of a mask with a line that has a casing, so that it is seen on any ground.

    Args:
        axes: where to.
        mask: (y, x) bool.
        line: its colour.
        casing: the colour to either side of it.
        width: of the line, in points.
        cells: of the mask along one cell of what is drawn.
    """
    segments = list(_outline(mask) / cells - 0.5)
    for colour, thickness in ((casing, 2.2 * width), (line, width)):
        axes.add_collection(LineCollection(segments, colors=colour, linewidths=thickness, capstyle="round", zorder=4))


def mark_odd(axes: Axes, values: NDArray[np.floating]) -> None:
    """Hatch the cells that hold no number, each kind with its own pattern."""
    masks = {"nan": np.isnan(values), "+inf": np.isposinf(values), "-inf": np.isneginf(values)}
    for kind, mask in masks.items():
        if mask.any():
            hatch, face = MARKS[kind]
            axes.add_patch(
                PathPatch(_cells(mask), facecolor=face, edgecolor=QUIET, hatch=hatch, linewidth=0.4, zorder=3)
            )


def legend_of_marks(figure: FigureBase, values: NDArray[np.floating], scale: Scale) -> None:
    """Name the patterns and colours of odd values below a drawing, where it has any."""
    looks = {**MARKS, "above": ("", ABOVE), "below": ("", BELOW)}
    handles = [
        Patch(facecolor=looks[kind][1], edgecolor=QUIET, hatch=looks[kind][0], linewidth=0.4, label=words)
        for kind, words in odd_kinds(values, scale).items()
    ]
    if handles:
        columns = max(1, min(len(handles), int(figure.get_figure(root=True).get_figwidth() // 1.7)))
        figure.legend(
            handles=handles, loc="outside lower left", ncols=columns, frameon=False, fontsize=TEXT_SIZE,
            labelcolor=INK, borderpad=0.2, columnspacing=1.2,
        )  # fmt: skip


def colour_bar(figure: FigureBase, axes: Any, scale: Scale, label: str, *, opacity: float = 1.0) -> None:
    """Draw the colour bar of ``scale`` beside ``axes``, with the opacity that the maps have."""
    from matplotlib.cm import ScalarMappable

    mappable = ScalarMappable(norm=scale.normalise, cmap=scale.colours(opacity))
    bar = figure.colorbar(mappable, ax=axes, extend=scale.extend, fraction=0.05, pad=0.02, aspect=22)
    bar.set_label(label, fontsize=TEXT_SIZE, color=INK)
    bar.ax.tick_params(labelsize=TEXT_SIZE - 0.5, colors=QUIET, length=2.5, width=0.6)
    bar.outline.set_linewidth(0.4)
    bar.outline.set_edgecolor(QUIET)
    bar.ax.yaxis.set_major_formatter(_tick)


def bare(axes: Axes) -> None:
    """Take ticks and frame away: the axes show a picture, not a plot."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(linewidth=0.5, color="#d0d7de")


def headline(axes: Axes, text: str) -> None:
    """Write a title above ``axes``, at the left."""
    axes.set_title(text, fontsize=TITLE_SIZE, color=INK, loc="left", pad=4)


def _tick(value: float, _: Any) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(segment, end, xy): the edges between cells inside and outside a mask, in cells from the upper left corner."""
    framed = np.pad(mask, 1)
    level = np.argwhere(framed[1:, 1:-1] != framed[:-1, 1:-1])[:, None, ::-1]
    upright = np.argwhere(framed[1:-1, 1:] != framed[1:-1, :-1])[:, None, ::-1]
    rightwards, downwards = np.array([[0, 0], [1, 0]]), np.array([[0, 0], [0, 1]])
    return np.concatenate([level + rightwards, upright + downwards]).astype(np.float64)


def _cells(mask: NDArray[np.bool_]) -> Path:
    """The true cells of a mask as one path: one rectangle a run of cells in a row."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    boxes = []
    for (row, left), (_, right) in zip(starts, ends, strict=True):
        x0, x1, y0, y1 = left - 0.5, right - 0.5, row - 0.5, row + 0.5
        boxes.append(Path([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], closed=True))
    return Path.make_compound_path(*boxes)
