"""Which windows are measured, in which order, and when it is enough. Everything here works on one image."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.explain.adaptive.certificate import EXACT, UNKNOWN, Certificate, Layer, certify
from workbench.explain.adaptive.choosing import coarse_lattice, highest, least_certain
from workbench.explain.adaptive.fusion import Spread, fusion_weights
from workbench.explain.adaptive.surface import Surface, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from workbench.explain.adaptive.evaluators import Answer, Evaluator
    from workbench.explain.lattice import Lattice

Reason = Literal["budget", "time", "fidelity", "stop", "exact"]

COARSE = 16  # windows of the first, coarse lattice of a resolution, about
LOOSENESS = (0.2, 0.4)  # of near-exact measurements that are tried; changes below it are followed linearly
PILOT = 8  # windows on which they are tried
PILOT_SHARE = 0.3  # of what is left, at most, for trying
CHECKS = 12  # spot checks a resolution, drawn at random
STEP = 32  # windows measured between two looks at the surface, at least
STEPS = 16  # looks that measuring every window would take, at most
LOT, LOTS = 64, 4  # windows between two looks where all are measured, about, and how many looks
MARGIN = 1.2  # no window costs more than so many times the average exact one
CREST = 0.1  # share of the windows that are measured because they may be the highest
SPARSE = 0.02  # loss of rank correlation where each window had to stand for one more, about


@dataclass(frozen=True)
class Limits:
    """When it is enough.

    Attributes:
        budget: forward-equivalents.
        seconds: of wall-clock time.
        fidelity: predicted rank correlation with the dense map.
        stop: answers True to end here with what is known.
    """

    budget: float | None = None
    seconds: float | None = None
    fidelity: float | None = None
    stop: Callable[[], bool] | None = None


@dataclass
class Account:
    """What has been spent; the one thing in a search that changes.

    Attributes:
        limits: when it is enough.
        spent: forward-equivalents so far.
        started: when the search began, monotonic seconds.
    """

    limits: Limits
    spent: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def pay(self, answer: Answer) -> NDArray[np.float64]:
        """Book an answer's cost.

        Args:
            answer: the answer.

        Returns:
            Its falls.
        """
        self.spent += answer.cost
        return answer.falls

    @property
    def left(self) -> float:
        """Forward-equivalents left, by the budget and by the clock at the pace so far."""
        by_budget = np.inf if self.limits.budget is None else self.limits.budget - self.spent
        if self.limits.seconds is None:
            return by_budget
        elapsed = time.monotonic() - self.started
        pace = self.spent / elapsed if elapsed > 0 and self.spent else np.inf
        remaining = self.limits.seconds - elapsed
        return min(by_budget, remaining * pace if np.isfinite(pace) else np.inf)

    def over(self, price: float = 0.0) -> Reason | None:
        """Why to stop before spending more, if so.

        Args:
            price: forward-equivalents of the next step.

        Returns:
            The reason, or None to go on.
        """
        if self.limits.stop is not None and self.limits.stop():
            return "stop"
        if self.limits.seconds is not None and time.monotonic() - self.started >= self.limits.seconds:
            return "time"
        if self.limits.budget is not None and self.spent + price > self.limits.budget:
            return "budget"
        return None


@dataclass
class Resolution:
    """One patch size in the making.

    Attributes:
        lattice: its windows.
        falls: (window) float64, NaN where not measured.
        exact: (window) bool, whether the measurement was exact.
        looseness: of the other measurements; None where all are exact.
        error: their variance on the compressed scale.
        surprises: errors of the spot checks, in the surface's deviations.
        surface: the newest surface.
        layer: what is shown of it.
        seed: of the certificate's draws.
    """

    lattice: Lattice
    falls: NDArray[np.float64]
    exact: NDArray[np.bool_]
    looseness: float | None = None
    error: float = 0.0
    surprises: list[float] = field(default_factory=list)
    surface: Surface | None = None
    layer: Layer | None = None
    seed: int = 0

    @staticmethod
    def of(lattice: Lattice, seed: int) -> Resolution:
        """Nothing known yet.

        Args:
            lattice: the windows.
            seed: of the certificate's draws.

        Returns:
            The resolution.
        """
        return Resolution(lattice, np.full(len(lattice), np.nan), np.zeros(len(lattice), bool), seed=seed)

    @property
    def known(self) -> NDArray[np.int64]:
        """Numbers of the measured windows."""
        return np.flatnonzero(np.isfinite(self.falls))

    @property
    def unknown(self) -> NDArray[np.int64]:
        """Numbers of the windows that were not measured."""
        return np.flatnonzero(np.isnan(self.falls))

    def windows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Windows as an evaluator wants them.

        Args:
            numbers: (chosen) int64.

        Returns:
            (chosen, 4) int64: first row, first column, rows, columns.
        """
        corners = self.lattice.corners[numbers]
        return np.concatenate([corners, np.tile(self.lattice.patch, (len(numbers), 1))], axis=1).astype(np.int64)

    def refit(self) -> Surface:
        """Fit the surface to what is known now.

        Returns:
            The surface, also kept.
        """
        places = self.lattice.corners / np.asarray(self.lattice.stride, dtype=np.float64)
        known = self.known
        self.surface = fit(places, known, self.falls[known], exact=self.exact[known], error=self.error)
        self.layer = Layer(self.lattice, self.surface, np.asarray(self.surprises), self.seed)
        return self.surface


