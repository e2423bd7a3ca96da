"""Coresets: what they cost, how little is enough for which interpretation method, and how far certificates are right.

    python benchmarks/coresets.py cost [--points 100000] [--images 2000]
    python benchmarks/coresets.py curves [--images 600] [--splits 20] [--keep FOLDER]
    python benchmarks/coresets.py certificates [--sets 40]
    python benchmarks/coresets.py calibration [--sets 16]

Each but the last, which prints the constants of workbench/interpret/coreset/calibration.py, gives a report of its own,
which --output writes: docs/benchmarks/coresets.md is that of the curves, coreset_cost.md and coreset_certificates.md
beside it are the others.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from coresets_parts import certificates, cost, curves
from coresets_parts.pairs import METHODS, PAIRS

TITLES = {
    "cost": "Coresets: what selectors cost",
    "curves": "Coresets: how little is enough",
    "certificates": "Coresets: how far certificates are right",
}


def head(options: argparse.Namespace) -> Iterator[str]:
    """Title, command and machine."""
    yield f"# {TITLES[options.part]}"
    yield ""
    yield "```"
    yield f"python benchmarks/coresets.py {' '.join(_said(options))}"
    yield "```"
    yield ""
    yield (
        f"Measured on {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, NumPy "
        f"{np.__version__}, {time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[0]:.1f} when it began: seconds "
        "by the clock include waiting for other work."
    )
    yield ""


def _said(options: argparse.Namespace) -> Iterator[str]:
    """The command line that gives this report, wherever it is written."""
    yield options.part
    for name, value in vars(options).items():
        if name in ("points", "images", "splits", "sets"):
            yield f"--{name} {value}"


def body(options: argparse.Namespace) -> Iterator[str]:
    """The part that was asked for."""
    if options.part == "cost":
        return cost.report(options.points, options.images)
    if options.part == "certificates":
        return certificates.report(_certified(options))
    return curves.report(
        curves.Setting(
            options.images,
            options.splits,
            options.random_draws,
            options.workers,
            options.pairs,
            options.keep,
        )
    )


def _certified(options: argparse.Namespace) -> certificates.Setting:
    return certificates.Setting(options.sets, options.methods, options.selectors, options.keep)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("one-selector", help="time a single selector, as cost does in a process of its own")
    one.add_argument("selector")
    one.add_argument("--points", type=int, default=100_000)
    part = parts.add_parser("cost", help=TITLES["cost"])
    part.add_argument("--points", type=int, default=100_000, help="points for the selectors")
    part.add_argument("--images", type=int, default=2000, help="scenes for the whole cost")
    part.add_argument("--output", type=Path, help="write the report here too")
    part = parts.add_parser("curves", help=TITLES["curves"])
    part.add_argument("--images", type=int, default=600, help="scenes")
    part.add_argument("--splits", type=int, default=20, help="splits into halves")
    part.add_argument("--random-draws", type=int, default=2, help="random coresets a split")
    part.add_argument("--workers", type=int, default=1, help="threads")
    names = [pair.name for pair in PAIRS]
    part.add_argument("--pairs", nargs="*", default=names, choices=names, help="methods and networks; all by default")
    part.add_argument("--keep", type=Path, help="folder that keeps what was computed, to go on from there")
    part.add_argument("--output", type=Path, help="write the report here too")
    for name, sets in (("certificates", 40), ("calibration", 16)):
        part = parts.add_parser(name, help=TITLES.get(name, "constants of the calibration"))
        part.add_argument("--sets", type=int, default=sets, help="sets of scenes, half of them on either network")
        part.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
        part.add_argument("--selectors", nargs="*", default=certificates.SELECTORS, choices=certificates.SELECTORS)
        part.add_argument("--keep", type=Path, help="folder that keeps trials, to go on from there")
        part.add_argument("--output", type=Path, help="write the report here too")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.part == "one-selector":
        cost.one_selector(options.selector, options.points)
        return
    if options.part == "calibration":
        for line in certificates.calibrations(_certified(options)):
            print(line, flush=True)
        return
    lines = []
    for part in (head(options), body(options)):
        for line in part:
            print(line, flush=True)
            lines.append(line)
            if options.output:
                options.output.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
