"""What the methods that optimise a mask share: images a few at a time, steps, partial maps and counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import InputError
from workbench.explain.progress import Meter, Report, Stop
from workbench.explain.result import heatmaps

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from workbench.explain.score import Question


class MaskSearch(ABC):
    """Optimises masks of some images by gradient steps; one is made for each chunk of images.

    The masks of different images never meet in the objective, so that a chunk gives what its images give alone, but
    for rounding.
    """

    @abstractmethod
    def step(self) -> None:
        """One step of the optimiser.

        Raises:
            NotFiniteError: the model gives NaN or infinity.
        """

    @abstractmethod
    def maps(self) -> NDArray[np.float32]:
        """(image of the chunk, y, x) float32, what matters, as known now."""

    @abstractmethod
    def facts(self) -> Mapping[str, NDArray[np.float64]]:
        """Coordinates, one number an image of the chunk each."""


def optimise(
    question: Question,
    make: Any,
    *,
    iterations: int,
    evaluations: int,
    chunk: int,
    method: str,
    parameters: Mapping[str, Any],
    progress: Report,
    stop: Stop | None,
    label: str,
) -> xr.DataArray:
    """Run a search for each chunk of images.

    Args:
        question: what is explained.
        make: gives the :class:`MaskSearch` of some images, (image) int64 to the search.
        iterations: steps.
        evaluations: evaluations of the model that a step takes an image.
        chunk: images at a time.
        method: registered name of the method.
        parameters: for the provenance.
        progress: see :class:`Meter`.
        stop: see :class:`Meter`.
        label: what to write before the bar.

    Returns:
        See :func:`workbench.explain.result.heatmaps`; the attributes ``evaluations`` and ``gradients`` count the
        inputs that the model was asked about with a gradient, of all images.

    Raises:
        Interrupted: ``stop`` answered True.
        NotFiniteError: the model gives NaN or infinity.
    """
    values = np.full((len(question), *question.size), np.nan, np.float32)
    facts: dict[str, NDArray[np.float64]] = {}

    def draw(search: MaskSearch, rows: slice, count: int, finite: bool) -> xr.DataArray:
        values[rows] = search.maps()
        for name, numbers in search.facts().items():
            facts.setdefault(name, np.full(len(question), np.nan))[rows] = numbers
        coords = {name: ("image", numbers.copy()) for name, numbers in facts.items()}
        return heatmaps(
            question,
            values,
            method=method,
            parameters=parameters,
            finite=finite,
            coords=coords,
            evaluations=count,
            gradients=count,
        )

    total = len(question) * iterations * evaluations
    with Meter(total, progress=progress, stop=stop, label=label) as meter:
        meter.check()
        for start in range(0, len(question), chunk):
            rows = slice(start, min(start + chunk, len(question)))
            search: MaskSearch = make(torch.arange(rows.start, rows.stop, device=question.inputs.device))
            work = (rows.stop - rows.start) * evaluations
            for _ in range(iterations):
                search.step()
                count = meter.done + work
                meter.advance(work, lambda: draw(search, rows, count, finite=False))  # noqa: B023  called at once
            final = draw(search, rows, meter.done, finite=rows.stop == len(question))
    return final


def check_counts(**counts: int) -> None:
    """Refuse counts below 1.

    Args:
        **counts: name to value.

    Raises:
        InputError: a value below 1, with its name.
    """
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name} is {value}; expected at least 1.")
