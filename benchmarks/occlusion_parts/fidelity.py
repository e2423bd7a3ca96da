"""How near cheap maps come to dense occlusion, and whether the certificate says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from occlusion_parts.results import Deadline, Results, Seconds, machine, mean, tenth, timed
from occlusion_parts.subjects import DEVELOPMENT, HELD_OUT, photographs, pretrained
from workbench import stats
from workbench.explain import hierarchical_occlusion, hipe, multi_resolution_occlusion, rise
from workbench.explain.adaptive import certificate as constants
from workbench.explain.baselines import baseline_images
from workbench.explain.incremental import IncrementalEngine, network_of
from workbench.explain.lattice import Lattice, lattice
from workbench.explain.score import Question, ask, score_of

NETWORKS = ("squeezenet1_0", "mobilenet_v2")
PATCH, STRIDE, FILL = 16, 8, "mean"
BUDGETS = (30, 60, 90)
OVERHEAD = 2.0  # forward-equivalents before the first window, as our own method counts them
OURS, LATTICE_INSIDE, LATTICE_PLAIN = "ours", "coarse lattice, incremental", "coarse lattice, plain passes"
# What the rivals get; HiPe has no budget, so what it took is printed.
RIVALS: dict[tuple[str, int], Callable[..., xr.DataArray]] = {
    ("RISE", 60): partial(rise, masks=59, baseline=FILL),
    ("HiPe, 4 cells, 2 levels", 60): partial(hipe, cells=4, levels=2, baseline=FILL),
    ("hierarchical search", 60): partial(
        hierarchical_occlusion, patch=PATCH, stride=STRIDE, levels=3, budget=59, baseline=FILL
    ),
    ("ours, by plain passes", 60): partial(
        multi_resolution_occlusion, patches=(PATCH,), strides=(STRIDE,), budget=60, baseline=FILL, engine="forward"
    ),
    ("RISE", 90): partial(rise, masks=89, baseline=FILL),
    ("HiPe, 8 cells, 1 level", 90): partial(hipe, cells=8, levels=1, baseline=FILL),
    ("hierarchical search", 90): partial(
        hierarchical_occlusion, patch=PATCH, stride=STRIDE, levels=3, budget=89, baseline=FILL
    ),
}


@dataclass(frozen=True, eq=False)
class Dense:
    """One photograph in one network, with the dense map that everything is compared to."""

    question: Question
    windows: Lattice
    engine: IncrementalEngine
    falls: NDArray[np.float64]
    seconds: Seconds
    forward_equivalents: float

    @property
    def pixels(self) -> NDArray[np.float64]:
        return self.windows.average(self.falls)


def dense(network: str, source: Any, known: NDArray[np.float64] | None = None) -> Dense:
    """Every window measured exactly, by the incremental engine; falls that are known are not measured again."""
    model = pretrained(network)
    question = ask(model, source)
    windows = lattice(question.size, PATCH, STRIDE)
    boxes = windows.boxes
    hidden = baseline_images(FILL, question.inputs, model=model, seed=0)[0]

    def measure() -> tuple[IncrementalEngine, NDArray[np.float64]]:
        engine = IncrementalEngine(network_of(model), question.inputs[0])
        if known is not None:
            return engine, known
        scores = score_of(engine.scores(boxes, hidden), question.targets.expand(len(boxes)), "logit")
        return engine, (question.reference[0] - scores).double().numpy()

    (engine, falls), seconds = timed(measure)
    return Dense(question, windows, engine, falls, seconds, engine.cost(boxes) + OVERHEAD)


def judged(found: NDArray[Any], truth: NDArray[np.float64]) -> dict[str, float]:
    """How a map compares with the dense one: ranks, the highest tenth, and what is found at its maximum."""
    found, truth = np.asarray(found, np.float64).ravel(), truth.ravel()
    tenth_part = len(truth) // 10
    highest = [set(np.argpartition(-values, tenth_part)[:tenth_part].tolist()) for values in (found, truth)]
    return {
        "spearman": float(stats.spearman(found[None], truth[None])[0]),
        "top": len(highest[0] & highest[1]) / tenth_part,
        "peak": float(truth[found.argmax()] / truth.max()),
    }


def coarse(windows: Lattice, rows: int, columns: int) -> NDArray[np.int64]:
    """Windows of a coarse lattice, the border included."""
    picked = [
        np.linspace(0, length - 1, count).round().astype(np.int64)
        for length, count in zip(windows.shape, (rows, columns), strict=True)
    ]
    return np.asarray((picked[0][:, None] * windows.shape[1] + picked[1]).ravel())


def interpolated(windows: Lattice, chosen: NDArray[np.int64], falls: NDArray[np.float64]) -> NDArray[np.float64]:
    """The falls of all windows by a bicubic spline through a coarse lattice."""
    rows, columns = np.unique(chosen // windows.shape[1]), np.unique(chosen % windows.shape[1])
    values = falls[chosen].reshape(len(rows), len(columns))
    spline = RectBivariateSpline(
        windows.rows[rows], windows.columns[columns], values, kx=min(3, len(rows) - 1), ky=min(3, len(columns) - 1)
    )
    return np.asarray(spline(windows.rows, windows.columns)).ravel()


_grids: dict[tuple[str, str, int], tuple[int, int]] = {}


def finest_grid(
    network: str, method: str, budget: int, price: Callable[[NDArray[Any]], float], windows: Lattice
) -> Any:
    """The finest nearly square lattice that a budget pays for; the price of a window does not depend on the image."""
    key = (network, method, budget)
    if key not in _grids:
        shapes = [(count, count + more) for count in range(3, min(windows.shape)) for more in (0, 1)]
        _grids[key] = max(shape for shape in shapes if price(coarse(windows, *shape)) <= budget)
    return coarse(windows, *_grids[key])


def measure_lattices(results: Results, key: dict[str, str], subject: Dense) -> None:
    boxes = subject.windows.boxes
    prices: dict[str, Callable[[NDArray[Any]], float]] = {
        LATTICE_INSIDE: lambda chosen: subject.engine.cost(boxes[chosen]) + OVERHEAD,
        LATTICE_PLAIN: lambda chosen: len(chosen) + 1.0,
    }
    for method, price in prices.items():
        for budget in BUDGETS:
            chosen = finest_grid(key["network"], method, budget, price, subject.windows)
            found = subject.windows.average(interpolated(subject.windows, chosen, subject.falls))
            results.add(
                **key, method=method, budget=budget, positions=len(chosen), forward_equivalents=price(chosen),
                **judged(found, subject.pixels),
            )  # fmt: skip


def measure_ours(results: Results, key: dict[str, str], subject: Dense, source: Any) -> None:
    model = subject.question.model
    for budget in BUDGETS:
        if results.has(**key, method=OURS, budget=budget):
            continue
        work = partial(
            multi_resolution_occlusion,
            model, source, patches=(PATCH,), strides=(STRIDE,), budget=budget, baseline=FILL,
        )  # fmt: skip
        found, seconds = timed(work)
        results.add(
            **key, method=OURS, budget=budget, forward_equivalents=float(found.forward_equivalents[0]),
            wall=seconds.wall, processor=seconds.processor,
            **judged(found.values[0], subject.pixels), **raw_certificate(found),
        )  # fmt: skip


def raw_certificate(found: xr.DataArray) -> dict[str, float]:
    """The certificate before its calibration: expectation and spread of Fisher's z."""
    value, low = (
        float(np.arctanh(found[name].values[0].clip(-1 + 1e-12, 1 - 1e-12)))
        for name in ("certificate", "certificate_low")
    )
    return {"z": value - constants.SHIFT, "spread": (value - low) / constants.REACH[0]}


