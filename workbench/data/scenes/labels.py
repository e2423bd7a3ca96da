"""Label functions: what a scene answers to the question of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.data.scenes.relations import RELATIONS, RelationName, between
from workbench.data.scenes.shapes import PART_NAMES
from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.data.scenes.scene import Scene


def object_label(scene: Scene, categories: Sequence[str]) -> int:
    """Which category of object a scene shows.

    Args:
        scene: the scene, with exactly one object whose shape is one of the categories.
        categories: names of shapes.

    Returns:
        Index into the categories.

    Raises:
        InputError: no object, or several, are of these categories.
    """
    found = [item.shape for item in scene.objects if item.shape in categories]
    return list(categories).index(_only(found, "an object of the categories"))


def part_label(scene: Scene, categories: Sequence[str]) -> int:
    """Which of several parts a scene shows.

    Args:
        scene: the scene, whose objects together have exactly one of the parts.
        categories: names of parts.

    Returns:
        Index into the categories.

    Raises:
        InputError: none of the parts is there, or several are.
    """
    found = [name for item in scene.objects for name in item.part_names if name in categories]
    return list(categories).index(_only(found, "a part of the categories"))


def has_part(scene: Scene, part: str) -> bool:
    """Whether any object of a scene has a part.

    Args:
        scene: the scene.
        part: one of ``PART_NAMES``.

    Returns:
        True or False.

    Raises:
        UnknownNameError: no composite has such a part.
    """
    if part not in PART_NAMES:
        raise unknown_name("part", part, PART_NAMES)
    return any(part in item.part_names for item in scene.objects)


def presence_label(scene: Scene, categories: Sequence[str], *, part: str) -> int:
    """Whether a scene shows a part, as the label of a task with two categories.

    Args:
        scene: the scene.
        categories: the answers "without" and "with", in this order.
        part: one of ``PART_NAMES``.

    Returns:
        1 where an object has the part, else 0.

    Raises:
        UnknownNameError: no composite has such a part.
        InputError: there are not two categories.
    """
    if len(categories) != 2:
        raise InputError(f"A part is there or not: expected two categories, got {list(categories)}.")
    return int(has_part(scene, part))


def holds(scene: Scene, statement: str) -> bool:
    """Whether a relation holds between objects that are named by colour and shape.

    Args:
        scene: the scene.
        statement: ``"red square left of blue circle"``: an object, one of ``RELATIONS``, an object.

    Returns:
        True where some pair of objects so named stands in that relation; False also where an object is absent.

    Raises:
        InputError: the statement names no relation, or an object on one side only.
    """
    first, name, second = parse(statement)
    return any(
        name in between(a, b)
        for a in scene.objects
        for b in scene.objects
        if a is not b and first in (a.name, a.shape) and second in (b.name, b.shape)
    )


def parse(statement: str) -> tuple[str, RelationName, str]:
    """The object, the relation and the other object of a statement.

    Args:
        statement: for example ``"red square left of blue circle"``.

    Returns:
        First object, relation, second object.

    Raises:
        InputError: it is no such statement.
    """
    for name in RELATIONS:
        first, found, second = statement.partition(f" {name} ")
        if found and first and second:
            return first, name, second
    raise InputError(
        f"{statement!r} is not a statement on two objects. Expected for example 'red square left of blue circle', "
        f"with one of the relations {', '.join(RELATIONS)}."
    )


def relation_label(scene: Scene, categories: Sequence[str]) -> int:
    """Which of several statements is the one that describes a scene.

    Two statements on directions can hold at once (left of and above): the one along the axis on which the centres
    differ most is taken.

    Args:
        scene: the scene, which has both objects that the statements name.
        categories: statements on the same two objects.

    Returns:
        Index into the categories.

    Raises:
        InputError: none of them holds.
        UnknownNameError: an object that they name is not in the scene.
    """
    true = [index for index, statement in enumerate(categories) if holds(scene, statement)]
    if not true:
        raise InputError(f"None of the statements {list(categories)} holds in this scene: {scene.caption()}")
    if len(true) == 1:
        return true[0]

    def difference(index: int) -> float:
        first, name, second = parse(categories[index])
        a, b = scene.object_at(scene.find(first)), scene.object_at(scene.find(second))
        axis = 0 if name in ("left of", "right of") else 1
        return abs(a.position[axis] - b.position[axis])

    return max(true, key=difference)


def _only(found: list[str], what: str) -> str:
    if len(found) != 1:
        raise InputError(f"A label needs exactly one of {what}; the scene has {len(found)}: {found}.")
    return found[0]
