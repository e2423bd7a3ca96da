"""From a scene to its picture and its masks.

Front to back, each fill takes the part of every pixel that it covers and that nothing nearer has taken. The picture is
the colours weighted by these visible shares, so one array gives both the antialiased picture and the masks: a part is
where its fills together take at least half of a pixel, an object where its parts do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.scenes.geometry import Placement, Window, union_distance
from workbench.data.scenes.palette import Colour, object_colour, shade
from workbench.data.scenes.shapes import COMPOSITES, SIMPLE_SHAPES, Fill
from workbench.data.scenes.surfaces import Layer, add_background, coverage, expose, texture_share
from workbench.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from workbench.data.scenes.elements import SceneObject, Texture
    from workbench.data.scenes.relations import Relation
    from workbench.data.scenes.scene import Scene

SMALLEST, LARGEST = 16, 4096
BLACK: Colour = (0.09, 0.09, 0.11)


@dataclass(frozen=True)
class Rendering:
    """A picture and what is true of it.

    Attributes:
        scene: what was rendered.
        image: (y, x, channel) uint8, RGB.
        object_masks: (object, y, x) bool, where at least half of the pixel shows the object.
        part_masks: (part, y, x) bool, likewise, in the order of ``parts``.
        parts: (number of the object, name of the part) of each part mask.
        watermark_mask: (y, x) bool, empty of True where there is no watermark.
    """

    scene: Scene
    image: NDArray[np.uint8]
    object_masks: NDArray[np.bool_]
    part_masks: NDArray[np.bool_]
    parts: tuple[tuple[int, str], ...]
    watermark_mask: NDArray[np.bool_]

    def part_mask(self, name: str, *, index: int | None = None) -> NDArray[np.bool_]:
        """Where a part is visible.

        Args:
            name: of the part.
            index: number of the object; None takes the union over all objects.

        Returns:
            (y, x) bool.

        Raises:
            UnknownNameError: no object (or not this one) has such a part.
        """
        rows = [row for row, (number, part) in enumerate(self.parts) if part == name and index in (None, number)]
        if not rows:
            raise unknown_name("part of this scene", name, dict.fromkeys(part for _, part in self.parts))
        return np.asarray(self.part_masks[rows].any(axis=0))

    @cached_property
    def caption(self) -> str:
        """A sentence on the picture."""
        return self.scene.caption()

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """The relations that hold between the objects."""
        return self.scene.relations()

    @cached_property
    def factors(self) -> pd.DataFrame:
        """One row an object: shape, colour, texture, size, rotation, x, y, depth, parts, and the visible share."""
        import pandas as pd

        rows = []
        for number, item in enumerate(self.scene.objects):
            alone = footprint(item, size=len(self.image), least=0.5)
            rows.append(
                {
                    "object": number,
                    "shape": item.shape,
                    "colour": item.colour,
                    "texture": item.texture,
                    "size": item.size,
                    "rotation": item.rotation,
                    "x": item.position[0],
                    "y": item.position[1],
                    "depth": item.depth,
                    "parts": ", ".join(item.part_names),
                    "visible": float(self.object_masks[number].sum() / max(1, alone.sum())),
                }
            )
        columns = ["object", "shape", "colour", "texture", "size", "rotation", "x", "y", "depth", "parts", "visible"]
        return pd.DataFrame(rows, columns=columns).set_index("object")


def check_size(size: int) -> int:
    """The side of a picture in pixels, if it can be one.

    Args:
        size: an integer from 16 to 4096.

    Returns:
        The same.

    Raises:
        InputError: it is not such an integer.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or not SMALLEST <= size <= LARGEST:
        raise InputError(f"size must be a whole number of pixels from {SMALLEST} to {LARGEST}; got {size!r}.")
    return int(size)


def render(scene: Scene, *, size: int = 96) -> Rendering:
    """Render a scene.

    Args:
        scene: what to render.
        size: side in pixels, 16 to 4096.

    Returns:
        The picture and what is true of it.

    Raises:
        InputError: the size is outside that range.
    """
    size = check_size(size)
    painter = _Painter(size)
    order = sorted(range(len(scene.objects)), key=lambda number: scene.objects[number].depth)
    if scene.watermark is not None:
        painter.paint(scene.watermark.as_object(), -1)
    for number in order:
        painter.paint(scene.objects[number], number)
    return painter.finish(scene)


