"""Scenes, their interventions, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.scenes import (
    COMPOSITES,
    OBJECT_COLOURS,
    SHAPES,
    Background,
    Illumination,
    Part,
    Scene,
    SceneObject,
    Watermark,
    has_part,
    sample_scene,
)
from workbench.data.scenes.geometry import Polygon
from workbench.data.scenes.shapes import SIMPLE_SHAPES
from workbench.errors import InputError, UnknownNameError

TASK_NAMES = ["object", "part", "relation", "object_confounded"]
drawn = st.builds(
    lambda task, index: sample_scene(task, index, seed=3).scene, st.sampled_from(TASK_NAMES), st.integers(0, 500)
)
places = st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2))
SIZE = 48


def changed(before: Scene, after: Scene) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray((before.render(SIZE).image != after.render(SIZE).image).any(axis=-1))


@settings(max_examples=30)
@given(drawn, places, st.data())
def test_an_intervention_changes_only_what_it_touches(scene: Scene, place: tuple[float, float], data: Any) -> None:
    index = data.draw(st.integers(0, len(scene.objects) - 1))
    item = scene.objects[index]
    old = scene.footprint(index, size=SIZE)

    moved = scene.move(index, place)
    assert not (changed(scene, moved) & ~(old | moved.footprint(index, size=SIZE))).any()
    assert not (changed(scene, scene.remove(index)) & ~old).any()
    colour = data.draw(st.sampled_from(sorted(OBJECT_COLOURS)))
    assert not (changed(scene, scene.recolour(index, colour)) & ~old).any()
    if len(item.parts) > 1:
        part = data.draw(st.sampled_from(item.part_names))
        assert not (changed(scene, scene.replace_part(index, part, None)) & ~old).any()
    other = data.draw(st.integers(0, len(scene.objects) - 1))
    swapped = scene.swap(index, other)
    footprints = [s.footprint(i, size=SIZE) for s in (scene, swapped) for i in (index, other)]
    assert not (changed(scene, swapped) & ~np.any(footprints, axis=0)).any()


@settings(max_examples=20)
@given(drawn)
def test_a_new_background_keeps_every_mask_and_the_covered_pixels(scene: Scene) -> None:
    before, after = scene.render(SIZE), scene.set_background(Background("dusk", "checks", 10)).render(SIZE)
    np.testing.assert_array_equal(before.object_masks, after.object_masks)
    np.testing.assert_array_equal(before.part_masks, after.part_masks)
    differs = (before.image != after.image).any(axis=-1)
    touched = np.any([scene.footprint(i, size=SIZE) for i in range(len(scene.objects))], axis=0)
    assert differs[~touched & ~before.watermark_mask].mean() > 0.5
    assert after.scene.objects == scene.objects
    assert after.scene.illumination == scene.illumination


@settings(max_examples=20)
@given(drawn)
def test_swapping_twice_gives_the_scene_back(scene: Scene) -> None:
    last = len(scene.objects) - 1
    assert scene.swap(0, last).swap(0, last) == scene


def test_interventions_differ_in_that_alone() -> None:
    scene = Scene((SceneObject("bird", "blue"), SceneObject("square", "red", "dots", position=(0.2, 0.2))))
    assert scene.move(1, (0.7, 0.1)).objects == (scene.objects[0], replace(scene.objects[1], position=(0.7, 0.1)))
    assert scene.remove(0).objects == scene.objects[1:]
    assert scene.recolour(1, "teal").objects[1] == replace(scene.objects[1], colour="teal")
    wing = scene.recolour(0, "yellow", part="wing").objects[0]
    assert {part.name for part, old in zip(wing.parts, scene.objects[0].parts, strict=True) if part != old} == {"wing"}
    body = scene.recolour(0, "yellow").objects[0]
    painted = {part.name for part, old in zip(body.parts, scene.objects[0].parts, strict=True) if part != old}
    assert painted == {"body", "head"}
    hooked = scene.replace_part(0, "beak", Part("beak", "black", "hooked"))
    assert hooked.objects[0].part_names == scene.objects[0].part_names
    assert hooked.objects[1] is scene.objects[1]
    plain = scene.replace_part(0, "tail", None)
    assert has_part(scene, "tail")
    assert not has_part(plain, "tail")
    marked = scene.set_watermark(Watermark("star", "black"))
    assert marked.render(SIZE).watermark_mask.any()
    assert marked.set_watermark(None) == scene


def test_removing_an_object_takes_that_one_of_two_equal_ones() -> None:
    twin = SceneObject("circle", "red")
    scene = Scene((twin, SceneObject("square", "blue"), replace(twin)))
    assert scene.remove(0).objects == scene.objects[1:]
    assert scene.remove(2).objects == scene.objects[:2]
    same = Scene((twin, twin))
    assert same.remove(0).objects == (twin,)


def test_an_object_is_found_by_its_name() -> None:
    scene = Scene((SceneObject("circle", "red"), SceneObject("circle", "blue"), SceneObject("house", "red")))
    assert scene.find("blue circle") == 1
    assert scene.find("house") == 2
    with pytest.raises(InputError, match=r"2 objects are called 'circle': numbers \[0, 1\]"):
        scene.find("circle")
    with pytest.raises(UnknownNameError, match="green circle"):
        scene.find("green circle")


def test_every_shape_lies_in_its_square_and_every_polygon_is_convex() -> None:
    fills = [("", fill) for fill in SIMPLE_SHAPES.values()]
    fills += [
        (part, fill)
        for parts in COMPOSITES.values()
        for part, styles in parts.items()
        for style in styles.values()
        for fill in style
    ]
    for _, fill in fills:
        for piece in fill.pieces:
            if isinstance(piece, Polygon):
                corners = [complex(*vertex) for vertex in piece.vertices]
                sides = [b - a for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
                turns = [(a.conjugate() * b).imag for a, b in zip(sides, sides[1:] + sides[:1], strict=True)]
                assert min(turns) > 0, piece
    for shape in SHAPES:
        footprint = Scene((SceneObject(shape, "red", size=0.5),)).footprint(0, size=200)
        rows, columns = footprint.any(axis=1).nonzero()[0], footprint.any(axis=0).nonzero()[0]
        assert rows[0] >= 48
        assert columns[0] >= 48
        assert rows[-1] <= 151
        assert columns[-1] <= 151


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SceneObject("blob", "red"), "Unknown shape 'blob'"),
        (lambda: SceneObject("circle", "rad"), "Did you mean 'red'"),
        (lambda: SceneObject("circle", "red", "velvet"), "Unknown texture 'velvet'"),  # type: ignore[arg-type]
        (lambda: SceneObject("circle", "red", size=0), r"must be in \(0, 2\]"),
        (lambda: SceneObject("circle", "red", position=(float("nan"), 0)), "finite numbers"),
        (lambda: SceneObject("circle", "red", parts=(Part("beak", "red"),)), "A circle has no parts"),
        (lambda: SceneObject("bird", "red", parts=(Part("door", "red"),)), "Unknown part of a bird 'door'"),
        (lambda: SceneObject("bird", "red", parts=(Part("wing", "red", "flat"),)), "Unknown style of a wing 'flat'"),
        (lambda: SceneObject("bird", "red", parts=(Part("eye", "red"), Part("eye", "red"))), "each part once"),
        (lambda: Background("red"), "Unknown background colour 'red'"),
        (lambda: Background(pattern="waves"), "Unknown background pattern 'waves'"),  # type: ignore[arg-type]
        (lambda: Illumination(noise=-1), "noise >= 0"),
        (lambda: Watermark("bird", "red"), "Unknown simple shape 'bird'"),
        (lambda: Watermark("star", "red", "middle"), "Unknown corner 'middle'"),  # type: ignore[arg-type]
        (lambda: Watermark("star", "red", size=2), r"must be in \(0, 1\]"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises((InputError, UnknownNameError), match=message):
        make()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda scene: scene.move(5, (0, 0)), "Unknown object 5"),
        (lambda scene: scene.remove(-1), "Unknown object -1"),
        (lambda scene: scene.recolour(0, "puce"), "Unknown object colour 'puce'"),
        (lambda scene: scene.recolour(0, "red", part="door"), "Unknown part of this bird 'door'"),
        (lambda scene: scene.replace_part(0, "beak", Part("eye", "red")), "A beak can only be replaced by a beak"),
        (lambda scene: scene.replace_part(1, "beak", None), "Unknown part of this circle 'beak'"),
        (lambda scene: scene.move(0, (float("inf"), 0)), "finite numbers"),
        (lambda scene: scene.render(8), "from 16 to 4096; got 8"),
        (lambda scene: scene.render(64.0), "whole number of pixels"),
        (lambda scene: has_part(scene, "fin"), "Unknown part 'fin'"),
    ],
)
def test_an_impossible_intervention_is_refused(act: Any, message: str) -> None:
    scene = Scene((SceneObject("bird", "blue"), SceneObject("circle", "red")))
    with pytest.raises((InputError, UnknownNameError), match=message):
        act(scene)


def test_the_last_part_is_not_taken_away() -> None:
    scene = Scene((SceneObject("bird", "blue", parts=(Part("body", "blue"),)),))
    with pytest.raises(InputError, match=r"Use remove\(0\)"):
        scene.replace_part(0, "body", None)
