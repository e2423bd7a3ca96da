"""What is compared: the protocols of the benchmark, cheap enough for about a quarter of an hour of one core."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench import data, models
from workbench.data.scenes import SceneSource
from workbench.data.source import AnnotatedImage
from workbench.errors import MissingFileError
from workbench.evaluate import DataChoice, ModelChoice, Protocol
from workbench.explain import explainers

TABLE = Path(__file__).resolve().parents[1] / "imagenet_to_coco.csv"
PARTS = ("petals", "leaf", "beak", "wing", "tail", "leg", "roof", "door", "window")
BINARISERS = (
    "fraction(fraction=0.3)", "fraction(fraction=0.5)", "percentile(share=0.1)", "dataset_quantile", "otsu", "mean",
    "mean_deviations", "triangle", "li", "yen", "two_means", "area_matched",
)  # fmt: skip
# neither the networks' training nor their held-out sets
LEARN_SEED, SCORE_SEED = 3_000_017, 3_000_029
INTERPRETATIONS = (
    "relevant_units", "dissect(quantile=0.98)", "concepts(count=5)", "concept_vectors(draws=5, random_concepts=19)",
    "rules(least_confidence=0.2)", "random_units(share=0.5)",
)  # fmt: skip
# what takes thousands of evaluations by default is given a few hundred, and the table says so
CHEAP: dict[str, dict[str, Any]] = {
    "rise": {"masks": 300},
    "extremal_perturbation": {"iterations": 40},
    "meaningful_perturbation": {"iterations": 60},
    "lime": {"samples": 200},
    "kernel_shap": {"samples": 200},
    "multi_resolution_occlusion": {"budget": 32},
    "smoothgrad": {"samples": 10},
    "integrated_gradients": {"steps": 20},
}
FAITHFULNESS = (
    "deletion(steps=10)", "insertion(steps=10)", "pixel_flipping(steps=10)", "road", "infidelity(samples=30)",
    "sensitivity_n(samples=10)", "comprehensiveness", "sufficiency",
)  # fmt: skip
LOCALISATION = (
    "pointing_game", "energy_pointing_game", "relevance_mass", "relevance_rank", "mask_average_precision", "box_iou",
    "mask_iou", "binarised_iou(binarise=otsu)",
)  # fmt: skip
BASELINES = ("black", "zero", "mean", "blur")
TRUTH = ("intervention_agreement(reduction=mean)", "intervention_agreement(reduction=sum)")
PHOTOGRAPH_METHODS = (
    "gradcam", "saliency", "input_x_gradient", "integrated_gradients(steps=8)", "smoothgrad(samples=5)",
    "occlusion(patch=56, stride=56)", "random_maps",
)  # fmt: skip
SCENES, RANDOMISED, PHOTOGRAPHS = 100, 12, 48  # images of the tables
LEAST_AREA = 0.01  # of an object or a part, as a share of the picture
TILE = 256  # pixels of a photograph that serve as a picture of their own


@dataclass(frozen=True)
class Named:
    """A protocol and the question that it answers.

    Attributes:
        key: a short name.
        title: what is asked.
        protocol: the comparison.
    """

    key: str
    title: str
    protocol: Protocol


@dataclass(frozen=True, eq=False)
class Photographs:
    """A few annotated photographs in memory; an image source."""

    items: tuple[AnnotatedImage, ...]
    labels: None = None
    categories: tuple[str, ...] = ()
    manifest_hash: str = ""
    mask_names: tuple[str, ...] = field(default=())

    @property
    def identifiers(self) -> Sequence[str]:
        return [item.identifier for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int, /) -> AnnotatedImage:
        return self.items[index]


def scenes(task: str, count: int, parts: Sequence[str]) -> DataChoice:
    """Scenes to be scored on, and others to learn from."""
    return DataChoice.of(
        SceneSource(task, count, seed=SCORE_SEED),
        name=f"{task} scenes",
        parts=parts,
        learn=SceneSource(task, 3 * count, seed=LEARN_SEED),
    )


def explanations() -> list[Any]:
    """All registered explanation methods at a low price, and noise."""
    return [*((name, CHEAP.get(name, {})) for name in explainers), "random_maps"]


def described(cub70: Path | None) -> Iterator[Named]:
    """The protocols, in the order of the issue's questions."""
    weighted = ["waiou", *(f"waiou(binarise=otsu, weights={name})" for name in ("relevance", "area", "uniform"))]
    units: dict[str, Any] = {"methods": INTERPRETATIONS, "binarisers": BINARISERS}
    for network, choice in (
        ("scenes_part", scenes("part", SCENES, PARTS)),
        ("scenes_object", scenes("object", SCENES, PARTS)),
        ("scenes_object_confounded", scenes("object_confounded", SCENES, (*PARTS, "watermark"))),
        ("scenes_relation", scenes("relation", SCENES, ("red square", "blue circle"))),
    ):
        yield Named(
            f"units {network}",
            f"`{network}` on {choice.name}",
            Protocol(
                models=[ModelChoice.of(network, layer="layer4.relu2")],
                data=[choice],
                metrics=[*weighted, "unit_localisation"],
                **units,
            ),
        )
    yield Named(
        "explanations",
        "Explanation methods on `scenes_part`",
        Protocol(
            methods=explanations(),
            models=["scenes_part"],
            data=[replace(scenes("part", SCENES, PARTS), learn=None)],
            metrics=[*TRUTH, *LOCALISATION, *FAITHFULNESS, "sparseness"],
        ),
    )
    yield Named(
        "baselines",
        "What integrated gradients and DeepLIFT compare the picture with",
        Protocol(
            methods=[
                *(("integrated_gradients", {"steps": 20, "baseline": name}) for name in BASELINES),
                *(("deeplift", {"baseline": name}) for name in BASELINES),
            ],
            models=["scenes_part"],
            data=[replace(scenes("part", SCENES, PARTS), learn=None)],
            metrics=[*TRUTH, "pointing_game", "mask_average_precision", "deletion(steps=10)"],
        ),
    )
    yield Named(
        "sanity",
        "Model randomisation on `scenes_part`",
        Protocol(
            methods=[
                (name, {**CHEAP, "extremal_perturbation": {"iterations": 20}}.get(name, {})) for name in explainers
            ],
            models=["scenes_part"],
            data=[DataChoice.of(SceneSource("part", RANDOMISED, seed=SCORE_SEED + 1), name="part scenes")],
            metrics=["model_randomisation(layers=3)", "model_randomisation(layers=3, measure=ssim)"],
        ),
    )
    yield from on_photographs()
    if cub70 is not None:
        yield on_birds(cub70)


