"""How often the interval of an adaptive coreset covers the true similarity, and what its calibration rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import xarray as xr

from coresets_parts.pairs import OPTIONS, TASKS, TITLES, last_stage
from workbench import explain, interpret, models
from workbench.data import scenes
from workbench.interpret import coreset

IMAGES = 300
LEVEL, WANTED, MOST, RESAMPLES = 0.9, 0.9, 0.4, 20
DEVELOPMENT, HELD_OUT = 41, 42  # seeds of scenes: for the calibration, and for its test
SHARES = (0.1, 0.2)


def cases(method: str, sets: int, seed: int) -> Iterator[tuple[coreset.Subject, xr.DataArray]]:
    """Sets of scenes that share none, on either network in turn, and the method prepared on them."""
    for network, task in TASKS.items():
        model = models.load(network)
        rendered = _scenes(task, IMAGES * (sets // 2), seed)
        for number in range(sets // 2):
            some = rendered.isel(image=slice(number * IMAGES, (number + 1) * IMAGES))
            store = interpret.observe(model, some, layers=last_stage(model), labels=some["label"].values)
            options = dict(OPTIONS[method])
            if method == "rules":
                options["heatmaps"] = explain.gradcam(model, some)
            elif method == "dissect":
                masks = some["part_mask"].assign_coords(image=list(store.identifiers))
                options["masks"] = masks.isel(part=np.flatnonzero(masks.any(("image", "y", "x")).values)).load()
            features = coreset.pooled_features(store, pool="both")
            yield coreset.subject(method, store, labels="true", **options), features


@cache
def _scenes(task: str, count: int, seed: int) -> xr.Dataset:
    return scenes.generate(task, count, seed=seed, size=96)


def calibrations(sets: int, methods: Sequence[str]) -> Iterator[str]:
    """The constants of workbench/interpret/coreset/calibration.py."""
    for method in methods:
        found = coreset.calibrate(cases(method, sets, DEVELOPMENT), shares=SHARES, resamples=RESAMPLES)
        yield f'    "{method}": Calibration({found.mean:.3f}, {found.spread:.3f}, {found.trials}),'


def report(sets: int, methods: Sequence[str]) -> Iterator[str]:
    """Coverage where the adaptive coreset stopped, on scenes that neither design nor calibration saw."""
    yield f"The interval of the adaptive coreset's similarity to the full interpretation, nominal level {LEVEL}."
    yield (
        f"Each trial is {IMAGES} scenes of their own (half of the trials on either network), grown from 5 % until the "
        f"lower end reaches {WANTED}, to {MOST:.0%} at most; the calibration is from other scenes. *Below*: the true "
        "similarity is lower than the interval, which is the error that would mislead; *above*: it is higher. "
        "*Bootstrap alone* is the interval of the same coreset without the calibration. The 95 % interval of coverage "
        "is Wilson's."
    )
    yield ""
    titles = (
        "method",
        "trials",
        "covered",
        "95 %",
        "below",
        "above",
        "stopped at",
        "true similarity",
        "bootstrap alone",
    )
    yield f"| {' | '.join(titles)} |"
    yield "|---" * len(titles) + "|"
    for method in methods:
        yield _row(method, sets)


def _row(method: str, sets: int) -> str:
    low = high = plain = 0
    shares, truths = [], []
    for subject, features in cases(method, sets, HELD_OUT):
        found = coreset.adaptive_coreset(
            subject, features, wanted=WANTED, level=LEVEL, resamples=RESAMPLES, start=0.05, growth=2.0, most=MOST
        )
        every = np.flatnonzero(subject.category >= 0)
        true = subject.similarity(found.interpretation, subject.interpret(every, None))
        low += true < found.similarity.low - 1e-9
        high += true > found.similarity.high + 1e-9
        raw = coreset.certificate(
            subject, found.coreset, found.interpretation, level=LEVEL, resamples=RESAMPLES, learned=None, seed=0
        )
        plain += raw.low - 1e-9 <= true <= raw.high + 1e-9
        shares.append(len(found.coreset) / len(every))
        truths.append(true)
    count = len(shares)
    covered = count - low - high
    least, most = _wilson(covered, count)
    cells = [
        str(count),
        f"{covered / count:.2f}",
        f"[{least:.2f}, {most:.2f}]",
        f"{low / count:.2f}",
        f"{high / count:.2f}",
    ]
    cells += [f"{np.median(shares):.0%}", f"{np.mean(truths):.3f}", f"{plain / count:.2f}"]
    return f"| {' | '.join([TITLES[method], *cells])} |"


def _wilson(hits: int, count: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
