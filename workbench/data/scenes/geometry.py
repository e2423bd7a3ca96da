"""Pieces of shapes, and how much of each pixel a piece covers.

A piece is convex: a polygon or an ellipse. Its signed distance (negative inside, in pixels) is evaluated on the
pixels of its bounding box only, and ``clip(0.5 - distance, 0, 1)`` is the covered share of a pixel: antialiased
without supersampling. A shape is a union of overlapping pieces, whose distance is the least of theirs.
Distances are separable sums wherever possible (one row plus one column), so most of them cost one pass over the box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Point = tuple[float, float]
Distance = NDArray[np.float32]


@dataclass(frozen=True)
class Placement:
    """Where local coordinates (x right, y down, the shape within -1..1) lie in the picture.

    Attributes:
        x: horizontal centre in pixels.
        y: vertical centre in pixels.
        radius: pixels a local unit.
        angle: rotation in radians; positive turns clockwise as seen on screen.
    """

    x: float
    y: float
    radius: float
    angle: float

    def point(self, local: Point) -> Point:
        """A local point in pixels.

        Args:
            local: (x, y) in local coordinates.

        Returns:
            (x, y) in pixels.
        """
        cosine, sine = math.cos(self.angle) * self.radius, math.sin(self.angle) * self.radius
        return self.x + cosine * local[0] - sine * local[1], self.y + sine * local[0] + cosine * local[1]


@dataclass(frozen=True)
class Polygon:
    """A convex polygon; vertices in local coordinates, clockwise as seen on screen."""

    vertices: tuple[Point, ...]

    def placed(self, at: Placement) -> PlacedPolygon:
        """The polygon in pixels.

        Args:
            at: where the shape lies.

        Returns:
            The placed polygon.
        """
        return PlacedPolygon([at.point(vertex) for vertex in self.vertices])


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in local coordinates; ``angle`` in radians, clockwise as seen on screen."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    angle: float = 0.0

    def placed(self, at: Placement) -> PlacedEllipse:
        """The ellipse in pixels.

        Args:
            at: where the shape lies.

        Returns:
            The placed ellipse.
        """
        x, y = at.point((self.x, self.y))
        return PlacedEllipse(x, y, self.radius_x * at.radius, self.radius_y * at.radius, self.angle + at.angle)


Piece = Polygon | Ellipse


class PlacedPolygon:
    """A convex polygon in pixel coordinates."""

    def __init__(self, vertices: Sequence[Point]) -> None:
        self.vertices = vertices

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels."""
        xs = [vertex[0] for vertex in self.vertices]
        ys = [vertex[1] for vertex in self.vertices]
        return min(xs), min(ys), max(xs), max(ys)

    def distance(self, xs: Distance, ys: Distance) -> Distance:
        """Signed distance at pixel centres: the greatest of the distances to the edges' lines.

        Exact inside and beside an edge; outside, beyond a corner, it is that of the mitred corner.

        Args:
            xs: (x,) pixel centres.
            ys: (y, 1) pixel centres.

        Returns:
            (y, x) float32, pixels.
        """
        result = np.full((len(ys), len(xs)), -np.inf, dtype=np.float32)
        x0, y0 = self.vertices[-1]
        for x1, y1 in self.vertices:
            length = math.hypot(x1 - x0, y1 - y0)
            normal_x, normal_y = (y1 - y0) / length, (x0 - x1) / length
            np.maximum(result, normal_x * xs + (normal_y * ys - (normal_x * x0 + normal_y * y0)), out=result)
            x0, y0 = x1, y1
        return result


class PlacedEllipse:
    """An ellipse in pixel coordinates."""

    def __init__(self, x: float, y: float, radius_x: float, radius_y: float, angle: float) -> None:
        self.x, self.y, self.radius_x, self.radius_y = x, y, radius_x, radius_y
        self.cosine, self.sine = math.cos(angle), math.sin(angle)

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels."""
        half_x = math.hypot(self.radius_x * self.cosine, self.radius_y * self.sine)
        half_y = math.hypot(self.radius_x * self.sine, self.radius_y * self.cosine)
        return self.x - half_x, self.y - half_y, self.x + half_x, self.y + half_y

    def distance(self, xs: Distance, ys: Distance) -> Distance:
        """Signed distance at pixel centres; exact for circles, first order in the distance for ellipses.

        Args:
            xs: (x,) pixel centres.
            ys: (y, 1) pixel centres.

        Returns:
            (y, x) float32, pixels.
        """
        a, b = self.radius_x, self.radius_y
        column, row = xs - self.x, ys - self.y
        along = (self.cosine / a) * column + (self.sine / a) * row
        across = (-self.sine / b) * column + (self.cosine / b) * row
        along *= along
        across *= across
        level = along + across
        if a == b:
            np.sqrt(level, out=level)
            level -= 1
            level *= a
            return level
        # f (f - 1) / |gradient of f squared / 2|, with f the elliptic radius
        along *= 1 / (a * a)
        across *= 1 / (b * b)
        along += across
        np.sqrt(along, out=along)
        np.sqrt(level, out=across)
        level -= across
        along += 1e-6
        level /= along
        return level


@dataclass(frozen=True)
class Window:
    """The pixels of a bounding box, clipped to the picture: rows and columns as slices and as pixel centres."""

    rows: slice
    columns: slice
    xs: Distance
    ys: Distance


def union_distance(pieces: Sequence[Piece], at: Placement, size: int) -> tuple[Window, Distance] | None:
    """Signed distance to a union of pieces, on the pixels that it may touch.

    Args:
        pieces: overlapping convex pieces in local coordinates.
        at: where they lie.
        size: side of the picture in pixels.

    Returns:
        The window and the (y, x) float32 distance in pixels on it, or None where nothing lies in the picture.
    """
    placed = [piece.placed(at) for piece in pieces]
    boxes = [piece.bounds() for piece in placed]
    left = max(0, math.floor(min(box[0] for box in boxes) - 1))
    top = max(0, math.floor(min(box[1] for box in boxes) - 1))
    right = min(size, math.ceil(max(box[2] for box in boxes) + 1))
    bottom = min(size, math.ceil(max(box[3] for box in boxes) + 1))
    if left >= right or top >= bottom:
        return None
    xs = np.arange(left + 0.5, right, dtype=np.float32)
    ys = np.arange(top + 0.5, bottom, dtype=np.float32)[:, None]
    result = placed[0].distance(xs, ys)
    for piece in placed[1:]:
        np.minimum(result, piece.distance(xs, ys), out=result)
    return Window(slice(top, bottom), slice(left, right), xs, ys), result
