"""A coreset among all images: features in the plane, the chosen points brought out by shape, size and outline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InputError, ShapeError, unknown_name
from workbench.view.axes import GROUND, INK, QUIET, TEXT_SIZE, new_figure
from workbench.view.histogram import PART
from workbench.view.picture import Picture
from workbench.view.words import count, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Paul Tol's "muted" scheme and an amber: any two stay apart for every kind of colour blindness.
COLOURS = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#ffaa22",
)  # fmt: skip
PALE = "#c9d1d9"
AREA = "workbench-points"  # marks the axes that hold the points
NEAREST_PIXELS = 14  # a point farther from where one clicked is not meant
SPOKEN = 10  # categories that the alternative text goes into


def coreset_map(result: xr.Dataset, *, category: int | None = None, width: float = 8.0, height: float = 4.4) -> Picture:
    """Draw all images as points in the plane, and the chosen ones as diamonds with a dark outline.

    Up to ten categories have a colour each; with more of them, only the one that is brought out has.

    Args:
        result: ``position`` (image, axis) with two axes, finite; ``chosen`` (image) bool; ``category`` (image) int, -1
            for none; the coordinate ``axis``, names of the axes; the attributes ``categories`` (JSON, all names),
            ``selector`` (its title) and ``within``, as :func:`workbench.panels.coreset_map` gives them.
        category: the index of a category to bring out; the others turn pale.
        width: of the drawing, in inches.
        height: of the drawing, in inches.

    Returns:
        The drawing.

    Raises:
        InputError: a result without these variables, or a category that no image has.
        ShapeError: not two axes.
    """
    missing = [name for name in ("position", "chosen", "category") if name not in result]
    if missing:
        raise InputError(f"The result has no variable {missing[0]!r}; expected what CoresetPanel.result gives.")
    positions = result["position"].transpose("image", "axis").values
    if positions.shape[1] != 2:
        raise ShapeError(f"position has {positions.shape[1]} axes; expected 2, for the plane.")
    chosen, member = result["chosen"].values.astype(bool), result["category"].values
    names = category_names(result)
    present = [int(each) for each in np.unique(member) if each >= 0]
    if category is not None and category not in present:
        raise unknown_name(
            "category", str(category), [str(each) for each in present], hint="No image of the result has it."
        )
    figure = new_figure(width, height)
    axes = figure.subplots()
    axes.set_label(AREA)
    colour_of = {each: COLOURS[number] for number, each in enumerate(present)} if len(present) <= len(COLOURS) else {}
    groups = _groups(member, present, colour_of, category)
    _draw(axes, positions, chosen, groups)
    _dress(axes, [str(name) for name in result["axis"].values])
    listed = present if colour_of else [] if category is None else [category]
    _legend(figure, chosen, groups, member, {each: names[each] for each in listed})
    return Picture(figure, _alt(result, chosen, member, names, present, category))


def nearest_point(picture: Picture, positions: NDArray[np.floating], x: float, y: float) -> int:
    """The point that somebody means who points at a drawing of :func:`coreset_map`, once it has been rendered.

    Args:
        picture: the drawing.
        positions: (image, axis) of all points, as they were drawn.
        x: from the left, as a share of the drawing's width.
        y: from the top, as a share of its height.

    Returns:
        Index of the point; -1 where none lies within 14 pixels.
    """
    figure = picture.figure
    axes = next((each for each in figure.axes if each.get_label() == AREA), None)
    if axes is None:
        return -1
    pixels = axes.transData.transform(np.asarray(positions, dtype=np.float64))
    size = np.array([figure.bbox.width, figure.bbox.height])
    away = np.hypot(*(pixels - np.array([x, 1 - y]) * size).T) * 96 / figure.dpi
    found = int(away.argmin())
    return found if away[found] <= NEAREST_PIXELS else -1


def category_names(result: xr.Dataset) -> list[str]:
    """Names of all categories of a result, by index; numbers where nobody named them."""
    named: list[str] = json.loads(str(result.attrs.get("categories", "[]")))
    highest = int(result["category"].max()) if result.sizes["image"] else -1
    return [named[each] if each < len(named) else str(each) for each in range(max(highest + 1, len(named)))]


def dot_size(points: int, *, chosen: bool) -> float:
    """The diameter of a point, in typographic points: smaller, the more there are.

    >>> dot_size(600, chosen=False) < dot_size(600, chosen=True)
    True
    """
    largest, least = (8.0, 3.2) if chosen else (4.0, 1.4)
    few, many = (40, 8_000) if chosen else (400, 20_000)
    grown = np.clip(np.log(max(points, 1) / few) / np.log(many / few), 0, 1)
    return float(largest + grown * (least - largest))


def _groups(
    member: NDArray[np.int64], present: Sequence[int], colour_of: dict[int, str], category: int | None
) -> list[tuple[int | None, str, NDArray[np.bool_]]]:
    """What is drawn in one colour: category (None for several), colour, which images; the last one in front."""
    if category is not None:
        mask = member == category
        return [(None, PALE, ~mask), (category, colour_of.get(category, PART), mask)]
    if not colour_of:
        return [(None, PART, np.ones(len(member), dtype=bool))]
    rest = [(None, PALE, member < 0)] if (member < 0).any() else []
    return [*rest, *((each, colour_of[each], member == each) for each in present)]


def _draw(
    axes: Axes,
    positions: NDArray[np.floating],
    chosen: NDArray[np.bool_],
    groups: list[tuple[int | None, str, NDArray[np.bool_]]],
) -> None:
    small, large = dot_size(len(chosen), chosen=False), dot_size(int(chosen.sum()), chosen=True)
    for front in (False, True):
        for _, colour, mask in groups:
            some = positions[mask & (chosen == front)]
            # plot, not scatter: markers of one look are drawn from one stamp, ten times as quickly
            if front:
                axes.plot(
                    *some.T, linestyle="none", marker="D", markersize=large * 0.8, color=colour, zorder=3,
                    markeredgecolor=QUIET if colour == PALE else INK, markeredgewidth=0.35 + large / 10,
                )  # fmt: skip
            else:
                axes.plot(
                    *some.T, linestyle="none", marker="o", markersize=small, markeredgewidth=0, color=colour,
                    alpha=0.75, zorder=2,
                )  # fmt: skip


def _dress(axes: Axes, names: list[str]) -> None:
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.04)
    axes.set_xlabel(names[0], fontsize=TEXT_SIZE, color=INK)
    axes.set_ylabel(names[1], fontsize=TEXT_SIZE, color=INK)
    axes.tick_params(labelsize=TEXT_SIZE - 0.5, colors=QUIET, length=2.5, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(linewidth=0.6, color=QUIET)


def _legend(
    figure: Figure,
    chosen: NDArray[np.bool_],
    groups: list[tuple[int | None, str, NDArray[np.bool_]]],
    member: NDArray[np.int64],
    names: dict[int, str],
) -> None:
    """Every category that has a colour, pale or not: the points must not move when one of them is brought out."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="none", marker="D", markersize=6, markerfacecolor=GROUND, markeredgecolor=INK,
               label=f"chosen: {int(chosen.sum()):,}"),
        Line2D([], [], linestyle="none", marker="o", markersize=4, color=QUIET, label=f"all: {len(chosen):,}"),
    ]  # fmt: skip
    colours = {each: colour for each, colour, _ in groups if each is not None}
    for each, name in names.items():
        mask = member == each
        label = f"{name}: {int((mask & chosen).sum()):,} of {int(mask.sum()):,}"
        colour = colours.get(each, PALE)
        handles.append(Line2D([], [], linestyle="none", marker="o", markersize=6, color=colour, label=label))
    figure.legend(
        handles=handles, loc="outside right upper", frameon=False, fontsize=TEXT_SIZE, labelcolor=INK, borderpad=0.2,
        handletextpad=0.3,
    )  # fmt: skip


def _alt(
    result: xr.Dataset,
    chosen: NDArray[np.bool_],
    member: NDArray[np.int64],
    names: list[str],
    present: list[int],
    category: int | None,
) -> str:
    first, second = (str(name) for name in result["axis"].values)
    within = {"category": ", within each category", "all": ", over all images"}.get(str(result.attrs.get("within")), "")
    part = share(chosen.sum() / len(chosen))
    said = [
        f"{count(len(chosen), 'image')} as points: {first} and {second}. "
        f"{int(chosen.sum())} of them ({part}) are chosen by {result.attrs.get('selector', 'a selector')}{within}, and "
        "drawn as diamonds."
    ]
    each = [f"{names[i]} {int((chosen & (member == i)).sum())} of {int((member == i).sum())}" for i in present]
    if category is not None:
        said.append(f"Brought out: {each[present.index(category)]}.")
    elif len(each) > 1:
        rest = f"; and {len(each) - SPOKEN} more categories" if len(each) > SPOKEN else ""
        said.append(f"By category: {', '.join(each[:SPOKEN])}{rest}.")
    return " ".join(said)
