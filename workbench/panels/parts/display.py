"""What a panel shows besides its controls: a picture, how far the work is, what went wrong, and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, Int, List, Unicode

from workbench.errors import WorkbenchError
from workbench.panels.parts.control import Control, script
from workbench.view.picture import CSS_PIXELS_PER_INCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.view import Picture


class PictureBox(Control):
    """One image with alternative text.

    Attributes:
        source: the image as a data URL; "" for none.
        alt: its alternative text.
        width: in CSS pixels, at most.
        busy: whether what is shown is about to change.
    """

    _esm = script("picture")

    source = Unicode().tag(sync=True)
    alt = Unicode().tag(sync=True)
    width = Int(0).tag(sync=True)
    busy = Bool(False).tag(sync=True)

    def show(self, picture: Picture, *, draft: bool = False) -> None:
        """Show a picture in place of the one before.

        Args:
            picture: the picture.
            draft: whether a better one follows soon: with half the resolution it is there sooner.
        """
        source = picture.source(dpi=(1 if draft else 2) * CSS_PIXELS_PER_INCH)
        with self.hold_sync():
            self.alt = picture.alt
            self.width = round(picture.figure.get_figwidth() * CSS_PIXELS_PER_INCH)
            self.source = source


class ProgressBar(Control):
    """How far work is, and a button that stops it.

    Args:
        stopped: called when the button is pressed.
        **traits: label and so on.

    Attributes:
        fraction: from 0 to 1; -1 where nobody knows.
        text: the same in words, with the time left.
        running: whether there is something to stop.
    """

    _esm = script("progress")

    fraction = Float(0.0).tag(sync=True)
    text = Unicode().tag(sync=True)
    running = Bool(False).tag(sync=True)

    def __init__(self, stopped: Callable[[], None], **traits: Any) -> None:
        super().__init__(**{"label": "Progress", **traits})
        self._stopped = stopped
        self.on_msg(self._handle)

    def _handle(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and content.get("stop"):
            self._stopped()

    def show(self, fraction: float, text: str, *, running: bool) -> None:
        """Set all three at once."""
        with self.hold_sync():
            self.fraction, self.text, self.running = float(fraction), text, running


class Message(Control):
    """A box that says what went wrong; it is not there when its text is empty.

    Attributes:
        text: the words.
    """

    _esm = script("message")

    text = Unicode().tag(sync=True)

    def show(self, error: BaseException | None) -> None:
        """Say what happened and what to do; None takes the box away."""
        if error is None:
            self.text = ""
        elif isinstance(error, WorkbenchError):
            self.text = str(error)
        else:
            self.text = (
                f"{type(error).__name__}: {error}\n"
                "The workbench did not foresee this. The attribute .error of the panel holds it with its traceback; "
                "other settings still work."
            )


@dataclass(frozen=True)
class File:
    """A file that the browser is to save."""

    name: str
    kind: str
    content: bytes


class Actions(Control):
    """The row below a picture: copy the code, save the picture, save the data.

    Args:
        make: gives the file of one format (``"png"``, ``"svg"``, ``"netcdf"``) when it is asked for.
        **traits: label and so on.

    Attributes:
        code: what "Copy as code" copies.
        formats: ``[format, text, what the button does]``.
        ready: whether there is something to save.
    """

    _esm = script("actions")

    code = Unicode().tag(sync=True)
    formats = List(List(Unicode())).tag(sync=True)
    ready = Bool(False).tag(sync=True)

    def __init__(self, make: Callable[[str], File], **traits: Any) -> None:
        formats = [
            ["png", "PNG", "Save the picture as PNG"],
            ["svg", "SVG", "Save the picture as SVG"],
            ["netcdf", "Data", "Save the data behind the picture as NetCDF"],
        ]
        super().__init__(**{"formats": formats, **traits})
        self._make = make
        self.on_msg(self._handle)

    def _handle(self, _: Any, content: Any, __: Any) -> None:
        if not (isinstance(content, dict) and "wanted" in content):
            return
        try:
            file = self._make(str(content["wanted"]))
        except (WorkbenchError, OSError, ValueError) as error:
            self.send({"problem": f"Not saved: {error}"})
            return
        self.send({"file": file.name, "type": file.kind}, [file.content])
