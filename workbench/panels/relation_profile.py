"""What shows a relation, and what changing a scene or a unit does to it: results to be drawn. No widgets here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from workbench import models
from workbench.arrays import IMAGE, UNIT, X, Y, strings
from workbench.data import Subset, as_source
from workbench.errors import InputError, StoreMismatchError
from workbench.interpret import relations
from workbench.interpret.reading import unit_maps
from workbench.interpret.relations.activity import unit_activity
from workbench.interpret.relations.continuation import Layout
from workbench.interpret.relations.peaks import find_peaks
from workbench.panels.unit_profile import as_grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations
    from workbench.interpret.relations import Edge, RelationGraph, Wiring
    from workbench.models import ImageModel

DRAWS = 499  # permutations of the null that is drawn
MEASURED_ON = 64  # images on which slopes by place are measured
FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0)
STATES = ("as it is", "scene changed", "unit held")


def edge_profile(
    graph: RelationGraph,
    position: int,
    store: Activations,
    model: ImageModel,
    images: Any,
    *,
    names: Mapping[tuple[str, int], str] | None = None,
    count: int = 4,
    quantile: float = 0.8,
    seed: int = 0,
) -> xr.Dataset:
    """The images that show an edge best, the maps of its units there, and, for places, the displacements and chance.

    Args:
        graph: the graph.
        position: of the edge.
        store: activations of both layers.
        model: the model.
        images: the images that the store was made of.
        names: layer and index of units to what they are called, for the sentence.
        count: how many images, at most.
        quantile: which images a unit is active in, as given to :func:`~workbench.interpret.relations.spatial_edges`.
        seed: of the permutations.

    Returns:
        ``pictures`` (top, row, column, channel) float32; ``source_maps``, ``target_maps`` and (with a partner)
        ``partner_maps`` (top, ...) float32, but not for concepts. Where the units have places, ``displacement``
        (witness, axis) float64, pixels of the network input down and to the right, of target minus source, or of
        partner minus source for an edge with a condition, in the images in which both are active; ``kept`` float64,
        the share of its variance that is less than chance has it, which is the effect of a spatial edge; and
        ``chance`` (draw) float64, the same when the images of the second unit are permuted. Coordinate ``identifier``
        (top). Attributes: ``sentence``, ``beside`` (``"target"`` or ``"partner"``) and the edge's own.

    Raises:
        InputError: no such edge.
        StoreMismatchError: exemplars that are no images of the store, or images that are not those of the store.
    """
    edge = graph.edge(position)
    known = {str(name): index for index, name in enumerate(store.identifiers)}
    source = as_source(images)
    if len(source) != len(known):
        raise StoreMismatchError(
            f"There are {len(source)} images, and the activations are of {len(known)}. Give those that were observed."
        )
    chosen = _exemplars(edge, store, known)[:count]
    units = edge.kind != "concept"
    variables: dict[str, Any] = {
        "pictures": (("top", "row", "column", "channel"), model.pictures(model.prepare(Subset(source, chosen))))
    }
    ends = {"source": edge.source, "partner": edge.partner, "target": edge.target}
    for role, (layer, unit) in ((role, end) for role, end in ends.items() if units and end is not None):
        maps = store.dataset(layer)["maps"].isel({IMAGE: chosen, UNIT: unit})
        stacked = np.stack([as_grid(maps.isel({IMAGE: row})) for row in range(len(chosen))])
        variables[f"{role}_maps"] = (("top", f"{role}_y", f"{role}_x"), stacked)
    beside = "partner" if edge.condition else "target"
    other = edge.partner if edge.condition else edge.target
    if units and other is not None and all(_has_places(store, layer) for layer in (edge.source_layer, other[0])):
        away, kept, chance = _displacements(edge.source, other, store, model, quantile, seed)
        variables |= {"displacement": (("witness", "axis"), away), "kept": kept, "chance": ("draw", chance)}
    columns = (
        "source_layer", "source_unit", "target_layer", "target_unit", "partner_layer", "partner_unit", "condition",
        "kind", "relation", "effect",
    )  # fmt: skip
    facts = {name: getattr(edge, name) for name in columns}
    return xr.Dataset(
        variables,
        coords={"identifier": ("top", strings(str(store.identifiers[index]) for index in chosen))},
        attrs={
            **facts,
            "position": int(position),
            "beside": beside,
            "sentence": relations.sentence(edge, names=names),
        },
    )


def _exemplars(edge: Edge, store: Activations, known: Mapping[str, int]) -> NDArray[np.int64]:
    """Indices of the edge's exemplars; of edges without, those in which both units are highest by rank."""
    missing = [name for name in edge.exemplars if name not in known]
    if missing:
        raise StoreMismatchError(
            f"The edge is shown by image {missing[0]!r}, of which there are no activations. Give those of the images "
            "that the graph was made of."
        )
    if edge.exemplars or edge.kind == "concept":
        found = [known[name] for name in edge.exemplars] or [0]
        return np.array(found, dtype=np.int64)
    heights = [store.dataset(layer)["max"].isel({UNIT: unit}).values for layer, unit in (edge.source, edge.target)]
    ranks = [np.argsort(np.argsort(each, kind="stable"), kind="stable") for each in heights]
    return np.argsort(-np.minimum(*ranks), kind="stable")


