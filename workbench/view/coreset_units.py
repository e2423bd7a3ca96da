"""The units of one category, found from all images and from a coreset, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InputError
from workbench.view.axes import INK, QUIET, TEXT_SIZE, TITLE_SIZE, bare, check_picture, draw_map, headline, new_figure
from workbench.view.histogram import PART
from workbench.view.picture import Picture
from workbench.view.scale import choose_scale
from workbench.view.words import count, number

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from numpy.typing import NDArray

SOURCES = ("all", "coreset")
FEW = "#e69f00"  # with PART apart for every kind of colour blindness; hatched besides
MOST_BARS = 14
BARS_HEIGHT, ROW_HEIGHT, HEAD_HEIGHT = 2.1, 1.28, 0.35


def coreset_units(result: xr.Dataset, *, opacity: float = 0.7, width: float = 9.2) -> Picture:
    """Draw which units matter for one category: by all images, and by the coreset alone.

    Above, the weights as pairs of bars. Below, where they are known, the images that make the heaviest units fire most:
    at the left among all images, at the right among those of the coreset, the unit's map over each. Each unit has one
    scale, from 0 to its greatest activation.

    Args:
        result: ``weight`` (source, unit), the sources being ``"all"`` and ``"coreset"``; ``similarity`` (scalar);
            ``images`` and ``members`` (source), how many images there are, and how many of the category; the attributes
            ``category``, ``measure`` and ``layer``. Optionally ``ranked`` (source, rank), the heaviest units, -1 for
            none; ``greatest`` (source, rank); ``activation`` (source, rank, top); ``maps`` (source, rank, top, y, x);
            ``pictures`` (source, rank, top, row, column, channel) in [0, 1], as
            :func:`workbench.panels.coreset_units` gives them.
        opacity: of the maps over the pictures, in [0, 1].
        width: of the drawing, in inches.

    Returns:
        The drawing.

    Raises:
        InputError: a result without these variables, or an option out of its range.
        ShapeError: maps and pictures of other proportions.
    """
    missing = [name for name in ("weight", "similarity", "images", "members") if name not in result]
    if missing:
        raise InputError(f"The result has no variable {missing[0]!r}; expected what coreset_units gives.")
    rows = result.sizes.get("rank", 0) if "maps" in result or "pictures" in result else 0
    height = BARS_HEIGHT + (HEAD_HEIGHT + rows * ROW_HEIGHT if rows else 0)
    figure = new_figure(width, height, compress=False)
    if rows:
        parts: Any = figure.subfigures(2, 1, height_ratios=[BARS_HEIGHT, height - BARS_HEIGHT])
        above = parts[0]
        for side, source in zip(parts[1].subfigures(1, 2), SOURCES, strict=True):
            _draw_images(side, result.sel(source=source), source, opacity)
    else:
        above = figure
    _draw_bars(above.subplots(), result)
    return Picture(figure, _alt(result))


def likeness_in_words(result: xr.Dataset) -> str:
    """How like the units from the coreset are to those from all images.

    Args:
        result: see :func:`coreset_units`.

    Returns:
        A sentence or two.
    """
    whole, few = (result["weight"].sel(source=source).values for source in SOURCES)
    both = int(((whole > 0) & (few > 0)).sum())
    members = int(result["members"].sel(source="coreset"))
    without = "" if members else f" The coreset holds no image of {result.attrs['category']}."
    return (
        f"{str(result.attrs.get('measure', 'similarity')).capitalize()} {number(float(result['similarity']))}; "
        f"{both} of the {count(int((whole > 0).sum()), 'unit')} found with all images "
        f"{'is' if both == 1 else 'are'} found again.{without}"
    )


def _draw_bars(axes: Axes, result: xr.Dataset) -> None:
    whole, few = (result["weight"].sel(source=source).values for source in SOURCES)
    order = np.argsort(-np.maximum(whole, few), kind="stable")
    shown = order[np.maximum(whole, few)[order] > 0][:MOST_BARS]
    shown = shown[np.argsort(-whole[shown], kind="stable")]
    place = np.arange(len(shown))
    counts = [f"{int(result['images'].sel(source=source)):,}" for source in SOURCES]
    axes.bar(place - 0.2, whole[shown], 0.38, color=PART, label=f"from all {counts[0]} images")
    axes.bar(
        place + 0.2, few[shown], 0.38, color=FEW, edgecolor=INK, linewidth=0.4, hatch="////",
        label=f"from the {counts[1]} of the coreset",
    )  # fmt: skip
    if not len(shown):
        axes.text(0.5, 0.5, "no unit has a weight", transform=axes.transAxes, ha="center", color=QUIET)
    names = [str(name) for name in result["unit"].values]
    axes.set_xticks(place, [short(names[unit]) for unit in shown])
    axes.set_xlim(-0.6, max(len(shown), 6) - 0.4)
    axes.set_xlabel(f"unit of {result.attrs.get('layer', 'the layer')}", fontsize=TEXT_SIZE, color=INK)
    axes.set_ylabel("weight", fontsize=TEXT_SIZE, color=INK)
    axes.tick_params(labelsize=TEXT_SIZE - 0.5, colors=QUIET, length=2.5, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(linewidth=0.6, color=QUIET)
    axes.legend(fontsize=TEXT_SIZE, frameon=False, loc="upper right", labelcolor=INK)
    headline(axes, f"{result.attrs['category']}: {likeness_in_words(result)}")


def _draw_images(figure: FigureBase, one: xr.Dataset, source: str, opacity: float) -> None:
    images = f"{int(one['images']):,}"
    heading = f"found with all {images} images" if source == "all" else f"found with the {images} of the coreset"
    figure.suptitle(heading, fontsize=TITLE_SIZE, color=INK, x=0.02, ha="left")
    columns = one.sizes["top"]
    grid = figure.subplots(one.sizes["rank"], columns, squeeze=False)
    for rank, row in enumerate(grid):
        unit = int(one["ranked"][rank])
        for top, axes in enumerate(row):
            if unit < 0:
                axes.set_axis_off()
                continue
            _draw_one(axes, one.isel(rank=rank, top=top), opacity)
        if unit < 0:
            words = "no other unit has a weight" if rank else "no unit has a weight"
            text = row[0].text(0, 0.5, words, transform=row[0].transAxes, fontsize=TEXT_SIZE, color=QUIET, va="center")
            text.set_in_layout(False)  # it is longer than an image is wide, and must not push the others aside
            continue
        row[0].set_ylabel(
            f"unit {short(str(one['unit'].values[unit]))}\nweight {number(float(one['weight'][unit]))}",
            fontsize=TEXT_SIZE, color=INK, rotation="horizontal", ha="right", va="center",
        )  # fmt: skip


def _draw_one(axes: Axes, one: xr.Dataset, opacity: float) -> None:
    """One image with the unit's map over it; a map of a single cell says nothing of where, and is left out."""
    fires = float(one["activation"])
    if np.isnan(fires):  # the coreset holds fewer images than places
        axes.set_axis_off()
        return
    picture: NDArray[np.float32] | None = check_picture(one["pictures"].values) if "pictures" in one else None
    values: Any = one["maps"].values if "maps" in one and one["maps"].size > 1 else None
    if values is not None:
        limit = float(one["greatest"])
        scale = choose_scale(values, kind="auto", limit=limit if limit > 0 else None)
        draw_map(axes, values, picture, scale, opacity=opacity)
    elif picture is not None:
        axes.imshow(picture, interpolation="nearest")
        bare(axes)
    axes.set_title(number(fires), fontsize=TEXT_SIZE - 1, color=QUIET, pad=2)


def _alt(result: xr.Dataset) -> str:
    names = [str(name) for name in result["unit"].values]
    said = [f"Units for {result.attrs['category']}. {likeness_in_words(result)}"]
    for source, words in zip(SOURCES, ("all", "the coreset"), strict=True):
        weights = result["weight"].sel(source=source).values
        order = [int(unit) for unit in np.argsort(-weights, kind="stable") if weights[unit] > 0][:5]
        listed = ", ".join(f"{short(names[unit])} ({number(float(weights[unit]))})" for unit in order)
        images = int(result["images"].sel(source=source))
        said.append(f"From {words} ({count(images, 'image')}): {'units ' + listed if listed else 'no unit'}.")
    if "maps" in result or "pictures" in result:
        said.append("Below, for the heaviest units of each, the images that make them fire most.")
    return " ".join(said)


def short(unit: str) -> str:
    """The index of a unit, which is called after its layer as well.

    >>> short("layer4:12"), short("12")
    ('12', '12')
    """
    return unit.rpartition(":")[2]
