"""One call for every kind of relation: which units go together, where, and which cause which."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from workbench.arrays import provenance
from workbench.errors import InputError
from workbench.explain.progress import Progress
from workbench.interpret.reading import chosen_layers, unit_maps
from workbench.interpret.registry import interpreters
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.kinds import check_store, layer_pairs, relation_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workbench.explain.progress import Report, Stop
    from workbench.interpret.activations import Activations
    from workbench.models import ImageModel

PLACES = {"y", "x"}
STEPS = 1000  # into which the progress of each kind is divided


@interpreters.register(
    "relations.discover",
    title="Relations between units",
    source=("agrawal1994", "josse2008", "benjamini1995"),
    access="gradients",
    returns="a graph of typed edges: together, beside each other, exciting and inhibiting",
    signed=True,
    specificity="shared",
    coverage="several layers",
    annotation="none",
    feedback="graph",
    cost="a pass over the maps; for causes, a forward pass a unit and image",
    note="Each kind is a method of its own: see the relation kinds.",
)
def discover(
    store: Activations,
    model: ImageModel,
    images: Any = None,
    *,
    kinds: str | Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    within: bool = False,
    q: float = 0.05,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> RelationGraph:
    """Discover the relations between the units of layers.

    Args:
        store: activations of the layers.
        model: the model that gave them.
        images: the same images, for the kinds that run the model.
        kinds: names of ``relation_kinds``; all that need no annotation where omitted, without those that need images
            where none are given.
        layers: at least two, in the order in which the network computes them: relations are sought between each and
            the next. All of the store's where omitted.
        within: also between units of one layer, for the kinds that can.
        q: the false discovery rate that edges shall be able to reach.
        options: kind to further arguments of its function, for example ``{"spatial": {"quantile": 0.9}}``.
        progress: False, True for a bar a kind, or a callable that takes a Progress over all kinds.
        stop: asked between steps.

    Returns:
        One graph of all kinds: every edge that was tested, with its q-value, and those that could not be, with the
        reason. ``graph.significant()`` has those that count. Layers without places (y, x) have no spatial edges.

    Raises:
        UnknownNameError: no such kind or layer.
        InputError: layers in the wrong order, too few of them, a kind that needs images without any, options of a
            kind that is not asked for, or what the kinds themselves refuse.
        StoreMismatchError: the activations come from another model.
        Interrupted: ``stop`` answered True.
    """
    check_store(store, model)
    names = _chosen_kinds(kinds, images)
    unused = sorted(set(options or {}) - set(names))
    if unused:
        raise InputError(f"There are options for the kind {unused[0]!r}, but the kinds are {', '.join(names)}.")
    chosen = _ordered(store, model) if layers is None else chosen_layers(store, layers)
    pairs = layer_pairs(model, chosen, within=within)
    between = {name: _pairs_of(name, pairs, store, asked=kinds is not None) for name in names}
    names = [name for name in names if between[name]]
    if not names:
        raise InputError(f"No kind of relation can be sought between {', '.join(chosen)}; name the kinds to learn why.")
    graphs = []
    for number, name in enumerate(names):
        given = {"q": q, **(options or {}).get(name, {})}
        report = _share(progress, number, len(names))
        method = relation_kinds[name]
        graphs.append(method(store, model, images, pairs=between[name], progress=report, stop=stop, **given))
    found = RelationGraph.concatenate(graphs)
    facts = provenance(method="relations.discover", kinds=names, layers=list(chosen), within=within, q=q)
    return RelationGraph(found.dataset.assign_attrs({**facts, "model": model.name, "weights_hash": model.weights_hash}))


def _chosen_kinds(kinds: str | Sequence[str] | None, images: Any) -> list[str]:
    """The kinds asked for, or all that can be found with what is given."""
    if kinds is None:
        return [
            name
            for name, kind in relation_kinds.items()
            if kind.card.annotation == "none" and (images is not None or not needs_images(name))
        ]
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    if not names or len(set(names)) < len(names):
        raise InputError(f"kinds is {names}; expected each kind once, among {', '.join(relation_kinds)}.")
    for name in names:
        if images is None and needs_images(name):
            raise InputError(f"Relations of the kind {name!r} are found by running the model; pass images.")
    return names


def needs_images(kind: str) -> bool:
    """Whether a kind runs the model: its function then has no default for ``images``.

    Args:
        kind: a name of ``relation_kinds``.

    Returns:
        Whether images must be given.

    Raises:
        UnknownNameError: no such kind.
    """
    return inspect.signature(relation_kinds[kind].function).parameters["images"].default is inspect.Parameter.empty


def _ordered(store: Activations, model: ImageModel) -> list[str]:
    order = {layer.name: layer.order for layer in model.layer_records}
    known = [str(layer) for layer in store.layers]
    return sorted(known, key=lambda name: order.get(name, -1))


def _pairs_of(
    kind: str, pairs: Sequence[tuple[str, str]], store: Activations, *, asked: bool
) -> Sequence[tuple[str, str]]:
    """The pairs between which a kind can look.

    Raises:
        InputError: none of them, though the kind was asked for by name.
    """
    if kind in ("causal", "concept"):  # nothing within one layer causes another part of it
        pairs = [pair for pair in pairs if pair[0] != pair[1]]
    if kind == "spatial":
        placed = [pair for pair in pairs if all(set(unit_maps(store, layer).dims) >= PLACES for layer in pair)]
        if not placed and asked:
            raise InputError(
                "None of the pairs of layers has places (y, x) on both sides, which spatial relations need. Choose "
                "convolutional layers, or leave the kind out."
            )
        pairs = placed
    return pairs


def _share(progress: Report, number: int, count: int) -> Report:
    """Progress of one kind as a share of the progress of all."""
    if isinstance(progress, bool):
        return progress

    furthest = number * STEPS

    def report(state: Progress) -> None:
        nonlocal furthest  # a kind may count each pair of layers anew; what was told is not taken back
        furthest = done = max(furthest, number * STEPS + round(STEPS * state.fraction))
        progress(Progress(done, count * STEPS, state.seconds_left if number == count - 1 else None))

    return report
