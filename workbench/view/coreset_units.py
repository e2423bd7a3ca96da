"""The units or concepts of one category, found from all images and from a coreset, side by side."""

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
ALIKE = 0.9  # cosine from which on a concept counts as found again
BARS_HEIGHT, ROW_HEIGHT, HEAD_HEIGHT = 2.1, 1.28, 0.35


def coreset_units(result: xr.Dataset, *, opacity: float = 0.7, width: float = 9.2) -> Picture:
    """Draw which units or concepts matter for one category: by all images, and by the coreset alone.

    Above, the weights of units as pairs of bars, or how like each concept is to the one that it is matched with. Below,
    where they are known, the images that make the heaviest units fire most, or hold most of the strongest concepts: at
    the left among all images, at the right among those of the coreset, the map over each. Each unit, and each concept
    with its match, has one scale, from 0 to its greatest value.

    Args:
        result: ``weight`` (source, unit), the sources being ``"all"`` and ``"coreset"``; ``similarity`` (scalar);
            ``images`` and ``members`` (source), how many images there are, and how many of the category; the attributes
            ``category``, ``measure`` and ``layer``. Optionally ``ranked`` (source, rank), the heaviest units, -1 for
            none; ``greatest`` (source, rank); ``activation`` (source, rank, top); ``maps`` (source, rank, top, y, x);
            ``pictures`` (source, rank, top, row, column, channel) in [0, 1], as
            :func:`workbench.panels.coreset_units` gives them. For concepts, ``cosine`` (concept) and ``leading``
            (source, concept, place) in place of ``weight``, and ranks are of concepts.
        opacity: of the maps over the pictures, in [0, 1].
        width: of the drawing, in inches.

    Returns:
        The drawing.

    Raises:
        InputError: a result without these variables, or an option out of its range.
        ShapeError: maps and pictures of other proportions.
    """
    kind = ("cosine", "leading") if "cosine" in result else ("weight",)
    missing = [name for name in (*kind, "similarity", "images", "members") if name not in result]
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
    if "cosine" in result:
        _draw_cosines(above.subplots(), result)
        return Picture(figure, _alt_of_concepts(result))
    _draw_bars(above.subplots(), result)
    return Picture(figure, _alt(result))


def likeness_in_words(result: xr.Dataset) -> str:
    """How like the units or concepts from the coreset are to those from all images.

    Args:
        result: see :func:`coreset_units`.

    Returns:
        A sentence or two.
    """
    members = int(result["members"].sel(source="coreset"))
    without = "" if members else f" The coreset holds no image of {result.attrs['category']}."
    measured = f"{str(result.attrs.get('measure', 'similarity')).capitalize()} {number(float(result['similarity']))}"
    if "cosine" in result:
        alike = int((result["cosine"] >= ALIKE).sum())
        concepts = count(result.sizes["concept"], "concept")
        return f"{measured}; {alike} of {concepts} found again with a cosine of {ALIKE} or more.{without}"
    whole, few = (result["weight"].sel(source=source).values for source in SOURCES)
    both = int(((whole > 0) & (few > 0)).sum())
    return (
        f"{measured}; {both} of the {count(int((whole > 0).sum()), 'unit')} found with all images "
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
    axes.set_ylabel(result.attrs.get("height", "weight"), fontsize=TEXT_SIZE, color=INK)
    _frame(axes)
    axes.legend(fontsize=TEXT_SIZE, frameon=False, loc="upper right", labelcolor=INK)
    headline(axes, f"{result.attrs['category']}: {likeness_in_words(result)}")


def _draw_cosines(axes: Axes, result: xr.Dataset) -> None:
    """One bar a concept, and below it the units that it is called after: of all images, and of the coreset."""
    values = result["cosine"].values
    place = np.arange(len(values))
    axes.bar(place, values, 0.6, color=PART)
    axes.axhline(ALIKE, color=QUIET, linewidth=0.6, linestyle="--")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(-0.6, max(len(values), 3) - 0.4)
    units = [[_units_of(result, source, each) for source in SOURCES] for each in range(len(values))]
    names = [
        "\n".join([str(called), *of_both]) for called, of_both in zip(result["concept"].values, units, strict=True)
    ]
    axes.set_xticks(place, names)
    axes.set_xlabel(
        f"concept; below it its strongest units of {result.attrs.get('layer', 'the layer')}: all images, coreset",
        fontsize=TEXT_SIZE, color=INK,
    )  # fmt: skip
    axes.set_ylabel("cosine with its match", fontsize=TEXT_SIZE, color=INK)
    _frame(axes)
    headline(axes, f"{result.attrs['category']}: {likeness_in_words(result)}")


def _units_of(result: xr.Dataset, source: str, concept: int) -> str:
    """The units that a concept is called after, the strongest first."""
    units = result["leading"].sel(source=source).values[concept]
    return ", ".join(str(unit) for unit in units if unit >= 0) or "none"


def _frame(axes: Axes) -> None:
    axes.tick_params(labelsize=TEXT_SIZE - 0.5, colors=QUIET, length=2.5, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(linewidth=0.6, color=QUIET)


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
            _called(one, unit), fontsize=TEXT_SIZE, color=INK, rotation="horizontal", ha="right", va="center",
        )  # fmt: skip


def _called(one: xr.Dataset, which: int) -> str:
    """What a row of images is called."""
    if "cosine" in one:
        units = [str(unit) for unit in one["leading"].values[which] if unit >= 0]
        return f"concept {which + 1}\nunits {', '.join(units)}"
    height = one.attrs.get("height", "weight").partition(",")[0]
    return f"unit {short(str(one['unit'].values[which]))}\n{height} {number(float(one['weight'][which]))}"


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


def _alt_of_concepts(result: xr.Dataset) -> str:
    said = [f"Concepts of {result.attrs['category']}. {likeness_in_words(result)}"]
    for place, value in enumerate(result["cosine"].values):
        whole, few = (_units_of(result, source, place) for source in SOURCES)
        said.append(
            f"Concept {place + 1}: cosine {number(float(value))}; units {whole} with all images, {few} with the "
            "coreset."
        )
    if "maps" in result:
        said.append("Below, for the strongest concepts, the images that hold most of them, and where.")
    return " ".join(said)


def short(unit: str) -> str:
    """The index of a unit, which is called after its layer as well.

    >>> short("layer4:12"), short("12")
    ('12', '12')
    """
    return unit.rpartition(":")[2]
