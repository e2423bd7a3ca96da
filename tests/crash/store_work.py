"""An extraction that takes about a second: what the crash tests run in other processes and kill."""

from __future__ import annotations

import itertools
import os
import signal
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from workbench import data, models
from workbench.data import AnnotatedImage
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


class RepeatedSource:
    """Many images that take no memory."""

    labels = None
    categories: tuple[str, ...] = ()
    manifest_hash = ""

    def __init__(self, count: int) -> None:
        self.identifiers = [str(index) for index in range(count)]

    def __len__(self) -> int:
        return len(self.identifiers)

    def __getitem__(self, index: int, /) -> AnnotatedImage:
        return AnnotatedImage(np.random.default_rng(index).integers(0, 256, (64, 64, 3), dtype=np.uint8), str(index))


def measure_peak(sender: Any, what: str, images: int, path: Path) -> None:
    """Send the most memory that was held at once above that at the start, in bytes."""
    torch.set_num_threads(1)
    network = nn.Sequential(nn.Conv2d(3, 184, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(184, 5))
    preprocessing = models.Preprocessing(resize=None, crop=(64, 64), mean=(0.5,) * 3, std=(0.5,) * 3)
    model = models.load(network, preprocessing=preprocessing, categories=list("abcde"), name="wide")
    model.predict(RepeatedSource(1))  # what is allocated once, at the first pass
    process, done = psutil.Process(), threading.Event()
    before, highest = process.memory_info().rss, [0]

    def watch() -> None:
        while not done.wait(0.001):
            highest[0] = max(highest[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    source = RepeatedSource(images)
    if what == "batch":
        with torch.no_grad(), models.capture(model, "0"):
            model.logits(model.prepare(source))
    else:
        ActivationStore.extract(model, source, layers="0", path=path, batch_size=16, threads=1, progress=False)
    done.set()
    watcher.join()
    sender.send(highest[0] - before)


def extract_imagenet(path: Path, mirror: Path) -> ActivationStore:
    """Two layers of MobileNetV2 over the sample photographs of the mirror."""
    model = models.load("mobilenet_v2", weights=mirror / "weights" / "mobilenet_v2.safetensors")
    source = data.imagenet_samples(mirror / "imagenet-samples")
    return ActivationStore.extract(
        model, source, layers=["features.13", "features.18"], path=path, threads=1, progress=False
    )
