"""What has this unit learned: the images that make it fire most, over an activation store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, HasTraits, Int, Unicode, validate

from workbench import view
from workbench.data import as_source
from workbench.errors import InputError, unknown_name
from workbench.panels.explained import category_options
from workbench.panels.parts import Cache, Choice, Panel, Range, Stepper, Tiles, Toggle, group
from workbench.panels.unit_profile import is_prepared, of_category, rank_units, unit_profile
from workbench.panels.words import as_python
from workbench.store import ActivationStore
from workbench.view.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import xarray as xr

    from workbench.panels.parts.panel import Report
    from workbench.view import Picture

NONE = ""
FOUND = 8  # units that a search names
MOST_IMAGES = 24


@dataclass(frozen=True)
class UnitRequest:
    """What a :class:`UnitState` asks for.

    Attributes:
        layer: name of the layer.
        unit: index of the unit.
        count: number of images.
        category: marked in the histogram and searched for, or "".
    """

    layer: str
    unit: int
    count: int
    category: str


class UnitState(HasTraits):
    """What can be set in a :class:`UnitPanel`, by a person or from code; a value that cannot be is refused.

    Attributes:
        layer: name of a layer of the store.
        unit: index of a unit of it.
        count: number of images, from 1 to 24.
        category: category whose images are marked, and for which units are searched; "" for none.
        opacity: of the maps over the pictures, from 0 to 1.
        contour: per cent of each picture to outline, where the unit fires most; 0 for no outline.
        smooth: blend the cells of the maps.
    """

    layer = Unicode()
    unit = Int(0)
    count = Int(8, min=1, max=MOST_IMAGES)
    category = Unicode(NONE)
    opacity = Float(0.7, min=0, max=1)
    contour = Float(0.0, min=0, max=50)
    smooth = Bool(False)

    def __init__(self, *, units: Mapping[str, int], categories: tuple[str, ...]) -> None:
        self.units, self._categories = units, categories
        super().__init__(layer=next(iter(units)))

    @validate("layer")
    def _known_layer(self, proposal: Any) -> str:
        if proposal["value"] not in self.units:
            raise unknown_name("layer", proposal["value"], self.units, hint="The store holds these layers only.")
        return str(proposal["value"])

    @validate("unit")
    def _known_unit(self, proposal: Any) -> int:
        count = self.units[self.layer]
        if not 0 <= proposal["value"] < count:
            raise InputError(f"unit is {proposal['value']}; layer {self.layer!r} has {count}, numbered from 0.")
        return int(proposal["value"])

    @validate("category")
    def _known_category(self, proposal: Any) -> str:
        if proposal["value"] != NONE and proposal["value"] not in self._categories:
            raise unknown_name("category", proposal["value"], self._categories)
        return str(proposal["value"])


class UnitPanel(Panel[UnitState, UnitRequest]):
    """Look at units one after the other, and find those that fire most for a category.

    Args:
        store: opened activations, or the path of a store.
        images: the images that the store was made of; anything that :func:`workbench.data.as_source` takes, or the
            floating tensor (image, channel, y, x) that was network input.
        layer: the layer to begin with; the first of the store where omitted.

    Raises:
        InputError: no layer of the store has units.
        UnknownNameError: no such layer.
        MissingFileError, StoreError: the store cannot be opened.

    >>> panel = UnitPanel(store, images)       # doctest: +SKIP
    >>> panel.state.layer = "layer3"           # doctest: +SKIP
    >>> panel.result["maps"]                   # doctest: +SKIP
    """

    heading = "What does this unit respond to?"
    file_name = "unit"
    drawing_traits = frozenset({"opacity", "contour", "smooth"})
    layer_choice: Choice
    unit_stepper: Stepper
    category_choice: Choice
    found_tiles: Tiles
    count_range: Range
    opacity_range: Range
    contour_range: Range
    smooth_toggle: Toggle

    def __init__(self, store: ActivationStore | str | Path, images: Any, *, layer: str | None = None) -> None:
        self.store = store if isinstance(store, ActivationStore) else ActivationStore.open(store)
        self.images = images if is_prepared(images) else as_source(images)
        plans = {name: self.store.plan.layer(name) for name in self.store.layers}
        units = {name: plan.units for name, plan in plans.items() if plan.has_units}
        if not units:
            raise InputError(f"No layer of {self.store.path} has units. Extract one that is convolutional or linear.")
        labelled = self.store.labels is not None
        categories = self.store.label_categories if labelled else self.store.categories
        self._profiles: Cache[xr.Dataset] = Cache(64)
        self._found: list[int] = []
        self._rankings: Cache[xr.DataArray] = Cache(64)
        super().__init__(UnitState(units=units, categories=categories))
        if layer is not None:
            self.state.layer = layer
        self._make_controls(categories, "label" if labelled else "prediction")
        self.state.observe(self._follow_state)
        self._follow_state()
        self.assemble(
            [
                group([self.layer_choice, self.unit_stepper]),
                group([self.category_choice, self.found_tiles]),
            ],
            [self.opacity_range, self.contour_range, self.count_range, self.smooth_toggle],
        )

    def request(self) -> UnitRequest:
        """What the state asks for."""
        state = self.state
        return UnitRequest(state.layer, state.unit, state.count, state.category)

    def compute(self, request: UnitRequest, *, stop: Callable[[], bool], report: Report) -> xr.Dataset:
        """Read the unit's images and maps, and rank units where a category is chosen; see :meth:`Panel.compute`."""
        report(0.1, f"Reading unit {request.unit} of {request.layer}", None)
        key = (request.layer, request.unit, request.count)
        profile = self._profiles.get(
            key,
            lambda: unit_profile(self.store, self.images, layer=request.layer, unit=request.unit, count=request.count),
        )
        if not request.category:
            return profile
        report(0.5, f"Searching {request.layer} for units that fire for {request.category}", profile)
        ranking = self._rankings.get(
            (request.layer, request.category),
            lambda: rank_units(self.store, layer=request.layer, category=request.category, stop=stop),
        )[:FOUND]
        marked = profile.assign(
            chosen=("image", of_category(self.store, request.category)),
            selectivity=("found", ranking.values),
        )
        return marked.assign_coords(found=ranking["unit"].values).assign_attrs(category=request.category)

    def draw(self, result: xr.Dataset) -> Picture:
        """The unit's top images with its map over each, and the histogram of its activations."""
        return view.unit_profile(result, **self._drawing_options())

    def reproduce(self, request: UnitRequest) -> str:
        """Code that computes and draws the same, given the variable ``images``."""
        wanted = {"layer": request.layer, "unit": request.unit, "count": request.count}
        if request.category:
            wanted["category"] = request.category
        options = {key: value for key, value in self._drawing_options().items() if value is not None}
        lines = [
            "from workbench import ActivationStore, panels, view",
            "",
            f"store = ActivationStore.open({self.store.path!r})",
            "# `images` are those that the panel was given",
            f"profile = panels.unit_profile(store, images{as_python(wanted)})",
            f"display(view.unit_profile(profile{as_python(options)}))",
        ]
        if request.category:
            searched = {"layer": request.layer, "category": request.category}
            lines.append(f"display(panels.rank_units(store{as_python(searched)})[:{FOUND}])")
        return "\n".join(lines) + "\n"

    def computed(self, result: xr.Dataset) -> None:
        """Show the units that were found."""
        units = [int(unit) for unit in result["found"].values] if "found" in result.coords else []
        scores = [float(score) for score in result["selectivity"].values] if units else []
        with self.found_tiles.hold_sync():
            self.found_tiles.names = [f"{unit} ({number(s)} sd)" for unit, s in zip(units, scores, strict=True)]
            self.found_tiles.value = units.index(self.state.unit) if self.state.unit in units else -1
        self._found = units
        self.found_tiles.layout.display = "" if units else "none"

    def _drawing_options(self) -> dict[str, Any]:
        state = self.state
        return {
            "opacity": round(state.opacity, 3),
            "contour": round(state.contour / 100, 4) or None,
            "interpolation": "bilinear" if state.smooth else "nearest",
        }

    def _make_controls(self, categories: tuple[str, ...], by: str) -> None:
        state = self.state
        self.layer_choice = Choice(label="Layer", value=state.layer)
        self.layer_choice.offer(list(state.units))
        self.unit_stepper = Stepper(label="Unit", hint="Arrow keys: next and previous; page keys: ten at a time.")
        self.category_choice = Choice(label="Find units for", hint=f"Images are assigned by {by}.")
        values, texts = category_options(list(dict.fromkeys(categories)))
        self.category_choice.offer([NONE, *values], ["no category", *texts])
        self.found_tiles = Tiles(label="Units that fire more for it (standard deviations)")
        self.found_tiles.layout.display = "none"
        self.count_range = Range(label="Images", min=1, max=MOST_IMAGES, step=1)
        self.opacity_range = Range(label="Opacity", min=0, max=1, step=0.05)
        self.contour_range = Range(label="Outline the highest", min=0, max=50, step=1, unit="%", lowest="none")
        self.smooth_toggle = Toggle(label="Blend the cells of the maps")
        self._links = {
            "layer": self.layer_choice, "unit": self.unit_stepper, "count": self.count_range,
            "category": self.category_choice, "opacity": self.opacity_range, "contour": self.contour_range,
            "smooth": self.smooth_toggle,
        }  # fmt: skip
        for trait, control in self._links.items():
            kind = int if trait == "count" else lambda value: value
            control.observe(lambda change, trait=trait, kind=kind: setattr(state, trait, kind(change["new"])), "value")
        self.found_tiles.observe(self._found_chosen, "value")

    def _found_chosen(self, change: Any) -> None:
        if 0 <= change["new"] < len(self._found):
            self.state.unit = self._found[change["new"]]

    def _follow_state(self, change: Any = None) -> None:
        """Bring the controls in step with the state."""
        state = self.state
        last = state.units[state.layer] - 1
        if change and change["name"] == "layer" and state.unit > last:
            state.unit = last
        self.unit_stepper.max = last
        for trait, control in self._links.items():
            control.value = getattr(state, trait)
