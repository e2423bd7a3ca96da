"""How little is enough: a coreset among all images, what it says of a category, and how its likeness grows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench import view
from workbench.arrays import IMAGE
from workbench.data import as_source
from workbench.errors import InputError
from workbench.interpret.coreset import Coreset, Subject, choose, pooled_features, subject
from workbench.interpret.coreset.target import TARGET_AWARE
from workbench.panels.coreset_code import written
from workbench.panels.coreset_comparison import both, category_number, describe_units
from workbench.panels.coreset_controls import ALL, GIVEN, CoresetControls, CoresetState
from workbench.panels.coreset_profile import as_activations, as_positions, coreset_map, members, project
from workbench.panels.coreset_similarity import Similarity
from workbench.panels.coreset_work import Memory, Stoppable, watched_curve
from workbench.panels.explained import category_options
from workbench.panels.method_controls import defaults
from workbench.panels.parts import Cache, Panel, PictureBox, PointBox, column
from workbench.panels.parts.panel import drawing
from workbench.panels.unit_profile import is_prepared
from workbench.store import ActivationStore
from workbench.view.coreset import nearest_point
from workbench.view.coreset_curve import enough_in_words
from workbench.view.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workbench.interpret import Activations
    from workbench.panels.parts.panel import Report
    from workbench.view import Picture

SPLITS, RANDOM_DRAWS = 6, 3  # fewer splits could give no p-value below 0.05
HINT = "Click a point to see which image it is, and what is found for its category."
PARTS_HINT = "Click a point to see which image it is. A dissection knows parts, not categories: choose a part below."


@dataclass(frozen=True)
class CoresetRequest:
    """What a :class:`CoresetState` asks for, but for the curve.

    Attributes:
        layer: whose pooled features are read.
        pool: which of them.
        projection: how they come into the plane.
        selector: registered name.
        parameters: of the selector, as JSON.
        fraction: share of the images.
        within: ``"category"`` or ``"all"``.
        seed: of the selector.
        category: whose units are set side by side, or "".
    """

    layer: str
    pool: Any
    projection: Any
    selector: str
    parameters: str
    fraction: float
    within: str
    seed: int
    category: str

    @property
    def choice(self) -> tuple[Any, ...]:
        """What the coreset depends on."""
        return (self.layer, self.pool, self.selector, self.parameters, self.fraction, self.within, self.seed)

    @property
    def curve(self) -> tuple[Any, ...]:
        """What the curve depends on."""
        return (self.layer, self.pool, self.selector, self.seed)


class CoresetPanel(Panel[CoresetState, CoresetRequest]):
    """Choose a few images that stand for all, and see what is lost.

    Args:
        data: an activation store, its path, other activations, or features (image, unit).
        images: the images that these are of, for pictures; anything that :func:`workbench.data.as_source` takes, or
            the floating tensor that was network input.
        labels: categories of the images: ``"predicted"``, ``"true"`` (both need a store) or (image) integers, -1 for
            none. Where omitted, what the network predicts; no categories for features.
        categories: their names, for features.
        layer: the layer to begin with; the first of the store where omitted.
        method: the interpretation that coresets are judged by: a name as
            :func:`~workbench.interpret.coreset.subject` takes it, or a subject that was prepared before, as rules and
            dissection need it, with their heatmaps or masks. Relevant units and rules set the units of a category side
            by side, concepts each concept with its match, and dissection the units of a part.
        curve: a finished curve to show, as :func:`~workbench.interpret.coreset.coreset_curve` gives it; one is computed
            on demand where omitted.
        positions: (image, axis) two numbers an image, to be shown in place of a projection.

    Raises:
        InputError: labels that are not known, or a Dataset that is no curve.
        UnknownNameError: no such layer.
        ShapeError: other numbers of labels or positions than of images.
        MissingFileError, StoreError: the store cannot be opened.

    >>> panel = CoresetPanel(store, images)            # doctest: +SKIP
    >>> panel.state.selector = "herding"               # doctest: +SKIP
    >>> panel.state.category = "house"                 # doctest: +SKIP
    >>> float(panel.result["similarity"])              # doctest: +SKIP
    """

    heading = "How few images are enough?"
    file_name = "coreset"
    drawing_traits = frozenset({"opacity"})
    other_traits = frozenset({"curve"})
    picture_box: PointBox

    def __init__(
        self,
        data: Activations | xr.DataArray | str | Path,
        images: Any = None,
        *,
        labels: Any = None,
        categories: Sequence[str] = (),
        layer: str | None = None,
        method: str | Subject = "relevant_units",
        curve: xr.Dataset | None = None,
        positions: Any = None,
    ) -> None:
        featured = isinstance(data, xr.DataArray)
        self.data: Activations = _opened(data, labels, categories)
        self.images = images if images is None or is_prepared(images) else as_source(images)
        self.labels = "predicted" if labels is None and not featured else labels
        self.method = method
        self._parts = () if isinstance(method, str) else method.parts
        self._named = method if isinstance(method, str) else method.name
        if curve is not None:
            view.coreset_curve(curve)  # what is no curve is refused now, not when somebody looks
        self._member, self._names = members(self.data, self.labels)
        self._own = None if positions is None else as_positions(positions, len(self.data.identifiers))
        self._readable = Stoppable(self.data)
        self._features: Cache[xr.DataArray] = Cache(4)
        self._planes: Cache[xr.DataArray] = Cache(8)
        self._coresets: Cache[Coreset] = Cache(64)
        self._subjects: Cache[Subject] = Cache(4)
        self._memories: Cache[Memory] = Cache(4)
        self._curves: Cache[xr.Dataset] = Cache(64)
        self.units_box = PictureBox()
        self.similarity = Similarity(self._compute_curve, self._draw_curve, self._say_of_curve, curve)
        super().__init__(self._first_state(positions is not None))
        if layer is not None:
            self.state.layer = layer
        self.state.curve = curve is not None
        self.controls = CoresetControls(self.state, found="Concepts" if self._named == "concepts" else "Units")
        self._lay_out()

    @property
    def coreset(self) -> Coreset:
        """The coreset that the panel shows, to be extracted or to be handed to a method."""
        return self._chosen(self.request())

    @property
    def curve(self) -> xr.Dataset | None:
        """The similarity curve; None where none is asked for. Waits until it is computed.

        Raises:
            Exception: what went wrong, where no curve could be computed.
        """
        self.start()
        self.wait()
        if not self.state.curve:
            return None
        if self.similarity.error is not None:
            raise self.similarity.error
        return self.similarity.curve

    def request(self) -> CoresetRequest:
        """What the state asks for."""
        state = self.state
        return CoresetRequest(
            state.layer, state.pool, state.projection, state.selector, json.dumps(state.parameters, sort_keys=True),
            state.fraction, state.within, state.seed, state.category,
        )  # fmt: skip

    def compute(self, request: CoresetRequest, *, stop: Callable[[], bool], report: Report) -> xr.Dataset:
        """Choose, and where a category is asked for, interpret; see :meth:`Panel.compute`."""
        with self._readable.asking(stop):
            report(0.1, f"Reading the features of {request.layer}", None)
            plane = self._plane(request)
            report(0.4, f"Choosing with {request.selector}", None)
            coreset = self._chosen(request)
            result = coreset_map(self.data, coreset, labels=self.labels, positions=plane)
            category = self.category_number(request.category)
            if category is None:
                return result
            report(0.6, "Interpreting all images, and the coreset", result)
            units = self._units(request, coreset, category, stop)
        return result.merge(units, combine_attrs="override").assign_attrs({**result.attrs, **units.attrs})

    def _units(self, request: CoresetRequest, coreset: Coreset, category: int, stop: Callable[[], bool]) -> xr.Dataset:
        prepared = self._subject(request.layer)
        known = self._memories.get(request.layer, Memory).around(prepared, stop=stop, told=lambda: None)
        whole, few = both(known, coreset)
        return describe_units(
            self.data, coreset, whole, few, category, interpretation=prepared, member=self._member, names=self._names,
            layer=request.layer, images=self.images,
        )  # fmt: skip

    def draw(self, result: xr.Dataset) -> Picture:
        """All images in the plane, the chosen ones brought out."""
        brought_out = None if self._parts else self.category_number(self.state.category)
        return view.coreset_map(result, category=brought_out)

    def reproduce(self, request: CoresetRequest) -> str:
        """Code that computes and draws the same, given what the panel was given."""
        return written(self, request, splits=SPLITS, random_draws=RANDOM_DRAWS)

    def computed(self, result: xr.Dataset) -> None:
        """Say how many images are chosen."""
        self.controls.fraction.hint = f"{int(result['chosen'].sum()):,} of {result.sizes[IMAGE]:,} images"

    def shown(self, result: xr.Dataset) -> None:
        """Draw the units of the category, where one is asked for."""
        if "similarity" not in result:
            self.units_box.source = ""
            return
        with drawing:
            self.units_box.show(view.coreset_units(result, opacity=round(self.state.opacity, 3)))

    def make_picture_box(self) -> PointBox:
        """What shows the points, and lets one click them."""
        return PointBox(self.point, hint=PARTS_HINT if self._parts else HINT)

    def point(self, across: float, down: float) -> None:
        """Say which image lies nearest to a place on the picture, and show what is found for its category.

        Args:
            across: from the left, as a share of the width.
            down: from the top, as a share of the height.
        """
        result, picture = self._result, self._picture
        if result is None or picture is None:
            return
        with drawing:
            found = nearest_point(picture, result["position"].values, across, down)
        if found < 0:
            self.picture_box.said = ""
            return
        member, stands_for = int(self._member[found]), float(result["stands_for"][found])
        called = f", {self._names[member]}" if member >= 0 else ""
        chosen = f"chosen; it stands for {number(stands_for)} images" if stands_for else "not chosen"
        if member >= 0 and not self._parts:
            self.state.category = self._values[member]
        self.picture_box.said = f"{result[IMAGE].values[found]}{called}: {chosen}."

    def category_number(self, category: str) -> int | None:
        """The index of a category, or of a part, as the state names it.

        Args:
            category: its name, its number where names are not unique, or "".

        Returns:
            The index; None for "".
        """
        return category_number(category, self._parts or self._names) if category else None

    def subject_options(self, layer: str) -> dict[str, Any]:
        """What the interpretation method is prepared with, besides store and labels.

        Args:
            layer: name of the layer.

        Returns:
            Keyword arguments of :func:`~workbench.interpret.coreset.subject`.
        """
        return {"layers": [layer]} if self.method == "relevant_units" else {"layer": layer}

    # What a person does with a panel, from code.

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is computed and drawn, the curve too; see :meth:`Panel.wait`."""
        return super().wait(timeout) and self.similarity.wait(timeout)

    def stop(self) -> None:
        """Stop the work in progress, that on the curve too; what is known so far stays."""
        super().stop()
        self.similarity.stop()

    def refresh(self) -> None:
        """Compute what the state asks for; what is being computed is cancelled."""
        super().refresh()
        self._follow_curve()

    def _forget_point(self, change: Any) -> None:
        """What was said of a point may not hold for another choice, and is not about another category."""
        if change["name"] not in self.drawing_traits | self.other_traits:
            self.picture_box.said = ""

    # The choice.

    def _plane(self, request: CoresetRequest) -> xr.DataArray:
        if request.projection == GIVEN and self._own is not None:
            return self._own
        key = (request.layer, request.pool, request.projection)
        return self._planes.get(
            key,
            lambda: project(
                self._pooled(request), method=request.projection, category=self._member if self._names else None
            ),
        )

    def _pooled(self, request: CoresetRequest) -> xr.DataArray:
        return self._features.get(
            (request.layer, request.pool),
            lambda: pooled_features(self._readable, layer=request.layer, pool=request.pool),
        )

    def _seen(self, request: CoresetRequest) -> xr.DataArray:
        """What the selector sees: pooled features, or what the method reads where the selector asks for that."""
        if request.selector == TARGET_AWARE and self._names:
            reading = self._subject(request.layer).reading
            if reading is not None:
                return self._features.get((request.layer, TARGET_AWARE), reading)
        return self._pooled(request)

    def _chosen(self, request: CoresetRequest) -> Coreset:
        return self._coresets.get(request.choice, lambda: self._choose(request))

    def _choose(self, request: CoresetRequest) -> Coreset:
        found = choose(
            self._seen(request), selector=request.selector, fraction=request.fraction,
            labels=None if request.within == ALL else self._member, seed=request.seed, **json.loads(request.parameters),
        )  # fmt: skip
        if request.within == ALL or not isinstance(self.labels, str):
            return found
        return replace(found, parameters={**found.parameters, "within": self.labels})  # what a store would have said

    def _subject(self, layer: str) -> Subject:
        if isinstance(self.method, Subject):
            return self.method
        if not self._names:
            raise InputError("No image has a category, so no unit can be relevant for one. Give the panel labels=.")
        name = self.method
        return self._subjects.get(
            layer, lambda: subject(name, self._readable, labels=self.labels, **self.subject_options(layer))
        )

    # The curve.

    def _compute_curve(
        self,
        question: tuple[Any, ...],
        stop: Callable[[], bool],
        told: Callable[[float, float | None], None],
    ) -> xr.Dataset:
        """Runs on a thread of its own."""
        layer, pool, selector, seed = question
        with self._readable.asking(stop):
            return self._curves.get(
                question,
                lambda: watched_curve(
                    self._subject(layer), self._readable, selector, layer=layer, pool=pool, seed=seed, splits=SPLITS,
                    random_draws=RANDOM_DRAWS, memory=self._memories.get(layer, Memory), stop=stop, told=told,
                ),
            )  # fmt: skip

    def _draw_curve(self, curve: xr.Dataset) -> Picture:
        selector = self.state.selector
        held = selector in curve["selector"].values
        return view.coreset_curve(curve, selector=selector if held else None, fraction=self.state.fraction)

    def _say_of_curve(self, curve: xr.Dataset) -> str:
        state = self.state
        if state.selector not in curve["selector"].values:
            return f"The curve that the panel was given does not hold {state.selector}."
        said = enough_in_words(curve, state.selector)
        usual = state.parameters == defaults(state.card)
        return said if usual else f"{said} The parameters are those that {state.selector} has by default."

    def _follow_curve(self, change: Any = None) -> None:
        """Compute, draw or hide the curve, as the state asks for."""
        if self._started and change:
            self.actions.code = self.code()
        if not self.state.curve:
            self.similarity.hide()
        elif self._started:
            self.similarity.show(self.request().curve, again=bool(change) and change["name"] == "curve")

    def _fail(self, error: BaseException) -> None:
        super()._fail(error)
        self.units_box.source = ""

    # Laying out.

    def _first_state(self, positioned: bool) -> CoresetState:
        present = [int(each) for each in np.unique(self._member) if each >= 0]
        self._values, texts = category_options(self._names)
        counts = np.bincount(self._member[self._member >= 0], minlength=len(self._names))
        return CoresetState(
            layers=_layers_with_units(self.data),
            categories={self._values[each]: f"{texts[each]} ({counts[each]:,})" for each in present},
            projections=["pca", *(["means"] if len(present) > 2 else []), *([GIVEN] if positioned else [])],
            parts={part: part for part in self._parts},
        )

    def _lay_out(self) -> None:
        controls = self.controls
        self.assemble(
            controls.columns,
            [controls.opacity],
            below=[
                controls.category,
                self.units_box,
                column([controls.curve, self.similarity.widget], "group"),
            ],
        )
        self.state.observe(self._forget_point)
        self.state.observe(self._follow_curve, ["curve", "layer", "pool", "selector", "seed", "fraction", "parameters"])
        self._follow_curve()


def _opened(data: Any, labels: Any, categories: Sequence[str]) -> Activations:
    if isinstance(data, str | Path):
        return ActivationStore.open(data)
    return as_activations(data, labels=labels, categories=categories) if isinstance(data, xr.DataArray) else data


def _layers_with_units(data: Activations) -> list[str]:
    layers = list(data.layers)
    if isinstance(data, ActivationStore):
        layers = [layer for layer in layers if data.plan.layer(layer).has_units]
        if not layers:
            raise InputError(f"No layer of {data.path} has units. Extract one that is convolutional or linear.")
    return layers
