"""Relation graphs, drawn in layers: what lies early in the network on the left, each relation a line to the right."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch

from workbench.errors import InputError
from workbench.view.axes import INK, QUIET, TEXT_SIZE, new_figure
from workbench.view.picture import Picture
from workbench.view.relation_strokes import STROKES, draw_edges, identity, stroke_of, tag
from workbench.view.words import count, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from workbench.interpret.relations import Edge, RelationGraph

Unit = tuple[str, int]
Node = tuple[str, int | str]
COLUMN_WIDTH = 2.9  # inches between two layers
ROW_HEIGHT = 0.2  # inches a unit, where there is room
TALLEST = 11.0  # inches
SPOKEN = 3  # edges that the alternative text goes into
LONGEST = 16  # letters of a line of a name in the drawing; the text has all of it
SPARSE = 12  # units of a layer up to which a name may take two lines
LEGEND_WIDTH = 1.9  # inches of an entry
SWEEPS = 6  # over all layers, to bring connected units to the same height


def relation_graph(
    graph: RelationGraph,
    *,
    names: Mapping[Unit, str] | None = None,
    kind: str | Sequence[str] | None = None,
    category: str | Sequence[str] | None = None,
    unit: Unit | None = None,
    minimum_effect: float | None = None,
    q: float | None = 0.05,
    most: int = 200,
    chosen: int | None = None,
) -> Picture:
    """Draw a relation graph, layer by layer from left to right.

    Units of a layer stand in a column, ordered so that lines cross seldom. Width says how strong an edge is among those
    of its kind, colour and dash what it is: exciting, inhibiting, together, in place, of concepts. Pairs of sources
    that an operator joins meet at its sign before their target, and so do a source and the unit beside which it must
    lie, at an arrow to the side on which it acts. Lines within one layer bow to the right of it.

    Args:
        graph: the graph.
        names: layer and index of units to what to call them; the graph's own names, or the index, where omitted.
        kind: draw these kinds only.
        category: draw edges of these categories only.
        unit: draw edges of this unit only.
        minimum_effect: draw edges of at least this magnitude only.
        q: draw edges that are significant at this false discovery rate only; None for all, tested or not.
        most: draw at most so many edges, the strongest of each kind; at least 1.
        chosen: position in ``graph`` of an edge to bring out, whether or not the rest would leave it out.

    Returns:
        The drawing; its text says how many edges there are and were left out, of which kinds, and which are strongest.

    Raises:
        InputError: an unknown kind, an edge that does not exist, or a limit out of range.
    """
    if most < 1:
        raise InputError(f"most is {most}; expected at least 1 edge.")
    picked = None if chosen is None else graph.edge(chosen)
    wanted = graph.filter(kind=kind, category=category, unit=unit, minimum_effect=minimum_effect)
    wanted = wanted if q is None else wanted.significant(q)
    edges = list(wanted.strongest(most)) if len(wanted) else []
    if picked is not None and all(identity(edge) != identity(picked) for edge in edges):
        edges = [picked, *edges[: most - 1]]
    columns = _ordered(edges)
    tallest = max((len(units) for units in columns.values()), default=1)
    height = float(np.clip(ROW_HEIGHT * tallest + 1.2, 2.8, TALLEST))
    figure = new_figure(max(4.0, COLUMN_WIDTH * (len(columns) - 0.3)), height)
    axes = figure.subplots()
    axes.set_axis_off()
    places = _places(columns)
    draw_edges(axes, edges, places, picked)
    _draw_units(axes, columns, places, _labels(edges, names or {}), height)
    axes.set_xlim(-0.32, len(columns) - 1 + 0.32 if columns else 1)
    axes.set_ylim(-0.06, 1.1)
    _legend(axes, edges, figure.get_figwidth())
    return Picture(figure, _alt(edges, columns, len(wanted) - len(edges), names or {}, wanted, picked))


def nearest_edge(picture: Picture, graph: RelationGraph, across: float, down: float, *, within: float = 0.03) -> int:
    """Which edge of a drawn graph lies nearest to a place on the picture.

    Args:
        picture: what :func:`relation_graph` gave.
        graph: the graph that was drawn.
        across: from the left, as a share of the width.
        down: from the top, as a share of the height.
        within: how far the line may lie, as a share of the width.

    Returns:
        The edge's position in the graph; -1 where no line is near.
    """
    figure = picture.figure
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    place = np.array([across * width, (1 - down) * height])
    lines = [patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch) and patch.get_gid()]
    steps = np.linspace(0, 1, 48)[:, None]
    best, name = within * width, None
    for line in lines:
        first, second, third, fourth = line.get_transform().transform(line.get_path().vertices)
        rest = 1 - steps
        curve = rest**3 * first + 3 * rest**2 * steps * second + 3 * rest * steps**2 * third + steps**3 * fourth
        away = float(np.linalg.norm(curve - place, axis=1).min())
        if away < best:
            best, name = away, line.get_gid()
    return next((position for position, edge in enumerate(graph) if tag(edge) == name), -1)


def _ordered(edges: Sequence[Edge]) -> dict[str, list[Node]]:
    """Layers from the first to the last, and the units of each from top to bottom."""
    neighbours: dict[Node, list[Node]] = {}
    for edge in edges:
        source, target = edge.nodes
        for end in (source, edge.partner):
            if end is not None:
                neighbours.setdefault(end, []).append(target)
                neighbours.setdefault(target, []).append(end)
    columns: dict[str, list[Node]] = {layer: [] for layer in _layer_order(edges)}
    for node in sorted(neighbours, key=str):
        columns[node[0]].append(node)
    for sweep in range(SWEEPS):
        for layer in list(columns) if sweep % 2 == 0 else list(columns)[::-1]:
            height = _heights(columns)
            means = {
                node: np.mean([height[other] for other in neighbours[node] if other[0] != layer] or [height[node]])
                for node in columns[layer]
            }
            # from top to bottom, so the greatest mean height first
            columns[layer] = [node for _, _, node in sorted((-mean, str(node), node) for node, mean in means.items())]
    return columns


def _layer_order(edges: Sequence[Edge]) -> list[str]:
    """Layers so that sources come before targets; those in a circle in the order of their first edge."""
    follows: dict[str, set[str]] = {}
    for edge in edges:
        for layer in (edge.source_layer, edge.target_layer):
            follows.setdefault(layer, set())
        if edge.source_layer != edge.target_layer:
            follows[edge.target_layer].add(edge.source_layer)
    order: list[str] = []
    while len(order) < len(follows):
        left = [layer for layer in follows if layer not in order]
        ready = [layer for layer in left if follows[layer] <= set(order)]
        order.append((ready or left)[0])
    return order


def _heights(columns: Mapping[str, Sequence[Node]]) -> dict[Node, float]:
    """From 1 for the top unit of a layer to 0 for the last."""
    return {
        node: 1 - (position + 0.5) / len(nodes) for nodes in columns.values() for position, node in enumerate(nodes)
    }


def _places(columns: Mapping[str, Sequence[Node]]) -> dict[Node, tuple[float, float]]:
    height = _heights(columns)
    return {node: (float(at), height[node]) for at, nodes in enumerate(columns.values()) for node in nodes}


def _draw_units(
    axes: Axes,
    columns: Mapping[str, Sequence[Node]],
    places: Mapping[Node, tuple[float, float]],
    labels: Mapping[Node, str],
    height: float,
) -> None:
    """Dots, their names where there is room for them, and the names of the layers."""
    for at, (layer, nodes) in enumerate(columns.items()):
        first, last = at == 0, at == len(columns) - 1
        axes.text(at, 1.06, layer, ha="center", va="bottom", fontsize=TEXT_SIZE, color=INK, weight="bold")
        axes.plot([at] * len(nodes), [places[node][1] for node in nodes], "o", ms=4, color=INK, zorder=6)
        under = None if first or last else {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8}
        size = min(TEXT_SIZE, 72 * 0.8 * (height - 1.2) / len(nodes))
        for node in nodes:
            x, y = places[node]
            side = -1 if first or not last else 1
            axes.annotate(
                labels[node], (x, y), xytext=(5 * side, 0), textcoords="offset points", fontsize=max(size, 4.5),
                ha="right" if side < 0 else "left", va="center", color=INK if first or last else QUIET, zorder=7,
                bbox=under,
            )  # fmt: skip


def _labels(edges: Sequence[Edge], names: Mapping[Unit, str]) -> dict[Node, str]:
    found: dict[Node, str] = {}
    for edge in edges:
        source, target = edge.nodes
        for end, name in ((source, edge.source_name), (target, edge.target_name), (edge.partner, edge.partner_name)):
            if end is not None and not found.get(end):
                found[end] = _given(end, names) or name
    count_of = Counter(end[0] for end in found)
    return {end: _short(name or str(end[1]), 2 if count_of[end[0]] <= SPARSE else 1) for end, name in found.items()}


def _given(end: Node, names: Mapping[Unit, str]) -> str:
    """The name that the caller gave a unit; concepts keep their own."""
    return "" if isinstance(end[1], str) else names.get((end[0], end[1]), "")


def _short(name: str, lines: int) -> str:
    """A name in so many lines, cut where it is longer."""
    return "\n".join(textwrap.wrap(name, LONGEST, max_lines=lines, placeholder="\N{HORIZONTAL ELLIPSIS}"))


def _legend(axes: Axes, edges: Sequence[Edge], width: float) -> None:
    """The kinds that occur, each with how many there are; ``width`` in inches."""
    counts = Counter(stroke_of(edge).name for edge in edges)
    handles = [
        Line2D([], [], color=stroke.colour, ls=stroke.dash, lw=1.8, label=f"{stroke.name} ({counts[stroke.name]})")
        for stroke in STROKES.values()
        if counts[stroke.name]
    ]
    room = int(np.clip(width / LEGEND_WIDTH, 1, 3))
    if handles:
        axes.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=min(room, len(handles)),
            fontsize=TEXT_SIZE, frameon=False, labelcolor=INK, handlelength=3,
        )  # fmt: skip
    else:
        axes.text(0.5, 0.5, "no relation to show", ha="center", va="center", color=QUIET, fontsize=TEXT_SIZE)


def _alt(
    edges: Sequence[Edge],
    columns: Mapping[str, Sequence[Node]],
    left_out: int,
    names: Mapping[Unit, str],
    graph: RelationGraph,
    chosen: Edge | None,
) -> str:
    if not edges:
        return "Relation graph without any relation to show."
    counts = Counter(stroke_of(edge).name for edge in edges)
    kinds = ", ".join(f"{amount} {name}" for name, amount in counts.most_common())
    layers = ", ".join(f"{_counted(nodes)} of {layer}" for layer, nodes in columns.items())
    said = [f"Relation graph from left to right: {layers}; {count(len(edges), 'edge')}: {kinds}."]
    if left_out > 0:
        said.append(f"{count(left_out, 'weaker edge')} left out.")
    if chosen is not None:
        said.append(f"Brought out: {_spoken(chosen, names, graph)}.")
    said.append("Strongest: " + "; ".join(_spoken(edge, names, graph) for edge in edges[:SPOKEN]) + ".")
    return " ".join(said)


def _counted(nodes: Sequence[Node]) -> str:
    concepts = sum(isinstance(node[1], str) for node in nodes)
    amounts = [
        count(amount, noun) for amount, noun in ((len(nodes) - concepts, "unit"), (concepts, "concept")) if amount
    ]
    return " and ".join(amounts)


def _spoken(edge: Edge, names: Mapping[Unit, str], graph: RelationGraph) -> str:
    """One edge in words."""
    source, target = (
        _called(end, names, name) for end, name in zip(edge.nodes, (edge.source_name, edge.target_name), strict=True)
    )
    if edge.partner is not None and not edge.condition:
        joined = edge.relation.replace("and-not", "and not")
        return f"{source} {joined} {_called(edge.partner, names, edge.partner_name)} drive {target}"
    verb = {"association": "goes together with"}.get(edge.kind, edge.relation)
    if edge.kind == "spatial":
        verb = f"is {edge.relation}"
    how = f"effect {number(edge.effect)} {graph.units[edge.kind]}" if edge.tested else f"not tested: {edge.reason}"
    where = ""
    if edge.partner is not None:
        where = f", when it lies {edge.condition} {_called(edge.partner, names, edge.partner_name)}"
        if edge.tested:
            how = f"stronger there by {number(abs(edge.effect))} {graph.units[edge.kind]}"
    return f"{source} {verb} {target}{where} ({how})"


def _called(end: Node, names: Mapping[Unit, str], own: str) -> str:
    if isinstance(end[1], str):
        return f"{end[1]} of {end[0]}"
    name = _given(end, names) or own
    return f"unit {end[1]} of {end[0]}" + (f", {name}," if name else "")
