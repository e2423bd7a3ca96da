"""Exact incremental occlusion against the strongest dense form: what benchmarks/occlusion_exact.py measures, kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import occlusion_exact
import torch

from occlusion_parts.results import Deadline, Results, machine

SIZE, PATCH, STRIDE, REPEATS = 224, 16, 8, 3
# the ratio that is asked for on one thread, where one is
TARGETS: dict[str, float | None] = {
    "vgg16": 7.0,
    "squeezenet1_0": 5.0,
    "resnet50": 2.4,
    "mobilenet_v2": 2.0,
    "densenet121": 1.8,
    "inception_v3": None,
}


POINTER = (
    "Fifteen networks, the forms of dense that were tried, and each ratio that is asked for: see *Exact incremental "
    "occlusion against dense*, made by `python benchmarks/occlusion_exact.py`. Dense passes cost the same at every "
    "position, so a sample of them is timed and counted up."
)


def measure(results: Results, deadline: Deadline, networks: tuple[str, ...]) -> None:
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for network in networks:
            if deadline.over:
                return
            if not results.has(name=network, threads=threads):
                row = occlusion_exact.measure(network, SIZE, PATCH, STRIDE, threads, REPEATS, torch.device("cpu"))
                results.add(threads=threads, **asdict(row))
                print(f"{network}, {threads} thread(s)", flush=True)


def tables(results: Results) -> Iterator[str]:
    yield POINTER
    yield ""
    if not results.rows:
        return
    yield (
        "| network | threads | dense, ms a position | incremental, ms a position | times faster | target, one thread |"
    )
    yield "|---|---|---|---|---|---|"
    for row in results.rows:
        target = TARGETS.get(row["name"])
        verdict = ""
        if row["threads"] == 1 and target is not None:
            verdict = f"{target:g}: {'reached' if row['ratio_strongest'] >= target else 'MISSED'}"
        yield (
            f"| {row['name']} | {row['threads']} | {1e3 * min(row['folded'], row['traced']):.1f} | "
            f"{1e3 * row['incremental'] / row['positions']:.2f} | {row['ratio_strongest']:.2f} | {verdict} |"
        )
    yield ""
    yield "One thread by its processor time, two by the clock. " + machine(results.rows)
