"""Every method against every other on the same items, and rankings against rankings: all at once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import check_array, provenance
from workbench.errors import InputError, ShapeError
from workbench.stats.comparison import BLOCK, EXACT_UP_TO, holm
from workbench.stats.effects import cliffs_delta, cohens_d
from workbench.stats.intervals import bootstrap_dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST, SECOND = "first", "second"


def compare_pairs(
    scores: xr.DataArray,
    *,
    between: str,
    over: str,
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> xr.Dataset:
    """Paired comparison of every two rows: :func:`~workbench.stats.compare_paired`, with Holm over all pairs.

    All pairs share the resamples, so that many methods cost little more than two.

    Args:
        scores: (between, over) numbers, NaN where an item has no score of a method; such items are left out of the
            pairs that they are missing from.
        between: the dimension of what is compared, for example ``"method"``; needs a coordinate.
        over: the dimension of the items, for example ``"image"``.
        level: coverage of the intervals.
        resamples: of the bootstrap, and of the sign flips where a pair has more than 14 items.
        seed: of both.

    Returns:
        Dataset on (first, second): ``difference``, the mean of first minus second, with ``low``, ``high`` and ``n``
        (items that both have); ``p_value`` of the sign-flip test and Holm's ``adjusted`` over all pairs; ``cohens_d``
        and ``cliffs_delta``. NaN on the diagonal, and where fewer than two items are shared.

    Raises:
        ShapeError: other dimensions, or fewer than two rows.
        InputError: infinite scores, or options out of range.

    Source: [holm1979], [efron1987]
    """
    if set(scores.dims) != {between, over} or scores.sizes[between] < 2 or between not in scores.coords:
        raise ShapeError(
            f"scores have {dict(scores.sizes)}; expected ({between}, {over}) with names of at least two of the former."
        )
    table = check_array(scores.transpose(between, over).values, name="scores", dims=(between, over), finite=False)
    table = table.astype(np.float64)
    if np.isinf(table).any():
        raise InputError("scores hold infinity; a mean over them means nothing. Mark what is missing as NaN.")
    pairs = list(itertools.combinations(range(len(table)), 2))
    differences = np.stack([table[i] - table[j] for i, j in pairs], axis=1)
    means = bootstrap_dataset(
        xr.DataArray(differences, dims=(over, "pair")), over=over, level=level, resamples=resamples, seed=seed
    )
    p_values = _sign_flips(differences, resamples, seed)
    columns: dict[str, NDArray[np.float64]] = {
        "difference": means["value"].values,
        "low": means["low"].values,
        "high": means["high"].values,
        "p_value": p_values,
        "adjusted": holm(p_values),
        "cohens_d": np.full(len(pairs), np.nan),
        "cliffs_delta": np.full(len(pairs), np.nan),
    }
    for index, (i, j) in enumerate(pairs):
        both = np.isfinite(differences[:, index])
        if both.sum() >= 2:
            columns["cohens_d"][index] = cohens_d(table[i, both], table[j, both], paired=True)
            columns["cliffs_delta"][index] = cliffs_delta(table[i, both], table[j, both])
    # seen from the other side a difference changes its sign, and the ends of its interval change places
    other = {name: column if name in ("p_value", "adjusted") else -column for name, column in columns.items()}
    other["low"], other["high"] = other["high"], other["low"]
    result = {
        name: ((FIRST, SECOND), _square(column, other[name], pairs, len(table))) for name, column in columns.items()
    }
    counts = np.isfinite(table).astype(np.int64)
    names = scores[between].values
    return xr.Dataset(
        {**result, "n": ((FIRST, SECOND), counts @ counts.T)},
        coords={FIRST: names, SECOND: names},
        attrs=provenance(test="sign flip", correction="holm", level=level, resamples=resamples, seed=seed),
    )


def _square(
    column: NDArray[np.float64], other: NDArray[np.float64], pairs: list[tuple[int, int]], size: int
) -> NDArray[np.float64]:
    """Pairs as a table, NaN on its diagonal."""
    square = np.full((size, size), np.nan)
    rows, columns = np.array(pairs).T
    square[rows, columns] = column
    square[columns, rows] = other
    return square + 0.0  # no zero with a minus sign


def _sign_flips(differences: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Two-sided p-values of the columns of (item, pair); the signs are those of ``sign_flip_test``."""
    known = np.isfinite(differences)
    found = np.full(differences.shape[1], np.nan)
    patterns, group = np.unique(known, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        columns = np.flatnonzero(group.ravel() == number)
        count = int(pattern.sum())
        if count < 2:
            continue
        values = differences[np.ix_(pattern, columns)]
        observed = np.abs(values.sum(axis=0))
        slack = 1e-12 * np.abs(values).sum(axis=0)
        exact = count <= EXACT_UP_TO
        extreme, drawn = np.zeros(len(columns)), 0
        for signs in _signs(count, exact, resamples, seed):
            extreme += (np.abs(signs @ values) >= observed - slack).sum(axis=0)
            drawn += len(signs)
        found[columns] = extreme / drawn if exact else (extreme + 1) / (drawn + 1)
    return found


def _signs(count: int, exact: bool, resamples: int, seed: int) -> Any:
    if exact:
        yield np.array(list(itertools.product((1.0, -1.0), repeat=count)))
        return
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, BLOCK):
        yield generator.choice((1.0, -1.0), size=(min(BLOCK, resamples - start), count))


