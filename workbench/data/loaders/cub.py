"""Birds: CUB70 part masks on CUB-200-2011, and the crops of CUB with their attributes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from workbench.arrays import CATEGORY
from workbench.data.loaders.base import (
    AnnotatedSource,
    check_filled,
    inner_folder,
    locate,
    open_image,
    read_lines,
    read_mask,
    read_table,
    warn_of,
)
from workbench.data.loaders.folder import FolderSource
from workbench.data.source import AnnotatedImage, Box, read_image
from workbench.errors import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

CUB70_PARTS = (
    "body",
    "head",
    "neck",
    "beak",
    "tail",
    "right_wing",
    "left_wing",
    "right_leg",
    "left_leg",
    "right_eye",
    "left_eye",
)
CUB70_CLASSES = 70
_NO_CLASS = "classes without masks"
_NO_MASK = "test images without masks"
_NO_PART = "files that name no part"
_NO_IMAGE = "masks whose image is not in CUB"
_OTHER_CLASS = "masks in the folder of another class"
_TRAINING = "training images with masks"
_OTHER_SIZE = "masks of another size than their image, left out"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cub70Source(AnnotatedSource):
    """CUB images with the part masks of CUB70.

    Attributes:
        paths: one photograph an image.
        mask_paths: for each image, part to file; a part that is not visible has no file.
        boxes: the bird's box in each image.
    """

    paths: tuple[Path, ...]
    mask_paths: tuple[Mapping[str, Path], ...]
    boxes: tuple[Box, ...]

    def _read(self, index: int) -> AnnotatedImage:
        image = read_image(self.paths[index])
        masks = {}
        for part, path in self.mask_paths[index].items():
            mask = read_mask(path)
            if mask.shape != image.shape[:2]:
                raise DamagedFileError(
                    f"{path} has {mask.shape} (y, x) pixels, its image {image.shape[:2]}. "
                    "Load with check_sizes=True, which leaves such masks out and reports them."
                )
            if mask.any():
                masks[part] = mask
        return AnnotatedImage(image, self.identifiers[index], self._label(index), masks, (self.boxes[index],))


def cub70(masks: str | Path | None = None, *, birds: str | Path | None = None, check_sizes: bool = True) -> Cub70Source:
    """Photographs of CUB-200-2011 with the part masks of CUB70-PartSegmentation.

    What is odd about the dataset is looked for and told, never assumed away: classes without masks (11, 16 and 32 are
    known to have none) and test images without masks are not loaded and are named in ``findings``, and so are files
    that match no part or no image, and masks of another size than their image. Overlapping and empty masks are found
    by :func:`workbench.data.inspect_masks`.

    Source: [behzadi2023], [wah2011].

    Args:
        masks: the folder ``AnnotationMasksPerclass`` or the one above it; fetched where omitted (the publisher gives
            no hash: call ``fetch("cub70", trust_on_first_use=True)`` once).
        birds: the folder ``CUB_200_2011`` or the one above it; fetched where omitted.
        check_sizes: compare the size of each mask with its image's now (reads every file's header).

    Returns:
        One image for each that has a mask, in CUB's order. Labels count all 200 classes of CUB from 0; masks are
        (y, x) bool by part; one box around the bird.

    Raises:
        MissingFileError: a folder is not there, or not complete.
        DamagedFileError: a mask or photograph is no image.
        InputError: no mask belongs to any image.
    """
    mask_root, first_hash = locate(masks, "cub70")
    bird_root, second_hash = locate(birds, "cub-200-2011")
    mask_root = _mask_folder(mask_root)
    bird_root = inner_folder(bird_root, "CUB_200_2011", holds="images.txt")
    table = _Birds.read(bird_root)
    findings: dict[str, list[str]] = {
        kind: [] for kind in (_NO_CLASS, _NO_MASK, _NO_PART, _NO_IMAGE, _OTHER_CLASS, _TRAINING, _OTHER_SIZE)
    }
    found = _match(mask_root, table, findings)
    if check_sizes:
        _drop_other_sizes(found, table, findings)
    kept = sorted(index for index, parts in found.items() if parts)
    _report_absences(set(kept), table, findings)
    findings[_TRAINING] = [table.names[index] for index in kept if table.is_training[index]]
    told = {kind: tuple(names) for kind, names in findings.items() if names}
    source = Cub70Source(
        identifiers=tuple(table.names[index] for index in kept),
        labels=np.array([table.classes[index] for index in kept], dtype=np.int64),
        categories=table.categories,
        manifest_hash=f"{first_hash}+{second_hash}" if first_hash and second_hash else "",
        mask_names=CUB70_PARTS,
        findings=told,
        paths=tuple(bird_root / "images" / table.names[index] for index in kept),
        mask_paths=tuple({part: found[index][part] for part in CUB70_PARTS if part in found[index]} for index in kept),
        boxes=tuple(table.boxes[index] for index in kept),
    )
    check_filled(source, mask_root)
    warn_of(told, "CUB70")
    return source


@dataclass(frozen=True)
class _Birds:
    """CUB's own tables; lists are in the order of images.txt."""

    names: list[str]
    classes: list[int]
    is_training: list[bool]
    boxes: list[Box]
    categories: tuple[str, ...]
    by_stem: dict[str, int]
    folder: Path

    @classmethod
    def read(cls, root: Path) -> _Birds:
        names = dict(line.split(maxsplit=1) for line in read_lines(root / "images.txt"))
        classes = dict(line.split() for line in read_lines(root / "image_class_labels.txt"))
        split = dict(line.split() for line in read_lines(root / "train_test_split.txt"))
        categories = tuple(line.split(maxsplit=1)[1].partition(".")[2] for line in read_lines(root / "classes.txt"))
        boxes = {}
        for line in read_lines(root / "bounding_boxes.txt"):
            key, *numbers = line.split()
            left, top, width, height = map(float, numbers)
            boxes[key] = Box(categories[int(classes[key]) - 1], left, top, left + width, top + height)
        return cls(
            names=list(names.values()),
            classes=[int(classes[key]) - 1 for key in names],
            is_training=[split[key] == "1" for key in names],
            boxes=[boxes[key] for key in names],
            categories=categories,
            by_stem={Path(name).stem: index for index, name in enumerate(names.values())},
            folder=root,
        )


