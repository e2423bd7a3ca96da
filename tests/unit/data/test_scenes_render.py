"""What a rendering says of its picture."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.scenes import (
    PATTERNS,
    Background,
    Illumination,
    Part,
    Scene,
    SceneObject,
    holds,
    sample_scene,
)
from workbench.data.scenes.labels import parse
from workbench.data.scenes.relations import RELATIONS, Relation
from workbench.errors import InputError, UnknownNameError

drawn = st.builds(
    lambda task, index: sample_scene(task, index, seed=8).scene,
    st.sampled_from(["object", "part", "relation", "part_confounded"]),
    st.integers(0, 500),
)


@settings(max_examples=25)
@given(drawn, st.sampled_from([48, 64, 97]))
def test_masks_are_visible_parts_of_their_objects(scene: Scene, size: int) -> None:
    rendering = scene.render(size)
    assert rendering.image.shape == (size, size, 3)
    assert rendering.image.dtype == np.uint8
    assert rendering.object_masks.shape == (len(scene.objects), size, size)
    # no pixel shows two things at least by half (only exactly half of each could)
    assert rendering.object_masks.sum(axis=0).max(initial=0) <= 1
    assert rendering.part_masks.sum(axis=0).max(initial=0) <= 1
    for number, mask in enumerate(rendering.object_masks):
        assert not (mask & ~scene.footprint(number, size=size)).any()
        rows = [row for row, (owner, _) in enumerate(rendering.parts) if owner == number]
        assert not (rendering.part_masks[rows].any(axis=0) & ~mask).any()
    assert not (rendering.object_masks.any(axis=0) & rendering.watermark_mask).any()


@settings(max_examples=25)
@given(drawn)
def test_the_same_scene_gives_the_same_bytes(scene: Scene) -> None:
    assert scene.render(64).image.tobytes() == scene.render(64).image.tobytes()


@settings(max_examples=25)
@given(drawn)
def test_the_caption_names_every_object_and_the_background(scene: Scene) -> None:
    caption = scene.render(48).caption
    for item in scene.objects:
        assert item.name in caption
    assert f"{scene.background.colour} background" in caption
    assert caption[0].isupper()
    assert caption.endswith(".")
    assert (scene.watermark is None) == ("marked with" not in caption)


@settings(max_examples=40)
@given(drawn)
def test_relations_are_consistent(scene: Scene) -> None:
    true = set(scene.relations())
    opposite = {
        "left of": "right of",
        "right of": "left of",
        "above": "below",
        "below": "above",
        "touching": "touching",
    }
    for relation in true:
        assert relation.first != relation.second
        if relation.name in opposite:
            assert Relation(relation.second, opposite[relation.name], relation.first) in true  # type: ignore[arg-type]
        else:
            assert Relation(relation.second, relation.name, relation.first) not in true
        if relation.name == "inside":
            assert Relation(relation.second, "larger than", relation.first) in true
            assert Relation(relation.first, "touching", relation.second) not in true


@settings(max_examples=20)
@given(drawn)
def test_swapping_two_objects_turns_their_directions_round(scene: Scene) -> None:
    if len(scene.objects) < 2:
        return
    sideways = {"left of", "right of", "above", "below"}
    before = {(r.first, r.name) for r in scene.relations() if r.name in sideways and {r.first, r.second} == {0, 1}}
    after = {
        (r.first, r.name) for r in scene.swap(0, 1).relations() if r.name in sideways and {r.first, r.second} == {0, 1}
    }
    assert after == {(1 - first, name) for first, name in before}


def test_each_relation_on_a_scene_made_for_it() -> None:
    big = SceneObject("square", "blue", size=0.6, depth=0.9)
    small = SceneObject("circle", "red", size=0.2, depth=0.1)
    inside = Scene((small, big))
    assert {r.name for r in inside.relations() if r.first == 0} == {"inside"}
    assert {r.name for r in inside.relations() if r.first == 1} == {"larger than"}
    behind = Scene((SceneObject("circle", "red", size=0.2, depth=1.0), big))
    assert "inside" not in {r.name for r in behind.relations()}
    at_the_edge = inside.move(0, (0.5 + 0.6 * 0.39 + 0.2 * 0.45, 0.5))
    assert {r.name for r in at_the_edge.relations() if r.first == 0} == {"right of", "touching"}
    apart = inside.move(0, (0.9, 0.1))
    assert {r.name for r in apart.relations() if r.first == 0} == {"right of", "above"}
    assert holds(apart, "red circle above blue square")
    assert holds(apart, "square left of circle")
    assert not holds(apart, "red circle below blue square")
    assert not holds(apart, "green circle above blue square")


def test_a_statement_is_read_or_refused() -> None:
    for name in RELATIONS:
        assert parse(f"red square {name} blue circle") == ("red square", name, "blue circle")
    for wrong in ("red square beside blue circle", "left of blue circle", "red square left of "):
        with pytest.raises(InputError, match="is not a statement"):
            parse(wrong)


def test_a_nearer_object_takes_the_pixels() -> None:
    near = SceneObject("square", "red", size=0.4, depth=0.1)
    far = SceneObject("bird", "blue", size=0.8, depth=0.9)
    hidden = Scene((far, near)).render(96)
    free = Scene((far,)).render(96)
    np.testing.assert_array_equal(hidden.object_masks[0], free.object_masks[0] & ~hidden.object_masks[1])
    assert hidden.factors.loc[0, "visible"] < 0.9
    assert hidden.factors.loc[1, "visible"] == 1.0
    order = Scene((near, far)).render(96)
    np.testing.assert_array_equal(order.image, hidden.image)


def test_the_factor_table_says_what_was_rendered() -> None:
    scene = Scene((SceneObject("circle", "red", "dots", 0.3, 15, (0.2, 0.7), 0.4), SceneObject("house", "teal")))
    table = scene.render(64).factors
    assert list(table.index) == [0, 1]
    row = table.loc[0]
    assert (row["shape"], row["colour"], row["texture"]) == ("circle", "red", "dots")
    assert (row["size"], row["rotation"], row["x"], row["y"], row["depth"]) == (0.3, 15, 0.2, 0.7, 0.4)
    assert table.loc[1, "parts"] == "door, window, roof, wall"
    assert len(Scene().render(32).factors) == 0


def test_part_masks_by_name() -> None:
    scene = Scene(
        (
            SceneObject("bird", "blue", size=0.4, position=(0.25, 0.5)),
            SceneObject("bird", "red", size=0.4, position=(0.75, 0.5)),
        )
    )
    rendering = scene.render(128)
    left, right = rendering.part_mask("wing", index=0), rendering.part_mask("wing", index=1)
    assert left[:, :64].any()
    assert not left[:, 64:].any()
    np.testing.assert_array_equal(rendering.part_mask("wing"), left | right)
    with pytest.raises(UnknownNameError, match="roof"):
        rendering.part_mask("roof")


def test_every_named_part_is_seen_at_the_smallest_promised_size() -> None:
    for shape in ("flower", "bird", "house"):
        rendering = Scene((SceneObject(shape, "purple", size=0.6),)).render(64)
        for row, (_, name) in enumerate(rendering.parts):
            assert rendering.part_masks[row].any(), name


def test_a_part_is_painted_in_its_colour() -> None:
    whole = SceneObject("house", "yellow", size=0.9)
    scene = Scene((whole,)).replace_part(0, "roof", Part("roof", "green"))
    rendering = scene.render(128)
    inner = rendering.part_mask("roof")
    colours, counts = np.unique(rendering.image[inner], axis=0, return_counts=True)
    assert tuple(colours[counts.argmax()]) == (66, 146, 78)


def test_edges_are_antialiased_and_pictures_of_other_sizes_agree() -> None:
    scene = Scene((SceneObject("circle", "black", size=0.7),), Background("mist"))
    small, large = scene.render(64).image.astype(float), scene.render(224).image.astype(float)
    levels = np.unique(small[..., 0])
    assert len(levels) > 10
    big = large[..., 0].mean()
    assert abs(small[..., 0].mean() - big) < 1


@pytest.mark.parametrize("pattern", PATTERNS)
def test_light_and_grain(pattern: str) -> None:
    ground = Background("stone", pattern, 40, 3)  # type: ignore[arg-type]
    dark, bright = (Scene((), ground, Illumination(level)).render(64).image.mean() for level in (0.7, 1.1))
    assert dark < bright
    slanted = Scene((), ground, Illumination(0.8, 0.2, 0)).render(64).image.astype(float)
    assert slanted[:, 32:].mean() > slanted[:, :32].mean() + 10
    grainy = Scene((), ground, Illumination(0.8, noise=0.05, seed=4)).render(64).image.astype(float)
    smooth = Scene((), ground, Illumination(0.8)).render(64).image.astype(float)
    assert np.std(grainy - smooth) == pytest.approx(0.05 * 255, rel=0.05)


def test_scenes_need_no_torch() -> None:
    draw = "from workbench.data.scenes import generate; generate('object', 2, size=32)"
    code = f"import sys; {draw}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
