"""How the objects of a scene are drawn at random for an answer."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from workbench.data.scenes.elements import MAIN_PARTS, TEXTURES, Part, SceneObject, usual_parts
from workbench.data.scenes.shapes import COMPOSITES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Item = TypeVar("Item")
Named = tuple[str, str]  # colour and shape

# strong on every background
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown")
DISTRACTORS = ("cross", "hexagon", "bar")

OBJECT_CATEGORIES = ("circle", "square", "triangle", "star", "heart", "flower", "bird", "house")
# a composite that is stripped to its core and given back one of these parts
OPTIONAL_PARTS = MappingProxyType(
    {"flower": ("petals", "leaf"), "bird": ("beak", "wing", "tail", "leg"), "house": ("roof", "door", "window")}
)
PART_CATEGORIES = tuple(part for parts in OPTIONAL_PARTS.values() for part in parts)


class Draw:
    """Random numbers for one image, drawn in blocks because single draws are slow."""

    BLOCK = 64

    def __init__(self, seed: int, index: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
        self._left: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high).

        Args:
            low: the least.
            high: the bound that is not reached.

        Returns:
            The number.
        """
        if not self._left:
            self._left = self._generator.random(self.BLOCK).tolist()
        return low + (high - low) * self._left.pop()

    def integer(self, count: int) -> int:
        """A whole number from 0 to count - 1.

        Args:
            count: how many there are, at least 1.

        Returns:
            The number, each as likely.
        """
        return int(self.uniform() * count)

    def choice(self, items: Sequence[Item]) -> Item:
        """One of several, each as likely.

        Args:
            items: what to choose from, not empty.

        Returns:
            The one.
        """
        return items[self.integer(len(items))]

    def seed(self) -> int:
        """A seed for what is random inside the scene (clouds, grain)."""
        return self.integer(2**31)


def compose_object(draw: Draw, label: int) -> tuple[SceneObject, ...]:
    """One large object of the category, and up to two small ones of shapes that are no category.

    Args:
        draw: random numbers of the image.
        label: index into ``OBJECT_CATEGORIES``.

    Returns:
        The objects, the decisive ones first.
    """
    shape = OBJECT_CATEGORIES[label]
    size = draw.uniform(0.48, 0.7)
    main = _composite(draw, shape, size) if shape in COMPOSITES else _simple(draw, shape, size)
    return (main, *_distractors(draw, main))


def compose_part(draw: Draw, label: int) -> tuple[SceneObject, ...]:
    """A composite with its core and the one optional part of the category, and up to two small objects.

    Args:
        draw: random numbers of the image.
        label: index into ``PART_CATEGORIES``.

    Returns:
        The objects, the decisive ones first.
    """
    wanted = PART_CATEGORIES[label]
    shape = next(kind for kind, parts in OPTIONAL_PARTS.items() if wanted in parts)
    dropped = {part for part in OPTIONAL_PARTS[shape] if part != wanted}
    return _without(draw, shape, dropped)


def compose_presence(draw: Draw, label: int, *, shape: str, part: str) -> tuple[SceneObject, ...]:
    """A whole composite, without one part where the label is 0, and up to two small objects.

    Args:
        draw: random numbers of the image.
        label: 1 with the part, 0 without it.
        shape: a key of ``COMPOSITES``.
        part: one of its parts.

    Returns:
        The objects, the decisive ones first.
    """
    return _without(draw, shape, set() if label else {part})


def _without(draw: Draw, shape: str, dropped: Collection[str]) -> tuple[SceneObject, ...]:
    whole = _composite(draw, shape, draw.uniform(0.56, 0.78))
    main = replace(whole, parts=tuple(part for part in whole.parts if part.name not in dropped))
    return (main, *_distractors(draw, main))


