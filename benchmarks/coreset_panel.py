r"""How long one waits in the coreset panel, by the number of points.

    python benchmarks/coreset_panel.py [--points 1000 5000 20000] [--repeats 9] \
        [--output docs/benchmarks/coreset_panel.md]

Features of 512 units in ten categories, made up. The panel runs as in a notebook, on its own threads, each picture
drawn and encoded as PNG; only the browser is left out. "first picture" holds the projection, which is kept after that.
"another choice" is a new seed of the random selector, so that the wait is that of the panel and not of a selector;
the next two columns are drawing and encoding alone. The class view interprets all images once (relevant units), and the
coreset each time.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr

from workbench import view
from workbench.panels import CoresetPanel
from workbench.panels.parts.panel import drawing

UNITS, CATEGORIES = 512, 10


def features(points: int) -> tuple[xr.DataArray, np.ndarray]:
    """Features as a ReLU gives them, and the category of each point."""
    generator = np.random.default_rng(0)
    category = generator.integers(0, CATEGORIES, size=points)
    centres = generator.normal(size=(CATEGORIES, UNITS)).astype(np.float32)
    values = centres[category] + generator.normal(0, 1.0, size=(points, UNITS)).astype(np.float32)
    return xr.DataArray(np.maximum(values, 0), dims=("image", "unit")), category


@dataclass
class Waits:
    """Seconds by the clock and of the processor, of all threads together."""

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Measure what is done inside."""
        began, used = time.perf_counter(), time.process_time()
        yield
        self.clock.append(time.perf_counter() - began)
        self.processor.append(time.process_time() - used)

    def __str__(self) -> str:
        clock, processor = statistics.median(self.clock), statistics.median(self.processor)
        spread = f" ({min(self.clock):.2f} to {max(self.clock):.2f})" if len(self.clock) > 1 else ""
        return f"{clock:.2f}{spread} / {processor:.2f}"


def show(panel: CoresetPanel, **traits: object) -> None:
    """Set the state, and wait until the panel shows it."""
    for name, value in traits.items():
        setattr(panel.state, name, value)
    panel.start()
    if not panel.wait(120):
        raise SystemExit("The panel was not done after two minutes.")
    if panel.error is not None:
        raise panel.error


def rows(points: list[int], repeats: int) -> Iterator[str]:
    """The table, line by line."""
    yield (
        "| points | first picture | another choice of 5 % | drawing and PNG alone | the same, a category brought out | "
        "class view, first | class view, next |"
    )
    yield "|---|---|---|---|---|---|---|"
    for count in points:
        table, category = features(count)
        panel = CoresetPanel(table, labels=category, categories=[f"c{i}" for i in range(CATEGORIES)])
        panel.state.selector = "random"
        first, choices, alone, brought_out, view_first, view_next = (Waits() for _ in range(6))
        with first.one():
            show(panel)
        for repeat in range(repeats):
            with choices.one():
                show(panel, seed=repeat + 1)
            with alone.one(), drawing:
                view.coreset_map(panel.result).source()
            with brought_out.one(), drawing:
                view.coreset_map(panel.result, category=repeat % CATEGORIES).source()
        with view_first.one():
            show(panel, category="c3")
        for repeat in range(repeats):
            with view_next.one():
                show(panel, category=f"c{(repeat + 4) % CATEGORIES}")
        yield f"| {count:,} | {first} | {choices} | {alone} | {brought_out} | {view_first} | {view_next} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=[1_000, 5_000, 20_000])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    _, command, what = (__doc__ or "").split("\n\n")
    load = f"{os.getloadavg()[0]:.1f}"
    lines = ["# The coreset panel: how long one waits", "", "```", command.strip(), "```", "", what.strip(), ""]
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}), {os.environ.get('OMP_NUM_THREADS', 'all')} threads, Python "
        f"{platform.python_version()}, matplotlib {mpl.__version__}, {date.today():%Y-%m-%d}"
    )
    for line in rows(options.points, options.repeats):
        lines.append(line)
        print(line, flush=True)
    lines += [
        "",
        f"Seconds by the clock, medians of {options.repeats} (least to most) / processor seconds. Measured on "
        f"{machine}; load average {load} when it began, {os.getloadavg()[0]:.1f} at the end: seconds by the clock "
        "include waiting for other work, processor seconds do not.",
    ]
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
