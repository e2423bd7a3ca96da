"""Sets of rendered scenes: lazily as a source of images, at once or lazily as an ``xarray.Dataset``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from workbench.arrays import CHANNEL, IMAGE, OBJECT, PART, X, Y, provenance
from workbench.data.scenes.relations import RELATIONS, between
from workbench.data.scenes.render import Rendering, check_size, render
from workbench.data.scenes.tasks import Confound, Sample, Task, check_draw, draw_sample, labels, resolve
from workbench.data.source import AnnotatedImage, Box
from workbench.errors import InputError

# raised whenever the same parameters give other pictures
GENERATOR_VERSION = 1
BLOCK = 256  # images that one process makes at a time

Variables = dict[str, tuple[tuple[str, ...], NDArray[Any]]]


def parameters(
    task: str | Task,
    *,
    seed: int = 0,
    size: int = 96,
    confound: Confound | None = None,
    agreement: float = 0.95,
) -> dict[str, Any]:
    """Everything that determines the images of a set, apart from how many there are.

    Args:
        task: name of the task.
        seed: of the set.
        size: side of the pictures in pixels.
        confound: the cue, or None.
        agreement: share of the images whose cue agrees with the label; left out where there is no cue.

    Returns:
        Plain values, ready for JSON; a manifest holds them.

    Raises:
        UnknownNameError, InputError: as :func:`generate`.
    """
    kind, cue = resolve(task, confound)
    check_draw(index=0, seed=seed, agreement=agreement)
    found = {
        "generator": "workbench.data.scenes",
        "version": GENERATOR_VERSION,
        "task": kind.name,
        "categories": list(kind.categories),
        "seed": int(seed),
        "size": check_size(size),
        "confound": cue,
    }
    return found if cue is None else {**found, "agreement": float(agreement)}


def task_name(task: str | Task) -> str:
    """The name of a task that may be given by its name.

    Args:
        task: the task or its name.

    Returns:
        The name.
    """
    return task.name if isinstance(task, Task) else task


def manifest_hash(described: dict[str, Any]) -> str:
    """The hash that identifies a set.

    Args:
        described: what :func:`parameters` gives.

    Returns:
        sha256 (hexadecimal) of the parameters as JSON with sorted keys and no spaces.
    """
    text = json.dumps(described, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Identifiers(Sequence[str]):
    """The names of the images of a set, written when they are asked for."""

    def __init__(self, prefix: str, start: int, count: int) -> None:
        self._prefix, self._range = prefix, range(start, start + count)

    def __len__(self) -> int:
        return len(self._range)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [f"{self._prefix}-{number:07d}" for number in self._range[index]]
        return f"{self._prefix}-{self._range[index]:07d}"


@dataclass(frozen=True)
class SceneSource:
    """A set of rendered scenes; each image is drawn and rendered when it is asked for, and nothing is kept.

    Attributes:
        task: ``"object"``, ``"part"`` or ``"relation"``, one of these with ``_confounded`` after it, or a task of
            your own.
        count: how many images it has.
        seed: of the set.
        size: side of the pictures in pixels.
        start: number of its first image, for parts of a larger set.
        confound: ``"background"``, ``"watermark"`` or None.
        agreement: probability that the cue points to the image's own category.
    """

    task: str | Task
    count: int
    seed: int = 0
    size: int = 96
    start: int = 0
    confound: Confound | None = None
    agreement: float = 0.95

    def __post_init__(self) -> None:
        resolve(self.task, self.confound)
        check_size(self.size)
        check_draw(index=self.start, seed=self.seed, agreement=self.agreement)
        if isinstance(self.count, bool) or not isinstance(self.count, int | np.integer) or self.count < 1:
            raise InputError(f"A set of scenes needs a whole number of images, at least 1; got {self.count!r}.")

    @cached_property
    def _kind(self) -> tuple[Task, Confound | None]:
        return resolve(self.task, self.confound)

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the answers."""
        return self._kind[0].categories

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(image,) int64."""
        return labels(self.task, np.arange(self.start, self.start + self.count), seed=self.seed)

    @property
    def identifiers(self) -> Identifiers:
        """One name an image: task, seed and number."""
        return Identifiers(f"{task_name(self.task)}-{self.seed}", self.start, self.count)

    @property
    def parameters(self) -> dict[str, Any]:
        """What :func:`parameters` says of the set."""
        return parameters(self.task, seed=self.seed, size=self.size, confound=self.confound, agreement=self.agreement)

    @cached_property
    def manifest_hash(self) -> str:
        """Hash of the parameters."""
        return manifest_hash(self.parameters)

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> Sample:
        """The scene of one image, with its label, not rendered.

        Args:
            index: 0 to the number of images less one; negative counts from the end.

        Returns:
            The sample.

        Raises:
            IndexError: the set has no such image.
        """
        number = range(self.start, self.start + self.count)[index]
        kind, cue = self._kind
        return draw_sample(kind, cue, int(self.labels[index]), number, self.seed, self.agreement)

    def __getitem__(self, index: int, /) -> AnnotatedImage:
        sample = self.sample(index)
        return annotated(render(sample.scene, size=self.size), self.identifiers[index], sample.label)


def annotated(rendering: Rendering, identifier: str, label: int | None = None) -> AnnotatedImage:
    """A rendering in the form that all sources of images share.

    Args:
        rendering: the rendering.
        identifier: name of the image.
        label: its label, or None.

    Returns:
        Image, caption, boxes of the visible objects, and masks by name: ``"red square"`` for objects, ``"beak"`` for
        parts, ``"watermark"``; objects or parts of the same name share one mask.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    boxes: list[Box] = []
    named = [(item.name, mask) for item, mask in zip(rendering.scene.objects, rendering.object_masks, strict=True)]
    named += [(name, mask) for (_, name), mask in zip(rendering.parts, rendering.part_masks, strict=True)]
    named.append(("watermark", rendering.watermark_mask))
    for name, mask in named:
        if mask.any():
            masks[name] = masks[name] | mask if name in masks else mask
    for item, mask in zip(rendering.scene.objects, rendering.object_masks, strict=True):
        rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
        if len(rows):
            left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            boxes.append(Box(item.shape, float(left), float(top), float(right), float(bottom)))
    return AnnotatedImage(rendering.image, identifier, label, masks, tuple(boxes), rendering.caption)


