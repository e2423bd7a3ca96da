"""The same architecture trained on random labels: it has memorised, and learned nothing that the labels could teach."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import InputError, Interrupted
from workbench.evaluate.randomisation import randomised, weighted_layers
from workbench.evaluate.removal import check_count
from workbench.models import ImageModel, shipped
from workbench.train import RECIPES, Pictures, Step, accuracy, fit

if TYPE_CHECKING:
    from workbench.explain.progress import Stop

IMAGES, EPOCHS = 256, 40  # enough to memorise for the networks that ship
REMEMBERED = 4
_trained: OrderedDict[tuple[Any, ...], ImageModel] = OrderedDict()


def train_on_random_labels(
    model: ImageModel,
    images: Any = None,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    stop: Stop | None = None,
) -> ImageModel:
    """Train the architecture of a model from the beginning on labels that mean nothing. Source: [adebayo2018].

    For small networks, on the CPU; the last four that were trained on images of the package are remembered.

    Args:
        model: whose architecture, preprocessing and categories are taken; it is not changed.
        images: what it is trained on, see :meth:`ImageModel.prepare`; None for 256 of the training images of a network
            that ships with the package.
        epochs: passes over the images.
        seed: of the weights, the labels and the order of the images.
        stop: asked after each step; True ends the training with :class:`Interrupted`.

    Returns:
        Another model, on the same device; ``facts["training_accuracy"]`` is the share of the labels that it
        has memorised.

    Raises:
        InputError: no images for a network that does not ship, or one without weights or declared preprocessing.
        Interrupted: ``stop`` answered True.
    """
    check_count("epochs", epochs)
    if model.output is not None:
        raise InputError(
            f"{model.name!r} gives its logits through output={model.output!r}, which training cannot take. "
            "Pass other=, a model that was trained on random labels."
        )
    key = (model.weights_hash, model.name, str(model.device), epochs, seed)
    if images is None and key in _trained:
        return _trained[key]
    pictures = _pictures(model, images)
    labels = np.random.default_rng(seed).integers(0, _outputs(model, pictures), size=len(pictures))
    pictures = replace(pictures, labels=torch.from_numpy(labels))
    inputs = pictures.batch(torch.arange(1))[0].to(model.device, model.dtype)
    fresh = randomised(model, weighted_layers(model, inputs), seed=seed)
    module = fresh.module.to("cpu", torch.float32)

    def watch(step: Step) -> None:
        if stop is not None and stop():
            raise Interrupted(f"Stopped on request after {step.done} of {step.total} steps of training.")

    # what helps to generalise is left out: there is nothing to be learned but the pictures themselves
    fit(module, pictures, epochs=epochs, weight_decay=0.0, seed=seed, progress=watch)
    known = accuracy(module, pictures)
    module.to(model.device, model.dtype)
    facts = {**model.facts, "training_accuracy": known, "labels": "random"}
    trained = replace(fresh, name=f"{model.name} (random labels)", facts=facts)
    if images is None:
        _trained[key] = trained
        while len(_trained) > REMEMBERED:
            _trained.popitem(last=False)
    return trained


def _pictures(model: ImageModel, images: Any) -> Pictures:
    if images is None:
        if model.name not in RECIPES or model.name not in shipped():
            raise InputError(
                f"{model.name!r} does not ship with the package, so its training images are not known. Pass "
                "training=, some of them, or other=, a model that was trained on random labels."
            )
        from workbench.train.shipped import training_pictures

        made = training_pictures(replace(RECIPES[model.name], train_images=IMAGES))
        some = slice(IMAGES)
        return replace(made, pixels=made.pixels[some], labels=made.labels[some])
    if not model.preprocessing.declared:
        raise InputError(
            f"The preprocessing of {model.name!r} is not known, so its pictures cannot be shown to it in training. "
            "Load it with preprocessing=..., or pass other=, a model that was trained on random labels."
        )
    pixels = np.rint(255 * model.pictures(model.prepare(images))).astype(np.uint8)
    means, stds = model.preprocessing.means, model.preprocessing.stds
    return Pictures.of(pixels, np.zeros(len(pixels), dtype=np.int64), mean=tuple(means), std=tuple(stds))


def _outputs(model: ImageModel, pictures: Pictures) -> int:
    with torch.inference_mode():
        inputs = pictures.batch(torch.arange(1))[0].to(model.device, model.dtype)
        return int(model.logits(inputs).shape[1])
