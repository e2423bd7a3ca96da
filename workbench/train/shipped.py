"""The networks that come with the package: what they are shown, how they are trained, what they reach."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.data import digits, scenes
from workbench.errors import InputError, unknown_name
from workbench.models import networks
from workbench.train.classifier import Pictures, Step, fit, predictions
from workbench.train.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import nn

DIGITS_HELD_OUT = 0.3


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers, with what it rests on.

    Attributes:
        value: the share.
        low: lower end of its 95 % Wilson interval.
        high: upper end.
        images: how many pictures it was measured on.
    """

    value: float
    low: float
    high: float
    images: int

    @classmethod
    def of(cls, right: NDArray[np.bool_]) -> Accuracy:
        """Count right answers, (image,) bool.

        Args:
            right: (image,) bool, whether the answer was right.

        Returns:
            Their share with its interval.
        """
        from scipy.stats import binomtest

        interval = binomtest(int(right.sum()), len(right)).proportion_ci(confidence_level=0.95, method="wilson")
        return cls(float(right.mean()), float(interval.low), float(interval.high), len(right))


@dataclass(frozen=True)
class Trained:
    """A trained network and what it reaches on pictures that it was never shown.

    Attributes:
        recipe: how it was made.
        module: the network, in eval mode.
        categories: its answers.
        accuracy: name of the measurement to its result.
        seconds: how long training took, rendering included.
    """

    recipe: Recipe
    module: nn.Module
    categories: tuple[str, ...]
    accuracy: dict[str, Accuracy]
    seconds: float


def recipe(name: str) -> Recipe:
    """The recipe of a shipped network.

    Args:
        name: a key of ``RECIPES``.

    Returns:
        The recipe.

    Raises:
        UnknownNameError: there is no such recipe.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]


def train(
    made: Recipe,
    *,
    processes: int = 1,
    progress: Callable[[Step], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Trained:
    """Train and measure one network.

    Args:
        made: its recipe.
        processes: how many render the scenes.
        progress: called after every step of training.
        say: called with a line on what is done next.

    Returns:
        The network and its accuracies.
    """
    began = time.perf_counter()
    if say is not None:
        say(f"{made.name}: preparing {'the digits' if made.task == 'digits' else f'{made.train_images} scenes'}")
    pictures = training_pictures(made, processes=processes)
    names = categories(made)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(made.seed)
        module = networks.build(made.architecture, **architecture_arguments(made))
    fit(
        module,
        pictures,
        epochs=made.epochs,
        learning_rate=made.learning_rate,
        batch_size=made.batch_size,
        weight_decay=made.weight_decay,
        seed=made.seed,
        progress=progress,
    )
    del pictures
    return Trained(made, module, names, measure(made, module, processes=processes), time.perf_counter() - began)


def architecture_arguments(made: Recipe) -> dict[str, Any]:
    """The arguments that the recipe's network is built with.

    Args:
        made: the recipe.

    Returns:
        For :func:`workbench.models.networks.build`.
    """
    return {"categories": len(categories(made)), **made.architecture_arguments}


def categories(made: Recipe) -> tuple[str, ...]:
    """The answers that a recipe's network gives.

    Args:
        made: the recipe.

    Returns:
        One name an output.
    """
    if made.task == "digits":
        return tuple(str(digit) for digit in range(10))
    return scenes.SceneSource(made.task, 1).categories


def training_pictures(made: Recipe, *, processes: int = 1) -> Pictures:
    """What a network is trained on.

    Args:
        made: its recipe.
        processes: how many render the scenes.

    Returns:
        The pictures.
    """
    if made.task == "digits":
        return _digits(made, held_out=False)
    return _scenes(made, made.seed, made.train_images, made.agreement, processes)


def held_out_pictures(made: Recipe, *, images: int | None = None, processes: int = 1) -> dict[str, Pictures]:
    """What a network is measured on, none of which it was shown.

    Args:
        made: its recipe.
        images: how many scenes; the recipe's number by default. Of the digits all that are held out are taken.
        processes: how many render the scenes.

    Returns:
        Name of the measurement to its pictures: ``"held_out"``, or for a confounded network ``"cue_agrees"`` (the cue
        points to the label in all images) and ``"cue_conflicts"`` (in none).
    """
    if made.task == "digits":
        return {"held_out": _digits(made, held_out=True)}
    count = images or made.held_out_images
    seed = made.held_out_seed
    if made.agreement is None:
        return {"held_out": _scenes(made, seed, count, None, processes)}
    return {
        "cue_agrees": _scenes(made, seed, count, 1.0, processes),
        "cue_conflicts": _scenes(made, seed, count, 0.0, processes),
    }


def measure(made: Recipe, module: nn.Module, *, images: int | None = None, processes: int = 1) -> dict[str, Accuracy]:
    """The accuracies of a network on pictures that it was never shown.

    Args:
        made: its recipe; ``dataclasses.replace(made, held_out_seed=...)`` takes other scenes.
        module: the network.
        images: how many scenes; the recipe's number by default.
        processes: how many render the scenes.

    Returns:
        Name of the measurement (see :func:`held_out_pictures`) to its result.
    """
    found = {}
    for name, pictures in held_out_pictures(made, images=images, processes=processes).items():
        found[name] = Accuracy.of(predictions(module, pictures) == pictures.labels.numpy())
    return found


def _scenes(made: Recipe, seed: int, count: int, agreement: float | None, processes: int) -> Pictures:
    size = int(made.preprocessing["resize"])
    data = scenes.generate(
        made.task,
        count,
        seed=seed,
        size=size,
        agreement=1.0 if agreement is None else agreement,
        masks=False,
        processes=processes,
    )
    return _pictures(made, data["pixels"].values, data["label"].values)


def _digits(made: Recipe, *, held_out: bool) -> Pictures:
    pixels, labels = _all_digits()
    kept = held_out_digits(made)
    indices = kept if held_out else np.setdiff1d(np.arange(len(labels)), kept)
    return _pictures(made, pixels[indices], labels[indices])


def _all_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    found = digits()
    if found.labels is None:
        raise InputError("The digits came without labels; expected one an image. Fetch them again.")
    return found.array, found.labels


def held_out_digits(made: Recipe) -> NDArray[np.int64]:
    """The digits that a network was not shown: a share of each category, drawn with the recipe's seed.

    Args:
        made: the recipe.

    Returns:
        (image,) int64, sorted: indices into ``data.digits()``.
    """
    from sklearn.model_selection import train_test_split

    labels = _all_digits()[1]
    _, kept = train_test_split(
        np.arange(len(labels)), test_size=DIGITS_HELD_OUT, random_state=made.seed, stratify=labels
    )
    return np.sort(kept).astype(np.int64)


def _pictures(made: Recipe, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Pictures:
    return Pictures.of(pixels, labels, mean=made.preprocessing["mean"], std=made.preprocessing["std"])
