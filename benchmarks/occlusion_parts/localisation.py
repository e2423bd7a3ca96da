"""Does a map lie on the object: pointing game and box IoU of ours and of the rivals at reduced budgets."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from occlusion_parts.results import ROOT, Deadline, Results, machine, mean, timed
from occlusion_parts.rivals import FRUGAL_BUDGET, photographs_of
from occlusion_parts.subjects import pretrained
from workbench import data, evaluate, explain, models, stats
from workbench.data import Box
from workbench.errors import MissingFileError
from workbench.evaluate.localisation import FRACTIONS
from workbench.evaluate.regions import object_boxes
from workbench.explain.incremental import incremental_occlusion

TABLE = ROOT / "benchmarks" / "imagenet_to_coco.csv"
VOC_TO_COCO = {
    "aeroplane": "airplane", "motorbike": "motorcycle", "diningtable": "dining table", "pottedplant": "potted plant",
    "sofa": "couch", "tvmonitor": "tv",
}  # fmt: skip
SCENE_SEED = 2_000_003  # neither the networks' training nor their held-out set
BEST = 5  # a category counts as seen by the network where one of its classes is among so many best
LEAST_AREA = 0.01  # of the network's input
TOLERANCE = 7.0  # pixels of 224: as 15 on photographs of some 500
SCENE_TOLERANCE = 3.0  # pixels of 96
OURS, REFERENCE = "ours", "Grad-CAM (no perturbation)"
FRUGAL = f"ours, budget {FRUGAL_BUDGET}"


@dataclass(frozen=True)
class Setting:
    """What is compared on.

    Attributes:
        data: ``"voc2007"``, ``"coco2014"``, ``"imagenet"``, or None for the photographs of the mirror and scenes.
        path: where the data are.
        weights: ``"torchvision"`` to download them; None for those of the mirror.
        evaluations: forward-equivalents of each rival, about.
        images: pairs of photograph and category, or scenes, at most.
    """

    data: str | None
    path: Path | None
    weights: str | None
    evaluations: int
    images: int


@dataclass(frozen=True, eq=False)
class Pair:
    """A photograph, a category that is in it, and where."""

    name: str
    inputs: torch.Tensor
    target: int
    mask: NDArray[np.bool_]
    boxes: tuple[Box, ...]


def methods(evaluations: int) -> dict[str, Callable[..., xr.DataArray]]:
    """Every method at a cost of about so many forward-equivalents; ours at its default of 96."""
    return {
        OURS: partial(explain.multi_resolution_occlusion),
        FRUGAL: partial(explain.multi_resolution_occlusion, budget=FRUGAL_BUDGET),
        "exact occlusion, an eighth of the side": partial(incremental_occlusion, baseline="mean"),
        f"RISE, {evaluations} masks": partial(explain.rise, masks=evaluations),
        f"LIME, {evaluations} samples": partial(explain.lime, samples=evaluations),
        "HiPe, 8 cells, 2 levels": partial(explain.hipe, levels=2),
        f"hierarchical search, {evaluations} windows": partial(
            explain.hierarchical_occlusion, budget=evaluations, baseline="mean"
        ),
        f"meaningful perturbation, {evaluations // 3} iterations": partial(
            explain.meaningful_perturbation, iterations=evaluations // 3
        ),
        f"extremal perturbation, {evaluations // 3} iterations": partial(
            explain.extremal_perturbation, iterations=evaluations // 3
        ),
        REFERENCE: partial(explain.gradcam),
    }


def categories() -> dict[str, list[int]]:
    """COCO's categories with the ImageNet classes that are of them."""
    found: dict[str, list[int]] = defaultdict(list)
    with TABLE.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            found[row["coco"]].append(int(row["index"]))
    return dict(found)


def measure(results: Results, deadline: Deadline, setting: Setting) -> None:
    if setting.data == "imagenet":
        raise SystemExit("There is no loader for ImageNet's boxes: use --data voc2007 or coco2014 for localisation.")
    if setting.data is None:
        _measure_on(results, deadline, "rendered scenes", *scene_pairs(setting.images), setting, SCENE_TOLERANCE)
    name = setting.data or "COCO photographs"
    model = models.load("mobilenet_v2") if setting.weights == "torchvision" else pretrained("mobilenet_v2")
    pairs = photograph_pairs(model, sources(setting))
    mixed = [pairs[index] for index in np.random.default_rng(0).permutation(len(pairs))[: setting.images]]
    print(f"{name}: {len(pairs)} pairs of photograph and category", flush=True)
    _measure_on(results, deadline, name, model, mixed, setting, TOLERANCE, len(pairs))


