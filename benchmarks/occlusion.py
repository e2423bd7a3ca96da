"""What fast occlusion gives: time, fidelity, localisation, memory, and how soon there is something to see.

    python benchmarks/occlusion.py speed           exact against the strongest dense form
    python benchmarks/occlusion.py calibrate       constants of the certificate, from development photographs
    python benchmarks/occlusion.py fidelity        rank correlation with dense at equal cost; the certificate
    python benchmarks/occlusion.py rivals          the five published ratios, against our own runs of the rivals
    python benchmarks/occlusion.py localisation    pointing game and box IoU against the rivals
    python benchmarks/occlusion.py memory          peak memory against the stated limit
    python benchmarks/occlusion.py first-picture   time to the first map, and to a certified one
    python benchmarks/occlusion.py precision       bfloat16 against float32, every explainer
    python benchmarks/occlusion.py all             all of these, one after another
    python benchmarks/occlusion.py report          docs/benchmarks/occlusion.md from what was measured

Real weights and photographs come from the folder that WORKBENCH_MIRROR names. What is measured is appended to
benchmarks/results/, one JSON object a line, and not measured again: `--minutes` stops early, and the same command goes
on. `--help` after a command lists its options. Each image is explained alone, on one thread unless `--threads` says
otherwise; seconds by the clock and processor seconds are both kept, since other work on a machine stretches the first.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from occlusion_parts import fidelity, first_picture, localisation, memory, precision, report, rivals, speed
from occlusion_parts.results import ROOT, Deadline, Results

Show = Callable[[argparse.Namespace], Iterator[str]]


def run_speed(given: argparse.Namespace) -> Iterator[str]:
    results = Results("speed")
    speed.measure(results, Deadline(given.minutes), tuple(given.networks.split(",")))
    yield from speed.tables(results)


def run_calibrate(given: argparse.Namespace) -> Iterator[str]:
    results = Results("calibration")
    fidelity.measure(results, "development", Deadline(given.minutes), given.images, tuple(given.networks.split(",")))
    yield from fidelity.calibration(results)


def run_fidelity(given: argparse.Namespace) -> Iterator[str]:
    results = Results("fidelity")
    fidelity.measure(results, "held out", Deadline(given.minutes), given.images, tuple(given.networks.split(",")))
    yield from fidelity.tables(results)


def run_rivals(given: argparse.Namespace) -> Iterator[str]:
    results = Results("rivals")
    setting = rivals.Setting(given.data, given.path, given.weights, given.size)
    rivals.measure(results, Deadline(given.minutes), tuple(given.networks.split(",")), setting)
    yield from rivals.tables(results)


def run_localisation(given: argparse.Namespace) -> Iterator[str]:
    results = Results("localisation")
    setting = localisation.Setting(given.data, given.path, given.weights, given.evaluations, given.images)
    localisation.measure(results, Deadline(given.minutes), setting)
    yield from localisation.tables(results)


def run_memory(given: argparse.Namespace) -> Iterator[str]:
    results = Results("memory")
    memory.measure(results, Deadline(given.minutes))
    yield from memory.tables(results)


def run_first_picture(given: argparse.Namespace) -> Iterator[str]:
    results = Results("first_picture")
    first_picture.measure(results, Deadline(given.minutes), given.images)
    yield from first_picture.tables(results)


def run_precision(given: argparse.Namespace) -> Iterator[str]:
    results = Results("precision")
    precision.measure(results, Deadline(given.minutes), tuple(given.networks.split(",")), given.images)
    yield from precision.tables(results)


def run_report(given: argparse.Namespace) -> Iterator[str]:
    text = report.page()
    given.output.write_text(text, encoding="utf-8")
    yield f"{given.output} is written."


def commands() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run: Show, threads: int = 1) -> argparse.ArgumentParser:
        part = parts.add_parser(name)
        part.set_defaults(run=run)
        part.add_argument("--minutes", type=float, help="stop measuring after so many minutes")
        part.add_argument("--threads", type=int, default=threads)
        return part

    add("speed", run_speed).add_argument("--networks", default=",".join(speed.TARGETS))
    for name, run in (("calibrate", run_calibrate), ("fidelity", run_fidelity)):
        part = add(name, run)
        part.add_argument("--images", type=int, default=100)
        part.add_argument("--networks", default=",".join(fidelity.NETWORKS))
    part = add("rivals", run_rivals)
    part.add_argument("--networks", default=",".join(rivals.NETWORKS))
    part.add_argument("--size", type=int, default=224, help="pixels of the network input")
    _add_data(part)
    part = add("localisation", run_localisation)
    part.add_argument("--evaluations", type=int, default=200, help="forward-equivalents of each rival, about")
    part.add_argument("--images", type=int, default=200, help="pairs of photograph and category, or scenes, at most")
    _add_data(part)
    add("memory", run_memory)
    add("first-picture", run_first_picture, threads=2).add_argument("--images", type=int, default=5)
    part = add("precision", run_precision)
    part.add_argument("--images", type=int, default=8, help="of the shipped networks; a quarter of that of the others")
    part.add_argument("--networks", default=",".join((*precision.SHIPPED, *fidelity.NETWORKS)))
    add("report", run_report).add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks" / "occlusion.md")
    parts.add_parser("all").set_defaults(run=None)
    return parser


def _add_data(part: argparse.ArgumentParser) -> None:
    part.add_argument("--data", choices=("voc2007", "coco2014", "imagenet"), help="the published comparison's images")
    part.add_argument("--path", type=Path, help="where they are; downloaded where that is possible and allowed")
    part.add_argument("--weights", choices=("random", "torchvision"), help="torchvision downloads its weights")


def main(given: list[str] | None = None) -> None:
    parser = commands()
    arguments = parser.parse_args(given)
    if arguments.run is None:
        for name in (
            "speed",
            "calibrate",
            "fidelity",
            "rivals",
            "localisation",
            "memory",
            "first-picture",
            "precision",
            "report",
        ):
            main([name])
        return
    torch.set_num_threads(arguments.threads)
    for line in arguments.run(arguments):
        print(line, flush=True)


if __name__ == "__main__":
    main()
