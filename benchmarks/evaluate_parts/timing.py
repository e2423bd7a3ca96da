"""Processor time of each row by each package, one after another, and that again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evaluate_parts.peers import BATCH, quantus
from evaluate_parts.rows import Row
from evaluate_parts.subjects import Subject
from workbench import evaluate
from workbench.explain import at_once


@dataclass(frozen=True)
class Timing:
    """Processor seconds of the repeats, and the pictures that the network was given in one."""

    seconds: list[float]
    pictures: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(row: Row, subject: Subject, repeats: int) -> dict[str, Timing]:
    """Every package in turn, and that again; one run of each before is not counted."""
    seen = subject.model.module.seen
    pictures, seconds = {}, {name: [] for name in row.works}
    for name, work in row.works.items():
        seen[0] = 0
        work()
        pictures[name] = seen[0]
    for _ in range(repeats):
        for name, work in row.works.items():
            began = time.process_time()
            work()
            seconds[name].append(time.process_time() - began)
    return {name: Timing(seconds[name], pictures[name]) for name in row.works}


def forward_seconds(subject: Subject) -> float:
    """Processor seconds of the network alone, a picture."""
    size = at_once(subject.inputs, BATCH)
    batch = subject.inputs[torch.arange(size) % len(subject.inputs)]
    times = []
    with torch.inference_mode():
        for _ in range(10):
            began = time.process_time()
            subject.model.logits(batch)
            times.append((time.process_time() - began) / size)
    return statistics.median(times[1:])


def table(
    subject: Subject,
    found: Iterator[Row],
    repeats: int,
    slower: list[str],
    *,
    peers: Sequence[str] = ("captum", "Quantus"),
) -> Iterator[str]:
    alone = forward_seconds(subject)
    yield (
        "| metric | pictures a heatmap (in the order of the packages) | forward passes, ms | workbench, ms | "
        f"{' | '.join(f'{name}, ms' for name in peers)} | times faster (least to most) |"
    )
    yield "|---" * (5 + len(peers)) + "|"
    for row in found:
        timings, count = measure(row, subject, repeats), row.images or len(subject.inputs)
        ours = timings["workbench"]
        pictures = ", ".join(f"{timing.pictures / count:.1f}" for timing in timings.values())
        cells = [f"{1000 * ours.median / count:.2f}"]
        ratios = []
        for name in peers:
            if name not in timings:
                cells.append("not installed" if name == "Quantus" and quantus is None else "-")
                continue
            timing = timings[name]
            cells.append(f"{1000 * timing.median / count:.2f}")
            each = [theirs / mine for theirs, mine in zip(timing.seconds, ours.seconds, strict=True)]
            ratios.append(f"{name} {statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})")
            if statistics.median(each) < 1:
                slower.append(f"{row.title}, {subject.name}, against {name}: {statistics.median(each):.2f} times")
        passes = f"{1000 * alone * ours.pictures / count:.2f}" if ours.pictures else "-"
        yield f"| {row.title} | {pictures} | {passes} | {' | '.join(cells)} | {'; '.join(ratios) or '-'} |"


def scaling(subject: Subject, repeats: int) -> Iterator[str]:
    """Milliseconds a heatmap by the number of images."""
    counts = [count for count in (1, 4, 16, 64) if count <= len(subject.inputs)]
    yield f"| metric | {' | '.join(f'{count} images' for count in counts)} |"
    yield f"|---|{'---|' * len(counts)}"
    metrics: dict[str, Callable[[Subject], Any]] = {
        "deletion, 50 steps": lambda some: evaluate.deletion(some.heat, some.model, some.inputs, batch_size=BATCH),
        "ROAD, 9 shares": lambda some: evaluate.road(some.heat, some.model, some.inputs, batch_size=BATCH),
        "max-sensitivity of saliency": lambda some: evaluate.max_sensitivity(
            "saliency", some.model, some.inputs, batch_size=BATCH
        ),
        "sparseness": lambda some: evaluate.sparseness(some.heat),
    }
    for title, metric in metrics.items():
        cells = []
        for count in counts:
            some = subject.some(count)
            work = Row(title, {"workbench": lambda some=some, metric=metric: metric(some)})
            cells.append(f"{1000 * measure(work, some, repeats)['workbench'].median / count:.2f}")
        yield f"| {title} | {' | '.join(cells)} |"
