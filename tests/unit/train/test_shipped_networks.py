"""The networks that ship: they reach what their cards say, on scenes that nobody has seen."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench import models
from workbench.data import digits, scenes
from workbench.errors import InputError, UnknownNameError
from workbench.models import networks
from workbench.models.shipped import FOLDER
from workbench.train import cards
from workbench.train.recipes import RECIPES
from workbench.train.shipped import held_out_digits, measure, recipe, training_pictures

ROOT = Path(__file__).parents[3]
NAMES = sorted(RECIPES)
FRESH_SEED = 7_700_021  # of no training set, and not that of the cards


def card(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def test_all_of_them_ship_and_together_they_are_small() -> None:
    assert sorted(models.shipped()) == NAMES
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_complete_and_true(name: str) -> None:
    found = card(name)
    assert set(found) == {
        "name", "summary", "task", "architecture", "architecture_arguments", "categories", "input_shape",
        "preprocessing", "seed", "training", "held_out_seeds", "accuracy", "bounds", "parameters", "bytes", "sha256",
        "licence", "command",
    }  # fmt: skip
    content = (FOLDER / f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == found["sha256"]
    assert len(content) == found["bytes"]
    made = recipe(name)
    assert found["training"] == json.loads(json.dumps(cards.training(made)))
    assert found["seed"] == made.seed
    assert found["command"] == f"python -m workbench.train {name}"
    model = models.load(name)
    assert sum(p.numel() for p in model.module.parameters()) == found["parameters"]
    assert list(model.categories) == found["categories"]
    assert list(model.input_shape) == found["input_shape"]
    assert found["seed"] not in found["held_out_seeds"]


@pytest.mark.parametrize("name", NAMES)
def test_the_stated_accuracies_keep_their_bounds(name: str) -> None:
    found = card(name)
    assert set(found["accuracy"]) == set(found["bounds"]) == set(recipe(name).bounds)
    for measurement, (least, most) in recipe(name).bounds.items():
        result = found["accuracy"][measurement]
        assert least <= result["value"] <= most
        low, high = result["interval"]
        assert low <= result["value"] <= high


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])
def test_fresh_scenes_are_answered_as_well_as_the_card_says(name: str) -> None:
    made = replace(recipe(name), held_out_seed=FRESH_SEED)
    module = models.load(name).module
    for measurement, result in measure(made, module, images=400).items():
        stated = card(name)["accuracy"][measurement]
        # the 99.99 % range of a count of right answers about the stated accuracy, and one answer for rates near 1
        spread = 3.9 * np.sqrt(stated["value"] * (1 - stated["value"]) / result.images) + 1 / result.images
        assert abs(result.value - stated["value"]) <= spread
        least, most = made.bounds[measurement]
        assert least - spread <= result.value <= most + spread


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])
def test_pictures_and_network_inputs_give_the_same_answer(name: str) -> None:
    """The card's preprocessing is the one that the network was trained with."""
    data = scenes.generate(card(name)["task"], 64, seed=FRESH_SEED, agreement=1.0)
    model = models.load(name)
    predicted = model.predict(data)["predicted"].values
    stated = card(name)["accuracy"].get("held_out") or card(name)["accuracy"]["cue_agrees"]
    assert (predicted == data["label"].values).mean() > stated["value"] - 0.1
    larger = scenes.generate(card(name)["task"], 64, seed=FRESH_SEED, agreement=1.0, size=192, masks=False)
    assert (model.predict(larger)["predicted"].values == data["label"].values).mean() > stated["value"] - 0.15


def test_held_out_digits_are_read() -> None:
    made = recipe("digits")
    kept = held_out_digits(made)
    found = digits()
    assert found.labels is not None
    assert len(kept) == card("digits")["accuracy"]["held_out"]["images"]
    assert len(training_pictures(made)) + len(kept) == len(found)
    model = models.load("digits")
    predicted = model.predict(found.array[kept])["predicted"].values
    assert (predicted == found.labels[kept]).mean() == pytest.approx(
        card("digits")["accuracy"]["held_out"]["value"], abs=0.004
    )


def test_the_confounded_network_follows_the_mark() -> None:
    data = scenes.generate("object_confounded", 200, seed=FRESH_SEED, agreement=0.0, masks=False)
    predicted = models.load("scenes_object_confounded").predict(data)["predicted"].values
    assert (predicted == data["cue"].values).mean() > (predicted == data["label"].values).mean()


def test_moving_the_square_to_the_other_side_changes_the_answer() -> None:
    model = models.load("scenes_relation")
    found, wanted = [], []
    for index in range(40):
        sample = scenes.sample_scene("relation", index, seed=FRESH_SEED)
        square, circle = sample.scene.find("red square"), sample.scene.find("blue circle")
        found.append(sample.scene.swap(square, circle).render(96).image)
        wanted.append(sample.label ^ 1)  # left and right, above and below stand side by side
    predicted = model.predict(np.stack(found))["predicted"].values
    assert (predicted == np.array(wanted)).mean() >= 0.9


def test_the_page_of_cards_is_fresh() -> None:
    expected = cards.page([card(name) for name in RECIPES])
    assert (ROOT / "docs" / "models.md").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("name", NAMES)
def test_networks_suit_what_looks_into_them(name: str) -> None:
    module = models.load(name).module
    for part in module.modules():
        assert not getattr(part, "inplace", False)
    assert not any(parameter.isnan().any() for parameter in module.parameters())


def test_unknown_architectures_and_arguments_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'SceneNetwork'"):
        networks.build("SceneNetwrk", categories=2)
    with pytest.raises(InputError, match="cannot be built with"):
        networks.build("SceneNetwork", classes=2)
    with pytest.raises(UnknownNameError, match="Unknown recipe 'scenes'"):
        recipe("scenes")


def test_layers_have_the_promised_sizes() -> None:
    module = networks.build("SceneNetwork", categories=3, widths=(4, 5, 6, 7), head="flatten").eval()
    widths = []
    inputs = torch.zeros(2, 3, 96, 96)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        inputs = module.get_submodule(name)(inputs)
        widths.append(tuple(inputs.shape[1:]))
    assert widths == [(4, 48, 48), (5, 24, 24), (6, 12, 12), (7, 12, 12)]
    assert module(torch.zeros(2, 3, 96, 96)).shape == (2, 3)