@dataclass(frozen=True, eq=False)
class State:
    """What is known at one moment of the search.

    Attributes:
        layers: the resolutions that have begun, coarsest first.
        weights: how they are laid over each other.
        settled: the certificate where nothing has to be predicted: all was measured, or a resolution has not begun.
        spent: forward-equivalents so far.
        ended: why the search ended; None while it goes on.
        looseness: of each layer's approximation; None where there was none.
    """

    layers: tuple[Layer, ...]
    weights: tuple[float, ...]
    settled: Certificate | None
    spent: float
    ended: Reason | None
    looseness: tuple[float | None, ...]

    @cached_property
    def certificate(self) -> Certificate:
        """Predicted rank correlation with the dense map; made when it is asked for, as not every step is looked at."""
        return self.settled or certify(self.layers, self.weights)


def search(evaluator: Evaluator, lattices: tuple[Lattice, ...], limits: Limits, *, seed: int) -> Iterator[State]:
    """Improve the map of one image step by step.

    For each resolution, the largest patch first: a coarse lattice is measured, and tells whether near-exact
    measurements would bring more for the same work; then windows are measured where the surface is least sure of
    their rank, and some that are drawn at random, exactly, as spot checks.

    Args:
        evaluator: measures windows.
        lattices: one a patch size, the largest patch first.
        limits: when it is enough.
        seed: of the spot checks and the certificate.

    Yields:
        The state after each step; the last one has ``ended`` set.
    """
    account = Account(limits, spent=evaluator.overhead)
    generator = np.random.default_rng(seed)
    resolutions = [Resolution.of(lattice, seed + number) for number, lattice in enumerate(lattices)]
    shares = _shares(evaluator, resolutions)
    begun: list[Resolution] = []
    ended: Reason | None = None
    for number, resolution in enumerate(resolutions):
        begun.append(resolution)
        part = shares[number] / sum(shares[number:])
        ceiling = account.spent + part * account.left
        for reason in _improve(evaluator, resolution, account, ceiling, generator):
            state = _state(begun, account, reason, complete=len(begun) == len(lattices))
            if _reached(state, limits, complete=len(begun) == len(lattices)):
                yield _state(begun, account, "fidelity", complete=True)
                return
            ended = reason
            if reason in ("stop", "time"):
                break
            if reason is None:
                yield state
        if ended in ("stop", "time"):
            break
    exact = all(resolution.exact.all() for resolution in resolutions)
    yield _state(begun, account, "exact" if exact else ended or "budget", complete=len(begun) == len(lattices))