def generate(
    task: str | Task,
    n: int,
    *,
    seed: int = 0,
    size: int = 96,
    start: int = 0,
    confound: Confound | None = None,
    agreement: float = 0.95,
    masks: bool = True,
    processes: int = 1,
    lazy: bool = False,
) -> xr.Dataset:
    """Render a set of scenes, with everything that is true of them.

    Image i depends on the other parameters but not on ``n``, ``start``, ``processes`` or ``lazy``.

    Args:
        task: ``"object"`` (eight shapes), ``"part"`` (the one optional part that a flower, bird or house has) or
            ``"relation"`` (where a red square stands to a blue circle), one of these with ``_confounded`` after it,
            or a task of your own (``relation_task``, ``presence_task``, ``Task``).
        n: number of images, at least 1.
        seed: of the set.
        size: side in pixels, 16 to 4096.
        start: number of the first image.
        confound: a cue that points to a category: ``"background"`` (its colour), ``"watermark"`` (a mark in a corner).
        agreement: probability that the cue points to the image's own category.
        masks: whether to give the masks of objects, parts and watermark.
        processes: how many processes render (-1: one a core).
        lazy: give dask arrays, rendered in blocks when they are computed; labels and names are there at once.

    Returns:
        With the names of the images as coordinate ``image``:
        ``pixels`` (image, y, x, channel) uint8; ``label`` (image) int64; ``caption`` (image) str;
        ``object_mask`` (image, object, y, x), ``part_mask`` (image, part, y, x), ``watermark_mask`` (image, y, x) bool,
        the visible pixels; the factors ``shape, colour, texture`` (image, object) str, "" for an object that is not
        there, and ``object_size, rotation, position_x, position_y, depth`` (image, object) float64, NaN likewise;
        ``background, pattern`` (image) str, ``light`` (image) float64; ``part_present`` (image, part) bool;
        ``relation_holds`` (image, relation, object, other) bool; ``cue`` (image) int64, -1 without one.
        Attributes: ``categories`` and ``parameters`` (JSON), ``task``, ``seed``, ``manifest_hash``.

    Raises:
        UnknownNameError: there is no such task or cue.
        InputError: a number of images, seed, size, start or agreement that cannot be.
    """
    source = SceneSource(task, n, seed, size, start, confound, agreement)
    blocks = [(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK)]
    if lazy:
        variables = _lazy(source, blocks, masks)
    elif processes == 1 or len(blocks) == 1:
        variables = render_block(source, 0, n, masks)
    else:
        variables = _parallel(source, blocks, masks, processes)
    coordinates = {
        IMAGE: (IMAGE, np.array(source.identifiers[:])),
        CHANNEL: (CHANNEL, ["red", "green", "blue"]),
        PART: (PART, np.array(source._kind[0].parts, dtype=np.str_)),
        "relation": ("relation", list(RELATIONS)),
    }
    attributes = provenance(
        categories=list(source.categories),
        parameters=source.parameters,
        task=task_name(task),
        seed=int(seed),
        manifest_hash=source.manifest_hash,
    )
    return xr.Dataset({**variables, "label": ((IMAGE,), source.labels)}, coordinates, attributes)


def render_block(source: SceneSource, first: int, last: int, masks: bool) -> Variables:
    """The variables of some images of a set; what one process makes.

    Args:
        source: the set.
        first: first image.
        last: the image after the last.
        masks: whether to give masks.

    Returns:
        Variable name to (dimensions, array).
    """
    source = replace(source, start=source.start + first, count=last - first)
    variables = _empty(source, masks)
    arrays = {name: array for name, (_, array) in variables.items()}
    part_row = {name: row for row, name in enumerate(source._kind[0].parts)}
    for row in range(len(source)):
        sample = source.sample(row)
        rendering = render(sample.scene, size=source.size)
        arrays["pixels"][row] = rendering.image
        arrays["cue"][row] = sample.cue
        _write_factors(arrays, row, rendering, part_row)
        if masks:
            arrays["object_mask"][row, : len(rendering.object_masks)] = rendering.object_masks
            for (_, name), mask in zip(rendering.parts, rendering.part_masks, strict=True):
                arrays["part_mask"][row, part_row[name]] |= mask
            arrays["watermark_mask"][row] = rendering.watermark_mask
    return variables


