"""Which of all pairs are worth an experiment: first-order estimates of their effects, by gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from workbench.interpret.relations.continuation import Continuation, Observed
    from workbench.interpret.relations.phases import Phases
    from workbench.interpret.relations.survey import Baseline, Survey
    from workbench.models import ImageModel

# shares of the way from the baseline to the image: far from the image, what saturates there has a slope again
STATIONS = (1.0, 1 / 3)


def screen(
    model: ImageModel,
    images: Any,
    part: Continuation,
    seen: Survey,
    baseline: Baseline,
    *,
    sources: NDArray[np.int64],
    targets: NDArray[np.int64],
    active: NDArray[np.bool_],
    images_per_target: int,
    seed: int,
    batch_size: int,
    phases: Phases,
) -> NDArray[np.float64]:
    """Estimate the effect of each source on each target.

    Each row of a batch is an image with a target of its own, so that one backward pass serves as many targets as the
    batch has rows, and all sources. Three estimates are made, each a mean over the target's images with its sign: what
    taking the source away would do where it is active (slope times difference to the baseline); the same with the slope
    from near the baseline, where nothing is saturated; and what adding the source's usual height would do where it is
    not active and that matters most. The first two are blind to a source that keeps a target silent.

    Args:
        model: the model.
        images: the images of the survey.
        part: the network between the layers.
        seen: the survey.
        baseline: what takes the place of a unit's map.
        sources: (source) units of the source layer.
        targets: (target) units of the target layer.
        active: (image, unit) bool, in which images source units are active.
        images_per_target: half of them those with the target's largest responses, the others drawn.
        seed: of the draw.
        batch_size: rows a pass.
        phases: progress; each row counts.

    Returns:
        (estimate, source, target) float64, zero or more, in the target's own unit of activation.

    Source: [syed2023]
    """
    chosen = _images_of(seen, targets, images_per_target, seed)
    height = _heights(seen, active)
    sums, counts = np.zeros((3, len(targets), seen.source_max.shape[1])), np.zeros((2, len(targets), active.shape[1]))
    start = 0
    with phases.meter("screening", int(chosen.sum()) * len(STATIONS)) as meter:
        for _, inputs in model.batches(images, batch_size=batch_size):
            here = chosen[start : start + len(inputs)]
            observed = part.observe(inputs)
            for rows in _chunks(np.argwhere(here), batch_size):
                there = active[start + rows[:, 0]]
                for number, station in enumerate(STATIONS):
                    away, steepest = _slopes(part, observed, baseline, rows, start, targets, station)
                    np.add.at(sums[number], rows[:, 1], np.where(there, away, 0.0))
                    if number == 0:
                        np.add.at(sums[-1], rows[:, 1], np.where(there, 0.0, steepest * height))
                    meter.advance(len(rows))
                for number, which in enumerate((there, ~there)):
                    np.add.at(counts[number], rows[:, 1], which)
            start += len(inputs)
    means = np.abs(sums) / np.maximum(counts[[0, 0, 1]], 1)
    return np.asarray(means[:, :, sources].swapaxes(1, 2))


def best_pairs(estimates: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The pairs that rank highest, each estimate proposing in turn.

    Args:
        estimates: (estimate, source, target).
        count: pairs to choose.

    Returns:
        (pair) int64, positions in (source, target) laid out in one row, rising.
    """
    order = np.argsort(-estimates.reshape(len(estimates), -1), axis=1, kind="stable")
    proposed = order.T.ravel()
    _, first = np.unique(proposed, return_index=True)
    return np.sort(proposed[np.sort(first)[:count]])


def _images_of(seen: Survey, targets: NDArray[np.int64], count: int, seed: int) -> NDArray[np.bool_]:
    """(image, target): whether the image is one of the target's."""
    generator = np.random.default_rng(seed)
    chosen = np.zeros((len(seen), len(targets)), dtype=bool)
    best = np.argsort(-seen.target_max[:, targets], axis=0, kind="stable")[: (count + 1) // 2]
    np.put_along_axis(chosen, best, True, axis=0)
    drawn = generator.permuted(np.tile(np.arange(len(seen)), (len(targets), 1)), axis=1)[:, : count // 2]
    np.put_along_axis(chosen, drawn.T, True, axis=0)
    return chosen


def _heights(seen: Survey, active: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(unit): how much higher a unit's maximum is where it is active than elsewhere."""
    counts = active.sum(axis=0), (~active).sum(axis=0)
    sums = (np.where(which, seen.source_max, 0).sum(axis=0, dtype=np.float64) for which in (active, ~active))
    high, low = (total / np.maximum(count, 1) for total, count in zip(sums, counts, strict=True))
    return np.asarray(np.where(counts[0] > 0, high - low, 0.0))


def _slopes(
    part: Continuation,
    observed: Observed,
    baseline: Baseline,
    rows: NDArray[np.int64],
    start: int,
    targets: NDArray[np.int64],
    station: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(row, unit) twice: the slope of the row's target times the difference to the baseline; its steepest slope."""
    device = observed.source.device
    images = torch.from_numpy(rows[:, 0]).to(device)
    own = observed.source[images]
    difference = own - baseline.whole(start + rows[:, 0])
    maps = (own - (1 - station) * difference).requires_grad_()
    with torch.enable_grad():
        answer = part.rerun(observed, images, maps)
        unit = torch.from_numpy(targets[rows[:, 1]]).to(device)
        total = answer[torch.arange(len(rows), device=device), unit].amax(dim=1).sum()
    (slope,) = torch.autograd.grad(total, maps)
    away = (slope * difference).sum(dim=2)
    steepest = slope.gather(2, slope.abs().argmax(dim=2, keepdim=True))[:, :, 0]
    return away.double().cpu().numpy(), steepest.double().cpu().numpy()


def _chunks(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]
