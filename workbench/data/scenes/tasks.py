"""Tasks: which scenes are drawn for a question, and its answer.

Image ``index`` of a set depends on the task, its options, the seed and ``index`` alone: its stream of random numbers is
``SeedSequence(seed, spawn_key=(index,))``. How many images a set has, in which batch or by which process an
image is made, changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np

from workbench.data.scenes.labels import object_label, part_label, relation_label
from workbench.data.scenes.palette import BACKGROUND_COLOURS
from workbench.data.scenes.scene import (
    MAIN_PARTS,
    PATTERNS,
    TEXTURES,
    Background,
    Illumination,
    Part,
    Scene,
    SceneObject,
    Watermark,
    usual_parts,
)
from workbench.data.scenes.shapes import COMPOSITES
from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

Item = TypeVar("Item")
Confound = Literal["background", "watermark"]
CONFOUNDS: tuple[Confound, ...] = get_args(Confound)

# strong on every background
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown")
BACKGROUNDS = tuple(BACKGROUND_COLOURS)
DISTRACTORS = ("cross", "hexagon", "bar")
MARKS = ("star", "circle", "square", "triangle", "cross", "heart", "hexagon", "bar")

OBJECT_CATEGORIES = ("circle", "square", "triangle", "star", "heart", "flower", "bird", "house")
# a composite that is stripped to its core and given back one of these parts
OPTIONAL_PARTS = MappingProxyType(
    {"flower": ("petals", "leaf"), "bird": ("beak", "wing", "tail", "leg"), "house": ("roof", "door", "window")}
)
PART_CATEGORIES = tuple(part for parts in OPTIONAL_PARTS.values() for part in parts)
RELATION_PAIR = (("red", "square"), ("blue", "circle"))
RELATION_CATEGORIES = tuple(
    f"red square {direction} blue circle" for direction in ("left of", "right of", "above", "below")
)


class Draw:
    """Random numbers for one image, drawn in blocks because single draws are slow."""

    BLOCK = 64

    def __init__(self, seed: int, index: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
        self._left: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        if not self._left:
            self._left = self._generator.random(self.BLOCK).tolist()
        return low + (high - low) * self._left.pop()

    def integer(self, count: int) -> int:
        """A whole number from 0 to count - 1."""
        return int(self.uniform() * count)

    def choice(self, items: Sequence[Item]) -> Item:
        """One of several, each as likely."""
        return items[self.integer(len(items))]

    def seed(self) -> int:
        """A seed for what is random inside the scene (clouds, grain)."""
        return self.integer(2**31)


@dataclass(frozen=True)
class Task:
    """A question that scenes answer.

    Attributes:
        name: of the task.
        categories: the answers.
        parts: names of the parts that its scenes can show.
        most_objects: the most objects that one of its scenes has.
        compose: draws the objects for an answer (its index).
        label: the answer that a scene gives.
    """

    name: str
    categories: tuple[str, ...]
    parts: tuple[str, ...]
    most_objects: int
    compose: Callable[[Draw, int], tuple[SceneObject, ...]]
    label: Callable[[Scene, Sequence[str]], int]


@dataclass(frozen=True)
class Sample:
    """A drawn scene with its answer.

    Attributes:
        scene: the scene.
        label: index of the right category.
        cue: index of the category that the confounding cue points to; -1 without a cue.
    """

    scene: Scene
    label: int
    cue: int = -1


# ---------------------------------------------------------------------- what the tasks compose


def _compose_object(draw: Draw, label: int) -> tuple[SceneObject, ...]:
    shape = OBJECT_CATEGORIES[label]
    size = draw.uniform(0.48, 0.7)
    main = _composite(draw, shape, size) if shape in COMPOSITES else _simple(draw, shape, size)
    return (main, *_distractors(draw, main))


def _compose_part(draw: Draw, label: int) -> tuple[SceneObject, ...]:
    wanted = PART_CATEGORIES[label]
    shape = next(kind for kind, parts in OPTIONAL_PARTS.items() if wanted in parts)
    whole = _composite(draw, shape, draw.uniform(0.56, 0.78))
    dropped = {part for part in OPTIONAL_PARTS[shape] if part != wanted}
    main = SceneObject(
        shape,
        whole.colour,
        whole.texture,
        whole.size,
        whole.rotation,
        whole.position,
        whole.depth,
        tuple(part for part in whole.parts if part.name not in dropped),
    )
    return (main, *_distractors(draw, main))


def _compose_relation(draw: Draw, label: int) -> tuple[SceneObject, ...]:
    direction = (math.pi, 0.0, -math.pi / 2, math.pi / 2)[label]
    angle = direction + draw.uniform(-0.6, 0.6)
    apart = draw.uniform(0.3, 0.5)
    half_x, half_y = math.cos(angle) * apart / 2, math.sin(angle) * apart / 2
    room_x, room_y = 0.37 - abs(half_x), 0.37 - abs(half_y)
    middle_x, middle_y = 0.5 + draw.uniform(-room_x, room_x), 0.5 + draw.uniform(-room_y, room_y)
    objects: list[SceneObject] = []
    for (colour, shape), sign in zip(RELATION_PAIR, (1, -1), strict=True):
        position = (middle_x + sign * half_x, middle_y + sign * half_y)
        size, turn = draw.uniform(0.18, 0.26), draw.uniform(0, 360)
        objects.append(SceneObject(shape, colour, draw.choice(TEXTURES), size, turn, position, draw.uniform(0, 0.5)))
    for _ in range(draw.integer(3)):
        colour, shape = draw.choice(COLOURS), draw.choice(("circle", "square", "triangle", "star", "cross"))
        place = _free_place(draw, objects, 0.25)
        if (colour, shape) not in RELATION_PAIR and place is not None:
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


TASKS: MappingProxyType[str, Task] = MappingProxyType(
    {
        "object": Task(
            "object",
            OBJECT_CATEGORIES,
            tuple(part for parts in COMPOSITES.values() for part in parts),
            3,
            _compose_object,
            object_label,
        ),
        "part": Task(
            "part",
            PART_CATEGORIES,
            tuple(part for parts in COMPOSITES.values() for part in parts),
            3,
            _compose_part,
            part_label,
        ),
        "relation": Task("relation", RELATION_CATEGORIES, (), 4, _compose_relation, relation_label),
    }
)


# ---------------------------------------------------------------------- drawing a scene


def resolve(task: str, confound: str | None) -> tuple[Task, Confound | None]:
    """The task and the confounding cue of a name.

    Args:
        task: a key of ``TASKS``, or one with ``_confounded`` after it, which has a watermark unless told otherwise.
        confound: ``"background"``, ``"watermark"`` or None.

    Returns:
        The task, and the cue or None.

    Raises:
        UnknownNameError: there is no such task or cue.
    """
    base = task.removesuffix("_confounded")
    if base not in TASKS:
        raise unknown_name("scene task", task, [*TASKS, *(f"{name}_confounded" for name in TASKS)])
    if base != task and confound is None:
        confound = "watermark"
    for known in CONFOUNDS:
        if confound == known:
            return TASKS[base], known
    if confound is not None:
        raise unknown_name("confound", confound, CONFOUNDS)
    return TASKS[base], None


def labels(task: str, indices: NDArray[np.int64] | Sequence[int] | range, *, seed: int = 0) -> NDArray[np.int64]:
    """The labels of images, without drawing their scenes.

    Every run of as many images as there are categories, counted from index 0, shows each category once, in a rotation
    and direction of its own: any part of a set is balanced.

    Args:
        task: name of the task.
        indices: numbers of the images, from 0.
        seed: of the set.

    Returns:
        (image,) int64.

    Raises:
        UnknownNameError: there is no such task.
    """
    count = len(resolve(task, None)[0].categories)
    index = np.asarray(indices, dtype=np.int64)
    block = index // count
    mixed = _mix(block.astype(np.uint64) + np.uint64(_mix(np.asarray([seed], dtype=np.uint64))[0]))
    rotation = (mixed % np.uint64(count)).astype(np.int64)
    direction = np.where((mixed >> np.uint64(32)) % np.uint64(2) == 0, 1, -1)
    return np.asarray((rotation + direction * (index - block * count)) % count, dtype=np.int64)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The splitmix64 finaliser: a cheap hash of each element (arithmetic modulo 2**64)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def sample_scene(
    task: str, index: int, *, seed: int = 0, confound: Confound | None = None, agreement: float = 0.95
) -> Sample:
    """Draw one scene of a task.

    Args:
        task: ``"object"``, ``"part"`` or ``"relation"``, or one of these with ``_confounded`` after it.
        index: number of the image in its set, from 0.
        seed: of the set, from 0.
        confound: a cue that points to a category: the background's colour, or a watermark in a corner.
        agreement: probability, in 0..1, that the cue points to the image's own category; otherwise it points to one
            of the others, each as likely.

    Returns:
        The scene, its label, and the category that the cue points to.

    Raises:
        UnknownNameError: there is no such task or cue.
        InputError: a negative or fractional index or seed, or an agreement outside 0..1.
    """
    kind, cue_kind = resolve(task, confound)
    check_draw(index=index, seed=seed, agreement=agreement)
    return draw_sample(kind, cue_kind, int(labels(task, [index], seed=seed)[0]), index, seed, agreement)


def check_draw(*, index: int, seed: int, agreement: float) -> None:
    """Refuse an index, seed or agreement that no image can have.

    Args:
        index: number of the image.
        seed: of the set.
        agreement: share of the images whose cue agrees.

    Raises:
        InputError: one of them is out of range.
    """
    for name, value in (("index", index), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise InputError(f"{name} must be a whole number from 0; got {value!r}.")
    if seed >= 2**63:
        raise InputError(f"seed must be below 2**63; got {seed}.")
    if not 0 <= agreement <= 1:
        raise InputError(f"agreement is a share of the images, from 0 to 1; got {agreement!r}.")


def draw_sample(kind: Task, confound: Confound | None, label: int, index: int, seed: int, agreement: float) -> Sample:
    """Draw a scene whose label and cue kind are known and checked; see :func:`sample_scene`."""
    draw = Draw(seed, index)
    objects = kind.compose(draw, label)
    cue = -1
    background = Background(draw.choice(BACKGROUNDS), draw.choice(PATTERNS), draw.uniform(0, 360), draw.seed())
    light = Illumination(
        draw.uniform(0.86, 1.06), draw.uniform(0, 0.16), draw.uniform(0, 360), draw.uniform(0, 0.015), draw.seed()
    )
    mark = None
    if confound is not None:
        others = len(kind.categories) - 1
        agrees = draw.uniform() < agreement
        cue = label if agrees else (label + 1 + draw.integer(others)) % len(kind.categories)
        if confound == "background":
            background = Background(BACKGROUNDS[cue], background.pattern, background.angle, background.seed)
        else:
            mark = watermark(cue)
    return Sample(Scene(objects, background, light, mark), label, cue)


def watermark(category: int) -> Watermark:
    """The mark that points to a category in the confounded tasks: a shape and colour of its own.

    Args:
        category: index of the category.

    Returns:
        The mark.
    """
    return Watermark(MARKS[category % len(MARKS)], COLOURS[category % len(COLOURS)])