def measure(results: Results, part: str, deadline: Deadline, images: int, networks: tuple[str, ...]) -> None:
    """Dense, coarse lattices and ours on every photograph; after that the rivals."""
    remainder = {"held out": HELD_OUT, "development": DEVELOPMENT}[part]
    chosen = photographs(remainder)[:images]
    for name, source in chosen:
        for network in networks:
            key = {"part": part, "network": network, "image": name}
            if all(results.has(**key, method=OURS, budget=budget) for budget in BUDGETS):
                continue
            if deadline.over:
                return
            subject = _subject(results, key, source)
            if not results.has(**key, method=LATTICE_PLAIN):
                measure_lattices(results, key, subject)
            measure_ours(results, key, subject, source)
            print(f"{part}, {network}, {name}", flush=True)
    if part == "held out":
        _measure_rivals(results, deadline, chosen, networks)


def _measure_rivals(results: Results, deadline: Deadline, chosen: list[Any], networks: tuple[str, ...]) -> None:
    for (method, budget), explain in RIVALS.items():
        for name, source in chosen:
            for network in networks:
                key = {"part": "held out", "network": network, "image": name}
                if results.has(**key, method=method, budget=budget):
                    continue
                if deadline.over:
                    return
                subject = _subject(results, key, source)
                found, seconds = timed(partial(explain, pretrained(network), source))
                spent = float(found.forward_equivalents[0]) if "forward_equivalents" in found.coords else None
                results.add(
                    **key, method=method, budget=budget,
                    forward_equivalents=found.attrs["evaluations"] + 1.0 if spent is None else spent,
                    wall=seconds.wall, processor=seconds.processor, **judged(found.values[0], subject.pixels),
                )  # fmt: skip
        print(f"held out, {method} at {budget}", flush=True)


