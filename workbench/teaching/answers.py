"""The right answers of the exercises that must be computed, kept out of the notebooks so that none gives one away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arrays import X, Y, check_array
from workbench.errors import InputError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def evidence_inside(heat: Any, mask: Any) -> float:
    """The share of the evidence for a prediction that lies inside a mask.

    Args:
        heat: (y, x) any real dtype; only values above zero, evidence for, are counted.
        mask: (y, x) bool, of the same size.

    Returns:
        From 0 (all of it outside) to 1 (all of it inside).

    Raises:
        ShapeError: the two have different sizes.
        InputError: there is no evidence at all: no value is above zero.
    """
    heat = check_array(heat, name="heat", dims=(Y, X)).astype(np.float64)
    mask = check_array(mask, name="mask", dims=(Y, X), kinds="b")
    if heat.shape != mask.shape:
        raise ShapeError(f"heat has the shape {heat.shape} and mask {mask.shape}; expected one size (y, x).")
    positive = np.maximum(heat, 0.0)
    total = float(positive.sum())
    if total == 0:
        raise InputError(
            "No value of heat is above zero, so no share can be formed; explain another image or category."
        )
    return float(positive[mask].sum() / total)


def changed_outputs(first: int, length: int, kernel: int, stride: int, padding: int, outputs: int) -> tuple[int, int]:
    """Which outputs of a sliding window read a changed pixel, along one axis; by looking at each of them.

    Args:
        first: the first changed pixel of the input.
        length: how many pixels have changed, side by side.
        kernel: pixels that an output reads.
        stride: pixels from what one output reads to what the next one does.
        padding: pixels before the first one of the input that output 0 begins to read at.
        outputs: how many outputs there are.

    Returns:
        The first output that reads a changed pixel, and one past the last; (0, 0) where none does.

    Raises:
        InputError: nothing has changed, or a kernel, a stride or a number of outputs below 1.
    """
    sizes = {"length": length, "kernel": kernel, "stride": stride, "outputs": outputs}
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name} is {value}; expected at least 1.")
    changed = set(range(first, first + length))
    reading = [
        output
        for output in range(outputs)
        if not changed.isdisjoint(range(output * stride - padding, output * stride - padding + kernel))
    ]
    return (reading[0], reading[-1] + 1) if reading else (0, 0)


def farthest_first(points: Any, count: int) -> NDArray[np.int64]:
    """Points spread over all of them: the one nearest to the mean, then always the one farthest from all chosen.

    Args:
        points: (point, coordinate) finite real numbers.
        count: how many to choose, from 1 to the number of points.

    Returns:
        (count) int64 positions in the order of choice; of several at the same distance the first.

    Raises:
        ShapeError: not two dimensions.
        NotFiniteError: NaN or infinity.
        InputError: a count out of range.
    """
    places = check_array(points, name="points", dims=("point", "coordinate")).astype(np.float64)
    if not 1 <= count <= len(places):
        raise InputError(f"count is {count}; expected from 1 to the {len(places)} points.")

    def distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        return float(np.linalg.norm(first - second))

    middle = places.mean(axis=0)
    chosen = [min(range(len(places)), key=lambda index: distance(places[index], middle))]
    while len(chosen) < count:
        rest = [index for index in range(len(places)) if index not in chosen]
        chosen.append(max(rest, key=lambda index: min(distance(places[index], places[each]) for each in chosen)))
    return np.array(chosen, dtype=np.int64)


def kept_place(first: Any, second: Any) -> float:
    """How much less the displacement of two things varies than if they had nothing to do with each other.

    Args:
        first: (image, axis) finite real numbers, where one is in each image.
        second: (image, axis) the same of the other.

    Returns:
        1 minus the variance of the displacement over the sum of both variances, each summed over the axes: 1 where one
        place follows from the other, 0 where they have nothing to do with each other, -1 at least.

    Raises:
        ShapeError: not two dimensions, or other sizes.
        NotFiniteError: NaN or infinity.
        InputError: neither of them moves.
    """
    places = [check_array(each, name="places", dims=("image", "axis")).astype(np.float64) for each in (first, second)]
    if places[0].shape != places[1].shape:
        raise ShapeError(f"The places have the shapes {places[0].shape} and {places[1].shape}; expected the same.")

    def spread(points: NDArray[np.float64]) -> float:
        middle = points.sum(axis=0) / len(points)
        return sum(float(((point - middle) ** 2).sum()) for point in points) / len(points)

    by_chance = spread(places[0]) + spread(places[1])
    if by_chance == 0:
        raise InputError("Neither of them moves from image to image; there is nothing to be explained.")
    return 1 - spread(places[1] - places[0]) / by_chance
