"""Scenes against a slow renderer that asks each of 64 points in a pixel what it shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from workbench.data.scenes import (
    BACKGROUND_COLOURS,
    COMPOSITES,
    OBJECT_COLOURS,
    PATTERNS,
    SHAPES,
    TEXTURES,
    Background,
    Illumination,
    Part,
    Scene,
    SceneObject,
    Watermark,
    sample_scene,
)
from workbench.data.scenes.geometry import Ellipse, Polygon
from workbench.data.scenes.palette import shade
from workbench.data.scenes.render import BLACK
from workbench.data.scenes.shapes import SIMPLE_SHAPES, Fill
from workbench.data.scenes.surfaces import TEXTURE_PERIOD

SAMPLES = 8  # along each side of a pixel
Points = NDArray[np.float64]
Truth = NDArray[np.bool_]


def in_polygon(polygon: Polygon, x: Points, y: Points) -> Truth:
    """Even-odd rule: how often a ray to the right crosses the border."""
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(polygon.vertices, polygon.vertices[1:] + polygon.vertices[:1], strict=True):
        if ay == by:
            continue
        crosses = (ay > y) != (by > y)
        inside ^= crosses & (x < ax + (bx - ax) * (y - ay) / (by - ay))
    return inside


def in_ellipse(ellipse: Ellipse, x: Points, y: Points) -> Truth:
    turned = ((x - ellipse.x) + 1j * (y - ellipse.y)) * np.exp(-1j * ellipse.angle)
    return np.asarray((turned.real / ellipse.radius_x) ** 2 + (turned.imag / ellipse.radius_y) ** 2 <= 1)


def in_fill(fill: Fill, x: Points, y: Points) -> Truth:
    found = np.zeros(x.shape, dtype=bool)
    for piece in fill.pieces:
        found |= in_polygon(piece, x, y) if isinstance(piece, Polygon) else in_ellipse(piece, x, y)
    return found


def second_colour(texture: str, x: Points, y: Points) -> Truth:
    """Where a texture shows its second colour, from what its name says."""
    u, v = (x / TEXTURE_PERIOD) % 1, (y / TEXTURE_PERIOD) % 1
    first, second = (u < 0.25) | (u > 0.75), (v < 0.25) | (v > 0.75)
    if texture == "stripes":
        return ~first
    if texture == "checks":
        return first == second
    return np.hypot(u - 0.5, v - 0.5) < 0.29


def fills(item: SceneObject) -> list[tuple[str, str, str, Fill]]:
    """Part, colour, texture and fill, front to back."""
    if item.shape in SIMPLE_SHAPES:
        return [("", item.colour, item.texture, SIMPLE_SHAPES[item.shape])]
    found = []
    for name, styles in COMPOSITES[item.shape].items():
        for part in item.parts:
            if part.name == name:
                shown = styles[part.style or next(iter(styles))]
                found += [(name, part.colour, part.texture, fill) for fill in shown]
    return found


def tint(colour: str, fill: Fill) -> Points:
    base = np.array(OBJECT_COLOURS[colour])
    targets = {"plain": base, "dark": np.full(3, 0.15), "light": np.ones(3)}
    return np.array(BLACK) if fill.tint == "black" else base + 0.6 * (targets[fill.tint] - base)


def background(scene: Scene, x: Points, y: Points, size: int) -> Points:
    """Colours at points in -1..1."""
    ground = scene.background
    angle = math.radians(ground.angle)
    turned = (x + 1j * y) * np.exp(-1j * angle)
    along, across = turned.real, turned.imag
    level = np.ones(x.shape)
    if ground.pattern == "gradient":
        level = 1 + 0.13 * along
    elif ground.pattern in ("stripes", "checks"):
        first = np.abs((3 * along) % 1 - 0.5) > 0.25
        second = np.abs((3 * across) % 1 - 0.5) > 0.25
        dark = ~first if ground.pattern == "stripes" else first == second
        level = np.where(dark, 0.95, 1.03) if ground.pattern == "checks" else np.where(first, 1.03, 0.95)
    elif ground.pattern == "clouds":
        knots = np.random.default_rng(ground.seed).random((6, 6), dtype=np.float32) - 0.5

        def smooth(at: Points) -> tuple[NDArray[np.int64], Points]:
            scaled = (at + 1) / 2 * 5
            left = np.clip(scaled.astype(int), 0, 4)
            t = scaled - left
            return left, t * t * (3 - 2 * t)

        (i, s), (j, t) = smooth(y), smooth(x)
        top = knots[i, j] * (1 - t) + knots[i, j + 1] * t
        bottom = knots[i + 1, j] * (1 - t) + knots[i + 1, j + 1] * t
        level = 1 + 0.34 * (top * (1 - s) + bottom * s)
    return level[..., None] * np.array(BACKGROUND_COLOURS[ground.colour])


def render_slowly(scene: Scene, size: int) -> tuple[Points, dict[tuple[int, str], Points]]:
    """Image in 0..255 before rounding, and the share of each pixel that shows an object's part."""
    steps = (np.arange(size * SAMPLES) + 0.5) / (size * SAMPLES)
    x, y = np.meshgrid(steps, steps)
    colour = background(scene, 2 * x - 1, 2 * y - 1, size)
    owner = np.full(x.shape, -1)
    items = list(enumerate(scene.objects))
    if scene.watermark is not None:
        items.append((-1, scene.watermark.as_object()))
    keys: list[tuple[int, str]] = []
    for number, item in sorted(items, key=lambda entry: -entry[1].depth):
        turned = ((x - item.position[0]) + 1j * (y - item.position[1])) * np.exp(-1j * math.radians(item.rotation))
        u, v = turned.real / (item.size / 2), turned.imag / (item.size / 2)
        for part, name, texture, fill in reversed(fills(item)):
            inside = in_fill(fill, u, v)
            first = tint(name, fill)
            painted = np.broadcast_to(first, (*x.shape, 3))
            if texture != "plain":
                other = np.array(shade((float(first[0]), float(first[1]), float(first[2]))))
                painted = np.where(second_colour(texture, u, v)[..., None], other, first)
            colour = np.where(inside[..., None], painted, colour)
            if (number, part) not in keys:
                keys.append((number, part))
            owner[inside] = keys.index((number, part))
    light = scene.illumination
    towards = math.radians(light.angle)
    gain = light.level + light.slope * (math.cos(towards) * (2 * x - 1) + math.sin(towards) * (2 * y - 1))
    shares = {key: block_means(owner == row, size) for row, key in enumerate(keys)}
    return block_means(colour * gain[..., None], size) * 255, shares


