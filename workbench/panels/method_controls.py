"""Controls for the parameters of a method, built from its card in the registry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from workbench.errors import InputError, unknown_name
from workbench.panels.parts import Choice, Range, Toggle, column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workbench.models import ImageModel
    from workbench.registry import Card

AUTOMATIC = "automatic"


def defaults(card: Card) -> dict[str, Any]:
    """The parameters of a card at their defaults."""
    return {name: entry[1] for name, entry in card.parameters.items()}


def checked(card: Card, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a card: those given, the others at their defaults.

    Args:
        card: of the method.
        parameters: parameter names to values.

    Returns:
        Every parameter of the card.

    Raises:
        UnknownNameError: a parameter that the card does not have.
        InputError: a value that the card does not offer.
    """
    for name, value in parameters.items():
        if name not in card.parameters:
            raise unknown_name(f"parameter of {card.name}", name, card.parameters)
        kind, default, *limits = card.parameters[name]
        if value == default:
            continue
        if kind == "choice" and value not in limits[0]:
            raise unknown_name(f"{name} of {card.name}", value, limits[0])
        if kind in ("int", "float") and not limits[0] <= value <= limits[1]:
            raise InputError(f"{name} of {card.name} is {value!r}; expected {limits[0]} to {limits[1]}.")
    return {**defaults(card), **parameters}


def has_layers(card: Card) -> bool:
    """Whether a parameter of the card names a layer of the model."""
    return any(entry[0] == "layer" for entry in card.parameters.values())


def map_layers(model: ImageModel) -> list[str]:
    """The layers of a model that give maps, (unit, y, x) an image; none where its input size is not known."""
    if model.preprocessing.size is None:
        return []
    return [name for name, shape in model.layers.items() if len(shape) == 3]


class MethodControls:
    """One control a parameter of the method that is shown.

    Args:
        changed: called with all parameters when a person changes one.
        mark: follows the name of each parameter, where another method has parameters of the same names.

    Attributes:
        widget: the controls, one below the other.
        controls: parameter name to control.
    """

    def __init__(self, changed: Callable[[dict[str, Any]], None], *, mark: str = "") -> None:
        self._changed, self._mark = changed, mark
        self._card: Card | None = None
        self._quiet = False
        self.controls: dict[str, Any] = {}
        self.widget = column([], "controls")

    def show(self, card: Card, parameters: Mapping[str, Any], layers: Sequence[str] = ()) -> None:
        """Show the controls of a method, set to ``parameters``.

        Args:
            card: of the method.
            parameters: all its parameters.
            layers: what a parameter of the kind ``"layer"`` offers.
        """
        self._quiet = True
        try:
            if card is not self._card:
                self._card = card
                self.controls = {
                    name: make(name, entry, layers, mark=self._mark) for name, entry in card.parameters.items()
                }
                self.widget.children = tuple(self.controls.values())
                for control in self.controls.values():
                    control.observe(self._collect, "value")
            for name, control in self.controls.items():
                _set(control, card.parameters[name], parameters[name], layers)
        finally:
            self._quiet = False

    def _collect(self, _: Any) -> None:
        if not self._quiet and self._card is not None:
            entries = self._card.parameters
            self._changed({name: _value(control, entries[name]) for name, control in self.controls.items()})


def make(name: str, entry: tuple[Any, ...], layers: Sequence[str] = (), *, mark: str = "") -> Any:
    """The control for one parameter.

    Args:
        name: of the parameter.
        entry: from the card: kind, default, and limits or choices.
        layers: what the kind ``"layer"`` offers.
        mark: follows the label.

    Returns:
        The control.

    Raises:
        InputError: a kind that no control is known for.
    """
    kind, default, *limits = entry
    label = name.replace("_", " ").capitalize() + mark
    match kind:
        case "int":
            low, high = limits
            lowest = AUTOMATIC if default is None else ""
            return Range(label=label, min=low - (default is None), max=high, step=1, lowest=lowest)
        case "float":
            low, high = limits
            step = 10.0 ** math.floor(math.log10((high - low) / 20))
            lowest = AUTOMATIC if default is None else ""
            return Range(label=label, min=low - step * (default is None), max=high, step=step, lowest=lowest)
        case "bool":
            return Toggle(label=label)
        case "choice":
            control = Choice(label=label)
            control.offer([str(choice) for choice in limits[0]])
            return control
        case "layer":
            control = Choice(label=label)
            _offer_layers(control, default, layers)
            return control
    raise InputError(f"The card gives parameter {name!r} the kind {kind!r}; known are int, float, bool, choice, layer.")


def _offer_layers(control: Choice, default: Any, layers: Sequence[str]) -> None:
    automatic = [] if default is not None else [""]
    control.offer([*automatic, *layers], [*[AUTOMATIC for _ in automatic], *layers])


def _set(control: Any, entry: tuple[Any, ...], value: Any, layers: Sequence[str]) -> None:
    kind, default, *_ = entry
    if kind == "layer":
        _offer_layers(control, default, layers)
    if kind in ("int", "float"):
        control.value = control.min if value is None else float(value)
    elif kind == "bool":
        control.value = bool(value)
    else:
        control.value = "" if value is None else str(value)


def _value(control: Any, entry: tuple[Any, ...]) -> Any:
    kind, default, *limits = entry
    if kind in ("int", "float"):
        if default is None and control.value == control.min:
            return None
        return round(control.value) if kind == "int" else float(control.value)
    if kind == "bool":
        return control.value
    if kind == "layer":
        return control.value or None
    return next(choice for choice in limits[0] if str(choice) == control.value)
