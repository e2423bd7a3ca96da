"""Counterfactual tests of causal edges: what they foretell where a picture or a unit is changed, and what happens.

An edge says by how much a target falls when its source is taken away. It is put to the test where it was not found:
in a picture that somebody has changed (an object moved, swapped, deleted), and in the network, where a unit is held at
more or less than it gives by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
import xarray as xr

from workbench.arrays import UNIT, provenance
from workbench.errors import InputError, Interrupted, ShapeError, StoreMismatchError, UnknownNameError
from workbench.interpret.relations.continuation import continuation
from workbench.interpret.relations.survey import count_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.explain.progress import Stop
    from workbench.interpret.activations import Activations
    from workbench.interpret.relations.continuation import Continuation, Observed
    from workbench.interpret.relations.graph import RelationGraph
    from workbench.interpret.relations.table import Edge
    from workbench.models import ImageModel

INTERVENTION, TARGET, FACTOR = "intervention", "target", "factor"
NEGLIGIBLE = 1e-3  # of the largest change of a mean in the layer: less is no change to divide by
PEAK = 0.99  # as causal_edges has it: the quantile of a unit's maxima that counts as its height
Baseline = Literal["mean", "zero"]


@dataclass(frozen=True, eq=False)
class Wiring:
    """Causal edges between two layers, as slopes that foretell.

    Attributes:
        source: name of the layer that the edges start from.
        target: name of the layer that they lead to.
        units: (target unit) int64, those that an edge leads to.
        wired: (source unit, target unit) bool, whether there is an edge; the second axis is that of ``units``.
        slope: (source unit, target unit) float64: by how much the target's maximum rises when the mean of the
            source's map rises by one; 0 where there is no edge, and where the mean does not change.
        baseline: (source unit, position) float32, what took the place of a source when the edges were found.
        cell: (position) int64, the cell of the picture that each position of a source's map lies in; empty where the
            slopes hold wherever the source is.
        placed: (source unit, cell, target unit) float64, the slopes of each cell, see :func:`by_place`.
    """

    source: str
    target: str
    units: NDArray[np.int64]
    wired: NDArray[np.bool_]
    slope: NDArray[np.float64]
    baseline: NDArray[np.float32]
    cell: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    placed: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0, 0)))

    def foretell(self, change: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """How targets move when the maps of the sources do.

        Args:
            change: (image, source unit, position) float, the maps afterwards minus before.

        Returns:
            (image, target unit) float64.
        """
        if not len(self.cell):
            return np.asarray(change.mean(axis=2, dtype=np.float64) @ self.slope)
        cells = self.placed.shape[1]
        means = np.stack(
            [change[:, :, self.cell == cell].mean(axis=2, dtype=np.float64) for cell in range(cells)], axis=2
        )
        return np.asarray(np.einsum("iuc,uct->it", means, self.placed))

    def column(self, unit: int) -> int:
        """The position of a target in ``units``.

        Args:
            unit: its index in the layer.

        Returns:
            The position.

        Raises:
            UnknownNameError: no edge leads to it.
        """
        found = np.flatnonzero(self.units == unit)
        if not len(found):
            raise UnknownNameError(
                f"No edge leads to unit {unit} of {self.target}; edges lead to {', '.join(map(str, self.units))}."
            )
        return int(found[0])


def wiring(
    graph: RelationGraph,
    store: Activations,
    *,
    source: str | None = None,
    target: str | None = None,
    q: float | None = 0.05,
    active: float = 0.5,
    baseline: Baseline = "mean",
) -> Wiring:
    """Turn the causal edges between two layers into slopes.

    The effect of an edge, in standard deviations of the target's maximum, is what is lost when the source's map gives
    way to the baseline. Divided by what the mean of the source's map loses then, on average over the images in which
    it is active, it is a slope. Edges with a partner say what two sources do together, and are left out.

    Args:
        graph: the edges.
        store: activations of both layers over the images that the edges were found on.
        source: the layer that edges start from; may be left out where all causal edges start from one.
        target: the layer that they lead to; may be left out likewise.
        q: take edges that are significant at this false discovery rate only; None for all that were tested.
        active: as given to :func:`causal_edges`.
        baseline: as given to :func:`causal_edges`.

    Returns:
        The wiring.

    Raises:
        InputError: no such edge, edges between several layers, or an option out of range.
        StoreMismatchError: an edge of a unit that the store's layers do not have.
    """
    if not 0 <= active < 1:
        raise InputError(f"active is {active}; expected a share in [0, 1).")
    if baseline not in get_args(Baseline):
        raise InputError(f"baseline is {baseline!r}; expected 'mean' or 'zero', as the edges were found with.")
    edges = [edge for edge in _causal(graph, q) if source in (None, edge.source_layer)]
    edges = [edge for edge in edges if target in (None, edge.target_layer)]
    between = sorted({(edge.source_layer, edge.target_layer) for edge in edges})
    if len(between) != 1:
        found = "; ".join(f"{first} to {second}" for first, second in between) or "none"
        raise InputError(
            f"Causal edges between one layer and one other are needed; there are: {found}. "
            "Choose with source= and target=, or ask for less with q=None."
        )
    first, second = between[0]
    maps = _positions(store, first)
    spread = np.asarray(store.dataset(second)["max"].values.std(axis=0, dtype=np.float64))
    units = np.unique([edge.target_unit for edge in edges])
    if max(edge.source_unit for edge in edges) >= maps.shape[1] or units[-1] >= len(spread):
        raise StoreMismatchError(
            f"The edges name units that {first} ({maps.shape[1]} units) or {second} ({len(spread)}) does not have in "
            "these activations. Give those of the model that the edges were found in."
        )
    absent = maps.mean(axis=0) if baseline == "mean" else np.zeros(maps.shape[1:], np.float32)
    lost = _lost(maps, absent, active)
    wired = np.zeros((maps.shape[1], len(units)), dtype=bool)
    slope = np.zeros(wired.shape)
    for edge in edges:
        at = edge.source_unit, int(np.searchsorted(units, edge.target_unit))
        wired[at] = True
        if abs(lost[edge.source_unit]) > NEGLIGIBLE * np.abs(lost).max():
            slope[at] = edge.effect * spread[edge.target_unit] / lost[edge.source_unit]
    return Wiring(first, second, units, wired, slope, absent.astype(np.float32))


def _causal(graph: RelationGraph, q: float | None) -> list[Edge]:
    chosen = graph.filter(kind="causal", tested=True)
    chosen = chosen if q is None else chosen.significant(q)
    return [edge for edge in chosen if edge.partner is None]


def _positions(store: Activations, layer: str) -> NDArray[np.float32]:
    """(image, unit, position) of a layer."""
    maps = store.dataset(layer)["maps"]
    first = maps.dims[0]
    values = maps.transpose(first, UNIT, ...).values
    return np.asarray(values.reshape(*values.shape[:2], -1), dtype=np.float32)


def _lost(maps: NDArray[np.float32], absent: NDArray[np.float32], active: float) -> NDArray[np.float64]:
    """(unit) what the mean of a map loses to the baseline, over the images in which the unit is active."""
    greatest = maps.max(axis=2)
    low = greatest.min(axis=0)
    height = np.maximum(np.quantile(greatest, PEAK, axis=0), low)
    where = greatest > low + active * (height - low)
    falls = maps.mean(axis=2, dtype=np.float64) - absent.mean(axis=1, dtype=np.float64)
    return np.asarray((falls * where).sum(axis=0) / np.maximum(where.sum(axis=0), 1))


def by_place(
    wires: Wiring,
    model: ImageModel,
    images: Any,
    *,
    cells: int = 3,
    batch_size: int = 64,
    stop: Stop | None = None,
) -> Wiring:
    """Measure what each edge does in each place: a unit may excite a target here, and inhibit it there.

    The picture is cut into cells. In each, the source's map gives way to the baseline, and the slope is that of least
    squares through the origin, over the images: the fall of the target's maximum, against the fall of the mean of the
    map in the cell.

    Args:
        wires: the edges; only these are measured.
        model: the model that they were found in.
        images: pictures to measure on, as ``model.prepare`` takes them; not those that are changed later.
        cells: along each side.
        batch_size: pictures a pass.
        stop: asked between batches.

    Returns:
        The same wiring with slopes for each cell.

    Raises:
        InputError: a source layer without places (y, x), or more cells than it has positions.
        Interrupted: ``stop`` answered True.
    """
    part: Continuation | None = None
    count, done = count_images(images), 0
    number = cells**2
    products = np.zeros((len(wires.slope), number, len(wires.units)))
    squares = np.zeros((len(wires.slope), number))
    cell = np.zeros(0, np.int64)
    for _, inputs in model.batches(images, batch_size=batch_size):
        part = part or continuation(model, wires.source, wires.target, inputs)
        cell = cell if len(cell) else _cells(part, cells)
        seen = part.observe(inputs)
        value = _maxima(seen.target, wires)
        rows = torch.arange(len(inputs), device=seen.source.device)
        for unit in np.flatnonzero(wires.wired.any(axis=1)):
            _ask(stop, done, count)
            absent = torch.from_numpy(wires.baseline[unit]).to(seen.source)
            for each in range(number):
                here = torch.from_numpy(cell == each).to(seen.source.device)
                maps = seen.source.clone()
                maps[:, unit] = torch.where(here, absent, maps[:, unit])
                with torch.no_grad():
                    fall = value - _maxima(part.rerun(seen, rows, maps), wires)
                lost = (seen.source[:, unit] - absent)[:, here].mean(dim=1).double().cpu().numpy()
                products[unit, each] += lost @ fall
                squares[unit, each] += lost @ lost
        done += len(inputs)
    slopes = np.divide(products, squares[..., None], out=np.zeros_like(products), where=squares[..., None] > 0)
    return replace(wires, cell=cell, placed=slopes * wires.wired[:, None])


def _cells(part: Continuation, cells: int) -> NDArray[np.int64]:
    """(position) the cell that each position of the source layer lies in."""
    grid = part.source.grid
    if grid is None or not 1 <= cells <= min(grid):
        size = "no places (y, x)" if grid is None else f"{grid[0]} x {grid[1]} positions"
        raise InputError(f"cells is {cells}; layer {part.source.layer!r} has {size}, which cannot be cut so.")
    rows, columns = (np.arange(side) * cells // side for side in grid)
    return np.asarray(rows[:, None] * cells + columns[None], dtype=np.int64).ravel()


def change_scene(
    wires: Wiring,
    model: ImageModel,
    before: Any,
    after: Any,
    *,
    only: tuple[int, int] | None = None,
    batch_size: int = 64,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Change pictures, and compare how targets move with what edges foretell.

    Twice: from the slopes alone, given how the sources move; and by an intervention in the network, where the wired
    sources do in the picture before what they do in the picture after, and all other units stay as they are.

    Args:
        wires: the edges.
        model: the model that they were found in.
        before: pictures, as ``model.prepare`` takes them.
        after: the same pictures with something changed, in the same order.
        only: (source unit, target unit): foretell from this edge alone, and only for its target.
        batch_size: pictures a pass.
        stop: asked between batches.

    Returns:
        Dataset on (intervention, target): ``measured``, the target's maximum after minus before; ``predicted``, from
        the slopes; ``transplanted``, by how much the target's maximum moves where its wired sources alone are given
        the maps of the picture after. ``source_change`` (intervention, source unit): by how much the mean of the map
        moved. ``value_before``, ``value_after`` (intervention, target). Coordinate ``target``: units of the layer.

    Raises:
        ShapeError: not as many pictures before as after.
        UnknownNameError: ``only`` is no edge.
        Interrupted: ``stop`` answered True.
    """
    counts = count_images(before), count_images(after)
    if counts[0] != counts[1]:
        raise ShapeError(f"There are {counts[0]} pictures before and {counts[1]} after; expected as many.")
    wires = wires if only is None else _single(wires, *only)
    part: Continuation | None = None
    rows: list[dict[str, NDArray[Any]]] = []
    pairs = zip(model.batches(before, batch_size=batch_size), model.batches(after, batch_size=batch_size), strict=True)
    for (_, first), (_, second) in pairs:
        _ask(stop, sum(len(row["measured"]) for row in rows), counts[0])
        part = part or continuation(model, wires.source, wires.target, first)
        rows.append(_changed(wires, part, part.observe(first), part.observe(second)))
    found = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    dims = {name: (INTERVENTION, UNIT if name == "source_change" else TARGET) for name in found}
    return xr.Dataset(
        {name: (dims[name], values) for name, values in found.items()},
        coords={TARGET: wires.units},
        attrs=_facts(wires, model, "relations.change_scene"),
    )