def sources(setting: Setting) -> list[data.ImageSource]:
    if setting.data is not None:
        return [photographs_of(setting.data, setting.path)]
    try:
        return [data.coco_train128(masks="object"), data.coco_panoptic(masks="object")]
    except MissingFileError as error:
        raise SystemExit(f"COCO's photographs are not there: {error}") from error


def photograph_pairs(model: models.ImageModel, found: list[data.ImageSource]) -> list[Pair]:
    """Photographs with a category that the network sees among its best five classes; its best class is explained."""
    table, pairs = categories(), []
    for source in found:
        for number in range(len(source)):
            annotated = source[number]
            objects = _objects(annotated)
            wanted = {name: masks for name, masks in objects.items() if name in table}
            if not wanted:
                continue
            inputs = model.prepare(data.Subset(source, np.array([number])))
            with torch.no_grad():
                logits = model.logits(inputs)[0]
            best = set(logits.topk(BEST).indices.tolist())
            for name, masks in wanted.items():
                target = max(table[name], key=lambda index: float(logits[index]))
                visible = _visible(masks, model)
                if target in best and visible.any(axis=0).mean() >= LEAST_AREA:
                    boxes = tuple(Box(name, *edges[[1, 0, 3, 2]].tolist()) for edges in object_boxes(visible))
                    pairs.append(Pair(f"{annotated.identifier}:{name}", inputs, target, visible.any(axis=0), boxes))
    return pairs


def _objects(annotated: data.AnnotatedImage) -> dict[str, list[NDArray[np.bool_]]]:
    """The masks of each category's objects; boxes filled where there are no masks. Names as in COCO."""
    found: dict[str, list[NDArray[np.bool_]]] = defaultdict(list)
    for name, mask in annotated.masks.items():
        kind = name.rsplit(" ", 1)[0]
        found[VOC_TO_COCO.get(kind, kind)].append(mask)
    if not found:
        for box in annotated.boxes:
            mask = np.zeros(annotated.image.shape[:2], bool)
            mask[round(max(box.top, 0)) : round(box.bottom), round(max(box.left, 0)) : round(box.right)] = True
            found[VOC_TO_COCO.get(box.category, box.category)].append(mask)
    return found


def _visible(masks: list[NDArray[np.bool_]], model: models.ImageModel) -> NDArray[np.bool_]:
    """(object, y, x) bool on the network's input, objects that are cut off left out."""
    on_grid = np.asarray(evaluate.masks_on_grid(masks, model).values, bool)
    return on_grid[on_grid.any(axis=(1, 2))]


def scene_pairs(count: int) -> tuple[models.ImageModel, list[Pair]]:
    """Rendered scenes with the shape that gives them their label; the label is explained."""
    model = models.load("scenes_object")
    rendered = data.scenes.generate("object", count, seed=SCENE_SEED)
    inputs = model.prepare(rendered)
    pairs = []
    for number in range(count):
        mask = rendered["object_mask"].values[number, 0]
        top, left, bottom, right = object_boxes(mask[None])[0].tolist()
        box = Box("object", left, top, right, bottom)
        name = str(rendered["image"].values[number])
        pairs.append(Pair(name, inputs[number : number + 1], int(rendered["label"][number]), mask, (box,)))
    return model, pairs


def _measure_on(
    results: Results,
    deadline: Deadline,
    name: str,
    model: models.ImageModel,
    pairs: list[Pair],
    setting: Setting,
    tolerance: float,
    all_pairs: int | None = None,
) -> None:
    for pair in pairs:
        for method, work in methods(setting.evaluations).items():
            key = {"data": name, "pair": pair.name, "method": method}
            if results.has(**key):
                continue
            if deadline.over:
                return
            found, seconds = timed(partial(work, model, pair.inputs, target=pair.target))
            spent = found.coords["forward_equivalents"].values[0] if "forward_equivalents" in found.coords else None
            if spent is None:
                spent = found.attrs.get("forward_equivalents", found.attrs.get("evaluations", 1))
                spent = spent + 2 * found.attrs.get("gradients", int(method == REFERENCE))
            results.add(
                **key, of=all_pairs or len(pairs), forward_equivalents=float(spent), wall=seconds.wall,
                processor=seconds.processor, **judged(found, pair, tolerance),
            )  # fmt: skip


