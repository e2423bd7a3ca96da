"""The columns of a relation graph: what an edge holds, how columns are made of rows, and what they must satisfy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import strings
from workbench.errors import DtypeError, InputError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE, EXEMPLAR = "edge", "exemplar"
KINDS = ("association", "spatial", "causal", "concept")
CONDITIONS = ("left of", "right of", "above", "below")
EFFECT_UNITS = {
    "association": "log2 of lift",
    "spatial": "share of the variance of displacement that pairing removes",
    "causal": "standard deviations of the target",
    "concept": "share of segments, above that of random concepts",
}
Node = tuple[str, int | str]
NO_UNIT = -1  # of an edge without partner
TEXTS = (
    "source_layer",
    "source_name",
    "target_layer",
    "target_name",
    "kind",
    "relation",
    "partner_layer",
    "partner_name",
    "condition",
    "category",
    "reason",
)
WHOLE = ("source_unit", "target_unit", "partner_unit", "images")
NUMBERS = ("effect", "low", "high", "p_value", "q_value", "offset_y", "offset_x")
REQUIRED = ("source_layer", "source_unit", "target_layer", "target_unit", "kind", "relation")


@dataclass(frozen=True)
class Edge:
    """One relation, from a source to a target, with its evidence; a row of a :class:`RelationGraph`.

    Attributes:
        source_layer: layer of the source.
        source_unit: index of the source within its layer, 0 or more: a unit, or a concept that lives there.
        target_layer: layer of the target.
        target_unit: index of the target within its layer.
        kind: how it was found: ``"association"``, ``"spatial"``, ``"causal"`` or ``"concept"``.
        relation: the word, read as "source, relation, target": ``"together"``; ``"left of"``, ``"right of"``,
            ``"above"``, ``"below"``, ``"inside"``, ``"around"``, ``"overlapping"``; ``"excites"``, ``"inhibits"``;
            ``"and"``, ``"or"``, ``"and-not"`` with a partner.
        effect: how strong, in the unit that the graph's attributes give for the kind; NaN where not tested. Of an edge
            with a condition, by how much stronger it is where the condition holds than where it does not.
        low: lower end of the 95 % interval of the effect; NaN where unknown.
        high: its upper end.
        p_value: in [0, 1]; NaN where not tested.
        q_value: the p-value after Benjamini-Hochberg over everything that was tested with it.
        images: number of images that the effect rests on.
        tested: whether there was enough to test.
        reason: why it was not tested, in words; "" where it was.
        offset_y: mean displacement of target minus source downwards, pixels of the network input; NaN: not spatial.
        offset_x: the same to the right.
        partner_layer: of an interaction or a condition, the layer of the other source; "" for none.
        partner_unit: its index; -1 for none.
        category: the category that more than half of the images belong to; "" for none.
        source_name: what the source is called, where it is a concept or has a name.
        target_name: the same of the target.
        partner_name: the same of the partner.
        condition: how the source must lie to the partner: ``"left of"``, ``"right of"``, ``"above"``, ``"below"``, read
            as "source excites target, when it lies left of partner"; "" for an edge without a condition.
        exemplars: identifiers of the images that show it best, the best first.
    """

    source_layer: str
    source_unit: int
    target_layer: str
    target_unit: int
    kind: str
    relation: str
    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p_value: float = np.nan
    q_value: float = np.nan
    images: int = 0
    tested: bool = True
    reason: str = ""
    offset_y: float = np.nan
    offset_x: float = np.nan
    partner_layer: str = ""
    partner_unit: int = NO_UNIT
    category: str = ""
    source_name: str = ""
    target_name: str = ""
    partner_name: str = ""
    condition: str = ""
    exemplars: tuple[str, ...] = ()

    @property
    def source(self) -> tuple[str, int]:
        """Layer and index of the source."""
        return self.source_layer, self.source_unit

    @property
    def target(self) -> tuple[str, int]:
        """Layer and index of the target."""
        return self.target_layer, self.target_unit

    @property
    def nodes(self) -> tuple[Node, Node]:
        """Source and target where a graph of all kinds is drawn: a concept of a layer is not its unit of that index."""
        if self.kind != "concept":
            return self.source, self.target
        names = (self.source_name or f"concept {self.source_unit}", self.target_name or f"concept {self.target_unit}")
        return (self.source_layer, names[0]), (self.target_layer, names[1])

    @property
    def partner(self) -> tuple[str, int] | None:
        """Layer and index of the other source of an interaction or a condition."""
        return None if self.partner_unit == NO_UNIT else (self.partner_layer, self.partner_unit)


DEFAULTS = {field.name: field.default for field in fields(Edge) if field.name not in (*REQUIRED, "exemplars")}


def as_edge(edge: Edge | Mapping[str, Any], number: int) -> Edge:
    """A row as an edge.

    Args:
        edge: an edge, or a mapping with the names of its attributes.
        number: of the row, for messages.

    Returns:
        The edge.

    Raises:
        InputError: unknown or missing names.
        DtypeError: neither an edge nor a mapping.
    """
    if isinstance(edge, Edge):
        return edge
    if not isinstance(edge, Mapping):
        raise DtypeError(f"row {number} is {type(edge).__name__}; expected a relations.Edge or a mapping.")
    known = {field.name for field in fields(Edge)}
    unknown, missing = sorted(set(edge) - known), [name for name in REQUIRED if name not in edge]
    if unknown or missing:
        what = f"the unknown {', '.join(unknown)}" if unknown else f"no {', '.join(missing)}"
        raise InputError(f"row {number} has {what}; expected the names of relations.Edge.")
    return Edge(**edge)


def common_length(columns: Mapping[str, Any]) -> int:
    """How many edges columns describe.

    Args:
        columns: name to one value an edge, or one value for all.

    Returns:
        The length of the columns; 1 where each is one value.

    Raises:
        ShapeError: columns of different lengths.
    """
    lengths = {name: len(value) for name, value in columns.items() if not isinstance(value, str) and np.ndim(value)}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"The columns have the lengths {lengths}; expected one value an edge in each.")
    return next(iter(lengths.values()), 1)


def column(name: str, values: Any, count: int) -> NDArray[Any]:
    """A column in its type.

    Args:
        name: of the column.
        values: one value an edge, or one for all.
        count: number of edges.

    Returns:
        (edge) object for texts, bool, int64 or float64.

    Raises:
        DtypeError: numbers that are not whole where whole ones are needed.
    """
    single = isinstance(values, str) or not np.ndim(values)
    if name in TEXTS:
        return strings([values] * count if single else values)
    kind = np.bool_ if name == "tested" else np.int64 if name in WHOLE else np.float64
    array = np.asarray(values)
    if name in WHOLE and array.size and (array.dtype.kind not in "iu"):
        raise DtypeError(f"{name} has dtype {array.dtype}; expected integers.")
    return np.array(np.broadcast_to(array, (count,)), dtype=kind)


def exemplar_table(exemplars: Sequence[Sequence[str]] | None, count: int) -> NDArray[np.object_]:
    """Exemplars of edges that have different numbers of them, as a table.

    Args:
        exemplars: identifiers of images, one sequence an edge.
        count: number of edges.

    Returns:
        (edge, exemplar) object, "" where an edge has fewer.

    Raises:
        ShapeError: another number of sequences than edges.
    """
    rows = [()] * count if exemplars is None else list(exemplars)
    if len(rows) != count:
        raise ShapeError(f"There are exemplars of {len(rows)} edges, and {count} edges; expected as many.")
    table = np.full((count, max((len(row) for row in rows), default=0)), "", dtype=object)
    for position, row in enumerate(rows):
        table[position, : len(row)] = strings(row)
    return table


def several(wanted: str | Sequence[str]) -> list[str]:
    """One text or several, as a list."""
    return [wanted] if isinstance(wanted, str) else [str(each) for each in wanted]


def check_kinds(kinds: Iterable[str]) -> None:
    """Refuse kinds of relations that there are not.

    Args:
        kinds: names of kinds.

    Raises:
        InputError: one is unknown.
    """
    unknown = [str(kind) for kind in kinds if kind not in KINDS]
    if unknown:
        raise InputError(f"The kind {unknown[0]!r} is not known; expected one of {', '.join(map(repr, KINDS))}.")


def check(dataset: xr.Dataset) -> None:
    """Refuse a dataset that is no graph.

    Args:
        dataset: the dataset.

    Raises:
        InputError: a variable is missing, or a value is out of range; the edge is named.
        ShapeError: a variable of other dimensions.
        DtypeError: no dataset, or a variable of the wrong type.
    """
    if not isinstance(dataset, xr.Dataset):
        raise DtypeError(f"A relation graph is made around an xarray.Dataset, not {type(dataset).__name__}.")
    names = (*REQUIRED, *DEFAULTS, "exemplars")
    missing = [name for name in names if name not in dataset]
    if missing:
        raise InputError(f"The dataset has no {missing[0]!r}; make graphs with RelationGraph.from_edges.")
    for name in names:
        wanted = (EDGE, EXEMPLAR) if name == "exemplars" else (EDGE,)
        if dataset[name].dims != wanted:
            raise ShapeError(f"{name} has the dimensions {dataset[name].dims}; expected {wanted}.")
    for name, kinds in (("tested", "b"), *((name, "iu") for name in WHOLE), *((name, "f") for name in NUMBERS)):
        if dataset[name].dtype.kind not in kinds:
            raise DtypeError(f"{name} has dtype {dataset[name].dtype}; expected one of the NumPy kinds {kinds!r}.")
    if "units" not in dataset["effect"].attrs:
        raise InputError("effect has no attribute 'units'; make graphs with RelationGraph.from_edges.")
    check_kinds(np.unique(dataset["kind"].values.astype(str)))
    _check_values(dataset)


def _check_values(dataset: xr.Dataset) -> None:
    value = {name: dataset[name].values for name in (*WHOLE, *NUMBERS, "tested")}
    empty = {
        name: dataset[name].values.astype(str) == "" for name in ("source_layer", "target_layer", "reason", "condition")
    }
    low, high, effect = value["low"], value["high"], value["effect"]
    conditions = {
        "has no layer": empty["source_layer"] | empty["target_layer"],
        "has a unit below 0": (value["source_unit"] < 0) | (value["target_unit"] < 0),
        "has a partner below -1": value["partner_unit"] < NO_UNIT,
        "has an unknown condition": ~empty["condition"] & ~np.isin(dataset["condition"].values.astype(str), CONDITIONS),
        "has a condition and no partner": ~empty["condition"] & (value["partner_unit"] == NO_UNIT),
        "rests on fewer than 0 images": value["images"] < 0,
        "has a p-value outside [0, 1]": (value["p_value"] < 0) | (value["p_value"] > 1),
        "has a q-value outside [0, 1]": (value["q_value"] < 0) | (value["q_value"] > 1),
        "has an interval that ends before it begins": low > high,
        "counts as tested without an effect": value["tested"] & np.isnan(effect),
        "counts as not tested without a reason": ~value["tested"] & empty["reason"],
        "counts as not tested and has a p-value": ~value["tested"] & ~np.isnan(value["p_value"]),
        "has an infinite effect": np.isinf(effect),
    }
    for what, wrong in conditions.items():
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            source, target = (
                f"{dataset[f'{role}_layer'].values[first]}:{value[f'{role}_unit'][first]}"
                for role in ("source", "target")
            )
            raise InputError(f"Edge {first}, from {source} to {target}, {what}; {int(wrong.sum())} edges are so.")
