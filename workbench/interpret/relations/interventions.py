"""What a change of one unit of a layer does to the units of a later layer, measured image by image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import InputError
from workbench.interpret.relations.survey import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from workbench.explain import Meter
    from workbench.interpret.relations.checkpoint import Checkpoint
    from workbench.interpret.relations.continuation import Continuation, Observed
    from workbench.interpret.relations.phases import Phases
    from workbench.interpret.relations.survey import Baseline, Survey
    from workbench.models import ImageModel

ROUNDING = 100  # units of the last place of the largest activation


@dataclass(frozen=True, eq=False)
class Setting:
    """What all experiments on a pair of layers share.

    Attributes:
        model: the model.
        images: the images of the survey.
        part: the network between the layers.
        seen: the survey.
        baseline: what takes the place of a unit's map.
        active: (image, unit) bool, in which images source units are active.
        batch_size: rows a pass.
        checkpoint: where finished batches are kept.
        phases: progress; each row counts.
    """

    model: ImageModel
    images: Any
    part: Continuation
    seen: Survey
    baseline: Baseline
    active: NDArray[np.bool_]
    batch_size: int
    checkpoint: Checkpoint
    phases: Phases

    @property
    def negligible(self) -> NDArray[np.float64]:
        """(unit) size of an effect on each target below which it is rounding: the same sums in another order."""
        size = np.abs(self.seen.target_max).max(axis=0).astype(np.float64)
        return np.asarray(ROUNDING * torch.finfo(self.model.dtype).eps * size)

    def batches(self) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Number of the batch, position of its first image, and network input.

        Raises:
            InputError: the images are not those of the survey.
        """
        start = 0
        for number, (_, inputs) in enumerate(self.model.batches(self.images, batch_size=self.batch_size)):
            if digest(inputs) != self.seen.digests[number]:
                raise InputError(
                    f"The images of batch {number} are not those that were looked at before. Pass images that are the "
                    "same each time they are read (no random augmentation), in the same order."
                )
            yield number, start, inputs
            start += len(inputs)


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of single sources on single targets.

    Attributes:
        effect: (pair, image) float32, the target with the source minus without it, where the larger of both is
            largest; NaN where the source is not active.
        change: (pair, image) float32, by how much the source's maximum was lowered there; NaN likewise.
        place: (pair, image) int32, position at which the target changes most; -1 where it does not.
    """

    effect: NDArray[np.float32]
    change: NDArray[np.float32]
    place: NDArray[np.int32]

    def joined(self, others: Effects) -> Effects:
        """These, followed by others of the same images."""
        names = [field.name for field in fields(self)]
        return Effects(**{name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in names})


def measure(setting: Setting, pairs: NDArray[np.int64], *, name: str = "effects") -> Effects:
    """Take each source away in each image in which it is active: one row a source and image serves all targets.

    Args:
        setting: what is common.
        pairs: (pair, 3) int64: unit of the source layer; unit of the target layer; and a second source that is away
            both before and after, in images in which it is active too, -1 for none.
        name: of the phase; finished batches are kept under it.

    Returns:
        The effects.

    Raises:
        InputError: the images are not those of the survey.
        Interrupted: on request; with a checkpoint, finished batches are kept.
    """
    removals, owner = np.unique(pairs[:, [0, 2]], axis=0, return_inverse=True)
    members = [np.flatnonzero(owner.ravel() == position) for position in range(len(removals))]
    active = setting.active[:, removals[:, 0]] & (setting.active[:, removals[:, 1]] | (removals[:, 1] < 0))
    parts = []
    with setting.phases.meter(name, int(active.sum())) as meter:
        for number, start, inputs in setting.batches():
            piece = setting.checkpoint.get(f"{name} {number:05d}")
            rows = np.argwhere(active[start : start + len(inputs)])
            if piece is None:
                piece = _measure_batch(setting, inputs, start, rows, pairs, removals, members, meter)
                setting.checkpoint.put(f"{name} {number:05d}", piece)
            else:
                meter.advance(len(rows))
            parts.append(piece)
    return Effects(**{key: np.concatenate([part[key] for part in parts], axis=1) for key in parts[0]})


def _measure_batch(
    setting: Setting,
    inputs: torch.Tensor,
    start: int,
    rows: NDArray[np.int64],
    pairs: NDArray[np.int64],
    removals: NDArray[np.int64],
    members: list[NDArray[np.int64]],
    meter: Meter,
) -> dict[str, NDArray[Any]]:
    shape = (len(pairs), len(inputs))
    found: dict[str, NDArray[Any]] = {key: np.full(shape, np.nan, np.float32) for key in ("effect", "change")}
    found["place"] = np.full(shape, -1, np.int32)
    if not len(rows):
        return found
    observed = setting.part.observe(inputs)
    conditional = bool((removals[:, 1] >= 0).any())
    for begin in range(0, len(rows), setting.batch_size):
        some = rows[begin : begin + setting.batch_size]
        unit, given = removals[some[:, 1]].T
        # where no other is away, the source itself is taken twice, which changes nothing
        other = np.where(given < 0, unit, given)
        without = [[unit, other], [other]] if conditional else [[unit]]
        before, answers, lowered = variants(setting, observed, start, some[:, 0], without)
        after = answers[0]
        if conditional:
            alone = torch.from_numpy(given < 0).to(before.device)[:, None, None]
            before = torch.where(alone, before, answers[1])
        at, difference = torch.maximum(before, after).argmax(dim=2, keepdim=True), before - after
        largest = difference.abs().max(dim=2)
        effect = difference.gather(2, at)[:, :, 0].float().cpu().numpy()
        effect[np.abs(effect) <= setting.negligible] = 0
        place = largest.indices.cpu().numpy()
        place[largest.values.float().cpu().numpy() <= setting.negligible] = -1
        for row, (image, position) in enumerate(some):
            wired = members[position]
            targets = pairs[wired, 1]
            found["effect"][wired, image] = effect[row, targets]
            found["place"][wired, image] = place[row, targets]
            found["change"][wired, image] = lowered[0][row]
        meter.advance(len(some))
    return found


def variants(
    setting: Setting,
    observed: Observed,
    start: int,
    images: NDArray[np.int64],
    sets: list[list[NDArray[np.int64]]],
) -> tuple[torch.Tensor, list[torch.Tensor], list[NDArray[np.float32]]]:
    """Run on from the source layer with units taken away.

    Args:
        setting: what is common.
        observed: what the batch gave, unchanged.
        start: position of the batch's first image.
        images: (row) int64, image within the batch.
        sets: for each variant, one or more (row) int64: units that are taken away together.

    Returns:
        (row, unit, position) of the target unchanged; the same of each variant; and for each variant (row) float32, by
        how much its first unit was lowered where it is largest.
    """
    device = observed.source.device
    where = torch.from_numpy(images).to(device)
    number = torch.arange(len(images), device=device)
    given, lowered = [], []
    for units in sets:
        maps = observed.source[where]  # a copy, since it is indexed by a tensor
        for position, unit in enumerate(units):
            chosen = torch.from_numpy(unit).to(device)
            own, other = maps[number, chosen], setting.baseline.of(start + images, unit)
            if position == 0:
                at = own.argmax(dim=1, keepdim=True)
                lowered.append((own - other).gather(1, at)[:, 0].float().cpu().numpy())
            maps[number, chosen] = other
        given.append(maps)
    with torch.no_grad():
        answers = setting.part.rerun(observed, where.repeat(len(sets)), torch.cat(given))
    return (
        observed.target[where],
        [answers[begin : begin + len(images)] for begin in range(0, len(answers), len(images))],
        lowered,
    )
