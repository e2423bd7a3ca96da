"""What it costs to judge a heatmap: every metric that asks the model or the map, against captum and Quantus.

    python benchmarks/evaluate.py [--repeats 5] [--output docs/benchmarks/evaluate.md]

Each row does the same work three ways, one after another in one process, and this is repeated: the same network, the
same images and maps, and equally many pictures given to the network, which a counter shows. A peer is left out of a
row where it has no such metric. *Forward passes* is what the network alone takes for that many pictures, in batches of
the same size: a metric that costs about as much has no overhead of its own. Quantus gives the network one step of all
images at a time, captum all samples of all images at once (64 at most where they are large); the workbench fills
batches across images and steps, of 64 at most, and on the CPU of as many as it is quick with. Where a peer fails on
this work it is helped as little as needed: Quantus 0.6.0 refuses colour images for ROAD, so it is given their pixels,
and the area under its curves is left out, which NumPy 2.4 no longer computes for it.

captum comes with the package. Quantus does not (its licence is LGPL, so the workbench never depends on it): install
`quantus==0.6.0` into an environment of its own that also has the workbench, and run this command there. Without it its
column says "not installed".
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from captum.attr import Saliency
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from threadpoolctl import threadpool_limits
from torch import nn

from workbench import evaluate, explain, models
from workbench.data import scenes
from workbench.explain import at_once

try:
    import quantus
except ImportError:
    quantus = None

BATCH = 64
LARGE = 200  # pixels a side from which on all samples at once would not fit
SAMPLES = 10  # of the metrics that explain noisy copies
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
Work = Callable[[], Any]


class Counted(nn.Module):
    """A network that counts the pictures that it is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen = [0]  # shared by every copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Counted:
        import copy

        twin = Counted(copy.deepcopy(self.network, memo))
        twin.seen = self.seen
        return twin.train(self.training)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.seen[0] += len(inputs)
        found: torch.Tensor = self.network(inputs)
        return found


@dataclass(frozen=True)
class Subject:
    """A network, images as its input, the categories that are asked for, and maps."""

    name: str
    model: models.ImageModel
    inputs: torch.Tensor
    targets: list[int]
    heat: xr.DataArray
    steps: int

    @property
    def side(self) -> int:
        return int(self.inputs.shape[-1])

    @classmethod
    def of(cls, name: str, images: int, steps: int) -> Subject:
        loaded = models.load(name, weights=None if name in models.shipped() else "random")
        module = Counted(loaded.module).eval()
        model = models.load(module, categories=loaded.categories, preprocessing=loaded.preprocessing, name=name)
        inputs = model.prepare(scenes.generate("object", images, seed=7, masks=False))
        heat = explain.input_x_gradient(model, inputs)
        return cls(name, model, inputs, heat["target"].values.tolist(), heat, steps)

    def some(self, count: int) -> Subject:
        return Subject(self.name, self.model, self.inputs[:count], self.targets[:count], self.heat[:count], self.steps)


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


def peer(subject: Subject, name: str, options: dict[str, Any]) -> dict[str, Work]:
    """A metric of Quantus on the same subject, where it is installed."""
    if quantus is None:
        return {}

    def run() -> Any:
        metric = getattr(quantus, name)(disable_warnings=True, display_progressbar=False, **options)
        return metric(
            model=subject.model.module,
            x_batch=subject.inputs.numpy(),
            y_batch=np.array(subject.targets),
            a_batch=None if name in MAKES_ITS_OWN else subject.heat.values[:, None].copy(),
            channel_first=True,
            explain_func=quantus.explain,
            explain_func_kwargs={"method": "Saliency"},
            batch_size=BATCH,
            device="cpu",
        )

    return {"Quantus": run}


def colour_road(shares: Sequence[float]) -> dict[str, Any]:
    """Options by which the ROAD of Quantus takes colour images, which it ranks by channel and pixel and then refuses.

    The three channels of a pixel have one value and stand side by side in its ranking: three times the share of the
    ranking is the share of the pixels, and the pixels are what is left of the indices modulo their number.
    """

    def by_pixel(arr: np.ndarray, indices: np.ndarray, **options: Any) -> np.ndarray:
        pixels = np.unique(np.asarray(indices) % (arr.shape[-2] * arr.shape[-1]))
        found: np.ndarray = quantus.functions.perturb_func.noisy_linear_imputation(arr, pixels, **options)
        return found

    return {"percentages": [300 * share for share in shares], "perturb_func": by_pixel}


MAKES_ITS_OWN = ("MaxSensitivity", "LocalLipschitzEstimate", "MPRT")


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


def table(subject: Subject, found: Iterator[Row], repeats: int, slower: list[str]) -> Iterator[str]:
    alone = forward_seconds(subject)
    yield (
        "| metric | pictures a heatmap (in the order of the packages) | forward passes, ms | workbench, ms | "
        "captum, ms | Quantus, ms | times faster (least to most) |"
    )
    yield "|---|---|---|---|---|---|---|"
    for row in found:
        timings, count = measure(row, subject, repeats), row.images or len(subject.inputs)
        ours = timings["workbench"]
        pictures = ", ".join(f"{timing.pictures / count:.1f}" for timing in timings.values())
        cells = [f"{1000 * ours.median / count:.2f}"]
        ratios = []
        for name in ("captum", "Quantus"):
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


def sections(repeats: int) -> Iterator[str]:
    slower: list[str] = []
    small, large = Subject.of("scenes_object", 16, 48), Subject.of("mobilenet_v3_small", 4, 12)
    for subject, about in (
        (small, "a small network: what the metric itself costs shows"),
        (large, "random weights: forward passes dominate"),
    ):
        yield f"## {subject.name}, {len(subject.inputs)} images of {subject.side} x {subject.side}, {about}"
        yield ""
        yield from table(subject, rows(subject), repeats, slower)
        yield ""
    maps = small
    yield f"## Maps alone, {len(maps.inputs)} of {maps.side} x {maps.side}"
    yield ""
    yield from table(maps, of_maps(maps), 3 * repeats, slower)
    yield ""
    yield "## Milliseconds a heatmap by the number of images, scenes_object"
    yield ""
    yield from scaling(Subject.of("scenes_object", 64, 48), 2)
    yield ""
    yield "## Slower than a peer"
    yield ""
    yield from ([f"- {line}" for line in slower] or ["Nothing."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="write the section of the benchmark page there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    load, lines = os.getloadavg()[0], []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Quantus warns of every perturbation that changes nothing
        for line in sections(given.repeats):
            print(line, flush=True)
            lines.append(line)
    if given.output is not None:
        installed = "not installed" if quantus is None else quantus.__version__
        text = [
            "# Metrics of explanations: time a heatmap, against captum and Quantus",
            "",
            "```",
            f"python benchmarks/evaluate.py --repeats {given.repeats} --output docs/benchmarks/evaluate.md",
            "```",
            "",
            (__doc__ or "").strip().partition("\n\n")[2].partition("\n\n")[2],
            "",
            f"Measured with one thread ({platform.machine()}), Python {platform.python_version()}, PyTorch "
            f"{torch.__version__}, Quantus {installed}, {time.strftime('%Y-%m-%d')}, load average {load:.1f} when it "
            f"began. Milliseconds are processor time of one core, medians of {given.repeats} repeats "
            f"({3 * given.repeats} for maps alone, 2 for the number of images); the last column is the median of the "
            "peer's time over the workbench's in the same repeat. Model randomisation: the workbench computes four "
            "measures of similarity, Quantus one. Goal: no slower where forward passes dominate, faster elsewhere.",
            "",
            *lines,
        ]
        given.output.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
