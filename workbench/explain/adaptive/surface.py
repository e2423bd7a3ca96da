"""What the falls at all windows of a lattice probably are, given the falls at some of them.

A Gaussian process over the windows: a smooth part (Matérn 3/2 over the window's place) and the errors of the
measurements, of which the near-exact ones have more than the exact ones. It works on a scale on which the falls vary
evenly (an inverse hyperbolic sine), since a few windows move the score a hundred times more than most, while ranks are
decided among the many. Source: [rasmussen2006].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

LENGTHS = (1.5, 2.2, 3.2, 4.5, 6.5, 9.0)  # how far the smooth part reaches, in strides
NOISES = (1e-4, 1e-2)  # variance of the measurement noise; all relative to the smooth part
TUNED = 128  # windows that the choice among these is made on


@dataclass(frozen=True)
class Scale:
    """An increasing map between falls and the scale on which the process works.

    Attributes:
        spread: falls well below this are left as they are, those well above it are compressed.
        middle: mean on the compressed scale.
        deviation: standard deviation on the compressed scale.
    """

    spread: float
    middle: float
    deviation: float

    @staticmethod
    def of(falls: Vector) -> Scale:
        """The scale that fits some falls.

        Args:
            falls: (window) float64.

        Returns:
            The scale.
        """
        spread = float(np.median(np.abs(falls - np.median(falls)))) or float(np.abs(falls).max()) or 1.0
        compressed = np.arcsinh(falls / spread)
        return Scale(spread, float(compressed.mean()), float(compressed.std()) or 1.0)

    def compress(self, falls: Vector) -> Vector:
        """Falls on the compressed scale, mean 0 and standard deviation 1."""
        return np.asarray((np.arcsinh(falls / self.spread) - self.middle) / self.deviation)

    def expand(self, values: Vector) -> Vector:
        """The inverse of :meth:`compress`."""
        return np.asarray(self.spread * np.sinh(values * self.deviation + self.middle))

    def stretch(self, values: Vector) -> Vector:
        """How many units of fall one unit of the compressed scale is, at some compressed values."""
        return np.asarray(self.spread * self.deviation * np.cosh(values * self.deviation + self.middle))


@dataclass(frozen=True)
class Kernel:
    """How alike two windows are.

    Attributes:
        length: reach of the smooth part, in strides.
        noise: variance of the noise.
    """

    length: float
    noise: float

    def __call__(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covariances, from distances in strides, of any shape."""
        scaled = np.sqrt(3.0) * distance / self.length
        return np.asarray((1.0 + scaled) * np.exp(-scaled) + 1.0)


