"""What every drawing function returns: a figure, and the sentence that stands in for it."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context

from workbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

CSS_PIXELS_PER_INCH = 96
# What an SVG file would otherwise draw at random, so that one result always gives the same bytes.
REPRODUCIBLE_SVG: Any = {"svg.hashsalt": "workbench", "svg.fonttype": "path"}


@dataclass(frozen=True)
class Picture:
    """A drawing and its alternative text.

    It shows itself in a notebook, where the last expression of a cell is a picture.

    Attributes:
        figure: a matplotlib Figure that belongs to no window and to no pyplot state.
        alt: what the drawing says, in words, for those who cannot see it.
    """

    figure: Figure
    alt: str

    def png(self, *, dpi: float = 2 * CSS_PIXELS_PER_INCH) -> bytes:
        """The drawing as a PNG file, the alternative text in its ``Description``.

        Args:
            dpi: pixels an inch; 192 is sharp on screens of two device pixels a CSS pixel.

        Returns:
            The bytes of the file.
        """
        return self._rendered("png", dpi=dpi, metadata={"Description": self.alt, "Software": None})

    def svg(self) -> str:
        """The drawing as SVG text, with the alternative text as its accessible name; the same every time.

        Returns:
            A whole SVG document.
        """
        with rc_context(REPRODUCIBLE_SVG):
            text = self._rendered("svg", metadata={"Date": None, "Creator": None}).decode()
        start = text.index("<svg") + len("<svg")
        return f'{text[:start]} role="img" aria-label="{html.escape(self.alt, quote=True)}"{text[start:]}'

    def source(self, *, dpi: float = 2 * CSS_PIXELS_PER_INCH) -> str:
        """The PNG as a data URL, for the ``src`` of an image element.

        Args:
            dpi: pixels an inch, see :meth:`png`.

        Returns:
            ``data:image/png;base64,...``.
        """
        return "data:image/png;base64," + base64.b64encode(self.png(dpi=dpi)).decode("ascii")

    def html(self) -> str:
        """An image element that carries its own bytes and its alternative text.

        Returns:
            ``<img alt="..." src="data:image/png;base64,...">``, at most as wide as its surroundings.
        """
        width = round(self.figure.get_figwidth() * CSS_PIXELS_PER_INCH)
        alt = html.escape(self.alt, quote=True)
        return f'<img alt="{alt}" width="{width}" style="max-width:100%;height:auto" src="{self.source()}">'

    def save(self, path: str | Path) -> Path:
        """Write the drawing to a file.

        Args:
            path: ends with ``.png``, ``.svg`` or ``.html``, which decides the format.

        Returns:
            The path written.

        Raises:
            InputError: another ending.
        """
        path = Path(path)
        match path.suffix.lower():
            case ".png":
                path.write_bytes(self.png())
            case ".svg":
                path.write_text(self.svg(), encoding="utf-8")
            case ".html":
                path.write_text(self.html(), encoding="utf-8")
            case other:
                raise InputError(
                    f"A picture cannot be saved as {other or 'a file without ending'!r} ({path}). "
                    "Let the path end with .png, .svg or .html."
                )
        return path

    def _rendered(self, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format=kind, **options)
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}
