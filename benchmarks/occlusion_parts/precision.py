"""What bfloat16 costs: every explainer in bfloat16 against itself in float32, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from occlusion_parts.results import Deadline, Results, machine, timed
from occlusion_parts.subjects import DEVELOPMENT, photographs, pretrained
from workbench import data, explain, models
from workbench.models import ImageModel

SHIPPED = ("scenes_object", "digits")
# where a default would take minutes an image; what is left out is as its card says
BUDGETS: dict[str, dict[str, Any]] = {
    "extremal_perturbation": {"iterations": 60},
    "hipe": {"levels": 2},
    "kernel_shap": {"samples": 250},
    "lime": {"samples": 250},
    "meaningful_perturbation": {"iterations": 60},
    "multi_resolution_occlusion": {"budget": 60},
    "rise": {"masks": 500},
    "smoothgrad": {"samples": 10},
}


@cache
def network(name: str) -> ImageModel:
    return models.load(name) if name in SHIPPED else pretrained(name)


@cache
def halved(name: str) -> ImageModel:
    """The same network in bfloat16."""
    model = network(name)
    return replace(model, module=deepcopy(model.module).to(torch.bfloat16))


def images(name: str, count: int) -> list[tuple[str, Any]]:
    """Images that the network is made for, with their names."""
    if name == "digits":
        source: data.ImageSource = data.digits()
    elif name in SHIPPED:
        source = data.scenes.SceneSource("object", count, seed=11)
    else:
        return photographs(DEVELOPMENT)[:count]
    return [(source.identifiers[index], data.Subset(source, [index])) for index in range(count)]


def measure(results: Results, deadline: Deadline, networks: tuple[str, ...], count: int) -> None:
    for name in networks:
        for identifier, image in images(name, count if name in SHIPPED else max(1, count // 4)):
            for method in sorted(explain.explainers):
                if deadline.over:
                    return
                if not results.has(network=name, image=identifier, method=method):
                    results.add(network=name, image=identifier, method=method, **compare(name, image, method))
            print(f"{name}, {identifier}", flush=True)


def compare(name: str, image: Any, method: str) -> dict[str, Any]:
    """How far the map in bfloat16 is from that in float32, of the category that float32 predicts."""
    options = BUDGETS.get(method, {})
    exact, full = timed(lambda: explain.explain(method, network(name), image, **options))
    target = int(exact["target"][0])
    rough, half = timed(lambda: explain.explain(method, halved(name), image, target=target, **options))
    before, after = (found["signed"].values[0].astype(float) for found in (exact, rough))
    flat = np.ptp(before) == 0 or np.ptp(after) == 0
    return {
        "spearman": None if flat else float(spearmanr(before.ravel(), after.ravel()).statistic),
        "error": float(np.abs(after - before).max() / max(np.abs(before).max(), 1e-30)),
        "float32": full.processor,
        "bfloat16": half.processor,
    }


def tables(results: Results) -> Iterator[str]:
    if not results.rows:
        yield "Nothing is measured yet."
        return
    budgets = ", ".join(
        f"{method} {value} {name}" for method, chosen in BUDGETS.items() for name, value in chosen.items()
    )
    yield (
        "Weights, images and activations in bfloat16, which has eight bits of precision, against float32; the same "
        "category, seed and parameters. A score of 20 is rounded to steps of an eighth, so methods that look at small "
        "falls of a large score lose most. The largest error is that of a pixel, as a share of the map's largest "
        f"value. Budgets other than the defaults: {budgets}. Scenes and digits for the shipped networks, photographs "
        "for the others. LIME and KernelSHAP cut superpixels out of rounded colours, so that some pixels change sides; "
        "a digit's superpixels are single pixels, whose own mean colour hides nothing, so their maps are flat there."
    )
    for name in dict.fromkeys(row["network"] for row in results.rows):
        rows = results.of(network=name)
        yield ""
        count = len({row["image"] for row in rows})
        yield f"### {name}, {count} image{'' if count == 1 else 's'}"
        yield ""
        yield (
            "| method | Spearman, mean | Spearman, lowest | largest error, mean | largest error, most | processor s, "
            "float32 | processor s, bfloat16 |"
        )
        yield "|---|---|---|---|---|---|---|"
        for method in dict.fromkeys(row["method"] for row in rows):
            yield _row(method, results.of(network=name, method=method))
    yield ""
    yield machine(results.rows)


def _row(method: str, rows: list[dict[str, Any]]) -> str:
    ranks = [row["spearman"] for row in rows if row["spearman"] is not None]
    told = f"{np.mean(ranks):.3f} | {min(ranks):.3f}" if ranks else "a flat map | "
    errors = [row["error"] for row in rows]
    seconds = " | ".join(f"{np.median([row[kind] for row in rows]):.2f}" for kind in ("float32", "bfloat16"))
    return f"| {method} | {told} | {np.mean(errors):.3f} | {max(errors):.3f} | {seconds} |"
