"""What a scene is made of: objects with parts, a background, a light, a mark. All frozen, all checked when made.

Positions and sizes are shares of the picture's side (x to the right, y down).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from workbench.data.scenes.palette import BACKGROUND_COLOURS, OBJECT_COLOURS
from workbench.data.scenes.shapes import COMPOSITES, SHAPES, SIMPLE_SHAPES
from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Collection

Texture = Literal["plain", "stripes", "dots", "checks"]
Pattern = Literal["plain", "gradient", "clouds", "stripes", "checks"]
Corner = Literal["top left", "top right", "bottom left", "bottom right"]

TEXTURES: tuple[Texture, ...] = ("plain", "stripes", "dots", "checks")
PATTERNS: tuple[Pattern, ...] = ("plain", "gradient", "clouds", "stripes", "checks")
CORNERS: tuple[Corner, ...] = ("top left", "top right", "bottom left", "bottom right")

# the colours that parts have where a scene does not say otherwise
PART_COLOURS: MappingProxyType[str, str] = MappingProxyType(
    {
        "centre": "yellow", "petals": "pink", "leaf": "green", "stem": "green",
        "eye": "white", "beak": "orange", "wing": "teal", "head": "blue", "body": "blue", "tail": "teal",
        "leg": "orange",
        "door": "brown", "window": "white", "roof": "red", "wall": "yellow",
    }
)  # fmt: skip


def known(kind: str, name: str, names: Collection[str]) -> None:
    """Refuse a name that does not exist.

    Args:
        kind: what the name should name, for the message.
        name: the name as given.
        names: the names that exist.

    Raises:
        UnknownNameError: the name is none of them.
    """
    if name not in names:
        raise unknown_name(kind, name, names)


@dataclass(frozen=True)
class Part:
    """A named part of a composite object.

    Attributes:
        name: a part of the composite, for example ``"beak"``.
        colour: a key of ``OBJECT_COLOURS``.
        style: a style of that part in ``COMPOSITES``; "" is its usual one.
        texture: one of ``TEXTURES``.
    """

    name: str
    colour: str
    style: str = ""
    texture: Texture = "plain"

    def __post_init__(self) -> None:
        known("object colour", self.colour, OBJECT_COLOURS)
        known("texture", self.texture, TEXTURES)


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        shape: one of ``SHAPES``.
        colour: a key of ``OBJECT_COLOURS``; of a composite, the colour of its main part (petals, body, wall).
        texture: one of ``TEXTURES``; of a composite, that of its main part.
        size: diameter of the circle around the shape, as a share of the picture's side.
        rotation: degrees, clockwise as seen on screen.
        position: (x, y) of the centre, as shares of the picture's side; y points down.
        depth: distance from the viewer; of two objects that overlap the one with the smaller depth hides the other.
        parts: of a composite, the parts that it has; empty means all of them, in their usual style and colour.
    """

    shape: str
    colour: str
    texture: Texture = "plain"
    size: float = 0.4
    rotation: float = 0.0
    position: tuple[float, float] = (0.5, 0.5)
    depth: float = 0.5
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        known("shape", self.shape, SHAPES)
        known("object colour", self.colour, OBJECT_COLOURS)
        known("texture", self.texture, TEXTURES)
        numbers = (self.size, self.rotation, *self.position, self.depth)
        if len(self.position) != 2 or not all(math.isfinite(number) for number in numbers):
            raise InputError(
                f"size {self.size}, rotation {self.rotation}, position {self.position} and depth {self.depth} of an "
                "object must be finite numbers, and its position (x, y)."
            )
        if not 0 < self.size <= 2:
            raise InputError(f"The size of an object must be in (0, 2] picture sides; got {self.size}.")
        if self.shape in SIMPLE_SHAPES:
            if self.parts:
                raise InputError(f"A {self.shape} has no parts; got {[part.name for part in self.parts]}.")
            return
        if not self.parts:
            object.__setattr__(self, "parts", usual_parts(self.shape, self.colour, self.texture))
        styles = COMPOSITES[self.shape]
        for part in self.parts:
            known(f"part of a {self.shape}", part.name, styles)
            if part.style:
                known(f"style of a {part.name}", part.style, styles[part.name])
        if len({part.name for part in self.parts}) != len(self.parts):
            raise InputError(f"A {self.shape} has each part once; got {[part.name for part in self.parts]}.")

    @property
    def name(self) -> str:
        """The colour and the shape, for example ``"red square"``."""
        return f"{self.colour} {self.shape}"

    @property
    def part_names(self) -> tuple[str, ...]:
        """The parts that the object has."""
        return tuple(part.name for part in self.parts)


