"""The networks and photographs that are measured on."""

from __future__ import annotations

import os
import warnings
from functools import cache

import numpy as np

from workbench import data, models
from workbench.errors import MissingFileError

DEVELOPMENT, HELD_OUT = 3, 1  # rows of the index, modulo 6; nothing is ever tuned on the second kind
OF = 6


@cache
def pretrained(name: str) -> models.ImageModel:
    """A network with the real weights of the mirror."""
    try:
        return models.load(name, weights=data.fetch(name))
    except MissingFileError as error:
        raise SystemExit(
            f"The weights of {name} are not there: {error}\n"
            f"Set WORKBENCH_MIRROR (now {os.environ.get('WORKBENCH_MIRROR')!r}) to the folder that holds them."
        ) from error


@cache
def untrained(name: str) -> models.ImageModel:
    """A network of torchvision with random weights: for times, never for quality."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision on the initialisation of inception_v3
        return models.load(name, weights="random")


def photographs(remainder: int) -> list[tuple[str, data.ImageSource]]:
    """Photographs of imagenet-samples with their names, in an order that mixes the classes.

    Where measuring stops early, what was measured is a random sample of them.
    """
    try:
        source = data.imagenet_samples()
    except MissingFileError as error:
        raise SystemExit(f"The photographs are not there: {error}") from error
    chosen = np.arange(remainder, len(source), OF)
    mixed = np.random.default_rng(0).permutation(chosen)
    return [(source.identifiers[index], data.Subset(source, [int(index)])) for index in mixed]
