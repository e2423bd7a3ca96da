"""The small networks that come with the package."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from workbench.errors import unknown_name

FOLDER = Path(__file__).parent / "weights"


def shipped() -> tuple[str, ...]:
    """Names of the networks that come with the package, for :func:`workbench.models.load`.

    Returns:
        The names, sorted.
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json") if path.with_suffix(".safetensors").is_file()))


@cache
def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def card(name: str) -> dict[str, Any]:
    """The model card of a shipped network: its task, seed, accuracy, and the command that trains it.

    Args:
        name: one of :func:`shipped`.

    Returns:
        The card, as written in its JSON file.

    Raises:
        UnknownNameError: no such network, with the nearest names.
    """
    if name not in shipped():
        raise unknown_name("shipped model", name, shipped())
    return dict(_read(FOLDER / f"{name}.json"))