def compare_rankings(
    scores: xr.DataArray,
    *,
    ranking: str,
    between: str,
    over: str,
    level: float = 0.95,
    resamples: int = 999,
    seed: int = 0,
) -> xr.Dataset:
    """Do several measures rank the same methods alike: Kendall's tau-b between every two, with intervals over items.

    Each resample draws items and ranks all methods anew by all measures, so that an interval says how much of an
    agreement is due to the items; of the choice of methods it says nothing.

    Args:
        scores: (ranking, between, over) numbers, higher is better (turn the sign of others), NaN where missing.
        ranking: the dimension of the measures; needs a coordinate.
        between: the dimension of what is ranked.
        over: the dimension of the items.
        level: coverage of the intervals, by percentiles.
        resamples: at least 100; those in which a method has no score by a measure do not count.
        seed: of the resamples.

    Returns:
        Dataset on (first, second): ``tau`` in [-1, 1], NaN where a measure ties all methods; ``low`` and ``high``;
        ``n`` (items that both measures have of any method); and ``methods``, how many were ranked.

    Raises:
        ShapeError: other dimensions, or fewer than two methods.
        InputError: a method without any score by a measure, infinity, or options out of range.

    Source: [kendall1938]
    """
    if set(scores.dims) != {ranking, between, over} or scores.sizes[between] < 2 or ranking not in scores.coords:
        raise ShapeError(
            f"scores have {dict(scores.sizes)}; expected ({ranking}, {between}, {over}) with names of the first and "
            "at least two of the second."
        )
    if not 0 < level < 1 or resamples < 100:
        raise InputError(f"level is {level} and resamples {resamples}; expected 0 < level < 1 and at least 100.")
    table = np.asarray(scores.transpose(ranking, between, over).values, dtype=np.float64)
    known = np.isfinite(table)
    if np.isinf(table).any() or not known.any(axis=2).all():
        bad = np.argwhere(~known.any(axis=2))
        where = f"; entry {bad[0].tolist()} of ({ranking}, {between}) has none" if len(bad) else ""
        raise InputError(f"every method needs a finite score by every measure to be ranked{where}.")
    filled = np.where(known, table, 0.0)
    items = table.shape[2]
    ranked = filled.sum(axis=2) / known.sum(axis=2)
    draws = np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), size=resamples).astype(np.float64)
    counts = np.einsum("bi,mai->bma", draws, known.astype(np.float64))
    usable = (counts > 0).all(axis=(1, 2))
    means = np.einsum("bi,mai->bma", draws[usable], filled) / counts[usable]
    drawn = _taus(means)
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):  # a measure that ties all methods has no order
        low, high = (
            np.quantile(drawn, [tail, 1 - tail], axis=0) if len(drawn) else np.full((2, *drawn.shape[1:]), np.nan)
        )
    seen: NDArray[np.int64] = np.asarray(known.any(axis=1), dtype=np.int64)
    names = scores[ranking].values
    return xr.Dataset(
        {
            "tau": ((FIRST, SECOND), _taus(ranked[None])[0]),
            "low": ((FIRST, SECOND), low),
            "high": ((FIRST, SECOND), high),
            "n": ((FIRST, SECOND), seen @ seen.T),
            "methods": table.shape[1],
        },
        coords={FIRST: names, SECOND: names},
        attrs=provenance(level=level, resamples=int(usable.sum()), seed=seed),
    )


def _taus(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """tau-b (draw, measure, measure) of (draw, measure, method): the correlation of the signs of all differences."""
    rows, columns = np.triu_indices(means.shape[2], k=1)
    signs = np.sign(means[:, :, rows] - means[:, :, columns])
    products = np.einsum("bip,bjp->bij", signs, signs)
    norms = np.sqrt(np.einsum("bip->bi", signs**2))
    scale = norms[:, :, None] * norms[:, None, :]
    tau: NDArray[np.float64] = np.divide(products, scale, out=np.full(products.shape, np.nan), where=scale > 0)
    return tau