def _subject(results: Results, key: dict[str, str], source: Any) -> Dense:
    """The dense map of a photograph, measured or read."""
    kept = results.of(**key, method="dense")
    if kept:
        return dense(key["network"], source, np.asarray(kept[0]["falls"]))
    subject = dense(key["network"], source)
    results.add(
        **key, method="dense", falls=[float(f"{fall:.7g}") for fall in subject.falls],
        wall=subject.seconds.wall, processor=subject.seconds.processor,
        forward_equivalents=subject.forward_equivalents, positions=len(subject.windows),
    )  # fmt: skip
    return subject


def tables(results: Results) -> Iterator[str]:
    """Fidelity by method and budget, and the certificate, on held-out photographs."""
    rows = results.of(part="held out")
    if not rows:
        yield "Nothing is measured yet."
        return
    for network in NETWORKS:
        yield from _curve(network, [row for row in rows if row["network"] == network])
    yield from _targets(rows)
    yield "### The certificate, on the same photographs"
    yield ""
    yield (
        "Predicted Spearman correlation against the true one. The 90 % interval should cover at its rate; the goal for "
        "the mean absolute error is 0.05 at most."
    )
    yield ""
    yield "| network | budget | n | mean absolute error | mean of predicted minus true | covered by the 90 % interval |"
    yield "|---|---|---|---|---|---|"
    ours = [row for row in rows if row["method"] == OURS]
    for network in (*NETWORKS, "both"):
        for budget in (*BUDGETS, "all"):
            some = [row for row in ours if network in ("both", row["network"]) and budget in ("all", row["budget"])]
            if some:
                yield _certified(network, budget, some)
    yield ""
    yield (
        f"Calibration, from development photographs only: shift {constants.SHIFT:g}, reach "
        f"{constants.REACH[0]:g} below and {constants.REACH[1]:g} above, in spreads of the prediction. " + machine(ours)
    )


@cache
def _calibrated(z: float, spread: float) -> tuple[float, float, float]:
    centre = z + constants.SHIFT
    low, high = centre - constants.REACH[0] * spread, centre + constants.REACH[1] * spread
    return float(np.tanh(centre)), float(np.tanh(low)), float(np.tanh(high))


def _certified(network: str, budget: int | str, rows: list[dict[str, Any]]) -> str:
    predicted = [_calibrated(row["z"], row["spread"]) for row in rows]
    errors = [value - row["spearman"] for (value, _, _), row in zip(predicted, rows, strict=True)]
    covered = [low <= row["spearman"] <= high for (_, low, high), row in zip(predicted, rows, strict=True)]
    return (
        f"| {network} | {budget} | {len(rows)} | {mean(np.abs(errors))} | {np.mean(errors):+.3f} | "
        f"{mean(np.asarray(covered, float), 2)} |"
    )


