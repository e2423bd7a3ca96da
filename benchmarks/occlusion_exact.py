"""Exact incremental occlusion against the strongest dense form, in paired runs of one process.

    python benchmarks/occlusion_exact.py [--models vgg16,resnet50] [--patch 16] [--stride 8] [--size 224]
        [--threads 1] [--repeats 3] [--device cpu] [--output docs/benchmarks/occlusion_exact.md]

Dense, two forms: the module with its batch norms folded and its maps feature last, as plain torch runs it; and the
program of the incremental engine run on whole images (activations fused, weights laid out once). Each with the best of
several batches, chosen by measuring. Every position of the lattice is computed incrementally; a dense pass costs the
same for every position, so some are run and the rest is counted. Times are of the thread that computes (`--threads 1`)
or of the clock (more threads, other devices); dense and incremental runs alternate, and the ratio is the median of the
pairs.
Weights are random: they do not matter for time, and nothing here is about quality. That the answers are those of dense
passes is shown by tests/oracle/test_incremental_exact.py.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from workbench.explain.incremental.engine import IncrementalEngine
from workbench.explain.incremental.runner import run_whole
from workbench.explain.lattice import positions

# networks and the ratio that is asked for, where one is
MODELS: dict[str, float | None] = {
    "squeezenet1_0": 5.0,
    "mobilenet_v2": 2.0,
    "densenet121": 1.8,
    "resnet50": 2.4,
    "vgg16": 7.0,
    "resnet18": None,
    "alexnet": None,
    "mnasnet1_0": None,
    "shufflenet_v2_x1_0": None,
    "regnet_x_400mf": None,
    "mobilenet_v3_large": None,
    "googlenet": None,
    "inception_v3": None,
    "efficientnet_b0": None,
    "convnext_tiny": None,
}
BATCHES = (1, 4, 8, 16, 32)
DENSE_SAMPLE = 32


@dataclass(frozen=True)
class Row:
    """What was measured of one network."""

    name: str
    positions: int
    bound: float  # by multiplications
    folded: float  # seconds of a dense pass, plain torch
    traced: float  # seconds of a dense pass, the engine's own program
    incremental: float  # seconds for all positions
    ratio_folded: float
    ratio_strongest: float
    pays: bool
    first: float  # seconds from the image to the first batch of answers

    def cells(self, target: float | None) -> str:
        asked = "" if target is None else f"{target:g}"
        return (
            f"| {self.name} | {self.bound:.2f} | {self.folded * 1e3:.1f} | {self.traced * 1e3:.1f} | "
            f"{self.incremental / self.positions * 1e3:.2f} | {self.incremental:.2f} | {self.ratio_folded:.2f} | "
            f"{self.ratio_strongest:.2f} | {asked} | {'incremental' if self.pays else 'dense'} | "
            f"{self.first:.2f} |"
        )


HEADER = (
    "| network | fewer multiplications, times | dense folded, ms a position | dense traced, ms | incremental, ms | "
    "incremental, s in all | faster than folded, times | faster than the faster of both, times | asked | "
    "the plan chooses | first answers after, s |\n|" + "---|" * 11
)


def clock(threads: int, device: torch.device) -> Callable[[], float]:
    """Processor time of this thread where it does all the work; the clock on the wall otherwise."""
    if device.type == "cpu":
        return time.thread_time if threads == 1 else time.perf_counter

    def waited() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return waited


def best_batch(run: Callable[[Tensor], object], image: Tensor, now: Callable[[], float]) -> tuple[int, float]:
    """The batch at which a pass costs least, and what it costs."""
    seconds = {}
    for batch in BATCHES:
        inputs = image.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        run(inputs)
        began = now()
        run(inputs)
        seconds[batch] = (now() - began) / batch
    batch = min(seconds, key=seconds.__getitem__)
    return batch, seconds[batch]


def measure(name: str, size: int, patch: int, stride: int, threads: int, repeats: int, device: torch.device) -> Row:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision on the initialisation of googlenet and inception_v3
        module: nn.Module = getattr(torchvision.models, name)(weights=None).eval().to(device)
    image = torch.randn(1, 3, size, size, device=device)
    corners = positions(size, patch, stride)
    windows = np.concatenate([corners, np.full((len(corners), 2), patch)], axis=1)
    fill = torch.zeros(3, size, size, device=device)
    now = clock(threads, device)
    with torch.inference_mode():
        folded = fuse(module).to(memory_format=torch.channels_last)
        began = now()
        engine = IncrementalEngine(module, image)
        plan = engine.plan(windows)
        next(engine.batches(windows, fill, plan=plan))
        first = now() - began

        def traced(inputs: Tensor) -> Tensor:
            return run_whole(engine.program, inputs)

        forms = {"folded": folded, "traced": traced}
        batches = {form: best_batch(run, image, now)[0] for form, run in forms.items()}
        seconds: dict[str, list[float]] = {"folded": [], "traced": [], "incremental": []}
        for _ in range(repeats):
            for form, run in forms.items():
                batch = batches[form]
                rounds = max(1, DENSE_SAMPLE // batch)
                inputs = image.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
                began = now()
                for _ in range(rounds):
                    run(inputs)
                seconds[form].append((now() - began) / (rounds * batch))
            began = now()
            engine.scores(windows, fill, plan=plan)
            seconds["incremental"].append(now() - began)
    pairs = list(zip(seconds["folded"], seconds["traced"], seconds["incremental"], strict=True))
    count = len(windows)
    return Row(
        name,
        count,
        count / plan.forward_equivalents,
        statistics.median(seconds["folded"]),
        statistics.median(seconds["traced"]),
        statistics.median(seconds["incremental"]),
        statistics.median(count * a / c for a, _, c in pairs),
        statistics.median(count * min(a, b) / c for a, b, c in pairs),
        plan.pays,
        first,
    )


def report(arguments: argparse.Namespace) -> Iterator[str]:
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    count = len(positions(arguments.size, arguments.patch, arguments.stride))
    yield "# Exact incremental occlusion against dense\n"
    yield "Made by `python benchmarks/occlusion_exact.py " + " ".join(arguments.given) + "`.\n"
    yield (__doc__ or "").split("\n\n", 2)[2]
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    yield (
        f"{arguments.size} px, patch {arguments.patch}, stride {arguments.stride}: {count} positions. {machine}, "
        f"{arguments.threads} thread(s), torch {torch.__version__}, {arguments.repeats} pairs, load average "
        f"{os.getloadavg()[0]:.1f} when it began.\n"
    )
    yield HEADER
    for name in arguments.models.split(","):
        row = measure(
            name, arguments.size, arguments.patch, arguments.stride, arguments.threads, arguments.repeats, device
        )
        yield row.cells(MODELS.get(name))
    yield ""
    yield (
        'Where the plan chooses "dense", `incremental_occlusion` runs dense passes, so that nothing is slower than '
        "dense; the ratio in the row is what the incremental way would have given."
    )


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args(given)
    arguments.given = sys.argv[1:] if given is None else given
    lines = []
    for line in report(arguments):
        print(line, flush=True)
        lines.append(line)
        if arguments.output:  # after each row: a run that is stopped keeps what it has
            arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