def _empty(source: SceneSource, masks: bool) -> Variables:
    count, size, kind = source.count, source.size, source._kind[0]
    objects, parts = kind.most_objects, len(kind.parts)
    per_object = (IMAGE, OBJECT)
    variables: Variables = {
        "pixels": ((IMAGE, Y, X, CHANNEL), np.zeros((count, size, size, 3), dtype=np.uint8)),
        "caption": ((IMAGE,), np.full(count, "", dtype=object)),
        "cue": ((IMAGE,), np.full(count, -1, dtype=np.int64)),
        "background": ((IMAGE,), np.full(count, "", dtype=object)),
        "pattern": ((IMAGE,), np.full(count, "", dtype=object)),
        "light": ((IMAGE,), np.zeros(count)),
        "part_present": ((IMAGE, PART), np.zeros((count, parts), dtype=np.bool_)),
        "relation_holds": (
            (IMAGE, "relation", OBJECT, "other"),
            np.zeros((count, len(RELATIONS), objects, objects), dtype=np.bool_),
        ),
    }
    for name in ("shape", "colour", "texture"):
        variables[name] = (per_object, np.full((count, objects), "", dtype=object))
    for name in ("object_size", "rotation", "position_x", "position_y", "depth"):
        variables[name] = (per_object, np.full((count, objects), np.nan))
    if masks:
        variables["object_mask"] = ((IMAGE, OBJECT, Y, X), np.zeros((count, objects, size, size), dtype=np.bool_))
        variables["part_mask"] = ((IMAGE, PART, Y, X), np.zeros((count, parts, size, size), dtype=np.bool_))
        variables["watermark_mask"] = ((IMAGE, Y, X), np.zeros((count, size, size), dtype=np.bool_))
    return variables


def _write_factors(arrays: dict[str, NDArray[Any]], row: int, rendering: Rendering, part_row: dict[str, int]) -> None:
    scene = rendering.scene
    arrays["caption"][row] = rendering.caption
    arrays["background"][row] = scene.background.colour
    arrays["pattern"][row] = scene.background.pattern
    arrays["light"][row] = scene.illumination.level
    for number, item in enumerate(scene.objects):
        arrays["shape"][row, number] = item.shape
        arrays["colour"][row, number] = item.colour
        arrays["texture"][row, number] = item.texture
        arrays["object_size"][row, number] = item.size
        arrays["rotation"][row, number] = item.rotation
        arrays["position_x"][row, number], arrays["position_y"][row, number] = item.position
        arrays["depth"][row, number] = item.depth
        for name in item.part_names:
            arrays["part_present"][row, part_row[name]] = True
        for other, second in enumerate(scene.objects):
            if other != number:
                for relation in between(item, second):
                    arrays["relation_holds"][row, RELATIONS.index(relation), number, other] = True


def _parallel(source: SceneSource, blocks: Sequence[tuple[int, int]], masks: bool, processes: int) -> Variables:
    """Render blocks in several processes; masks travel as bits."""
    from joblib import Parallel, delayed

    variables = _empty(source, masks)
    made = Parallel(n_jobs=processes, return_as="generator")(
        delayed(_packed_block)(source, first, last, masks) for first, last in blocks
    )
    for (first, last), packed in zip(blocks, made, strict=True):
        for name, (_, array) in variables.items():
            part = packed[name]
            if array.dtype == np.bool_ and array.size:
                part = np.unpackbits(part, axis=-1, count=array.shape[-1]).view(np.bool_)
            array[first:last] = part
    return variables


def _packed_block(source: SceneSource, first: int, last: int, masks: bool) -> dict[str, NDArray[Any]]:
    made = render_block(source, first, last, masks)
    return {
        name: np.packbits(array, axis=-1) if array.dtype == np.bool_ and array.size else array
        for name, (_, array) in made.items()
    }


def _lazy(source: SceneSource, blocks: Sequence[tuple[int, int]], masks: bool) -> dict[str, Any]:
    from dask.array import concatenate, from_delayed
    from dask.delayed import delayed

    make = delayed(render_block, pure=True)
    made = [make(source, first, last, masks) for first, last in blocks]
    variables = {}
    for name, (dims, array) in _empty(replace(source, count=1), masks).items():
        pieces = [
            from_delayed(block[name][1], (last - first, *array.shape[1:]), dtype=array.dtype)  # type: ignore[no-untyped-call]
            for block, (first, last) in zip(made, blocks, strict=True)
        ]
        variables[name] = (dims, concatenate(pieces))  # type: ignore[no-untyped-call]
    return variables
