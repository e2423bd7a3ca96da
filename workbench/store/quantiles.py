"""Exact quantiles of more numbers than fit into memory, by counting bits.

Floating-point numbers, read as integers with the sign handled, sort as the numbers do. Counting the upper 16 bits of
all values says in which of 65536 bins an order statistic lies; counting the next 16 bits within that bin finds it. So
float16 takes one pass, float32 two, float64 four, and nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

_DIGIT = 16
_BINS = 1 << _DIGIT
_UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}

Chunks = Callable[[], Iterable[NDArray[np.floating]]]


def streamed_quantiles(
    chunks: Chunks, q: NDArray[np.float64], *, units: int, count: int, dtype: str
) -> NDArray[np.float64]:
    """Quantiles of each unit, as ``np.quantile(..., method="linear")`` gives them on float64.

    The two order statistics between which a quantile lies are exact; the interpolation between them is float64, so the
    result is within a few float64 roundings (relative 1e-12) of NumPy's.

    Args:
        chunks: gives an iterator over (unit, value) arrays, each time it is called; NaN is not expected.
        q: (quantile) in [0, 1].
        units: number of units.
        count: number of values a unit, at least 1.
        dtype: dtype of the values: float16, float32 or float64.

    Returns:
        (quantile, unit) float64.
    """
    position = q * (count - 1)
    lower = np.floor(position).astype(np.int64)
    upper = np.minimum(lower + 1, count - 1)
    ranks = np.unique(np.concatenate([lower, upper]))
    statistics = _order_statistics(chunks, ranks, units=units, dtype=dtype)
    below, above = statistics[np.searchsorted(ranks, lower)], statistics[np.searchsorted(ranks, upper)]
    return below + (above - below) * (position - lower)[:, None]


def _order_statistics(chunks: Chunks, ranks: NDArray[np.int64], *, units: int, dtype: str) -> NDArray[np.float64]:
    """The values of some ranks, (rank, unit) float64, found digit by digit, with one pass a digit."""
    remaining = np.repeat(ranks[:, None], units, axis=1)
    prefixes = np.zeros((len(ranks), units), np.uint64)
    for digit in range(np.dtype(dtype).itemsize * 8 // _DIGIT):
        counts = _count(chunks(), prefixes, dtype, digit)
        total = counts.cumsum(axis=-1)
        chosen = (total <= remaining[..., None]).sum(axis=-1)
        earlier = np.take_along_axis(total, np.maximum(chosen - 1, 0)[..., None], axis=-1)[..., 0]
        remaining = remaining - np.where(chosen > 0, earlier, 0)
        prefixes = (prefixes << np.uint64(_DIGIT)) | chosen.astype(np.uint64)
    return _from_keys(prefixes, dtype).astype(np.float64)


def _count(
    chunks: Iterable[NDArray[np.floating]], prefixes: NDArray[np.uint64], dtype: str, digit: int
) -> NDArray[np.int64]:
    """How often each value of a digit follows a prefix, (rank, unit, bin)."""
    bits = np.dtype(dtype).itemsize * 8
    shift = bits - _DIGIT * (digit + 1)
    # no prefix is distinguished at the first digit: one count serves all ranks
    distinct = prefixes if digit else prefixes[:1]
    counts = np.zeros((*distinct.shape, _BINS), np.int64)
    for chunk in chunks:
        keys = _to_keys(np.ascontiguousarray(chunk, dtype=dtype))
        kind = keys.dtype.type
        for unit, row in enumerate(keys):
            values = ((row >> kind(shift)) & kind(_BINS - 1)).astype(np.intp)
            before = row >> kind(shift + _DIGIT) if digit else None
            for target, prefix in enumerate(distinct[:, unit]):
                follows = values if before is None else values[before == kind(prefix)]
                counts[target, unit] += np.bincount(follows, minlength=_BINS)
    return np.broadcast_to(counts, (*prefixes.shape, _BINS))


def _to_keys(values: NDArray[np.floating]) -> NDArray[np.unsignedinteger]:
    """Unsigned integers that sort as the numbers do."""
    kind = _UNSIGNED[values.dtype.itemsize]
    bits = values.view(kind)
    top = kind(1 << (values.dtype.itemsize * 8 - 1))
    return np.asarray(np.where(bits & top, np.invert(bits), bits | top))


def _from_keys(keys: NDArray[np.uint64], dtype: str) -> NDArray[np.floating]:
    """The numbers of some keys."""
    size = np.dtype(dtype).itemsize
    kind = _UNSIGNED[size]
    narrow = keys.astype(kind)
    top = kind(1 << (size * 8 - 1))
    return np.asarray(np.where(narrow & top, narrow ^ top, np.invert(narrow)), dtype=kind).view(dtype)
