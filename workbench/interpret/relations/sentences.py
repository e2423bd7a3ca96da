"""Relations in words: a sentence an edge, a paragraph a graph, and a check that each clause is entailed by an edge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workbench.errors import InputError
from workbench.interpret.relations.table import CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workbench.interpret.relations.graph import RelationGraph
    from workbench.interpret.relations.table import Edge

Names = dict[tuple[str, int], str]
JOINED = {"and": "and", "or": "or", "and-not": "but not"}
VERBS = {"together": "fires together with", "excites": "excites", "inhibits": "inhibits"}
PLACES = ("left of", "right of", "above", "below", "inside", "around", "overlapping")
VERBS |= {place: f"lies {place}" for place in PLACES} | {"overlapping": "overlaps with"}
WHEN = "when it lies"  # begins a condition; names never hold these words
NODE = rf"(unit|concept) (\d+) of ([^\s,]+)(?:, (?!{WHEN} )([^,.;]+?),?)?"
JOINT = re.compile(rf"^{NODE} (and|or|but not) {NODE} together drive {NODE}$")
SAID = "|".join(sorted(map(re.escape, VERBS.values()), key=len, reverse=True))
SIMPLE = re.compile(rf"^{NODE} ({SAID}) {NODE}$")
CONDITION = re.compile(rf", {WHEN} ({'|'.join(CONDITIONS)}) {NODE}$")


def sentence(edge: Edge, *, names: Mapping[tuple[str, int], str] | None = None, evidence: bool = True) -> str:
    """One edge in words.

    Args:
        edge: the edge.
        names: layer and index of units to what they are called; what the edge calls them where omitted.
        evidence: whether to add the effect, how sure it is, and how many images it rests on.

    Returns:
        A sentence, with its full stop.

    >>> from workbench.interpret.relations import Edge
    >>> edge = Edge("layer2", 12, "layer3", 40, "causal", "excites", effect=1.5, q_value=0.01, images=80)
    >>> sentence(edge, names={("layer2", 12): "red"}, evidence=False)
    'Unit 12 of layer2, red, excites unit 40 of layer3.'
    """
    words = _clause(edge, dict(names or {}))
    said = words[:1].upper() + words[1:]
    return f"{said}{f' ({_evidence(edge)})' if evidence else ''}."


def paragraph(graph: RelationGraph, *, names: Mapping[tuple[str, int], str] | None = None, most: int = 8) -> str:
    """A graph in words: its strongest edges, those with the same target behind one another.

    Args:
        graph: the graph; edges that were not tested are left out.
        names: layer and index of units to what they are called.
        most: at most so many edges.

    Returns:
        Sentences; "" for a graph without tested edges.

    Raises:
        InputError: ``most`` below 1.
    """
    tested = graph.filter(tested=True)
    if most < 1:
        raise InputError(f"most is {most}; expected at least 1 edge.")
    if not len(tested):
        return ""
    chosen = list(tested.strongest(most))
    targets = list(dict.fromkeys(edge.target for edge in chosen))
    ordered = sorted(chosen, key=lambda edge: targets.index(edge.target))  # stable
    return " ".join(sentence(edge, names=names, evidence=False) for edge in ordered)


def unsupported(text: str, graph: RelationGraph) -> list[str]:
    """The clauses of a text that no tested edge of a graph entails.

    Reads the text anew, without regard to how it was made: who stands in which relation to whom, the sign, and on which
    side of what. A sentence with a condition is entailed by an edge with that condition only, and one without by an
    edge without.

    Args:
        text: sentences as :func:`paragraph` writes them; what it would not write is not supported.
        graph: the graph.

    Returns:
        The sentences that no edge says; none if every clause is entailed.
    """
    known = {_facts_of(edge) for edge in graph if edge.tested}
    said = re.split(r"(?<=\.)\s+(?=[A-Z])", text.strip())
    return [each for each in said if each and _read(each) not in known]


def _read(said: str) -> tuple[Any, ...] | None:
    """Ends and relation of a sentence; None where it says something else."""
    plain = re.sub(r" \([^()]*\)\.?$", "", said.strip()).rstrip(".")
    plain = plain[:1].lower() + plain[1:]
    joint = JOINT.match(plain)
    if joint:
        first, word, second, target = (
            joint.group(1, 2, 3),
            joint.group(5),
            joint.group(6, 7, 8),
            joint.group(10, 11, 12),
        )
        relation = next(name for name, written in JOINED.items() if written == word)
        return first, relation, target, second, ""
    placed = CONDITION.search(plain)
    side, beside = (placed.group(1), placed.group(2, 3, 4)) if placed else ("", None)
    simple = SIMPLE.match(plain[: placed.start()] if placed else plain)
    if not simple:
        return None
    relation = next(name for name, written in VERBS.items() if written == simple.group(5))
    return simple.group(1, 2, 3), relation, simple.group(6, 7, 8), beside, side


def _facts_of(edge: Edge) -> tuple[Any, ...]:
    kind = "concept" if edge.kind == "concept" else "unit"
    ends = [(kind, str(unit), layer) for layer, unit in (edge.source, edge.target)]
    partner = None if edge.partner is None else (kind, str(edge.partner[1]), edge.partner[0])
    return ends[0], edge.relation, ends[1], partner, edge.condition


def _clause(edge: Edge, names: Names) -> str:
    source = _called(edge, edge.source, edge.source_name, names)
    target = _called(edge, edge.target, edge.target_name, names).rstrip(",")
    if edge.partner is not None and edge.condition:
        partner = _called(edge, edge.partner, edge.partner_name, names).rstrip(",")
        return f"{source} {VERBS.get(edge.relation, edge.relation)} {target}, {WHEN} {edge.condition} {partner}"
    if edge.partner is not None:
        partner = _called(edge, edge.partner, edge.partner_name, names)
        return f"{source} {JOINED[edge.relation]} {partner} together drive {target}"
    return f"{source} {VERBS.get(edge.relation, edge.relation)} {target}"


def _called(edge: Edge, end: tuple[str, int], own: str, names: Names) -> str:
    kind = "concept" if edge.kind == "concept" else "unit"
    name = re.sub(r"[\s,.;]+", " ", names.get(end, own) if kind == "unit" else own).strip()
    name = name.replace(WHEN, "lying")
    return f"{kind} {end[1]} of {end[0]}" + (f", {name}," if name else "")


def _evidence(edge: Edge) -> str:
    if not edge.tested:
        return f"not tested: {edge.reason}"
    effect, low, high = edge.effect, edge.low, edge.high
    if edge.condition and effect < 0:  # what inhibits is stronger where it is lower
        effect, low, high = -effect, -high, -low
    said = [f"stronger by {effect:.3g} than on the other side" if edge.condition else f"effect {effect:.3g}"]
    if low == low:  # not NaN
        said[0] += f", 95 % from {low:.3g} to {high:.3g}"
    if edge.q_value == edge.q_value:
        said.append(f"q = {edge.q_value:.2g}" if edge.q_value >= 1e-4 else "q < 0.0001")
    said.append(f"{edge.images} image{'s' if edge.images != 1 else ''}")
    if edge.category:
        said.append(f"most of them {edge.category}")
    return "; ".join(said)
