"""What may stand in a protocol: which methods and metrics, with which parameters, and of what kind they are."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from workbench.errors import InputError, unknown_name
from workbench.evaluate.binarise import as_binariser
from workbench.evaluate.registry import metrics
from workbench.explain import explainers
from workbench.interpret import interpreters

if TYPE_CHECKING:
    from workbench.evaluate.protocol.choices import Choice

EXPLANATION, INTERPRETATION = "explanation", "interpretation"
DRAWN = ("relevant_units", "dissect", "concepts", "concept_vectors", "rules")
RANDOM_MAPS, RANDOM_UNITS, CHOSEN_UNITS = "random_maps", "random_units", "chosen_units"
CONTROL_PARAMETERS = {RANDOM_MAPS: (), RANDOM_UNITS: ("share",), CHOSEN_UNITS: ("units",)}
OF_UNITS = ("waiou", "unit_localisation")


def kind_of(method: Choice) -> str:
    """``"explanation"`` or ``"interpretation"``.

    Args:
        method: a method of a protocol.

    Returns:
        Its kind.
    """
    return EXPLANATION if method.name in explainers or method.name == RANDOM_MAPS else INTERPRETATION


def check_method(method: Choice) -> None:
    """Refuse a method that cannot take part, or a parameter that it does not have.

    Args:
        method: the method.

    Raises:
        UnknownNameError: no such method.
        InputError: an unknown parameter, or one that the protocol sets.
    """
    if method.name in CONTROL_PARAMETERS:
        allowed = set(CONTROL_PARAMETERS[method.name])
    elif method.name in explainers:
        known = inspect.signature(explainers[method.name].function).parameters
        allowed = set(known) - {"model", "images", "target", "seed", "progress", "stop"}
    elif method.name in DRAWN:
        known = inspect.signature(interpreters[method.name].function).parameters
        allowed = set(known) - {"store", "masks", "heatmaps", "examples", "head", "layer", "layers", "labels", "seed"}
    else:
        raise unknown_name("method", method.name, [*CONTROL_PARAMETERS, *explainers, *DRAWN])
    _check_parameters("method", method, allowed)


def check_metric(metric: Choice) -> None:
    """Refuse a metric that is not registered, or a parameter that it does not have.

    Args:
        metric: the metric.

    Raises:
        UnknownNameError: no such metric.
        InputError: an unknown parameter, or one that the protocol sets.
    """
    known = inspect.signature(metrics[metric.name].function).parameters
    ours = {"heatmaps", "masks", "part_masks", "model", "images", "explainer", "truth", "label", "target", "seed"}
    ours |= {"progress", "stop", "pool", "shown", "relevance", "link", "objects", "parameters", "other", "training"}
    _check_parameters("metric", metric, set(known) - ours)
    if "binarise" in metric.parameters:
        as_binariser(metric.parameters["binarise"])


def _check_parameters(kind: str, choice: Choice, allowed: set[str]) -> None:
    for name in choice.parameters:
        if name not in allowed:
            raise InputError(
                f"The {kind} {choice.name!r} takes no parameter {name!r} in a protocol; it takes "
                f"{', '.join(sorted(allowed)) or 'none'}. Seeds, targets and masks are the protocol's own."
            )


def listed(name: str, values: Any) -> list[Any]:
    """One entry or several, as a list.

    Args:
        name: what they are entries of, for the message.
        values: one text, or several of anything.

    Returns:
        The list.

    Raises:
        InputError: nothing.
    """
    found = [values] if isinstance(values, str) else list(values)
    if not found:
        raise InputError(f"{name} is empty; expected at least one.")
    return found


def all_of(data: Any) -> list[Any]:
    """Data as a list; one set of images alone is not taken for a list of them.

    Args:
        data: one set of images, or a list or tuple of them.

    Returns:
        The list.

    Raises:
        InputError: an empty list.
    """
    if not isinstance(data, list | tuple):
        return [data]
    return listed("data", data)


def as_seed(value: Any) -> int:
    """A seed, or an error.

    Args:
        value: a whole number.

    Returns:
        The same.

    Raises:
        InputError: anything else, or a number below zero.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"A seed is {value!r}; expected a whole number of zero or more.")
    return value
