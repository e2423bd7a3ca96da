"""Ground truth by intervention: what each part is worth to the network is measured by drawing the scene without it.

A rendered scene can be rendered again without one part and with everything else the same: background, light, grain,
other parts. What the network's score loses is what the part was worth, and the changed picture is as natural to the
network as the first, which no occlusion can promise. A heatmap's ranking of the parts is then right or wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, PART, X, Y, provenance, strings
from workbench.data.scenes import PART_NAMES, TASKS, Scene, SceneSource
from workbench.errors import InputError
from workbench.evaluate.regions import masks_on_grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from workbench.data.scenes import Rendering
    from workbench.models import ImageModel

Element = Literal["part", "object"]
Change = tuple[int, Scene]  # the column of what goes, and the scene without it
WATERMARK = "watermark"


def intervention_truth(
    model: ImageModel,
    scenes: SceneSource | xr.Dataset | Sequence[Scene],
    *,
    of: Element = "part",
    target: Any = None,
    score: Literal["logit", "probability"] = "logit",
    size: int = 96,
    batch_size: int = 64,
    progress: Any = False,
    stop: Callable[[], bool] | None = None,
) -> xr.Dataset:
    """Measure what each part of each scene is worth to the network, by drawing the scene without it.

    The effect of a part is the score of the scene minus the score of the same scene without that part: background,
    light, grain, position and all other parts stay as they are, and what the part hid comes into sight. It is the
    effect of taking away this one part; what several parts are worth together is not the sum of theirs.

    Args:
        model: the network.
        scenes: a set of scenes, what ``scenes.generate`` gave for a named task, or scenes themselves.
        of: ``"part"`` (the parts of flowers, birds and houses) or ``"object"`` (whole objects). A watermark, where
            there is one, is taken away too, in either case.
        target: the category that is scored: one (index or name), or one an image; the predicted one where omitted.
        score: ``"logit"`` or ``"probability"``.
        size: side in pixels at which scenes are drawn, where they come without one.
        batch_size: pictures a forward pass; no more than these and the originals of as many scenes are in memory.
        progress: False, True or a callable, as for the explanation methods.
        stop: asked after every pass; ends the work when it answers True.

    Returns:
        Dataset: ``effect`` (image, part) float64, NaN where the scene does not have the part (then it cannot be taken
        away); above zero where the part speaks for the category. ``score`` (image) float64 of the untouched scene,
        ``target`` (image) int64; ``part_mask`` (image, part, y, x) bool, the visible pixels on the network's grid.
        Coordinates ``image`` and ``part``: names of parts, or ``"object 0"`` ... as the scene numbers them, and
        ``"watermark"``.

    Raises:
        InputError: no scene, scenes without parts, a set that cannot be drawn again, or bad parameters.
        UnknownNameError: no such category.
        NotFiniteError: the network gives NaN or infinity.
        Interrupted: ``stop`` answered True.
    """
    from workbench.explain import Meter

    if of not in ("part", "object"):
        raise InputError(f"of is {of!r}; expected 'part' or 'object'.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size is {batch_size!r}; expected a whole number of at least 1.")
    drawn = _drawn(scenes, size)
    names = _names(drawn.scenes, of)
    changes = [_changes(scene, names, of) for scene in drawn.scenes]
    targets = target
    if target is not None:
        targets = model.targets(target, len(changes)).tolist()
    effect, parts = np.full((len(changes), len(names)), np.nan), []
    with Meter(sum(map(len, changes)), progress=progress, stop=stop, label="interventions") as meter:
        for start in range(0, len(changes), batch_size):
            some = slice(start, start + batch_size)
            wanted = None if targets is None else targets[some]
            parts.append(
                _of_some(model, drawn.part(some), changes[some], names, wanted, score, batch_size, effect[some], meter)
            )
    result = xr.concat(parts, dim=IMAGE)
    result["effect"] = ((IMAGE, PART), effect)
    return result.assign_coords({PART: strings(names)}).assign_attrs(
        provenance(
            method="intervention_truth",
            of=of,
            score=score,
            model=model.name,
            weights_hash=model.weights_hash,
            preprocessing=model.preprocessing.to_json(),
            dataset=drawn.manifest_hash or None,
            size=drawn.size,
        )
    )


@dataclass(frozen=True)
class _Drawn:
    """Scenes that are to be rendered.

    Attributes:
        scenes: the scenes.
        identifiers: one name each.
        size: side of the pictures in pixels.
        manifest_hash: of the set, "" where they are of none.
    """

    scenes: tuple[Scene, ...]
    identifiers: tuple[str, ...]
    size: int
    manifest_hash: str = ""

    def part(self, some: slice) -> _Drawn:
        return _Drawn(self.scenes[some], self.identifiers[some], self.size)


def _drawn(scenes: Any, size: int) -> _Drawn:
    if isinstance(scenes, xr.Dataset):
        return _drawn_again(scenes)
    if isinstance(scenes, SceneSource):
        found = tuple(scenes.sample(index).scene for index in range(len(scenes)))
        return _Drawn(found, tuple(scenes.identifiers), scenes.size, scenes.manifest_hash)
    items = list(scenes) if isinstance(scenes, Sequence) else []
    if not items or not all(isinstance(item, Scene) for item in items):
        raise InputError(
            f"scenes are {type(scenes).__name__}; expected a SceneSource, what scenes.generate gave, or a list of "
            "Scene of at least one. Only what was rendered can be rendered again without a part."
        )
    return _Drawn(tuple(items), tuple(str(index) for index in range(len(items))), size)


def _drawn_again(table: xr.Dataset) -> _Drawn:
    """The scenes behind rendered pictures, from the parameters that the pictures carry and their numbers."""
    known = json.loads(str(table.attrs.get("parameters", "{}")))
    task = known.get("task")
    if task not in TASKS or IMAGE not in table.coords or not table.sizes[IMAGE]:
        raise InputError(
            f"The Dataset does not say how its scenes can be drawn again (task {task!r}). Pass what scenes.generate "
            "gave for a named task, with its attributes, or a SceneSource for a task of your own."
        )
    names = tuple(str(name) for name in table[IMAGE].values)
    numbers = [int(name.rpartition("-")[2]) for name in names]
    options = {name: known[name] for name in ("seed", "size", "confound", "agreement") if name in known}
    source = SceneSource(task, max(numbers) + 1, **options)
    if source.manifest_hash != table.attrs.get("manifest_hash"):
        raise InputError(
            "The scenes of this Dataset were made by another version of the generator: drawn again they would differ. "
            "Generate them anew."
        )
    found = tuple(source.sample(number).scene for number in numbers)
    return _Drawn(found, names, source.size, source.manifest_hash)


def _names(scenes: Sequence[Scene], of: Element) -> list[str]:
    """What can be taken away from any of the scenes."""
    if of == "part":
        present = {name for scene in scenes for item in scene.objects for name in item.part_names}
        names = [name for name in PART_NAMES if name in present]
    else:
        names = [f"object {number}" for number in range(max(len(scene.objects) for scene in scenes))]
    if any(scene.watermark is not None for scene in scenes):
        names.append(WATERMARK)
    if not names:
        other = " Pass of='object' to take whole objects away." if of == "part" else ""
        raise InputError(f"None of the {len(scenes)} scenes has {'a part' if of == 'part' else 'an object'}.{other}")
    return names


def _changes(scene: Scene, names: Sequence[str], of: Element) -> list[Change]:
    """The scene without each of the things that it has."""
    found: list[Change] = []
    if scene.watermark is not None:
        found.append((names.index(WATERMARK), scene.set_watermark(None)))
    if of == "object":
        return found + [(names.index(f"object {number}"), scene.remove(number)) for number in range(len(scene.objects))]
    parts = dict.fromkeys(name for item in scene.objects for name in item.part_names)
    return found + [(names.index(name), without_part(scene, name)) for name in parts]


def without_part(scene: Scene, name: str) -> Scene:
    """The scene without a part, on whichever of its objects the part is.

    Args:
        scene: the scene.
        name: of the part.

    Returns:
        A new scene that differs in nothing else; an object that had no other part is gone.
    """
    # from the last, since removing an object moves those after it up one number
    for number in reversed(range(len(scene.objects))):
        parts = scene.objects[number].part_names
        if parts == (name,):
            scene = scene.remove(number)
        elif name in parts:
            scene = scene.replace_part(number, name, None)
    return scene


def _of_some(
    model: ImageModel,
    drawn: _Drawn,
    changes: Sequence[Sequence[Change]],
    names: Sequence[str],
    targets: Any,
    score: Literal["logit", "probability"],
    batch_size: int,
    effect: NDArray[np.float64],
    meter: Any,
) -> xr.Dataset:
    """Write the effects of some scenes; give what else is known of them."""
    import torch

    from workbench.explain import ask

    renderings = [scene.render(drawn.size) for scene in drawn.scenes]
    pictures = np.stack([rendering.image for rendering in renderings])
    question = ask(model, pictures, target=targets, score=score, batch_size=batch_size)
    reference = question.reference.double().cpu().numpy()
    every = [(row, *change) for row, own in enumerate(changes) for change in own]
    with torch.inference_mode():
        for start in range(0, len(every), batch_size):
            batch = every[start : start + batch_size]
            rows = np.array([row for row, _, _ in batch])
            changed = model.prepare(np.stack([scene.render(drawn.size).image for _, _, scene in batch]))
            scores = question.scores(changed, torch.from_numpy(rows)).double().cpu().numpy()
            effect[rows, [column for _, column, _ in batch]] = reference[rows] - scores
            meter.advance(len(batch))
    masks = xr.DataArray(
        np.stack([_masks(rendering, names) for rendering in renderings]),
        dims=(IMAGE, PART, Y, X),
        coords={PART: strings(names)},
    )
    return xr.Dataset(
        {
            "score": (IMAGE, reference),
            "target": (IMAGE, question.targets.cpu().numpy()),
            "part_mask": masks_on_grid(masks, model),
        },
        coords={IMAGE: strings(drawn.identifiers)},
    )


def _masks(rendering: Rendering, names: Sequence[str]) -> NDArray[np.bool_]:
    """(part, y, x), all False for what the scene does not have."""
    masks = np.zeros((len(names), *rendering.image.shape[:2]), dtype=bool)
    for column, mask in _named_masks(rendering, names):
        masks[column] |= mask
    return masks


def _named_masks(rendering: Rendering, names: Sequence[str]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    named = [(name, mask) for (_, name), mask in zip(rendering.parts, rendering.part_masks, strict=True)]
    named += [(f"object {number}", mask) for number, mask in enumerate(rendering.object_masks)]
    named.append((WATERMARK, rendering.watermark_mask))
    for name, mask in named:
        if name in names:
            yield names.index(name), mask
