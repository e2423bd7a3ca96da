"""The metrics: one row each, done by every package that has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from captum.attr import Saliency
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from skimage import filters
from sklearn.metrics import average_precision_score

from evaluate_parts.peers import BATCH, Work, colour_road, peer
from evaluate_parts.subjects import Subject
from workbench import evaluate

LARGE = 200  # pixels a side from which on all samples at once would not fit
SAMPLES = 10  # of the metrics that explain noisy copies
UNITS = 16  # maps an image that are cut at once: each map at as many places
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Row:
    """One metric done by each package; a package that has no such metric is absent."""

    title: str
    works: dict[str, Work] = field(default_factory=dict)
    images: int | None = None  # where they are not all that the subject has


def rows(subject: Subject) -> Iterator[Row]:
    """The metrics, with equally many evaluations for every package where they choose them themselves."""
    yield from removals(subject)
    yield from sums(subject)
    yield from robustness(subject)
    if subject.side < LARGE:  # elsewhere it takes minutes, one explanation for each of a hundred layers
        yield from sanity(subject)


def removals(subject: Subject) -> Iterator[Row]:
    given = (subject.heat, subject.model, subject.inputs)
    steps, features = subject.steps, int(np.prod(subject.inputs.shape[1:]))
    options = {"steps": steps, "batch_size": BATCH}
    flipping = {"features_in_step": -(-features // steps), "perturb_baseline": "black"}
    yield Row(
        f"deletion, {steps} steps",
        {
            "workbench": lambda: evaluate.deletion(*given, baseline="black", **options),
            **peer(subject, "PixelFlipping", flipping),
        },
    )
    yield Row(f"insertion, {steps} steps", {"workbench": lambda: evaluate.insertion(*given, **options)})
    yield Row(f"pixel flipping, {steps} regions", {"workbench": lambda: evaluate.pixel_flipping(*given, **options)})
    yield Row("sufficiency, 5 shares", {"workbench": lambda: evaluate.sufficiency(*given, batch_size=BATCH)})
    shares, some = SHARES[:: 1 if steps > 20 else 4], subject.some(len(subject.inputs) // 4)
    yield Row(
        f"ROAD, {len(shares)} shares, {len(some.inputs)} images",
        {
            "workbench": lambda: evaluate.road(some.heat, some.model, some.inputs, shares=shares, batch_size=BATCH),
            **peer(some, "ROAD", colour_road(shares)),
        },
        len(some.inputs),
    )


def sums(subject: Subject) -> Iterator[Row]:
    given = (subject.heat, subject.model, subject.inputs)
    blocks = 16
    side = subject.side // 4
    repeats = max(subject.steps // blocks, 1)
    samples = blocks * repeats
    attributions = subject.heat.values[:, None].repeat(subject.inputs.shape[1], 1)
    signed = torch.from_numpy(attributions)
    generator = np.random.default_rng(0)
    corners = generator.integers(0, subject.side - side + 1, size=(samples, 2))
    masks = torch.zeros(samples, 1, subject.side, subject.side)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[:, top : top + side, left : left + side] = 1

    def perturb(repeated: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = masks.repeat(len(repeated) // samples, 1, 1, 1).expand_as(repeated)
        return hidden, repeated * (1 - hidden)

    def captum_way() -> Any:
        with torch.no_grad():
            return captum_infidelity(
                subject.model.module,
                perturb,
                subject.inputs,
                signed,
                target=torch.tensor(subject.targets),
                n_perturb_samples=samples,
                max_examples_per_batch=None if subject.side < LARGE else BATCH,
                normalize=True,
            )

    yield Row(
        f"infidelity, {samples} squares",
        {
            "workbench": lambda: evaluate.infidelity(*given, samples=samples, baseline="zero", batch_size=BATCH),
            "captum": captum_way,
            **peer(subject, "Infidelity", {"perturb_patch_sizes": [side], "n_perturb_samples": repeats}),
        },
    )
    features = int(np.prod(subject.inputs.shape[1:]))
    sizes = 4
    yield Row(
        f"sensitivity-n, {subject.steps} sets",
        {
            "workbench": lambda: evaluate.sensitivity_n(
                *given, shares=SHARES[:sizes], samples=subject.steps // sizes, batch_size=BATCH
            ),
            **peer(
                subject,
                "SensitivityN",
                {"features_in_step": -(-features // subject.steps), "n_max_percentage": 1.0},
            ),
        },
    )


def robustness(subject: Subject) -> Iterator[Row]:
    options: dict[str, Any] = {"target": subject.targets, "samples": SAMPLES, "batch_size": BATCH}
    asked = ("saliency", subject.model, subject.inputs)
    saliency = Saliency(subject.model.module)

    def explanation(pictures: Any, target: torch.Tensor) -> tuple[torch.Tensor]:
        noisy = pictures[0] if isinstance(pictures, tuple) else pictures
        with torch.enable_grad():
            found = saliency.attribute(noisy.detach().clone().requires_grad_(), target=target, abs=True)
        return (found.amax(1),)

    yield Row(
        f"max-sensitivity of saliency, {SAMPLES} copies",
        {
            "workbench": lambda: evaluate.max_sensitivity(*asked, **options),
            "captum": lambda: sensitivity_max(
                explanation,
                subject.inputs,
                n_perturb_samples=SAMPLES,
                target=torch.tensor(subject.targets),
                max_examples_per_batch=BATCH if subject.side >= LARGE else None,
            ),
            **peer(subject, "MaxSensitivity", {"nr_samples": SAMPLES, "lower_bound": 0.02}),
        },
    )
    yield Row(
        f"local Lipschitz of saliency, {SAMPLES} copies",
        {
            "workbench": lambda: evaluate.local_lipschitz(*asked, **options),
            **peer(subject, "LocalLipschitzEstimate", {"nr_samples": SAMPLES, "perturb_std": 0.02}),
        },
    )


def sanity(subject: Subject) -> Iterator[Row]:
    def ours() -> Any:
        return evaluate.model_randomisation(
            "saliency",
            subject.model,
            subject.inputs,
            target=subject.targets,
            batch_size=BATCH,
        )

    yield Row(
        "model randomisation of saliency, cascading, every layer",
        {"workbench": ours, **peer(subject, "MPRT", {"layer_order": "top_down"})},
    )


def of_maps(subject: Subject) -> Iterator[Row]:
    """The metrics that look at the map alone."""
    yield Row("sparseness", {"workbench": lambda: evaluate.sparseness(subject.heat), **peer(subject, "Sparseness", {})})
    yield Row("entropy", {"workbench": lambda: evaluate.entropy(subject.heat), **peer(subject, "Complexity", {})})
    yield Row(
        "effective complexity",
        {
            "workbench": lambda: evaluate.effective_complexity(subject.heat),
            **peer(subject, "EffectiveComplexity", {"eps": 0.05}),
        },
    )


def localisation(subject: Subject) -> Iterator[Row]:
    """The metrics that compare the map with a mask."""
    given = (subject.heat, subject.masks)
    for title, ours, theirs in (
        ("pointing game", evaluate.pointing_game, "PointingGame"),
        ("relevance mass", evaluate.relevance_mass, "RelevanceMassAccuracy"),
        ("relevance rank", evaluate.relevance_rank, "RelevanceRankAccuracy"),
    ):
        yield Row(title, {"workbench": lambda ours=ours: ours(*given), **peer(subject, theirs, {})})
    flat = [(heat.ravel(), mask.ravel()) for heat, mask in zip(subject.heat.values, subject.masks.values, strict=True)]
    yield Row(
        "average precision of pixels",
        {
            "workbench": lambda: evaluate.mask_average_precision(*given),
            "scikit-learn": lambda: [average_precision_score(mask, heat) for heat, mask in flat],
        },
    )


def binarisers(subject: Subject) -> Iterator[Row]:
    """Cutting the maps, against the library whose thresholds they are."""
    heat = np.maximum(subject.heat.values, 0)
    maps = xr.DataArray(
        np.stack([np.roll(heat, place, axis=2) for place in range(UNITS)], axis=1), dims=("image", "unit", "y", "x")
    )
    for name in ("otsu", "li", "yen", "triangle", "mean"):
        threshold = getattr(filters, f"threshold_{name}")
        yield Row(
            name,
            {
                "workbench": lambda name=name: evaluate.binarise(maps, method=name),
                "scikit-image": lambda threshold=threshold: [
                    one > threshold(one) for image in maps.values for one in image
                ],
            },
        )
