"""A selector of our own: choose such that the chosen give the method what all images would give it to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from workbench.errors import ShapeError, unknown_name
from workbench.interpret.coreset.covering import k_center_greedy
from workbench.interpret.coreset.distances import squared_distances
from workbench.interpret.coreset.reading import Target
from workbench.interpret.coreset.registry import selectors
from workbench.interpret.coreset.typical import kernel_herding

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET_AWARE = "target_aware"
SPREAD = ("dissect",)  # read the extremes, which a sample that follows the distribution has too few of
# of the mean squared length: keeps weights from resting on few images, more where the columns are fewer and noisier
RIDGE = {"dissect": 0.1, "relevant_units": 1e-3}


@selectors.register(
    title="Target-aware: matches what the method reads",
    source=("welling2009", "chen2010", "lawson1974"),
    access="activations",
    returns="indices",
    specificity="shared",
    feedback="exemplars",
    cost="a pass over the maps for what the method reads; then as herding, and again for exchanges",
    note="Give it what the method reads (coreset.reading); pooled features are matched as they are.",
)
def target_aware(
    features: NDArray[np.float32],
    count: int,
    *,
    generator: np.random.Generator,
    target: Target | None = None,
    leading: int | None = None,
    rounds: int = 20,
    exact_up_to: int = 4000,
    candidates: int = 4096,
) -> NDArray[np.int64]:
    """Choose such that the mean of the features over the chosen is that over all, as nearly as exchanges can bring it.

    With features whose sum over images is what a method reads (see
    :func:`~workbench.interpret.coreset.reading.reading`), the method is given by the chosen what it would be given by
    all. Images are chosen one after the other as in herding; then each in turn is exchanged for whichever brings the
    mean nearest, until none can be. So for concepts and rules. For the methods that take weights, images are chosen by
    the leading columns and :func:`calibrated_weights` match the others: for relevant units such that the distribution
    of the leading columns stays (by exchanges after kernel herding), for dissection, which reads the extremes, those
    that are farthest from each other. ``choose`` goes on from there for relevant units, where the images are few: it
    exchanges and weighs them until the units found from them are those of all
    (:func:`~workbench.interpret.coreset.search.search`).

    Args:
        features: (image, feature) float32.
        count: images to choose.
        generator: source of chance, where candidates are drawn.
        target: the method whose reading the features are; the mean of all columns is matched where omitted.
        leading: columns by which is chosen; all where omitted.
        rounds: turns of exchanges at most; two beyond ``exact_up_to``.
        exact_up_to: images up to which all are candidates of each exchange.
        candidates: images drawn for each exchange beyond that.

    Returns:
        (count) int64 positions.

    Raises:
        UnknownNameError: no such target.

    Source: [welling2009], [chen2010]
    """
    if target is not None and target not in get_args(Target):
        raise unknown_name("target", target, get_args(Target))
    points = features[:, :leading]
    if target in SPREAD:
        return k_center_greedy(points, count, generator=generator)
    if target == "relevant_units":
        if len(points) > exact_up_to:
            return kernel_herding(points, count, generator=generator)
        table = _kernel_table(points)
        return _exchange(table, _greedy(table, count), rounds)
    centred = (points - points.mean(axis=0, dtype=np.float64)).astype(np.float32)
    if len(centred) <= exact_up_to:
        # all products at once: a step then costs one row of them, and no product of all features
        table = (centred @ centred.T).astype(np.float64)
        return _exchange(table, _greedy(table, count), rounds)
    chosen = _greedy_of_many(centred, count)
    return _exchange_among(centred, chosen, generator, min(rounds, 2), candidates)


def calibrated_weights(
    features: NDArray[np.float32], chosen: NDArray[np.int64], *, leading: int, ridge: float = 0.1
) -> NDArray[np.float64]:
    """Weights with which sums over the chosen are those over all images, in the columns after the leading ones.

    Non-negative least squares with a ridge; the number of images is one more column.

    Args:
        features: (image, feature) float32.
        chosen: (chosen) int64 positions.
        leading: columns that are not matched.
        ridge: share of the mean squared length of the rows.

    Returns:
        (chosen) float64, zero or more; they sum to the number of images.

    Raises:
        ShapeError: no columns after the leading ones.

    Source: [lawson1974]
    """
    from scipy.optimize import nnls

    matched = features[:, leading:].astype(np.float64)
    if not matched.shape[1]:
        raise ShapeError(
            f"The features have {features.shape[1]} columns, all of them leading: there are none to be matched. Pass "
            "what coreset.reading gives."
        )
    # the column that counts images is as long as all others together
    length = float(np.sqrt(np.einsum("ij,ij->", matched, matched) / len(matched))) or 1.0
    rows = np.concatenate([matched, np.full((len(matched), 1), length)], axis=1)
    some = rows[chosen]
    gram = some @ some.T
    gram[np.diag_indices_from(gram)] += ridge * 2 * length**2
    factor = np.linalg.cholesky(gram)
    weights, _ = nnls(factor.T, np.linalg.solve(factor, some @ rows.sum(axis=0)), maxiter=100 + 30 * len(chosen))
    return np.asarray(weights * (len(features) / weights.sum()))


def _kernel_table(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Products of all pairs in the space of a Gaussian kernel on standardised columns, less the mean."""
    spread = points.std(axis=0)
    scaled = np.divide(points - points.mean(axis=0), spread, out=np.zeros_like(points), where=spread > 0)
    squared = squared_distances(scaled, scaled)
    width = max(float(np.median(squared)), float(np.finfo(np.float32).tiny))
    table = np.exp(-squared / width).astype(np.float64)
    means = table.mean(axis=0)
    return np.asarray(table - means - means[:, None] + means.mean())


