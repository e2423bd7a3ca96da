"""What can be set in a coreset panel, and the controls that set it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, Float, HasTraits, Int, Unicode, validate

from workbench.errors import InputError, unknown_name
from workbench.interpret.coreset import selectors
from workbench.panels.method_controls import MethodControls, checked, defaults
from workbench.panels.parts import Choice, Range, Stepper, Tiles, Toggle, group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workbench.registry import Card

NONE = ""
GIVEN = "given"
CATEGORY, ALL = "category", "all"
POOLS = {"mean": "mean over positions", "max": "maximum over positions", "both": "means and maxima"}
PROJECTIONS = {
    "pca": "principal components",
    "means": "principal components of the category means",
    GIVEN: "the positions that were given",
}
MOST_TILES = 24  # categories that get a tile each; more are in a menu
MOST_SEEDS = 9999


class CoresetState(HasTraits):
    """What can be set in a :class:`CoresetPanel`, by a person or from code; a value that cannot be is refused.

    Attributes:
        layer: whose pooled features are read.
        pool: ``"mean"``, ``"max"`` or ``"both"`` over positions.
        projection: ``"pca"``, ``"means"`` or, where positions were given, ``"given"``.
        selector: a registered selector.
        parameters: its parameters; those that are left out when it is set get their defaults.
        fraction: share of the images to choose, above 0 and at most 1.
        within: ``"category"``, that share of each, or ``"all"``, over all images.
        seed: of whatever the selector leaves to chance, from 0 to 9999.
        category: whose units are set side by side, by name, or by number where names are not unique; "" for none. A
            part in place of a category where the interpretation is a dissection, which knows no categories.
        curve: whether the similarity curve is computed and shown.
        opacity: of the maps over the pictures, from 0 to 1.
    """

    layer = Unicode()
    pool = Unicode("mean")
    projection = Unicode()
    selector = Unicode("herding")
    parameters = Dict()
    fraction = Float(0.05)
    within = Unicode(CATEGORY)
    seed = Int(0, min=0, max=MOST_SEEDS)
    category = Unicode(NONE)
    curve = Bool(False)
    opacity = Float(0.7, min=0, max=1)

    def __init__(
        self,
        *,
        layers: Sequence[str],
        categories: Mapping[str, str],
        projections: Sequence[str],
        parts: Mapping[str, str] | None = None,
    ) -> None:
        self.layers, self.categories, self.projections = list(layers), dict(categories), list(projections)
        self.parts = dict(parts or {})
        super().__init__(
            layer=self.layers[0],
            within=CATEGORY if categories else ALL,
            projection=GIVEN if GIVEN in projections else self.projections[0],
        )
        self.parameters = defaults(self.card)

    @property
    def rows(self) -> Mapping[str, str]:
        """What units can be set side by side for, and what it is called: parts where there are any, else categories."""
        return self.parts or self.categories

    @property
    def card(self) -> Card:
        """What the selector takes."""
        return selectors[self.selector].card

    @validate("layer", "pool", "projection")
    def _known(self, proposal: Any) -> str:
        name = proposal["trait"].name
        known = {"layer": self.layers, "pool": list(POOLS), "projection": self.projections}[name]
        if proposal["value"] not in known:
            raise unknown_name(name, proposal["value"], known)
        return str(proposal["value"])

    @validate("selector")
    def _known_selector(self, proposal: Any) -> str:
        return selectors[proposal["value"]].card.name

    @validate("parameters")
    def _known_parameters(self, proposal: Any) -> dict[str, Any]:
        return checked(self.card, proposal["value"])

    @validate("fraction")
    def _share(self, proposal: Any) -> float:
        if not 0 < proposal["value"] <= 1:
            raise InputError(f"fraction is {proposal['value']}; expected above 0 and at most 1.")
        return float(proposal["value"])

    @validate("within")
    def _known_within(self, proposal: Any) -> str:
        known = [CATEGORY, ALL] if self.categories else [ALL]
        if proposal["value"] not in known:
            hint = "" if self.categories else "Give the panel labels= to choose within each category."
            raise unknown_name("within", proposal["value"], known, hint=hint)
        return str(proposal["value"])

    @validate("category")
    def _known_category(self, proposal: Any) -> str:
        if proposal["value"] != NONE and proposal["value"] not in self.rows:
            hint = "The interpretation knows parts, not categories." if self.parts else "No image belongs to it."
            raise unknown_name("category", proposal["value"], self.rows, hint=hint)
        return str(proposal["value"])


class CoresetControls:
    """The controls of a :class:`CoresetPanel`, in step with its state.

    Args:
        state: the state.
        found: what the interpretation finds.

    Attributes:
        columns: what decides the result, in groups.
        category: whose units are shown, by tile or, where there are many, by menu.
        curve: whether the curve is shown.
        opacity: of the maps.
        fraction: how many images are chosen.
    """

    def __init__(self, state: CoresetState, *, found: str = "Units") -> None:
        self._state, self._found = state, found
        self.layer = _menu("Layer", {name: name for name in state.layers})
        self.pool = _menu("Features", POOLS)
        self.projection = _menu("In the plane", {name: PROJECTIONS[name] for name in state.projections})
        self.selector = _menu("Selector", {name: method.card.title for name, method in selectors.items()})
        self.parameters = MethodControls(lambda values: setattr(state, "parameters", values))
        self.fraction = Range(label="Images chosen", min=0.5, max=100, step=0.5, unit="%")
        within = {CATEGORY: "within each category", ALL: "over all images"}
        self.within = _menu("Choose", within if state.categories else {ALL: within[ALL]})
        self.seed = Stepper(label="Seed", max=MOST_SEEDS)
        self.curve = Toggle(label="Similarity curve of this selector")
        self.opacity = Range(label="Opacity of maps", min=0, max=1, step=0.05)
        self._values = [NONE, *state.rows]
        self.category = self._category_control()
        self.columns = [
            group([self.selector, self.parameters.widget, self.fraction, self.within, self.seed]),
            group([self.layer, self.pool, self.projection]),
        ]
        self._links = {
            "layer": self.layer, "pool": self.pool, "projection": self.projection, "selector": self.selector,
            "within": self.within, "seed": self.seed, "curve": self.curve, "opacity": self.opacity,
        }  # fmt: skip
        for trait, control in self._links.items():
            control.observe(lambda change, trait=trait: setattr(state, trait, change["new"]), "value")
        self.fraction.observe(self._fraction_moved, "value")
        self.category.observe(self._category_chosen, "value")
        state.observe(self._follow)
        self._follow()

    def _category_control(self) -> Tiles | Choice:
        texts = ["none", *self._state.rows.values()]
        label = (
            f"{self._found} of a {'part' if self._state.parts else 'category'}, with all images and with the coreset"
        )
        if len(texts) > MOST_TILES + 1:
            menu = Choice(label=label)
            menu.offer(self._values, texts)
            return menu
        tiles = Tiles(label=label, names=texts, value=0)
        tiles.layout.display = "" if self._state.rows else "none"
        return tiles

    def _category_chosen(self, change: Any) -> None:
        new = change["new"]
        self._state.category = self._values[new] if isinstance(new, int) else new

    def _fraction_moved(self, change: Any) -> None:
        if abs(change["new"] - self._shown_fraction()) > 1e-9:  # else the slider only rounds what code has set
            self._state.fraction = round(change["new"] / 100, 6)

    def _shown_fraction(self) -> float:
        percent = 100 * self._state.fraction
        return min(max(round(percent / self.fraction.step) * self.fraction.step, self.fraction.min), self.fraction.max)

    def _follow(self, change: Any = None) -> None:
        """Bring the controls in step with the state."""
        state = self._state
        if change and change["name"] == "selector":
            state.parameters = defaults(state.card)
        self.parameters.show(state.card, state.parameters)
        for trait, control in self._links.items():
            control.value = getattr(state, trait)
        self.fraction.value = self._shown_fraction()
        index = self._values.index(state.category)
        self.category.value = index if isinstance(self.category, Tiles) else state.category
        self.selector.hint = state.card.note


def _menu(label: str, options: Mapping[str, str]) -> Choice:
    menu = Choice(label=label)
    menu.offer(list(options), list(options.values()))
    menu.layout.display = "" if len(options) > 1 else "none"
    return menu
