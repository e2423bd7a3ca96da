"""COCO: boxes, masks and captions from its JSON files, and panoptic masks."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.data.loaders.base import (
    AnnotatedSource,
    check_choice,
    check_filled,
    join_masks,
    locate,
    object_names,
    read_indices,
    warn_of,
)
from workbench.data.source import AnnotatedImage, Box, read_image
from workbench.errors import DamagedFileError, MissingFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Masks = Literal["category", "object"]
_NO_FILE = "images that are listed but not there, left out"


@dataclass(frozen=True, kw_only=True, eq=False)
class CocoSource(AnnotatedSource):
    """COCO images with boxes, masks and captions.

    Attributes:
        folder: the photographs.
        sizes: (height, width) of each image by its file.
        objects: COCO's annotations of each image.
        captions: all captions of each image.
        names: category number to name.
        masks: ``"category"`` or ``"object"``.
    """

    folder: Path
    sizes: tuple[tuple[int, int], ...]
    objects: tuple[tuple[Mapping[str, Any], ...], ...]
    names: Mapping[int, str]
    captions: tuple[tuple[str, ...], ...]
    masks: Masks = "category"

    def _read(self, index: int) -> AnnotatedImage:
        image = read_image(self.folder / self.identifiers[index])
        if image.shape[:2] != self.sizes[index]:
            raise DamagedFileError(
                f"{self.folder / self.identifiers[index]} has {image.shape[:2]} (y, x) pixels; "
                f"its annotations are for {self.sizes[index]}. Use the photographs that they were made for."
            )
        objects = self.objects[index]
        kinds = [self.names[item["category_id"]] for item in objects]
        names = kinds if self.masks == "category" else object_names(kinds)
        masks = join_masks(names, [self._mask(item, index) for item in objects])
        boxes = tuple(_box(item, kind) for item, kind in zip(objects, kinds, strict=True) if not item.get("iscrowd"))
        caption = self.captions[index][0] if self.captions[index] else None
        return AnnotatedImage(image, self.identifiers[index], None, masks, boxes, caption)

    def _mask(self, item: Mapping[str, Any], index: int) -> NDArray[np.bool_]:
        from pycocotools import mask as coder

        height, width = self.sizes[index]
        shape = item["segmentation"]
        if isinstance(shape, list):
            encoded = coder.merge(coder.frPyObjects(shape, height, width))
        elif isinstance(shape["counts"], list):
            encoded = coder.frPyObjects(shape, height, width)
        else:
            encoded = shape
        return np.asarray(coder.decode(encoded), dtype=np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class CocoPanopticSource(AnnotatedSource):
    """COCO images of which every pixel belongs to one thing or stuff.

    Attributes:
        folder: the photographs.
        segment_folder: one PNG an image; a pixel's colour is the number of its segment.
        segments: for each image its PNG and segments.
        names: category number to name.
        captions: all captions of each image.
        masks: ``"category"`` or ``"object"``.
    """

    folder: Path
    segment_folder: Path
    segments: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]
    names: Mapping[int, str]
    captions: tuple[tuple[str, ...], ...]
    masks: Masks = "category"

    def _read(self, index: int) -> AnnotatedImage:
        image = read_image(self.folder / self.identifiers[index])
        file, segments = self.segments[index]
        colours = read_indices(self.segment_folder / file).astype(np.int64)
        if colours.shape != image.shape:
            raise DamagedFileError(f"{self.segment_folder / file} has shape {colours.shape}; expected {image.shape}.")
        numbers = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
        kinds = [self.names[item["category_id"]] for item in segments]
        names = kinds if self.masks == "category" else object_names(kinds)
        masks = join_masks(names, [numbers == item["id"] for item in segments])
        boxes = tuple(_box(item, kind) for item, kind in zip(segments, kinds, strict=True) if not item.get("iscrowd"))
        caption = self.captions[index][0] if self.captions[index] else None
        return AnnotatedImage(image, self.identifiers[index], None, masks, boxes, caption)


def coco(
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    *,
    captions: str | Path | None = None,
    masks: Masks = "category",
) -> CocoSource:
    """COCO photographs with boxes, masks and captions.

    Source: [lin2014].

    Args:
        annotations: an ``instances_*.json``; COCO 2014 val is fetched, with its captions, where omitted.
        images: folder of the photographs. Those that are listed but not there are left out, named in ``findings``.
        captions: a ``captions_*.json``.
        masks: ``"category"`` unites the objects of a category (``"dog"``), crowds included; ``"object"`` keeps
            them apart (``"dog 1"``).

    Returns:
        Identifiers are file names; labels are None. ``caption`` is the first of an image's; ``.captions`` has all.
        Boxes leave out crowds.

    Raises:
        MissingFileError: a file or folder is not there.
        DamagedFileError: a file is not what COCO's format says.
        InputError: no image is left, or only one of annotations and images was given.
    """
    check_choice(masks, ("category", "object"), "masks")
    hash_ = ""
    if annotations is None:
        root, hash_ = locate(None, "coco-2014-val")
        annotations, images = root / "annotations" / "instances_val2014.json", root / "val2014"
        captions = root / "annotations" / "captions_val2014.json"
    return _instances(Path(annotations), images, captions=captions, masks=masks, hash_=hash_)


def coco_train128(*, masks: Masks = "category") -> CocoSource:
    """128 photographs of COCO train with 939 boxes and polygons, from the mirror.

    Args:
        masks: as for :func:`coco`.

    Returns:
        As for :func:`coco`.

    Raises:
        MissingFileError: there is no mirror with them.
    """
    check_choice(masks, ("category", "object"), "masks")
    root, hash_ = locate(None, "coco-train128")
    return _instances(root / "instances.json", root / "images", captions=None, masks=masks, hash_=hash_)


def coco_panoptic(
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    *,
    segments: str | Path | None = None,
    captions: str | Path | None = None,
    masks: Masks = "category",
) -> CocoPanopticSource:
    """COCO photographs in which every pixel is named: things and stuff.

    Source: [lin2014].

    Args:
        annotations: a ``panoptic_*.json``; the 60 photographs of COCO val in the mirror, with captions, where omitted.
        images: folder of the photographs.
        segments: folder of the PNG files that the annotations name; beside the annotations, of the same name, where
            omitted.
        captions: a ``captions_*.json``.
        masks: as for :func:`coco`.

    Returns:
        As for :func:`coco`.

    Raises:
        MissingFileError, DamagedFileError, InputError: as for :func:`coco`.
    """
    check_choice(masks, ("category", "object"), "masks")
    hash_ = ""
    if annotations is None:
        root, hash_ = locate(None, "coco-val")
        annotations, images, segments = root / "panoptic.json", root / "images", root / "panoptic"
        captions = root / "captions.json"
    path = Path(annotations)
    document, folder = _read(path, "annotations", "categories"), _folder(images)
    names = {item["id"]: item["name"] for item in document["categories"]}
    listed = {item["image_id"]: item for item in document["annotations"]}
    files = {key: f"{Path(item['file_name']).stem}.jpg" for key, item in listed.items()}
    there = sorted(key for key, file in files.items() if (folder / file).is_file())
    findings = _lost(files, there)
    by_image = _captions(captions)
    source = CocoPanopticSource(
        identifiers=tuple(files[key] for key in there),
        categories=tuple(names.values()),
        manifest_hash=hash_,
        mask_names=tuple(names.values()) if masks == "category" else (),
        findings=findings,
        folder=folder,
        segment_folder=Path(segments) if segments is not None else path.with_suffix(""),
        segments=tuple((listed[key]["file_name"], tuple(listed[key]["segments_info"])) for key in there),
        names=names,
        captions=tuple(by_image.get(key, ()) for key in there),
        masks=masks,
    )
    check_filled(source, folder)
    warn_of(findings, str(path))
    return source


def _instances(
    path: Path, images: str | Path | None, *, captions: str | Path | None, masks: Masks, hash_: str
) -> CocoSource:
    document, folder = _read(path, "images", "annotations", "categories"), _folder(images)
    names = {item["id"]: item["name"] for item in document["categories"]}
    listed = {item["id"]: item for item in document["images"]}
    objects: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for item in document["annotations"]:
        objects[item["image_id"]].append(item)
    files = {key: str(item["file_name"]) for key, item in listed.items()}
    there = sorted(key for key, file in files.items() if (folder / file).is_file())
    findings = _lost(files, there)
    by_image = _captions(captions)
    source = CocoSource(
        identifiers=tuple(files[key] for key in there),
        categories=tuple(names.values()),
        manifest_hash=hash_,
        mask_names=tuple(names.values()) if masks == "category" else (),
        findings=findings,
        folder=folder,
        sizes=tuple((listed[key]["height"], listed[key]["width"]) for key in there),
        objects=tuple(tuple(objects[key]) for key in there),
        names=names,
        captions=tuple(by_image.get(key, ()) for key in there),
        masks=masks,
    )
    check_filled(source, folder)
    warn_of(findings, str(path))
    return source


def _read(path: Path, *keys: str) -> dict[str, Any]:
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}. Check the path.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"{path} is not JSON ({error}). Fetch it again.") from error
    missing = [key for key in keys if not isinstance(document, dict) or key not in document]
    if missing:
        raise DamagedFileError(f"{path} has no {missing[0]!r}; expected {', '.join(keys)} as in COCO's files.")
    found: dict[str, Any] = document
    return found


def _folder(images: str | Path | None) -> Path:
    if images is None or not Path(images).is_dir():
        raise MissingFileError(f"There is no folder of photographs {images}. Give it as images=.")
    return Path(images)


def _captions(path: str | Path | None) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    if path is not None:
        for item in _read(Path(path), "annotations")["annotations"]:
            found[item["image_id"]] = (*found.get(item["image_id"], ()), item["caption"].strip())
    return found


def _lost(files: Mapping[int, str], there: list[int]) -> dict[str, tuple[str, ...]]:
    lost = tuple(files[key] for key in sorted(set(files) - set(there)))
    return {_NO_FILE: lost} if lost else {}


def _box(item: Mapping[str, Any], kind: str) -> Box:
    left, top, width, height = item["bbox"]
    if not all(math.isfinite(value) for value in (left, top, width, height)) or width < 0 or height < 0:
        raise DamagedFileError(
            f"Annotation {item['id']} has the box {item['bbox']}; expected finite x, y, width, height."
        )
    return Box(kind, float(left), float(top), float(left + width), float(top + height))
