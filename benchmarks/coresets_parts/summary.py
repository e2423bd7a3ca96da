"""What tables of coreset curves say, in sentences that are computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr

from coresets_parts.pairs import Pair
from workbench.stats import holm, sign_flip_test

OWN = "target_aware"
EARLIER = "kernel_herding"  # our own too
LEVEL = 0.05
NARROW = 0.2  # between floor and ceiling; below, there is little to be lost or kept


def areas(curve: xr.Dataset) -> dict[str, np.ndarray]:
    """(split) float64 of each selector: the mean height of its normalised similarity over the shares."""
    shares = curve["fraction"].values
    heights = np.trapezoid(curve["normalised"].values, shares, axis=-1) / (shares[-1] - shares[0])
    return {str(name): heights[:, number] for number, name in enumerate(curve["selector"].values)}


def against_each(curve: xr.Dataset) -> dict[str, tuple[float, float]]:
    """By how much the target-aware selector's area is larger than each other one's, and Holm's p-value over them."""
    area = areas(curve)
    own = area.pop(OWN)
    # where ceiling and floor of a split are too near each other there is no normalised score
    differences = [(own - other)[np.isfinite(own - other)] for other in area.values()]
    p_values = holm(np.array([sign_flip_test(each, np.zeros(len(each))) for each in differences]))
    return {name: (float(each.mean()), float(p)) for name, each, p in zip(area, differences, p_values, strict=True)}


def not_beaten(curve: xr.Dataset) -> list[str]:
    """The published selectors that the target-aware one does not beat beyond doubt."""
    return [
        name for name, (gain, p) in against_each(curve).items() if name != EARLIER and not (gain > 0 and p <= LEVEL)
    ]


def largest(curve: xr.Dataset) -> str:
    """The selector with the largest mean area."""
    means = {name: float(np.nanmean(values)) for name, values in areas(curve).items()}
    return max(means, key=lambda name: means[name])


def sentences(found: Mapping[Pair, xr.Dataset], missing: Sequence[Pair]) -> Iterator[str]:
    """How the selector of our own does on what was measured, pair by pair and network by network."""
    left = {pair: not_beaten(curve) for pair, curve in found.items()}
    beaten = [pair for pair, names in left.items() if not names]
    ahead = [pair for pair, curve in found.items() if largest(curve) == OWN]
    splits = sorted({curve.sizes["split"] for curve in found.values()})
    yield f"Measured: {len(found)} pairs of method and network, {' or '.join(map(str, splits))} splits each."
    if missing:
        yield f"Not measured: {_listed(pair.title for pair in missing)}."
    yield ""
    yield (
        f"The target-aware selector beats every published selector by the paired test in {len(beaten)} of the "
        f"{len(found)} pairs{_colon(pair.title for pair in beaten)}. It has the largest mean area of all in "
        f"{len(ahead)}{_colon(pair.title for pair in ahead)}."
    )
    yield ""
    for pair, curve in found.items():
        ceiling, floor = float(curve["ceiling"].mean()), float(curve["floor"].mean())
        if ceiling - floor < NARROW:
            yield (
                f"{pair.title}: the halves of the images agree little more with each other (ceiling {ceiling:.2f}) "
                f"than with random units (floor {floor:.2f}), so that scores are large numbers either way, and "
                "differences between selectors say little."
            )
            yield ""
    networks = dict.fromkeys(pair.network for pair in found)
    for network in networks:
        own = [pair for pair in found if pair.network == network]
        won = [pair for pair in own if pair in beaten]
        yield f"- {network}: {len(won)} of {len(own)} methods. " + " ".join(
            f"{pair.title.partition(' on ')[0]}: "
            + (f"not beyond doubt ahead of {_listed(left[pair])}." if left[pair] else "ahead of all.")
            for pair in own
        )


def _colon(titles: Iterator[str]) -> str:
    said = _listed(titles)
    return f" ({said})" if said else ""


def _listed(names: Iterator[str] | Sequence[str]) -> str:
    every = list(names)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}" if every else ""
