"""How many rendered scenes a second: on one core and with two processes, with masks and without.

    python benchmarks/scenes.py [--images 512] [--output docs/benchmarks/scenes.md]

Images include everything that ``generate`` gives: pixels, masks of objects and parts, factors, captions, relations.
The rows with Pillow say what a bare drawing costs in a kept library: the same objects drawn as polygons and ellipses
at four times the size and reduced, without background, textures, light, masks or annotation.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from threadpoolctl import threadpool_limits

from workbench.data import scenes
from workbench.data.scenes.geometry import Polygon
from workbench.data.scenes.render import painted_parts, placement
from workbench.data.scenes.source import render_block

REPEATS = 5
SIZES = (64, 96, 224)


@dataclass(frozen=True)
class Rate:
    """Images a second, of several runs after one that is not counted."""

    cpu: float  # median, by the processor time of this process
    wall: list[float]  # each, by the clock

    @classmethod
    def of(cls, work: Callable[[], object], images: int) -> Rate:
        work()
        cpu, wall = [], []
        for _ in range(REPEATS):
            began, used = time.perf_counter(), time.process_time()
            work()
            wall.append(images / (time.perf_counter() - began))
            cpu.append(images / (time.process_time() - used))
        return cls(statistics.median(cpu), wall)


def draw_with_pillow(source: scenes.SceneSource) -> None:
    """Draw the bare shapes of all scenes at four times the size, and reduce them."""
    large = source.size * 4
    for index in range(len(source)):
        picture = Image.new("RGB", (large, large), (200, 200, 200))
        canvas = ImageDraw.Draw(picture)
        for item in sorted(source.sample(index).scene.objects, key=lambda item: -item.depth):
            at = placement(item, large)
            for _, colour, _, fills in reversed(painted_parts(item)):
                paint = tuple(int(255 * value) for value in colour)
                for piece in (piece for fill in fills for piece in fill.pieces):
                    if isinstance(piece, Polygon):
                        canvas.polygon([at.point(vertex) for vertex in piece.vertices], fill=paint)
                    else:
                        turns = np.linspace(0, 2 * np.pi, 33)[:-1]
                        outline = np.array([piece.x + 1j * piece.y]) + (
                            piece.radius_x * np.cos(turns) + 1j * piece.radius_y * np.sin(turns)
                        ) * np.exp(1j * piece.angle)
                        canvas.polygon([at.point((p.real, p.imag)) for p in outline], fill=paint)
        np.asarray(picture.reduce(4))


def measure(images: int) -> Iterator[str]:
    """The rows of the table, as they are measured."""
    yield "| task | size | what | processes | images a processor second | images a second (least to most of 5) |"
    yield "|---|---|---|---|---|---|"

    def row(source: scenes.SceneSource, what: str, work: Callable[[], object], processes: int = 1) -> str:
        found = Rate.of(work, len(source))
        cpu = f"{found.cpu:,.0f}" if processes == 1 else ""
        wall = f"{statistics.median(found.wall):,.0f} ({min(found.wall):,.0f} to {max(found.wall):,.0f})"
        return f"| {source.task} | {source.size} | {what} | {processes} | {cpu} | {wall} |"

    for task, size in itertools.product(("object", "part", "relation"), SIZES):
        source = scenes.SceneSource(task, images, size=size)
        yield row(source, "with masks", partial(render_block, source, 0, images, True))
    for size in SIZES:
        source = scenes.SceneSource("object", images, size=size)
        yield row(source, "no masks", partial(render_block, source, 0, images, False))
        yield row(source, "Pillow, bare shapes", partial(draw_with_pillow, source))
    many = scenes.SceneSource("object", 4 * images)
    for processes in (1, 2):
        work = partial(scenes.generate, "object", 4 * images, processes=processes)
        yield row(many, f"`generate`, {4 * images} images with masks", work, processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--output", type=Path, help="write the section of the benchmark page there")
    given = parser.parse_args()
    lines = []
    load = os.getloadavg()[0]
    with threadpool_limits(1):
        for line in measure(given.images):
            print(line, flush=True)
            lines.append(line)
    if given.output is not None:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        text = [
            "# Rendered scenes: images a second",
            "",
            "```",
            f"python benchmarks/scenes.py --images {given.images} --output docs/benchmarks/scenes.md",
            "```",
            "",
            (__doc__ or "").strip().rsplit("\n\n", 1)[-1],
            "",
            f"Measured on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
            f"NumPy {np.__version__}, one thread a process, {time.strftime('%Y-%m-%d')}. Goal: at least 300 images of "
            "96 pixels a second on one core, masks included. Processor seconds are those of one core that does nothing "
            "else; seconds by the clock include whatever other work the machine did, of which the load average of "
            f"{load:.1f} when the benchmark began is a measure.",
            "",
            *lines,
        ]
        given.output.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
