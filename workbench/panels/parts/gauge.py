"""How much has been spent of what there is."""

from __future__ import annotations

from traitlets import Float, List, Unicode

from workbench.panels.parts.control import Control, script


class Gauge(Control):
    """A bar with sentences below it.

    Attributes:
        fraction: how full the bar is, from 0 to 1.
        lines: what the bar says, and more of it, in sentences.
    """

    _esm = script("gauge")

    fraction = Float(0.0).tag(sync=True)
    lines = List(Unicode()).tag(sync=True)

    def show(self, fraction: float, *lines: str) -> None:
        """Set both at once."""
        with self.hold_sync():
            self.fraction, self.lines = min(max(float(fraction), 0.0), 1.0), list(lines)