def _has_places(store: Activations, layer: str) -> bool:
    """Whether the maps of a layer are pictures of more than one place."""
    sizes = unit_maps(store, layer).sizes
    return sizes.get(Y, 1) * sizes.get(X, 1) > 1


def _displacements(
    source: tuple[str, int], target: tuple[str, int], store: Activations, model: ImageModel, quantile: float, seed: int
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """(witness, 2) displacements, what pairing takes off their variance, and the same of each permutation."""
    ends = [source, target]
    wanted = {layer: sorted({unit for other, unit in ends if other == layer}) for layer, _ in ends}
    activity = {layer: unit_activity(store, layer, quantile=quantile, units=wanted) for layer in wanted}
    peaks = find_peaks(store, activity, [(source[0], target[0])], size=model.input_shape[1:])
    at = [(layer, wanted[layer].index(unit)) for layer, unit in ends]
    both = np.logical_and(*(activity[layer].active[:, column] for layer, column in at))
    first, second = (peaks.places[layer][:, both, column] for layer, column in at)
    generator = np.random.default_rng(seed)
    if both.sum() < 2:
        return (second - first).T, np.nan, np.zeros(0)
    spreads = np.array([_spread(second[:, generator.permutation(both.sum())] - first) for _ in range(DRAWS)])
    expected = first.var(axis=1).sum() + second.var(axis=1).sum()  # of all permutations
    return (second - first).T, 1 - _spread(second - first) / (expected or 1.0), 1 - spreads / (expected or 1.0)


def _spread(away: NDArray[np.float64]) -> float:
    return float(away.var(axis=1).sum())


def can_be_tested(edge: Edge) -> bool:
    """Whether an edge foretells anything: found by intervention, without a partner, with an effect.

    Args:
        edge: the edge.

    Returns:
        Whether it does.
    """
    return edge.kind == "causal" and edge.partner is None and edge.tested and edge.effect != 0


def edge_wiring(
    graph: RelationGraph, position: int, store: Activations, model: ImageModel, images: Any, **work: Any
) -> Wiring:
    """The edges that lead to the target of an edge from its source's layer, as slopes, by place where there are places.

    Args:
        graph: the graph.
        position: of the edge.
        store: activations of both layers.
        model: the model.
        images: those of the store.
        **work: ``stop`` and ``batch_size``, as :func:`~workbench.interpret.relations.by_place` takes them.

    Returns:
        The wiring.

    Raises:
        InputError: an edge that is not causal, has a partner or no effect, or was not tested.
        Interrupted: on request.
    """
    edge = graph.edge(position)
    if not can_be_tested(edge):
        raise InputError(
            "Only an edge that was found by intervention, from one unit to another, and has an effect can be put to "
            f"this test; this one says: {relations.sentence(edge)}"
        )
    beside = graph.filter(kind="causal", source_layer=edge.source_layer, target_layer=edge.target_layer)
    beside = beside.take(beside.column("target_unit") == edge.target_unit)
    sure = beside.significant()
    rows = [*sure] if any(each.source == edge.source for each in sure if each.partner is None) else [*sure, edge]
    wires = relations.wiring(relations.RelationGraph.from_edges(rows), store, q=None)
    if Layout.of(model, edge.source_layer).grid is None:
        return wires
    source = as_source(images)
    some = Subset(source, np.arange(min(len(source), MEASURED_ON)))
    return relations.by_place(
        wires, model, some, cells=min(3, *(Layout.of(model, edge.source_layer).grid or ())), **work
    )


def counterfactual_test(
    wires: Wiring,
    model: ImageModel,
    before: Any,
    after: Any,
    *,
    unit: int,
    target: int,
    hold: float = 1.0,
    factors: Sequence[float] = FACTORS,
) -> xr.Dataset:
    """Change a scene, and hold a unit, and compare how the target moves with what edges foretell.

    Args:
        wires: the edges, as :func:`edge_wiring` gives them.
        model: the model.
        before: one picture.
        after: the picture changed.
        unit: source of the edge.
        target: its target.
        hold: factor on the line from the baseline (0) through what the unit gives by itself (1).
        factors: at which the line of the held unit is measured.

    Returns:
        ``before_picture``, ``after_picture`` (row, column, channel) float32; ``measured``, ``foretold`` (change)
        float64 for ``"scene"`` and ``"unit"``, how the target moves; ``by_edge``, ``by_edge_alone``, what the edge
        foretells of the scene's part, and what its source alone does there; ``held_measured``, ``held_foretold``
        (factor); ``probability`` (state, category) of the network as it is, with the scene changed and with the unit
        held; ``value``, the target in the picture before.
    """
    column = wires.column(target)
    all_edges = relations.change_scene(wires, model, before, after).isel(intervention=0, target=column)
    one = relations.change_scene(wires, model, before, after, only=(unit, target)).isel(intervention=0, target=0)
    steps = sorted({*factors, float(hold)})
    line = relations.hold_unit(wires, model, before, unit=unit, factors=steps).isel(image=0, target=column)
    here = line.sel(factor=float(hold))
    inputs, others = model.prepare(before), model.prepare(after)
    chances = [_probability(model, inputs), _probability(model, others)]
    with models.replace_output(model, {wires.source: _holding(wires, model, unit, hold)}):
        chances.append(_probability(model, inputs))
    pictures = {
        f"{name}_picture": (("row", "column", "channel"), model.pictures(each)[0])
        for name, each in (("before", inputs), ("after", others))
    }
    moved = {name: ("change", [float(all_edges[name]), float(here[name])]) for name in ("measured", "predicted")}
    return xr.Dataset(
        {
            **pictures,
            "measured": moved["measured"],
            "foretold": moved["predicted"],
            "by_edge": float(one["predicted"]),
            "by_edge_alone": float(one["transplanted"]),
            "held_measured": ("factor", line["measured"].values),
            "held_foretold": ("factor", line["predicted"].values),
            "probability": (("state", "category"), np.stack(chances)),
            "value": float(all_edges["value_before"]),
        },
        coords={
            "change": strings(["scene", "unit"]), "factor": steps, "state": strings(STATES),
            "category": strings(model.categories),
        },
        attrs={"hold": float(hold), "source": wires.source, "unit": int(unit), "target_layer": wires.target,
               "target": int(target), "edges": int(wires.wired[:, column].sum())},
    )  # fmt: skip


def _holding(wires: Wiring, model: ImageModel, unit: int, hold: float) -> Any:
    layout = Layout.of(model, wires.source)

    def change(output: torch.Tensor) -> torch.Tensor:
        maps = layout.units_first(output).clone()
        absent = torch.from_numpy(wires.baseline[unit]).to(maps)
        maps[:, unit] = absent + hold * (maps[:, unit] - absent)
        return layout.as_layer(maps)

    return change


def _probability(model: ImageModel, inputs: torch.Tensor) -> NDArray[np.float32]:
    with torch.no_grad():
        return np.asarray(model.logits(inputs).softmax(dim=1)[0].float().cpu().numpy())
