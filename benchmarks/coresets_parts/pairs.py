"""Methods and networks on which coresets are measured."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from workbench import data, evaluate, explain, interpret, models
from workbench.data import scenes
from workbench.interpret import coreset

SEED = 23  # not the scenes on which the selectors of our own were designed
METHODS = ("relevant_units", "concepts", "rules", "dissect")
TITLES = {"relevant_units": "VEBI", "concepts": "ICE", "rules": "rules", "dissect": "dissection"}
SIZES = {"relevant_units": 1.0, "concepts": 0.5, "rules": 0.5, "dissect": 2 / 3}  # of the images: some take longest
TASKS = {"scenes_object": "object", "scenes_part": "part"}
OPTIONS: dict[str, dict[str, Any]] = {
    "relevant_units": {},
    "concepts": {"count": 5, "negative": "clip", "iterations": 100},
    "rules": {"size": 24, "most_patches": 4},
    "dissect": {},
}
LEAST_PHOTOGRAPHS = 12  # in which a category must be visible to be dissected


@dataclass(frozen=True)
class Pair:
    """A method on a network.

    Attributes:
        method: its name.
        network: name of the network.
        mirror: whether its weights and images come from the mirror.
    """

    method: str
    network: str
    mirror: bool = False

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.method}-{self.network}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{TITLES[self.method]} on {self.network}"


PAIRS = (
    *(Pair(method, network) for network in TASKS for method in METHODS),
    Pair("relevant_units", "cifar_resnet20", mirror=True),
    Pair("concepts", "cifar_resnet20", mirror=True),
    Pair("dissect", "mobilenet_v2", mirror=True),
)


def prepared(pair: Pair, images: int, seed: int = SEED) -> tuple[coreset.Subject, interpret.MemoryActivations]:
    """The method on activations of that many images, or of all that the mirror has if it has fewer."""
    options = dict(OPTIONS[pair.method])
    if pair.network == "mobilenet_v2":
        store, labels, options["masks"] = photographs()
        return coreset.subject(pair.method, store, labels=labels, **options), store
    if pair.network == "cifar_resnet20":
        model, pictures, labels = cifar(images)
        store = interpret.observe(model, pictures, layers="layer3", labels=labels)
        return coreset.subject(pair.method, store, labels="true", **options), store
    model = models.load(pair.network)
    rendered = scenes.generate(TASKS[pair.network], images, seed=seed, size=96)
    store = interpret.observe(model, rendered, layers=last_stage(model), labels=rendered["label"].values)
    if pair.method == "rules":
        options["heatmaps"] = explain.gradcam(model, rendered)
    elif pair.method == "dissect":
        masks = rendered["part_mask"].assign_coords(image=list(store.identifiers))
        options["masks"] = masks.isel(part=np.flatnonzero(masks.any(("image", "y", "x")).values)).load()
    return coreset.subject(pair.method, store, labels="true", **options), store


def last_stage(model: models.ImageModel) -> str:
    """The last layer that still has a grid."""
    return [name for name, shape in model.layers.items() if len(shape) == 3 and min(shape[1:]) > 1 and "." not in name][
        -1
    ]


def cifar(images: int) -> tuple[models.ImageModel, data.ImageSource, np.ndarray]:
    """A residual network of CIFAR-10 and test images, as many of each category."""
    path = Path(os.environ["WORKBENCH_MIRROR"]) / "weights" / "architectures.py"
    specification = importlib.util.spec_from_file_location("architectures", path)
    if specification is None or specification.loader is None:
        raise SystemExit(f"{path} cannot be read.")
    architectures = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(architectures)
    source = data.cifar10()
    labels = np.asarray(source.labels)
    each = images // len(source.categories)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == one)[:each] for one in np.unique(labels)]))
    model = models.load(
        architectures.CifarResNet(20),
        weights=data.fetch("cifar_resnet20"),
        categories=source.categories,
        preprocessing=models.Preprocessing(crop=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        name="cifar_resnet20",
    )
    return model, data.Subset(source, chosen), labels[chosen]


def photographs() -> tuple[interpret.MemoryActivations, np.ndarray, xr.DataArray]:
    """COCO photographs: activations of MobileNetV2, whether a person is visible, masks of what is often seen."""
    model = models.load("mobilenet_v2", weights=data.fetch("mobilenet_v2"))
    sources = [data.coco_train128(masks="category"), data.coco_panoptic(masks="category")]
    items = [source[index] for source in sources for index in range(len(source))]
    names = sorted({name for item in items for name in item.masks})
    often = [name for name in names if sum(name in item.masks for item in items) >= LEAST_PHOTOGRAPHS]
    grid = np.zeros((len(items), len(often), *model.input_shape[1:]), dtype=bool)
    for number, item in enumerate(items):
        seen = [index for index, name in enumerate(often) if name in item.masks]
        if seen:
            grid[number, seen] = evaluate.masks_on_grid([item.masks[often[index]] for index in seen], model).values
    inputs = torch.cat([model.prepare(source) for source in sources])
    store = interpret.observe(model, inputs, layers="features.13")
    masks = xr.DataArray(grid, dims=("image", "part", "y", "x"), coords={"part": often})
    masks = masks.assign_coords(image=list(store.identifiers))
    return store, np.array([int("person" in item.masks) for item in items]), masks