def _curve(network: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    full = [row for row in rows if row["method"] == "dense"]
    if not full:
        return
    yield f"### {network}, patch {PATCH} stride {STRIDE}, mean fill"
    yield ""
    yield (
        f"Dense by the exact engine: {full[0]['positions']} positions, {full[0]['forward_equivalents']:.0f} "
        f"forward-equivalents, {np.median([row['wall'] for row in full]):.1f} s by the clock and "
        f"{np.median([row['processor'] for row in full]):.1f} processor s an image (median of {len(full)}). "
        + machine(rows)
    )
    yield ""
    yield (
        "| method | budget | forward-equivalents | n | Spearman with dense, pixels | 10th percentile | highest tenth "
        "shared | value at the maximum | clock s | processor s |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    methods = [OURS, LATTICE_INSIDE, LATTICE_PLAIN, *dict.fromkeys(name for name, _ in RIVALS)]
    for method in methods:
        for budget in BUDGETS:
            some = [row for row in rows if row["method"] == method and row["budget"] == budget]
            if some:
                title = f"{method} ({some[0]['positions']})" if "positions" in some[0] else method
                yield _fidelity(title, budget, some)
    yield ""
    yield from _against_dense(full, [row for row in rows if row["method"] == OURS])


def _fidelity(title: str, budget: int, rows: list[dict[str, Any]]) -> str:
    correlations = [row["spearman"] for row in rows if np.isfinite(row["spearman"])]
    times = [
        f"{np.median([row[kind] for row in rows]):.2f}" if kind in rows[0] else "" for kind in ("wall", "processor")
    ]
    spent = np.mean([row["forward_equivalents"] for row in rows])
    return (
        f"| {title} | {budget} | {spent:.1f} | {len(correlations)} | {mean(correlations)} | {tenth(correlations)} | "
        f"{np.mean([row['top'] for row in rows]):.2f} | {np.mean([row['peak'] for row in rows]):.2f} | "
        f"{times[0]} | {times[1]} |"
    )


def _against_dense(full: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Iterator[str]:
    """Whether our map took less time than measuring everything exactly, photograph by photograph."""
    whole = {row["image"]: row["processor"] for row in full}
    for budget in BUDGETS:
        shares = [row["processor"] / whole[row["image"]] for row in ours if row["budget"] == budget]
        if shares:
            middle = float(np.median(shares))
            words = "less than" if middle < 0.95 else "about as long as" if middle < 1.05 else "LONGER than"
            yield f"- ours at {budget} takes {middle:.2f} times the processor time of the exact dense map: {words} it."
    yield ""


def _targets(rows: list[dict[str, Any]]) -> Iterator[str]:
    for network in NETWORKS:
        for budget, wanted in ((60, 0.90), (90, 0.95), (60, 0.95)):
            some = [
                row["spearman"]
                for row in rows
                if row["network"] == network and row["method"] == OURS and row["budget"] == budget
            ]
            if some:
                verdict = "reached" if np.mean(some) >= wanted else "MISSED"
                kind = "goal beyond" if (budget, wanted) == (60, 0.95) else "target"
                yield (
                    f"- {network}, {kind} {wanted:.2f} at {budget} forward-equivalents: {verdict} "
                    f"({np.mean(some):.3f}, n = {len(some)})"
                )
    yield ""


def calibration(results: Results) -> Iterator[str]:
    """The constants of workbench/explain/adaptive/certificate.py, from development photographs."""
    rows = [row for row in results.of(part="development", method=OURS) if row["spread"] > 0]  # not those known exactly
    if len(rows) < 20:
        yield f"Only {len(rows)} maps of development photographs are measured; at least 20 are needed."
        return
    error = np.asarray([np.arctanh(np.clip(row["spearman"], -0.9999, 0.9999)) - row["z"] for row in rows])
    shift = float(np.median(error))
    scaled = (error - shift) / np.asarray([row["spread"] for row in rows])
    below, above = -float(np.quantile(scaled, 0.05)), float(np.quantile(scaled, 0.95))
    images = len({row["image"] for row in rows})
    yield f"Certificate calibrated on {len(rows)} maps of {images} development photographs:"
    yield ""
    yield f"    SHIFT = {shift:.3f}"
    yield f"    REACH = ({below:.2f}, {above:.2f})"
    yield ""
    yield "| network | budget | n | median error in z | 5 % | 95 % | mean absolute error before, after |"
    yield "|---|---|---|---|---|---|---|"
    for network in NETWORKS:
        for budget in BUDGETS:
            chosen = np.asarray([row["network"] == network and row["budget"] == budget for row in rows])
            if not chosen.any():
                continue
            z = np.asarray([row["z"] for row in rows])[chosen]
            true = np.asarray([row["spearman"] for row in rows])[chosen]
            before, after = (np.abs(np.tanh(z + moved) - true).mean() for moved in (0.0, shift))
            low, middle, high = np.quantile(error[chosen], [0.05, 0.5, 0.95])
            yield (
                f"| {network} | {budget} | {chosen.sum()} | {middle:+.3f} | {low:+.3f} | {high:+.3f} | "
                f"{before:.3f}, {after:.3f} |"
            )
    yield ""
    yield machine(rows)
