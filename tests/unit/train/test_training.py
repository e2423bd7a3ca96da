"""The training loop: it learns, it repeats itself, it leaves no settings behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from workbench import models
from workbench.data import scenes
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError
from workbench.models import networks
from workbench.train import cards
from workbench.train.__main__ import main
from workbench.train.classifier import Pictures, Step, accuracy, fit
from workbench.train.recipes import Recipe
from workbench.train.shipped import Accuracy, Trained, train

TINY = Recipe(
    "tiny",
    "relation",
    "For the test.",
    architecture_arguments={"widths": (8, 8, 12, 12), "head": "flatten"},
    train_images=320,
    epochs=5,
    learning_rate=1e-2,
    held_out_images=128,
    bounds={"held_out": (0.5, 1.0)},
)


@pytest.fixture(scope="module")
def tiny() -> tuple[nn.Module, dict[str, Accuracy], list[Step]]:
    steps: list[Step] = []
    before = torch.random.get_rng_state()
    trained = train(TINY, progress=steps.append)
    assert torch.equal(torch.random.get_rng_state(), before)
    return trained.module, trained.accuracy, steps


def test_a_tiny_run_learns(tiny: tuple[nn.Module, dict[str, Accuracy], list[Step]]) -> None:
    module, found, steps = tiny
    assert not module.training
    assert found["held_out"].value > 0.4  # chance is 0.25; 128 images would reach 0.4 by luck once in 10,000 times
    assert found["held_out"].low > 0.25
    first, last = np.mean([s.loss for s in steps[:6]]), np.mean([s.loss for s in steps[-6:]])
    assert last < 0.7 * first
    assert [step.done for step in steps] == list(range(1, steps[-1].total + 1))
    assert steps[-1].epoch == TINY.epochs


def test_the_same_recipe_gives_the_same_weights(tiny: tuple[nn.Module, dict[str, Accuracy], list[Step]]) -> None:
    again = train(TINY).module.state_dict()
    for name, value in tiny[0].state_dict().items():
        assert torch.equal(value, again[name]), name
    other = train(replace(TINY, seed=12, epochs=1)).module.state_dict()
    assert any(not torch.equal(value, other[name]) for name, value in again.items())


def test_what_is_written_is_read_back(tiny: tuple[nn.Module, dict[str, Accuracy], list[Step]], tmp_path: Path) -> None:
    module, found, _ = tiny
    trained = Trained(TINY, module, scenes.SceneSource("relation", 1).categories, found, 1.0)
    card = cards.write(trained, tmp_path)
    assert json.loads((tmp_path / "tiny.json").read_text(encoding="utf-8")) == card
    fresh = networks.build(card["architecture"], **card["architecture_arguments"])
    model = models.load(
        fresh,
        weights=tmp_path / "tiny.safetensors",
        categories=card["categories"],
        preprocessing=models.Preprocessing.from_json(card["preprocessing"]),
    )
    data = scenes.generate("relation", 128, seed=TINY.held_out_seed, masks=False)
    right = model.predict(data)["predicted"].values == data["label"].values
    assert right.mean() == pytest.approx(found["held_out"].value, abs=1 / 128)


def test_settings_are_as_they_were() -> None:
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_command_trains_reports_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("workbench.train.__main__.RECIPES", {"tiny": TINY})
    monkeypatch.setattr("workbench.train.shipped.RECIPES", {"tiny": replace(TINY, epochs=2, train_images=128)})
    threads = torch.get_num_threads()
    try:
        main(["--folder", str(tmp_path), "--processes", "1"])
        written = json.loads((tmp_path / "tiny.json").read_text(encoding="utf-8"))
        assert written["seed"] == TINY.seed
        written["accuracy"]["held_out"]["value"] += 0.2
        (tmp_path / "tiny.json").write_text(json.dumps(written), encoding="utf-8")
        assert main(["tiny", "--folder", str(tmp_path), "--processes", "1"]) == 1
    finally:
        torch.set_num_threads(threads)
    assert "more than one point from its card's" in capsys.readouterr().err


def test_bad_training_input_is_refused() -> None:
    pixels = np.zeros((4, 8, 8, 1), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1])
    with pytest.raises(DtypeError, match="pixels"):
        Pictures.of(pixels.astype(np.float32), labels, mean=(0.5,), std=(0.5,))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="3 labels for 4 images"):
        Pictures.of(pixels, labels[:3], mean=(0.5,), std=(0.5,))
    with pytest.raises(ShapeError, match="one number for each of 1 channels"):
        Pictures.of(pixels, labels, mean=(0.5, 0.5), std=(0.5,))
    with pytest.raises(ShapeError, match="pixels"):
        Pictures.of(pixels[..., 0], labels, mean=(0.5,), std=(0.5,))
    pictures = Pictures.of(pixels, labels, mean=(0.5,), std=(0.5,))
    module = networks.build("DigitNetwork", categories=2)
    with pytest.raises(InputError, match="epochs >= 1"):
        fit(module, pictures, epochs=0)
    with torch.no_grad():
        next(module.parameters()).fill_(float("nan"))
    with pytest.raises(NotFiniteError, match="Lower the learning rate"):
        fit(module, pictures, epochs=1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_accuracy_counts_right_answers() -> None:
    pixels = np.zeros((10, 2, 2, 1), dtype=np.uint8)
    pixels[5:] = 255
    pictures = Pictures.of(pixels, np.array([0] * 4 + [1] * 6), mean=(0.5,), std=(0.5,))

    class Bright(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            level = inputs.mean(dim=(1, 2, 3))
            return torch.stack([-level, level], dim=1)

    assert accuracy(Bright(), pictures) == 0.9
    found = Accuracy.of(np.array([True] * 9 + [False]))
    # Wilson's interval by its formula, z = 1.959964
    z, p, n = 1.959964, 0.9, 10
    centre, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-6)