class _Painter:
    """The visible shares of all fills so far, front to back, and what nothing has covered yet."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.free = np.ones((size, size), dtype=np.float32)
        self.canvas = np.zeros((3, size, size), dtype=np.float32)
        # (object, part) -> its windows and shares
        self.taken: dict[tuple[int, str], list[tuple[Window, Layer]]] = {}

    def paint(self, item: SceneObject, number: int) -> None:
        """Add one object behind all that were added before."""
        at = placement(item, self.size)
        for part, colour, texture, fills in painted_parts(item):
            taken = self.taken.setdefault((number, part), [])
            for fill in fills:
                placed = union_distance(fill.pieces, at, self.size)
                if placed is None:
                    continue
                window, distance = placed
                free = self.free[window.rows, window.columns]
                share = coverage(distance)
                share *= free
                free -= share
                taken.append((window, share))
                self._colour(window, share, tinted(colour, fill), texture, at)

    def _colour(self, window: Window, share: Layer, colour: Colour, texture: Texture, at: Placement) -> None:
        canvas = self.canvas[:, window.rows, window.columns]
        if texture == "plain":
            for channel in range(3):
                canvas[channel] += share * np.float32(colour[channel])
            return
        second = shade(colour)
        dark = texture_share(texture, window, at)
        dark *= share
        for channel in range(3):
            canvas[channel] += share * np.float32(colour[channel])
            canvas[channel] += dark * np.float32(second[channel] - colour[channel])

    def finish(self, scene: Scene) -> Rendering:
        """Put the background behind, light the picture, and threshold the shares."""
        canvas = self.canvas
        add_background(canvas, self.free, scene.background)
        image = expose(canvas, scene.illumination)
        size = self.size
        numbers = range(len(scene.objects))
        keys = tuple((number, part) for number in numbers for part in scene.objects[number].part_names)
        part_masks = np.zeros((len(keys), size, size), dtype=np.bool_)
        object_masks = np.zeros((len(scene.objects), size, size), dtype=np.bool_)
        total = np.zeros((size, size), dtype=np.float32)
        rows = {key: row for row, key in enumerate(keys)}
        for number in numbers:
            item = scene.objects[number]
            names = item.part_names or ("",)
            all_shares = [entry for name in names for entry in self.taken[number, name]]
            _threshold(all_shares, total, object_masks[number])
            for name in item.part_names:
                _threshold(self.taken[number, name], total, part_masks[rows[number, name]])
        watermark = np.zeros((size, size), dtype=np.bool_)
        _threshold(self.taken.get((-1, ""), []), total, watermark)
        return Rendering(scene, image, object_masks, part_masks, keys, watermark)


def _threshold(shares: list[tuple[Window, Layer]], total: Layer, mask: NDArray[np.bool_]) -> None:
    """Where the shares together reach a half; ``total`` is a scratch array that is left zero."""
    if len(shares) == 1:
        window, share = shares[0]
        np.greater_equal(share, 0.5, out=mask[window.rows, window.columns])
        return
    for window, share in shares:
        total[window.rows, window.columns] += share
    for window, _ in shares:
        box = (window.rows, window.columns)
        np.greater_equal(total[box], 0.5, out=mask[box])
    for window, _ in shares:
        total[window.rows, window.columns] = 0


def placement(item: SceneObject, size: int) -> Placement:
    """Where an object lies in a picture of ``size`` pixels.

    Args:
        item: the object.
        size: side in pixels.

    Returns:
        The placement of its local coordinates.
    """
    x, y = item.position
    return Placement(x * size, y * size, item.size * size / 2, math.radians(item.rotation))


def painted_parts(item: SceneObject) -> list[tuple[str, Colour, Texture, tuple[Fill, ...]]]:
    """The parts of an object front to back: name ("" of a simple shape), colour, texture and fills.

    Args:
        item: the object.

    Returns:
        One tuple a part.
    """
    if item.shape in SIMPLE_SHAPES:
        return [("", object_colour(item.colour), item.texture, (SIMPLE_SHAPES[item.shape],))]
    own = {part.name: part for part in item.parts}
    painted = []
    for name, styles in COMPOSITES[item.shape].items():
        part = own.get(name)
        if part is not None:
            fills = styles[part.style] if part.style else next(iter(styles.values()))
            painted.append((name, object_colour(part.colour), part.texture, fills))
    return painted


def tinted(colour: Colour, fill: Fill) -> Colour:
    """The colour of one fill of a part.

    Args:
        colour: of the part; red, green, blue in 0..1.
        fill: its tint is used.

    Returns:
        Red, green, blue in 0..1.
    """
    if fill.tint == "plain":
        return colour
    if fill.tint == "black":
        return BLACK
    target = 0.15 if fill.tint == "dark" else 1.0
    red, green, blue = colour
    return (red + (target - red) * 0.6, green + (target - green) * 0.6, blue + (target - blue) * 0.6)


def footprint(item: SceneObject, *, size: int = 96, least: float = 0.0) -> NDArray[np.bool_]:
    """The pixels of an object, as if nothing stood before it.

    Args:
        item: the object.
        size: side in pixels.
        least: the covered share that a pixel must exceed or, if positive, reach.

    Returns:
        (y, x) bool.
    """
    size = check_size(size)
    free = np.ones((size, size), dtype=np.float32)
    at = placement(item, size)
    for _, _, _, fills in painted_parts(item):
        for fill in fills:
            placed = union_distance(fill.pieces, at, size)
            if placed is not None:
                window, distance = placed
                free[window.rows, window.columns] *= 1 - coverage(distance)
    return np.asarray(1 - free >= least if least > 0 else free < 1)
