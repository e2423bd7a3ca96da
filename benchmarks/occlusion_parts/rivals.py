"""The published ratios: how long each rival takes at a stated budget, over what our own method takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.transform import resize

from occlusion_parts.results import Deadline, Results, code, machine, timed
from occlusion_parts.subjects import untrained
from workbench import data, models
from workbench.errors import MissingFileError
from workbench.explain import extremal_perturbation, lime, meaningful_perturbation, multi_resolution_occlusion, rise
from workbench.explain.baselines import baseline_images
from workbench.explain.fast_dense import FastDense
from workbench.explain.incremental import network_of
from workbench.explain.lattice import lattice

NETWORKS = ("densenet121", "inception_v3", "mobilenet_v2", "resnet50", "inception_resnet_v2")
OURS = "ours"
FRUGAL_BUDGET = 30  # forward-equivalents; localisation is measured at this budget, too
FRUGAL = f"ours, budget {FRUGAL_BUDGET}"
ROUNDS = 2


@dataclass(frozen=True)
class Rival:
    """One rival at the budget at which it is compared.

    Attributes:
        published: how many times faster the published method was than it.
        count: evaluations or iterations.
        counts: the two shorter runs from which the time of that many is extrapolated.
        explain: takes model, images, such a count, and inputs a forward pass.
        budget: in words.
    """

    published: float
    count: int
    counts: tuple[int, int]
    explain: Callable[[models.ImageModel, Any, int, int], Any]
    budget: str


RIVALS = {
    "RISE": Rival(
        11.87, 4000, (32, 64),
        lambda model, image, count, batch: rise(model, image, masks=count, batch_size=batch), "4000 masks",
    ),
    "meaningful perturbation": Rival(
        8.72, 300, (2, 6),
        lambda model, image, count, _: meaningful_perturbation(model, image, iterations=count), "300 iterations",
    ),
    "extremal perturbation": Rival(
        10.03, 800, (2, 6),
        lambda model, image, count, _: extremal_perturbation(model, image, iterations=count),
        "800 iterations, one area",
    ),
    "LIME": Rival(
        2.32, 1000, (32, 64),
        lambda model, image, count, batch: lime(model, image, samples=count, batch_size=batch), "1000 samples",
    ),
}  # fmt: skip
BATCHES = (4, 8, 16, 32)
OCCLUSION, OCCLUSION_PUBLISHED = "occlusion", 24.84
WINDOWS = 32  # of the dense form, after the best batch is known


@dataclass(frozen=True)
class Setting:
    """What the comparison runs on.

    Attributes:
        data: ``"voc2007"``, ``"coco2014"``, ``"imagenet"``, or None for one photograph that is installed anyway.
        path: where the data are.
        weights: ``"torchvision"`` or ``"random"``; None is random.
        size: pixels of the network input.
    """

    data: str | None
    path: Path | None
    weights: str | None
    size: int


def measure(results: Results, deadline: Deadline, networks: tuple[str, ...], setting: Setting) -> None:
    for network in networks:
        key = {"network": network, "data": setting.data, "weights": setting.weights or "random", "size": setting.size}
        if deadline.over:
            return
        if results.has(**key, done=True):
            continue
        model = model_for(network, setting)
        if model is None:
            print(f"{network}: needs timm, which is not installed and not a dependency; left out.", flush=True)
            continue
        image = picture_for(model, setting)
        for row in _times(model, image):
            results.add(**key, **row)
        results.add(**key, done=True)
        print(network, flush=True)


def model_for(network: str, setting: Setting) -> models.ImageModel | None:
    if network != "inception_resnet_v2":
        return models.load(network, weights="DEFAULT") if setting.weights == "torchvision" else untrained(network)
    if find_spec("timm") is None:
        return None
    import timm

    return models.load(
        timm.create_model(network, pretrained=setting.weights == "torchvision"), name=network,
        preprocessing=models.Preprocessing(resize=256, crop=setting.size, mean=(0.5,) * 3, std=(0.5,) * 3),
    )  # fmt: skip


def picture_for(model: models.ImageModel, setting: Setting) -> torch.Tensor:
    """One photograph as network input: the first of the data, or one that comes with scikit-image."""
    picture = photographs_of(setting.data, setting.path)[0].image
    small = resize(picture[..., :3], (setting.size, setting.size), anti_aliasing=True).astype(np.float32)
    mean, std = (np.asarray(getattr(model.preprocessing, name), np.float32) for name in ("mean", "std"))
    return torch.from_numpy(((small - mean) / std).transpose(2, 0, 1)[None].copy())


def photographs_of(name: str | None, path: Path | None) -> data.ImageSource:
    """The images of the published comparison, where they are at hand."""
    try:
        if name == "voc2007":
            return data.voc(path, split="test", masks="object")
        if name == "coco2014":
            if path is None:
                return data.coco(masks="object")
            return data.coco(path / "annotations" / "instances_val2014.json", path / "val2014", masks="object")
        if name == "imagenet":
            if path is None:
                raise SystemExit("ImageNet may not be downloaded freely: give --path with a folder of its photographs.")
            return data.folder(path)
    except MissingFileError as error:
        raise SystemExit(f"--data {name}: {error}") from error
    return data.photographs()


def _times(model: models.ImageModel, image: torch.Tensor) -> Iterator[dict[str, Any]]:
    multi_resolution_occlusion(model, image, budget=20)  # traced and warm, as the rivals are after their first run
    for name, budget in ((OURS, None), (FRUGAL, FRUGAL_BUDGET)):
        runs = [timed(partial(multi_resolution_occlusion, model, image, budget=budget)) for _ in range(ROUNDS)]
        found, seconds = min(runs, key=lambda run: run[1].processor)
        spent = float(found.forward_equivalents[0])
        yield {"method": name, "wall": seconds.wall, "processor": seconds.processor, "forward_equivalents": spent}
    yield _occlusion(model, image)
    batch = best_batch(model, image)
    for name, rival in RIVALS.items():
        least = {}
        for count in rival.counts:
            runs_of_rival = [timed(partial(rival.explain, model, image, count, batch))[1] for _ in range(ROUNDS)]
            least[count] = min(run.processor for run in runs_of_rival)
        few, many = (least[count] for count in rival.counts)
        each = max(many - few, 1e-6) / (rival.counts[1] - rival.counts[0])
        processor = max(few - each * rival.counts[0], 0.0) + each * rival.count
        yield {"method": name, "processor": processor, "each": each, "count": rival.count, "batch": batch}


def best_batch(model: models.ImageModel, image: torch.Tensor) -> int:
    """Inputs a forward pass at which one costs least; the rivals that are free to choose get it."""
    seconds = {}
    with torch.inference_mode():
        for batch in BATCHES:
            inputs = image.repeat(batch, 1, 1, 1)
            model.logits(inputs)
            seconds[batch] = timed(partial(model.logits, inputs))[1].processor / batch
    return min(seconds, key=seconds.__getitem__)


def _occlusion(model: models.ImageModel, image: torch.Tensor) -> dict[str, Any]:
    """Dense occlusion in its strongest batched form: seconds a window times windows."""
    windows = lattice(tuple(image.shape[2:]), 16, 2).boxes
    fill = baseline_images("zero", image, model=model, seed=0)[0]
    dense = FastDense(network_of(model), image)
    some = windows[np.linspace(0, len(windows) - 1, 128).astype(int)]
    for _ in dense.answers(image[0], fill, some, of=len(windows)):
        pass  # every form and batch is tried
    runs = [
        timed(lambda: list(dense.answers(image[0], fill, some[:WINDOWS], of=len(windows))))[1] for _ in range(ROUNDS)
    ]
    each = min(run.processor for run in runs) / WINDOWS
    return {"method": OCCLUSION, "processor": each * len(windows), "each": each, "count": len(windows)}


def tables(results: Results) -> Iterator[str]:
    settings = dict.fromkeys((row["data"], row["weights"], row["size"]) for row in results.rows)
    if not settings:
        yield "Nothing is measured yet."
    for what, weights, size in settings:
        rows = [row for row in results.of(data=what, weights=weights, size=size) if "method" in row]
        yield f"{what or 'One photograph'}, {weights} weights, {size} px:"
        yield ""
        yield from _table(rows)
    if find_spec("timm") is None:
        yield "InceptionResNetV2 was left out: it needs timm, which is not installed and is no dependency."


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    networks = list(dict.fromkeys(row["network"] for row in rows))
    by = {(row["network"], row["method"]): row for row in rows}
    count = next((row["count"] for row in rows if row["method"] == OCCLUSION), 0)
    stated = {OCCLUSION: (OCCLUSION_PUBLISHED, f"patch 16 stride 2, {count} positions")}
    stated |= {name: (rival.published, rival.budget) for name, rival in RIVALS.items()}
    for ours in (OURS, FRUGAL):
        spent = np.mean([by[network, ours]["forward_equivalents"] for network in networks])
        yield f"Times faster than each rival: {ours}, which ran in full and took {spent:.0f} forward-equivalents."
        yield ""
        yield "| rival, at its budget | published | goal | " + " | ".join(networks) + " | geometric mean | verdict |"
        yield "|" + "---|" * (len(networks) + 5)
        for name, (published, budget) in stated.items():
            ratios = [by[network, name]["processor"] / by[network, ours]["processor"] for network in networks]
            yield _ratio(f"{name}, {budget}", published, ratios)
        yield ""
    if any(row["code"] != code() for row in rows if row["method"] in (OURS, FRUGAL)):
        yield "Ours was timed before its code was last changed: these ratios are of that earlier state."
        yield ""
    yield "Processor seconds an image. In brackets: of ours, seconds by the clock; of rivals, seconds an evaluation."
    yield ""
    yield "| method | " + " | ".join(networks) + " |"
    yield "|" + "---|" * (len(networks) + 1)
    for name in (OURS, FRUGAL, *stated):
        some = [by[network, name] for network in networks]
        cells = [f"{row['processor']:.1f} ({row.get('each', row.get('wall')):.3f})" for row in some]
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""
    batches = {network: by[network, "RISE"].get("batch", 32) for network in networks}
    yield (
        "Ratios are of processor seconds. RISE and LIME ran in batches of "
        + ", ".join(f"{batch} ({network})" for network, batch in batches.items())
        + ". "
        + machine(rows)
    )
    yield ""


def _ratio(title: str, published: float, ratios: list[float]) -> str:
    middle = float(np.exp(np.mean(np.log(ratios))))
    verdict = "goal reached" if middle >= 2 * published else "goal MISSED, above the published ratio"
    if middle < published:
        verdict = "goal MISSED, below the published ratio"
    cells = " | ".join(f"{ratio:.1f}" for ratio in ratios)
    return f"| {title} | {published:g} | {2 * published:g} | {cells} | {middle:.1f} | {verdict} |"
