"""The lines of a relation graph: what a kind of relation looks like, and how an edge is drawn between two places."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.patches import PathPatch
from matplotlib.path import Path

from workbench.view.axes import TEXT_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from workbench.interpret.relations import Edge

Place = tuple[float, float]
Node = tuple[str, int | str]
# how far the middle of a line is lifted, as a share of the height: kinds between the same units lie side by side
LIFTS = {"causal": 0.0, "spatial": 0.035, "association": -0.035, "concept": 0.0}
OPERATORS = {"and": "\N{LOGICAL AND}", "or": "\N{LOGICAL OR}", "and-not": "\N{LOGICAL AND}\N{NOT SIGN}"}
SIDES = {
    "left of": "\N{LEFTWARDS ARROW}", "right of": "\N{RIGHTWARDS ARROW}", "above": "\N{UPWARDS ARROW}",
    "below": "\N{DOWNWARDS ARROW}",
}  # fmt: skip
FIRST_SIGN, NEXT_SIGN = 0.16, 0.085  # columns before a target at which its first sign stands, and from sign to sign


@dataclass(frozen=True)
class Stroke:
    """How the lines of one kind and direction look.

    Attributes:
        name: in the legend.
        colour: of the line; the kinds also differ in dash, for those who see few colours.
        dash: a matplotlib line style.
    """

    name: str
    colour: str
    dash: Any


STROKES = {
    "excites": Stroke("excites", "#b2182b", "-"),
    "inhibits": Stroke("inhibits", "#2166ac", (0, (5, 2))),
    "joined": Stroke("joined by an operator", "#b35806", (0, (3, 1, 1, 1))),
    "condition": Stroke("beside another", "#8250df", (0, (6, 1.5, 1, 1.5, 1, 1.5))),
    "association": Stroke("together", "#6e7781", (0, (1, 1.5))),
    "spatial": Stroke("keeps its place", "#1b7837", (0, (7, 2, 1.5, 2))),
    "concept": Stroke("concept", "#762a83", (0, (4, 1.5))),
}


def identity(edge: Edge) -> tuple[Any, ...]:
    """What makes two edges of a drawing the same.

    Args:
        edge: the edge.

    Returns:
        Ends, kind, word, partner and condition.
    """
    return edge.source, edge.target, edge.kind, edge.relation, edge.partner, edge.condition


def tag(edge: Edge) -> str:
    """The name that the lines of an edge carry in a drawing.

    Args:
        edge: the edge.

    Returns:
        A text, another for every other edge.
    """
    return repr(identity(edge))


def stroke_of(edge: Edge) -> Stroke:
    """How an edge looks.

    Args:
        edge: the edge.

    Returns:
        Colour, dash and name of its kind.
    """
    if edge.partner is not None:
        return STROKES["condition" if edge.condition else "joined"]
    if edge.kind == "causal":
        return STROKES["excites" if edge.effect >= 0 else "inhibits"]
    return STROKES[edge.kind]


def draw_edges(axes: Axes, edges: Sequence[Edge], places: Mapping[Node, Place], picked: Edge | None) -> None:
    """Draw edges, the strongest last, and bring one of them out.

    The others step back the more of them there are; those that share a unit with it less than the rest.

    Args:
        axes: where to draw.
        edges: the edges.
        places: of their ends.
        picked: the edge to bring out; None for none.
    """
    widths = _widths(edges)
    signs: dict[Node, int] = {}
    for number in sorted(range(len(edges)), key=lambda each: widths[each]):
        edge, width = edges[number], widths[number]
        look = _Look(stroke_of(edge), width, _opacity(edge, width, picked, len(edges)), 1 + width, tag(edge), number)
        target = places[edge.nodes[1]]
        if edge.partner is None:
            _draw_line(axes, places[edge.nodes[0]], target, look, lift=LIFTS[edge.kind])
            continue
        before = signs.get(edge.nodes[1], 0)
        signs[edge.nodes[1]] = before + 1
        meeting = (target[0] - FIRST_SIGN - NEXT_SIGN * (before % 4), target[1])
        for end in (edge.source, edge.partner):
            _draw_line(axes, places[end], meeting, look)
        _draw_sign(axes, meeting, target, edge, look)


@dataclass(frozen=True)
class _Look:
    """How one edge is drawn."""

    stroke: Stroke
    width: float
    opacity: float
    order: float
    name: str
    number: int


def _widths(edges: Sequence[Edge]) -> list[float]:
    """Points, by the effect among those of the same kind."""
    greatest: dict[str, float] = {}
    for edge in edges:
        if edge.tested:
            greatest[edge.kind] = max(greatest.get(edge.kind, 0.0), abs(edge.effect))
    return [0.5 + 2.2 * abs(edge.effect) / (greatest[edge.kind] or 1.0) if edge.tested else 0.5 for edge in edges]


def _opacity(edge: Edge, width: float, picked: Edge | None, count: int) -> float:
    if picked is None:
        return min(1.0, 0.35 + 0.2 * width)
    if identity(edge) == identity(picked):
        return 1.0
    rest = min(0.32, 2.2 / math.sqrt(count)) * (0.5 + 0.18 * width)
    return min(0.6, 2.5 * rest) if set(edge.nodes) & set(picked.nodes) else rest


def _draw_sign(axes: Axes, meeting: Place, target: Place, edge: Edge, look: _Look) -> None:
    colour, opacity = look.stroke.colour, min(1.0, look.opacity + 0.3)
    axes.plot(
        [meeting[0], target[0]], [meeting[1]] * 2, color=colour, lw=look.width, alpha=look.opacity, zorder=look.order
    )
    axes.text(
        *meeting, SIDES.get(edge.condition) or OPERATORS.get(edge.relation, edge.relation), color=colour,
        fontsize=TEXT_SIZE, ha="center", va="center", alpha=opacity, zorder=5,
        bbox={"boxstyle": "circle,pad=0.12", "fc": "white", "ec": colour, "lw": 0.6, "alpha": opacity},
    )  # fmt: skip


def _draw_line(axes: Axes, start: Place, end: Place, look: _Look, *, lift: float = 0.0) -> None:
    if start[0] == end[0]:  # within a layer: a bow whose depth grows with the distance
        depth = start[0] + 0.1 + 0.25 * abs(start[1] - end[1]) + lift
        handles = [(depth, start[1]), (depth, end[1])]
    else:
        middle = (start[0] + end[0]) / 2
        handles = [(middle, start[1] + lift), (middle, end[1] + lift)]
    curve = Path([start, *handles, end], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    dash = look.stroke.dash
    if not isinstance(dash, str):
        # dashes of many lines that begin in one column would stand in stripes
        dash = (2.9 * look.number % sum(dash[1]), dash[1])
    axes.add_patch(
        PathPatch(
            curve, fill=False, ec=look.stroke.colour, lw=look.width, ls=dash, alpha=look.opacity, zorder=look.order,
            gid=look.name,
        )
    )  # fmt: skip
