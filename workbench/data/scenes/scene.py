"""A scene: objects on a background under a light, and the interventions that change one thing in it.

Everything is frozen: an intervention returns a new scene that differs in what it names and in nothing else. Positions
and sizes are shares of the picture's side, so that a scene can be rendered at any size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from workbench.data.scenes.elements import MAIN_PARTS, Background, Illumination, Part, SceneObject, Watermark, known
from workbench.data.scenes.palette import OBJECT_COLOURS
from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.data.scenes.relations import Relation
    from workbench.data.scenes.render import Rendering


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
    background: Background = field(default_factory=Background)
    illumination: Illumination = field(default_factory=Illumination)
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
        known("object colour", colour, OBJECT_COLOURS)
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
