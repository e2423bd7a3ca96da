"""Every registered metric keeps the calling convention, and its card says what its function does."""

from __future__ import annotations

import inspect

import pytest

from workbench import evaluate

NAMES = sorted(evaluate.metrics)
ASKING = [
    name
    for name in NAMES
    if {"model", "images"} <= set(inspect.signature(evaluate.metrics[name].function).parameters)
    and {"heatmaps", "explainer"} & set(inspect.signature(evaluate.metrics[name].function).parameters)
]


@pytest.mark.parametrize("name", NAMES)
def test_what_follows_the_data_is_given_by_name(name: str) -> None:
    function = evaluate.metrics[name].function
    parameters = list(inspect.signature(function).parameters.values())
    positional = [item.name for item in parameters if item.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert 1 <= len(positional) <= 3, positional
    assert all(item.default is inspect.Parameter.empty for item in parameters[: len(positional)])
    assert function is getattr(evaluate, name), "the metric is public under its registered name"


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_complete(name: str) -> None:
    card = evaluate.metrics[name].card
    assert card.title
    assert card.returns
    assert card.feedback == "number"
    assert card.better in ("higher", "lower")
    defaults = {
        key: item.default for key, item in inspect.signature(evaluate.metrics[name].function).parameters.items()
    }
    for control, specification in card.parameters.items():
        assert control in defaults, f"the card offers {control!r}, which the function does not take"
        assert specification[1] == defaults[control], f"the card's default of {control!r} is not the function's"
        kind = specification[0]
        assert kind in ("int", "float", "choice", "bool"), control
        if kind == "choice":
            assert specification[1] in specification[2]
        elif kind != "bool":
            assert specification[2] <= specification[1] <= specification[3]


@pytest.mark.parametrize("name", ASKING)
def test_metrics_that_ask_the_model_share_their_options(name: str) -> None:
    defaults = {
        key: item.default for key, item in inspect.signature(evaluate.metrics[name].function).parameters.items()
    }
    assert {"target": None, "seed": 0, "batch_size": 64, "progress": False, "stop": None}.items() <= defaults.items()
    assert evaluate.metrics[name].card.cost
