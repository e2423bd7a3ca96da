"""Hierarchical perturbation: coarse overlapping blocks first, finer ones where those lowered the score."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import InputError
from workbench.explain.baselines import describe, hiding
from workbench.explain.boxes import box_falls, box_maximum
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Score, ask

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


@explainers.register(
    title="HiPe (hierarchical perturbation)",
    source=("cooper2022",),
    access="black box",
    returns="falls of the score under overlapping blocks, added up over the levels",
    signed=False,
    cost="81 evaluations, then up to 289 and up to 1089 where the map so far reaches the middle of its range",
    note="A region whose coarse block shows little is not looked at again, so small evidence that a large block "
    "drowns can be missed. Finer levels add to what is found already, so values are not falls of the score.",
    parameters={
        "cells": ("int", 8, 2, 32),
        "levels": ("int", 3, 1, 5),
        "baseline": ("choice", "hidden_mean", ("hidden_mean", "zero", "black", "mean", "blur", "noise", "inpaint")),
        "seed": ("int", 0, 0, 1000),
    },
)
def hipe(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    cells: int = 8,
    levels: int = 3,
    baseline: str | torch.Tensor = "hidden_mean",
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Hide overlapping blocks of two by two cells, and halve the cells where that lowered the score.

    Each block's fall, where the score does fall, is added to all its pixels. At every level after the first only
    blocks are hidden that touch a pixel in the upper half of the range of the map so far. Source: [cooper2022].

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        cells: cells along the shorter side at the first level, at least 1; as many along the longer side as make
            them nearly square.
        levels: levels at most, each with cells of half the size; levels whose cells would be smaller than a pixel
            are left out.
        baseline: what blocks show: ``"hidden_mean"`` (their own mean colour, as published), another name of
            :data:`workbench.explain.baselines`, or a tensor.
        seed: for baselines that draw.
        batch_size: inputs a forward pass, at least 1.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far). How much there is
            to do is known level by level; ``total`` is what is left at most.
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 on the grid of the network input, at least 0, sums of falls in units of the
        score; ``signed`` adds up rises as well, over the same blocks. The coordinate ``evaluations`` (image) counts
        the blocks, the attribute those of all images.

    Raises:
        InputError: a number outside its range.
        UnknownNameError: no such category or baseline.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images or the model's answers cannot be used.
    """
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    grids = block_levels(question.size, cells, levels)
    hide = hiding(baseline, question.inputs, model=model, seed=seed)
    parameters = {"cells": cells, "levels": levels, "baseline": describe(baseline), "seed": seed}
    values, signed = (np.full((len(question), *question.size), np.nan) for _ in range(2))
    counts = np.zeros(len(question), np.int64)

    def draw(finite: bool) -> xr.DataArray:
        return heatmaps(
            question,
            values,
            signed=signed,
            method="hipe",
            parameters=parameters,
            finite=finite,
            coords={"evaluations": ("image", counts.copy())},
            evaluations=int(counts.sum()),
        )

    most = [len(boxes) for boxes in grids]
    with Meter(len(question) * sum(most), progress=progress, stop=stop, label="HiPe") as meter, torch.no_grad():
        meter.check()
        for image in range(len(question)):
            values[image] = signed[image] = 0.0
            for level, boxes in enumerate(grids):
                chosen = boxes if level == 0 else worth_refining(values[image], boxes)
                rest = sum(most[level + 1 :]) + (len(question) - image - 1) * sum(most)
                meter.total = meter.done + len(chosen) + rest
                start = 0
                for falls in box_falls(question, hide, image, chosen, batch_size):
                    for (top, left, bottom, right), fall in zip(chosen[start:].tolist(), falls, strict=False):
                        values[image, top:bottom, left:right] += max(fall, 0.0)
                        signed[image, top:bottom, left:right] += fall
                    start += len(falls)
                    counts[image] += len(falls)
                    meter.advance(len(falls), lambda: draw(finite=False))
    return draw(finite=True)


def worth_refining(values: NDArray[np.float64], boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The blocks that touch a pixel in the upper half of a map's range.

    Args:
        values: (y, x) float64, the map so far.
        boxes: (box, 4) int64, see :func:`workbench.explain.boxes.box_falls`.

    Returns:
        (chosen, 4) int64, at least one.
    """
    middle = values.min() + (values.max() - values.min()) / 2
    chosen: NDArray[np.int64] = boxes[box_maximum(values, boxes) >= middle]
    return chosen


def block_levels(size: tuple[int, int], cells: int, levels: int) -> list[NDArray[np.int64]]:
    """All blocks of two by two cells, one cell apart and half outside at the borders, a level at a time.

    Args:
        size: (y, x) pixels.
        cells: cells along the shorter side at the first level.
        levels: levels at most.

    Returns:
        A level's blocks each, (box, 4) int64: first row, first column, the row and the column behind the last.

    Raises:
        InputError: fewer than one cell or level, or more cells than pixels.
    """
    if levels < 1:
        raise InputError(f"levels is {levels}; expected at least 1.")
    if not 1 <= cells <= min(size):
        raise InputError(f"cells is {cells}; expected 1 to {min(size)}, the shorter side of the network input.")
    found = []
    for level in range(levels):
        along = [round(cells * 2**level * pixels / min(size)) for pixels in size]
        if min(along) > min(size):
            break
        edges = [np.round(np.linspace(0, pixels, count + 1)) for pixels, count in zip(size, along, strict=True)]
        blocks = product(*([(max(i, 0), min(i + 2, count)) for i in range(-1, count)] for count in along))
        found.append(
            np.array([(edges[0][y], edges[1][x], edges[0][v], edges[1][u]) for (y, v), (x, u) in blocks], np.int64)
        )
    return found
