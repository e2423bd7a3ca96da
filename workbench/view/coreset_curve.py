"""How little is enough: similarity against the share of images, between a floor and a ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from workbench.errors import InputError, unknown_name
from workbench.view.axes import INK, QUIET, TEXT_SIZE, headline, new_figure
from workbench.view.coreset import COLOURS
from workbench.view.histogram import PART
from workbench.view.picture import Picture
from workbench.view.words import number, share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import xarray as xr
    from matplotlib.axes import Axes

RANDOM = "random"
REACHED = 0.95
MARKERS = "osvP^X*<>hdp"
NEEDED = ("value", "low", "high", "ceiling", "floor", "normalised", "enough")
TITLES = {
    "relevant_units": "relevant units (VEBI)",
    "concepts": "concepts (ICE)",
    "rules": "rules",
    "dissect": "dissection",
}


def coreset_curve(
    curve: xr.Dataset,
    *,
    selectors: Sequence[str] | None = None,
    selector: str | None = None,
    fraction: float | None = None,
    width: float = 8.0,
    height: float = 3.4,
) -> Picture:
    """Draw how like the interpretation from a coreset is to that from other images.

    The scale is that of the normalised score: 1 is the ceiling, what all images of one half reach, 0 the floor, what
    random units reach; both are named with the similarity that they stand for.

    Args:
        curve: what :func:`workbench.interpret.coreset.coreset_curve` gives.
        selectors: which of its selectors to draw; all where omitted.
        selector: the one to bring out, with its interval.
        fraction: marks a share of the images, in (0, 1].
        width: of the drawing, in inches.
        height: of the drawing, in inches.

    Returns:
        The drawing.

    Raises:
        InputError: not such a curve.
        UnknownNameError: a selector that it does not hold.
    """
    missing = [name for name in NEEDED if name not in curve]
    if missing:
        raise InputError(f"The curve has no variable {missing[0]!r}; expected what coreset_curve gives.")
    held = [str(name) for name in curve["selector"].values]
    names = held if selectors is None else list(selectors)
    for name in [*names, *([] if selector is None else [selector])]:
        if name not in held:
            raise unknown_name("selector of the curve", name, held)
    if selector is not None and selector not in names:
        names = [*names, selector]
    figure = new_figure(width, height, compress=False)
    axes = figure.subplots()
    shares = [float(each) for each in curve["fraction"].values]
    for position, name in enumerate(sorted(names, key=lambda each: (each == selector, each != RANDOM))):
        _draw_selector(axes, curve.sel(selector=name), name, shares, position, name == selector)
    if fraction is not None:
        axes.axvline(fraction, color=INK, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate(
            f"now: {share(fraction)}", (fraction, 0.45), xycoords=("data", "axes fraction"), xytext=(4, 0),
            textcoords="offset points", fontsize=TEXT_SIZE - 0.5, color=INK,
        )  # fmt: skip
    _dress(axes, curve, shares, fraction)
    subject = str(curve.attrs.get("subject", ""))
    headline(axes, f"How little is enough for {TITLES.get(subject, subject) or 'this method'}?")
    figure.legend(loc="outside right upper", frameon=False, fontsize=TEXT_SIZE, labelcolor=INK, borderpad=0.2)
    return Picture(figure, _alt(curve, names, fraction))


def enough_in_words(curve: xr.Dataset, selector: str) -> str:
    """From which share on a selector is enough, and how it does against random coresets of the same size.

    Args:
        curve: what :func:`workbench.interpret.coreset.coreset_curve` gives.
        selector: one of its selectors.

    Returns:
        A sentence or two.

    Raises:
        UnknownNameError: the curve does not hold the selector.
    """
    held = [str(name) for name in curve["selector"].values]
    if selector not in held:
        raise unknown_name("selector of the curve", selector, held)
    one = curve.sel(selector=selector)
    if not np.isfinite(one["value"]).any():
        return "Ceiling and floor lie less than 0.05 apart, so that no score between them means anything."
    enough = float(one["enough"])
    said = (
        f"{selector} stays at {REACHED} of the ceiling or above from {share(enough)} on."
        if np.isfinite(enough)
        else f"{selector} does not stay at {REACHED} of the ceiling at any share that was tried."
    )
    if selector == RANDOM:
        return said
    ahead, p_value = float(one["area_against_random"]), float(one["area_p_value"])
    side = "above" if ahead > 0 else "below"
    splits, apart = curve.sizes["split"], int(one["normalised"].notnull().all("fraction").sum())
    of_splits = f"{splits} splits" if apart == splits else f"{apart} of {splits} splits, ceiling above floor in these"
    return (
        f"{said} On average it lies {number(abs(ahead))} {side} random coresets of the same size (p = {p_value:.2g}, "
        f"{of_splits})."
    )


def _draw_selector(
    axes: Axes, one: xr.Dataset, name: str, shares: list[float], position: int, brought_out: bool
) -> None:
    look: dict[str, Any]
    if brought_out:
        look = {"color": PART, "linewidth": 2.2, "marker": "D", "markersize": 5, "zorder": 4}
        axes.fill_between(shares, one["low"], one["high"], color=PART, alpha=0.16, linewidth=0, zorder=2)
    elif name == RANDOM:
        look = {"color": QUIET, "linewidth": 1.4, "linestyle": (0, (3, 2)), "marker": "o", "markersize": 4, "zorder": 3}
        axes.fill_between(shares, one["low"], one["high"], color=QUIET, alpha=0.12, linewidth=0, zorder=2)
    else:
        look = {
            "color": COLOURS[position % len(COLOURS)], "linewidth": 1.0, "marker": MARKERS[position % len(MARKERS)],
            "markersize": 3.5, "alpha": 0.85, "zorder": 3,
        }  # fmt: skip
    axes.plot(shares, one["value"], label=name, **look)


def _dress(axes: Axes, curve: xr.Dataset, shares: list[float], fraction: float | None) -> None:
    ceiling, floor = float(curve["ceiling"].mean()), float(curve["floor"].mean())
    drawn = np.concatenate([curve[name].values.ravel() for name in ("value", "low", "high")])
    drawn = drawn[np.isfinite(drawn)]
    low, high = (float(drawn.min()), float(drawn.max())) if drawn.size else (0.0, 1.0)
    axes.set_ylim(min(-0.06, low - 0.05), max(1.14, high + 0.05))
    edges = [*shares, *([] if fraction is None else [fraction])]
    axes.set_xscale("log")
    axes.set_xlim(min(edges) / 1.15, max(edges) * 1.15)
    for height, words, style in (
        # at the left, where curves are still on their way up
        (1, f"ceiling: all images of one half against the other ({number(ceiling)})", "-"),
        (0, f"floor: random units ({number(floor)})", "-"),
        (REACHED, "", ":"),
    ):
        axes.axhline(height, color=INK, linewidth=0.9, linestyle=style, zorder=1)
        axes.annotate(
            words, (0, height), xycoords=("axes fraction", "data"), xytext=(4, 3), textcoords="offset points",
            fontsize=TEXT_SIZE - 0.5, color=INK,
        )  # fmt: skip
    if not drawn.size:
        axes.text(
            0.5, 0.5, "ceiling and floor lie less than 0.05 apart:\nno score between them means anything",
            transform=axes.transAxes, ha="center", va="center", color=QUIET, fontsize=TEXT_SIZE,
        )  # fmt: skip
    axes.xaxis.set_major_locator(FixedLocator(shares))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}"))
    axes.set_xlabel(
        "images chosen, % of one half (logarithmic; at least one of each category)", fontsize=TEXT_SIZE, color=INK
    )
    axes.set_ylabel("similarity, 0 floor to 1 ceiling", fontsize=TEXT_SIZE, color=INK)
    axes.tick_params(labelsize=TEXT_SIZE - 0.5, colors=QUIET, length=2.5, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(linewidth=0.6, color=QUIET)


def _alt(curve: xr.Dataset, names: Sequence[str], fraction: float | None) -> str:
    subject = str(curve.attrs.get("subject", ""))
    shares = curve["fraction"].values
    said = [
        f"Similarity of {TITLES.get(subject, subject) or 'an interpretation'} from coresets to those from other "
        f"images, from 0 (floor, random units, {number(float(curve['floor'].mean()))}) to 1 (ceiling, all images of "
        f"one half, {number(float(curve['ceiling'].mean()))}), for {share(shares.min())} to {share(shares.max())} of "
        "the images."
    ]
    for name in names:
        values = curve["value"].sel(selector=name).values
        ends = f"{number(float(values[0]))} to {number(float(values[-1]))}" if np.isfinite(values).all() else "no score"
        said.append(f"{name}: {ends}. {enough_in_words(curve, name)}")
    if fraction is not None:
        said.append(f"Marked: {share(fraction)}.")
    return " ".join(said)
