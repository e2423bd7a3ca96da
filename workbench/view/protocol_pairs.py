"""Which methods differ: every two of them, and whether the difference stands after correction."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.patches import Rectangle

from workbench.errors import InputError
from workbench.view.axes import INK, QUIET, TEXT_SIZE, TITLE_SIZE, new_figure
from workbench.view.picture import Picture
from workbench.view.words import count, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

BETTER, WORSE, NEITHER = "#0b5cad", "#d55e00", "#eceff2"
SIGNS = {1: "▲", -1: "▼", 0: ""}
CELL = 0.74
LETTERS = 22


def protocol_pairs(comparison: xr.Dataset, *, order: Sequence[str] | None = None) -> Picture:
    """Draw which pairs of methods differ significantly, after Holm's correction over all pairs.

    Each cell compares the method of its row with that of its column: the mean difference of their scores, a triangle
    up and dark blue where the row's method is better, down and orange where it is worse, plain where the corrected
    p-value is not below 0.05.

    Args:
        comparison: what :func:`~workbench.evaluate.method_comparison` gives.
        order: names of the methods, those to be drawn from above; all in their own order where omitted.

    Returns:
        The drawing.

    Raises:
        InputError: something else than such a comparison, or an order that names none of the methods.
    """
    if not isinstance(comparison, xr.Dataset) or not {"difference", "adjusted", "better"} <= set(comparison):
        raise InputError("What is to be drawn is no comparison; expected what evaluate.method_comparison gives.")
    known = [str(name) for name in comparison["first"].values]
    names = known if order is None else [name for name in order if name in known]
    if not names:
        raise InputError(f"order names none of the methods that are compared: {', '.join(known)}.")
    table = comparison.sel(first=names, second=names)
    better = np.nan_to_num(table["better"].values).astype(int)
    size = len(names)
    labels = ["\n".join(textwrap.wrap(name, LETTERS, break_long_words=True)) for name in names]
    margin = 0.085 * min(LETTERS, max(map(len, names))) + 0.3
    figure = new_figure(max(4.2, size * CELL + margin + 0.2), size * CELL * 0.72 + 0.75 * margin + 0.8, compress=False)
    axes = figure.subplots()
    for row in range(size):
        for column in range(size):
            if row != column:
                _cell(axes, row, column, float(table["difference"].values[row, column]), int(better[row, column]))
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    axes.set_xticks(range(size), labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), labels)
    axes.tick_params(labelsize=TEXT_SIZE, colors=INK, length=0)
    axes.spines[:].set_visible(False)
    metric = str(comparison.attrs.get("metric", "the metric"))
    lines = [*textwrap.wrap(metric, 44, break_long_words=True), "mean difference, row minus column"]
    lines.append("▲ row better, ▼ row worse (Holm, 0.05)")
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=TITLE_SIZE, color=INK)
    return Picture(figure, _alt(table, better, metric))


def _cell(axes: Axes, row: int, column: int, difference: float, sign: int) -> None:
    face = {1: BETTER, -1: WORSE, 0: NEITHER}[sign]
    axes.add_patch(Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, facecolor=face, linewidth=0))
    text = f"{SIGNS[sign]} {_signed(difference)}".strip() if np.isfinite(difference) else "\N{EN DASH}"
    colour = "#ffffff" if sign == 1 else INK if sign else QUIET
    axes.text(column, row, text, ha="center", va="center", fontsize=TEXT_SIZE - 0.5, color=colour)


def _signed(value: float) -> str:
    text = f"{value:+.2g}" if abs(value) < 100 else f"{value:+.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _alt(table: xr.Dataset, better: NDArray[np.int64], metric: str) -> str:
    names = [str(name) for name in table["first"].values]
    pairs = len(names) * (len(names) - 1) // 2
    found = []
    for row, column in np.argwhere(better == 1):
        one = table.isel(first=int(row), second=int(column))
        found.append(
            f"{names[row]} is better than {names[column]} (difference {number(float(one['difference']))}, "
            f"{number(float(one['low']))} to {number(float(one['high']))}, "
            f"corrected p {number(float(one['adjusted']))}, n {int(one['n'])})"
        )
    lead = f"{metric}: {len(found)} of {count(pairs, 'pair')} of methods differ at 0.05 after Holm's correction."
    return lead + "".join(f" {text}." for text in found)