def _shares(evaluator: Evaluator, resolutions: list[Resolution]) -> list[float]:
    """What part of the budget each resolution gets: the square root of what it would cost in full."""
    everything = [np.arange(len(resolution.lattice)) for resolution in resolutions]
    return [
        evaluator.exact_cost(resolution.windows(numbers)) ** 0.5
        for resolution, numbers in zip(resolutions, everything, strict=True)
    ]


def _improve(
    evaluator: Evaluator,
    resolution: Resolution,
    account: Account,
    ceiling: float,
    generator: np.random.Generator,
) -> Iterator[Reason | None]:
    """Spend up to a ceiling on one resolution; yields None after each step, a reason at the end."""
    ahead = _affordable(evaluator, resolution, coarse_lattice(resolution.lattice, COARSE), account, ceiling)
    resolution.falls[ahead] = account.pay(evaluator.exact(resolution.windows(ahead)))
    resolution.exact[ahead] = True
    resolution.refit()
    yield None
    whole = evaluator.exact_cost(resolution.windows(resolution.unknown))
    if account.spent + whole <= ceiling and account.limits.fidelity is None:
        yield from _complete(evaluator, resolution, account)
        return
    if evaluator.approximates and account.limits.seconds is None and account.spent + whole > ceiling:
        _choose_looseness(evaluator, resolution, account, ceiling)
    yield from _refine(evaluator, resolution, account, ceiling, generator)


