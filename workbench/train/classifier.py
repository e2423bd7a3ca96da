"""Training of a small classifier: one loop, the same result each time."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from workbench.arrays import CHANNEL, IMAGE, X, Y, check_array
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """Where training stands: given to ``progress`` after every step.

    Attributes:
        epoch: passes over the images that are complete, fractions included.
        epochs: passes in all.
        done: steps so far.
        total: steps in all.
        loss: cross-entropy of the last batch, in nats.
    """

    epoch: float
    epochs: int
    done: int
    total: int
    loss: float


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures in memory, and how they become network input.

    Attributes:
        pixels: (image, channel, y, x) uint8.
        labels: (image,) int64.
        mean: (channel,), in units of the [0, 1] picture.
        std: (channel,), likewise.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> Pictures:
        """Check arrays and take them over.

        Args:
            pixels: (image, y, x, channel) uint8.
            labels: (image,) integers, 0 to the number of categories less one.
            mean: one number a channel, in units of the [0, 1] picture.
            std: likewise.

        Returns:
            The pictures.

        Raises:
            ShapeError, DtypeError: arrays of other dimensions or types, or of different lengths.
        """
        array = check_array(pixels, name="pixels", dims=(IMAGE, Y, X, CHANNEL), kinds="u")
        if array.dtype != np.uint8:
            raise DtypeError(f"pixels have dtype {array.dtype}; expected uint8.")
        names = check_array(labels, name="labels", dims=(IMAGE,), kinds="iu").astype(np.int64)
        if len(names) != len(array):
            raise ShapeError(f"{len(names)} labels for {len(array)} images; expected one an image.")
        if len(mean) != array.shape[-1] or len(std) != array.shape[-1]:
            raise ShapeError(f"mean {mean} and std {std} need one number for each of {array.shape[-1]} channels.")
        tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
        return cls(tensor, torch.from_numpy(names), torch.tensor(mean), torch.tensor(std))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised input (image, channel, y, x) float32, and labels (image,).

        Args:
            indices: (image,) int64, which pictures.

        Returns:
            (image, channel, y, x) float32, channels last in memory, and (image,) int64.
        """
        inputs = self.pixels[indices].float().div_(255)
        inputs = inputs.sub_(self.mean[:, None, None]).div_(self.std[:, None, None])
        return inputs.contiguous(memory_format=torch.channels_last), self.labels[indices]


def fit(
    module: nn.Module,
    pictures: Pictures,
    *,
    epochs: int,
    learning_rate: float = 4e-3,
    batch_size: int = 64,
    weight_decay: float = 1e-3,
    seed: int = 0,
    progress: Callable[[Step], None] | None = None,
) -> nn.Module:
    """Train a classifier on the CPU with AdamW, the learning rate rising for a fifth of the steps and then falling.

    The order of the images comes from ``seed``. With the same number of threads (one is best, since sums are then added
    in the same order everywhere) the same call on the same kind of processor gives the same weights, bit for bit.

    Args:
        module: gives logits (image, category); trained in place, and left in eval mode.
        pictures: what it is shown.
        epochs: passes over all of them.
        learning_rate: the highest of the schedule.
        batch_size: images a step.
        weight_decay: of AdamW.
        seed: of the order of the images.
        progress: called after every step.

    Returns:
        The module.

    Raises:
        InputError: fewer than one epoch or two images a step.
        NotFiniteError: the loss became NaN or infinite.
    """
    if epochs < 1 or batch_size < 2:
        raise InputError(f"Training needs epochs >= 1 and batch_size >= 2; got {epochs} and {batch_size}.")
    steps = math.ceil(len(pictures) / batch_size)
    optimiser = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(_share_of_rate, total=epochs * steps))
    order = torch.Generator().manual_seed(seed)
    module.to(memory_format=torch.channels_last).train()
    done = 0
    with deterministic():
        for _ in range(epochs):
            # of equal sizes, so that no step rests on a handful of images
            for indices in torch.tensor_split(torch.randperm(len(pictures), generator=order), steps):
                inputs, labels = pictures.batch(indices)
                loss = F.cross_entropy(module(inputs), labels)
                if not torch.isfinite(loss):
                    raise NotFiniteError(
                        f"The loss became {loss.item()} at step {done} of {epochs * steps}. "
                        f"Lower the learning rate (it is {learning_rate}), or look at the pictures."
                    )
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                done += 1
                if progress is not None:
                    progress(Step(done / steps, epochs, done, epochs * steps, float(loss.detach())))
    return module.to(memory_format=torch.contiguous_format).eval()


def _share_of_rate(step: int, *, total: int) -> float:
    """Linear from almost 0 to 1 over the first fifth of the steps, then half a cosine down to almost 0."""
    rising = max(1, total // 5)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - rising) / (total + 1 - rising)))


def predictions(module: nn.Module, pictures: Pictures, *, batch_size: int = 256) -> NDArray[np.int64]:
    """The category with the highest logit of each picture.

    Args:
        module: gives logits (image, category); put into eval mode.
        pictures: what it is shown.
        batch_size: images at a time.

    Returns:
        (image,) int64.
    """
    module.eval()
    batches = torch.split(torch.arange(len(pictures)), batch_size)
    with torch.inference_mode():
        found = [module(pictures.batch(indices)[0]).argmax(dim=1) for indices in batches]
    return np.asarray(torch.cat(found).numpy(), dtype=np.int64)


def accuracy(module: nn.Module, pictures: Pictures) -> float:
    """The share of the pictures whose label has the highest logit.

    Args:
        module: gives logits (image, category); put into eval mode.
        pictures: what it is shown.

    Returns:
        A share in 0..1.
    """
    return float((predictions(module, pictures) == pictures.labels.numpy()).mean())


@contextmanager
def deterministic() -> Iterator[None]:
    """Only deterministic algorithms inside; the setting from before afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
