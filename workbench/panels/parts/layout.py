"""Boxes that put parts in columns and groups."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ipywidgets

if TYPE_CHECKING:
    from collections.abc import Sequence


def column(children: Sequence[Any], name: str) -> Any:
    """Parts one below the other; ``name`` is the end of the box's CSS class."""
    box = ipywidgets.VBox(list(children))
    box.add_class(f"workbench-{name}")
    return box


def group(children: Sequence[Any]) -> Any:
    """Parts that belong together, with a line above."""
    return column(children, "group")


def title(text: str) -> Any:
    """The name of a panel."""
    return ipywidgets.HTML(f'<div class="workbench-title">{html.escape(text)}</div>')
