"""An occlusion map in the making: what was measured, what it cost, how far it may be trusted, one window of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InputError
from workbench.view.axes import GROUND, INK, QUIET, TEXT_SIZE, bare, check_picture, headline, new_figure
from workbench.view.explanation import explanation
from workbench.view.heatmap import MARGIN, TITLE_HEIGHT
from workbench.view.picture import Picture
from workbench.view.words import count, number, place, share

if TYPE_CHECKING:
    import xarray as xr

NEEDED = ("window_exact", "certificate", "forward_equivalents")
SMALLEST_DOT, LARGEST_DOT = 1.6, 6.0  # points, diameter
FILLED = 0.5  # share of the way from the smallest to the largest dot, below which dots are filled
AREA = "workbench-area"  # marks the axes that show the whole image


def occlusion(
    result: xr.Dataset,
    *,
    measured: bool = True,
    opacity: float = 0.65,
    contour: float | None = None,
    clip: float = 0.0,
    size: float | None = None,
) -> Picture:
    """Draw the picture, its occlusion map, and the map of a second method where there is one.

    Args:
        result: what :func:`workbench.view.explanation` takes, the first map being the occlusion map, and
            ``window_exact`` (window) bool with the coordinates ``row``, ``column``, ``height``, ``width`` (window) in
            pixels, ``certificate``, ``certificate_low``, ``certificate_high`` and ``forward_equivalents`` (scalars).
        measured: dot the centres of the windows that were measured; what lies between them is estimated.
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
    _check(result)
    drawn = explanation(result, opacity=opacity, contour=contour, clip=clip, size=size)
    shown = drawn.figure.axes[: 1 + result.sizes["explainer"]]
    for axes in shown:
        axes.set_label(AREA)
    if measured:
        _dots(shown[1], result)
    said = f"{drawn.alt} {measured_in_words(result)} {cost_in_words(result)} {certificate_in_words(result)}"
    return Picture(drawn.figure, said)


def map_areas(picture: Picture) -> list[tuple[float, float, float, float]]:
    """Where the whole image is shown in a drawing of :func:`occlusion`, once it has been rendered.

    Args:
        picture: the drawing.

    Returns:
        (left, top, width, height) of each, as shares of the drawing, counted from its upper left corner.
    """
    found = []
    for axes in picture.figure.axes:
        if axes.get_label() == AREA:
            axes.apply_aspect()
            box = axes.get_position()
            found.append((float(box.x0), float(1 - box.y1), float(box.width), float(box.height)))
    return found


