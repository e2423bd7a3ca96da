"""Alternative text: what a drawing shows, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.view.scale import Scale

ROWS, COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


def number(value: float) -> str:
    """A number as it is read: three significant digits, a true minus sign.

    >>> number(-0.012345)
    '−0.0123'
    """
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def count(quantity: int, noun: str) -> str:
    """A quantity with its noun.

    >>> count(1, "value"), count(2, "value")
    ('1 value', '2 values')
    """
    return f"{quantity} {noun}{'' if quantity == 1 else 's'}"


def share(part: float) -> str:
    """A share of one, in per cent.

    >>> share(0.123), share(0.0004)
    ('12 %', 'under 0.1 %')
    """
    percent = 100 * part
    if 0 < percent < 0.1:
        return "under 0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 1 else f"{percent:.0f} %"


def place(row: int, column: int, shape: tuple[int, int]) -> str:
    """Which of nine fields of a map a position lies in.

    >>> place(0, 95, (96, 96)), place(48, 48, (96, 96))
    ('upper right', 'centre')
    """
    vertical, horizontal = ROWS[3 * row // shape[0]], COLUMNS[3 * column // shape[1]]
    return "centre" if (vertical, horizontal) == ("middle", "centre") else f"{vertical} {horizontal}"


def describe_map(values: NDArray[np.floating], unit: str) -> str:
    """Say where a map is high and low.

    Args:
        values: (y, x) float; NaN and infinity are counted, not averaged.
        unit: the unit of the values, in words; may be "".

    Returns:
        Sentences, for an alternative text.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return "No value of it is a finite number."
    low, high = float(values[finite].min()), float(values[finite].max())
    unit = f" ({unit})" if unit else ""
    if low == high:
        return f"Every finite value is {number(low)}{unit}."
    shape = (values.shape[0], values.shape[1])
    said = [f"Values from {number(low)} to {number(high)}{unit}."]
    for extreme, name in ((high, "highest"), (low, "lowest")):
        if name == "lowest" and low >= 0:
            continue
        row, column = (int(i) for i in np.argwhere(finite & (values == extreme))[0])
        said.append(f"The {name} lies in the {place(row, column, shape)} (x {column}, y {row}).")
    positive = np.where(finite & (values > 0), values, 0.0).astype(np.float64)
    if positive.sum() > 0:
        mass = np.sort(positive, axis=None)[::-1].cumsum()
        half = 1 + int(np.searchsorted(mass, mass[-1] / 2))
        said.append(f"Half of the positive sum lies in {share(half / values.size)} of the area.")
    return " ".join(said)


def odd_kinds(values: NDArray[np.floating], scale: Scale) -> dict[str, str]:
    """The kinds of values that are not an ordinary colour, each with how many there are, in words.

    Args:
        values: an array of any shape.
        scale: the scale it is drawn with.

    Returns:
        ``"above"``, ``"below"``, ``"nan"``, ``"+inf"`` and ``"-inf"``, those that occur, to words such as ``"3 NaN"``.
    """
    quantities = {
        "above": (scale.above, f"{share(scale.above / scale.count)} above the scale"),
        "below": (scale.below, f"{share(scale.below / scale.count)} below the scale"),
    }
    for key, mask, name in (
        ("nan", np.isnan(values), "NaN"),
        ("+inf", np.isposinf(values), "+∞"),
        ("-inf", np.isneginf(values), "\N{MINUS SIGN}∞"),
    ):
        quantities[key] = (int(mask.sum()), f"{int(mask.sum())} {name}")
    return {key: words for key, (quantity, words) in quantities.items() if quantity}


def describe_odd(values: NDArray[np.floating], scale: Scale) -> str:
    """The sentence on odd values for an alternative text, led by a space; "" where there is none."""
    found = ", ".join(odd_kinds(values, scale).values())
    return f" Not drawn as a colour of the scale: {found}." if found else ""
