"""What interpretation costs: relevant units by number of images, dissection against a literal port.

    python benchmarks/interpretation.py [--most 100000] [--output docs/benchmarks/interpretation.md]

Relevant units: features of random images with planted units; folding them into the Gram matrix takes one pass, the
solution after that must not depend on their number. Dissection: random smooth maps and rectangles as masks, against
the published procedure written out in NumPy, image by image, unit by unit, part by part.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from workbench import interpret
from workbench.interpret.features import moments
from workbench.interpret.relevant_units import solve

UNITS, CATEGORIES = 512, 20


def blocks(images: int, category: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features as a store would stream them; each category has three units of its own."""
    for start in range(0, images, 2048):
        indices = np.arange(start, min(start + 2048, images))
        generator = np.random.default_rng(start)
        rows = np.abs(generator.normal(size=(len(indices), UNITS)))
        for extra in range(3):
            rows[np.arange(len(indices)), 3 * category[indices] + extra] += 1
        yield indices, rows


def relevant_units_by_images(most: int) -> Iterator[str]:
    yield "| images | folding, s | solving for 20 categories, s | relevant units a category |"
    yield "|---|---|---|---|"
    for images in (size for size in (1_000, 10_000, 100_000) if size <= most):
        category = np.random.default_rng(0).integers(0, CATEGORIES, size=images)
        drawn = time.process_time()
        for _ in blocks(images, category):
            pass
        began = time.process_time()
        folded = moments(blocks(images, category), category=category, categories=CATEGORIES)
        middle = time.process_time()
        found = solve(folded, units_per_category=5)
        ended = time.process_time()
        folding = middle - began - (began - drawn)  # without the drawing of random numbers
        number = float((found["weight"] > 0).sum("unit").mean())
        yield f"| {images:,} | {folding:.2f} | {ended - middle:.2f} | {number:.1f} |"


def smooth_maps(images: int, units: int, generator: np.random.Generator) -> xr.DataArray:
    noise = generator.normal(size=(images, units, 14, 14)).cumsum(2).cumsum(3)
    return xr.DataArray(np.maximum(noise - noise.mean(), 0).astype(np.float32), dims=("image", "unit", "y", "x"))


def rectangles(images: int, parts: int, side: int, generator: np.random.Generator) -> xr.DataArray:
    masks = np.zeros((images, parts, side, side), dtype=bool)
    for image, part in np.ndindex(images, parts):
        if generator.uniform() < 0.4:
            top, left = generator.integers(0, side - 20, size=2)
            masks[image, part, top : top + 20, left : left + 16] = True
    return xr.DataArray(masks, dims=("image", "part", "y", "x"))


def enlarge(small: np.ndarray, side: int) -> np.ndarray:
    """One map, bilinearly, by its four neighbours."""
    height, width = small.shape
    rows = np.clip((np.arange(side) + 0.5) * height / side - 0.5, 0, height - 1)
    columns = np.clip((np.arange(side) + 0.5) * width / side - 0.5, 0, width - 1)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, along = (rows - top)[:, None], (columns - left)[None]
    upper = small[np.ix_(top, left)] * (1 - along) + small[np.ix_(top, right)] * along
    lower = small[np.ix_(bottom, left)] * (1 - along) + small[np.ix_(bottom, right)] * along
    return upper * (1 - down) + lower * down


def dissect_literally(maps: np.ndarray, masks: np.ndarray, quantile: float) -> np.ndarray:
    """IoU (unit, part) by the published procedure: threshold, enlarge, compare, image by image."""
    images, units = maps.shape[:2]
    parts, side = masks.shape[1], masks.shape[2]
    thresholds = [np.quantile(maps[:, unit], quantile) for unit in range(units)]
    shared, area = np.zeros((units, parts)), np.zeros(units)
    part_area = np.zeros(parts)
    for image in range(images):
        for part in range(parts):
            part_area[part] += masks[image, part].sum()
        for unit in range(units):
            on = enlarge(maps[image, unit], side) > thresholds[unit]
            area[unit] += on.sum()
            for part in range(parts):
                shared[unit, part] += np.logical_and(on, masks[image, part]).sum()
    return shared / (area[:, None] + part_area[None] - shared)


def dissection() -> Iterator[str]:
    yield "| images | units | parts | masks | literal, s | workbench, s | times faster | largest difference of IoU |"
    yield "|---|---|---|---|---|---|---|---|"
    interpret.dissect(
        interpret.MemoryActivations({"layer": smooth_maps(4, 4, np.random.default_rng(0))}),
        rectangles(4, 2, 32, np.random.default_rng(0)),
    )  # what a first call loads is not counted
    for images, units, parts, side in ((60, 32, 5, 112), (60, 128, 12, 112), (60, 64, 12, 224)):
        generator = np.random.default_rng(0)
        maps, masks = smooth_maps(images, units, generator), rectangles(images, parts, side, generator)
        store = interpret.MemoryActivations({"layer": maps})
        began = time.process_time()
        expected = dissect_literally(maps.values, masks.values, 0.995)
        middle = time.process_time()
        found = interpret.dissect(store, masks)["iou"].values
        ours = time.process_time() - middle
        difference = np.nanmax(np.abs(found - expected))
        yield (
            f"| {images} | {units} | {parts} | {side} x {side} | {middle - began:.2f} | {ours:.2f} | "
            f"{(middle - began) / ours:.0f} | {difference:.1e} |"
        )


def report(most: int) -> Iterator[str]:
    yield "# Interpretation: relevant units by images, dissection against a literal port"
    yield ""
    yield "```"
    yield f"python benchmarks/interpretation.py --most {most} --output docs/benchmarks/interpretation.md"
    yield "```"
    yield ""
    yield (__doc__ or "").split("\n\n", 2)[2].strip()
    yield ""
    yield (
        f"Measured with one thread ({platform.machine()}), Python {platform.python_version()}, NumPy {np.__version__}, "
        f"{time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[0]:.1f} when it began. Seconds are processor "
        "seconds of one core."
    )
    yield ""
    yield f"## Relevant units, {UNITS} units, {CATEGORIES} categories"
    yield ""
    yield from relevant_units_by_images(most)
    yield ""
    yield "## Dissection, maps of 14 x 14, quantile 0.995. Goal: at least 10 times faster"
    yield ""
    yield from dissection()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000, help="images at most")
    parser.add_argument("--output", type=Path, help="write the report here too")
    options = parser.parse_args()
    lines = []
    with threadpool_limits(1):
        for line in report(options.most):
            print(line, flush=True)
            lines.append(line)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
