"""Coresets: what the selectors cost, and how little is enough for which interpretation method.

    python benchmarks/coresets.py [--points 100000] [--images 600] [--splits 10] [--output docs/benchmarks/coresets.md]

Selectors: 1 % of random clustered features of 512 units, each selector in a process of its own; the peak of memory is
that of the whole process, features, Python and libraries included. Curves: rendered scenes and the networks that ship,
last convolutional stage; coresets are chosen within the categories of one half of the images and compared with the
interpretation of the other half. 1 is what all images of the first half reach, 0 what random units reach. Where the
first half differs from the second by chance, a selector can exceed 1. Concepts, which take longest, are found on half
as many images.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from workbench import explain, interpret, models
from workbench.data import scenes
from workbench.interpret import coreset
from workbench.store import ActivationStore

UNITS = 512
NETWORKS = {"scenes_object": "object", "scenes_part": "part"}
SEED = 23  # not the scenes on which the selector of our own was designed
METHODS = ("relevant_units", "concepts", "rules", "dissect")
TITLES = {"relevant_units": "VEBI", "concepts": "ICE", "rules": "rules", "dissect": "dissection"}


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
        command = [sys.executable, __file__, "--selector", name, "--points", str(points)]
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        figures = json.loads(done.stdout.splitlines()[-1])
        form = (
            "approximate"
            if name in ("k_medoids", "facility_location", "d2", "kernel_herding") and points > 20_000
            else "exact"
        )
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


def last_stage(model: models.ImageModel) -> str:
    """The last layer that still has a grid."""
    return [name for name, shape in model.layers.items() if len(shape) == 3 and min(shape[1:]) > 1 and "." not in name][
        -1
    ]


def curve_of(network: str, method: str, images: int, splits: int, workers: int) -> tuple[xr.Dataset, float]:
    """The coreset curve of a method on a network, and the seconds that it took."""
    model = models.load(network)
    data = scenes.generate(NETWORKS[network], images, seed=SEED, size=96)
    layer = last_stage(model)
    store = interpret.observe(model, data, layers=layer, labels=data["label"].values)
    options: dict[str, object] = {}
    if method == "concepts":
        options = {"count": 5, "negative": "clip", "iterations": 100}
    elif method == "rules":
        options = {"heatmaps": explain.gradcam(model, data), "size": 24, "most_patches": 4}
    elif method == "dissect":
        masks = data["part_mask"].assign_coords(image=list(store.identifiers))
        options = {"masks": masks.isel(part=np.flatnonzero(masks.any(("image", "y", "x")).values))}
    began = time.perf_counter()
    curve = coreset.coreset_curve(
        method, store, list(coreset.selectors), labels="true", splits=splits, workers=workers, progress=True, **options
    )
    return curve, time.perf_counter() - began


def rows_of(curve: xr.Dataset) -> Iterator[str]:
    shares = curve["fraction"].values
    yield (
        "| selector | "
        + " | ".join(f"{share:.0%}" for share in shares)
        + " | area | against random (p, Holm) | enough |"
    )
    yield "|---|" + "---|" * (len(shares) + 3)
    for name in curve["selector"].values:
        row = curve.sel(selector=name)
        heights = " | ".join(f"{float(value):.2f}" for value in row["value"])
        area = f"{float(row['area']):.3f} [{float(row['area_low']):.3f}, {float(row['area_high']):.3f}]"
        against = f"{float(row['area_against_random']):+.3f} ({float(row['area_adjusted']):.3f})"
        enough = float(row["enough"])
        yield (
            f"| {name} | {heights} | {area} | {'' if name == 'random' else against} | "
            f"{'none' if np.isnan(enough) else f'{enough:.0%}'} |"
        )


def report(options: argparse.Namespace) -> Iterator[str]:
    yield "# Coresets: what selectors cost, and how little is enough"
    yield ""
    yield "```"
    yield (
        f"python benchmarks/coresets.py --points {options.points} --images {options.images} --splits {options.splits} "
        "--output docs/benchmarks/coresets.md"
    )
    yield "```"
    yield ""
    yield (__doc__ or "").split("\n\n", 2)[2].strip()
    yield ""
    yield (
        f"Measured on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, NumPy "
        f"{np.__version__}, {time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[0]:.1f} when it began: seconds "
        "by the clock include waiting for other work."
    )
    yield ""
    if options.points:
        yield f"## Selectors, {options.points:,} points of {UNITS} features, 1 % chosen. Goal: a minute and 2 GB"
        yield ""
        yield from selector_table(options.points)
        yield ""
    yield f"## The whole cost, {options.cost_images:,} scenes, one layer of scenes_object"
    yield ""
    yield from cost_table(options.cost_images)
    yield ""
    yield (
        "A coreset saves what is written and whatever is computed from maps afterwards; the pass for the features "
        "costs nearly what extracting everything costs."
    )
    yield ""
    for network in NETWORKS:
        for method in options.methods:
            images = options.images // 2 if method == "concepts" else options.images
            curve, seconds = curve_of(network, method, images, options.splits, options.workers)
            yield f"## {TITLES[method]} on {network}: normalised similarity by share of the half"
            yield ""
            yield (
                f"{images} scenes, {options.splits} splits; ceiling {float(curve['ceiling'].mean()):.2f}, "
                f"floor {float(curve['floor'].mean()):.2f} ({curve.attrs['subject_similarity']}); {seconds:.0f} s."
            )
            yield ""
            yield from rows_of(curve)
            yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000, help="points for the selectors; 0 leaves them out")
    parser.add_argument("--images", type=int, default=600, help="scenes for the curves")
    parser.add_argument("--cost-images", type=int, default=2000, help="scenes for the whole cost")
    parser.add_argument("--splits", type=int, default=10, help="splits into halves")
    parser.add_argument("--workers", type=int, default=1, help="threads for the curves")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS, help="methods for the curves")
    parser.add_argument("--selector", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the report here too")
    options = parser.parse_args()
    if options.selector:
        one_selector(options.selector, options.points)
        return
    lines = []
    for line in report(options):
        print(line, flush=True)
        lines.append(line)
        if options.output:
            options.output.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
