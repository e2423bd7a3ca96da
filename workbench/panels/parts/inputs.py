"""Controls that a person sets: each has a visible label, works by mouse and by keyboard, and has a ``value``.

Made because ipywidgets' sliders have no accessible name, and its buttons lose the Enter key to JupyterLab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, Int, List, Unicode

from workbench.errors import unknown_name
from workbench.panels.parts.control import Control, script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Range(Control):
    """A slider that shows its number.

    Attributes:
        value: the number, from ``min`` to ``max`` in steps of ``step``.
        unit: shown after the number.
        lowest: shown instead of the lowest number, for example "none" or "automatic".
    """

    _esm = script("range")

    value = Float(0.0).tag(sync=True)
    min = Float(0.0).tag(sync=True)
    max = Float(1.0).tag(sync=True)
    step = Float(0.05).tag(sync=True)
    unit = Unicode().tag(sync=True)
    lowest = Unicode().tag(sync=True)


class Choice(Control):
    """A menu of names.

    Attributes:
        options: ``[value, text shown]`` pairs.
        value: the value of the one that is chosen.
    """

    _esm = script("choice")

    value = Unicode().tag(sync=True)
    options = List(List(Unicode())).tag(sync=True)

    def offer(self, values: Sequence[str], texts: Sequence[str] | None = None) -> None:
        """Replace the options; the value stays where it is still one of them, else it becomes the first.

        Args:
            values: the values, all different.
            texts: what to show for each; the values themselves where omitted.
        """
        options = [[value, text] for value, text in zip(values, texts or values, strict=True)]
        if options != self.options:
            self.options = options
        if self.value not in values and values:
            self.value = values[0]

    def choose(self, value: str) -> None:
        """Choose from code.

        Raises:
            UnknownNameError: not one of the options.
        """
        known = [option[0] for option in self.options]
        if value not in known:
            raise unknown_name(self.label.lower() or "option", value, known)
        self.value = value


class Stepper(Control):
    """A whole number with a button to either side; the arrow keys step, page up and down step by ten.

    Attributes:
        value: the number, from ``min`` to ``max``, both included.
    """

    _esm = script("stepper")

    value = Int(0).tag(sync=True)
    min = Int(0).tag(sync=True)
    max = Int(0).tag(sync=True)


class Toggle(Control):
    """A check box.

    Attributes:
        value: whether it is checked.
    """

    _esm = script("toggle")

    value = Bool(False).tag(sync=True)


class Tiles(Control):
    """A row of thumbnails or short texts, one of which is chosen; the arrow keys move along it.

    Attributes:
        names: one a tile; the text of it, or the alternative text of its thumbnail.
        thumbnails: one data URL a tile, or none at all.
        value: index of the chosen tile, -1 for none.
    """

    _esm = script("tiles")

    names = List(Unicode()).tag(sync=True)
    thumbnails = List(Unicode()).tag(sync=True)
    value = Int(-1).tag(sync=True)


class Upload(Control):
    """A button that takes one image file from the user's computer.

    Args:
        received: called with the file's name and its bytes.
        **traits: label and so on.
    """

    _esm = script("upload")

    def __init__(self, received: Callable[[str, bytes], None], **traits: Any) -> None:
        super().__init__(**traits)
        self._received = received
        self.on_msg(self._handle)

    def _handle(self, _: Any, content: Any, buffers: Sequence[Any]) -> None:
        if isinstance(content, dict) and "uploaded" in content and buffers:
            self._received(str(content["uploaded"]), bytes(buffers[0]))
