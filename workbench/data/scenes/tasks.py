"""Tasks: which scenes are drawn for a question, and its answer.

Image ``index`` of a set depends on the task, its options, the seed and ``index`` alone: its stream of random numbers is
``SeedSequence(seed, spawn_key=(index,))``. How many images a set has, in which batch or by which process an
image is made, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from workbench.data.scenes.composing import (
    COLOURS,
    OBJECT_CATEGORIES,
    PART_CATEGORIES,
    Draw,
    Named,
    compose_object,
    compose_part,
    compose_presence,
    compose_relation,
)
from workbench.data.scenes.elements import PATTERNS, Background, Illumination, SceneObject, Watermark
from workbench.data.scenes.labels import object_label, part_label, presence_label, relation_label
from workbench.data.scenes.palette import BACKGROUND_COLOURS, object_colour
from workbench.data.scenes.scene import Scene
from workbench.data.scenes.shapes import COMPOSITES, PART_NAMES, SIMPLE_SHAPES
from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

Confound = Literal["background", "watermark"]
CONFOUNDS: tuple[Confound, ...] = get_args(Confound)

BACKGROUNDS = tuple(BACKGROUND_COLOURS)
MARKS = ("star", "circle", "square", "triangle", "cross", "heart", "hexagon", "bar")


@dataclass(frozen=True)
class Task:
    """A question that scenes answer.

    Attributes:
        name: of the task.
        categories: the answers.
        parts: names of the parts that its scenes can show.
        most_objects: the most objects that one of its scenes has.
        compose: draws the objects for an answer (its index); a function of a module, where several processes render.
        label: the answer that a scene gives, as an index; of what ``compose`` draws, the answer that it was drawn for.
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


DIRECTIONS = ("left of", "right of", "above", "below")


def relation_task(first: Named, second: Named) -> Task:
    """The task to say where one object stands to another.

    Args:
        first: colour and shape of the object that is spoken of, for example ``("red", "square")``.
        second: colour and shape of the other.

    Returns:
        A task with the categories "... left of ...", "... right of ...", "... above ...", "... below ...".

    Raises:
        UnknownNameError: there is no such colour or simple shape.
        InputError: both are the same.
    """
    for colour, shape in (first, second):
        object_colour(colour)
        if shape not in SIMPLE_SHAPES:
            raise unknown_name("simple shape", shape, SIMPLE_SHAPES)
    if first == second:
        raise InputError(f"A relation needs two different objects; got {' '.join(first)} twice.")
    names = " ".join(first), " ".join(second)
    return Task(
        f"relation of {names[0]} to {names[1]}",
        tuple(f"{names[0]} {direction} {names[1]}" for direction in DIRECTIONS),
        (),
        4,
        partial(compose_relation, pair=(first, second)),
        relation_label,
    )


def presence_task(part: str) -> Task:
    """The task to say whether a whole flower, bird or house has one of its parts.

    Args:
        part: one of ``PART_NAMES``.

    Returns:
        A task with the categories "without ..." and "with ...".

    Raises:
        UnknownNameError: no composite has such a part.
    """
    if part not in PART_NAMES:
        raise unknown_name("part", part, PART_NAMES)
    shape = next(shape for shape, parts in COMPOSITES.items() if part in parts)
    return Task(
        f"presence of {part}",
        (f"{shape} without {part}", f"{shape} with {part}"),
        tuple(COMPOSITES[shape]),
        3,
        partial(compose_presence, shape=shape, part=part),
        partial(presence_label, part=part),
    )


TASKS: MappingProxyType[str, Task] = MappingProxyType(
    {
        "object": Task("object", OBJECT_CATEGORIES, PART_NAMES, 3, compose_object, object_label),
        "part": Task("part", PART_CATEGORIES, PART_NAMES, 3, compose_part, part_label),
        "relation": replace(relation_task(("red", "square"), ("blue", "circle")), name="relation"),
    }
)


def resolve(task: str | Task, confound: str | None) -> tuple[Task, Confound | None]:
    """The task and the confounding cue of a name.

    Args:
        task: a key of ``TASKS``, one with ``_confounded`` after it, which has a watermark unless told otherwise, or a
            task of your own.
        confound: ``"background"``, ``"watermark"`` or None.

    Returns:
        The task, and the cue or None.

    Raises:
        UnknownNameError: there is no such task or cue.
    """
    if isinstance(task, Task):
        kind = task
    else:
        base = str(task).removesuffix("_confounded")
        if base not in TASKS:
            raise unknown_name("scene task", task, [*TASKS, *(f"{name}_confounded" for name in TASKS)])
        if base != task and confound is None:
            confound = "watermark"
        kind = TASKS[base]
    if confound == "background" and len(kind.categories) > len(BACKGROUNDS):
        raise InputError(f"{len(kind.categories)} categories need as many backgrounds; there are {len(BACKGROUNDS)}.")
    for known in CONFOUNDS:
        if confound == known:
            return kind, known
    if confound is not None:
        raise unknown_name("confound", confound, CONFOUNDS)
    return kind, None


def labels(task: str | Task, indices: NDArray[np.int64] | Sequence[int] | range, *, seed: int = 0) -> NDArray[np.int64]:
    """The labels of images, without drawing their scenes.

    Every run of as many images as there are categories, counted from index 0, shows each category once, in a rotation
    and direction of its own: any part of a set is balanced.

    Args:
        task: name of the task, or a task of your own.
        indices: numbers of the images, from 0.
        seed: of the set.

    Returns:
        (image,) int64.

    Raises:
        UnknownNameError: there is no such task.
        InputError: a negative index or seed.
    """
    count = len(resolve(task, None)[0].categories)
    index = np.asarray(indices, dtype=np.int64)
    check_draw(index=int(index.min(initial=0)), seed=seed, agreement=1.0)
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
    task: str | Task, index: int, *, seed: int = 0, confound: Confound | None = None, agreement: float = 0.95
) -> Sample:
    """Draw one scene of a task.

    Args:
        task: ``"object"``, ``"part"`` or ``"relation"``, one of these with ``_confounded`` after it, or a task of
            your own.
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
    """Draw a scene whose label and cue kind are known and checked; see :func:`sample_scene`.

    Args:
        kind: the task.
        confound: the cue, or None.
        label: the answer that the scene shall give.
        index: number of the image.
        seed: of the set.
        agreement: probability that the cue points to the label.

    Returns:
        The scene, its label and its cue.
    """
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
