"""Conditions of causal edges: what the images show, and what is left when the other unit is moved.

    python benchmarks/relations_conditions.py [--images 400] [--output docs/benchmarks/relations_conditions.md]

An edge "excites ..., when it lies left of ..." has to pass three tests. *Beside* counts sources beside another source
of their target, along an axis, with enough images on either side. *Images differ*: the effect differs between the
sides, with the sides dealt anew as the null, at a false discovery rate of 0.05. These are put to the other tests, in
which the map of the other unit is moved to the other side of the source in the same image (*moved*; where there is room
in at least 8 images). *Hold*: the effect changes and falls below half, at a false discovery rate of 0.05 over all of
*beside*. *Right* counts those that a gate was wired for: both sources of a gate, on the side on which they stand to
each other. Of networks that were trained, nobody knows which are right.

Two networks are wired by hand ("planted"); their classifier reads maxima, so that no place matters to it. The trained
network tells on which side of a blue circle a red square stands. Where the images differ and nothing holds, what goes
along with the side makes the difference, such as the place in the picture; or many units carry together what no single
one does.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from workbench import models
from workbench.data import scenes
from workbench.interpret import relations
from workbench.interpret.relations.planted import CATEGORIES, GATES, PRIMITIVES, Parameters, PlantedCircuit, plant
from workbench.models import ImageModel

SEEDS = (300, 301)  # of circuits that no other benchmark uses
ALL = 10**6
TRAINED = (("layer2", "layer3"), ("layer3", "layer4"), ("layer3", "classifier"), ("layer4", "classifier"))
TARGETS = 16  # units of a layer in a trained network that are looked at
COLUMNS = ("network", "from", "to", "edges", "beside", "images differ", "moved", "hold", "right", "processor s")


def row(name: str, model: ImageModel, images: Any, source: str, target: str, circuit: PlantedCircuit | None) -> str:
    """One network and pair of layers."""
    began = time.process_time()
    units = model.layers[target][0]
    graph = relations.causal_edges(
        model, images, source=source, target=target, targets=range(min(units, TARGETS)), interactions=0,
        least_share=0.2, conditions=ALL,
    )  # fmt: skip
    seconds = time.process_time() - began
    placed = graph.filter(conditional=True)
    moved, stuck = placed.filter(tested=True), placed.filter(tested=False)
    no_room = sum("room" in edge.reason for edge in stuck)
    holding = placed.significant()
    right = "-" if circuit is None else sum(wired(circuit, edge) for edge in holding)
    cells = [
        name, source, target, len(graph.significant().filter(conditional=False)),
        graph.dataset.attrs["sides_left_out"] + len(moved), len(moved) + no_room, len(moved), len(holding), right,
        f"{seconds:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def wired(circuit: PlantedCircuit, edge: relations.Edge) -> bool:
    """Whether both sources belong to one gate, and stand to each other as the edge says."""
    for gate in circuit.gates:
        ends = (edge.source_unit, edge.partner_unit)
        if edge.target == (GATES, gate.unit) and set(ends) == set(gate.sources):
            place = dict(zip(gate.sources, gate.offsets, strict=True))
            down, right = np.subtract(place[ends[0]], place[ends[1]])
            return {"above": down < 0, "below": down > 0, "left of": right < 0, "right of": right > 0}[edge.condition]
    return False


def report(options: argparse.Namespace) -> Iterator[str]:
    yield "# Conditions of causal edges"
    yield ""
    yield "```"
    yield (
        f"python benchmarks/relations_conditions.py --images {options.images} "
        "--output docs/benchmarks/relations_conditions.md"
    )
    yield "```"
    yield ""
    yield (__doc__ or "").split("\n\n", 2)[2].strip()
    yield ""
    yield (
        f"{options.images} images each; of trained layers the first {TARGETS} targets. Measured with one thread "
        f"({platform.machine()}), Python {platform.python_version()}, torch {torch.__version__}, "
        f"{time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[0]:.1f}."
    )
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for seed in SEEDS:
        circuit = plant(Parameters(seed=seed))
        pictures = circuit.images(options.images)
        for source, target in ((PRIMITIVES, GATES), (GATES, CATEGORIES)):
            yield row(f"planted {seed}", circuit.model, pictures, source, target, circuit)
    model, seen = models.load("scenes_relation"), scenes.SceneSource("relation", options.images, seed=77)
    for source, target in TRAINED:
        yield row("`scenes_relation`", model, seen, source, target, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--output", type=Path, help="write the report here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        lines = list(report(options))
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
