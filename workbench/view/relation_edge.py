"""One relation, drawn: the images that show it, the displacement of its units, and its counterfactual test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InputError
from workbench.view.axes import INK, QUIET, TEXT_SIZE, check_picture, draw_map, headline, new_figure
from workbench.view.heatmap import as_pictures
from workbench.view.picture import Picture
from workbench.view.scale import choose_scale
from workbench.view.words import count, number

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

SIDE = 1.55  # inches of one image
MEASURED, FORETOLD, ALONE = "#1f2328", "#0969da", "#bf8700"
PLOT_HEIGHT = 2.3


def relation_edge(result: xr.Dataset, *, opacity: float = 0.7) -> Picture:
    """Draw the images that show an edge, both units' maps over them, and for places the displacements and chance.

    Args:
        result: what ``panels.edge_profile`` gives.
        opacity: of the maps over the pictures, in [0, 1].

    Returns:
        The drawing; its text begins with the sentence of the edge.

    Raises:
        InputError: another result.
    """
    _check(result, ("pictures",), "panels.edge_profile")
    roles = [role for role in ("source", "partner", "target") if f"{role}_maps" in result]
    images, placed = result.sizes["top"], "displacement" in result and result.sizes["witness"] > 0
    rows = max(len(roles), 1)
    columns = max(images, 3)
    figure = new_figure(columns * SIDE + 0.4, rows * (SIDE + 0.3) + PLOT_HEIGHT * placed, compress=False)
    heights = [rows * (SIDE + 0.3), PLOT_HEIGHT] if placed else [1]
    parts = np.atleast_1d(np.asarray(figure.subfigures(len(heights), 1, height_ratios=heights)))
    grid = parts[0].subplots(rows, columns, squeeze=False)
    for row, role in enumerate(roles or [""]):
        _draw_row(grid[row], result, role, opacity)
    said = [str(result.attrs["sentence"]), _shown(result, roles)]
    if placed:
        plots = parts[1].subplots(1, 2)
        said += [_draw_displacement(plots[0], result), _draw_chance(plots[1], result)]
    return Picture(figure, " ".join(said))


def counterfactual(result: xr.Dataset) -> Picture:
    """Draw a counterfactual test: the scene and the changed scene, what was foretold and measured, and what it means.

    Args:
        result: what ``panels.counterfactual_test`` gives.

    Returns:
        The drawing.

    Raises:
        InputError: another result.
    """
    _check(result, ("before_picture", "foretold", "probability"), "panels.counterfactual_test")
    figure = new_figure(9.2, 5.1, compress=False)
    axes = figure.subplots(2, 3, gridspec_kw={"width_ratios": [1, 1.1, 1.3]})
    for plot, name, words in zip(axes[:, 0], ("before", "after"), ("scene", "scene changed"), strict=True):
        plot.imshow(check_picture(result[f"{name}_picture"].values))
        plot.set_axis_off()
        headline(plot, words)
    _draw_moves(axes[0, 1], result)
    _draw_line_of_held(axes[1, 1], result)
    for plot in axes[:, 2]:
        plot.remove()
    _draw_chances(figure.add_subplot(axes[0, 1].get_gridspec()[:, 2]), result)
    return Picture(figure, _say_test(result))


def _check(result: xr.Dataset, names: tuple[str, ...], origin: str) -> None:
    missing = [name for name in names if name not in result]
    if missing:
        raise InputError(f"The result has no variable {missing[0]!r}; expected what {origin} gives.")


def _draw_row(axes: Any, result: xr.Dataset, role: str, opacity: float) -> None:
    pictures = as_pictures(result["pictures"].values, result.sizes["top"])
    maps = result[f"{role}_maps"].values if role else None
    scale = None if maps is None else choose_scale(maps.ravel(), kind="auto")
    for at, plot in enumerate(axes):
        if at >= len(pictures):
            plot.set_axis_off()
            continue
        if maps is None or scale is None or maps[at].size == 1:
            plot.imshow(pictures[at])
            plot.set_axis_off()
        else:
            draw_map(plot, maps[at], pictures[at], scale, opacity=opacity)
        value = "" if maps is None else f": {number(float(maps[at].max()))}"
        lead = f"{role} {result.attrs[f'{role}_unit']}" if role else str(result["identifier"].values[at])
        headline(plot, f"{lead}{value}")


def _shown(result: xr.Dataset, roles: list[str]) -> str:
    images = count(result.sizes["top"], "image")
    if not roles:
        return f"{images} that show it."
    each = [
        f"{role} up to {number(float(result[f'{role}_maps'].max()))} (unit {result.attrs[f'{role}_unit']})"
        for role in roles
    ]
    units = "both units" if len(roles) == 2 else "all three units"
    return f"{images} that show it, the maps of {units} over each: {', '.join(each)}."


def _draw_displacement(axes: Axes, result: xr.Dataset) -> str:
    away = result["displacement"].values
    middle = np.median(away, axis=0)
    reach = float(np.abs(away).max()) * 1.1 + 1
    axes.axhline(0, color=QUIET, lw=0.6)
    axes.axvline(0, color=QUIET, lw=0.6)
    axes.plot(away[:, 1], away[:, 0], "o", ms=3.5, color=FORETOLD, alpha=0.45, mec="none")
    axes.annotate("", (middle[1], middle[0]), (0, 0), arrowprops={"arrowstyle": "-|>", "color": MEASURED, "lw": 1.6})
    axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    _dress(axes, "to the right, pixels", "down, pixels")
    other = result.attrs["beside"]
    headline(axes, f"{other} minus source")
    return (
        f"The {other} lies {number(float(abs(middle[0])))} pixels {'below' if middle[0] > 0 else 'above'} and "
        f"{number(float(abs(middle[1])))} pixels to the {'right' if middle[1] > 0 else 'left'} of the source, the "
        f"median of {count(len(away), 'image')}."
    )


def _draw_chance(axes: Axes, result: xr.Dataset) -> str:
    chance, effect = result["chance"].values, float(result["kept"])
    if not len(chance):
        axes.set_axis_off()
        return ""
    axes.hist(chance, bins=30, color="#d0d7de")
    axes.axvline(effect, color=MEASURED, lw=1.8)
    _dress(axes, "variance that pairing removes", "permutations")
    headline(axes, "how far places are kept, and chance")
    above = int((chance >= effect).sum())
    return (
        f"Pairing removes {number(effect)} of the variance of its place; of {len(chance):,} permutations of its "
        f"images, {above} reach that."
    )


def _draw_moves(axes: Axes, result: xr.Dataset) -> None:
    """What was measured and foretold, for the changed scene and the held unit."""
    measured, foretold = result["measured"].values, result["foretold"].values
    bars = [
        (0, float(measured[0]), MEASURED, "measured"), (1, float(foretold[0]), FORETOLD, "foretold by all its edges"),
        (2, float(result["by_edge"]), FORETOLD, "foretold by this edge"),
        (3, float(result["by_edge_alone"]), ALONE, "its source alone, measured"),
        (4.6, float(measured[1]), MEASURED, "measured"), (5.6, float(foretold[1]), FORETOLD, "foretold"),
    ]  # fmt: skip
    places, values, colours, names = zip(*bars, strict=True)
    axes.barh(places, values, color=colours, height=0.75)
    axes.axvline(0, color=QUIET, lw=0.6)
    axes.set_yticks(places, names, fontsize=TEXT_SIZE - 1)
    axes.invert_yaxis()
    reach = max(map(abs, values), default=0) * 1.15 or 1.0
    axes.set_xlim(-reach, reach)
    _dress(axes, "", "")
    headline(axes, "how the target moves")
    for at, words in ((-0.75, "scene changed"), (3.85, "unit held")):
        axes.text(-reach * 0.98, at, words, fontsize=TEXT_SIZE - 1, color=QUIET, va="center")
    axes.set_ylim(6.3, -1.3)


def _draw_line_of_held(axes: Axes, result: xr.Dataset) -> None:
    factors = result["factor"].values
    axes.plot(factors, result["held_measured"].values, "-o", ms=3.5, color=MEASURED, label="measured")
    axes.plot(factors, result["held_foretold"].values, "--", color=FORETOLD, label="foretold")
    axes.axvline(float(result.attrs["hold"]), color=ALONE, lw=1.4)
    axes.axhline(0, color=QUIET, lw=0.6)
    axes.legend(frameon=False, fontsize=TEXT_SIZE - 1)
    _dress(axes, f"factor at which unit {result.attrs['unit']} is held", "target moves by")


def _draw_chances(axes: Axes, result: xr.Dataset) -> None:
    names = [str(name) for name in result["category"].values]
    values = result["probability"].values
    shown = np.argsort(-values.max(axis=0), kind="stable")[:6]
    for at, (state, colour) in enumerate(zip(result["state"].values, (QUIET, MEASURED, ALONE), strict=True)):
        axes.barh(
            np.arange(len(shown)) + (at - 1) * 0.27, values[at, shown], height=0.25, color=colour, label=str(state)
        )
    axes.set_yticks(np.arange(len(shown)), [_wrapped(names[each]) for each in shown], fontsize=TEXT_SIZE - 1)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, fontsize=TEXT_SIZE - 1, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    _dress(axes, "probability", "")
    headline(axes, "what the network says")


def _wrapped(name: str) -> str:
    words = name.split()
    half = (len(words) + 1) // 2
    return name if len(name) < 16 else " ".join(words[:half]) + "\n" + " ".join(words[half:])


def _dress(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across, fontsize=TEXT_SIZE, color=INK)
    axes.set_ylabel(up, fontsize=TEXT_SIZE, color=INK)
    axes.tick_params(labelsize=TEXT_SIZE - 1, colors=QUIET, labelcolor=INK, length=2.5, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _say_test(result: xr.Dataset) -> str:
    facts = result.attrs
    measured, foretold = result["measured"].values, result["foretold"].values
    names = [str(name) for name in result["category"].values]
    says = [
        f"{state}: {names[int(chance.argmax())]} ({chance.max():.0%})"
        for state, chance in zip(result["state"].values, result["probability"].values, strict=True)
    ]
    return (
        f"Counterfactual test of unit {facts['unit']} of {facts['source']} on unit {facts['target']} of "
        f"{facts['target_layer']}. Scene changed: the target moves by {number(float(measured[0]))}; foretold by its "
        f"{count(int(facts['edges']), 'edge')}: {number(float(foretold[0]))}, by this edge alone: "
        f"{number(float(result['by_edge']))}; its source alone moves it by {number(float(result['by_edge_alone']))}. "
        f"Unit held at {number(float(facts['hold']))}: the target moves by {number(float(measured[1]))}; foretold: "
        f"{number(float(foretold[1]))}. The network says, {'; '.join(says)}."
    )
