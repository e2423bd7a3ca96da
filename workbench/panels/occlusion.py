"""Occlusion, watched: the map grows while one looks, and every window can be looked under."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from traitlets import Bool, Int, validate

from workbench import view
from workbench.errors import InputError, Interrupted
from workbench.explain import Progress, explainers, multi_resolution_steps
from workbench.explain.adaptive.multi_resolution import lattices_for
from workbench.panels.explained import Call, ExplanationRequest, Subject
from workbench.panels.explanation import ExplanationPanel, ExplanationState
from workbench.panels.parts import Button, Cache, Choice, Gauge, PictureBox, Ticket, Toggle, WindowBox, Worker, group
from workbench.panels.parts.panel import drawing
from workbench.panels.refinement import Cover, Grid, Hidden, Refinement, ending, sizes, spent
from workbench.view.occlusion import (
    certificate_in_words,
    cost_in_words,
    measured_in_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from workbench.models import ImageModel
    from workbench.registry import Card
    from workbench.view import Picture

METHOD = "multi_resolution_occlusion"
BESIDE = "incremental_occlusion"
BUDGET, LARGEST_BUDGET = 96, 2048  # forward-equivalents
NONE = -1
HOW = "Point at the picture, or focus it and use the arrow keys, to hide a window and see what the network then says."


class OcclusionState(ExplanationState):
    """What can be set in an :class:`OcclusionPanel`; beyond what :class:`ExplanationState` has:

    Attributes:
        parameters: ``patch`` and ``stride`` of the smallest windows in pixels (None: found from the image), how many
            ``resolutions`` (each doubles the patch), the ``budget`` in forward passes, the ``baseline`` that windows
            show, the ``window`` profile, and the ``seed``.
        measured: whether the windows that were measured are dotted; the rest of the map is estimated.
        pointed: number of the window that is looked under, of the dimension ``window`` of the result; -1 for none.
    """

    measured = Bool(True)
    pointed = Int(NONE)

    def __init__(self, *, windows: Callable[[], int], **known: Any) -> None:
        self._windows = windows
        super().__init__(method=METHOD, second=BESIDE, **known)

    @property
    def card(self) -> Card:
        """What the map takes: the card of the method, and the sizes of its windows."""
        card = explainers[METHOD].card
        own = {
            "patch": ("int", None, 2, 64),
            "stride": ("int", None, 1, 64),
            "resolutions": ("int", 3, 1, 3),
            "budget": ("int", BUDGET, 16, LARGEST_BUDGET),
        }
        return replace(card, parameters={**own, **{k: v for k, v in card.parameters.items() if k not in own}})

    @validate("method")
    def _only_method(self, proposal: Any) -> str:
        if proposal["value"] != METHOD:
            raise InputError(
                f"method is {proposal['value']!r}; this panel shows {METHOD!r}. Set second_method, or take an "
                "ExplanationPanel."
            )
        return METHOD

    @validate("pointed")
    def _known_window(self, proposal: Any) -> int:
        count = self._windows()
        if not NONE <= proposal["value"] < count:
            raise InputError(
                f"pointed is {proposal['value']}; "
                + (f"there are {count} windows, numbered from 0, and -1 for none." if count else "no map is known yet.")
            )
        return int(proposal["value"])


class OcclusionPanel(ExplanationPanel):
    """Watch an occlusion map grow, see what it costs and how far it may be trusted, and look under its windows.

    Args:
        model: an :class:`ImageModel`, the name of one that comes with the package, or a sequence of these to choose
            among.
        images: anything that :func:`workbench.data.as_source` takes.

    Raises:
        UnknownNameError: no such model.
        InputError: no model or no image.

    >>> panel = OcclusionPanel("scenes_object", images)                # doctest: +SKIP
    >>> panel.state.parameters = {"patch": 8, "budget": 192}           # doctest: +SKIP
    >>> panel.result["certificate"].item()                             # doctest: +SKIP
    """

    heading = "What happens when a part is hidden?"
    file_name = "occlusion"
    drawing_traits = frozenset({"opacity", "contour", "clip", "measured"})
    other_traits = frozenset({"pointed"})
    seconds_to_first_partial = 0.0
    seconds_between_partials = 0.15
    state: OcclusionState
    picture_box: WindowBox
    measured_toggle: Toggle
    size_choice: Choice

    def __init__(self, model: ImageModel | str | Sequence[ImageModel | str], images: Any) -> None:
        self._refinements: Cache[Refinement] = Cache(16)
        self._evaluations: dict[Any, int] = {}
        self._refinement: Refinement | None = None
        self._alike: Any = None
        self._subject: Subject | None = None
        self._grids: list[Grid] = []
        self._covers: Cache[Cover] = Cache(4)
        self._hidden: Cache[Hidden] = Cache(512)
        self._looking = Worker()
        self.gauge = Gauge(label="Cost")
        self.look_box = PictureBox()
        self.resume_button = Button(self.resume, label="Continue", disabled=True)
        super().__init__(model, images, method=METHOD)
        self.progress.observe(lambda _: self._offer_to_continue(), "running")
        self.picture_box.observe(self._cursor_moved, "cursor")
        self.size_choice.observe(self._size_chosen, "value")
        self.state.observe(lambda _: self._look(), "pointed")

    def make_state(self, method: str) -> OcclusionState:
        """The state to begin with."""
        return OcclusionState(
            models=self.models, images=lambda: self._count, windows=lambda: sum(len(grid) for grid in self._grids)
        )

    def make_picture_box(self) -> PictureBox:
        """What shows the picture, and lets one point at its windows."""
        return WindowBox(label="Windows over the picture; the arrow keys move one", hint=HOW)

    def lay_out(self) -> None:
        """Put the controls in their places."""
        self.assemble([
            self.gallery.widget,
            group([self.model_choice, self.target_choice]),
            group([self.method_controls.widget]),
            group([self.compare_toggle, self.second_choice, self.second_controls.widget]),
        ], [self.opacity_range, self.contour_range, self.clip_range, self.measured_toggle, self.size_choice],
        above=[self.resume_button, self.gauge], below=[self.look_box])  # fmt: skip

    def _make_controls(self) -> None:
        super()._make_controls()
        self.measured_toggle = Toggle(label="Dot what was measured", value=self.state.measured)
        self.size_choice = Choice(label="Window under the pointer")
        self._links["measured"] = self.measured_toggle
        self.measured_toggle.observe(lambda change: setattr(self.state, "measured", change["new"]), "value")

    def first_call(self) -> Call:
        """The occlusion map with what it is called with."""
        values = dict(self.state.parameters)
        finest, step, count = values.pop("patch"), values.pop("stride"), values.pop("resolutions")
        patches = strides = None
        if (finest, step, count) != (None, None, 3):
            size = self._input_size()
            finest = finest or lattices_for(size, None, None)[-1].patch[0]
            patches = sizes(finest, count, min(size))
            strides = None if step is None else [step * 2**i for i in range(len(patches))]
        return Call(METHOD, json.dumps({"patches": patches, "strides": strides, **values}, sort_keys=True))

    def explain(
        self, subject: Subject, call: Call, told: Callable[[Progress], None], stop: Callable[[], bool]
    ) -> xr.DataArray:
        """The map (y, x) of one call; that of the panel's own method grows, and goes on where it was left."""
        if "patches" in call.arguments:
            return self._refine(subject, call, told, stop)

        def counted(progress: Progress) -> None:
            self._evaluations[subject.key, subject.index, call] = progress.done
            told(progress)

        return super().explain(subject, call, counted, stop)

    def gather(
        self, request: ExplanationRequest, maps: Sequence[xr.DataArray], subject: Subject, *, final: bool = True
    ) -> xr.Dataset:
        """Everything that is known of a request, as one result.

        Beyond what :func:`workbench.panels.explained.gather` gives: ``sigma``, ``exact``, ``evidence_for`` and
        ``evidence_against`` (y, x); ``certificate``, ``certificate_low``, ``certificate_high``,
        ``forward_equivalents`` (scalars); ``window_fall``, ``window_sigma``, ``window_exact`` (window) with the
        coordinates ``row``, ``column``, ``height``, ``width`` in pixels; and ``passes`` (explainer), what each map
        has cost in forward passes, NaN where the method does not say.
        """
        self._subject = subject
        result = super().gather(request, maps, subject, final=final)
        if self._refinement is None or self._refinement.newest is None:
            raise InputError("There is no occlusion map yet. Ask for one first.")
        newest = self._refinement.newest
        heat, windows = newest.heatmap.isel(image=0), newest.windows.isel(image=0, drop=True)
        for name in ("sigma", "exact", "evidence_for", "evidence_against"):
            result[name] = (("y", "x"), heat[name].values)
        for name in ("certificate", "certificate_low", "certificate_high", "forward_equivalents"):
            result[name] = float(heat[name])
        for name in ("fall", "sigma", "exact"):
            result[f"window_{name}"] = ("window", windows[name].values)
        result = result.assign_coords({name: windows[name] for name in ("row", "column", "height", "width")})
        result["passes"] = (
            "explainer",
            [self._passes(subject, *pair) for pair in zip(request.calls, maps, strict=False)],
        )
        result.attrs["ended"] = ending(newest)
        return result

    def draw(self, result: xr.Dataset) -> Picture:
        """The picture, the map over it, and the map of a second method where one is compared."""
        return view.occlusion(result, measured=self.state.measured, **self._drawing_options())

    def shown(self, result: xr.Dataset) -> None:
        """Say what the picture cost and how far it may be trusted, and offer its windows."""
        lines = [cost_in_words(result), f"{measured_in_words(result)} {certificate_in_words(result)}"]
        lines += [
            f"{title} took {passes:,.0f} evaluations of the network."
            for title, passes in zip(result["explainer"].values[1:], result["passes"].values[1:], strict=True)
            if np.isfinite(passes)
        ]
        self.gauge.show(float(result["forward_equivalents"]) / result.sizes["window"], *lines)
        grids = Grid.all(result)
        if sum(map(len, grids)) != sum(map(len, self._grids)):
            self.state.pointed = NONE
        self._grids = grids
        self.size_choice.offer(
            [str(i) for i in range(len(grids))],
            [f"{grid.patch[0]} by {grid.patch[1]} pixels" for grid in grids],
        )
        self._offer_windows()
        self._look()

    def resume(self) -> None:
        """Go on: with a search that was stopped, from where it was; with one that spent its budget, with twice that."""
        if self._result is None or self._working:
            return
        if not self._result.attrs["complete"]:
            self.refresh()
        elif self._result.attrs["ended"] == "budget":
            self.state.parameters = {**self.state.parameters, "budget": self._next_budget}

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is computed and drawn; see :meth:`Panel.wait`."""
        return super().wait(timeout) and self._looking.wait(timeout)

    # The search.

    def _refine(
        self, subject: Subject, call: Call, told: Callable[[Progress], None], stop: Callable[[], bool]
    ) -> xr.DataArray:
        refinement = self._taken_up(subject, call)
        budget = call.arguments["budget"]
        began, before, last = time.monotonic(), None, None
        for newest in refinement.maps():
            cost = spent(newest)
            before = cost if before is None else before
            pace = (cost - before) / (time.monotonic() - began)
            left = (budget - cost) / pace if pace > 0 else None
            told(Progress(round(min(cost, budget)), budget, left, None if newest is last else newest.heatmap))
            last = newest
            if stop() and not refinement.complete:
                raise Interrupted(f"Stopped on request at the work of {cost:.0f} forward passes of {budget}.")
        if refinement.newest is None:
            raise InputError("The search gave no map. Give it a larger budget.")
        return refinement.newest.heatmap.isel(image=0)

    def _taken_up(self, subject: Subject, call: Call) -> Refinement:
        """The search that answers a call; only one at a time keeps the network's inner maps in memory."""
        arguments = {name: value for name, value in call.arguments.items() if value is not None}
        begin = partial(multi_resolution_steps, subject.model, subject.inputs, target=subject.index, **arguments)
        previous, alike = self._refinement, (subject.key, subject.index, alike_but_budget(call))
        newest = previous.newest if previous is not None and self._alike == alike else None
        known = newest if newest is not None and spent(newest) <= call.arguments["budget"] else None
        refinement = self._refinements.get((subject.key, subject.index, call), lambda: Refinement(begin, known))
        if previous is not None and previous is not refinement:
            previous.leave()
        self._refinement, self._alike = refinement, alike
        return refinement

    def _passes(self, subject: Subject, call: Call, heat: xr.DataArray) -> float:
        for known in (heat.coords, heat.attrs):
            if "forward_equivalents" in known:
                return float(known["forward_equivalents"])
        return float(self._evaluations.get((subject.key, subject.index, call), np.nan))

    def _input_size(self) -> tuple[int, int]:
        """(y, x) pixels of the network input for the image of the state."""
        model = self.models[self.state.model]
        if model.preprocessing.size is not None:
            return model.preprocessing.size
        height, width = model.prepare(self._one(self.state.image)).shape[2:]
        return int(height), int(width)

    @property
    def _next_budget(self) -> int:
        return min(2 * int(self.state.parameters["budget"]), LARGEST_BUDGET)

    def _offer_to_continue(self) -> None:
        label, hint, able = "Continue", "", False
        result = self._result
        if self.progress.running or result is None or self.error is not None:
            pass
        elif not result.attrs["complete"]:
            hint, able = "The search goes on where it was stopped.", True
        elif result.attrs["ended"] == "exact":
            hint = "Nothing is left to measure."
        elif self._next_budget > self.state.parameters["budget"]:
            label, able = f"Continue with a budget of {self._next_budget}", True
            hint = "The search is planned anew for that; the picture changes as soon as more is known than now."
        else:
            hint = "This is the largest budget of the panel."
        with self.resume_button.hold_sync():
            self.resume_button.label, self.resume_button.hint, self.resume_button.disabled = label, hint, not able

    # A look under one window.

    @property
    def _grid(self) -> Grid | None:
        chosen = int(self.size_choice.value or 0)
        return self._grids[chosen] if chosen < len(self._grids) else None

    def _offer_windows(self) -> None:
        """Bring the windows that can be pointed at, and the mark, in step with the state."""
        for number, each in enumerate(self._grids):
            if self.state.pointed in each:
                self.size_choice.value = str(number)
        grid, subject, box = self._grid, self._subject, self.picture_box
        if grid is None or subject is None:
            return
        height, width = subject.picture.shape[:2]
        with box.hold_sync():
            box.rows, box.columns = [float(y) / height for y in grid.rows], [float(x) / width for x in grid.columns]
            box.patch = [grid.patch[0] / height, grid.patch[1] / width]
            box.cursor = self.state.pointed - grid.start if self.state.pointed in grid else NONE

    def _cursor_moved(self, change: Any) -> None:
        grid = self._grid
        if grid is not None:
            self.state.pointed = grid.start + change["new"] if 0 <= change["new"] < len(grid) else NONE

    def _size_chosen(self, _: Any) -> None:
        """Point at the window of the new size that lies nearest."""
        grid, before = self._grid, next((each for each in self._grids if self.state.pointed in each), None)
        if grid is not None and before is not None and before is not grid:
            row, column = divmod(self.state.pointed - before.start, len(before.columns))
            middle = before.rows[row] + before.patch[0] / 2, before.columns[column] + before.patch[1] / 2
            down = int(np.abs(grid.rows + grid.patch[0] / 2 - middle[0]).argmin())
            across = int(np.abs(grid.columns + grid.patch[1] / 2 - middle[1]).argmin())
            self.state.pointed = grid.start + down * len(grid.columns) + across
        self._offer_windows()

    def _look(self) -> None:
        self._offer_windows()
        if self.state.pointed == NONE:
            self.look_box.source = self.picture_box.said = ""
        else:
            self._looking.submit(self._look_under)

    def _look_under(self, _: Ticket) -> None:
        """Hide the window that is pointed at, and show what the network then says; runs on a thread of its own."""
        result, subject, window = self._result, self._subject, self.state.pointed
        if result is None or subject is None or not 0 <= window < result.sizes["window"]:
            return
        if (str(subject.probability["image"].item()), subject.target) != (
            result.attrs["image"],
            result.attrs["target"],
        ):
            return  # the picture of a newer request is on its way, and asks again
        try:
            picture = self._draw_hidden(result, subject, window)
        except Exception as error:  # shown in the panel, like whatever else goes wrong there
            self._fail(error)
            return
        self.look_box.show(picture)
        self.picture_box.said = picture.alt

    def _draw_hidden(self, result: xr.Dataset, subject: Subject, window: int) -> Picture:
        arguments = json.loads(result.attrs["calls"])[0][1]
        key = (subject.key, subject.index, arguments["baseline"], arguments["seed"])
        place = tuple(int(result[name][window]) for name in ("row", "column", "height", "width"))
        cover = self._covers.get(key, lambda: Cover.of(subject, arguments["baseline"], arguments["seed"]))
        hidden = self._hidden.get((key, place), lambda: cover.hide(place))
        with drawing:
            return view.occluded(
                hidden.picture,
                (place[0], place[1], place[2], place[3]),
                target=subject.target,
                reference=hidden.reference,
                score=hidden.score,
                expected=float(result["window_fall"][window]),
                sigma=float(result["window_sigma"][window]),
            )


def alike_but_budget(call: Call) -> str:
    """What two calls share that differ in their budget alone."""
    return json.dumps({**call.arguments, "budget": None}, sort_keys=True)
