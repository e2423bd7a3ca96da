"""What every panel is: a state, a request made of it, a result computed from the request, and a picture of that."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from traitlets import HasTraits

from workbench.errors import InputError, Interrupted
from workbench.panels.parts.display import Actions, File, Message, PictureBox, ProgressBar
from workbench.panels.parts.layout import column, title
from workbench.panels.parts.worker import Ticket, Worker
from workbench.view.export import netcdf

if TYPE_CHECKING:
    import xarray as xr

    from workbench.view import Picture

State = TypeVar("State", bound=HasTraits)
Request = TypeVar("Request", bound=Hashable)
# Share of the work done (-1 where unknown), what is being done and how long it will take, the result so far.
Report = Callable[[float, str, "xr.Dataset | None"], None]

LEAST_SECONDS_TOLD = 0.1
# matplotlib shares caches between figures, and panels draw on threads of their own.
drawing = threading.Lock()


class Panel(ABC, Generic[State, Request]):
    """The base of all panels.

    A panel shows itself as the last expression of a cell. Everything in it can be set and read from code:
    ``panel.state.opacity = 0.5``, ``panel.result``, ``print(panel.code())``, ``panel.save("figure.svg")``.

    A subclass says what a state asks for (:meth:`request`), how that is computed (:meth:`compute`), drawn
    (:meth:`draw`) and written as code (:meth:`reproduce`), and calls :meth:`assemble` with its controls.

    Attributes:
        state: what a person sets, as traits.
        error: what went wrong last, or None.
    """

    heading: str
    file_name: str
    # Traits that change only how the result is drawn, not the result.
    drawing_traits: frozenset[str] = frozenset()
    # Traits that change neither.
    other_traits: frozenset[str] = frozenset()
    # A quick result is not announced by a picture of half of it, and pictures leave the work some time.
    seconds_to_first_partial = 0.4
    seconds_between_partials = 0.4

    def __init__(self, state: State) -> None:
        self.state = state
        self.error: BaseException | None = None
        self._request: Request | None = None
        self._result: xr.Dataset | None = None
        self._picture: Picture | None = None
        self._last_partial = 0.0
        self._started = self._working = False
        self._computing, self._drawing = Worker(), Worker()
        self.picture_box = self.make_picture_box()
        self.progress = ProgressBar(self.stop)
        self.message = Message()
        self.actions = Actions(self.file)

    @abstractmethod
    def request(self) -> Request:
        """What the state asks for, as a frozen value: equal requests have equal results."""

    @abstractmethod
    def compute(self, request: Request, *, stop: Callable[[], bool], report: Report) -> xr.Dataset:
        """Compute what was asked for; runs on a thread of its own.

        Args:
            request: what :meth:`request` gave.
            stop: asked often; when it answers True, raise :class:`Interrupted`.
            report: called with the share done, words, and the result so far or None.

        Returns:
            The result.
        """

    @abstractmethod
    def draw(self, result: xr.Dataset) -> Picture:
        """The picture of a result, in the manner that the state asks for."""

    @abstractmethod
    def reproduce(self, request: Request) -> str:
        """Python code that makes the result of a request, and its picture."""

    def computed(self, result: xr.Dataset) -> None:
        """Called on the worker's thread when a result is complete; a subclass may show more of it."""

    def shown(self, result: xr.Dataset) -> None:
        """Called when the picture of a result, complete or not, stands in the panel; a subclass may say more of it."""

    def make_picture_box(self) -> PictureBox:
        """What shows the picture."""
        return PictureBox()

    def assemble(
        self, controls: Sequence[Any], look: Sequence[Any], *, above: Sequence[Any] = (), below: Sequence[Any] = ()
    ) -> None:
        """Lay the panel out, and listen to the state.

        Args:
            controls: what decides the result, at the left.
            look: what decides only how it is drawn, below the picture.
            above: more that stands above the picture.
            below: more that stands right below it.
        """
        parts = [self.message, self.progress, *above, self.picture_box, *below, column(look, "look"), self.actions]
        stage = column(parts, "stage")
        columns = column([column(controls, "controls"), stage], "columns")
        self._widget = column([title(self.heading), columns], "panel")
        self.state.observe(self._changed)

    # What a person does with a panel, from code.

    @property
    def widget(self) -> Any:
        """The panel as an ipywidgets box, to be put into a layout of one's own."""
        self.start()
        return self._widget

    @property
    def result(self) -> xr.Dataset:
        """The result for the state as it is now; waits until it is computed.

        Raises:
            Exception: what went wrong, where no result could be computed.
        """
        self.start()
        self.wait()
        if self.error is not None:
            raise self.error
        if self._result is None:
            raise InputError("The panel was stopped before anything was computed. Change its state, or call refresh().")
        return self._result

    @property
    def picture(self) -> Picture:
        """The picture that the panel shows; waits until it is drawn."""
        result = self.result
        return self._picture if self._picture is not None else self.draw(result)

    def code(self) -> str:
        """Python code that reproduces what the panel shows, ready to paste into a cell."""
        return self.reproduce(self.request())

    def save(self, path: str | Path) -> Path:
        """Write what the panel shows to a file.

        Args:
            path: ends with ``.png`` or ``.svg`` for the picture, ``.nc`` (NetCDF) or ``.zarr`` for the data behind it.

        Returns:
            The path written.

        Raises:
            InputError: another ending.
        """
        path = Path(path)
        if path.suffix == ".zarr":
            self.result.to_zarr(path, mode="w", consolidated=False, zarr_format=3)
            return path
        formats = {".png": "png", ".svg": "svg", ".nc": "netcdf"}
        if path.suffix not in formats:
            raise InputError(
                f"{path} ends with {path.suffix or 'nothing'!r}. Let it end with .png or .svg for the picture, "
                ".nc or .zarr for the data."
            )
        path.write_bytes(self.file(formats[path.suffix]).content)
        return path

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is computed and drawn.

        Args:
            timeout: in seconds, at most.

        Returns:
            Whether it is.
        """
        return self._computing.wait(timeout) and self._drawing.wait(timeout)

    def stop(self) -> None:
        """Stop the work in progress; what is known so far stays."""
        self._computing.stop()

    def start(self) -> None:
        """Compute for the first time; a panel that nobody looks at does no work."""
        if not self._started:
            self.refresh()

    def refresh(self) -> None:
        """Compute what the state asks for; what is being computed is cancelled."""
        self._started = True
        try:
            self._request = self.request()
            self.actions.code = self.reproduce(self._request)
        except Exception as error:  # shown in the panel, and raised by .result
            self._computing.stop()
            self._fail(error)
            return
        request = self._request
        self._computing.submit(lambda ticket: self._work(ticket, request))

    def redraw(self) -> None:
        """Draw the result again, in the manner that the state asks for."""
        if self._result is not None:
            self.actions.code = self.code()
            self._drawing.submit(self._draw)

    def file(self, kind: str) -> File:
        """What the panel shows as a file.

        Args:
            kind: ``"png"``, ``"svg"`` or ``"netcdf"``.

        Returns:
            Name, media type and bytes.

        Raises:
            InputError: another kind.
        """
        match kind:
            case "png":
                return File(f"{self.file_name}.png", "image/png", self._rendered(lambda p: p.png()))
            case "svg":
                return File(f"{self.file_name}.svg", "image/svg+xml", self._rendered(lambda p: p.svg().encode()))
            case "netcdf":
                return File(f"{self.file_name}.nc", "application/x-netcdf", netcdf(self.result))
        raise InputError(f"There is no export {kind!r}. Known are 'png', 'svg' and 'netcdf'.")

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle: Any = self.widget._repr_mimebundle_(**options)
        return bundle

    # How it works.

    def _rendered(self, render: Callable[[Picture], bytes]) -> bytes:
        picture = self.picture
        with drawing:
            return render(picture)

    def _changed(self, change: Mapping[str, Any]) -> None:
        if not self._started or change["name"] in self.other_traits:
            return
        if change["name"] in self.drawing_traits:
            self.redraw()
        elif self.error is not None or self.request() != self._request:
            self.refresh()

    def _work(self, ticket: Ticket, request: Request) -> None:
        began = time.monotonic()
        self.error = None
        self._last_partial = began - self.seconds_between_partials + self.seconds_to_first_partial
        self.message.show(None)
        self._working = self.picture_box.busy = True
        self.progress.show(-1, "Working \N{HORIZONTAL ELLIPSIS}", running=True)
        partial: list[xr.Dataset] = []

        def report(fraction: float, words: str, so_far: xr.Dataset | None) -> None:
            if ticket.stopped():
                return
            self.progress.show(fraction, words, running=True)
            if so_far is not None:
                partial[:] = [so_far]
                self._show_partial(so_far)

        try:
            result = self.compute(request, stop=ticket.stopped, report=report)
        except Interrupted:
            if not ticket.superseded:
                self._interrupted(partial)
            return
        except Exception as error:  # a panel shows what went wrong; .result raises it
            if not ticket.superseded:
                self._fail(error)
            return
        if ticket.superseded:
            return
        self._result, self._working = result, False
        self.computed(result)
        self._drawing.submit(self._draw)
        took = time.monotonic() - began
        self.progress.show(1, f"Done in {took:.1f} s" if took >= LEAST_SECONDS_TOLD else "Done", running=False)

    def _show_partial(self, so_far: xr.Dataset) -> None:
        now = time.monotonic()
        if now - self._last_partial >= self.seconds_between_partials and not self._drawing.busy:
            self._last_partial, self._result = now, so_far
            self._drawing.submit(self._draw)

    def _interrupted(self, partial: list[xr.Dataset]) -> None:
        self._result, self._working = partial[0] if partial else None, False
        kept = "Stopped. The picture shows what was known by then." if partial else "Stopped."
        self.progress.show(self.progress.fraction, kept, running=False)
        self.picture_box.busy = bool(partial)
        if partial:
            self._drawing.submit(self._draw)

    def _fail(self, error: BaseException) -> None:
        self.error, self._working = error, False
        # A picture of other settings, beside an error, would be taken for the picture of these.
        self.picture_box.source = ""
        self.actions.ready = False
        self.message.show(error)
        self.progress.show(0, "", running=False)
        self.picture_box.busy = False

    def _draw(self, _: Ticket) -> None:
        result = self._result
        if result is None:
            return
        try:
            with drawing:
                picture = self.draw(result)
                if self.error is not None:  # it came while this was drawn
                    return
                self.picture_box.show(picture, draft=self._working)
            self.shown(result)
        except Exception as error:  # as in _work
            self._fail(error)
            return
        self._picture = picture
        newer = self._result is not None and self._result is not result  # its drawing is still to come
        self.picture_box.busy = self._working or newer
        self.actions.ready = True
