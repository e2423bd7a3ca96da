"""Which windows are measured, in which order, and when it is enough. Everything here works on one image."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.explain.adaptive.certificate import EXACT, UNKNOWN, Certificate, Layer, certify
from workbench.explain.adaptive.fusion import Spread, fusion_weights
from workbench.explain.adaptive.surface import Surface, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from workbench.explain.adaptive.evaluators import Answer, Evaluator
    from workbench.explain.lattice import Lattice

Reason = Literal["budget", "time", "fidelity", "stop", "exact"]

COARSE = 25  # windows of the first, coarse lattice of a resolution, about
PILOT = 24  # windows on which the price of a looseness is tried, at most
PILOT_SHARE = 0.25  # of what is left, were they measured exactly
TIGHTEST, LOOSEST = 0.1, 0.8  # looseness: changes below this share of a layer's RMS are followed linearly
SHARE = 0.7  # of what is left, for the approximation of all windows; the rest refines
CHECKS = 12  # spot checks a resolution, drawn at random
STEP = 24  # windows measured between two looks at the surface
CHUNK = 96  # windows approximated between two looks at the clock


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
        approximation: (window) float64, NaN where not approximated.
        looseness: of the approximation; None where there is none.
        surprises: errors of the spot checks, in the surface's deviations.
        surface: the newest surface.
    """

    lattice: Lattice
    falls: NDArray[np.float64]
    approximation: NDArray[np.float64]
    looseness: float | None = None
    surprises: list[float] = field(default_factory=list)
    surface: Surface | None = None

    @staticmethod
    def of(lattice: Lattice) -> Resolution:
        """Nothing known yet.

        Args:
            lattice: the windows.

        Returns:
            The resolution.
        """
        return Resolution(lattice, np.full(len(lattice), np.nan), np.full(len(lattice), np.nan))

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
        complete = bool(np.isfinite(self.approximation).all())
        features = self.approximation[:, None] if complete else np.zeros((len(places), 0))
        known = self.known
        self.surface = fit(places, features, known, self.falls[known])
        return self.surface


@dataclass(frozen=True, eq=False)
class State:
    """What is known at one moment of the search.

    Attributes:
        layers: the resolutions that have begun, coarsest first.
        weights: how they are laid over each other.
        certificate: predicted rank correlation with the dense map.
        spent: forward-equivalents so far.
        ended: why the search ended; None while it goes on.
        looseness: of each layer's approximation; None where there was none.
    """

    layers: tuple[Layer, ...]
    weights: tuple[float, ...]
    certificate: Certificate
    spent: float
    ended: Reason | None
    looseness: tuple[float | None, ...]


