"""PASCAL VOC's layout: photographs, boxes, class masks and object masks."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.data.loaders.base import (
    AnnotatedSource,
    check_choice,
    check_filled,
    inner_folder,
    join_masks,
    locate,
    object_names,
    read_indices,
    read_lines,
)
from workbench.data.source import AnnotatedImage, Box, read_image
from workbench.errors import DamagedFileError, MissingFileError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VOC_CATEGORIES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_VOID = 255
_NOTHING = (0, _VOID)


@dataclass(frozen=True, kw_only=True, eq=False)
class VocSource(AnnotatedSource):
    """Images in VOC's layout.

    Attributes:
        root: folder with ``JPEGImages``, ``Annotations``, ``SegmentationClass`` and ``SegmentationObject``.
        masks: ``"category"`` or ``"object"``.
        one_based: whether boxes count pixels from 1 and include the last.
    """

    root: Path
    masks: Literal["category", "object"] = "category"
    one_based: bool = True

    def _read(self, index: int) -> AnnotatedImage:
        name = self.identifiers[index]
        image = read_image(self.root / "JPEGImages" / f"{name}.jpg")
        masks = self._masks(name, image.shape[:2])
        return AnnotatedImage(image, name, None, masks, self._boxes(name))

    def _boxes(self, name: str) -> tuple[Box, ...]:
        path = self.root / "Annotations" / f"{name}.xml"
        if not path.is_file():
            return ()
        try:
            root = ET.parse(path).getroot()
            return tuple(self._box(item) for item in root.iter("object"))
        except (ET.ParseError, TypeError, ValueError) as error:
            raise DamagedFileError(f"{path} is not a VOC annotation ({error}). Fetch it again.") from error

    def _box(self, item: ET.Element) -> Box:
        corners = {key: float(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")}
        shift = 1.0 if self.one_based else 0.0  # from 1 with the last pixel inside: only the first corner moves
        left, top = corners["xmin"] - shift, corners["ymin"] - shift
        return Box(item.findtext("name", ""), left, top, corners["xmax"], corners["ymax"])

    def _masks(self, name: str, shape: tuple[int, ...]) -> dict[str, NDArray[np.bool_]]:
        path = self.root / "SegmentationClass" / f"{name}.png"
        if not path.is_file():
            return {}
        classes = read_indices(path)
        _check_shape(classes, shape, path)
        if self.masks == "category":
            found = [int(value) for value in np.unique(classes) if value not in _NOTHING]
            return {self._category(value, path): classes == value for value in found}
        path = self.root / "SegmentationObject" / f"{name}.png"
        objects = read_indices(path)
        _check_shape(objects, shape, path)
        masks = [objects == value for value in np.unique(objects) if value not in _NOTHING]
        kinds = [_commonest(classes[mask]) for mask in masks]
        return join_masks(object_names([self._category(kind, path) for kind in kinds]), masks)

    def _category(self, value: int, path: Path) -> str:
        if not 1 <= value <= len(self.categories):
            raise DamagedFileError(
                f"{path} holds the class {value}; expected 1 to {len(self.categories)}, 0 for nothing or 255 for void."
            )
        return self.categories[value - 1]


def voc(
    path: str | Path | None = None,
    *,
    split: str | None = None,
    segmented: bool = False,
    masks: Literal["category", "object"] = "category",
    one_based: bool = True,
    year: int = 2007,
) -> VocSource:
    """Images in the layout of PASCAL VOC.

    Source: [everingham2010].

    Args:
        path: folder with ``JPEGImages``, or ``VOCdevkit`` above it; VOC 2007 is fetched where omitted.
        split: name of a list in ``ImageSets/Main`` (``ImageSets/Segmentation`` where ``segmented``), such as
            ``"trainval"``; all images where omitted.
        segmented: only images that have masks.
        masks: ``"category"`` unites the objects of a category (``"dog"``), ``"object"`` keeps them apart (``"dog 1"``).
        one_based: boxes count pixels from 1 and include the last one, as VOC's own do. Turn it off for files of other
            tools that count from 0.
        year: the year in ``VOCdevkit/VOC<year>``.

    Returns:
        Identifiers are VOC's image names. Labels are None: an image has many objects. Masks are (y, x) bool, without
        the pixels that VOC marks as void (255); images that were not segmented have none.

    Raises:
        MissingFileError: the folder or the list is not there.
        InputError: there is no image.
    """
    check_choice(masks, ("category", "object"), "masks")
    root, hash_ = locate(path, f"voc-{year}")
    return _source(root, hash_, split=split, segmented=segmented, masks=masks, one_based=one_based, year=year)


def voc_sample(*, masks: Literal["category", "object"] = "category") -> VocSource:
    """Three photographs in VOC's layout from the mirror, annotated with labelme.

    Args:
        masks: as for :func:`voc`.

    Returns:
        As for :func:`voc`.

    Raises:
        MissingFileError: there is no mirror with them.
    """
    check_choice(masks, ("category", "object"), "masks")
    root, hash_ = locate(None, "voc-sample")
    return _source(root, hash_, split=None, segmented=False, masks=masks, one_based=False, year=2011)


def _source(
    root: Path,
    hash_: str,
    *,
    split: str | None,
    segmented: bool,
    masks: Literal["category", "object"],
    one_based: bool,
    year: int,
) -> VocSource:
    if (root / "VOCdevkit").is_dir():
        root /= "VOCdevkit"
    root = inner_folder(root, f"VOC{year}", holds="JPEGImages")
    if split is None:
        names = sorted(file.stem for file in (root / "JPEGImages").glob("*.jpg"))
    else:
        kind = "Segmentation" if segmented else "Main"
        names = [line.split()[0] for line in read_lines(root / "ImageSets" / kind / f"{split}.txt")]
        lost = [name for name in names if not (root / "JPEGImages" / f"{name}.jpg").is_file()]
        if lost:
            raise MissingFileError(f"{len(lost)} images of split {split!r} are not in {root}, the first {lost[0]!r}.")
    if segmented:
        names = [name for name in names if (root / "SegmentationClass" / f"{name}.png").is_file()]
    source = VocSource(
        identifiers=tuple(names),
        categories=VOC_CATEGORIES,
        manifest_hash=hash_,
        mask_names=VOC_CATEGORIES if masks == "category" else (),
        root=root,
        masks=masks,
        one_based=one_based,
    )
    check_filled(source, root)
    return source


def _commonest(values: NDArray[np.integer]) -> int:
    """The class of an object: that of most of its pixels, void aside."""
    counts = np.bincount(values[(values != 0) & (values != _VOID)], minlength=1)
    return int(counts.argmax())


def _check_shape(values: NDArray[np.integer], shape: tuple[int, ...], path: Path) -> None:
    if values.shape != tuple(shape):
        raise DamagedFileError(f"{path} has shape {values.shape}; its image has {tuple(shape)} (y, x).")
