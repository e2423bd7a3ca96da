"""A scene in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.data.scenes.elements import SceneObject
    from workbench.data.scenes.scene import Scene

_PATTERNS = {"plain": "", "gradient": "", "clouds": "cloudy ", "stripes": "striped ", "checks": "chequered "}
_TEXTURES = {"plain": "", "stripes": "striped ", "dots": "dotted ", "checks": "chequered "}


def caption(scene: Scene) -> str:
    """A sentence that names every object, how each stands to the one before it, and the background.

    Args:
        scene: the scene.

    Returns:
        For example ``"A red square left of a striped blue circle, on a cloudy sky background."``
    """
    ground = f"{_PATTERNS[scene.background.pattern]}{scene.background.colour} background"
    if not scene.objects:
        return _sentence(f"{_article(ground)}{_mark(scene)}")
    words = _phrase(scene.objects[0])
    for before, item in zip(scene.objects, scene.objects[1:], strict=False):
        words += f" {_direction(before, item)} {_phrase(item)}"
    return _sentence(f"{words}, on {_article(ground)}{_mark(scene)}")


def phrase(item: SceneObject) -> str:
    """An object in words, without an article: texture, colour, shape, and the parts that it lacks.

    Args:
        item: the object.

    Returns:
        For example ``"striped blue bird without beak"``.
    """
    from workbench.data.scenes.shapes import COMPOSITES

    text = f"{_TEXTURES[item.texture]}{item.name}"
    missing = [name for name in COMPOSITES.get(item.shape, ()) if name not in item.part_names]
    return f"{text} without {' and '.join(missing)}" if missing else text


def _phrase(item: SceneObject) -> str:
    return _article(phrase(item))


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _direction(first: SceneObject, second: SceneObject) -> str:
    """How the first stands to the second, along the axis on which they differ most."""
    right = first.position[0] - second.position[0]
    down = first.position[1] - second.position[1]
    if abs(right) >= abs(down):
        return "left of" if right < 0 else "right of" if right > 0 else "at"
    return "above" if down < 0 else "below"


def _mark(scene: Scene) -> str:
    mark = scene.watermark
    return "" if mark is None else f", marked with {_article(f'{mark.colour} {mark.shape}')} at the {mark.corner}"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
