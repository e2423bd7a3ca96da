"""What can be set in a protocol panel, and the controls that set it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, HasTraits, Int, Unicode, observe, validate

from workbench.errors import InputError, unknown_name
from workbench.evaluate import Binariser, as_binariser, binarisers
from workbench.panels.parts import Choice, Range, Toggle, group
from workbench.panels.protocol_cell import ORDERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FRACTION = "fraction"
MOST_IMAGES = 24
ORDER_TEXTS = {"lowest": "lowest overlap first", "highest": "highest overlap first", "listed": "as listed"}


def parameter_of(binariser: str) -> tuple[str, float, float, float] | None:
    """The one number that a binariser takes, with its default and its ends; None where it takes none."""
    for name, (_, default, low, high) in binarisers[binariser].card.parameters.items():
        return name, float(default), float(low), float(high)
    return None


class ProtocolState(HasTraits):
    """What can be set in a :class:`ProtocolPanel`, by a person or from code; a value that cannot be is refused.

    Attributes:
        method: of the cell that is looked at, as the table names it.
        metric: likewise; the panel then takes the binariser that the metric has of its own, where it has one.
        model: likewise.
        data: likewise.
        seed: one of the table's, of the maps that are drawn.
        sort: the metric that methods are sorted by, or "" for their names.
        best_first: whether the best stand above, whichever way the metric points; of names, A above.
        binariser: how maps are cut, a registered name.
        threshold: its number, such as the fraction of the maximum; the default is set with the binariser.
        order: which images are shown: ``"lowest"`` or ``"highest"`` overlap first, or as ``"listed"``.
        count: how many, from 1 to 24.
        pairs: whether the table of pairs of methods that differ is shown.
        opacity: of the maps over the pictures, from 0 to 1.
    """

    method = Unicode()
    metric = Unicode()
    model = Unicode()
    data = Unicode()
    seed = Int()
    sort = Unicode("")
    best_first = Bool(True)
    binariser = Unicode("otsu")
    threshold = Float(0.5)
    order = Unicode("lowest")
    count = Int(6, min=1, max=MOST_IMAGES)
    pairs = Bool(False)
    opacity = Float(0.65, min=0, max=1)

    def __init__(self, *, names: Mapping[str, Sequence[str]], seeds: Sequence[int], own: Mapping[str, str]) -> None:
        self.names = {kind: list(known) for kind, known in names.items()}
        self.seeds, self._own = list(seeds), dict(own)
        super().__init__(
            model=self.names["model"][0], data=self.names["data"][0], seed=self.seeds[0],
            method=self.names["method"][0], metric=self.names["metric"][0],
        )  # fmt: skip
        self._take_own(self.metric)

    @property
    def cut(self) -> Binariser:
        """The binariser with its number."""
        found = parameter_of(self.binariser)
        return Binariser(self.binariser, () if found is None else ((found[0], round(self.threshold, 6)),))

    @validate("method", "metric", "model", "data")
    def _known(self, proposal: Any) -> str:
        kind = proposal["trait"].name
        if proposal["value"] not in self.names[kind]:
            raise unknown_name(kind, proposal["value"], self.names[kind])
        return str(proposal["value"])

    @validate("sort")
    def _known_column(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *self.names["metric"]):
            raise unknown_name("metric", proposal["value"], self.names["metric"], hint="'' sorts by name.")
        return str(proposal["value"])

    @validate("seed")
    def _known_seed(self, proposal: Any) -> int:
        if proposal["value"] not in self.seeds:
            raise unknown_name("seed", proposal["value"], map(str, self.seeds))
        return int(proposal["value"])

    @validate("binariser")
    def _known_binariser(self, proposal: Any) -> str:
        return binarisers[proposal["value"]].card.name

    @validate("threshold")
    def _possible(self, proposal: Any) -> float:
        found = parameter_of(self.binariser)
        if found is None:
            return float(proposal["value"])
        name, _, low, high = found
        if not low <= proposal["value"] <= high:
            raise InputError(
                f"threshold is {proposal['value']}; {name} of {self.binariser!r} lies from {low:g} to {high:g}."
            )
        return float(proposal["value"])

    @validate("order")
    def _known_order(self, proposal: Any) -> str:
        if proposal["value"] not in ORDERS:
            raise unknown_name("order", proposal["value"], ORDERS)
        return str(proposal["value"])

    @observe("binariser")
    def _default(self, change: Any) -> None:
        found = parameter_of(change["new"])
        if found is not None:
            self.threshold = found[1]

    @observe("metric")
    def _follow_metric(self, change: Any) -> None:
        self._take_own(change["new"])

    def _take_own(self, metric: str) -> None:
        """Cut as the metric does, so that the images are those behind its number."""
        text = self._own.get(metric, "")
        if not text:
            return
        own = as_binariser(text)
        self.binariser = own.name
        for _, value in own.parameters:
            self.threshold = value


class ProtocolControls:
    """The controls of a :class:`ProtocolPanel`, in step with its state.

    Args:
        state: the state.

    Attributes:
        columns: what decides the images, in groups.
        threshold: the slider.
        pairs: whether pairs are shown.
        look: what decides only how images are drawn.
    """

    def __init__(self, state: ProtocolState) -> None:
        self._state = state
        texts = {name: binarisers[name].card.title for name in binarisers}
        self.model = _menu("Model", {name: name for name in state.names["model"]})
        self.data = _menu("Data", {name: name for name in state.names["data"]})
        self.seed = _menu("Seed", {str(seed): str(seed) for seed in state.seeds})
        self.binariser = _menu("Binariser", texts)
        self.threshold = Range(label="Threshold")
        self.order = _menu("Images", ORDER_TEXTS)
        self.count = Range(label="How many", min=1, max=MOST_IMAGES, step=1)
        self.pairs = Toggle(label="Which pairs of methods differ")
        self.opacity = Range(label="Opacity of maps", min=0, max=1, step=0.05)
        self.columns = [
            group([self.model, self.data, self.seed]),
            group([self.binariser, self.threshold]),
            group([self.order, self.count]),
        ]
        if not any(len(menu.options) > 1 for menu in (self.model, self.data, self.seed)):
            self.columns[0].layout.display = "none"
        self.look = [self.opacity]
        self._links = {
            "model": self.model, "data": self.data, "binariser": self.binariser, "order": self.order,
            "count": self.count, "pairs": self.pairs, "opacity": self.opacity,
        }  # fmt: skip
        for trait, control in self._links.items():
            kind = int if trait == "count" else lambda value: value
            control.observe(lambda change, trait=trait, kind=kind: setattr(state, trait, kind(change["new"])), "value")
        self.seed.observe(lambda change: setattr(state, "seed", int(change["new"])), "value")
        self.threshold.observe(self._moved, "value")
        state.observe(self._follow)
        self._follow()

    def _moved(self, change: Any) -> None:
        state = self._state
        if math.isclose(change["new"], self._shown(), abs_tol=1e-9):
            return  # the slider only rounds what code has set
        if parameter_of(state.binariser) is None:
            state.binariser = FRACTION
        state.threshold = round(change["new"], 6)

    def _shown(self) -> float:
        """Where the slider stands; in the middle for a binariser that finds its own threshold."""
        found = parameter_of(self._state.binariser)
        value = 0.5 if found is None else self._state.threshold
        _, _, low, high = found or parameter_of(FRACTION) or ("", 0.5, 0.0, 1.0)
        step = self.threshold.step
        return min(max(low + round((value - low) / step) * step, low), high)

    def _follow(self, _: Any = None) -> None:
        """Bring the controls in step with the state."""
        state = self._state
        for trait, control in self._links.items():
            control.value = getattr(state, trait)
        self.seed.value = str(state.seed)
        found = parameter_of(state.binariser)
        name, _, low, high = found or parameter_of(FRACTION) or ("", 0.5, 0.0, 1.0)
        title = binarisers[state.binariser].card.title
        with self.threshold.hold_sync():
            self.threshold.label = "Threshold: found by itself" if found is None else f"Threshold: {name}"
            self.threshold.hint = (
                f"{title} finds its own. Move the slider to cut at a fraction of the maximum." if found is None else ""
            )
            self.threshold.min, self.threshold.max = low, high
            self.threshold.step = min(low or 1.0, 10.0 ** (math.floor(math.log10(high - low) + 0.3) - 2))
            self.threshold.value = self._shown()
        self.binariser.hint = binarisers[state.binariser].card.note


def _menu(label: str, options: Mapping[str, str]) -> Choice:
    menu = Choice(label=label)
    menu.offer(list(options), list(options.values()))
    menu.layout.display = "" if len(options) > 1 else "none"
    return menu
