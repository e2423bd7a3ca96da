"""Fast multi-resolution occlusion: within a budget, the map that dense occlusion would give, nearly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, strings
from workbench.errors import InputError, Interrupted
from workbench.explain.adaptive.fusion import Profile, Spread, check_profile, fuse
from workbench.explain.adaptive.inside import evaluator_for
from workbench.explain.adaptive.search import Limits, State, search
from workbench.explain.baselines import Hiding, describe, hiding
from workbench.explain.lattice import Lattice, Size, as_pair, lattice
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Question, Score, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from workbench.explain.adaptive.evaluators import Evaluator
    from workbench.models import ImageModel

FINEST = 14  # the automatic finest patch is this part of the shorter side
DEFAULT_BUDGET = 96.0  # forward-equivalents an image
Engine = Literal["auto", "incremental", "forward"]


@dataclass(frozen=True, eq=False)
class AnytimeMap:
    """The map as it is known at one moment.

    Attributes:
        heatmap: what :func:`multi_resolution_occlusion` returns, as far as it is known.
        windows: Dataset (image, window): ``fall`` (expected or measured, in units of the score), ``sigma`` (its
            standard deviation, 0 where measured), ``exact`` (bool), and (window) ``row``, ``column``, ``height``,
            ``width`` in pixels. NaN for images and resolutions that have not begun.
    """

    heatmap: xr.DataArray
    windows: xr.Dataset


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be explained, and how; settled once.

    Attributes:
        question: what is explained.
        hide: what windows show.
        lattices: one a patch size, the largest patch first.
        limits: when it is enough, for each image.
        window: how the windows over a pixel are weighted.
        seed: of spot checks and certificate.
        evaluator: makes what measures one image.
        facts: what the provenance says of the evaluator.
        parameters: for the provenance.
    """

    question: Question
    hide: Hiding
    lattices: tuple[Lattice, ...]
    limits: Limits
    window: Profile
    seed: int
    evaluator: Callable[[int], Evaluator]
    facts: dict[str, Any]
    parameters: dict[str, Any]


def multi_resolution_steps(
    model: ImageModel,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    patches: Sequence[Size] | None = None,
    strides: Sequence[Size] | None = None,
    baseline: Any = "mean",
    budget: float | None = None,
    time: float | None = None,
    fidelity: float | None = None,
    window: str = "box",
    engine: Engine = "auto",
    seed: int = 0,
    batch_size: int = 32,
    stop: Stop | None = None,
) -> Iterator[AnytimeMap]:
    """The maps of :func:`multi_resolution_occlusion` as they improve; each is complete in itself.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        patches: pixels of the windows, one a resolution; None is a 14th of the shorter side, twice and four times it.
        strides: pixels from one window to the next, one a resolution; None is half of each patch.
        baseline: what windows show, see :func:`workbench.explain.occlusion`.
        budget: forward-equivalents an image: multiplications done over those of one forward pass.
        time: seconds an image.
        fidelity: predicted rank correlation with the dense map at which to end, below 1. Where neither budget, time
            nor fidelity is given, the budget is 96.
        window: ``"box"`` (plain mean of the windows over a pixel) or ``"hann"`` (smooth).
        engine: ``"incremental"`` looks inside the network, ``"forward"`` treats it as a black box, ``"auto"`` looks
            inside where that is possible.
        seed: of the spot checks, the certificate and baselines that draw.
        batch_size: windows at a time.
        stop: asked between steps; True ends the search with what is known then.

    Yields:
        The improving maps, image after image; maps of images that have not begun are NaN.

    Raises:
        InputError: unusable patches, strides, limits or window.
        UnknownNameError, NotFiniteError, ShapeError, DtypeError: the target, baseline or images cannot be used.
    """
    task = _settle(
        model, images, target=target, score=score, patches=patches, strides=strides, baseline=baseline,
        limits=_limits(budget, time, fidelity, stop), window=window, engine=engine, seed=seed, batch_size=batch_size,
    )  # fmt: skip
    for states in _steps(task):
        yield draw(task, states)