MAIN_PARTS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {"flower": ("petals",), "bird": ("body", "head"), "house": ("wall",)}
)


def usual_parts(shape: str, colour: str, texture: Texture = "plain") -> tuple[Part, ...]:
    """All parts of a composite, the main ones in the colour and texture given.

    Args:
        shape: a key of ``COMPOSITES``.
        colour: a key of ``OBJECT_COLOURS``.
        texture: one of ``TEXTURES``.

    Returns:
        The parts, front to back.

    Raises:
        UnknownNameError: the shape is not a composite.
    """
    known("composite shape", shape, COMPOSITES)
    main = MAIN_PARTS[shape]
    return tuple(
        Part(name, colour, texture=texture) if name in main else Part(name, PART_COLOURS[name])
        for name in COMPOSITES[shape]
    )


@dataclass(frozen=True)
class Background:
    """What lies behind all objects.

    Attributes:
        colour: a key of ``BACKGROUND_COLOURS``.
        pattern: one of ``PATTERNS``.
        angle: direction of the pattern in degrees, clockwise from the x axis.
        seed: of the clouds.
    """

    colour: str = "mist"
    pattern: Pattern = "plain"
    angle: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        known("background colour", self.colour, BACKGROUND_COLOURS)
        known("background pattern", self.pattern, PATTERNS)


@dataclass(frozen=True)
class Illumination:
    """A light that brightens one side of the picture.

    Attributes:
        level: factor on all colours, at the centre.
        slope: change of that factor from the centre to the edge in the light's direction.
        angle: direction towards the light in degrees, clockwise from the x axis.
        noise: standard deviation of the grain, in 0..1 of full scale; the same for all channels of a pixel.
        seed: of the grain.
    """

    level: float = 1.0
    slope: float = 0.0
    angle: float = 0.0
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.level, self.slope, self.angle, self.noise)) or self.noise < 0:
            raise InputError(f"An illumination needs finite numbers and noise >= 0; got {self}.")


# nearer than any object of the tasks
WATERMARK_DEPTH = -1e9


@dataclass(frozen=True)
class Watermark:
    """A small mark in a corner, in front of everything: the shortcut of the confounded tasks.

    Attributes:
        shape: a key of ``SIMPLE_SHAPES``.
        colour: a key of ``OBJECT_COLOURS``.
        corner: where it sits.
        size: its diameter, as a share of the picture's side.
    """

    shape: str
    colour: str
    corner: Corner = "bottom right"
    size: float = 0.2

    def __post_init__(self) -> None:
        known("simple shape", self.shape, SIMPLE_SHAPES)
        known("object colour", self.colour, OBJECT_COLOURS)
        known("corner", self.corner, CORNERS)
        if not 0 < self.size <= 1:
            raise InputError(f"The size of a watermark must be in (0, 1] picture sides; got {self.size}.")

    def as_object(self) -> SceneObject:
        """The mark as an object in front of everything."""
        near, far = self.size / 2 + 0.02, 1 - self.size / 2 - 0.02
        vertical, horizontal = self.corner.split(" ")
        position = (near if horizontal == "left" else far, near if vertical == "top" else far)
        return SceneObject(self.shape, self.colour, size=self.size, position=position, depth=WATERMARK_DEPTH)