def judged(found: xr.DataArray, pair: Pair, tolerance: float) -> dict[str, Any]:
    """Where the map points, and how its box overlaps with the object's at each threshold."""
    mask = xr.DataArray(pair.mask[None], dims=("image", "y", "x"), coords={"image": found["image"]})
    pointing = evaluate.pointing_game(found, mask, tolerance=tolerance)
    overlap = evaluate.box_iou(found, [pair.boxes])
    return {
        "pointing": float(pointing["score"][0]),
        "centre": float(pointing["centre"][0]),
        "overlap": [round(float(value), 5) for value in overlap["score"].values[0]],
        "chance": float(overlap["chance"].values[0, 0]),
    }


def tuned(overlap: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Each pair's box IoU at the threshold that was best on the other half, as ``evaluate.cross_tuned``."""
    half = np.zeros(len(overlap), int)
    half[np.random.default_rng(seed).permutation(len(overlap))] = np.arange(len(overlap)) % 2
    chosen = np.zeros(len(overlap), int)
    for number in (0, 1):
        chosen[half == number] = overlap[half != number].mean(axis=0).argmax()
    return overlap[np.arange(len(overlap)), chosen]


def tables(results: Results) -> Iterator[str]:
    if not results.rows:
        yield "Nothing is measured yet."
    for name in dict.fromkeys(row["data"] for row in results.rows):
        yield from _table(name, results.of(data=name))


def _table(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    by: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        by[row["method"]][row["pair"]] = row
    shared = sorted(set.intersection(*(set(found) for found in by.values())))
    if len(shared) < 4:
        yield f"### {name}: only {len(shared)} measured by every method yet"
        yield ""
        return
    scores = {
        method: {
            "pointing": np.asarray([found[pair]["pointing"] for pair in shared]),
            "box": tuned(np.asarray([found[pair]["overlap"] for pair in shared])),
        }
        for method, found in by.items()
    }
    first = [by[OURS][pair] for pair in shared]
    yield f"### {name}: n = {len(shared)} of {rows[0]['of']}"
    yield ""
    yield "| method | forward-equivalents | pointing game | box IoU | processor s |"
    yield "|---|---|---|---|---|"
    for method, found in scores.items():
        some = [by[method][pair] for pair in shared]
        spent, seconds = (np.mean([row[kind] for row in some]) for kind in ("forward_equivalents", "processor"))
        yield f"| {method} | {spent:.0f} | {mean(found['pointing'])} | {mean(found['box'])} | {seconds:.2f} |"
    yield (
        f"| the centre; the whole image | 0 | {mean([row['centre'] for row in first])} | "
        f"{mean([row['chance'] for row in first])} | |"
    )
    yield ""
    for ours in (OURS, FRUGAL):
        for kind, title in (("pointing", "pointing game"), ("box", "box IoU")):
            yield _verdict(title, kind, ours, scores)
    yield ""
    yield (
        f"Thresholds of the box ({', '.join(f'{value:g}' for value in FRACTIONS)} of the maximum) are chosen on the "
        "other half of the images, for every method alike. " + machine(rows)
    )
    yield ""


def _verdict(title: str, kind: str, ours: str, scores: dict[str, dict[str, NDArray[np.float64]]]) -> str:
    rivals = {method: found[kind] for method, found in scores.items() if method not in (OURS, FRUGAL, REFERENCE)}
    best = max(rivals, key=lambda method: float(rivals[method].mean()))
    difference = stats.bootstrap(scores[ours][kind] - rivals[best])
    verdict = "no worse within the interval" if difference.high >= 0 else "WORSE"
    return (
        f"- {ours}, {title}, minus the best rival ({best}): {difference.value:+.3f} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}], paired: {verdict}."
    )
