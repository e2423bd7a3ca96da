"""The trail of a hidden window: in each layer the box that can change, drawn where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from workbench.errors import InputError
from workbench.view.axes import INK, QUIET, TEXT_SIZE, bare, check_picture, check_proportions, headline, new_figure
from workbench.view.explanation import shortened
from workbench.view.picture import Picture
from workbench.view.words import share

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

NEEDED = ("y", "x", "height", "width", "rows", "columns", "share")
MOST = 40  # layers that can still be told apart
GRID = 28  # cells along an axis up to which each is drawn
LONGEST_NAME = 16
CHANGED = "#b35900"  # neither the red nor the blue of evidence
WORDS_HEIGHT = 0.45  # inches for the name above and the size below


def changed_boxes(
    boxes: xr.Dataset, picture: Any = None, *, title: str = "", across: int = 6, size: float = 1.25
) -> Picture:
    """Draw, layer by layer, which pixels can change when a window of the input is hidden.

    Every layer is drawn at one size, however many pixels it has, so that boxes lie over what they see.

    Args:
        boxes: what :func:`workbench.explain.changed_boxes` gives, or some layers of it (``boxes.isel(layer=...)``).
        picture: (y, x, channel) or (y, x), uint8 in 0..255 or float in [0, 1]: shown pale below every layer.
        title: stands above.
        across: layers in a row.
        size: of the longer side of one layer, in inches.

    Returns:
        The drawing.

    Raises:
        InputError: a dataset without these variables, no layers or too many, fewer than one in a row.
        ShapeError: a picture of other proportions than the first layer.
    """
    missing = [name for name in NEEDED if name not in boxes]
    if missing:
        raise InputError(f"boxes has no variable {missing[0]!r}; expected what explain.changed_boxes(...) gives.")
    count = boxes.sizes["layer"]
    if not 1 <= count <= MOST:
        raise InputError(
            f"There are {count} layers to draw; expected 1 to {MOST}. Choose some: boxes.isel(layer=range(0, 60, 5))."
        )
    if across < 1:
        raise InputError(f"across is {across!r}; expected at least 1 layer in a row.")
    under = None if picture is None else check_picture(picture)
    rows, columns = int(boxes["rows"][0]), int(boxes["columns"][0])
    if under is not None:
        check_proportions((rows, columns), under.shape)
    wide, tall = size * min(1, columns / rows), size * min(1, rows / columns)
    across = min(across, count)
    down = -(-count // across)
    figure = new_figure(across * (wide + 0.2), down * (tall + WORDS_HEIGHT) + (0.3 if title else 0.0))
    places = figure.subplots(down, across, squeeze=False).ravel()
    said = [f"{title + ': ' if title else ''}the pixels of each layer that can change when a window is hidden."]
    for number, axes in enumerate(places[:count]):
        layer = boxes.isel(layer=number)
        words = _draw(axes, layer, under, (rows, columns))
        said.append(f"{layer['layer'].item()}: {words}.")
    for axes in places[count:]:
        axes.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=TEXT_SIZE + 1.5, color=INK, x=0.01, ha="left")
    return Picture(figure, " ".join(said))


def _draw(axes: Axes, layer: xr.Dataset, picture: NDArray[np.float32] | None, image: tuple[int, int]) -> str:
    """Draw one layer; returns in words how many pixels it has, and what share of them can change."""
    rows, columns = int(layer["rows"]), int(layer["columns"])
    axes.set(xlim=(0, columns), ylim=(rows, 0), aspect=(image[0] / rows) / (image[1] / columns))
    if picture is not None:
        pale = 0.45 + 0.55 * picture
        axes.imshow(pale, extent=(0, columns, rows, 0), aspect="auto", interpolation="nearest")
        axes.set(aspect=(image[0] / rows) / (image[1] / columns))
    if max(rows, columns) <= GRID:
        axes.hlines(np.arange(1, rows), 0, columns, color=QUIET, linewidth=0.25)
        axes.vlines(np.arange(1, columns), 0, rows, color=QUIET, linewidth=0.25)
    corner = (float(layer["x"]), float(layer["y"]))
    extent = (float(layer["width"]), float(layer["height"]))
    if min(extent) > 0:
        face = to_rgba(CHANGED, 0.45)
        axes.add_patch(Rectangle(corner, *extent, facecolor=face, edgecolor=CHANGED, linewidth=1.2))
    headline(axes, shortened(str(layer["layer"].item()), LONGEST_NAME))
    bare(axes)
    whole = "local" in layer and not bool(layer["local"])
    words = "sees the whole map" if whole else f"{rows} by {columns}, {share(float(layer['share']))}"
    axes.set_xlabel(words, fontsize=TEXT_SIZE - 0.5, color=INK, labelpad=2)
    return words
