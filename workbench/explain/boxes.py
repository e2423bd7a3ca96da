"""Rectangles of an image, hidden one at a time: what the coarse-to-fine searches are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from workbench.explain.baselines import Hiding
    from workbench.explain.score import Question


def box_falls(
    question: Question, hide: Hiding, image: int, boxes: NDArray[np.int64], batch_size: int
) -> Iterator[NDArray[np.float64]]:
    """How far the score of one image falls when each box is hidden, a batch at a time.

    Args:
        question: what is explained.
        hide: what hidden parts show.
        image: number of the image.
        boxes: (box, 4) int64: first row, first column, the row behind the last, the column behind the last.
        batch_size: boxes a forward pass.

    Yields:
        (some boxes) float64, score of the untouched image minus score with the box hidden, in the order of the boxes.

    Raises:
        NotFiniteError: the model gives NaN or infinity.
    """
    windows = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    for start in range(0, len(boxes), batch_size):
        some = windows[start : start + batch_size]
        rows = torch.full((len(some),), image, device=question.inputs.device)
        scores = question.scores(hide.windows(image, some), rows)
        yield np.asarray((question.reference[image] - scores).cpu().double().numpy())


def box_maximum(values: NDArray[np.float64], boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The largest value within each box.

    Args:
        values: (y, x) float64.
        boxes: (box, 4) int64, see :func:`box_falls`.

    Returns:
        (box) float64.
    """
    return np.array([values[top:bottom, left:right].max() for top, left, bottom, right in boxes.tolist()])