@dataclass(frozen=True, eq=False)
class Surface:
    """The process, fitted to the windows that were measured; made by :func:`fit`.

    Attributes:
        places: (window, 2) places of all windows, in strides.
        known: (measured) numbers of the windows that were measured.
        falls: (measured) float64, their falls.
        exact: (measured) bool, whether the measurement was exact.
        scale: the compressed scale.
        kernel: the chosen kernel.
    """

    places: NDArray[np.float64]
    known: NDArray[np.int64]
    falls: Vector
    exact: NDArray[np.bool_]
    scale: Scale
    kernel: Kernel
    _factor: NDArray[np.float64] = field(repr=False)
    _solved: Vector = field(repr=False)
    _variance: float = field(repr=False)

    @property
    def certain(self) -> NDArray[np.int64]:
        """Numbers of the windows that were measured exactly."""
        return self.known[self.exact]

    @cached_property
    def _across(self) -> NDArray[np.float64]:
        """(window, measured) covariances."""
        return self.kernel(_distance(self.places, self.places[self.known]))

    @cached_property
    def _reduced(self) -> NDArray[np.float64]:
        """(measured, window): what the measurements take away from the covariance, as a square root."""
        return np.asarray(solve_triangular(self._factor, self._across.T, lower=True, check_finite=False))

    @cached_property
    def compressed(self) -> Vector:
        """(window) float64, expected values on the compressed scale; the exact ones are themselves."""
        values = self._across @ self._solved
        values[self.certain] = self.scale.compress(self.falls[self.exact])
        return np.asarray(values)

    @cached_property
    def mean(self) -> Vector:
        """(window) float64, expected falls; the exact ones are themselves."""
        values = self.scale.expand(self.compressed)
        values[self.certain] = self.falls[self.exact]
        return values

    @cached_property
    def deviation(self) -> Vector:
        """(window) float64, standard deviation on the compressed scale, at least 0; 0 where exact."""
        left = np.sqrt(self._variance * np.maximum(2.0 - (self._reduced**2).sum(axis=0), 0.0))
        left[self.certain] = 0.0
        return np.asarray(left)

    @cached_property
    def sigma(self) -> Vector:
        """(window) float64, standard deviation of the fall, in its units; 0 where exact."""
        return self.deviation * self.scale.stretch(self.compressed)

    def covariance(self, windows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Joint uncertainty of some windows, on the compressed scale.

        Args:
            windows: (chosen) numbers of windows.

        Returns:
            (chosen, chosen) float64.
        """
        prior = self.kernel(_distance(self.places[windows], self.places[windows]))
        reduced = self._reduced[:, windows]
        return np.asarray(self._variance * (prior - reduced.T @ reduced))

    @cached_property
    def left_out(self) -> Vector:
        """(measured) float64: error of each measured window when predicted from the others, in its deviations."""
        inverse = cho_solve((self._factor, True), np.eye(len(self.known)), check_finite=False)
        diagonal = np.diag(inverse)
        return np.asarray(self._solved / np.sqrt(diagonal) / np.sqrt(self._variance))


def fit(
    places: NDArray[np.float64],
    known: NDArray[np.int64],
    falls: Vector,
    *,
    exact: NDArray[np.bool_] | None = None,
    error: float = 0.0,
    scale: Scale | None = None,
) -> Surface:
    """Choose the kernel by its likelihood, and condition the process on what was measured.

    Args:
        places: (window, 2) places of all windows, in strides.
        known: (measured) int64, different window numbers; at least two.
        falls: (measured) float64.
        exact: (measured) bool, which measurements are exact; all where None.
        error: variance of the other measurements on the compressed scale.
        scale: the compressed scale; one that fits the falls where None.

    Returns:
        The surface.
    """
    scale = scale or Scale.of(falls)
    exact = np.ones(len(known), bool) if exact is None else exact
    values = scale.compress(falls)
    errors = np.where(exact, 0.0, error)
    few = np.linspace(0, len(known) - 1, min(TUNED, len(known))).round().astype(int)
    kernel = _choose(places[known[few]], values[few], errors[few])
    covariance = kernel(_distance(places[known], places[known]))
    covariance[np.diag_indices(len(known))] += kernel.noise + errors
    factor = cholesky(covariance, lower=True, check_finite=False)
    solved = cho_solve((factor, True), values, check_finite=False)
    variance = max(float(values @ solved) / len(known), 1e-12)
    return Surface(places, known, falls, exact, scale, kernel, factor, solved, variance)


def _choose(places: NDArray[np.float64], values: Vector, errors: Vector) -> Kernel:
    distance = _distance(places, places)
    count, best, chosen = len(values), np.inf, Kernel(LENGTHS[-1], NOISES[-1])
    for length in LENGTHS:
        smooth = Kernel(length, 0.0)(distance)
        for noise in NOISES:
            covariance = smooth.copy()
            covariance[np.diag_indices(count)] += noise + errors
            factor, lower = cho_factor(covariance, lower=True, check_finite=False)
            variance = float(values @ cho_solve((factor, lower), values, check_finite=False)) / count
            loss = 0.5 * count * np.log(max(variance, 1e-300)) + float(np.log(np.diag(factor)).sum())
            if loss < best:
                best, chosen = loss, Kernel(length, noise)
    return chosen


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cdist(first, second))
