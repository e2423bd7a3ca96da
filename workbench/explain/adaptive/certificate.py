"""How near an estimated map is to the dense one, said before the dense one exists.

The fitted surface says how the true falls may differ from the expected ones. Maps drawn from it, ranked against the
map that is shown, give the rank correlation to be expected. Spot checks, windows drawn at random and measured after
they were predicted, tell how far the surface may be trusted, and widen or narrow what it says. What remains was
calibrated once, on photographs that no result is reported on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from workbench import stats
from workbench.explain.adaptive.fusion import Spread, fuse, sample_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.explain.adaptive.surface import Surface
    from workbench.explain.lattice import Lattice

DRAWS = 48
PIXELS = 32  # rows and columns of pixels that maps are ranked on
PRIOR = 8.0  # how many spot checks the surface's own left-out errors count for
CHI_SQUARE_MEDIAN = 0.4549  # of one degree of freedom
JOINT = 1024  # windows that are drawn jointly; beyond, the rest is drawn one by one
# Calibration, made by `python benchmarks/occlusion.py calibrate`: on the scale of Fisher's z, the median error of the
# predicted correlation, and how far the 5 % and 95 % quantiles of the error lie from it, in spreads of the prediction.
SHIFT = 0.041
REACH = (3.12, 5.68)
LEAST_SPREAD = 0.1


@dataclass(frozen=True)
class Certificate:
    """The rank correlation (Spearman, on pixels) that a map is expected to have with the dense one.

    Attributes:
        value: the expectation, -1 to 1.
        low: lower end of the 90 % interval.
        high: upper end.
        checks: spot checks that it rests on.
    """

    value: float
    low: float
    high: float
    checks: int


EXACT = Certificate(1.0, 1.0, 1.0, 0)
UNKNOWN = Certificate(float("nan"), -1.0, 1.0, 0)


@dataclass(frozen=True, eq=False)
class Layer:
    """One resolution, as it is known so far.

    Attributes:
        lattice: its windows.
        surface: what the falls probably are.
        surprises: (check) float64, errors of the spot checks in the surface's deviations at the time.
        seed: of the draws.
    """

    lattice: Lattice
    surface: Surface
    surprises: NDArray[np.float64]
    seed: int

    @cached_property
    def draws(self) -> NDArray[np.float64]:
        """(draw, window) float64: falls as they may be, the exact ones as they are."""
        return _draw(self, np.random.default_rng(self.seed))


def certify(layers: Sequence[Layer], weights: Sequence[float]) -> Certificate:
    """Predict how the map ranks against the dense one.

    Args:
        layers: the resolutions that the map is made of.
        weights: how they are laid over each other, from :func:`fusion_weights`.

    Returns:
        The certificate.
    """
    pixels = sample_pixels(layers[0].lattice.size, PIXELS)
    spreads = [Spread(layer.lattice, "box", pixels) for layer in layers]
    expected = fuse(
        [spread.average(layer.surface.mean) for spread, layer in zip(spreads, layers, strict=True)], weights
    )
    drawn = fuse([spread.average(layer.draws) for spread, layer in zip(spreads, layers, strict=True)], weights)
    correlations = stats.spearman(expected.reshape(1, -1), drawn.reshape(DRAWS, -1))
    correlations = correlations[np.isfinite(correlations)]
    if not len(correlations):
        return UNKNOWN
    z = np.arctanh(np.clip(correlations, -0.9999, 0.9999))
    centre, spread_of_z = float(np.median(z)) + SHIFT, max(float(z.std()), LEAST_SPREAD)
    checks = sum(len(layer.surprises) for layer in layers)
    value, low, high = (
        float(np.tanh(bound)) for bound in (centre, centre - REACH[0] * spread_of_z, centre + REACH[1] * spread_of_z)
    )
    return Certificate(value, low, high, checks)


def _typical(errors: NDArray[np.float64]) -> float:
    """The variance of the bulk of some errors: a few windows that move the score far decide no ranks."""
    return float(np.median(errors**2)) / CHI_SQUARE_MEDIAN if len(errors) else 0.0


def _draw(layer: Layer, generator: np.random.Generator) -> NDArray[np.float64]:
    surface = layer.surface
    count = len(layer.lattice)
    open_windows = np.setdiff1d(np.arange(count), surface.certain)
    values = np.tile(surface.compressed, (DRAWS, 1))
    degrees = PRIOR + len(layer.surprises)
    trust = (PRIOR * _typical(surface.left_out) + len(layer.surprises) * _typical(layer.surprises)) / degrees
    factors = np.sqrt(trust * degrees / generator.chisquare(degrees, size=(DRAWS, 1)))
    if len(open_windows) > JOINT:
        values += factors * surface.deviation * generator.standard_normal((DRAWS, count))
    elif len(open_windows):
        covariance = surface.covariance(open_windows)
        covariance[np.diag_indices(len(open_windows))] += 1e-6 * max(
            float(np.trace(covariance)) / len(open_windows), 1e-12
        )
        root = np.linalg.cholesky(covariance)
        values[:, open_windows] += factors * (generator.standard_normal((DRAWS, len(open_windows))) @ root.T)
    falls = surface.scale.expand(values)
    falls[:, surface.certain] = surface.falls[surface.exact]
    return falls