def compose_relation(draw: Draw, label: int, *, pair: tuple[Named, Named]) -> tuple[SceneObject, ...]:
    """The first of a pair left of, right of, above or below the second, and up to two other objects.

    The others may have the colour of one and the shape of the other, so that neither alone tells the pair.

    Args:
        draw: random numbers of the image.
        label: 0 left of, 1 right of, 2 above, 3 below.
        pair: colour and shape of the first and of the second.

    Returns:
        The objects: the first, the second, the others.
    """
    direction = (math.pi, 0.0, -math.pi / 2, math.pi / 2)[label]
    angle = direction + draw.uniform(-0.6, 0.6)
    apart = draw.uniform(0.3, 0.5)
    half_x, half_y = math.cos(angle) * apart / 2, math.sin(angle) * apart / 2
    room_x, room_y = 0.37 - abs(half_x), 0.37 - abs(half_y)
    middle_x, middle_y = 0.5 + draw.uniform(-room_x, room_x), 0.5 + draw.uniform(-room_y, room_y)
    objects: list[SceneObject] = []
    for (colour, shape), sign in zip(pair, (1, -1), strict=True):
        position = (middle_x + sign * half_x, middle_y + sign * half_y)
        size, turn = draw.uniform(0.18, 0.26), draw.uniform(0, 360)
        objects.append(SceneObject(shape, colour, draw.choice(TEXTURES), size, turn, position, draw.uniform(0, 0.5)))
    for _ in range(draw.integer(3)):
        colour, shape = draw.choice(COLOURS), draw.choice(("circle", "square", "triangle", "star", "cross"))
        place = _free_place(draw, objects, 0.25)
        if (colour, shape) not in pair and place is not None:
            size, turn = draw.uniform(0.16, 0.24), draw.uniform(0, 360)
            objects.append(SceneObject(shape, colour, draw.choice(TEXTURES), size, turn, place, draw.uniform(0.5, 1)))
    return tuple(objects)


def _free_place(draw: Draw, objects: Sequence[SceneObject], apart: float) -> tuple[float, float] | None:
    """A place that keeps its distance from all objects; None where eight draws find none."""
    for _ in range(8):
        x, y = draw.uniform(0.12, 0.88), draw.uniform(0.12, 0.88)
        if all(math.hypot(x - item.position[0], y - item.position[1]) >= apart for item in objects):
            return x, y
    return None


def _simple(draw: Draw, shape: str, size: float) -> SceneObject:
    texture = draw.choice(TEXTURES)
    return SceneObject(shape, draw.choice(COLOURS), texture, size, draw.uniform(0, 360), _place(draw, size), 0.5)


def _composite(draw: Draw, shape: str, size: float) -> SceneObject:
    colour, second = draw.choice(COLOURS), draw.choice(COLOURS)
    texture = draw.choice(TEXTURES) if draw.uniform() < 0.4 else "plain"
    parts = []
    for part in usual_parts(shape, colour, texture):
        style = draw.choice(tuple(COMPOSITES[shape][part.name]))
        if part.name in MAIN_PARTS[shape]:
            parts.append(Part(part.name, colour, style, texture))
            continue
        choices = _PART_COLOURS.get(part.name, COLOURS)
        other = second if part.name in ("wing", "tail") else draw.choice(choices)
        if other == colour:  # a part must stand out from what it is attached to
            other = choices[(choices.index(other) + 1) % len(choices)] if other in choices else "white"
        parts.append(Part(part.name, other, style))
    return SceneObject(shape, colour, texture, size, draw.uniform(-18, 18), _place(draw, size), 0.5, tuple(parts))


_PART_COLOURS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "centre": ("yellow", "brown", "orange", "white"),
        "stem": ("green", "teal"),
        "leaf": ("green", "teal"),
        "eye": ("white", "yellow"),
        "beak": ("orange", "yellow", "brown", "black"),
        "leg": ("orange", "brown", "black"),
        "door": ("brown", "blue", "green", "black", "red"),
        "window": ("white", "black", "teal"),
        "roof": ("red", "brown", "purple", "black", "blue"),
    }
)


def _place(draw: Draw, size: float) -> tuple[float, float]:
    low = min(0.5, size / 2 + 0.03)
    return draw.uniform(low, 1 - low), draw.uniform(low, 1 - low)


def _distractors(draw: Draw, main: SceneObject) -> list[SceneObject]:
    """Up to two small objects near the border of the picture, some before and some behind the main one."""
    found = []
    for _ in range(draw.integer(3)):
        shape, colour = draw.choice(DISTRACTORS), draw.choice(COLOURS)
        size, turn, depth = draw.uniform(0.1, 0.17), draw.uniform(0, 360), draw.uniform()
        place = _free_place(draw, [main], main.size / 2)
        if place is not None:
            found.append(SceneObject(shape, colour, "plain", size, turn, place, depth))
    return found