def split_part(stem: str) -> tuple[str, str] | None:
    """Image stem and part of a mask's file name.

    The part is matched at the end only: "Yellow_headed_Blackbird" holds the name of a part itself.

    Args:
        stem: file name without suffix, ``<image stem>_<part>``.

    Returns:
        ``(image stem, part)``, or None where it ends in no part.
    """
    for part in CUB70_PARTS:
        if stem.endswith(f"_{part}"):
            return stem.removesuffix(f"_{part}"), part
    return None


def _mask_folder(root: Path) -> Path:
    inner = root / "AnnotationMasksPerclass"
    return inner if inner.is_dir() else root


def _match(root: Path, table: _Birds, findings: dict[str, list[str]]) -> dict[int, dict[str, Path]]:
    """Image to its masks by part."""
    found: dict[int, dict[str, Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() != ".png":
            continue
        name = path.relative_to(root).as_posix()
        named = split_part(path.stem)
        if named is None:
            findings[_NO_PART].append(name)
            continue
        index = table.by_stem.get(named[0])
        if index is None:
            findings[_NO_IMAGE].append(name)
            continue
        if not path.parent.name.isdigit() or int(path.parent.name) != table.classes[index] + 1:
            findings[_OTHER_CLASS].append(name)
        found.setdefault(index, {})[named[1]] = path
    return found


def _drop_other_sizes(found: dict[int, dict[str, Path]], table: _Birds, findings: dict[str, list[str]]) -> None:
    for index, parts in found.items():
        with open_image(table.folder / "images" / table.names[index]) as picture:
            expected = picture.size
        for part, path in list(parts.items()):
            with open_image(path) as mask:
                if mask.size != expected:
                    findings[_OTHER_SIZE].append(f"{table.names[index]} {part}: {mask.size} for {expected}")
                    del parts[part]


def _report_absences(kept: set[int], table: _Birds, findings: dict[str, list[str]]) -> None:
    with_masks = {table.classes[index] for index in kept}
    count = min(CUB70_CLASSES, len(table.categories))
    findings[_NO_CLASS] = [f"{c + 1} {table.categories[c]}" for c in range(count) if c not in with_masks]
    findings[_NO_MASK] = [
        name
        for index, name in enumerate(table.names)
        if index not in kept and table.classes[index] in with_masks and not table.is_training[index]
    ]


def cub_crops(path: str | Path | None = None) -> FolderSource:
    """Photographs of CUB-200-2011 cropped to the bird and squashed to a square.

    Part points and part masks do not apply to them: they cannot be matched to CUB's image numbers.

    Args:
        path: folder with ``index.csv`` and ``classes.txt``; fetched where omitted.

    Returns:
        Labels count all 200 classes of CUB from 0.

    Raises:
        MissingFileError: a file is not there.
    """
    root, hash_ = locate(path, "cub-crops")
    rows = read_table(root / "index.csv")
    return FolderSource(
        identifiers=tuple(row["file"].removeprefix("images/") for row in rows),
        labels=np.array([int(row["cub_class_1based"]) - 1 for row in rows], dtype=np.int64),
        categories=_class_names(root),
        manifest_hash=hash_,
        paths=tuple(root / row["file"] for row in rows),
    )


def cub_attributes(path: str | Path | None = None) -> xr.DataArray:
    """How often annotators saw each of 312 attributes in each class of CUB-200-2011.

    Args:
        path: as for :func:`cub_crops`.

    Returns:
        (category, attribute) float64 in [0, 1]; attributes are named as in "has_bill_shape::hooked".

    Raises:
        MissingFileError: a file is not there.
    """
    root, _ = locate(path, "cub-crops")
    values = np.array(
        [line.split() for line in read_lines(root / "class_attribute_labels_continuous.txt")], dtype=float
    )
    attributes = [line.split(maxsplit=1)[1] for line in read_lines(root / "attributes.txt")]
    coordinates = {CATEGORY: list(_class_names(root)), "attribute": attributes}
    return xr.DataArray(values / 100, coordinates, (CATEGORY, "attribute"), name="share of annotators")


def _class_names(root: Path) -> tuple[str, ...]:
    return tuple(line.split(maxsplit=1)[1].partition(".")[2] for line in read_lines(root / "classes.txt"))
