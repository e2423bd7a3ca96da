"""Coresets: what the selectors cost, and how little is enough for which interpretation method.

    python benchmarks/coresets.py [--points 100000] [--images 600] [--splits 10] [--keep FOLDER]
        [--output docs/benchmarks/coresets.md]

Selectors: 1 % of random clustered features of 512 units, each selector in a process of its own; the peak of memory is
that of the whole process, features, Python and libraries included. Curves: rendered scenes and the networks that ship,
last convolutional stage; coresets are chosen within the categories of one half of the images and compared with the
interpretation of the other half. 1 is what all images of the first half reach, 0 what random units reach. Where the
first half differs from the second by chance, a selector can exceed 1. Where a share is less than one image of a
category, one is taken. Concepts and rules are found on half as many images and units are dissected on two thirds, at
fewer shares (--all-shares: at all), because they take longest; for VEBI, which takes least, there are twice as many
splits. With WORKBENCH_MIRROR also on CIFAR-10 and COCO. With --keep, what was computed is kept, and a second run
computes what is missing: more splits, for instance.
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
from coresets_parts.coverage import calibrations, coverage_table
from coresets_parts.pairs import FEW_SHARES, METHODS, PAIRS, SEED, SIZES, TIMES_SPLITS, Pair, last_stage, prepared

from workbench import models
from workbench.data import scenes
from workbench.interpret import coreset
from workbench.interpret.coreset.curve import FRACTIONS
from workbench.stats import holm, sign_flip_test
from workbench.store import ActivationStore

UNITS = 512
OWN = "target_aware"
HERE = Path(__file__).parent


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
            if name in ("k_medoids", "facility_location", "d2", "kernel_herding", OWN) and points > 20_000
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


def curve_of(pair: Pair, options: argparse.Namespace) -> tuple[xr.Dataset, int, float]:
    """The coreset curve of a method on a network, of how many images, and the processor seconds that it took."""
    began = time.process_time()
    images = round(options.images * SIZES[pair.method])
    subject, store = prepared(pair, images)
    path = None if options.keep is None else options.keep / f"{pair.name}-{images}.jsonl"
    curve = coreset.coreset_curve(
        subject,
        store,
        list(coreset.selectors),
        fractions=FRACTIONS if pair.method == "relevant_units" or options.all_shares else FEW_SHARES,
        splits=options.splits * TIMES_SPLITS[pair.method],
        random_draws=options.random_draws,
        workers=options.workers,
        path=path,
        progress=True,
    )
    return curve, len(store.identifiers), time.process_time() - began


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


def against_each(curve: xr.Dataset) -> dict[str, tuple[float, float]]:
    """By how much the target-aware selector's area is larger than each other one's, and Holm's p-value over them."""
    shares = curve["fraction"].values
    area = np.trapezoid(curve["normalised"].values, shares, axis=-1) / (shares[-1] - shares[0])
    names = [str(name) for name in curve["selector"].values]
    own = area[:, names.index(OWN)]
    others = [name for name in names if name != OWN]
    differences = [own - area[:, names.index(name)] for name in others]
    p_values = holm(np.array([sign_flip_test(each, np.zeros(len(each))) for each in differences]))
    return {name: (float(each.mean()), float(p)) for name, each, p in zip(others, differences, p_values, strict=True)}


def own_table(found: dict[str, xr.Dataset]) -> Iterator[str]:
    """The target-aware selector against every other one, by method and network."""
    names = [str(name) for name in next(iter(found.values()))["selector"].values if name != OWN]
    yield "| method and network | " + " | ".join(names) + " | beats all published |"
    yield "|---|" + "---|" * (len(names) + 1)
    for title, curve in found.items():
        row = against_each(curve)
        beaten = all(row[name][0] > 0 and row[name][1] <= 0.05 for name in names if name != "kernel_herding")
        cells = " | ".join(f"{row[name][0]:+.3f} ({row[name][1]:.3f})" for name in names)
        yield f"| {title} | {cells} | {'yes' if beaten else 'no'} |"


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
    found: dict[str, xr.Dataset] = {}
    for pair in PAIRS:
        if pair.method not in options.methods or (pair.mirror and "WORKBENCH_MIRROR" not in os.environ):
            continue
        curve, images, seconds = curve_of(pair, options)
        found[pair.title] = curve
        yield f"## {pair.title}: normalised similarity by share of the half"
        yield ""
        yield (
            f"{images} images, {curve.sizes['split']} splits; ceiling {float(curve['ceiling'].mean()):.2f}, "
            f"floor {float(curve['floor'].mean()):.2f} ({curve.attrs['subject_similarity']}); {seconds:.0f} s of one "
            "processor in the last run, what earlier runs had kept not counted."
        )
        yield ""
        yield from rows_of(curve)
        yield ""
    yield "## The target-aware selector against each other one"
    yield ""
    yield (
        "Difference of the areas, mean over splits (p of the paired sign-flip test, Holm's correction over the row). "
        "Kernel herding on pooled means and maxima is our own earlier try; the last column asks for p of 0.05 or less "
        "against all others."
    )
    yield ""
    yield from own_table(found)
    yield ""
    yield (HERE / "coresets_parts" / "tried.md").read_text(encoding="utf-8").strip()
    if options.trials:
        yield ""
        yield from coverage_table(options.trials, options.methods)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000, help="points for the selectors; 0 leaves them out")
    parser.add_argument("--images", type=int, default=600, help="scenes for the curves")
    parser.add_argument("--cost-images", type=int, default=2000, help="scenes for the whole cost")
    parser.add_argument("--splits", type=int, default=10, help="splits into halves")
    parser.add_argument("--random-draws", type=int, default=2, help="random coresets a split")
    parser.add_argument("--all-shares", action="store_true", help="eight shares for every method, not for VEBI alone")
    parser.add_argument("--workers", type=int, default=1, help="threads for the curves")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS, help="methods for the curves")
    parser.add_argument("--keep", type=Path, help="folder that keeps what was computed, to go on from there")
    parser.add_argument("--trials", type=int, default=40, help="trials a method for the adaptive coreset; 0: none")
    parser.add_argument(
        "--calibrate", type=int, metavar="SETS", help="print the calibration from so many sets, and stop"
    )
    parser.add_argument("--selector", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the report here too")
    options = parser.parse_args()
    if options.calibrate:
        for line in calibrations(options.calibrate, options.methods):
            print(line, flush=True)
        return
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