def search(evaluator: Evaluator, lattices: tuple[Lattice, ...], limits: Limits, *, seed: int) -> Iterator[State]:
    """Improve the map of one image step by step.

    For each resolution, the largest patch first: a coarse lattice is measured; all windows are approximated where that
    is possible and affordable; then windows are measured where the surface is least sure of their rank, some of them
    drawn at random as spot checks.

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
    resolutions = [Resolution.of(lattice) for lattice in lattices]
    shares = _shares(evaluator, resolutions)
    begun: list[Resolution] = []
    ended: Reason | None = None
    for number, resolution in enumerate(resolutions):
        begun.append(resolution)
        part = shares[number] / sum(shares[number:])
        ceiling = account.spent + part * account.left
        for reason in _improve(evaluator, resolution, account, ceiling, generator, last=number == len(lattices) - 1):
            state = _state(begun, account, reason, seed, complete=len(begun) == len(lattices))
            if _reached(state, limits, complete=len(begun) == len(lattices)):
                yield _state(begun, account, "fidelity", seed, complete=True)
                return
            ended = reason
            if reason in ("stop", "time"):
                break
            if reason is None:
                yield state
        if ended in ("stop", "time"):
            break
    exact = all(not len(resolution.unknown) for resolution in resolutions)
    yield _state(begun, account, "exact" if exact else ended or "budget", seed, complete=len(begun) == len(lattices))


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
    *,
    last: bool,
) -> Iterator[Reason | None]:
    """Spend up to a ceiling on one resolution; yields None after each step, a reason at the end."""
    ahead = _affordable(evaluator, resolution, coarse_lattice(resolution.lattice, COARSE), account, ceiling)
    resolution.falls[ahead] = account.pay(evaluator.exact(resolution.windows(ahead)))
    resolution.refit()
    yield None
    whole = evaluator.exact_cost(resolution.windows(resolution.unknown))
    if evaluator.approximates and account.spent + whole > ceiling:
        for reason in _approximate(evaluator, resolution, account, ceiling):
            yield reason
            if reason is not None:
                return
        resolution.refit()
        yield None
    yield from _refine(evaluator, resolution, account, ceiling, generator)


def _affordable(
    evaluator: Evaluator, resolution: Resolution, numbers: NDArray[np.int64], account: Account, ceiling: float
) -> NDArray[np.int64]:
    """As many of some windows as the ceiling allows, evenly; at least four, since fewer say nothing."""
    price = evaluator.exact_cost(resolution.windows(numbers)) / len(numbers)
    count = len(numbers) if not np.isfinite(ceiling) else int((ceiling - account.spent) / price)
    count = min(max(count, 4), len(numbers))
    return np.asarray(numbers[np.unique(np.linspace(0, len(numbers) - 1, count).round().astype(int))])


def coarse_lattice(lattice: Lattice, count: int) -> NDArray[np.int64]:
    """Evenly spread windows of a lattice, the border included.

    Args:
        lattice: all windows.
        count: how many are wanted, about.

    Returns:
        (window) int64, increasing.
    """
    rows, columns = lattice.shape
    share = min(1.0, (count / (rows * columns)) ** 0.5)
    picked = [
        np.unique(
            np.linspace(0, length - 1, max(2 if length > 1 else 1, round(length * share))).round().astype(np.int64)
        )
        for length in (rows, columns)
    ]
    return np.asarray((picked[0][:, None] * columns + picked[1][None, :]).ravel())


def _approximate(
    evaluator: Evaluator, resolution: Resolution, account: Account, ceiling: float
) -> Iterator[Reason | None]:
    """Approximate all windows, as tightly as a share of what is left allows; none where even that is too dear."""
    order = resolution.lattice.refinement_order()
    price = evaluator.exact_cost(resolution.windows(order)) / len(order)
    pilot = min(PILOT, int(PILOT_SHARE * (ceiling - account.spent) / (2 * price)))
    if pilot < 2 or len(order) <= 2 * pilot:
        return
    prices = []
    for looseness, numbers in ((LOOSEST, order[:pilot]), (TIGHTEST, order[pilot : 2 * pilot])):
        answer = evaluator.approximate(resolution.windows(numbers), looseness)
        resolution.approximation[numbers] = account.pay(answer)
        prices.append(answer.cost / len(numbers))
    allowed = SHARE * (ceiling - account.spent) / len(order)
    affordable = affordable_looseness(prices[0], prices[1], allowed)
    if affordable is None:
        resolution.approximation[:] = np.nan
        return
    resolution.looseness = affordable
    for start in range(0, len(order), CHUNK):
        numbers = order[start : start + CHUNK]
        resolution.approximation[numbers] = account.pay(evaluator.approximate(resolution.windows(numbers), affordable))
        reason = account.over()
        if reason in ("stop", "time"):
            yield reason
            return


def affordable_looseness(loosest: float, tightest: float, allowed: float) -> float | None:
    """The tightest approximation whose price is allowed.

    Args:
        loosest: price of a window at the loosest approximation.
        tightest: price of a window at the tightest.
        allowed: price that a window may have.

    Returns:
        The looseness, between :data:`TIGHTEST` and :data:`LOOSEST`; None where even the loosest is too dear.
    """
    if allowed < loosest:
        return None
    if allowed >= tightest or tightest <= loosest:
        return TIGHTEST
    way = np.log(allowed / loosest) / np.log(tightest / loosest)
    return float(LOOSEST * (TIGHTEST / LOOSEST) ** way)


def _refine(
    evaluator: Evaluator,
    resolution: Resolution,
    account: Account,
    ceiling: float,
    generator: np.random.Generator,
) -> Iterator[Reason | None]:
    """Measure where the rank is least certain, and some windows at random as checks of what was predicted."""
    surface = resolution.surface or resolution.refit()
    while len(resolution.unknown):
        price = evaluator.exact_cost(resolution.windows(resolution.unknown)) / len(resolution.unknown)
        room = len(resolution.unknown) if not np.isfinite(ceiling) else int((ceiling - account.spent) / price)
        if room < 1:
            yield "budget"
            return
        wanted = min(STEP, room, len(resolution.unknown))
        checks = np.zeros(0, np.int64)
        if len(resolution.surprises) < CHECKS:
            drawn = min(CHECKS, max(1, wanted // 2))
            checks = generator.choice(resolution.unknown, size=drawn, replace=False)
        chosen = np.concatenate([checks, least_certain(surface, wanted - len(checks), exclude=checks)])
        measured = account.pay(evaluator.exact(resolution.windows(chosen)))
        resolution.surprises += _surprises(surface, checks, measured[: len(checks)])
        resolution.falls[chosen] = measured
        surface = resolution.refit()
        reason = account.over()
        if reason in ("stop", "time"):
            yield reason
            return
        yield None


def _surprises(surface: Surface, checks: NDArray[np.int64], measured: NDArray[np.float64]) -> list[float]:
    expected, deviation = surface.compressed[checks], np.maximum(surface.deviation[checks], 1e-9)
    return list((surface.scale.compress(measured) - expected) / deviation)


def least_certain(surface: Surface, count: int, *, exclude: NDArray[np.int64]) -> NDArray[np.int64]:
    """The windows whose rank among all is least certain, spread out: each choice lowers its neighbours' claim.

    How far a rank may be off is the deviation times how many windows lie near the expected value.

    Args:
        surface: what is known.
        count: how many to choose.
        exclude: windows that are measured anyway.

    Returns:
        (window) int64, none of them known or excluded; fewer where there are no more.
    """
    candidates = np.setdiff1d(np.arange(len(surface.places)), np.concatenate([surface.known, exclude]))
    if count >= len(candidates):
        return candidates
    if count < 1:
        return np.zeros(0, np.int64)
    ordered = np.sort(surface.compressed)
    reach = 0.25 * float(surface.compressed.std()) + 1e-9
    values = surface.compressed[candidates]
    crowd = np.searchsorted(ordered, values + reach) - np.searchsorted(ordered, values - reach)
    promising = candidates[np.argsort(-(crowd * surface.deviation[candidates]), kind="stable")[: max(512, 4 * count)]]
    crowd_of = dict(zip(candidates.tolist(), crowd.tolist(), strict=True))
    weight = np.array([crowd_of[int(window)] for window in promising], dtype=np.float64)
    covariance = surface.covariance(promising)
    chosen: list[int] = []
    for _ in range(count):
        claim = weight**2 * np.diag(covariance)
        claim[chosen] = -1.0
        best = int(claim.argmax())
        chosen.append(best)
        column = covariance[:, best].copy()
        covariance -= np.outer(column, column) / max(float(column[best]), 1e-12)
    return np.asarray(promising[chosen])


def _reached(state: State, limits: Limits, *, complete: bool) -> bool:
    enough = limits.fidelity is not None and state.certificate.value >= limits.fidelity
    return complete and enough and state.certificate.checks >= CHECKS


def _state(begun: list[Resolution], account: Account, reason: Reason | None, seed: int, *, complete: bool) -> State:
    layers = tuple(
        Layer(resolution.lattice, resolution.surface or resolution.refit(), np.asarray(resolution.surprises))
        for resolution in begun
    )
    weights = fusion_weights([Spread(layer.lattice).average(layer.surface.mean) for layer in layers])
    if complete and all(not len(resolution.unknown) for resolution in begun):
        certificate = EXACT
    else:
        certificate = certify(layers, weights, seed=seed) if complete else UNKNOWN
    return State(
        layers, weights, certificate, account.spent, reason, tuple(resolution.looseness for resolution in begun)
    )
