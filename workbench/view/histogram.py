"""Histograms, with units on both axes and every value accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from workbench.errors import InputError, ShapeError
from workbench.view.axes import INK, QUIET, TEXT_SIZE, headline, new_figure
from workbench.view.picture import Picture
from workbench.view.words import count, number, share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from numpy.typing import NDArray

# Two colours that stay apart for every kind of colour blindness, and in grey.
ALL, PART = "#8c959f", "#0b5cad"
BARS = (8, 40)  # fewest and most, where nobody says how many


def histogram(
    values: Any,
    *,
    unit: str,
    counted: str = "images",
    bins: int | None = None,
    title: str = "",
    part: Any = None,
    part_name: str = "",
    marks: Mapping[str, float] | None = None,
    width: float = 5.2,
    height: float = 2.1,
) -> Picture:
    """Draw how often values occur, and how often in a part of them.

    Args:
        values: any shape, numeric; NaN and infinite values are counted in words below the axis.
        unit: what the values are, on the horizontal axis.
        counted: what there is one value of, on the vertical axis.
        bins: how many bars, all of one width, from the least to the greatest finite value; found from the number of
            values where omitted.
        title: stands above.
        part: bool, the shape of ``values``: those that are drawn again, in front, in colour.
        part_name: what the part is, for the legend, for example a category.
        marks: named values, each drawn as an upright line.
        width: of the drawing, in inches.
        height: of the drawing, in inches.

    Returns:
        The drawing.

    Raises:
        ShapeError: no values, or a part of another shape.
        InputError: fewer than one bin.
    """
    figure = new_figure(width, height)
    alt = draw_histogram(
        figure, values, unit=unit, counted=counted, bins=bins, title=title, part=part, part_name=part_name, marks=marks
    )
    return Picture(figure, alt)


def draw_histogram(
    figure: FigureBase,
    values: Any,
    *,
    unit: str,
    counted: str = "images",
    bins: int | None = None,
    title: str = "",
    part: Any = None,
    part_name: str = "",
    marks: Mapping[str, float] | None = None,
) -> str:
    """Draw a histogram into a figure or a part of one; see :func:`histogram`.

    Returns:
        The alternative text.
    """
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        raise ShapeError("There are no values to count; expected at least one.")
    if bins is None:
        bins = int(np.clip(2 * np.sqrt(array.size), *BARS))
    if bins < 1:
        raise InputError(f"bins is {bins!r}; expected at least 1.")
    chosen = None if part is None else np.asarray(part, dtype=bool)
    if chosen is not None and chosen.shape != array.shape:
        raise ShapeError(f"part has shape {chosen.shape}, values {array.shape}; expected the same shape.")
    finite = array[np.isfinite(array)]
    odd = int(array.size - finite.size)
    axes = figure.subplots()
    if finite.size:
        _draw(axes, finite, None if chosen is None else array[chosen & np.isfinite(array)], bins, counted, part_name)
    else:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=QUIET)
    for name, value in (marks or {}).items():
        axes.axvline(value, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        axes.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), xytext=(3, -3), textcoords="offset points",
            va="top", fontsize=TEXT_SIZE - 0.5, color=INK,
        )  # fmt: skip
    missing = f"; {count(odd, 'value')} NaN or infinite, not drawn" if odd else ""
    axes.set_xlabel(unit + missing, fontsize=TEXT_SIZE, color=INK)
    axes.set_ylabel(counted, fontsize=TEXT_SIZE, color=INK)
    _dress(axes)
    headline(axes, title)
    alt = _alt(array, finite, chosen, unit, counted, title, part_name, marks or {})
    return alt + (f" {count(odd, 'value')} NaN or infinite, not drawn." if odd else "")


def _draw(
    axes: Axes,
    finite: NDArray[np.float64],
    chosen: NDArray[np.float64] | None,
    bins: int,
    counted: str,
    part_name: str,
) -> None:
    edges = np.histogram_bin_edges(finite, bins=bins).tolist()
    axes.hist(finite, bins=edges, color=ALL, label=f"all {finite.size} {counted}")
    if chosen is not None:
        name = part_name or "part"
        axes.hist(chosen, bins=edges, color=PART, label=f"{name} ({chosen.size} {counted})")
        axes.legend(
            fontsize=TEXT_SIZE - 0.5, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2,
            borderpad=0.2, handlelength=1.2,
        )  # fmt: skip


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(linewidth=0.6, color=QUIET)
    axes.tick_params(labelsize=TEXT_SIZE - 0.5, colors=QUIET, length=2.5, width=0.6)
    axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    axes.grid(axis="y", color="#eaeef2", linewidth=0.6)
    axes.set_axisbelow(True)


def _alt(
    array: NDArray[np.float64],
    finite: NDArray[np.float64],
    chosen: NDArray[np.bool_] | None,
    unit: str,
    counted: str,
    title: str,
    part_name: str,
    marks: Mapping[str, float],
) -> str:
    said = [f"Histogram{' of ' + title if title else ''}: {unit} over {array.size} {counted}."]
    if finite.size:
        middle = number(float(np.median(finite)))
        said.append(f"From {number(float(finite.min()))} to {number(float(finite.max()))}, median {middle}.")
        zero = float((finite == 0).mean())
        if zero > 0:
            said.append(f"{share(zero)} are exactly 0.")
    if chosen is not None:
        among = array[chosen & np.isfinite(array)]
        middle = f", median {number(float(np.median(among)))}" if among.size else ""
        said.append(f"In front, {part_name or 'a part'}: {int(chosen.sum())} {counted}{middle}.")
    said += [f"The mark '{name}' lies at {number(value)}." for name, value in marks.items()]
    return " ".join(said)
