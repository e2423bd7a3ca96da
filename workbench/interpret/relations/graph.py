"""The one result of every method that finds relations: typed, directed edges with their evidence."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import provenance, strings
from workbench.errors import DamagedFileError, InputError, MissingFileError, ShapeError
from workbench.interpret.relations.table import (
    DEFAULTS,
    EDGE,
    EFFECT_UNITS,
    EXEMPLAR,
    NO_UNIT,
    REQUIRED,
    TEXTS,
    Edge,
    as_edge,
    check,
    check_kinds,
    column,
    common_length,
    exemplar_table,
    several,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    import networkx as nx
    from numpy.typing import NDArray

FORMAT = 2
ADDED = {1: ("partner_name", "condition")}  # format to what edges did not have yet; all of it was empty


@dataclass(frozen=True, eq=False)
class RelationGraph:
    """Relations between units or concepts: one entry of ``edge`` each.

    Make one with :meth:`from_edges` or :meth:`from_columns`; iterate it to get each :class:`Edge`.

    Attributes:
        dataset: the variables of :class:`Edge`, each (edge), and ``exemplars`` (edge, exemplar), "" where there are
            fewer. ``effect`` has the attribute ``units``: kind to unit, as JSON. The dataset's attributes say where it
            comes from.
    """

    dataset: xr.Dataset

    def __post_init__(self) -> None:
        check(self.dataset)

    @classmethod
    def from_edges(
        cls, edges: Iterable[Edge | Mapping[str, Any]], *, units: Mapping[str, str] | None = None, **facts: Any
    ) -> RelationGraph:
        """Make a graph of rows.

        Args:
            edges: edges, or mappings with the names of :class:`Edge`'s attributes. There may be none.
            units: kind to the unit of its effects, where it is not that of ``EFFECT_UNITS``.
            **facts: where the edges come from, see :func:`~workbench.arrays.provenance`.

        Returns:
            The graph.

        Raises:
            InputError: a row with an unknown or a missing name, or a value out of range.
            DtypeError: a row that is neither.
        """
        rows = [as_edge(edge, number) for number, edge in enumerate(edges)]
        columns = {name: [getattr(row, name) for row in rows] for name in (*REQUIRED, *DEFAULTS)}
        return cls.from_columns(columns, exemplars=[row.exemplars for row in rows], units=units, **facts)

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Any],
        *,
        exemplars: Sequence[Sequence[str]] | None = None,
        units: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> RelationGraph:
        """Make a graph of columns, for many edges.

        Args:
            columns: name of an attribute of :class:`Edge` to one value an edge, or to one value for all of them; what
                is left out takes its default.
            exemplars: identifiers of images, one sequence an edge.
            units: kind to the unit of its effects, where it is not that of ``EFFECT_UNITS``.
            **facts: where the edges come from.

        Returns:
            The graph.

        Raises:
            InputError: an unknown or a missing column, or a value out of range.
            ShapeError: columns of different lengths.
        """
        unknown = [name for name in columns if name not in (*REQUIRED, *DEFAULTS)]
        missing = [name for name in REQUIRED if name not in columns]
        if unknown or missing:
            what = f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}"
            raise InputError(f"The columns of an edge are those of relations.Edge; {what}.")
        count = common_length(columns)
        variables = {
            name: (EDGE, column(name, columns.get(name, DEFAULTS.get(name)), count)) for name in (*REQUIRED, *DEFAULTS)
        }
        dataset = xr.Dataset(variables, attrs=provenance(format=FORMAT, **facts))
        dataset["exemplars"] = ((EDGE, EXEMPLAR), exemplar_table(exemplars, count))
        dataset["effect"].attrs["units"] = json.dumps({**EFFECT_UNITS, **(units or {})}, sort_keys=True)
        return cls(dataset)

    def __len__(self) -> int:
        return int(self.dataset.sizes[EDGE])

    def __iter__(self) -> Iterator[Edge]:
        return (self.edge(position) for position in range(len(self)))

    def __repr__(self) -> str:
        kinds, counts = np.unique(self.column("kind").astype(str), return_counts=True)
        each = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        left = int((~self.column("tested")).sum())
        return f"<RelationGraph: {len(self)} edges ({each or 'none'}){f', {left} not tested' if left else ''}>"

    def column(self, name: str) -> NDArray[Any]:
        """The values of one attribute of all edges.

        Args:
            name: an attribute of :class:`Edge`.

        Returns:
            (edge), or (edge, exemplar) for ``exemplars``.

        Raises:
            InputError: no such attribute.
        """
        if name not in self.dataset:
            raise InputError(f"An edge has no {name!r}; it has {', '.join(map(str, self.dataset.data_vars))}.")
        return np.asarray(self.dataset[name].values)

    def edge(self, position: int) -> Edge:
        """One edge.

        Args:
            position: from 0; negative counts from the end.

        Returns:
            The edge.

        Raises:
            InputError: no such edge.
        """
        if not -len(self) <= position < len(self):
            raise InputError(f"Edge {position} does not exist; the graph has {len(self)} edges.")
        row = {name: self.dataset[name].values[position] for name in (*REQUIRED, *DEFAULTS)}
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        shown = tuple(str(name) for name in self.dataset["exemplars"].values[position] if name)
        return Edge(**plain, exemplars=shown)

    @property
    def units(self) -> dict[str, str]:
        """Kind to the unit of its effects."""
        return {str(kind): str(unit) for kind, unit in json.loads(self.dataset["effect"].attrs["units"]).items()}

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        """Layer and index of every source, target and partner, in the order of their first appearance."""
        found: dict[tuple[str, int], None] = {}
        for role in ("source", "target", "partner"):
            layers, units = self.column(f"{role}_layer"), self.column(f"{role}_unit")
            for layer, unit in zip(layers, units, strict=True):
                if role != "partner" or unit != NO_UNIT:
                    found.setdefault((str(layer), int(unit)))
        return tuple(found)

    def take(self, positions: Any) -> RelationGraph:
        """Some edges, in the order given.

        Args:
            positions: integers, or (edge) bool.

        Returns:
            A graph of these edges.

        Raises:
            InputError: an edge that does not exist.
        """
        chosen = np.asarray(positions)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise ShapeError(
                    f"The choice has shape {chosen.shape}; expected one entry for each of {len(self)} edges."
                )
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64)
        if chosen.size and not (-len(self) <= chosen.min() and chosen.max() < len(self)):
            raise InputError(f"Edges {chosen.min()} to {chosen.max()} were asked for; the graph has {len(self)} edges.")
        return RelationGraph(self.dataset.isel({EDGE: chosen}))

    def significant(self, q: float = 0.05) -> RelationGraph:
        """The edges that were tested and whose q-value is small enough.

        Args:
            q: the largest share of false edges that is expected among them, in (0, 1].

        Returns:
            A graph of these edges.

        Raises:
            InputError: q out of range.
        """
        if not 0 < q <= 1:
            raise InputError(f"q is {q}; expected above 0 and at most 1.")
        # an untested edge has NaN here, which compares as False
        return self.take(self.column("tested") & (self.column("q_value") <= q))

    def filter(
        self,
        *,
        kind: str | Sequence[str] | None = None,
        relation: str | Sequence[str] | None = None,
        layer: str | Sequence[str] | None = None,
        source_layer: str | Sequence[str] | None = None,
        target_layer: str | Sequence[str] | None = None,
        unit: tuple[str, int] | None = None,
        category: str | Sequence[str] | None = None,
        conditional: bool | None = None,
        minimum_effect: float | None = None,
        minimum_images: int | None = None,
        tested: bool | None = None,
    ) -> RelationGraph:
        """The edges that satisfy every condition given.

        Args:
            kind: one kind, or several.
            relation: one word, or several.
            layer: the layer of source or target.
            source_layer: the layer of the source.
            target_layer: the layer of the target.
            unit: layer and index; as source, target or partner.
            category: the category that most images of the edge belong to.
            conditional: only edges with a condition, or only those without.
            minimum_effect: smallest magnitude of the effect; edges that were not tested have none.
            minimum_images: smallest number of images.
            tested: only edges that were tested, or only those that were not.

        Returns:
            A graph of these edges; maybe of none.

        Raises:
            InputError: an unknown kind, or a limit below 0.
        """
        keep = np.ones(len(self), dtype=bool)
        if kind is not None:
            check_kinds(several(kind))
        conditions = {"kind": kind, "relation": relation, "category": category}
        conditions |= {"source_layer": source_layer, "target_layer": target_layer}
        for name, wanted in conditions.items():
            if wanted is not None:
                keep &= np.isin(self.column(name).astype(str), several(wanted))
        if layer is not None:
            ends = [np.isin(self.column(f"{role}_layer").astype(str), several(layer)) for role in ("source", "target")]
            keep &= ends[0] | ends[1]
        if unit is not None:
            keep &= self._touches(*unit)
        for name, limit, values in (
            ("minimum_effect", minimum_effect, np.abs(self.column("effect"))),
            ("minimum_images", minimum_images, self.column("images")),
        ):
            if limit is not None:
                if not limit >= 0:
                    raise InputError(f"{name} is {limit}; expected 0 or more: it is compared with the magnitude.")
                keep &= values >= limit
        if tested is not None:
            keep &= self.column("tested") == tested
        if conditional is not None:
            keep &= (self.column("condition").astype(str) != "") == conditional
        return self.take(keep)

    def _touches(self, layer: str, unit: int) -> NDArray[np.bool_]:
        touched = np.zeros(len(self), dtype=bool)
        for role in ("source", "target", "partner"):
            touched |= (self.column(f"{role}_layer") == layer) & (self.column(f"{role}_unit") == unit)
        return touched

    def strongest(self, count: int) -> RelationGraph:
        """The edges of the largest effects, each compared within its kind, since the units of effects differ.

        Args:
            count: at most so many, at least 1.

        Returns:
            A graph of these edges: the strongest of each kind first, then the second of each kind, and so on.

        Raises:
            InputError: a count below 1.
        """
        if count < 1:
            raise InputError(f"count is {count}; expected at least 1.")
        size, kinds = np.nan_to_num(np.abs(self.column("effect")), nan=-1.0), self.column("kind").astype(str)
        rank = np.empty(len(self), dtype=np.int64)
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            rank[rows[np.argsort(-size[rows], kind="stable")]] = np.arange(len(rows))
        return self.take(np.argsort(rank, kind="stable")[:count])

    def named(self, names: Mapping[tuple[str, int], str]) -> RelationGraph:
        """The same edges, with names of units: from dissection, captions, or categories for the last layer.

        Args:
            names: layer and index of a unit to its name; "" or no entry leaves the name as it is. Concepts keep theirs.

        Returns:
            The graph.
        """
        units = self.column("kind").astype(str) != "concept"
        changed = {}
        for role in ("source", "target", "partner"):
            ends = zip(self.column(f"{role}_layer"), self.column(f"{role}_unit"), strict=True)
            given = strings(names.get((str(layer), int(unit)), "") for layer, unit in ends)
            changed[f"{role}_name"] = (EDGE, np.where(units & (given != ""), given, self.column(f"{role}_name")))
        return RelationGraph(self.dataset.assign(changed))

    def to_networkx(self) -> nx.MultiDiGraph:
        """The graph for networkx.

        Returns:
            A MultiDiGraph. Nodes are ``(layer, index)``, or ``(layer, name)`` for a concept, with the attributes
            ``layer``, ``unit`` and ``name``; edges have the attributes of :class:`Edge`; their keys are their
            positions here. The graph's attributes are those of the dataset.
        """
        import networkx as nx

        result = nx.MultiDiGraph(**self.dataset.attrs)
        for position, edge in enumerate(self):
            values = {field.name: getattr(edge, field.name) for field in fields(edge)}
            result.add_edge(*edge.nodes, key=position, **values)
            ends = [
                *zip(
                    edge.nodes, (edge.source_unit, edge.target_unit), (edge.source_name, edge.target_name), strict=True
                )
            ]
            if edge.partner is not None:
                ends.append((edge.partner, edge.partner_unit, edge.partner_name))
            for node, unit, name in ends:
                known = result.nodes[node].get("name", "") if node in result else ""
                result.add_node(node, layer=node[0], unit=unit, name=name or known)
        return result

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the graph as a Zarr group.

        Args:
            path: a folder that does not exist yet.
            overwrite: replace what lies there, if that is a graph.

        Returns:
            The path.

        Raises:
            InputError: something lies there already.
        """
        path = Path(path)
        if path.exists():
            if not overwrite:
                raise InputError(f"{path} exists already. Choose another path, or pass overwrite=True.")
            RelationGraph.open(path)  # refuses to replace anything else
        self.dataset.to_zarr(path, mode="w", consolidated=False, zarr_format=3)
        return path

    @classmethod
    def open(cls, path: str | PathLike[str]) -> RelationGraph:
        """Read a graph that was saved.

        Args:
            path: where it lies.

        Returns:
            The graph, in memory.

        Raises:
            MissingFileError: nothing lies there.
            DamagedFileError: something else lies there.
        """
        path = Path(path)
        if not path.exists():
            raise MissingFileError(f"{path} does not exist; expected a graph that RelationGraph.save wrote.")
        try:
            dataset = xr.open_zarr(path, consolidated=False, chunks=None).load()
        except (OSError, KeyError, ValueError) as error:
            raise DamagedFileError(f"{path} cannot be read as a relation graph: {error}") from error
        found = dataset.attrs.get("format")
        if found in ADDED:
            empty = strings([""] * dataset.sizes[EDGE])
            dataset = dataset.assign(dict.fromkeys(ADDED[found], (EDGE, empty))).assign_attrs(format=FORMAT)
        elif found != FORMAT:
            raise DamagedFileError(f"{path} has the format {found!r}; expected {FORMAT}, a relation graph.")
        # an array without rows comes back without its type
        typed = {name: dataset[name].astype(object) for name in (*TEXTS, "exemplars") if name in dataset}
        return cls(dataset.assign(typed))

    @classmethod
    def concatenate(cls, graphs: Sequence[RelationGraph]) -> RelationGraph:
        """The edges of several graphs, one after the other; q-values stay those of each graph.

        Args:
            graphs: at least one. Where attributes differ, the result holds them all, as JSON.

        Returns:
            One graph.

        Raises:
            InputError: no graph, or effects of one kind in different units.
        """
        if not graphs:
            raise InputError("There is no graph to concatenate; expected at least one.")
        units: dict[str, str] = {}
        for graph in graphs:
            for kind in np.unique(graph.column("kind").astype(str)):
                if units.setdefault(str(kind), graph.units[str(kind)]) != graph.units[str(kind)]:
                    raise InputError(
                        f"The effects of kind {kind!r} are in {units[str(kind)]!r} and in {graph.units[str(kind)]!r}; "
                        "they cannot stand in one graph."
                    )
        columns = {name: np.concatenate([graph.column(name) for graph in graphs]) for name in (*REQUIRED, *DEFAULTS)}
        exemplars = [row for graph in graphs for row in graph.column("exemplars")]
        return cls.from_columns(columns, exemplars=exemplars, units=units, **_merged([g.dataset.attrs for g in graphs]))


def _merged(attributes: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """One value where all agree, a list of those that occur otherwise."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(str(key) for each in attributes for key in each):
        if key in ("versions", "format"):
            continue
        seen = list(dict.fromkeys(each[key] for each in attributes if key in each))
        merged[key] = seen[0] if len(seen) == 1 else seen
    return merged