def block_means(values: NDArray[np.generic], size: int) -> Points:
    shaped = values.reshape(size, SAMPLES, size, SAMPLES, *values.shape[2:])
    return np.asarray(shaped.mean(axis=(1, 3), dtype=np.float64))


def check(scene: Scene, size: int) -> None:
    rendering = scene.render(size)
    image, shares = render_slowly(scene, size)
    difference = np.abs(rendering.image.astype(float) - np.clip(image, 0, 255))
    assert difference.mean() < 1.0
    # where borders of several fills meet in one pixel, coverage is only known to a share of it
    assert np.quantile(difference, 0.98) < 14

    def compare(mask: Truth, share: Points) -> None:
        sure = np.abs(share - 0.5) > 0.2
        wrong = sure & (mask != (share > 0.5))
        assert wrong.sum() <= 0.02 * max(50, mask.sum())

    empty = np.zeros((size, size))
    for (number, part), mask in zip(rendering.parts, rendering.part_masks, strict=True):
        compare(mask, shares.get((number, part), empty))
    for number, mask in enumerate(rendering.object_masks):
        compare(mask, sum((share for (owner, _), share in shares.items() if owner == number), empty))
    compare(rendering.watermark_mask, shares.get((-1, ""), empty))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rotation", [0.0, 33.0])
def test_every_shape(shape: str, rotation: float) -> None:
    check(Scene((SceneObject(shape, "red", size=0.8, rotation=rotation, position=(0.48, 0.53)),)), 64)


@pytest.mark.parametrize(
    ("shape", "style", "part"),
    [(shape, style, part) for shape, parts in COMPOSITES.items() for part, styles in parts.items() for style in styles],
)
def test_every_style_of_every_part(shape: str, style: str, part: str) -> None:
    whole = SceneObject(shape, "blue", size=0.9)
    check(Scene((whole,)).replace_part(0, part, Part(part, "black", style)), 64)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("shape", ["square", "star", "bird"])
def test_every_texture(shape: str, texture: str) -> None:
    check(Scene((SceneObject(shape, "green", texture, size=0.85, rotation=-20, position=(0.5, 0.5)),)), 96)  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_background_under_a_slanting_light(pattern: str) -> None:
    scene = Scene((), Background("rose", pattern, 27, 5), Illumination(0.9, 0.15, 70))  # type: ignore[arg-type]
    check(scene, 64)


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("task", ["object_confounded", "part", "relation"])
def test_drawn_scenes(task: str, index: int) -> None:
    scene = sample_scene(task, index, seed=5).scene
    light = scene.illumination
    without_grain = Scene(
        scene.objects, scene.background, Illumination(light.level, light.slope, light.angle), scene.watermark
    )
    check(without_grain, 64)


def test_nearer_objects_hide_others_and_a_watermark_hides_all() -> None:
    scene = Scene(
        (
            SceneObject("square", "red", size=0.6, position=(0.4, 0.4), depth=0.9),
            SceneObject("circle", "blue", size=0.6, position=(0.6, 0.6), depth=0.1),
            SceneObject("flower", "pink", size=0.7, position=(0.5, 0.5), depth=0.5),
        ),
        watermark=Watermark("heart", "black", size=0.4),
    )
    check(scene, 96)
