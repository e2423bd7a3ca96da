"""A number that never appears without its interval and the count behind it."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.errors import InputError


@dataclass(frozen=True)
class Estimate:
    """A value, the interval around it, and what both rest on.

    Attributes:
        value: the estimate itself.
        low: lower end of the interval; NaN only where ``value`` is NaN too.
        high: upper end of the interval.
        n: independent observations behind the value (images, seeds, ...).
        level: nominal coverage of the interval, between 0 and 1.
        method: how the interval was made, for example ``"BCa bootstrap"``.
    """

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    method: str = ""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"An estimate from n = {self.n} observations says nothing; expected n of at least 1.")
        if not 0 < self.level < 1:
            raise InputError(f"The level of an interval is {self.level}; expected a number between 0 and 1.")
        if self.low > self.high:
            raise InputError(f"The interval [{self.low}, {self.high}] is upside down; expected low <= high.")

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}] (n = {self.n}, {self.level:.0%} {self.method})"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low