def on_photographs() -> Iterator[Named]:
    """COCO and ADE20K, where a mirror holds them."""
    try:
        network = models.load("mobilenet_v2", weights=data.fetch("mobilenet_v2"))
        sources = [data.coco_train128(masks="object"), data.coco_panoptic(masks="object")]
        streets = data.ade20k(masks="part")
    except MissingFileError as error:
        print(f"photographs: not run, {error}", flush=True)
        return
    found = photographs(network, sources)
    boxed = Photographs(tuple(replace(item, masks={}) for item in found))
    masked = Photographs(tuple(replace(item, boxes=()) for item in found))
    yield Named(
        "coco",
        "Explanation methods on photographs of COCO, MobileNetV2",
        Protocol(
            methods=PHOTOGRAPH_METHODS,
            models=[network],
            data=[
                DataChoice.of(masked, name="COCO, masks", objects="any"),
                DataChoice.of(boxed, name="COCO, boxes", objects="any"),
            ],
            metrics=["pointing_game(tolerance=7.0)", *LOCALISATION[1:]],
        ),
    )
    yield Named(
        "ade20k",
        "Units of MobileNetV2 on the parts of street scenes of ADE20K",
        Protocol(
            methods=["dissect(quantile=0.98)", "random_units(share=0.25)"],
            models=[ModelChoice.of(network)],
            data=[DataChoice.of(tiles(streets, (1, 2)), name="ADE20K, parts", learn=tiles(streets, (0,)))],
            metrics=["waiou", "unit_localisation"],
            binarisers=("otsu", "fraction(fraction=0.5)", "dataset_quantile", "area_matched"),
        ),
    )


def photographs(network: models.ImageModel, sources: Sequence[data.ImageSource]) -> list[AnnotatedImage]:
    """Photographs of which the network's first choice is a category of COCO that is in them, with its objects."""
    with TABLE.open(newline="", encoding="utf-8") as lines:
        of_class = {int(row["index"]): row["coco"] for row in csv.DictReader(lines)}
    found: list[AnnotatedImage] = []
    for source in sources:
        predicted = network.predict(source, batch_size=16)["predicted"].values
        for index, best in enumerate(predicted):
            category = of_class.get(int(best))
            item = source[index]
            masks = [mask for name, mask in item.masks.items() if name.rsplit(" ", 1)[0] == category]
            if not masks or np.any(masks, axis=0).mean() < LEAST_AREA:
                continue
            boxes = tuple(box for box in item.boxes if box.category == category) or boxes_of(category, masks)
            found.append(
                AnnotatedImage(item.image, item.identifier, None, {str(category): np.any(masks, axis=0)}, boxes)
            )
    return [found[index] for index in np.random.default_rng(0).permutation(len(found))[:PHOTOGRAPHS]]


def tiles(source: data.ImageSource, scenes: Sequence[int]) -> Photographs:
    """Square pieces of some photographs that show a part large enough to be found."""
    found: list[AnnotatedImage] = []
    for scene in scenes:
        item = source[scene]
        height, width = item.image.shape[:2]
        for top in range(0, height - TILE + 1, TILE):
            for left in range(0, width - TILE + 1, TILE):
                inside = np.s_[top : top + TILE, left : left + TILE]
                masks = {name: mask[inside] for name, mask in item.masks.items()}
                masks = {name: mask for name, mask in masks.items() if mask.mean() >= LEAST_AREA}
                if masks:
                    name = f"{item.identifier} {top} {left}"
                    found.append(AnnotatedImage(item.image[inside], name, None, masks, ()))
    return Photographs(tuple(found))


def boxes_of(category: Any, masks: Sequence[np.ndarray]) -> tuple[data.Box, ...]:
    """The boxes around masks, for a source that gives none."""
    edges = [(*mask.any(axis=0).nonzero()[0][[0, -1]], *mask.any(axis=1).nonzero()[0][[0, -1]]) for mask in masks]
    return tuple(
        data.Box(str(category), float(left), float(top), float(right + 1), float(bottom + 1))
        for left, right, top, bottom in edges
    )


def on_birds(folder: Path) -> Named:
    """CUB70 with its part masks, where a user has them; the networks of the mirror."""
    network = models.load("mobilenet_v2", weights=data.fetch("mobilenet_v2"))
    birds = data.cub70(folder)
    return Named(
        "cub70",
        "Units of MobileNetV2 on the parts of CUB70",
        Protocol(
            methods=INTERPRETATIONS,
            models=[network],
            data=[DataChoice.of(birds, name="CUB70")],
            metrics=["waiou", "unit_localisation"],
            binarisers=BINARISERS,
        ),
    )
