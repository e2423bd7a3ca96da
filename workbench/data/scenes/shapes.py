"""What objects look like: simple shapes, and composites with named parts, in local coordinates.

Local coordinates: x to the right, y down, the whole shape within the circle or square of radius 1.
A part is drawn as fills, front to back, each a union of pieces in one tint of the part's colour.
Birds look to the right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from workbench.data.scenes.geometry import Ellipse, Piece, Point, Polygon

Tint = Literal["plain", "dark", "light", "black"]


@dataclass(frozen=True)
class Fill:
    """A union of pieces painted in one tint of the colour of its part."""

    pieces: tuple[Piece, ...]
    tint: Tint = "plain"


def _regular(corners: int, *, radius: float = 1.0, start: float = -90.0) -> Polygon:
    angles = [math.radians(start + 360 * k / corners) for k in range(corners)]
    return Polygon(tuple((radius * math.cos(a), radius * math.sin(a)) for a in angles))


def _box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)))


def _bar(start: Point, end: Point, width: float) -> Polygon:
    """A straight bar of the given width between two points."""
    length = math.dist(start, end)
    along_x, along_y = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    side_x, side_y = along_y * width / 2, -along_x * width / 2
    return Polygon(
        (
            (start[0] + side_x, start[1] + side_y),
            (end[0] + side_x, end[1] + side_y),
            (end[0] - side_x, end[1] - side_y),
            (start[0] - side_x, start[1] - side_y),
        )
    )


def _star() -> tuple[Polygon, ...]:
    """Five kites from the centre to each tip, overlapping their neighbours."""
    inner = 0.5
    kites = []
    for k in range(5):
        tip = math.radians(-90 + 72 * k)
        left, right = tip - math.radians(36), tip + math.radians(36)
        kites.append(
            Polygon(
                (
                    (math.cos(tip), math.sin(tip)),
                    (inner * math.cos(right), inner * math.sin(right)),
                    (-0.3 * math.cos(tip), -0.3 * math.sin(tip)),
                    (inner * math.cos(left), inner * math.sin(left)),
                )
            )
        )
    return tuple(kites)


def _heart() -> tuple[Piece, ...]:
    """Two circles, and a kite whose lower edges are tangent to them."""
    x, y, radius, tip = 0.46, -0.28, 0.52, 0.95
    distance = math.hypot(x, tip - y)
    direction = math.asin(radius / distance) - math.atan2(tip - y, x)
    length = math.sqrt(distance**2 - radius**2)
    side = (length * math.cos(direction), tip + length * math.sin(direction))
    kite = Polygon(((0, -0.5), side, (0, tip), (-side[0], side[1])))
    return (kite, Ellipse(x, y, radius, radius), Ellipse(-x, y, radius, radius))


def _petals(count: int, *, along: float, across: float, distance: float, centre: Point) -> tuple[Ellipse, ...]:
    angles = [2 * math.pi * k / count - math.pi / 2 for k in range(count)]
    return tuple(
        Ellipse(centre[0] + distance * math.cos(a), centre[1] + distance * math.sin(a), along, across, a)
        for a in angles
    )


_BLOSSOM = (0.0, -0.38)

# simple shape -> its one fill
SIMPLE_SHAPES: MappingProxyType[str, Fill] = MappingProxyType(
    {
        "circle": Fill((Ellipse(0, 0, 0.9, 0.9),)),
        "square": Fill((_box(-0.78, -0.78, 0.78, 0.78),)),
        "triangle": Fill((_regular(3),)),
        "star": Fill(_star()),
        "heart": Fill(_heart()),
        "cross": Fill((_box(-0.95, -0.3, 0.95, 0.3), _box(-0.3, -0.95, 0.3, 0.95))),
        "hexagon": Fill((_regular(6, start=0),)),
        "bar": Fill((_box(-1, -0.28, 1, 0.28),)),
    }
)

# composite -> part -> style -> fills, parts front to back, the first style being the usual one
COMPOSITES: MappingProxyType[str, MappingProxyType[str, MappingProxyType[str, tuple[Fill, ...]]]] = MappingProxyType(
    {
        "flower": MappingProxyType(
            {
                "centre": MappingProxyType(
                    {
                        "round": (Fill((Ellipse(*_BLOSSOM, 0.2, 0.2),)),),
                        "wide": (Fill((Ellipse(*_BLOSSOM, 0.28, 0.28),)),),
                    }
                ),
                "petals": MappingProxyType(
                    {
                        "round": (Fill(_petals(6, along=0.27, across=0.21, distance=0.34, centre=_BLOSSOM)),),
                        "narrow": (Fill(_petals(9, along=0.3, across=0.105, distance=0.32, centre=_BLOSSOM)),),
                    }
                ),
                "leaf": MappingProxyType(
                    {
                        "single": (Fill((Ellipse(0.3, 0.5, 0.32, 0.13, -0.6),)),),
                        "pair": (
                            Fill((Ellipse(0.3, 0.5, 0.32, 0.13, -0.6), Ellipse(-0.3, 0.6, 0.32, 0.13, 0.6 + math.pi))),
                        ),
                    }
                ),
                "stem": MappingProxyType({"straight": (Fill((_bar((0, -0.3), (0, 0.98), 0.11),)),)}),
            }
        ),
        "bird": MappingProxyType(
            {
                "eye": MappingProxyType(
                    {
                        "round": (
                            Fill((Ellipse(0.5, -0.4, 0.05, 0.05),), "black"),
                            Fill((Ellipse(0.49, -0.4, 0.1, 0.1),)),
                        ),
                    }
                ),
                "beak": MappingProxyType(
                    {
                        "short": (Fill((Polygon(((0.62, -0.5), (0.99, -0.3), (0.6, -0.16))),)),),
                        "hooked": (
                            Fill(
                                (
                                    Polygon(((0.6, -0.5), (0.9, -0.44), (0.98, -0.3), (0.6, -0.2))),
                                    Polygon(((0.8, -0.44), (0.98, -0.3), (0.9, -0.02))),
                                )
                            ),
                        ),
                    }
                ),
                "wing": MappingProxyType(
                    {
                        "round": (Fill((Ellipse(-0.16, 0.13, 0.4, 0.2, -0.35),)),),
                        "raised": (Fill((Polygon(((-0.42, -0.92), (-0.12, -0.62), (0.18, 0.16), (-0.28, 0.2))),)),),
                    }
                ),
                "head": MappingProxyType({"round": (Fill((Ellipse(0.42, -0.34, 0.3, 0.3),)),)}),
                "body": MappingProxyType({"round": (Fill((Ellipse(-0.03, 0.14, 0.57, 0.4, -0.3),)),)}),
                "tail": MappingProxyType(
                    {
                        "fan": (Fill((Polygon(((-0.98, 0.12), (-0.4, 0.12), (-0.32, 0.42), (-0.9, 0.52))),)),),
                        "forked": (
                            Fill(
                                (
                                    Polygon(((-1.0, 0.02), (-0.35, 0.1), (-0.35, 0.42))),
                                    Polygon(((-0.35, 0.14), (-0.3, 0.44), (-0.86, 0.62))),
                                )
                            ),
                        ),
                    }
                ),
                "leg": MappingProxyType(
                    {
                        "standing": (
                            Fill(
                                (
                                    _bar((-0.1, 0.4), (-0.1, 0.95), 0.09),
                                    _bar((0.16, 0.4), (0.16, 0.95), 0.09),
                                    _bar((-0.13, 0.93), (0.03, 0.93), 0.09),
                                    _bar((0.13, 0.93), (0.29, 0.93), 0.09),
                                )
                            ),
                        ),
                    }
                ),
            }
        ),
        "house": MappingProxyType(
            {
                "door": MappingProxyType(
                    {
                        "plain": (
                            Fill((Ellipse(0.12, 0.66, 0.045, 0.045),), "light"),
                            Fill((_box(-0.2, 0.34, 0.2, 0.95),)),
                        ),
                        "arched": (Fill((_box(-0.2, 0.5, 0.2, 0.95), Ellipse(0, 0.5, 0.2, 0.2))),),
                    }
                ),
                "window": MappingProxyType(
                    {
                        "square": (
                            Fill(
                                (_bar((-0.45, 0.02), (-0.45, 0.36), 0.05), _bar((0.45, 0.02), (0.45, 0.36), 0.05)),
                                "dark",
                            ),
                            Fill((_box(-0.61, 0.03, -0.29, 0.35), _box(0.29, 0.03, 0.61, 0.35))),
                        ),
                        "round": (Fill((Ellipse(-0.45, 0.2, 0.17, 0.17), Ellipse(0.45, 0.2, 0.17, 0.17))),),
                    }
                ),
                "roof": MappingProxyType(
                    {
                        "gable": (Fill((Polygon(((0, -0.95), (0.98, -0.12), (-0.98, -0.12))),)),),
                        "flat": (Fill((Polygon(((-0.6, -0.58), (0.6, -0.58), (0.96, -0.12), (-0.96, -0.12))),)),),
                    }
                ),
                "wall": MappingProxyType({"plain": (Fill((_box(-0.76, -0.2, 0.76, 0.95),)),)}),
            }
        ),
    }
)

SHAPES: tuple[str, ...] = (*SIMPLE_SHAPES, *COMPOSITES)
PART_NAMES: tuple[str, ...] = tuple(part for parts in COMPOSITES.values() for part in parts)
