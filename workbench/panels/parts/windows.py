"""A picture with windows over it, one of which is pointed at by mouse or by the arrow keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitlets import Float, Int, List, Unicode

from workbench.panels.parts.control import script
from workbench.panels.parts.display import PictureBox
from workbench.view.occlusion import map_areas

if TYPE_CHECKING:
    from workbench.view import Picture


class WindowBox(PictureBox):
    """A picture that shows the same image once or more, and marks one window on each.

    Attributes:
        areas: ``[left, top, width, height]`` of each image, as shares of the picture.
        rows: upper edges of the windows, as shares of an image.
        columns: left edges.
        patch: ``[height, width]`` of a window, as shares of an image.
        cursor: number of the window that is marked, row by row; -1 for none.
        said: what is known of it, in words; read out when it changes.
    """

    _esm = script("windows")

    areas = List(List(Float())).tag(sync=True)
    rows = List(Float()).tag(sync=True)
    columns = List(Float()).tag(sync=True)
    patch = List(Float()).tag(sync=True)
    cursor = Int(-1).tag(sync=True)
    said = Unicode().tag(sync=True)

    def show(self, picture: Picture, *, draft: bool = False) -> None:
        """Show a picture in place of the one before; see :meth:`PictureBox.show`."""
        super().show(picture, draft=draft)
        self.areas = [list(area) for area in map_areas(picture)]
