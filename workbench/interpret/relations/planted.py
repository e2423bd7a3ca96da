"""Networks wired by hand, in which every relation is known: the truth that methods are held to.

Layer 1 sees primitives, small patterns, each of its units one of them. Layer 2 combines them at planted offsets: its
units are gates. The classifier adds gates up. Between all of them stand small random weights, and beside the wired
primitives there are others that always appear with them without being wired. Written before any method was, with the
grid of parameters on which methods are compared.

How a gate of the sources ``a`` and ``b`` (1 where a primitive is seen at its place, 0 elsewhere) answers:

=========  ==========================  ==========================================
operator   answer                      ``a`` and ``b``, ``a`` alone, ``b`` alone
=========  ==========================  ==========================================
and        relu(a + b - 1.5)           0.5, 0, 0
or         relu(a + b - 0.5)           1.5, 0.5, 0.5; saturating: 0.5, 0.5, 0.5
and-not    relu(a - b - 0.5)           0, 0.5, 0
alone      relu(a - 0.5)               0.5 wherever ``a`` is
=========  ==========================  ==========================================
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
import xarray as xr

from workbench.arrays import CHANNEL, IMAGE, X, Y, provenance, strings
from workbench.errors import InputError
from workbench.interpret.relations.graph import RelationGraph
from workbench.interpret.relations.planted_network import REACH, SIDE, PlantedNetwork, wire
from workbench.interpret.relations.planted_pictures import Canvas
from workbench.interpret.relations.table import Edge
from workbench.models import Preprocessing, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from workbench.models import ImageModel

Operator = Literal["and", "or", "and-not", "alone"]
Confounding = Literal["place", "image"]
PRIMITIVES, GATES, CATEGORIES = "layer1", "layer2", "classifier"
CONTRAST = 0.4  # of a primitive in a picture from 0 to 1; what is left above and below is for the noise
LIKENESS = 0.4  # most that two primitives may correlate, at any displacement
GRID: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "images": (100, 300, 1_000, 2_000, 10_000),
        "noise": (0.0, 0.05, 0.1, 0.2, 0.4),
        "saturating": (False, True),
        "confounding": ("place", "image"),
        "seed": tuple(range(10)),
    }
)


@dataclass(frozen=True)
class Parameters:
    """What a planted circuit is like.

    Attributes:
        seed: of everything that is drawn: primitives, places, wiring, noise weights.
        conjunctions: gates of the operator "and".
        disjunctions: gates of the operator "or".
        exclusions: gates of the operator "and-not".
        redundant: gates of the operator "or" that saturate and whose sources always appear together: switching off
            either changes nothing, switching off both does.
        confounded: gates of one source that never appears without a second primitive, which is not wired.
        idle: units of layer 2 without any planted source.
        categories: outputs, each with two gates for it and one against it.
        shared: primitives that "and", "or" and "and-not" gates draw their sources from.
        noise: standard deviation of the weights that are not planted, as a share of the planted weight, which is 1;
            it is also added to the planted ones.
        saturating: whether every gate stops at 0.5, as a logical gate would, or goes on rising as a plain ReLU.
        confounding: whether the second primitive of a confounded pair has a fixed place beside the first, or is
            anywhere in the image.
        size: side of the pictures in pixels.
        events: arrangements of a gate's sources in a picture, each of another gate.
        distractors: mean number of further primitives in a picture, anywhere.
        pixel_noise: standard deviation of the noise of pixels, where primitives reach from -1 to 1.
    """

    seed: int = 0
    conjunctions: int = 2
    disjunctions: int = 2
    exclusions: int = 2
    redundant: int = 1
    confounded: int = 2
    idle: int = 3
    categories: int = 3
    shared: int = 6
    noise: float = 0.1
    saturating: bool = False
    confounding: Confounding = "place"
    size: int = 32
    events: int = 3
    distractors: float = 1.0
    pixel_noise: float = 0.05

    def __post_init__(self) -> None:
        paired = self.conjunctions + self.disjunctions + self.exclusions
        counts = (self.conjunctions, self.disjunctions, self.exclusions, self.redundant, self.confounded, self.idle)
        if min(counts) < 0 or self.gates < 3 or self.categories < 1:
            raise InputError(f"{counts} gates, {self.categories} categories; expected 3 wired gates and 1 category.")
        if paired > self.shared * (self.shared - 1) // 2:
            raise InputError(
                f"{paired} gates of two sources need different pairs; {self.shared} primitives are too few."
            )
        if self.size < 2 * (REACH + SIDE) + 4:
            raise InputError(f"size is {self.size}; expected at least {2 * (REACH + SIDE) + 4}, for a gate's reach.")
        if not 1 <= self.events <= self.gates or self.distractors < 0 or self.noise < 0 or self.pixel_noise < 0:
            raise InputError(
                f"events is {self.events} of {self.gates} gates, distractors {self.distractors}, noise {self.noise}, "
                f"pixel_noise {self.pixel_noise}; expected at least one event, and nothing below 0."
            )
        if self.confounding not in get_args(Confounding):
            raise InputError(f"confounding is {self.confounding!r}; expected 'place' or 'image'.")

    @property
    def gates(self) -> int:
        """Number of gates that are wired."""
        return self.conjunctions + self.disjunctions + self.exclusions + self.redundant + self.confounded

    @property
    def primitives(self) -> int:
        """Number of primitives."""
        return self.shared + 2 * self.redundant + 2 * self.confounded


@dataclass(frozen=True)
class Gate:
    """One wired unit of layer 2.

    Attributes:
        unit: its index in layer 2.
        operator: how it combines its sources.
        sources: units of layer 1; of "and-not", the second is the one that must be absent.
        offsets: where each source lies, seen from the gate, (y, x) pixels.
        redundant: whether it saturates and both sources always appear together.
        companion: the primitive that always appears with the source without being wired; -1 for none.
        companion_offset: where it lies, seen from the gate, where its place is fixed.
    """

    unit: int
    operator: Operator
    sources: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    redundant: bool = False
    companion: int = -1
    companion_offset: tuple[int, int] = (0, 0)

    @property
    def weights(self) -> tuple[float, ...]:
        """The planted weight of each source."""
        return (1.0, -1.0) if self.operator == "and-not" else (1.0,) * len(self.sources)


@dataclass(frozen=True, eq=False)
class PlantedCircuit:
    """A network in which every relation is known, made by :func:`plant`, and pictures for it.

    Attributes:
        parameters: what it was made of.
        patterns: (primitive, y, x, channel) int8, -1 or 1.
        gates: the wired units of layer 2.
        wiring: (category, unit) int8: 1 for a gate that speaks for the category, -1 against it, 0 not planted.
        module: the network.
    """

    parameters: Parameters
    patterns: NDArray[np.int8]
    gates: tuple[Gate, ...]
    wiring: NDArray[np.int8]
    module: PlantedNetwork

    @cached_property
    def model(self) -> ImageModel:
        """The network with its preprocessing: primitives reach from -1 to 1 in what it sees."""
        names = [f"category {index}" for index in range(self.parameters.categories)]
        preprocessing = Preprocessing(resize=(self.parameters.size,) * 2, mean=0.5, std=CONTRAST)
        name = f"planted {self.parameters.seed}"
        return load(self.module, categories=names, preprocessing=preprocessing, name=name)

    @cached_property
    def truth(self) -> RelationGraph:
        """Every planted relation, as a method that made no mistake would report it.

        From layer 1 to layer 2 and from layer 2 to the classifier, "excites" and "inhibits", with the planted weight
        as the effect and, where there is a place, the displacement of gate minus source; and one edge for each gate
        of two sources with its operator, the second source as the partner.
        """
        edges = [edge for gate in self.gates for edge in _edges_of(gate)]
        for category, unit in zip(*np.nonzero(self.wiring), strict=True):
            weight = float(self.wiring[category, unit])
            edges.append(Edge(GATES, int(unit), CATEGORIES, int(category), "causal", _sign(weight), weight))
        units = {"causal": "planted weight"}
        return RelationGraph.from_edges(edges, units=units, method="planted", parameters=asdict(self.parameters))

    @property
    def confounded_pairs(self) -> tuple[tuple[int, int], ...]:
        """Unit of layer 1 and unit of layer 2 that always act together, without a wire from one to the other."""
        return tuple((gate.companion, gate.unit) for gate in self.gates if gate.companion >= 0)

    def images(self, count: int, *, seed: int = 0) -> xr.Dataset:
        """Draw pictures in which primitives are arranged as the gates want them, and as they do not.

        Args:
            count: number of pictures, at least 1.
            seed: of the pictures; each is the same however many are drawn.

        Returns:
            ``pixels`` (image, y, x, channel) uint8; ``primitive``, ``centre_y``, ``centre_x`` (image, place) int64:
            which primitive was painted where, -1 where fewer were. The coordinate ``image`` names them.

        Raises:
            InputError: a count below 1.
        """
        if count < 1:
            raise InputError(f"count is {count}; expected at least 1 picture.")
        size = self.parameters.size
        pixels = np.empty((count, size, size, 3), dtype=np.uint8)
        placed = []
        for index in range(count):
            generator = np.random.default_rng([self.parameters.seed, seed, index])
            placements = Canvas(self, generator).fill()
            pixels[index] = self._paint(placements, generator)
            placed.append(placements)
        table = np.full((3, count, max(map(len, placed))), -1, dtype=np.int64)
        for index, placements in enumerate(placed):
            table[:, index, : len(placements)] = np.array(placements, dtype=np.int64).reshape(-1, 3).T
        names = ("primitive", "centre_y", "centre_x")
        return xr.Dataset(
            {
                "pixels": ((IMAGE, Y, X, CHANNEL), pixels),
                **{name: ((IMAGE, "place"), values) for name, values in zip(names, table, strict=True)},
            },
            coords={IMAGE: strings(f"planted {self.parameters.seed}-{seed}-{index}" for index in range(count))},
            attrs=provenance(method="planted", parameters=asdict(self.parameters), seed=seed),
        )

    def _paint(self, placements: list[tuple[int, int, int]], generator: np.random.Generator) -> NDArray[np.uint8]:
        size, half = self.parameters.size, SIDE // 2
        canvas = generator.normal(scale=self.parameters.pixel_noise, size=(size, size, 3))
        for primitive, row, column in placements:
            canvas[row - half : row + half + 1, column - half : column + half + 1] += self.patterns[primitive]
        return np.asarray(np.clip(np.rint(255 * (0.5 + CONTRAST * canvas)), 0, 255), dtype=np.uint8)


def plant(parameters: Parameters | None = None) -> PlantedCircuit:
    """Wire a network by hand.

    Args:
        parameters: what it shall be like; the reference circuit where omitted.

    Returns:
        The circuit, the same for the same parameters. The wiring depends on the seed and the numbers of gates alone,
        so that noise, saturation and pictures can be varied around one wiring.
    """
    parameters = parameters or Parameters()
    generator = np.random.default_rng(parameters.seed)
    patterns = _patterns(parameters.primitives, generator)
    units = parameters.gates + parameters.idle
    gates = _gates(parameters, generator.permutation(parameters.primitives), generator.permutation(units), generator)
    wiring = np.zeros((parameters.categories, units), dtype=np.int8)
    wired = [gate.unit for gate in gates]
    for category in range(parameters.categories):
        wiring[category, generator.choice(wired, size=3, replace=False)] = (1, 1, -1)
    module = wire(parameters, patterns, gates, wiring, generator)
    return PlantedCircuit(parameters, patterns, gates, wiring, module)


def grid(reference: Parameters | None = None) -> Iterator[tuple[int, Parameters]]:
    """The circuits and numbers of images on which methods are compared: see ``GRID``.

    Each axis is varied alone around the reference of 2,000 images, noise 0.1, plain gates and fixed places, each
    combination with every seed.

    Args:
        reference: what is not varied.

    Yields:
        A number of images, and the parameters of a circuit; the reference first, none twice.
    """
    base = reference or Parameters()
    seen: set[tuple[int, Parameters]] = set()
    varied: list[tuple[int, dict[str, Any]]] = [(2_000, {})]
    varied += [(images, {}) for images in GRID["images"]]
    varied += [(2_000, {axis: value}) for axis in ("noise", "saturating", "confounding") for value in GRID[axis]]
    for (images, changes), seed in product(varied, GRID["seed"]):
        setting = (images, replace(base, seed=seed, **changes))
        if setting not in seen:
            seen.add(setting)
            yield setting


def _sign(weight: float) -> str:
    return "excites" if weight > 0 else "inhibits"


def _edges_of(gate: Gate) -> Iterator[Edge]:
    for source, (row, column), weight in zip(gate.sources, gate.offsets, gate.weights, strict=True):
        yield Edge(
            PRIMITIVES, source, GATES, gate.unit, "causal", _sign(weight), weight,
            offset_y=-float(row), offset_x=-float(column),
        )  # fmt: skip
    if len(gate.sources) == 2:
        first, second = gate.sources
        yield Edge(
            PRIMITIVES, first, GATES, gate.unit, "causal", gate.operator, 1.0,
            partner_layer=PRIMITIVES, partner_unit=second,
        )  # fmt: skip


def _patterns(count: int, generator: np.random.Generator) -> NDArray[np.int8]:
    """(primitive, y, x, channel) of -1 and 1, none like another at any displacement."""
    chosen: list[NDArray[np.int8]] = []
    while len(chosen) < count:
        candidate = generator.choice(np.array([-1, 1], dtype=np.int8), size=(SIDE, SIDE, 3))
        if all(_likeness(candidate, other) <= LIKENESS for other in chosen):
            chosen.append(candidate)
    return np.stack(chosen)


def _likeness(first: NDArray[np.int8], second: NDArray[np.int8]) -> float:
    """The greatest correlation of two patterns over all displacements, as a share of a perfect match."""
    both = (torch.from_numpy(each.astype(np.float32)).permute(2, 0, 1) for each in (first, second))
    left, right = both
    found = torch.nn.functional.conv2d(left[None], right[None], padding=SIDE - 1)
    return float(found.max()) / first.size


def _gates(
    parameters: Parameters, primitives: NDArray[np.int64], units: NDArray[np.int64], generator: np.random.Generator
) -> tuple[Gate, ...]:
    """The gates, their sources and places; which primitive and which unit plays which role was drawn before."""
    free, special = primitives[: parameters.shared].tolist(), iter(primitives[parameters.shared :].tolist())
    pairs = [(first, second) for position, first in enumerate(free) for second in free[position + 1 :]]
    drawn = iter(generator.permutation(len(pairs)).tolist())
    named: list[tuple[Operator, int]] = [
        ("and", parameters.conjunctions),
        ("or", parameters.disjunctions),
        ("and-not", parameters.exclusions),
    ]
    numbers = iter(units.tolist())
    gates = []
    for operator, count in named:
        for _ in range(count):
            first, second = generator.permutation(pairs[next(drawn)]).tolist()
            gates.append(Gate(next(numbers), operator, (first, second), _places(generator)))
    gates += [
        Gate(next(numbers), "or", (next(special), next(special)), _places(generator), redundant=True)
        for _ in range(parameters.redundant)
    ]
    for _ in range(parameters.confounded):
        source, companion = next(special), next(special)
        here, beside = _places(generator)
        gates.append(Gate(next(numbers), "alone", (source,), (here,), companion=companion, companion_offset=beside))
    return tuple(gates)


def _places(generator: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two places within reach, so far apart that primitives do not touch."""
    while True:
        first, second = generator.integers(-REACH, REACH + 1, size=(2, 2)).tolist()
        if max(abs(first[0] - second[0]), abs(first[1] - second[1])) > SIDE:
            return (first[0], first[1]), (second[0], second[1])
