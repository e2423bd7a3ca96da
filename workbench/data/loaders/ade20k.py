"""ADE20K: scenes with masks of objects and of their parts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.data.loaders.base import AnnotatedSource, check_choice, check_filled, join_masks, locate, read_indices
from workbench.data.source import AnnotatedImage, read_image
from workbench.errors import DamagedFileError, MissingFileError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Ade20kSource(AnnotatedSource):
    """ADE20K images with masks.

    Attributes:
        root: folder of ``*.jpg``, ``*_seg.png``, ``*_parts_<level>.png`` and ``*.json``.
        masks: ``"object"`` or ``"part"``.
    """

    root: Path
    masks: Literal["object", "part"] = "object"

    def _read(self, index: int) -> AnnotatedImage:
        name = self.identifiers[index]
        image = read_image(self.root / f"{name}.jpg")
        objects = _document(self.root / f"{name}.json")["object"]
        names = {(item["parts"]["part_level"], item["name_ndx"]): item["name"] for item in objects}
        if self.masks == "object":
            levels = {0: self.root / f"{name}_seg.png"}
        else:
            files = sorted(self.root.glob(f"{name}_parts_*.png"))
            levels = {int(file.stem.rpartition("_")[2]): file for file in files}
        kinds: list[str] = []
        masks: list[NDArray[np.bool_]] = []
        for level, file in levels.items():
            for code, mask in _codes(file, image.shape):
                if (level, code) not in names:
                    raise DamagedFileError(f"{file} holds the class {code}, which {name}.json does not name.")
                kinds.append(names[level, code])
                masks.append(mask)
        return AnnotatedImage(image, name, None, join_masks(kinds, masks))


def ade20k(path: str | Path | None = None, *, masks: Literal["object", "part"] = "object") -> Ade20kSource:
    """Scenes of ADE20K (2021 layout) with masks of objects or of their parts.

    Source: [zhou2017].

    Args:
        path: folder of the files of one scene category; three street scenes of the mirror where omitted.
        masks: ``"object"``, or ``"part"`` for the parts of objects and the parts of those, under their own names.

    Returns:
        Identifiers are file names without suffix; labels are None. Masks are (y, x) bool, united by name.

    Raises:
        MissingFileError: the folder is not there.
        InputError: it holds no scene.
    """
    check_choice(masks, ("object", "part"), "masks")
    root, hash_ = locate(path, "ade20k-parts")
    names = sorted(file.stem for file in root.glob("*.jpg") if file.with_suffix(".json").is_file())
    source = Ade20kSource(identifiers=tuple(names), manifest_hash=hash_, root=root, masks=masks)
    check_filled(source, root)
    return source


def _codes(path: Path, shape: tuple[int, ...]) -> list[tuple[int, NDArray[np.bool_]]]:
    """Class numbers of an image and where they are: red counts tens of 256s, green the rest, blue the objects."""
    values = read_indices(path).astype(np.int64)
    if values.shape != shape:
        raise DamagedFileError(f"{path} has shape {values.shape}; its image has {shape} (y, x, channel).")
    codes = values[..., 0] // 10 * 256 + values[..., 1]
    return [(int(code), codes == code) for code in np.unique(codes) if code != 0]


def _document(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}; the dataset is not complete.")
    try:  # ADE20K's own files are not UTF-8 throughout
        content = path.read_bytes().decode("utf-8", errors="replace")
        found: dict[str, Any] = json.loads(content)["annotation"]
    except (json.JSONDecodeError, KeyError) as error:
        raise DamagedFileError(f"{path} is not an ADE20K annotation ({error!r}). Fetch it again.") from error
    return found
