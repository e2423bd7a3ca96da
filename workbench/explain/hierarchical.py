"""Hierarchical occlusion: large windows everywhere, small ones where the large ones mattered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import InputError
from workbench.explain.baselines import describe, hiding
from workbench.explain.boxes import box_falls, box_maximum
from workbench.explain.lattice import Lattice, Size, as_pair, lattice
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.registered import explainers
from workbench.explain.result import heatmaps
from workbench.explain.score import Score, ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

FINEST = 14  # an automatic finest patch is this part of the shorter side


@dataclass(eq=False)
class _Search:
    """What is known of one image.

    Attributes:
        lattices: one a level, the largest patch first.
        falls: one array a level, (window) float64, NaN where a window was not hidden.
    """

    lattices: Sequence[Lattice]
    falls: list[NDArray[np.float64]]

    def surface(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(y, x) float64, falls as of the finest patch; (y, x) int64, the level that each pixel's comes from."""
        values = np.full(self.lattices[0].size, np.nan)
        source = np.zeros(values.shape, np.int64)
        before = self.lattices[0]
        for level, (windows, falls) in enumerate(zip(self.lattices, self.falls, strict=True)):
            # a smaller window is taken to have its share of the larger one's fall, until it is measured
            values = values * (windows.patch[0] * windows.patch[1]) / (before.patch[0] * before.patch[1])
            found = windows.average(falls)
            source = np.where(np.isnan(found), source, level)
            values = np.where(np.isnan(found), values, found)
            before = windows
        return values, len(self.lattices) - 1 - source

    def choose(self, level: int, threshold: float, budget: int) -> NDArray[np.int64]:
        """Numbers of the windows of a level that are worth hiding, the strongest first."""
        boxes = window_boxes(self.lattices[level])
        if level == 0:
            return self.lattices[0].refinement_order()[:budget]
        strength = box_maximum(np.nan_to_num(np.abs(self.surface()[0])), boxes)
        order = np.argsort(-strength, kind="stable")
        chosen: NDArray[np.int64] = order[strength[order] >= threshold * strength.max()][:budget]
        return chosen


