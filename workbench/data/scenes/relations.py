"""The relations that are true between the objects of a scene, from its geometry alone.

They hold in the scene, not in one of its pictures: silhouettes are compared on one fixed grid, so a scene has the same
relations at every size.

* *left of*, *right of*, *above*, *below*: the centres differ along that axis by more than ``MARGIN`` of the side.
* *larger than*: the silhouette's area is more than ``LARGER`` times the other's.
* *inside*: the silhouette lies wholly in the other's, and nearer to the viewer.
* *touching*: the silhouettes overlap or meet, and neither is inside the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

from workbench.data.scenes.render import footprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.data.scenes.elements import SceneObject
    from workbench.data.scenes.scene import Scene

RelationName = Literal["left of", "right of", "above", "below", "inside", "touching", "larger than"]
RELATIONS: tuple[RelationName, ...] = get_args(RelationName)

MARGIN = 0.03
LARGER = 1.2
GRID = 128  # pixels a side of the grid on which silhouettes are compared


@dataclass(frozen=True)
class Relation:
    """``first`` stands in the relation ``name`` to ``second``; both are numbers of objects."""

    first: int
    name: RelationName
    second: int


def relations(scene: Scene) -> tuple[Relation, ...]:
    """All relations that hold between the objects of a scene.

    Args:
        scene: the scene.

    Returns:
        One entry a relation and ordered pair of different objects.
    """
    found: list[Relation] = []
    for i, first in enumerate(scene.objects):
        for j, second in enumerate(scene.objects):
            if i != j:
                found += [Relation(i, name, j) for name in between(first, second)]
    return tuple(found)


def between(first: SceneObject, second: SceneObject) -> list[RelationName]:
    """The relations in which one object stands to another.

    Args:
        first: the object that the relations are said of.
        second: the object that they are said in respect to.

    Returns:
        The names, in the order of ``RELATIONS``.
    """
    right = first.position[0] - second.position[0]
    down = first.position[1] - second.position[1]
    found: list[RelationName] = []
    if right < -MARGIN:
        found.append("left of")
    if right > MARGIN:
        found.append("right of")
    if down < -MARGIN:
        found.append("above")
    if down > MARGIN:
        found.append("below")
    apart = math.hypot(right, down)
    # every shape lies in a square of its size, whose corners are its farthest points
    if apart <= (first.size + second.size) / 2 * math.sqrt(2) + 2 / GRID:
        a, b = silhouette(first), silhouette(second)
        if _inside(a, b) and first.depth < second.depth:
            found.append("inside")
        elif not (_inside(b, a) and second.depth < first.depth) and bool((_grown(a) & b).any()):
            found.append("touching")
    if area(first) > LARGER * area(second):
        found.append("larger than")
    return found


@lru_cache(maxsize=64)
def silhouette(item: SceneObject) -> NDArray[np.bool_]:
    """The mask of an object on the fixed grid, (y, x) bool: where the object covers at least half of a cell.

    Args:
        item: the object.

    Returns:
        The mask, ``GRID`` cells a side.
    """
    return footprint(item, size=GRID, least=0.5)


def area(item: SceneObject) -> float:
    """Area of the silhouette as a share of the picture, wherever the object lies.

    Args:
        item: the object.

    Returns:
        The share; above 1 for objects larger than the picture.
    """
    return _unit_area(item.shape, item.part_names, tuple(part.style for part in item.parts)) * item.size**2


@lru_cache(maxsize=256)
def _unit_area(shape: str, names: tuple[str, ...], styles: tuple[str, ...]) -> float:
    from workbench.data.scenes.elements import Part, SceneObject

    parts = tuple(Part(name, "red", style) for name, style in zip(names, styles, strict=True))
    return float(footprint(SceneObject(shape, "red", size=1.0, parts=parts), size=GRID, least=0.5).mean())


def _inside(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    return bool(a.any() and not (a & ~b).any())


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
