"""What a person sees of an extraction: what it will write, how fast it goes, how long it will take."""

from __future__ import annotations

import sys
from typing import Protocol, Self

from tqdm import tqdm


class Progress(Protocol):
    """Where an engine reports finished images."""

    def update(self, images: int) -> object:
        """Count some images as done."""


class _Silent:
    def update(self, images: int) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing to close."""


class ProgressBar:
    """A tqdm bar on standard error with images a second and the time left; or nothing, where it is not wanted."""

    def __init__(self, *, shown: bool, total: int, done: int, title: str) -> None:
        # the time left is an average over the whole run: blocks arrive in bursts
        self._bar: tqdm[None] | _Silent = (
            tqdm(total=total, initial=done, desc=title, unit="image", smoothing=0, dynamic_ncols=True)
            if shown
            else _Silent()
        )

    def __enter__(self) -> Self:
        return self

    def update(self, images: int) -> None:
        """Count some images as done."""
        self._bar.update(images)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def say(text: str, *, shown: bool) -> None:
    """Print a line to standard error, beside a bar that may be there."""
    if shown:
        tqdm.write(text, file=sys.stderr)


def size_text(count: float) -> str:
    """Bytes as a person reads them: ``"1.5 GB"`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
