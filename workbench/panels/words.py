"""Small texts that panels share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def time_left(seconds: float | None) -> str:
    """How long work will take, as a person says it.

    >>> time_left(None), time_left(0.4), time_left(12.3), time_left(125)
    ('working …', 'less than 1 s left', '13 s left', '2 min 5 s left')
    """
    if seconds is None:
        return "working …"
    if seconds < 1:
        return "less than 1 s left"
    whole = int(-(-seconds // 1))
    return f"{whole} s left" if whole < 60 else f"{whole // 60} min {whole % 60} s left"


def as_python(arguments: Mapping[str, Any]) -> str:
    """Keyword arguments as they follow others in a call.

    >>> as_python({"patch": 8, "baseline": "blur"})
    ", patch=8, baseline='blur'"
    """
    return "".join(f", {name}={value!r}" for name, value in arguments.items())