@explainers.register(
    title="Fast multi-resolution occlusion (ours)",
    source=("nakandala2019", "rasmussen2006"),
    access="gradients",
    returns="fall of the score where windows of several sizes hide the image, partly measured, partly estimated",
    cost="the budget: 96 forward-equivalents by default",
    note=(
        "Our own design under a name that others used before: their mask sizes, strides and fusion are not known. "
        "Says how near it is to the dense map. Without a look inside the network it estimates from places alone."
    ),
    parameters={
        "budget": ("float", None, 8.0, 1000.0),
        "baseline": ("choice", "mean", ("zero", "black", "mean", "blur", "noise", "inpaint")),
        "window": ("choice", "box", ("box", "hann")),
        "seed": ("int", 0, 0, 1000),
    },
)
def multi_resolution_occlusion(
    model: ImageModel,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    patches: Sequence[Size] | None = None,
    strides: Sequence[Size] | None = None,
    baseline: Any = "mean",
    budget: float | None = None,
    time: float | None = None,
    fidelity: float | None = None,
    window: str = "box",
    engine: Engine = "auto",
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Occlusion with patches of several sizes, laid over each other, within a budget of work, time or fidelity.

    For each patch size: a coarse lattice of windows is measured exactly; where that saves work, it tells how near a
    cheaper measurement comes, which follows large changes through the network exactly and small ones linearly; a
    Gaussian process over the windows estimates the rest; windows whose rank is least certain are measured next, and
    some at random, exactly, as spot checks. The spot checks and the process say how the map would rank against the
    dense one. Our own design: the published method of
    this name could be read in its abstract only. The windows to measure are chosen by their uncertainty, never as a
    fixed share of the image. Source: [nakandala2019], [rasmussen2006].

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        patches: pixels of the windows, one a resolution; None is a 14th of the shorter side, twice and four times it.
        strides: pixels from one window to the next, one a resolution; None is half of each patch.
        baseline: what windows show, see :func:`workbench.explain.occlusion`.
        budget: forward-equivalents an image: multiplications done over those of one forward pass.
        time: seconds an image.
        fidelity: predicted rank correlation with the dense map at which to end, below 1. Where neither budget, time
            nor fidelity is given, the budget is 96.
        window: ``"box"`` (plain mean of the windows over a pixel) or ``"hann"`` (smooth).
        engine: ``"incremental"`` looks inside the network, ``"forward"`` treats it as a black box, ``"auto"`` looks
            inside where that is possible.
        seed: of the spot checks, the certificate and baselines that draw.
        batch_size: windows at a time.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far).
        stop: asked between steps; True ends the search with what is known then, unless nothing is.

    Returns:
        DataArray (image, y, x) float32 on the grid of the network input, in units of the score of the finest patch;
        above 0 where hiding lowers the score. More coordinates: ``evidence_for`` and ``evidence_against`` (image, y,
        x) at least 0, each resolution's positive and negative parts laid over each other apart; ``sigma`` (image, y,
        x) standard deviation; ``exact`` (image, y, x) share of the windows over a pixel that were measured;
        ``certificate``, ``certificate_low``, ``certificate_high`` (image) predicted Spearman correlation with the
        dense map and its 90 % interval; ``forward_equivalents`` (image); ``ended`` (image): "budget", "time",
        "fidelity", "stop" or "exact". The attribute ``evaluator`` says whether the network was looked into.

    Raises:
        InputError: unusable patches, strides, limits or window.
        UnknownNameError, NotFiniteError, ShapeError, DtypeError: the target, baseline or images cannot be used.
        Interrupted: stopped before anything was known.
    """
    limits = _limits(budget, time, fidelity, stop)
    task = _settle(
        model, images, target=target, score=score, patches=patches, strides=strides, baseline=baseline,
        limits=limits, window=window, engine=engine, seed=seed, batch_size=batch_size,
    )  # fmt: skip
    states: list[State] = []
    with Meter(100 * len(task.question), progress=progress, label="multi-resolution occlusion, per cent") as meter:
        for states in _steps(task):
            meter.advance(_percent(states, limits) - meter.done, lambda states=states: draw(task, states).heatmap)  # type: ignore[misc]
    if len(states) < len(task.question):
        raise Interrupted("Stopped on request before every image had a map. Let it run longer, or take the steps.")
    return draw(task, states).heatmap


def _limits(budget: float | None, time: float | None, fidelity: float | None, stop: Stop | None) -> Limits:
    for name, value in (("budget", budget), ("time", time)):
        if value is not None and not value > 0:
            raise InputError(f"{name} is {value}; expected a number above 0.")
    if fidelity is not None and not 0 < fidelity < 1:
        raise InputError(f"fidelity is {fidelity}; expected a rank correlation between 0 and 1, both excluded.")
    if budget is None and time is None and fidelity is None:
        budget = DEFAULT_BUDGET
    return Limits(budget, time, fidelity, stop)


def _settle(
    model: ImageModel,
    images: Any,
    *,
    target: Any,
    score: Score,
    patches: Sequence[Size] | None,
    strides: Sequence[Size] | None,
    baseline: Any,
    limits: Limits,
    window: str,
    engine: Engine,
    seed: int,
    batch_size: int,
) -> Task:
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; expected at least 1.")
    profile = check_profile(window)
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    lattices = lattices_for(question.size, patches, strides)
    hide = hiding(baseline, question.inputs, model=model, seed=seed)
    make, facts = evaluator_for(question, hide, engine=engine, batch_size=batch_size)
    parameters = {
        "patches": [list(item.patch) for item in lattices],
        "strides": [list(item.stride) for item in lattices],
        "baseline": describe(baseline),
        "budget": limits.budget,
        "time": limits.seconds,
        "fidelity": limits.fidelity,
        "window": window,
        "engine": engine,
        "seed": seed,
    }
    return Task(question, hide, lattices, limits, profile, seed, make, facts, parameters)


def lattices_for(
    size: tuple[int, int], patches: Sequence[Size] | None, strides: Sequence[Size] | None
) -> tuple[Lattice, ...]:
    """One lattice a resolution, the largest patch first.

    Args:
        size: (y, x) pixels of the network input.
        patches: pixels of the windows, one a resolution; None is a 14th of the shorter side, twice and four times it.
        strides: pixels from one window to the next, one a resolution; None is half of each patch.

    Returns:
        The lattices.

    Raises:
        InputError: no patch, not as many strides as patches, or sizes that do not fit.
        DtypeError: sizes that are not integers.
    """
    if patches is None:
        finest = max(2, round(min(size) / FINEST))
        patches = [finest * factor for factor in (1, 2, 4) if finest * factor <= min(size)]
    if isinstance(patches, int | np.integer) or not len(patches):
        raise InputError(f"patches is {patches!r}; expected a sequence of sizes, such as (16, 32).")
    pairs = [as_pair(patch, name="patch") for patch in patches]
    if strides is None:
        steps: list[Size] = [(max(1, height // 2), max(1, width // 2)) for height, width in pairs]
    elif isinstance(strides, int | np.integer) or len(strides) != len(pairs):
        raise InputError(f"strides is {strides!r}; expected a sequence of {len(pairs)} sizes, one a patch.")
    else:
        steps = list(strides)
    made = [lattice(size, patch, step) for patch, step in zip(pairs, steps, strict=True)]
    return tuple(sorted(made, key=lambda item: -item.patch[0] * item.patch[1]))


def _steps(task: Task) -> Iterator[list[State]]:
    """The newest state of each image that has begun, after each step."""
    done: list[State] = []
    for number in range(len(task.question)):
        state = None
        for state in search(task.evaluator(number), task.lattices, task.limits, seed=task.seed):
            yield [*done, state]
        if state is None or state.ended == "stop":
            return
        done.append(state)


def _percent(states: list[State], limits: Limits) -> int:
    """How far all images are: those that ended, and the share of the budget that the current one has spent."""
    newest = states[-1]
    if newest.ended:
        return 100 * len(states)
    shares = [newest.spent / limits.budget if limits.budget else 0.0]
    if limits.fidelity:
        shares.append(float(np.nan_to_num(newest.certificate.value)) / limits.fidelity * 0.99)
    return 100 * (len(states) - 1) + int(100 * min(max(shares), 0.99))


def draw(task: Task, states: Sequence[State]) -> AnytimeMap:
    """The map and the windows of all images, as far as they are known.

    Args:
        task: what is explained, and how.
        states: the newest state of each image that has begun.

    Returns:
        The map.
    """
    count = len(task.question)
    height, width = task.question.size
    pixels = {
        name: np.full((count, height, width), np.nan)
        for name in ("map", "evidence_for", "evidence_against", "sigma", "exact")
    }
    numbers = {name: np.full(count, np.nan) for name in ("value", "low", "high", "spent")}
    ended = [""] * count
    for number, state in enumerate(states):
        for name, values in _pictures(state, task.window).items():
            pixels[name][number] = values
        certificate = state.certificate
        numbers["value"][number], numbers["spent"][number] = certificate.value, state.spent
        numbers["low"][number], numbers["high"][number] = certificate.low, certificate.high
        ended[number] = state.ended or "running"
    coords = {
        **{name: (("image", "y", "x"), pixels[name].astype(np.float32)) for name in pixels if name != "map"},
        "certificate": (IMAGE, numbers["value"]),
        "certificate_low": (IMAGE, numbers["low"]),
        "certificate_high": (IMAGE, numbers["high"]),
        "forward_equivalents": (IMAGE, numbers["spent"]),
        "ended": (IMAGE, strings(ended)),
    }
    heatmap = heatmaps(
        task.question,
        pixels["map"],
        method="multi_resolution_occlusion",
        parameters=task.parameters,
        finite=False,
        coords=coords,
        **task.facts,
    )
    return AnytimeMap(heatmap, _windows(task, states))


def _pictures(state: State, profile: Profile) -> dict[str, NDArray[np.float64]]:
    spreads = [Spread(layer.lattice, profile) for layer in state.layers]
    means = [layer.surface.mean for layer in state.layers]
    exact = [np.isin(np.arange(len(layer.lattice)), layer.surface.certain).astype(float) for layer in state.layers]
    layers = list(zip(spreads, means, state.layers, exact, strict=True))

    def together(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        return fuse([spread.average(value) for spread, value in zip(spreads, values, strict=True)], state.weights)

    return {
        "map": together(means),
        "evidence_for": together([np.maximum(mean, 0.0) for mean in means]),
        "evidence_against": together([np.maximum(-mean, 0.0) for mean in means]),
        "sigma": together([layer.surface.sigma for layer in state.layers]),
        "exact": np.mean([spread.average(share) for spread, _, _, share in layers], axis=0),
    }


def _windows(task: Task, states: Sequence[State]) -> xr.Dataset:
    count, sizes = len(task.question), [len(item) for item in task.lattices]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    fall, sigma = np.full((count, starts[-1]), np.nan), np.full((count, starts[-1]), np.nan)
    exact = np.zeros((count, starts[-1]), bool)
    for number, state in enumerate(states):
        for layer, start in zip(state.layers, starts, strict=False):
            part = slice(start, start + len(layer.lattice))
            fall[number, part], sigma[number, part] = layer.surface.mean, layer.surface.sigma
            exact[number, start + layer.surface.certain] = True
    corners = np.concatenate([item.corners for item in task.lattices])
    extents = np.concatenate([np.tile(item.patch, (len(item), 1)) for item in task.lattices])
    return xr.Dataset(
        {"fall": ((IMAGE, "window"), fall), "sigma": ((IMAGE, "window"), sigma), "exact": ((IMAGE, "window"), exact)},
        coords={
            IMAGE: strings(task.question.identifiers),
            "row": ("window", corners[:, 0]),
            "column": ("window", corners[:, 1]),
            "height": ("window", extents[:, 0]),
            "width": ("window", extents[:, 1]),
        },
    )
