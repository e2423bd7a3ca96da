"""What the falls at all windows of a lattice probably are, given the falls at some of them.

A Gaussian process over the windows: a smooth part (Matérn 3/2 over the window's place), a part that follows a cheap
approximation of the fall where there is one, and measurement noise. It works on a scale on which the falls vary
evenly (an inverse hyperbolic sine), since a few windows move the score a hundred times more than most, while ranks are
decided among the many. Source: [rasmussen2006].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

LENGTHS = (1.5, 2.2, 3.2, 4.5, 6.5, 9.0)  # how far the smooth part reaches, in strides
WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # variance of the part that follows the approximation
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
        weight: variance of the part that follows the approximation.
        noise: variance of the noise.
    """

    length: float
    weight: float
    noise: float

    def __call__(self, distance: NDArray[np.float64], product: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covariances, from distances in strides and products of approximations, of any one shape."""
        scaled = np.sqrt(3.0) * distance / self.length
        return np.asarray((1.0 + scaled) * np.exp(-scaled) + self.weight * product + 1.0)


@dataclass(frozen=True, eq=False)
class Surface:
    """The process, fitted to the windows that were measured; made by :func:`fit`.

    Attributes:
        places: (window, 2) places of all windows, in strides.
        approximation: (window, feature) cheap approximations, standardised; no columns where there are none.
        known: (measured) numbers of the windows that were measured.
        falls: (measured) float64, their falls.
        scale: the compressed scale.
        kernel: the chosen kernel.
    """

    places: NDArray[np.float64]
    approximation: NDArray[np.float64]
    known: NDArray[np.int64]
    falls: Vector
    scale: Scale
    kernel: Kernel
    _factor: NDArray[np.float64] = field(repr=False)
    _solved: Vector = field(repr=False)
    _variance: float = field(repr=False)

    @cached_property
    def _across(self) -> NDArray[np.float64]:
        """(window, measured) covariances."""
        return _covariance(self.kernel, self.places, self.approximation, self.known)

    @cached_property
    def _reduced(self) -> NDArray[np.float64]:
        """(measured, window): what the measurements take away from the covariance, as a square root."""
        return np.asarray(solve_triangular(self._factor, self._across.T, lower=True, check_finite=False))

    @cached_property
    def compressed(self) -> Vector:
        """(window) float64, expected values on the compressed scale; the measured ones are themselves."""
        values = self._across @ self._solved
        values[self.known] = self.scale.compress(self.falls)
        return np.asarray(values)

    @cached_property
    def mean(self) -> Vector:
        """(window) float64, expected falls; the measured ones are themselves."""
        values = self.scale.expand(self.compressed)
        values[self.known] = self.falls
        return values

    @cached_property
    def deviation(self) -> Vector:
        """(window) float64, standard deviation on the compressed scale, at least 0; 0 where measured."""
        prior = 2.0 + self.kernel.weight * (self.approximation**2).sum(axis=1)
        left = np.sqrt(self._variance * np.maximum(prior - (self._reduced**2).sum(axis=0), 0.0))
        left[self.known] = 0.0
        return np.asarray(left)

    @cached_property
    def sigma(self) -> Vector:
        """(window) float64, standard deviation of the fall, in its units; 0 where measured."""
        return self.deviation * self.scale.stretch(self.compressed)

    def covariance(self, windows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Joint uncertainty of some windows, on the compressed scale.

        Args:
            windows: (chosen) numbers of windows.

        Returns:
            (chosen, chosen) float64.
        """
        prior = _covariance(self.kernel, self.places[windows], self.approximation[windows])
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
    approximation: NDArray[np.float64],
    known: NDArray[np.int64],
    falls: Vector,
) -> Surface:
    """Choose the kernel by its likelihood, and condition the process on what was measured.

    Args:
        places: (window, 2) places of all windows, in strides.
        approximation: (window, feature) cheap approximations of the fall, on any scale; (window, 0) for none.
        known: (measured) int64, different window numbers; at least two.
        falls: (measured) float64.

    Returns:
        The surface.
    """
    scale = Scale.of(falls)
    features = (
        np.stack([_standardised(column) for column in approximation.T], axis=1)
        if approximation.size
        else (np.zeros((len(places), 0)))
    )
    values = scale.compress(falls)
    few = np.linspace(0, len(known) - 1, min(TUNED, len(known))).round().astype(int)
    kernel = _choose(places[known[few]], features[known[few]], values[few])
    covariance = _covariance(kernel, places[known], features[known])
    covariance[np.diag_indices(len(known))] += kernel.noise
    factor = cholesky(covariance, lower=True, check_finite=False)
    solved = cho_solve((factor, True), values, check_finite=False)
    variance = float(values @ solved) / len(known)
    return Surface(places, features, known, falls, scale, kernel, factor, solved, max(variance, 1e-12))


def _choose(places: NDArray[np.float64], features: NDArray[np.float64], values: Vector) -> Kernel:
    distance, product = _distance(places, places), features @ features.T
    count, best, chosen = len(values), np.inf, Kernel(LENGTHS[-1], 0.0, NOISES[-1])
    for length in LENGTHS:
        for weight in WEIGHTS if features.size else (0.0,):
            smooth = Kernel(length, weight, 0.0)(distance, product)
            for noise in NOISES:
                covariance = smooth.copy()
                covariance[np.diag_indices(count)] += noise
                factor, lower = cho_factor(covariance, lower=True, check_finite=False)
                variance = float(values @ cho_solve((factor, lower), values, check_finite=False)) / count
                loss = 0.5 * count * np.log(max(variance, 1e-300)) + float(np.log(np.diag(factor)).sum())
                if loss < best:
                    best, chosen = loss, Kernel(length, weight, noise)
    return chosen


def _covariance(
    kernel: Kernel,
    places: NDArray[np.float64],
    features: NDArray[np.float64],
    columns: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    to_places = places if columns is None else places[columns]
    to_features = features if columns is None else features[columns]
    return kernel(_distance(places, to_places), features @ to_features.T)


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2)))


def _standardised(values: Vector) -> Vector:
    """An approximation on its own compressed scale."""
    return Scale.of(values).compress(values)
