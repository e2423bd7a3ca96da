"""How soon there is something to see, and how soon it is certified."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch

from occlusion_parts.results import Deadline, Results, machine
from occlusion_parts.subjects import DEVELOPMENT, photographs, pretrained
from workbench import data, models
from workbench.explain import multi_resolution_steps

WANTED = 0.9
SHIPPED, LARGE = "scenes_object", "mobilenet_v2"
# seconds by the clock on two cores: to the first map, and to the certified one where that is asked
GOALS: dict[str, tuple[float, float | None]] = {SHIPPED: (0.3, None), LARGE: (1.5, 3.0)}
PATCHES: dict[str, dict[str, tuple[int, ...] | None]] = {
    "the default three patches": {"patches": None, "strides": None},
    "one patch, 16 stride 8": {"patches": (16,), "strides": (8,)},
}


def subjects(network: str, images: int) -> tuple[models.ImageModel, list[tuple[str, Any]]]:
    if network == LARGE:
        return pretrained(LARGE), photographs(DEVELOPMENT)[:images]
    model = models.load(SHIPPED)
    rendered = data.scenes.generate("object", images, seed=7_000_001, masks=False)
    inputs = model.prepare(rendered)
    return model, [(str(name), inputs[i : i + 1]) for i, name in enumerate(rendered["image"].values)]


def measure(results: Results, deadline: Deadline, images: int) -> None:
    for network in GOALS:
        model, chosen = subjects(network, images)
        for name, source in chosen:
            for patches, sizes in PATCHES.items():
                key = {"network": network, "image": name, "patches": patches, "threads": torch.get_num_threads()}
                if results.has(**key):
                    continue
                if deadline.over:
                    return
                if not results.has(network=network, patches=patches):
                    run(model, source, sizes)  # the panel has loaded the network and predicted before
                results.add(**key, **run(model, source, sizes))
        print(network, flush=True)


def run(model: models.ImageModel, source: Any, sizes: dict[str, tuple[int, ...] | None]) -> dict[str, float | None]:
    """Seconds to the first map and to the first that is certified at 0.9, by the clock and by the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    found: dict[str, float | None] = {"first_wall": None, "first_processor": None, "wall": None, "processor": None}
    for newest in multi_resolution_steps(model, source, fidelity=WANTED, **sizes):  # type: ignore[arg-type]
        passed = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        if found["first_wall"] is None:
            found |= {"first_wall": passed["wall"], "first_processor": passed["processor"]}
        if found["wall"] is None and float(newest.heatmap["certificate"].fillna(0)[0]) >= WANTED:
            found |= passed
    return found


def tables(results: Results) -> Iterator[str]:
    if not results.rows:
        yield "Nothing is measured yet."
        return
    yield (
        "| network | patches | threads | n | first map, s by the clock (processor s) | goal | certified at 0.9, s by "
        "the clock (processor s) | goal |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for network, (first_goal, goal) in GOALS.items():
        for patches, threads in product(PATCHES, (1, 2)):
            rows = results.of(network=network, patches=patches, threads=threads)
            if not rows:
                continue
            certified = [row for row in rows if row["wall"] is not None]
            first = [float(np.median([row[name] for row in rows])) for name in ("first_wall", "first_processor")]
            later = [float(np.median([row[name] for row in certified] or [np.nan])) for name in ("wall", "processor")]
            yield (
                f"| {network} | {patches} | {threads} | {len(rows)} | {first[0]:.2f} ({first[1]:.2f}) | "
                f"{first_goal:g}: {_verdict(first[0], first_goal)} | {later[0]:.2f} ({later[1]:.2f}), "
                f"{len(certified)} of {len(rows)} | {'' if goal is None else f'{goal:g}: {_verdict(later[0], goal)}'} |"
            )
    yield ""
    yield (
        "Medians; the network is loaded and has predicted before, as in the panel; drawing in the browser is not "
        "counted. Development photographs. Threads that wait for each other spin: where other work holds the cores, "
        "two take far longer than one. " + machine(results.rows)
    )


def _verdict(value: float, goal: float) -> str:
    return "reached" if value <= goal else "MISSED at this load"