def _greedy(table: NDArray[np.float64], count: int) -> list[int]:
    """One after the other, such that the sum of the chosen stays near zero."""
    own, along = np.diag(table), np.zeros(len(table))
    free = np.ones(len(table), dtype=bool)
    chosen = []
    for _ in range(count):
        best = int(np.argmin(np.where(free, 2 * along + own, np.inf)))
        chosen.append(best)
        free[best] = False
        along += table[best]
    return chosen


def _exchange(table: NDArray[np.float64], chosen: list[int], rounds: int) -> NDArray[np.int64]:
    """Exchange each chosen one for whichever brings the sum nearest to zero, until none can be."""
    own, along = np.diag(table), table[chosen].sum(axis=0)
    free = np.ones(len(table), dtype=bool)
    free[chosen] = False
    slack = 1e-9 * float(own.mean())
    for _ in range(rounds):
        changed = False
        for place, old in enumerate(chosen):
            along -= table[old]
            free[old] = True
            far = np.where(free, 2 * along + own, np.inf)
            best = int(far.argmin())
            # of equals the old one stays, or rounding would keep exchanges going
            best = best if far[best] < far[old] - slack else old
            changed |= best != old
            chosen[place], free[best] = best, False
            along += table[best]
        if not changed:
            break
    return np.array(chosen, dtype=np.int64)


def _greedy_of_many(centred: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    own = np.einsum("ij,ij->i", centred, centred)
    along = np.zeros(len(centred), dtype=np.float32)
    free = np.ones(len(centred), dtype=bool)
    chosen = np.empty(count, dtype=np.int64)
    for step in range(count):
        chosen[step] = int(np.argmin(np.where(free, 2 * along + own, np.inf)))
        free[chosen[step]] = False
        along += centred @ centred[chosen[step]]
    return chosen


def _exchange_among(
    centred: NDArray[np.float32],
    chosen: NDArray[np.int64],
    generator: np.random.Generator,
    rounds: int,
    candidates: int,
) -> NDArray[np.int64]:
    """As :func:`_exchange`, but for the best of a few drawn at random, so that a turn does not read all features."""
    total = centred[chosen].sum(axis=0, dtype=np.float64)
    free = np.ones(len(centred), dtype=bool)
    free[chosen] = False
    for _ in range(rounds):
        for place, old in enumerate(chosen):
            total -= centred[old]
            free[old] = True
            drawn = generator.integers(0, len(centred), size=candidates)
            drawn = np.append(drawn[free[drawn]], old)
            some = centred[drawn]
            far = 2 * (some @ total.astype(np.float32)) + np.einsum("ij,ij->i", some, some)
            best = int(drawn[far.argmin()])
            chosen[place], free[best] = best, False
            total += centred[best]
    return chosen
