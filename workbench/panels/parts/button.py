"""A button with a sentence beside it that says what will happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.panels.parts.control import Control, script

if TYPE_CHECKING:
    from collections.abc import Callable


class Button(Control):
    """A button; its ``hint`` stands beside it.

    Args:
        pressed: called when it is pressed.
        **traits: label and so on.
    """

    _esm = script("button")

    def __init__(self, pressed: Callable[[], None], **traits: Any) -> None:
        super().__init__(**traits)
        self._pressed = pressed
        self.on_msg(self._handle)

    def _handle(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and content.get("pressed") and not self.disabled:
            self._pressed()