def _complete(evaluator: Evaluator, resolution: Resolution, account: Account) -> Iterator[Reason | None]:
    """Measure all that is left, coarse first: where that is affordable, nothing has to be chosen or estimated."""
    order = resolution.lattice.refinement_order()
    order = order[np.isnan(resolution.falls[order])]
    for chosen in np.array_split(order, int(np.clip(len(order) // LOT, 1, LOTS))):
        reason = account.over()
        if reason in ("stop", "time"):
            yield reason
            return
        resolution.falls[chosen] = account.pay(evaluator.exact(resolution.windows(chosen)))
        resolution.exact[chosen] = True
        resolution.refit()
        yield None
    yield "budget"


def _affordable(
    evaluator: Evaluator, resolution: Resolution, numbers: NDArray[np.int64], account: Account, ceiling: float
) -> NDArray[np.int64]:
    """As many of some windows as the ceiling allows, evenly; at least four, since fewer say nothing."""
    price = evaluator.exact_cost(resolution.windows(numbers)) / len(numbers)
    count = len(numbers) if not np.isfinite(ceiling) else int((ceiling - account.spent) / price)
    count = min(max(count, 4), len(numbers))
    return np.asarray(numbers[np.unique(np.linspace(0, len(numbers) - 1, count).round().astype(int))])


def _choose_looseness(evaluator: Evaluator, resolution: Resolution, account: Account, ceiling: float) -> None:
    """Try near-exact measurements on windows that are known, and settle whether one of them is worth its error."""
    known = resolution.known
    price = evaluator.exact_cost(resolution.windows(known)) / len(known)
    room = min(PILOT, len(known), int(PILOT_SHARE * (ceiling - account.spent) / (len(LOOSENESS) * price)))
    if room < PILOT // 2:
        return
    pilot = known[np.linspace(0, len(known) - 1, room).round().astype(int)]
    scale = (resolution.surface or resolution.refit()).scale
    true = scale.compress(resolution.falls[pilot])
    tried: list[tuple[float, float, float | None]] = [(price, 0.0, None)]
    for looseness in LOOSENESS:
        answer = evaluator.approximate(resolution.windows(pilot), looseness)
        error = float(np.mean((scale.compress(account.pay(answer)) - true) ** 2))
        tried.append((answer.cost / len(pilot), error, looseness))
    left = ceiling - account.spent
    losses = [expected_loss(len(resolution.lattice), left / price, error) for price, error, _ in tried]
    _, resolution.error, resolution.looseness = tried[int(np.argmin(losses))]


def expected_loss(windows: int, measured: float, error: float) -> float:
    """About how much rank correlation a map lacks.

    Args:
        windows: of the lattice.
        measured: how many of them can be measured.
        error: variance of a measurement, where the falls have variance 1.

    Returns:
        The loss: what the windows that are not measured cost, and what the errors of the measured ones do.
    """
    share = min(measured / windows, 1.0)
    return SPARSE * (1.0 / max(share, 1e-6) - 1.0) + 0.5 * error / (1.0 + error)


def _refine(
    evaluator: Evaluator,
    resolution: Resolution,
    account: Account,
    ceiling: float,
    generator: np.random.Generator,
) -> Iterator[Reason | None]:
    """Measure where the rank is least certain, and some windows at random as checks of what was predicted."""
    surface = resolution.surface or resolution.refit()
    price = evaluator.exact_cost(resolution.windows(resolution.known)) / len(resolution.known)
    near = resolution.looseness
    step = max(STEP, len(resolution.lattice) // STEPS)
    while len(resolution.unknown):
        checks = np.zeros(0, np.int64)
        if len(resolution.surprises) < CHECKS:
            half = CHECKS if not np.isfinite(ceiling) else int(0.5 * (ceiling - account.spent) / price)
            drawn = min(CHECKS - len(resolution.surprises), len(resolution.unknown), max(1, half))
            checks = _within(evaluator, resolution, account, ceiling, generator.permutation(resolution.unknown)[:drawn])
            measured = account.pay(evaluator.exact(resolution.windows(checks))) if len(checks) else np.zeros(0)
            resolution.surprises += _surprises(surface, checks, measured)
            resolution.falls[checks], resolution.exact[checks] = measured, True
        room = step if not np.isfinite(ceiling) else min(step, int((ceiling - account.spent) / (MARGIN * price)))
        crest = highest(surface, round(CREST * room), exclude=checks)
        chosen = least_certain(surface, room - len(crest), exclude=np.concatenate([checks, crest]))
        chosen = np.concatenate([crest, chosen])
        if near is None:
            chosen = _within(evaluator, resolution, account, ceiling, chosen)
        if not len(chosen) and not len(checks):
            yield "budget"
            return
        if len(chosen):
            windows = resolution.windows(chosen)
            answer = evaluator.exact(windows) if near is None else evaluator.approximate(windows, near)
            resolution.falls[chosen], resolution.exact[chosen] = account.pay(answer), near is None
        surface = resolution.refit()
        reason = account.over()
        if reason in ("stop", "time"):
            yield reason
            return
        yield None


def _within(
    evaluator: Evaluator, resolution: Resolution, account: Account, ceiling: float, numbers: NDArray[np.int64]
) -> NDArray[np.int64]:
    """As many of some windows, the first ones, as the ceiling allows to be measured exactly."""
    while len(numbers):
        cost = evaluator.exact_cost(resolution.windows(numbers))
        if account.spent + cost <= ceiling:
            break
        numbers = numbers[: min(len(numbers) - 1, int(len(numbers) * (ceiling - account.spent) / cost))]
    return numbers


def _surprises(surface: Surface, checks: NDArray[np.int64], measured: NDArray[np.float64]) -> list[float]:
    expected, deviation = surface.compressed[checks], np.maximum(surface.deviation[checks], 1e-9)
    return list((surface.scale.compress(measured) - expected) / deviation)


def _reached(state: State, limits: Limits, *, complete: bool) -> bool:
    enough = limits.fidelity is not None and state.certificate.value >= limits.fidelity
    return complete and enough and state.certificate.checks >= CHECKS


def _state(begun: list[Resolution], account: Account, reason: Reason | None, *, complete: bool) -> State:
    layers = tuple(resolution.layer for resolution in begun if resolution.layer is not None)
    weights = fusion_weights([Spread(layer.lattice).average(layer.surface.mean) for layer in layers])
    settled = None if complete else UNKNOWN
    if complete and all(resolution.exact.all() for resolution in begun):
        settled = EXACT
    return State(layers, weights, settled, account.spent, reason, tuple(resolution.looseness for resolution in begun))