def occluded(
    picture: Any,
    window: tuple[int, int, int, int],
    *,
    target: str,
    reference: float,
    score: float,
    expected: float | None = None,
    sigma: float = 0.0,
    unit: str = "logit",
    size: float = 2.4,
) -> Picture:
    """Draw one occluded image as the network saw it, with the score that it got.

    Args:
        picture: (y, x, channel) or (y, x), uint8 in 0..255 or float in [0, 1]: the image, its window hidden.
        window: first row, first column, rows and columns of the window, in pixels.
        target: the category that the score is of.
        reference: the score of the untouched image.
        score: the score of the occluded one.
        expected: the fall that the map has for this window; None where it has none yet.
        sigma: standard deviation of ``expected``; 0 where the window was measured.
        unit: what the scores are.
        size: of the longer side, in inches.

    Returns:
        The drawing; its alternative text says the same in sentences.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: not a picture.
    """
    from matplotlib.patches import Rectangle

    values = check_picture(picture)
    height, width = values.shape[:2]
    row, column, tall, wide = window
    drawn_wide, drawn_tall = size * min(1, width / height), size * min(1, height / width)
    figure = new_figure(drawn_wide + MARGIN, drawn_tall + TITLE_HEIGHT + MARGIN)
    axes = figure.subplots()
    axes.imshow(values, interpolation="nearest")
    for colour, thickness in (("#ffffff", 2.6), (INK, 1.2)):
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), wide, tall, fill=False, edgecolor=colour, linewidth=thickness)
        )
    bare(axes)
    headline(axes, f"{unit} {number(reference)} \N{RIGHTWARDS ARROW} {number(score)}")
    where = place(min(row + tall // 2, height - 1), min(column + wide // 2, width - 1), (height, width))
    change = fall_in_words(reference - score)
    said = (
        f"The image with {tall} by {wide} pixels hidden in the {where} (x {column}, y {row}): the {unit} of {target} "
        f"{change}, from {number(reference)} to {number(score)}."
    )
    return Picture(figure, f"{said} {expectation_in_words(expected, sigma)}")


def fall_in_words(fall: float) -> str:
    """How a score changed.

    >>> fall_in_words(0.5), fall_in_words(-0.25), fall_in_words(0.0)
    ('falls by 0.5', 'rises by 0.25', 'stays the same')
    """
    if fall == 0:
        return "stays the same"
    return f"{'falls' if fall > 0 else 'rises'} by {number(abs(fall))}"


def expectation_in_words(expected: float | None, sigma: float) -> str:
    """What a map has for one window, and how it knows.

    >>> expectation_in_words(0.5, 0.0)
    'In the map it falls by 0.5 here, measured.'
    >>> expectation_in_words(-0.5, 0.12)
    'In the map it rises by 0.5 here, estimated, give or take 0.12.'
    """
    if expected is None or not np.isfinite(expected):
        return "The map knows nothing of windows of this size yet."
    how = f"estimated, give or take {number(sigma)}" if sigma > 0 else "measured"
    return f"In the map it {fall_in_words(expected)} here, {how}."


def measured_in_words(result: xr.Dataset) -> str:
    """How many windows were measured, and how many are estimated.

    Args:
        result: see :func:`occlusion`.

    Returns:
        A sentence.
    """
    _check(result)
    exact = int(result["window_exact"].sum())
    windows = result.sizes["window"]
    if exact == windows:
        return f"All {count(windows, 'window')} were measured; nothing is estimated."
    return f"{exact:,} of {windows:,} windows were measured exactly; the others are estimated."


def cost_in_words(result: xr.Dataset) -> str:
    """What a map has cost, in forward passes, and what plain occlusion of every window would cost.

    Args:
        result: see :func:`occlusion`.

    Returns:
        A sentence.
    """
    _check(result)
    spent, dense = float(result["forward_equivalents"]), result.sizes["window"]
    kinds = len(np.unique(result["height"].values * result["width"].values))
    of_sizes = "" if kinds == 1 else f" of all {kinds} sizes"
    return (
        f"The work of {spent:,.1f} forward passes: {share(spent / dense)} of the {dense:,} that it takes to hide every "
        f"window{of_sizes} in turn."
    )


def certificate_in_words(result: xr.Dataset) -> str:
    """How near a map is expected to be to the one that it estimates.

    Args:
        result: see :func:`occlusion`.

    Returns:
        A sentence.
    """
    _check(result)
    value, low, high = (float(result[name]) for name in ("certificate", "certificate_low", "certificate_high"))
    if not np.isfinite(value):
        return "Nobody knows yet how near this is to the map of all windows: the smallest windows have not begun."
    if low == high == 1:
        return "Exact: this is the map of all windows."
    return (
        f"Expected rank correlation with the map of all windows: {value:.2f} (nine times in ten between {low:.2f} and "
        f"{high:.2f})."
    ).replace("-", "\N{MINUS SIGN}")


def _dots(axes: Any, result: xr.Dataset) -> None:
    """A dot at the centre of every measured window, the larger the window the larger."""
    exact = result["window_exact"].values.astype(bool)
    down = (result["row"].values + (result["height"].values - 1) / 2)[exact]
    across = (result["column"].values + (result["width"].values - 1) / 2)[exact]
    area = (result["height"].values * result["width"].values)[exact].astype(float)
    if not len(area):
        return
    reach = np.sqrt(area / area.max())
    least = np.sqrt(float((result["height"] * result["width"]).min()) / area.max())
    grown = (reach - least) / (1 - least) if least < 1 else np.zeros_like(reach)
    points = (SMALLEST_DOT + grown * (LARGEST_DOT - SMALLEST_DOT)) ** 2
    inside = [INK if size < FILLED else "none" for size in grown]
    # A pale rim first, so that dots stand out from dark colours too.
    for face, colour, thickness in (("none", GROUND, 2.0), (inside, INK, 0.7)):
        axes.scatter(across, down, s=points, facecolors=face, edgecolors=colour, linewidths=thickness, zorder=5)
    axes.set_xlabel(
        "dots: measured windows, large and small; the rest is estimated", fontsize=TEXT_SIZE, color=QUIET, loc="left"
    )


def _check(result: xr.Dataset) -> None:
    missing = [name for name in NEEDED if name not in result]
    if missing:
        raise InputError(f"The result has no variable {missing[0]!r}; expected what OcclusionPanel.result gives.")
