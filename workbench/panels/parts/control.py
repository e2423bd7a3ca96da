"""The base of all controls: a small widget with an accessible name, whose keys do not reach the notebook."""

from __future__ import annotations

from pathlib import Path

import anywidget
from traitlets import Bool, Unicode

STATIC = Path(__file__).parent / "static"


def script(name: str) -> str:
    """The browser's half of a control: what all share, then its own."""
    return "\n".join((STATIC / f"{part}.js").read_text(encoding="utf-8") for part in ("common", name))


class Control(anywidget.AnyWidget):
    """One labelled element.

    Attributes:
        label: its visible and accessible name.
        hint: one more sentence, shown small and read out after the name.
        disabled: whether it can be used now.
    """

    _css = (STATIC / "panel.css").read_text(encoding="utf-8")

    label = Unicode().tag(sync=True)
    hint = Unicode().tag(sync=True)
    disabled = Bool(False).tag(sync=True)
