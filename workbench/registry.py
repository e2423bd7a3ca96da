"""One registry a kind of method: a dict, a decorator and a card.

Panels, benchmarks, the method table in ``docs/methods.md`` and the conformance tests all read the registries,
so a method appears in each of them by being written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from workbench.errors import InputError, unknown_name

Function = TypeVar("Function", bound=Callable[..., Any])
Access = Literal["black box", "gradients", "activations"]


@dataclass(frozen=True)
class Card:
    """What a method is, needs and gives: one row of the method table.

    Attributes:
        name: the name under which the method is registered.
        title: the name as the field writes it.
        source: bib keys of the papers (``docs/references.bib``).
        access: what the method needs of the model.
        returns: what it gives, in one phrase.
        signed: whether values below zero mean evidence against.
        specificity: ``"class"`` (one answer a category) or ``"shared"``.
        coverage: ``"input"``, ``"one layer"``, ``"several layers"`` or ``"all layers"``.
        annotation: what it needs besides images: ``"none"``, ``"labels"``, ``"masks"`` or ``"concepts"``.
        feedback: ``"map"``, ``"units"``, ``"exemplars"``, ``"text"``, ``"graph"`` or ``"number"``.
        cost: the evaluations of the model at the default parameters, in words.
        note: what a reader must know before trusting it (origin, patents, limits).
        better: of a metric, ``"higher"`` or ``"lower"``: which scores are the better ones.
        parameters: panel controls: parameter name to ``(kind, default, low, high)`` or ``(kind, default, choices)``.
    """

    name: str
    title: str
    source: tuple[str, ...]
    access: Access
    returns: str
    signed: bool = True
    specificity: str = "class"
    coverage: str = "input"
    annotation: str = "none"
    feedback: str = "map"
    cost: str = ""
    note: str = ""
    better: Literal["higher", "lower"] = "higher"
    parameters: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A registered function with its card; calling it calls the function."""

    function: Callable[..., Any]
    card: Card

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)


class Registry(Mapping[str, Method]):
    """The methods of one kind, by name.

    >>> explainers = Registry("explainer")
    >>> @explainers.register(title="Nothing", source=(), access="black box", returns="an empty map")
    ... def nothing(model, images): ...
    >>> explainers["nothing"].card.title
    'Nothing'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._methods: dict[str, Method] = {}

    def register(self, name: str | None = None, /, **card: Any) -> Callable[[Function], Function]:
        """Register the decorated function under ``name`` (its own name by default).

        Args:
            name: the registered name; the function's name where omitted.
            **card: the fields of :class:`Card` other than ``name``.

        Returns:
            A decorator that gives back the function unchanged.

        Raises:
            InputError: the name is taken by another function.
        """

        def decorate(function: Function) -> Function:
            key = name or function.__name__
            taken = self._methods.get(key)
            if taken is not None and taken.function.__qualname__ != function.__qualname__:
                raise InputError(
                    f"The {self.kind} name {key!r} is taken by {taken.function.__module__}."
                    f"{taken.function.__qualname__}. Register under another name."
                )
            self._methods[key] = Method(function, Card(name=key, **card))
            return function

        return decorate

    def __getitem__(self, name: str) -> Method:
        try:
            return self._methods[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._methods) from None

    def __contains__(self, name: object) -> bool:
        return name in self._methods

    def __iter__(self) -> Iterator[str]:
        return iter(self._methods)

    def __len__(self) -> int:
        return len(self._methods)

    def cards(self) -> list[Card]:
        """The cards of all methods, in the order of registration."""
        return [method.card for method in self._methods.values()]
