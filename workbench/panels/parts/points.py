"""A picture of points, one of which can be clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Unicode

from workbench.panels.parts.control import script
from workbench.panels.parts.display import PictureBox

if TYPE_CHECKING:
    from collections.abc import Callable


class PointBox(PictureBox):
    """A picture that tells where it was clicked.

    Args:
        clicked: called with the shares of the width, from the left, and of the height, from the top.
        **traits: label and so on.

    Attributes:
        said: what is known of the point that was clicked, in words; read out when it changes.
    """

    _esm = script("points")

    said = Unicode().tag(sync=True)

    def __init__(self, clicked: Callable[[float, float], None], **traits: Any) -> None:
        super().__init__(**traits)
        self._clicked = clicked
        self.on_msg(self._handle)

    def _handle(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and "point" in content:
            across, down = content["point"]
            self._clicked(float(across), float(down))
