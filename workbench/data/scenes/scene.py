"""A scene: objects on a background under a light, and the interventions that change one thing in it.

Positions and sizes are shares of the picture's side (x to the right, y down), so that a scene can be rendered at
any size. Everything is frozen: an intervention returns a new scene that differs in what it names and in nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from workbench.data.scenes.palette import BACKGROUND_COLOURS, OBJECT_COLOURS
from workbench.data.scenes.shapes import COMPOSITES, SHAPES, SIMPLE_SHAPES
from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray

    from workbench.data.scenes.relations import Relation
    from workbench.data.scenes.render import Rendering

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


def _known(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise unknown_name(kind, name, known)


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
        _known("object colour", self.colour, OBJECT_COLOURS)
        _known("texture", self.texture, TEXTURES)


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
        _known("shape", self.shape, SHAPES)
        _known("object colour", self.colour, OBJECT_COLOURS)
        _known("texture", self.texture, TEXTURES)
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
            _known(f"part of a {self.shape}", part.name, styles)
            if part.style:
                _known(f"style of a {part.name}", part.style, styles[part.name])
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
    _known("composite shape", shape, COMPOSITES)
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
        _known("background colour", self.colour, BACKGROUND_COLOURS)
        _known("background pattern", self.pattern, PATTERNS)


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
    size: float = 0.14

    def __post_init__(self) -> None:
        _known("simple shape", self.shape, SIMPLE_SHAPES)
        _known("object colour", self.colour, OBJECT_COLOURS)
        _known("corner", self.corner, CORNERS)
        if not 0 < self.size <= 1:
            raise InputError(f"The size of a watermark must be in (0, 1] picture sides; got {self.size}.")

    def as_object(self) -> SceneObject:
        """The mark as an object in front of everything."""
        near, far = self.size / 2 + 0.02, 1 - self.size / 2 - 0.02
        vertical, horizontal = self.corner.split(" ")
        position = (near if horizontal == "left" else far, near if vertical == "top" else far)
        return SceneObject(self.shape, self.colour, size=self.size, position=position, depth=WATERMARK_DEPTH)


@dataclass(frozen=True)
class Scene:
    """Objects on a background under a light, from which pictures and their ground truth are rendered.

    Attributes:
        objects: the objects, in the order in which they are numbered.
        background: what lies behind them.
        illumination: the light.
        watermark: a mark in a corner, or None.
    """

    objects: tuple[SceneObject, ...] = ()
    background: Background = Background()
    illumination: Illumination = Illumination()
    watermark: Watermark | None = None

    # ------------------------------------------------------------------ what it shows

    def render(self, size: int = 96) -> Rendering:
        """The picture with everything that is true of it.

        Args:
            size: side in pixels, 16 to 4096.

        Returns:
            Image, masks of objects and parts (what is visible of them), factor table, caption and true relations.

        Raises:
            InputError: the size is outside that range.
        """
        from workbench.data.scenes.render import render

        return render(self, size=size)

    def footprint(self, index: int, *, size: int = 96) -> NDArray[np.bool_]:
        """All pixels that an object touches, as if nothing stood before it.

        Args:
            index: number of the object.
            size: side in pixels.

        Returns:
            (y, x) bool.

        Raises:
            UnknownNameError: there is no such object.
        """
        from workbench.data.scenes.render import footprint

        return footprint(self.object_at(index), size=size)

    def relations(self) -> tuple[Relation, ...]:
        """The relations that hold between its objects; they do not depend on the size of the picture.

        Returns:
            One entry a relation and ordered pair, by the objects' numbers.
        """
        from workbench.data.scenes.relations import relations

        return relations(self)

    def caption(self) -> str:
        """A sentence that names every object, where they stand to each other, and the background."""
        from workbench.data.scenes.caption import caption

        return caption(self)

    def object_at(self, index: int) -> SceneObject:
        """One object by its number.

        Args:
            index: from 0.

        Returns:
            The object.

        Raises:
            UnknownNameError: there is no such object.
        """
        if not 0 <= index < len(self.objects):
            raise unknown_name("object", index, [str(i) for i in range(len(self.objects))])
        return self.objects[index]

    def find(self, name: str) -> int:
        """The number of the one object with a name.

        Args:
            name: colour and shape, for example ``"red square"``, or a shape alone.

        Returns:
            The object's number, for the interventions.

        Raises:
            UnknownNameError: no object is called so.
            InputError: several are.
        """
        found = [i for i, item in enumerate(self.objects) if name in (item.name, item.shape)]
        if not found:
            raise unknown_name("object", name, [item.name for item in self.objects])
        if len(found) > 1:
            raise InputError(f"{len(found)} objects are called {name!r}: numbers {found}. Use a number.")
        return found[0]

    # ------------------------------------------------------------------ interventions

    def move(self, index: int, position: tuple[float, float]) -> Scene:
        """The scene with one object elsewhere.

        Args:
            index: number of the object.
            position: the new (x, y) of its centre, as shares of the picture's side.

        Returns:
            A new scene.

        Raises:
            UnknownNameError: there is no such object.
            InputError: the position is not two finite numbers.
        """
        return self._with(index, replace(self.object_at(index), position=(position[0], position[1])))

    def swap(self, first: int, second: int) -> Scene:
        """The scene with the positions of two objects exchanged; each keeps its size, rotation and depth.

        Args:
            first: number of one object.
            second: number of the other.

        Returns:
            A new scene.

        Raises:
            UnknownNameError: there is no such object.
        """
        a, b = self.object_at(first), self.object_at(second)
        return self.move(first, b.position).move(second, a.position)

    def remove(self, index: int) -> Scene:
        """The scene without one object; those after it move up one number.

        Args:
            index: number of the object.

        Returns:
            A new scene.

        Raises:
            UnknownNameError: there is no such object.
        """
        self.object_at(index)
        return replace(self, objects=(*self.objects[:index], *self.objects[index + 1 :]))

    def recolour(self, index: int, colour: str, *, part: str | None = None) -> Scene:
        """The scene with one object, or one part of it, in another colour.

        Args:
            index: number of the object.
            colour: a key of ``OBJECT_COLOURS``.
            part: the part to paint; None paints a simple shape, or the main parts of a composite.

        Returns:
            A new scene.

        Raises:
            UnknownNameError: there is no such object, colour or part.
        """
        item = self.object_at(index)
        _known("object colour", colour, OBJECT_COLOURS)
        if part is not None:
            return self.replace_part(index, part, replace(_part_of(item, part), colour=colour))
        main = MAIN_PARTS.get(item.shape, ())
        parts = tuple(replace(p, colour=colour) if p.name in main else p for p in item.parts)
        return self._with(index, replace(item, colour=colour, parts=parts))

    def replace_part(self, index: int, part: str, new: Part | None) -> Scene:
        """The scene with one part of a composite replaced, or taken away.

        Args:
            index: number of the object.
            part: the part that goes.
            new: the part that comes, of the same name (another colour, style or texture); None takes the part away.

        Returns:
            A new scene.

        Raises:
            UnknownNameError: there is no such object, or it has no such part.
            InputError: the new part has another name, or the object's last part would go.
        """
        item = self.object_at(index)
        old = _part_of(item, part)
        if new is not None and new.name != part:
            raise InputError(f"A {part} can only be replaced by a {part}; got a {new.name}.")
        if new is None and len(item.parts) == 1:
            raise InputError(
                f"{part!r} is the only part of object {index}. Use remove({index}) to take the object away."
            )
        at = item.parts.index(old)
        kept = (*item.parts[:at], *(() if new is None else (new,)), *item.parts[at + 1 :])
        return self._with(index, replace(item, parts=kept))

    def set_background(self, background: Background) -> Scene:
        """The scene before another background.

        Args:
            background: the new one.

        Returns:
            A new scene.
        """
        return replace(self, background=background)

    def set_watermark(self, watermark: Watermark | None) -> Scene:
        """The scene with another watermark, or with none.

        Args:
            watermark: the new one, or None.

        Returns:
            A new scene.
        """
        return replace(self, watermark=watermark)

    def _with(self, index: int, item: SceneObject) -> Scene:
        return replace(self, objects=(*self.objects[:index], item, *self.objects[index + 1 :]))


def _part_of(item: SceneObject, name: str) -> Part:
    for part in item.parts:
        if part.name == name:
            return part
    raise unknown_name(f"part of this {item.shape}", name, item.part_names)