@explainers.register(
    title="Hierarchical occlusion",
    source=("zeiler2014",),
    access="black box",
    returns="fall of the score where the smallest patch hides the image; coarser estimates where little was found",
    cost="36 evaluations at 224 x 224, then up to 169 and 729 where the map so far reaches half of its maximum",
    note="Our own search by plain forward passes. What two patches do together is not the sum of what each does, so "
    "small evidence can hide where a larger patch shows little: threshold=0 looks everywhere and is dense occlusion.",
    parameters={
        "patch": ("int", None, 1, 64),
        "levels": ("int", 3, 1, 5),
        "threshold": ("float", 0.5, 0.0, 1.0),
        "baseline": ("choice", "zero", ("zero", "black", "mean", "blur", "noise", "inpaint")),
        "seed": ("int", 0, 0, 1000),
    },
)
def hierarchical_occlusion(
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    patch: Size | None = None,
    stride: Size | None = None,
    levels: int = 3,
    threshold: float = 0.5,
    budget: int | None = None,
    baseline: str | torch.Tensor = "zero",
    seed: int = 0,
    batch_size: int = 32,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.DataArray:
    """Hide large windows everywhere, then windows of half the size where those changed the score, and so on.

    The rule: a window of the next level is hidden where it touches a pixel whose value so far, for or against, is at
    least ``threshold`` of the largest. Every evaluation is a plain forward pass of the whole network. Where no window
    of the finest patch was hidden, the value is the coarser window's fall times the ratio of the areas: an estimate,
    as if evidence were spread evenly, marked in the coordinate ``level``.

    The limit: occlusion is not additive. A small patch can matter where a larger one around it did not (evidence for
    and against in one window cancels), and is then missed; the threshold says how much is looked at. At 0 everything
    is, and the map is that of :func:`workbench.explain.occlusion` with the finest patch. Source: [zeiler2014] for
    occlusion; the search is ours.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        patch: pixels of the finest window, one number or (y, x); None is a 14th of the shorter side.
        stride: pixels between the finest windows, at most the patch; None is half the patch. Both double at each
            coarser level.
        levels: levels at most, at least 1; with an automatic patch, levels that would not fit are left out.
        threshold: share of the largest value so far from which a place is looked at more closely, 0 to 1.
        budget: evaluations an image at most; the strongest places come first. None is no limit.
        baseline: what windows show, see :func:`workbench.explain.occlusion`.
        seed: for baselines that draw.
        batch_size: inputs a forward pass, at least 1.
        progress: True for a bar, or a callable that takes :class:`Progress` (with the map so far). How much there is
            to do is known level by level; ``total`` is what is left at most.
        stop: asked between batches; True ends the work with :class:`Interrupted`.

    Returns:
        DataArray (image, y, x) float32 on the grid of the network input, in units of the score of the finest patch;
        above 0 where hiding lowers the score. Coordinates: ``level`` (image, y, x) int64, 0 where windows of the
        finest patch were hidden, 1 where only those of twice its size were, and so on; ``evaluations`` (image).

    Raises:
        InputError: a patch larger than the image, a stride below 1 or above the patch, a number outside its range,
            or a budget that does not cover the image with the largest window.
        UnknownNameError: no such category or baseline.
        Interrupted: ``stop`` answered True.
        NotFiniteError, ShapeError, DtypeError: the images or the model's answers cannot be used.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; expected a share from 0 (everything) to 1 (the largest only).")
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    lattices = pyramid(question.size, patch, stride, levels)
    if budget is not None and budget < len(lattices[0]):
        raise InputError(f"budget is {budget}; the coarsest level alone takes {len(lattices[0])} evaluations an image.")
    hide = hiding(baseline, question.inputs, model=model, seed=seed)
    parameters = {
        "patch": list(lattices[-1].patch),
        "stride": list(lattices[-1].stride),
        "levels": len(lattices),
        "threshold": threshold,
        "budget": budget,
        "baseline": describe(baseline),
        "seed": seed,
    }
    values = np.full((len(question), *question.size), np.nan)
    source = np.full(values.shape, len(lattices) - 1)
    counts = np.zeros(len(question), np.int64)

    def draw(finite: bool) -> xr.DataArray:
        return heatmaps(
            question,
            values,
            method="hierarchical_occlusion",
            parameters=parameters,
            finite=finite,
            coords={"level": (("image", "y", "x"), source.copy()), "evaluations": ("image", counts.copy())},
            evaluations=int(counts.sum()),
        )

    most = [len(windows) for windows in lattices]
    each = sum(most) if budget is None else min(sum(most), budget)
    label = "hierarchical occlusion"
    with Meter(len(question) * each, progress=progress, stop=stop, label=label) as meter, torch.no_grad():
        meter.check()
        for image in range(len(question)):
            search = _Search(lattices, [np.full(len(windows), np.nan) for windows in lattices])
            for level, windows in enumerate(lattices):
                left = each - int(counts[image])
                chosen = search.choose(level, threshold, left)
                here = min(len(chosen) + sum(most[level + 1 :]), left)
                meter.total = meter.done + here + (len(question) - image - 1) * each
                start = 0
                for falls in box_falls(question, hide, image, window_boxes(windows)[chosen], batch_size):
                    search.falls[level][chosen[start : start + len(falls)]] = falls
                    start += len(falls)
                    counts[image] += len(falls)
                    values[image], source[image] = search.surface()
                    meter.advance(len(falls), lambda: draw(finite=False))
    return draw(finite=True)


def window_boxes(windows: Lattice) -> NDArray[np.int64]:
    """A lattice's windows as boxes.

    Args:
        windows: the lattice.

    Returns:
        (window, 4) int64, see :func:`workbench.explain.boxes.box_falls`.
    """
    return np.concatenate([windows.corners, windows.corners + np.array(windows.patch)], axis=1)


def pyramid(size: tuple[int, int], patch: Size | None, stride: Size | None, levels: int) -> list[Lattice]:
    """One lattice a level, the largest patch first.

    Args:
        size: (y, x) pixels of the network input.
        patch: pixels of the finest window; None is a 14th of the shorter side.
        stride: pixels between the finest windows; None is half the patch.
        levels: levels, fewer where the patch is automatic and would not fit.

    Returns:
        The lattices.

    Raises:
        InputError, DtypeError: sizes that cannot be used.
    """
    if levels < 1:
        raise InputError(f"levels is {levels}; expected at least 1.")
    finest = max(2, round(min(size) / FINEST))
    if patch is None:
        levels = max(1, min(levels, (min(size) // finest).bit_length()))
    height, width = as_pair(finest if patch is None else patch, name="patch")
    down, across = as_pair((max(1, height // 2), max(1, width // 2)) if stride is None else stride, name="stride")
    factors = [2**level for level in reversed(range(levels))]
    return [lattice(size, (height * by, width * by), (down * by, across * by)) for by in factors]
