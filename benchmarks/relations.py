"""Relations found in planted circuits, where every one is known: association, places, causes.

    python benchmarks/relations.py [--seeds 10] [--reference 92] [--most 10000] [--minutes 30]
        [--output docs/benchmarks/relations.md]
    python benchmarks/relations.py --speed [--output docs/benchmarks/relations_speed.md]

Circuits, pictures and the grid are those of ``workbench.interpret.relations.planted``, which was committed before any
of the methods. Each row is one setting of the grid, averaged over circuits of different seeds, with a 95 % bootstrap
interval over circuits where there are three or more. All methods run with their defaults, at q = 0.05.

*Edges* are directed, from layer 1 to layer 2 and from layer 2 to the classifier (places: the first only), found if
significant, whatever their sign. *AUPRC* ranks all pairs by the magnitude of their effect. *Sign* is the share of
right signs among true edges that were found; an association or a place has none but "goes together". *Operator* is the
share of planted and, or, and-not that were found and named rightly, those of redundant sources among them. *Offset* is
the median over true exciting edges of the distance from the planted displacement, in pixels. *SHD* counts edges missed,
edges too many, and wrong signs. *Confounded* is the share of pairs reported as edges though only a companion is wired.
*By noise* is the share of the edges too many whose noise weight, in their direction, is at least half of the planted
weight. *Sides* is the share of the conditions of "and" gates that were found: that a source acts where it lies on the
planted side of the other, along each axis, for both sources. *False sides* counts conditions on what drives the
classifier, which reads maxima, so that no place matters to it.

An edge that was not planted can be there all the same: noise is wired. A source is marginal if it does less than half
of what the strongest source of the same target does (`least_share`); a target without any planted source has a
strongest source too. No floor over all targets is set, since the scales of a layer's units say nothing in a network at
large.

Every finished circuit is kept in benchmarks/results/relations.jsonl, so that the same command goes on where it stopped;
a line is used only if it was made by the code as it is now.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy import stats as scipy_stats
from threadpoolctl import threadpool_limits

from workbench.interpret import relations
from workbench.interpret.relations.planted import (
    CATEGORIES,
    GATES,
    GRID,
    PRIMITIVES,
    Parameters,
    PlantedCircuit,
    grid,
    plant,
)
from workbench.interpret.relations.planted_network import REACH
from workbench.stats import average_precision, bootstrap
from workbench.store import ActivationStore

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results" / "relations.jsonl"
NOT_MEASURED = (
    "__init__",
    "comparison",
    "counterfactual",
    "naming",
    "sentences",
    "concept",
    "directions",
    "itemsets",
)  # files that the figures do not depend on
METHODS = ("association", "spatial", "causal")
LAYERS = [PRIMITIVES, GATES, CATEGORIES]
REFERENCE: dict[str, Any] = {"images": 2_000, "noise": 0.1, "saturating": False, "confounding": "place"}
METRICS = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "auprc": "AUPRC",
    "sign": "sign",
    "operator": "operator",
    "offset": "offset, px",
    "shd": "SHD",
    "by_noise": "by noise",
    "sides": "sides",
    "false_sides": "false sides",
    "confounded": "confounded",
    "seconds": "processor s",
}
# what the goals are: metric, method, and whether at least or at most
BARS = (
    ("F1 of causal edges", "causal", "f1", ">=", 0.95),
    ("sign accuracy of causal edges", "causal", "sign", ">=", 0.99),
    ("operator accuracy", "causal", "operator", ">=", 0.9),
    ("median offset error of places, pixels", "spatial", "offset", "<=", 1.0),
    ("median offset error of causal edges, pixels", "causal", "offset", "<=", 1.0),
    ("confounded pairs reported as causal", "causal", "confounded", "<=", 0.02),
    ("confounded pairs reported as associated", "association", "confounded", ">=", 0.5),
)


def measure(images: int, parameters: Parameters) -> dict[str, Any]:
    """All methods on one circuit."""
    circuit = plant(parameters)
    pictures = circuit.images(images)
    row: dict[str, Any] = {"images": images, **asdict(parameters)}
    with tempfile.TemporaryDirectory() as folder:
        store = ActivationStore.extract(
            circuit.model, pictures, layers=LAYERS, path=f"{folder}/store", dtype="float32", progress=False
        )
        for method in METHODS:
            began = time.process_time()
            graph = relations.discover(store, circuit.model, pictures, kinds=method, layers=LAYERS)
            row[method] = {**judge(circuit, graph, method), "seconds": time.process_time() - began}
    return row


def judge(circuit: PlantedCircuit, graph: relations.RelationGraph, method: str) -> dict[str, float | None]:
    """One graph against the truth."""
    sources = {PRIMITIVES} if method == "spatial" else {PRIMITIVES, GATES}
    truth = {(edge.source, edge.target): edge for edge in circuit.truth if edge.partner is None}
    truth = {ends: edge for ends, edge in truth.items() if ends[0][0] in sources}
    every = {(edge.source, edge.target): edge for edge in graph if edge.partner is None}
    found = {(edge.source, edge.target): edge for edge in graph.significant() if edge.partner is None}
    hits = sorted(set(truth) & set(found))
    precision = len(hits) / len(found) if found else None
    recall = len(hits) / len(truth)
    right = [sign(found[ends].relation) == sign(truth[ends].relation) for ends in hits]
    missed, extra = len(truth) - len(hits), len(found) - len(hits)
    ordered = sorted(every)
    scores = [abs(every[ends].effect) if every[ends].tested else 0.0 for ends in ordered]
    causal = method == "causal"
    places = sides(circuit, graph) if causal else (None, None)
    companions = [((PRIMITIVES, source), (GATES, target)) for source, target in circuit.confounded_pairs]
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * len(hits) / (len(found) + len(truth)),
        "auprc": float(average_precision(np.array(scores), np.array([ends in truth for ends in ordered]))),
        "sign": float(np.mean(right)) if right and method == "causal" else None,
        "operator": operators(circuit, graph) if method == "causal" else None,
        "offset": offset_error(truth, found),
        "shd": missed + extra + (right.count(False) if method == "causal" else 0),
        "by_noise": by_noise(circuit, [found[ends] for ends in sorted(set(found) - set(truth))]) if causal else None,
        "sides": places[0],
        "false_sides": places[1],
        "confounded": float(np.mean([ends in found for ends in companions])),
    }


def sign(relation: str) -> int:
    return -1 if relation == "inhibits" else 1


def operators(circuit: PlantedCircuit, graph: relations.RelationGraph) -> float:
    """Share of planted operators that were found, between the right units, in the right order where it matters."""
    found = {joined(edge) for edge in graph.significant() if edge.partner is not None}
    planted = [joined(edge) for edge in circuit.truth if edge.partner is not None]
    return float(np.mean([each in found for each in planted]))


def joined(edge: relations.Edge) -> tuple[Any, ...]:
    ends = [edge.source, edge.partner]
    return edge.target, edge.relation, tuple(ends if edge.relation == "and-not" else sorted(ends, key=str))


def by_noise(circuit: PlantedCircuit, extra: list[relations.Edge]) -> float | None:
    """Share of edges that were not planted whose own weight is at least half of a planted one; None without such."""
    weights = {GATES: circuit.module.layer2[0].weight.detach(), CATEGORIES: circuit.module.classifier.weight.detach()}
    wired = [
        float((weights[edge.target_layer][edge.target_unit, edge.source_unit] * sign(edge.relation)).max()) >= 0.5
        for edge in extra
    ]
    return float(np.mean(wired)) if wired else None


def sides(circuit: PlantedCircuit, graph: relations.RelationGraph) -> tuple[float, int]:
    """Share of planted conditions that were found, and how many were found where there can be none."""
    found = [edge for edge in graph.significant() if edge.condition]
    right = {(edge.source, edge.target, edge.partner, edge.condition) for edge in found}
    return float(np.mean([each in right for each in planted_sides(circuit)])), sum(
        edge.target_layer == CATEGORIES for edge in found
    )


def planted_sides(circuit: PlantedCircuit) -> list[tuple[Any, ...]]:
    """Source, gate, other source and side of each condition that an "and" gate sets, along either axis."""
    planted = []
    for gate in circuit.gates:
        if gate.operator != "and":
            continue
        for own, other in ((0, 1), (1, 0)):
            for axis, (first, second) in enumerate((("above", "below"), ("left of", "right of"))):
                away = gate.offsets[own][axis] - gate.offsets[other][axis]
                if away:
                    ends = [(PRIMITIVES, gate.sources[each]) for each in (own, other)]
                    planted.append((ends[0], (GATES, gate.unit), ends[1], first if away < 0 else second))
    return planted


def offset_error(truth: dict[Any, relations.Edge], found: dict[Any, relations.Edge]) -> float | None:
    """Median distance from the planted displacement, over true exciting edges with a place."""
    errors = []
    for ends, planted in truth.items():
        if ends in found and planted.relation == "excites" and not np.isnan(planted.offset_y):
            edge = found[ends]
            errors.append(np.hypot(edge.offset_y - planted.offset_y, edge.offset_x - planted.offset_x))
    return float(np.median(errors)) if errors and np.isfinite(errors).all() else None


def code_hash() -> str:
    """Of the methods and the truth: results of other code are not mixed in."""
    files = sorted((ROOT / "workbench" / "interpret" / "relations").glob("*.py"))
    measured = [path for path in files if not path.stem.startswith(NOT_MEASURED)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in measured)).hexdigest()[:16]


def settings(seeds: int, most: int, reference: int = 0) -> list[tuple[int, Parameters]]:
    """The grid: circuits of which something is asked first, then one of every other setting, a second, and so on.

    Further circuits of the reference come before the second.
    """
    chosen = [(images, each) for images, each in grid() if images <= most and each.seed < seeds]
    beyond = range(max(seeds, max(GRID["seed"]) + 1), reference) if REFERENCE["images"] <= most else ()
    chosen += [(REFERENCE["images"], Parameters(seed=seed)) for seed in beyond]

    def turn(setting: tuple[int, Parameters]) -> int:
        images, parameters = setting
        row = {"images": images, **asdict(parameters)}
        if matching([row]) or matching([row], saturating=True):
            if parameters.seed > max(GRID["seed"]):
                return 1
            return -1 if parameters.seed < 5 else 2 * (parameters.seed - 4)
        return 2 * parameters.seed + 3 * (images > REFERENCE["images"])

    return sorted(chosen, key=turn)  # stable


def run(seeds: int, most: int, reference: int, minutes: float) -> list[dict[str, Any]]:
    """Measure what is not measured yet, as long as there is time."""
    code, until = code_hash(), time.monotonic() + 60 * minutes
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
    kept = [row for row in map(json.loads, lines) if row["code"] == code]
    for images, parameters in settings(seeds, most, reference):
        key = {"images": images, **asdict(parameters)}
        if any(all(row[name] == value for name, value in key.items()) for row in kept):
            continue
        if time.monotonic() > until:
            break
        row = {**measure(images, parameters), "code": code, "load": os.getloadavg()[0]}
        kept.append(row)
        print(json.dumps({name: row[name] for name in ("images", "seed", "noise", "causal")}), flush=True)
        with KEPT.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return kept


def estimate(values: list[float | None]) -> str:
    """Mean with its interval; the number of circuits where it is not that of the row."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{np.mean(known):.3g}"
    if len(known) >= 3 and np.ptp(known) > 0:
        found = bootstrap(np.array(known, dtype=np.float64))
        mean += f" ({found.low:.3g} to {found.high:.3g})"
    return mean if len(known) == len(values) else f"{mean}, n = {len(known)}"


