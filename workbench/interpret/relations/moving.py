"""What a source does when another one is moved to its other side: the place of a unit, changed by intervention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.interpret.relations.sides import places_of, sides_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.explain import Meter
    from workbench.interpret.relations.interventions import Setting

IMAGES = 128  # most in which a partner is moved


def movable(setting: Setting, tests: NDArray[np.int64], *, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """In which images a partner can be moved to the other side of a source, as far from it as it was.

    Args:
        setting: what the experiments shared.
        tests: (test, 3) int64: source, partner and axis.
        seed: of the draw where there are many.

    Returns:
        (test, image) bool, at most 128 images a test, in which both are active, on different rows or columns, and the
        place to move to lies in the map; and (test, image, 2) int64, by how many rows and columns the partner moves.
    """
    source, partner, axis = tests.T
    places, size = places_of(setting), np.array(setting.part.source.grid)
    ordered = sides_of(setting, source, partner, axis) != 0
    away = 2 * (places[axis, :, source] - places[axis, :, partner])
    there = places[axis, :, partner] + away
    possible = ordered & (there >= 0) & (there < size[axis][:, None])
    for row, (one, other, along) in enumerate(tests.tolist()):
        found = np.flatnonzero(possible[row])
        if len(found) > IMAGES:
            kept = np.random.default_rng([seed, one, other, along]).permutation(found)[:IMAGES]
            possible[row] = np.isin(np.arange(possible.shape[1]), kept)
    shift = np.zeros((*away.shape, 2), dtype=np.int64)
    shift[np.arange(len(tests)), :, axis] = away
    return possible, shift


def moved_effects(
    setting: Setting,
    tests: NDArray[np.int64],
    targets: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    shift: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Effects of sources while a partner of theirs is on the other side.

    The partner's map is moved; what comes in at the border is its baseline. Then the source is taken away, as it was
    with the partner in its own place.

    Args:
        setting: what the experiments shared.
        tests: (test, 3) int64: source, partner and axis; tests of the same three share their runs.
        targets: (test) units of the target layer.
        chosen: (test, image) bool: in which images.
        shift: (test, image, 2) int64: rows and columns by which the partner moves.

    Returns:
        (test, image) effect on the target with the partner moved, in its own unit; NaN where not chosen.

    Raises:
        InputError: the images are not those of the survey.
        Interrupted: on request; with a checkpoint, finished batches are kept.
    """
    _, first, owner = np.unique(tests, axis=0, return_index=True, return_inverse=True)
    members = [np.flatnonzero(owner.ravel() == position) for position in range(len(first))]
    parts = []
    with setting.phases.meter("places", int(chosen[first].sum())) as meter:
        for number, start, inputs in setting.batches() if len(tests) else ():
            piece = setting.checkpoint.get(f"places {number:05d}")
            rows = np.argwhere(chosen[first, start : start + len(inputs)].T)
            if piece is None:
                piece = {"effect": np.full((len(tests), len(inputs)), np.nan, np.float32)}
                if len(rows):
                    _measure_batch(
                        setting, inputs, start, rows, tests[first], shift[first], members, targets, piece, meter
                    )
                setting.checkpoint.put(f"places {number:05d}", piece)
            else:
                meter.advance(len(rows))
            parts.append(piece["effect"])
    return np.concatenate(parts, axis=1) if parts else np.empty((0, chosen.shape[1]), np.float32)


def _measure_batch(
    setting: Setting,
    inputs: torch.Tensor,
    start: int,
    rows: NDArray[np.int64],
    owners: NDArray[np.int64],
    shift: NDArray[np.int64],
    members: list[NDArray[np.int64]],
    targets: NDArray[np.int64],
    found: dict[str, NDArray[Any]],
    meter: Meter,
) -> None:
    observed = setting.part.observe(inputs)
    device = observed.source.device
    size = max(1, setting.batch_size // 2)
    for begin in range(0, len(rows), size):
        images, which = rows[begin : begin + size].T
        source, partner = owners[which, 0], owners[which, 1]
        where = torch.from_numpy(images).to(device)
        number = torch.arange(len(images), device=device)
        beside = observed.source[where]  # a copy, since it is indexed by a tensor
        away = torch.from_numpy(shift[which, start + images]).to(device)
        chosen = torch.from_numpy(partner).to(device)
        grid = setting.part.source.grid or (1, 1)
        beside[number, chosen] = moved(beside[number, chosen], setting.baseline.of(start + images, partner), away, grid)
        alone = beside.clone()
        alone[number, torch.from_numpy(source).to(device)] = setting.baseline.of(start + images, source)
        with torch.no_grad():
            answers = setting.part.rerun(observed, where.repeat(2), torch.cat([beside, alone]))
        before, after = answers[: len(images)], answers[len(images) :]
        at = torch.maximum(before, after).argmax(dim=2, keepdim=True)
        effect = (before - after).gather(2, at)[:, :, 0].float().cpu().numpy()
        effect[np.abs(effect) <= setting.negligible] = 0
        for row, (image, position) in enumerate(zip(images, which, strict=True)):
            tests = members[position]
            found["effect"][tests, image] = effect[row, targets[tests]]
        meter.advance(len(images))


def moved(maps: torch.Tensor, background: torch.Tensor, shift: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Move maps within their frame.

    Args:
        maps: (row, position) float.
        background: (row, position) float, what comes in at the border.
        shift: (row, 2) int64, by how many rows and columns each map moves, downwards and to the right.
        grid: (y, x) size of the maps.

    Returns:
        (row, position).
    """
    height, width = grid
    position = torch.arange(height * width, device=maps.device)
    down = position // width - shift[:, :1]
    right = position % width - shift[:, 1:]
    inside = (down >= 0) & (down < height) & (right >= 0) & (right < width)
    origin = down.clamp(0, height - 1) * width + right.clamp(0, width - 1)
    return torch.where(inside, maps.gather(1, origin), background)
