"""An extraction that takes about a second: what the crash tests run in other processes and kill."""

from __future__ import annotations

import itertools
import os
import signal
import stat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from workbench import models
from workbench.store import ActivationStore, compute, engines  # noqa: F401  # imported once, by the fork server

IMAGES, LAYERS = 36, ("1", "3")


class CountedLoads(nn.Sequential):
    """A network that notes each process in which it is unpickled."""

    log: Path | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{os.getpid()}\n")


def small_model(log: Path | None = None) -> models.ImageModel:
    generator_state = torch.get_rng_state()
    torch.manual_seed(0)
    network = CountedLoads(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 81, 5)
    )
    torch.set_rng_state(generator_state)
    network.log = log
    preprocessing = models.Preprocessing(resize=None, crop=(24, 24), mean=(0.5,) * 3, std=(0.5,) * 3)
    return models.load(network, preprocessing=preprocessing, categories=list("abcde"), name="small")


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (IMAGES, 24, 24, 3), dtype=np.uint8)


def extract(path: Path, *, log: Path | None = None, **changes: Any) -> ActivationStore:
    """Twelve blocks of three images, each of a dozen files that are fsynced."""
    arguments = {"layers": LAYERS, "batch_size": 3, "block_bytes": 20_000, "threads": 1, "progress": False, **changes}
    return ActivationStore.extract(small_model(log), pictures(), path=path, **arguments)


def extract_until(path: Path, writes: int) -> None:
    """Extract, and be killed in the middle of the write after so many."""
    count = itertools.count(1)
    fsync = os.fsync

    def die(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and next(count) > writes:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.fsync = die
    extract(path)