def _changed(wires: Wiring, part: Continuation, before: Observed, after: Observed) -> dict[str, NDArray[Any]]:
    value, other = (_maxima(each.target, wires) for each in (before, after))
    change = (after.source - before.source).cpu().numpy()
    transplanted = np.zeros_like(value)
    rows = torch.arange(len(before.source), device=before.source.device)
    # targets with the same sources are read off one run
    patterns, belongs = np.unique(wires.wired, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        chosen = torch.from_numpy(np.flatnonzero(pattern)).to(rows)
        maps = before.source.clone()
        maps[:, chosen] = after.source[:, chosen]
        with torch.no_grad():
            moved = _maxima(part.rerun(before, rows, maps), wires)
        mine = belongs.ravel() == number
        transplanted[:, mine] = (moved - value)[:, mine]
    return {
        "measured": other - value,
        "predicted": wires.foretell(change),
        "transplanted": transplanted,
        "source_change": change.mean(axis=2, dtype=np.float64),
        "value_before": value,
        "value_after": other,
    }


def hold_unit(
    wires: Wiring,
    model: ImageModel,
    images: Any,
    *,
    unit: int,
    factors: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0),
    batch_size: int = 64,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Hold a unit at more or less than it gives by itself, and compare how its targets move with what edges foretell.

    At the factor 0 the unit's map is the baseline that the edges were found with, at 1 it is left alone, and between
    and beyond it lies on the line through both.

    Args:
        wires: the edges.
        model: the model that they were found in.
        images: as ``model.prepare`` takes them.
        unit: of the source layer.
        factors: finite numbers.
        batch_size: pictures a pass.
        stop: asked between batches.

    Returns:
        Dataset: ``measured``, ``predicted`` (image, factor, target), by how much the target's maximum moves.

    Raises:
        InputError: no such unit, no factor, or one that is not finite.
        Interrupted: ``stop`` answered True.
    """
    if not 0 <= unit < len(wires.slope):
        raise InputError(f"unit is {unit}; layer {wires.source!r} has {len(wires.slope)}, numbered from 0.")
    steps = np.asarray(factors, dtype=np.float64)
    if steps.ndim != 1 or not len(steps) or not np.isfinite(steps).all():
        raise InputError(f"factors is {factors!r}; expected one or more finite numbers.")
    part: Continuation | None = None
    measured: list[NDArray[np.float64]] = []
    predicted: list[NDArray[np.float64]] = []
    for _, inputs in model.batches(images, batch_size=batch_size):
        _ask(stop, sum(len(each) for each in measured), count_images(images))
        part = part or continuation(model, wires.source, wires.target, inputs)
        seen = part.observe(inputs)
        absent = torch.from_numpy(wires.baseline[unit]).to(seen.source)
        rows = torch.arange(len(inputs), device=seen.source.device)
        value, moves = _maxima(seen.target, wires), []
        for step in steps:
            maps = seen.source.clone()
            maps[:, unit] = absent + float(step) * (maps[:, unit] - absent)
            with torch.no_grad():
                moves.append(_maxima(part.rerun(seen, rows, maps), wires) - value)
        measured.append(np.stack(moves, axis=1))
        above = np.zeros(tuple(seen.source.shape), np.float32)
        above[:, unit] = (seen.source[:, unit] - absent).cpu().numpy()
        predicted.append((steps - 1)[:, None] * wires.foretell(above)[:, None])
    dims = ("image", FACTOR, TARGET)
    return xr.Dataset(
        {"measured": (dims, np.concatenate(measured)), "predicted": (dims, np.concatenate(predicted))},
        coords={FACTOR: steps, TARGET: wires.units},
        attrs=_facts(wires, model, "relations.hold_unit", unit=unit),
    )


def _single(wires: Wiring, unit: int, target: int) -> Wiring:
    column = wires.column(target)
    if not 0 <= unit < len(wires.wired) or not wires.wired[unit, column]:
        raise UnknownNameError(
            f"No edge leads from unit {unit} of {wires.source} to unit {target} of {wires.target}; to that unit lead "
            f"{', '.join(map(str, np.flatnonzero(wires.wired[:, column])))}."
        )
    wired = np.zeros((len(wires.wired), 1), dtype=bool)
    wired[unit] = True
    placed = wires.placed[:, :, [column]] * wired[:, None] if len(wires.cell) else wires.placed
    return replace(
        wires, units=wires.units[[column]], wired=wired, slope=wires.slope[:, [column]] * wired, placed=placed
    )


def _maxima(values: torch.Tensor, wires: Wiring) -> NDArray[np.float64]:
    """(image, target) maxima of the wired targets, of (image, unit, position)."""
    chosen = torch.from_numpy(wires.units).to(values.device)
    return np.asarray(values[:, chosen].amax(dim=2).double().cpu().numpy())


def _ask(stop: Stop | None, done: int, count: int) -> None:
    if stop is not None and stop():
        raise Interrupted(f"Stopped after {done} of {count} pictures.")


def _facts(wires: Wiring, model: ImageModel, method: str, **more: Any) -> dict[str, Any]:
    return provenance(
        method=method, model=model.name, weights_hash=model.weights_hash, source=wires.source, target=wires.target,
        **more,
    )  # fmt: skip
