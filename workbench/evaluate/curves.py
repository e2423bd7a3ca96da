"""Scores of images with more and more pixels hidden: what deletion, insertion and their relatives are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from workbench.explain import Meter, at_once
from workbench.explain.baselines import hiding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.evaluate.removal import Explained
    from workbench.explain.progress import Report, Stop

Hide = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def ranks(values: NDArray[np.float64], *, seed: int) -> NDArray[np.int32]:
    """The place of every pixel when the largest value comes first.

    Args:
        values: (image, pixel) finite numbers.
        seed: of the order among equal values, which is the same for every image.

    Returns:
        (image, pixel) int32, from 0.
    """
    shuffled = np.random.default_rng(seed).permutation(values.shape[1])
    # the stable sort keeps the shuffled order among equal values
    order = shuffled[np.argsort(-values[:, shuffled], axis=1, kind="stable")]
    places = np.empty(values.shape, dtype=np.int32)
    np.put_along_axis(places, order, np.arange(values.shape[1], dtype=np.int32)[None], axis=1)
    return places


def removal_curve(
    subject: Explained,
    counts: Sequence[int],
    baseline: str | torch.Tensor,
    seed: int,
    batch_size: int,
    progress: Report,
    stop: Stop | None,
    *,
    label: str,
    places: NDArray[np.int32] | None = None,
    last_first: bool = False,
) -> NDArray[np.float64]:
    """The score of every image at each step of a removal, with a meter of its own.

    Args:
        subject: maps and images.
        counts: how many pixels are hidden at each step; where it is none the score is known already.
        baseline: what hidden pixels show: a name of :data:`workbench.explain.baselines`, or a tensor.
        seed: of the order among equal values, and for baselines that draw.
        batch_size: inputs a forward pass, at most.
        progress: True for a bar, or a callable that takes :class:`Progress`.
        stop: asked after each forward pass.
        label: what to write before the bar.
        places: (image, y, x) int32, the order; that of the maps where omitted.
        last_first: hide the pixels of the highest places instead.

    Returns:
        (image, step) float64.

    Raises:
        UnknownNameError, ShapeError, DtypeError: a baseline that cannot be used.
        NotFiniteError: the model gives NaN or infinity.
        Interrupted: that was asked.
    """
    question = subject.question
    hide = hider(subject, baseline, seed=seed)
    if places is None:
        places = ranks(subject.values.reshape(len(subject), -1), seed=seed).reshape(subject.values.shape)
    curve = np.empty((len(subject), len(counts)))
    known = np.asarray(counts) == 0
    curve[:, known] = question.reference.double().cpu().numpy()[:, None]
    asked = [count for count in counts if count]
    with Meter(len(subject) * len(asked), progress=progress, stop=stop, label=label) as meter:
        curve[:, ~known] = scores_when_hidden(
            subject, places, asked, hide=hide, batch_size=batch_size, meter=meter, last_first=last_first
        )
    return curve


def scores_when_hidden(
    subject: Explained,
    places: NDArray[np.int32],
    counts: Sequence[int],
    *,
    hide: Hide,
    batch_size: int,
    meter: Meter,
    last_first: bool = False,
    scored: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> NDArray[np.float64]:
    """The score of every image with its first 0, 10, 20 ... pixels hidden.

    Args:
        subject: maps and images.
        places: (image, y, x) int32, see :func:`ranks`.
        counts: how many pixels are hidden at each step.
        hide: (row) images and (row, 1, y, x) what to hide, to changed network input.
        batch_size: inputs a forward pass, at most.
        meter: counts the evaluations.
        last_first: hide the pixels of the highest places instead.
        scored: changed network input and rows to (row) scores; those of the question where omitted.

    Returns:
        (image, step) float64.

    Raises:
        NotFiniteError: the model gives NaN or infinity.
        Interrupted: that was asked.
    """
    question = subject.question
    device = question.inputs.device
    table, limits = torch.from_numpy(places).to(device)[:, None], torch.tensor(counts, device=device)
    found = np.empty(len(subject) * len(counts))
    batch_size = at_once(question.inputs, batch_size)
    with torch.inference_mode():
        for start in range(0, len(found), batch_size):
            pairs = torch.arange(start, min(start + batch_size, len(found)), device=device)
            rows, limit = pairs // len(counts), limits[pairs % len(counts)][:, None, None, None]
            hidden = torch.empty((len(pairs), 1, *question.size), dtype=torch.bool, device=device)
            for row, part in runs(rows):
                if last_first:
                    torch.ge(table[row], subject.pixels - limit[part], out=hidden[part])
                else:
                    torch.lt(table[row], limit[part], out=hidden[part])
            changed = hide(rows, hidden)
            scores = question.scores(changed, rows) if scored is None else scored(changed, rows)
            found[start : start + len(pairs)] = scores.double().cpu().numpy()
            meter.advance(len(pairs))
    return found.reshape(len(subject), len(counts))


def runs(rows: torch.Tensor) -> Iterator[tuple[int, slice]]:
    """Where the same image stands several times in a row.

    Args:
        rows: (input) int64, numbers of images.

    Yields:
        The number of an image, and which inputs are of it.
    """
    numbers, counts = torch.unique_consecutive(rows, return_counts=True)
    start = 0
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        yield number, slice(start, start + count)
        start += count


def hider(subject: Explained, baseline: str | torch.Tensor, *, seed: int) -> Hide:
    """What hides pixels of the images of a question.

    Args:
        subject: maps and images.
        baseline: what hidden pixels show: a name of :data:`workbench.explain.baselines`, or a tensor.
        seed: for baselines that draw.

    Returns:
        (row) images and (row, 1, y, x) what to hide, to changed network input.

    Raises:
        UnknownNameError, ShapeError, NotFiniteError, DtypeError: a baseline that cannot be used.
    """
    question = subject.question
    prepared = hiding(baseline, question.inputs, model=question.model, seed=seed)
    shown = prepared.shown
    if shown is None:
        return prepared

    def hide(rows: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        changed = question.inputs.new_empty((len(rows), *question.inputs.shape[1:]))
        # image by image: neither the image nor its baseline is copied once for each of its steps
        for row, part in runs(rows):
            torch.where(hidden[part], shown[row], question.inputs[row], out=changed[part])
        return changed

    return hide


def area(curve: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under a curve by the trapezoid rule, divided by its width.

    Args:
        curve: (image, step).
        at: (step), rising, at least two.

    Returns:
        (image) float64.
    """
    return np.asarray(np.trapezoid(curve, at, axis=1) / (at[-1] - at[0]))


def shares_of(shares: NDArray[np.float64], pixels: int) -> list[int]:
    """How many pixels shares of them are.

    Args:
        shares: (share), between 0 and 1.
        pixels: of the image.

    Returns:
        Whole numbers, at least 1 and fewer than all.
    """
    return [int(count) for count in np.clip(np.rint(shares * pixels), 1, pixels - 1)]
