"""What the selectors cost, and a coreset altogether, the pass for its features included."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from coresets_parts.pairs import SEED, last_stage
from workbench import models
from workbench.data import scenes
from workbench.interpret import coreset
from workbench.store import ActivationStore

MAIN = Path(__file__).parent.parent / "coresets.py"
UNITS = 512
APPROXIMATE = ("k_medoids", "facility_location", "d2", "kernel_herding", "target_aware")  # beyond some thousand points


def report(points: int, images: int) -> Iterator[str]:
    """Both tables."""
    yield "Selectors: 1 % of random clustered features of 512 units, each selector in a process of its own; the peak of"
    yield "memory is that of the whole process, features, Python and libraries included."
    yield ""
    yield f"## {points:,} points of {UNITS} features, 1 % chosen. Goal: a minute and 2 GB"
    yield ""
    yield from selector_table(points)
    yield ""
    yield f"## The whole cost, {images:,} scenes, one layer of scenes_object"
    yield ""
    yield from cost_table(images)
    yield ""
    yield "A coreset saves what is written and whatever is computed from maps afterwards; the pass for the features"
    yield "costs nearly what extracting everything costs."


def clustered(points: int) -> np.ndarray:
    """Features as a ReLU gives them: clusters of low dimension, and noise."""
    generator = np.random.default_rng(0)
    cluster = generator.integers(0, 10, size=points)
    low = generator.normal(size=(24, UNITS)).astype(np.float32) / 2
    centres = generator.normal(size=(10, UNITS)).astype(np.float32)
    features = np.empty((points, UNITS), dtype=np.float32)
    for start in range(0, points, 4096):
        some = slice(start, start + 4096)
        count = len(cluster[some])
        rows = generator.normal(size=(count, 24)).astype(np.float32) @ low + centres[cluster[some]]
        features[some] = np.maximum(rows + generator.normal(0, 0.3, size=(count, UNITS)), 0)
    return features


def one_selector(name: str, points: int) -> None:
    """Time one selector in this process, and print the figures as JSON."""
    features = clustered(points)
    began, used = time.perf_counter(), time.process_time()
    chosen = coreset.selectors[name](features, points // 100, generator=np.random.default_rng(0))
    figures = {
        "wall": time.perf_counter() - began,
        "processor": time.process_time() - used,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "chosen": len(set(chosen.tolist())),
    }
    print(json.dumps(figures))


def selector_table(points: int) -> Iterator[str]:
    yield "| selector | s by the clock | processor s (both cores) | peak memory, GB | form |"
    yield "|---|---|---|---|---|"
    for name in coreset.selectors:
        command = [sys.executable, str(MAIN), "one-selector", name, "--points", str(points)]
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        figures = json.loads(done.stdout.splitlines()[-1])
        form = "approximate" if name in APPROXIMATE and points > 20_000 else "exact"
        yield (
            f"| {name} | {figures['wall']:.1f} | {figures['processor']:.1f} | {figures['memory'] / 1e9:.2f} | {form} |"
        )


def cost_table(images: int) -> Iterator[str]:
    """A store of everything against a pass for features, the choice, and a store of the coreset."""
    model = models.load("scenes_object")
    data = scenes.generate("object", images, seed=SEED, size=96)
    labels = data["label"].values
    layers = [last_stage(model)]
    yield "| what | s by the clock | processor s | MB written |"
    yield "|---|---|---|---|"
    coreset.features_of(model, data.isel(image=slice(64)), layer=layers[0])  # what a first pass loads is not counted
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("full", "part")}
        began, used = time.perf_counter(), time.process_time()
        ActivationStore.extract(model, data, layers=layers, path=paths["full"], labels=labels, progress=False)
        full = time.perf_counter() - began, time.process_time() - used
        began, used = time.perf_counter(), time.process_time()
        features = coreset.features_of(model, data, layer=layers[0])
        passed = time.perf_counter() - began, time.process_time() - used
        began, used = time.perf_counter(), time.process_time()
        chosen = coreset.choose(features, selector="kernel_herding", fraction=0.1, labels=labels, images=data)
        choice = time.perf_counter() - began, time.process_time() - used
        began, used = time.perf_counter(), time.process_time()
        ActivationStore.extract(model, chosen, layers=layers, path=paths["part"], progress=False)
        part = time.perf_counter() - began, time.process_time() - used
        sizes = {name: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) for name, path in paths.items()}
    rows = (("everything stored", full, sizes["full"]), ("features of everything", passed, 0))
    rows += (("choice of 10 %", choice, 0), ("coreset stored", part, sizes["part"]))
    total = tuple(sum(pair) for pair in zip(passed, choice, part, strict=True))
    for name, (wall, processor), size in (*rows, ("coreset, all three", total, sizes["part"])):
        yield f"| {name} | {wall:.2f} | {processor:.2f} | {size / 1e6:.1f} |"
