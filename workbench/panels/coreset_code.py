"""The code that makes what a coreset panel shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.interpret.coreset.curve import RANDOM
from workbench.interpret.coreset.target import TARGET_AWARE
from workbench.panels.coreset_controls import ALL, GIVEN
from workbench.store import ActivationStore

if TYPE_CHECKING:
    from workbench.panels.coreset import CoresetPanel, CoresetRequest


class Name(str):
    """A variable of the code, written without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def written(panel: CoresetPanel, request: CoresetRequest, *, splits: int, random_draws: int) -> str:
    """Code that computes and draws what a request asks for, given what the panel was given.

    Args:
        panel: the panel.
        request: the request.
        splits: of the curve.
        random_draws: of the curve.

    Returns:
        Lines of Python.
    """
    lines = ["from workbench import ActivationStore, panels, view", "from workbench.interpret import coreset", ""]
    if isinstance(panel.data, ActivationStore):
        lines.append(f"data = ActivationStore.open({panel.data.path!r})")
    else:
        lines[0] = "from workbench import panels, view"
        lines.append("# `data` is what the panel works on: panel.data")
    labels: Any = panel.labels
    if labels is not None and not isinstance(labels, str):
        lines.append("# `labels` are those that the panel was given")
        labels = Name("labels")
    layer, pool = request.layer, request.pool
    chosen = {"selector": request.selector, "fraction": request.fraction}
    chosen |= {} if request.within == ALL else {"labels": labels}
    chosen |= {"layer": layer, "pool": pool, "seed": request.seed, **json.loads(request.parameters)}
    if request.selector == TARGET_AWARE and labels is not None and isinstance(panel.method, str):
        chosen["target"] = panel.method
    lines.append(f"chosen = coreset.choose({_call('data', chosen)})")
    plane: dict[str, Any] = {"labels": labels, "layer": layer, "pool": pool, "projection": request.projection}
    if request.projection == GIVEN:
        lines.append("# `positions` are those that the panel was given")
        plane = {"labels": labels, "positions": Name("positions")}
    lines.append(f"result = panels.coreset_map({_call('data, chosen', plane)})")
    number = panel.category_number(request.category)
    brought_out = {} if number is None or panel.state.parts else {"category": number}
    lines.append(f"display(view.coreset_map({_call('result', brought_out)}))")
    if number is not None:
        lines += ["", *_units(panel, request, number, labels)]
    if panel.state.curve:
        lines += ["", *_curve(panel, request, labels, splits, random_draws)]
    return "\n".join(lines) + "\n"


def _units(panel: CoresetPanel, request: CoresetRequest, number: int, labels: Any) -> list[str]:
    lines, wanted = [], {"category": number, "labels": labels, "layer": request.layer}
    if panel.images is not None:
        lines.append("# `images` are those that the panel was given")
        wanted["images"] = Name("images")
    if panel.method != "relevant_units":
        lines.append(_subject(panel, request.layer, labels))
        wanted["interpretation"] = Name("subject")
    lines.append(f"units = panels.coreset_units({_call('data, chosen', wanted)})")
    lines.append(f"display(view.coreset_units(units, opacity={round(panel.state.opacity, 3)}))")
    return lines


def _curve(panel: CoresetPanel, request: CoresetRequest, labels: Any, splits: int, random_draws: int) -> list[str]:
    if panel.similarity.finished is not None:
        lines = ["# `curve` is the one that the panel was given"]
    else:
        names = list(dict.fromkeys([RANDOM, request.selector]))
        options = {
            "splits": splits, "random_draws": random_draws, "layer": request.layer, "pool": request.pool, "pools": {},
            "seed": request.seed,
        }  # fmt: skip
        lines = [
            _subject(panel, request.layer, labels),
            f"curve = coreset.coreset_curve({_call(f'subject, data, {names!r}', options)})",
        ]
    shown = {"selector": request.selector, "fraction": request.fraction}
    lines.append(f"display(view.coreset_curve({_call('curve', shown)}))")
    return lines


def _subject(panel: CoresetPanel, layer: str, labels: Any) -> str:
    if not isinstance(panel.method, str):
        return "subject = panel.method  # the one that the panel was given"
    options = {"labels": labels, **panel.subject_options(layer)}
    return f"subject = coreset.subject({_call(f'{panel.method!r}, data', options)})"


def _call(first: str, arguments: dict[str, Any]) -> str:
    return ", ".join([first, *(f"{name}={value!r}" for name, value in arguments.items())])