def matching(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] == value for name, value in {**REFERENCE, **wanted}.items())]


def table(rows: list[dict[str, Any]], axis: str) -> Iterator[str]:
    yield f"| {axis} | circuits | method | {' | '.join(METRICS.values())} |"
    yield f"|{'---|' * (3 + len(METRICS))}"
    order = {"saturating": (False, True), "confounding": ("place", "image")}
    values = order.get(axis) or sorted({row[axis] for row in rows})
    for value in values:
        some = matching(rows, **{axis: value})
        for method in METHODS if some else ():
            cells = [estimate([row[method][metric] for row in some]) for metric in METRICS]
            shown = f"{value:,}" if axis == "images" else value
            yield f"| {shown} | {len(some)} | {method} | {' | '.join(cells)} |"


def goals(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| goal | asked | plain gates | | saturating gates | |"
    yield "|---|---|---|---|---|---|"
    for name, method, metric, side, bar in BARS:
        cells = []
        for saturating in (False, True):
            some = matching(rows, saturating=saturating)
            known = [row[method][metric] for row in some if row[method][metric] is not None]
            reached = bool(known) and (np.mean(known) >= bar if side == ">=" else np.mean(known) <= bar)
            cells += [f"{estimate([*known])}, n = {len(some)}", "reached" if reached else "**not reached**"]
        yield f"| {name} | {side} {bar} | {' | '.join(cells)} |"
    yield ""
    yield confounded_in_all(rows)


def confounded_in_all(rows: list[dict[str, Any]]) -> str:
    """How sure the rate on confounded pairs is, over the circuits that goals are set for."""
    some = matching(rows) + matching(rows, saturating=True)
    pairs = [row["confounded"] for row in some]  # how many a circuit has
    reported = round(sum(row["causal"]["confounded"] * count for row, count in zip(some, pairs, strict=True)))
    if not pairs:
        return "No circuit of these is measured."
    found = scipy_stats.binomtest(reported, sum(pairs)).proportion_ci()
    said = (
        f"Of {sum(pairs)} confounded pairs in these circuits, {reported} are reported as causal: the rate is between "
        f"{found.low:.3f} and {found.high:.3f} (95 %, exact). It takes 183 pairs without one to show that it is at "
        "most 0.02."
    )
    if not reported:
        return said
    wired, others = companion_weights(some)
    return (
        f"{said} The companions of the reported pairs have noise weights of {min(wired):.2f} to {max(wired):.2f} at "
        f"their own places (the lowest of their circuits), the others {min(others):.2f} or more. From -1/6 on, such a "
        "weight counts for half of the source: it lowers the gate's answer from 0.5 to 1/3, below which taking the "
        "source away cannot bring it. These pairs are wired, by noise; a strength that is not cut off at zero would "
        "call them marginal."
    )


def companion_weights(rows: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Noise weights of companions at their places: the lowest of each circuit, as many as were reported; the others."""
    wired, others = [], []
    for row in rows:
        circuit = plant(Parameters(**{field.name: row[field.name] for field in fields(Parameters)}))
        weight = circuit.module.layer2[0].weight.detach()
        places = [(gate.unit, gate.companion, *gate.companion_offset) for gate in circuit.gates if gate.companion >= 0]
        found = sorted(float(weight[unit, source, REACH + y, REACH + x]) for unit, source, y, x in places)
        reported = round(row["causal"]["confounded"] * len(found))
        wired += found[:reported]
        others += found[reported:]
    return wired, others


def report(options: argparse.Namespace, rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "# Relations in planted circuits"
    yield ""
    yield "```"
    command = (
        f"python benchmarks/relations.py --seeds {options.seeds} --reference {options.reference} --most {options.most}"
    )
    yield f"{command} --output docs/benchmarks/relations.md"
    yield "```"
    yield ""
    yield (__doc__ or "").split("\n\n", 2)[2].strip()
    yield ""
    loads = [row["load"] for row in rows]
    planned = len(settings(options.seeds, options.most, options.reference))
    yield (
        f"Measured with one thread ({platform.machine()}), Python {platform.python_version()}, NumPy {np.__version__}, "
        f"torch {torch.__version__}, {time.strftime('%Y-%m-%d')}, load average {min(loads):.1f} to {max(loads):.1f}. "
        f"{len(rows)} of {planned} circuits asked for are measured; the files of the methods have the hash "
        f"{rows[0]['code']}. Seconds are processor seconds."
    )
    yield ""
    yield "## The goals, at 2,000 images and noise 0.1"
    yield ""
    yield from goals(rows)
    for axis, title in (
        ("images", "By images"),
        ("noise", "By noise, as a share of the planted weight"),
        ("saturating", "Plain and saturating gates"),
        ("confounding", "Companions at a fixed place, and anywhere in the image"),
    ):
        yield ""
        yield f"## {title}"
        yield ""
        yield from table(rows, axis)


@dataclass(frozen=True)
class Drawn:
    """Random maps of two layers, half of them 0, in memory."""

    datasets: dict[str, xr.Dataset]
    categories: tuple[str, ...] = ()
    labels: None = None
    predicted: None = None
    logits: None = None

    @property
    def layers(self) -> list[str]:
        return list(self.datasets)

    @property
    def identifiers(self) -> list[str]:
        return [str(name) for name in self.datasets["first"]["image"].values]

    def dataset(self, layer: str) -> xr.Dataset:
        return self.datasets[layer]


def drawn(images: int, units: int, side: int) -> Drawn:
    generator = np.random.default_rng(0)
    datasets = {}
    for layer in ("first", "second"):
        maps = np.maximum(generator.standard_normal((images, units, side, side), dtype=np.float32), 0)
        array = xr.DataArray(maps.astype(np.float16), dims=("image", "unit", "y", "x"))
        names = [str(image) for image in range(images)]
        datasets[layer] = xr.Dataset({"maps": array, "max": array.max(("y", "x"))}).assign_coords(image=names)
    return Drawn(datasets)


def speed() -> Iterator[str]:
    """All pairs of two layers of 512 units, over 2,000 images."""
    yield "# All pairs of two layers: association and places"
    yield ""
    yield "```"
    yield "python benchmarks/relations.py --speed --output docs/benchmarks/relations_speed.md"
    yield "```"
    yield ""
    yield (
        f"Two layers of 512 units and 14 x 14 positions, float16 in memory, random: 262,144 pairs, {2000:,} images. "
        f"Measured with one thread ({platform.machine()}), NumPy {np.__version__}, {time.strftime('%Y-%m-%d')}, load "
        f"average {os.getloadavg()[0]:.1f} when it began: seconds by the clock include waiting for other work. Goal: "
        "both under two minutes on two cores. Nothing is related here, so the share of p-values below a level should "
        "be that level."
    )
    yield ""
    yield "| kind | s by the clock | processor s | significant at q = 0.05 | p < 0.1 | p < 0.01 | p < 0.001 |"
    yield "|---|---|---|---|---|---|---|"
    store, model = drawn(2000, 512, 14), SimpleNamespace(input_shape=(3, 224, 224))
    for kind in ("association", "spatial"):
        clock, processor = time.perf_counter(), time.process_time()
        graph = relations.relation_kinds[kind](store, model, None, pairs=[("first", "second")])
        seconds = f"{time.perf_counter() - clock:.1f} | {time.process_time() - processor:.1f}"
        p_value = graph.column("p_value")
        shares = " | ".join(f"{(p_value < level).mean():.4f}" for level in (0.1, 0.01, 0.001))
        yield f"| {kind} | {seconds} | {len(graph.significant())} | {shares} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="circuits of each setting, at most 10")
    parser.add_argument("--reference", type=int, default=0, help="circuits of the reference, where more are wanted")
    parser.add_argument("--most", type=int, default=10_000, help="images at most")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no circuit after so long")
    parser.add_argument("--output", type=Path, help="write the report here")
    parser.add_argument("--speed", action="store_true", help="time all pairs of two large layers instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        if options.speed:
            lines = list(speed())
        else:
            lines = list(report(options, run(options.seeds, options.most, options.reference, options.minutes)))
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
