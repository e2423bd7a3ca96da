"""Relations of trained networks, tested on rendered scenes.

    python benchmarks/relations_scenes.py [--scenes 600] [--birds 300] [--output docs/benchmarks/relations_scenes.md]

*Swapping.* The graph holds the causal edges from ``layer4`` to the logits of ``scenes_relation``, found on 300 scenes.
On other scenes two objects swap places, the first is moved, or it is taken away. *Foretold by the edges* is the
change of a logit from the slopes of the edges, given how the means of the source maps move. *By place* takes a slope
for each of 3 x 3 cells, measured by intervention on 150 of the 300 scenes. *Transplanted* is its change where the
sources of the graph, and no other unit, do in the picture before what they do in the picture after. All are compared
with how the logit moves, by Spearman's rank correlation over all changes and all four logits. Two controls are about
the edges: *slopes dealt anew* gives the slopes by place to other units, and *as many other units* measures slopes by
place of as many units drawn at random for each logit: what the choice of the edges adds. Intervals are 95 % bootstrap
intervals over scenes.

*The generator.* An edge agrees if its sign is that of the difference of the source, between scenes in which the
relation that the target names holds and the same scenes with both objects swapped, in which it does not.

*Drift.* The graphs of ``scenes_object`` and ``scenes_object_confounded``, units named by what must be changed for them
to change (the mark, the object), and in which category they change most. A shortcut edge runs from units that answer
to the mark of a category to the logit of that category. *Coarse* names leave the category out.

*Parts.* Two parts of a scene have a displacement, that of the centres of their masks. Units are linked to a part by
dissection (the best IoU of each part). Of each pair of parts, the displacement of their units' soft maxima (that of
``spatial_edges``) is compared with that of the masks: the angle between both medians. The null deals the units to the
parts anew, 500 times.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from workbench import models
from workbench.data import scenes
from workbench.interpret import dissect, observe, relations
from workbench.models import ImageModel
from workbench.stats import spearman

SOURCE, TARGET = "layer4", "classifier"
FOUND_ON, TESTED_ON = 77, 9001  # seeds
SHARES = (0.5, 0.2, 0.0)  # of ``least_share``; 0.5 is the default
RESAMPLES = 999
PLACED_ON, CONTROLLED, DRAWS = 150, 200, 3  # scenes, scenes, and draws of each control


def rendered(drawn: Sequence[scenes.Scene], size: int = 96) -> np.ndarray:
    return np.stack([scene.render(size).image for scene in drawn])


def interval(first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> str:
    """Spearman over all entries, with an interval from scenes drawn again."""
    generator = np.random.default_rng(seed)
    value = float(spearman(first.ravel(), second.ravel()))
    drawn = []
    for _ in range(RESAMPLES):
        rows = generator.integers(len(first), size=len(first))
        drawn.append(float(spearman(first[rows].ravel(), second[rows].ravel())))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


# T1: swaps, moves and removals.


def interventions(count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name to pictures before and after; the same scenes each time."""
    drawn = [scenes.sample_scene("relation", index, seed=TESTED_ON).scene for index in range(count)]
    generator = np.random.default_rng(0)
    some = drawn[: count // 2]
    before = rendered(drawn)
    places = [tuple(generator.uniform(0.15, 0.85, 2)) for _ in some]
    return {
        "swapped": (before, rendered([scene.swap(0, 1) for scene in drawn])),
        "first moved": (
            before[: len(some)],
            rendered([scene.move(0, place) for scene, place in zip(some, places, strict=True)]),
        ),
        "first removed": (before[: len(some)], rendered([scene.remove(0) for scene in some])),
    }


def controls(
    wires: relations.Wiring, model: ImageModel, pictures: np.ndarray, before: np.ndarray, after: np.ndarray
) -> tuple[str, str]:
    """Slopes dealt to other units, and other units with slopes of their own: mean rank correlation and extremes."""
    dealt, others = [], []
    for seed in range(DRAWS):
        generator = np.random.default_rng(seed)
        moved = relations.change_scene(replace(wires, **shuffled(wires, generator)), model, before, after)
        dealt.append(correlation(moved))
        drawn = np.zeros_like(wires.wired)
        for column, amount in enumerate(wires.wired.sum(axis=0)):
            drawn[generator.choice(len(drawn), int(amount), replace=False), column] = True
        other = relations.by_place(replace(wires, wired=drawn), model, pictures[:PLACED_ON])
        others.append(correlation(relations.change_scene(other, model, before, after)))
    return tuple(f"{np.mean(each):.3f} ({min(each):.3f} to {max(each):.3f})" for each in (dealt, others))


def shuffled(wires: relations.Wiring, generator: np.random.Generator) -> dict[str, np.ndarray]:
    order = generator.permutation(len(wires.slope))
    return {"wired": wires.wired[order], "slope": wires.slope[order], "placed": wires.placed[order]}


def correlation(moved: xr.Dataset) -> float:
    return float(spearman(moved["predicted"].values.ravel(), moved["measured"].values.ravel()))


def swaps(count: int) -> Iterator[str]:
    model = models.load("scenes_relation")
    source = scenes.SceneSource("relation", 300, seed=FOUND_ON)
    pictures = np.stack([each.image for each in source])
    store = observe(model, pictures, layers=[SOURCE, TARGET])
    changed = interventions(count)
    yield "## Two objects swap places"
    yield ""
    yield (
        f"{count} scenes of seed {TESTED_ON}; half of them for moving and removing. The goal, 0.8, was set for swaps. "
        "`least_share` is how strong an edge must be beside the strongest of its target to be more than marginal."
    )
    yield ""
    yield (
        "| least_share | edges | change | n | foretold by the edges | by place | transplanted | slopes dealt anew | "
        "as many other units |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for share in SHARES:
        graph = relations.causal_edges(model, pictures, source=SOURCE, target=TARGET, interactions=0, least_share=share)
        wires = relations.wiring(graph, store)
        placed = relations.by_place(wires, model, pictures[:PLACED_ON])
        for name, (before, after) in changed.items():
            moved = relations.change_scene(wires, model, before, after)
            measured = moved["measured"].values
            here = relations.change_scene(placed, model, before, after)
            cells = [
                interval(values, measured)
                for values in (moved["predicted"].values, here["predicted"].values, moved["transplanted"].values)
            ]
            if name == "swapped":
                cells += controls(placed, model, pictures, before[:CONTROLLED], after[:CONTROLLED])
            else:
                cells += ["-", "-"]
            yield f"| {share} | {int(wires.wired.sum())} | {name} | {len(measured)} | {' | '.join(cells)} |"
    yield ""
    yield from generator_agreement(model, pictures)


def generator_agreement(model: ImageModel, pictures: np.ndarray) -> Iterator[str]:
    """Signs of edges against what the generator says of the scenes."""
    samples = [scenes.sample_scene("relation", index, seed=TESTED_ON + 1) for index in range(240)]
    label = np.array([sample.label for sample in samples])
    held = observe(model, rendered([sample.scene for sample in samples]), layers=SOURCE)
    swapped = observe(model, rendered([sample.scene.swap(0, 1) for sample in samples]), layers=SOURCE)
    difference = held.dataset(SOURCE)["mean"].values - swapped.dataset(SOURCE)["mean"].values
    yield "### The generator"
    yield ""
    yield (
        "240 scenes, 60 of each category; how the mean of the source's map falls where both objects are swapped, in "
        "the scenes of the category that the edge leads to."
    )
    yield ""
    yield "| least_share | edges | sign as the generator's | weighted by effect |"
    yield "|---|---|---|---|"
    for share in SHARES:
        graph = relations.causal_edges(
            model, pictures, source=SOURCE, target=TARGET, interactions=0, least_share=share
        ).significant()
        moved = np.array([difference[label == edge.target_unit, edge.source_unit].mean() for edge in graph])
        effect = graph.column("effect")
        right = np.sign(moved) == np.sign(effect)
        weight = np.abs(effect)
        yield (
            f"| {share} | {len(graph)} | {right.sum()} of {len(graph)} ({right.mean():.0%}) | "
            f"{(right * weight).sum() / weight.sum():.0%} |"
        )
    yield ""


# Drift.


def drift() -> Iterator[str]:
    yield "## Drift from the clean to the confounded network"
    yield ""
    yield (
        "240 scenes a seed, whose mark agrees with the object in half of them. Rank of the first shortcut edge among "
        "all changes, and how many of the first three are shortcut edges."
    )
    yield ""
    yield "| seed | names | answer to the mark, clean | confounded | first shortcut at | of the first three |"
    yield "|---|---|---|---|---|---|"
    for seed in (4242, 5, 2027, 31):
        samples = [scenes.sample_scene("object_confounded", index, seed=seed, agreement=0.5) for index in range(240)]
        changed = {
            "mark": rendered([sample.scene.set_watermark(None) for sample in samples]),
            "object": rendered([sample.scene.remove(0) for sample in samples]),
        }
        groups = {"mark": [sample.cue for sample in samples], "object": [sample.label for sample in samples]}
        pictures = rendered([sample.scene for sample in samples])
        graphs: dict[str, dict[bool, relations.RelationGraph]] = {}
        share = {}
        for name in ("scenes_object", "scenes_object_confounded"):
            model = models.load(name)
            graph = relations.causal_edges(model, pictures, source=SOURCE, target=TARGET, interactions=0)
            answers = relations.answers_to(
                model, pictures, changed, layer=SOURCE, groups=groups, categories=model.categories
            )["name"].values
            share[name] = sum(str(each).startswith("mark") for each in answers)
            graphs[name] = {}
            for coarse in (False, True):
                called = [str(each).split(" of ")[0] if coarse else str(each) for each in answers]
                names = {(SOURCE, unit): each for unit, each in enumerate(called)}
                names |= {(TARGET, number): each for number, each in enumerate(model.categories)}
                graphs[name][coarse] = relations.with_names(graph, names)
        for coarse in (False, True):
            found = relations.compare(*(each[coarse] for each in graphs.values()), by="name")
            wanted = [
                str(source) == ("mark" if coarse else f"mark of {target}")
                for source, target in zip(found["source_name"].values, found["target_name"].values, strict=True)
            ]
            first = wanted.index(True) + 1 if any(wanted) else None
            yield (
                f"| {seed} | {'coarse' if coarse else 'with category'} | {share['scenes_object']} of 64 | "
                f"{share['scenes_object_confounded']} of 64 | {first or 'never'} | {sum(wanted[:3])} |"
            )
    yield ""


# T2: parts.


def centres(masks: np.ndarray) -> np.ndarray:
    """(image, part, y, x) to (image, part, 2) centres down and to the right; NaN where a part is not there."""
    rows, columns = np.indices(masks.shape[-2:])
    area = masks.sum(axis=(2, 3)).astype(float)
    area[area == 0] = np.nan
    return np.stack([(masks * grid).sum(axis=(2, 3)) / area for grid in (rows, columns)], axis=-1)


def angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Degrees between vectors."""
    dot = (first * second).sum(axis=-1)
    return np.degrees(
        np.arccos(np.clip(dot / (np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)), -1, 1))
    )


def parts_rows(name: str, model: ImageModel, pictures: Any, masks: xr.DataArray, layer: str) -> str:
    """One row: angle error over pairs of parts against units dealt anew."""
    store = observe(model, pictures, layers=layer)
    dissected = dissect(store, masks, layer=layer)
    linked = dissected["iou"].fillna(-1).argmax("unit").values
    score = dissected["iou"].max("unit").values
    part_names = [str(each) for each in masks["part"].values]
    truth = centres(masks.values)
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(part_names)), 2)
        if linked[i] != linked[j] and (~np.isnan(truth[:, [i, j]]).any(axis=(1, 2))).sum() >= 8
    ]
    graph = relations.spatial_edges(
        store, model, pairs=[(layer, layer)], units={layer: sorted({int(each) for each in linked})}
    )
    offset = {}
    for edge in graph:
        if edge.tested:
            vector = np.array([edge.offset_y, edge.offset_x])
            offset[edge.source_unit, edge.target_unit] = vector
            offset[edge.target_unit, edge.source_unit] = -vector
    real = {(i, j): np.nanmedian(truth[:, j] - truth[:, i], axis=0) for i, j in pairs}

    def errors(units: Sequence[int]) -> np.ndarray:
        known = [(i, j) for i, j in pairs if (units[i], units[j]) in offset]
        if not known:
            return np.array([])
        vectors = np.array([offset[units[i], units[j]] for i, j in known])
        moved = np.linalg.norm(vectors, axis=1) > 0
        return angle(vectors[moved], np.array([real[pair] for pair in known])[moved])

    own = errors(linked)
    if not len(own):
        return f"| {name} | {len(pictures)} | {len(part_names)} | 0 | - | - | - | - |"
    generator = np.random.default_rng(0)
    null = np.array([np.mean(errors(generator.permutation(linked))) for _ in range(500)])
    null = null[np.isfinite(null)]
    low, high = np.quantile(null, [0.025, 0.975])
    p_value = (1 + (null <= own.mean()).sum()) / (1 + len(null))
    return (
        f"| {name} | {len(pictures)} | {len(part_names)} ({score.mean():.2f}) | {len(own)} | {np.median(own):.0f}° | "
        f"{own.mean():.0f}° | {null.mean():.0f}° ({low:.0f}° to {high:.0f}°) | {p_value:.3f} |"
    )


def composites(shape: str, count: int) -> str:
    model = models.load("scenes_object")
    samples: list[scenes.Scene] = []
    index = 0
    while len(samples) < count:
        sample = scenes.sample_scene("object", index, seed=515)
        index += 1
        if sample.scene.objects[0].shape == shape:
            samples.append(sample.scene)
    drawings = [scene.render(96) for scene in samples]
    names = sorted({part.name for scene in samples for part in scene.objects[0].parts})
    masks = np.zeros((count, len(names), 96, 96), dtype=bool)
    for row, drawing in enumerate(drawings):
        for number, (owner, each) in enumerate(drawing.parts):
            if owner == 0:
                masks[row, names.index(each)] |= drawing.part_masks[number]
    array = xr.DataArray(masks, dims=("image", "part", "y", "x"), coords={"part": names})
    return parts_rows(
        f"{shape}s, `scenes_object`, layer3", model, np.stack([d.image for d in drawings]), array, "layer3"
    )


def report(options: argparse.Namespace) -> Iterator[str]:
    yield "# Relations of trained networks"
    yield ""
    yield "```"
    yield (
        f"python benchmarks/relations_scenes.py --scenes {options.scenes} --birds {options.birds} "
        "--output docs/benchmarks/relations_scenes.md"
    )
    yield "```"
    yield ""
    yield (__doc__ or "").split("\n\n", 2)[2].strip()
    yield ""
    yield (
        f"Measured with one thread ({platform.machine()}), Python {platform.python_version()}, torch "
        f"{torch.__version__}, {time.strftime('%Y-%m-%d')}, load average {os.getloadavg()[0]:.1f}."
    )
    yield ""
    sections: dict[str, Callable[[], Iterator[str]]] = {
        "swaps": lambda: swaps(options.scenes), "drift": drift, "parts": lambda: parts(options),
    }  # fmt: skip
    for name, section in sections.items():
        if not options.only or name in options.only:
            yield from section()


def parts(options: argparse.Namespace) -> Iterator[str]:
    yield "## Parts and the units that are linked to them"
    yield ""
    yield "| pictures | n | parts (mean best IoU) | pairs | median error | mean error | dealt anew (95 %) | p |"
    yield "|---|---|---|---|---|---|---|---|"
    for shape in ("bird", "house", "flower"):
        yield composites(shape, options.birds)
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--birds", type=int, default=300)
    parser.add_argument("--only", nargs="*", default=[], help="sections: swaps, drift, parts")
    parser.add_argument("--output", type=Path, help="write the report here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        lines = list(report(options))
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
