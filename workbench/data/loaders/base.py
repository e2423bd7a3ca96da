"""What all loaders share: one kind of source, masks read as masks, and findings instead of silence."""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from workbench.data.croissant import manifest
from workbench.data.fetching import fetch
from workbench.errors import DamagedFileError, InputError, MissingFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.data.source import AnnotatedImage, ImageSource


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedSource:
    """Images of a dataset with their annotations, decoded one at a time; an :class:`ImageSource`.

    Attributes:
        identifiers: one unique name an image.
        labels: (image) int64 indices into the categories, -1 for none; None where images have no label.
        categories: names of the categories.
        manifest_hash: hash of the manifest that vouches for the data, "" for data of the user's own.
        mask_names: every name that a mask can have, where the dataset fixes them.
        findings: what is odd about the data, kind to names: nothing is dropped without an entry here.
    """

    identifiers: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    categories: tuple[str, ...] = ()
    manifest_hash: str = ""
    mask_names: tuple[str, ...] = ()
    findings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.identifiers)

    def __getitem__(self, index: int, /) -> AnnotatedImage:
        return self._read(index)

    def _read(self, index: int) -> AnnotatedImage:
        raise NotImplementedError

    def _label(self, index: int) -> int | None:
        return None if self.labels is None or self.labels[index] < 0 else int(self.labels[index])


def locate(path: str | Path | None, name: str) -> tuple[Path, str]:
    """The folder of a dataset and the hash of the manifest that vouches for it.

    Args:
        path: a folder of the user's own, which no manifest vouches for; None to fetch the dataset.
        name: the dataset's manifest.

    Returns:
        The folder, and the hash or "".

    Raises:
        MissingFileError: there is no such folder; or as :func:`workbench.data.fetch`.
    """
    if path is None:
        return fetch(name), manifest(name).hash
    folder = Path(path)
    if not folder.is_dir():
        raise MissingFileError(f"There is no folder {folder}. Check the path, or leave it out to fetch {name!r}.")
    return folder, ""


def inner_folder(root: Path, name: str, *, holds: str) -> Path:
    """The folder called ``name`` at or right below ``root``, recognised by a file or folder that it holds.

    Raises:
        MissingFileError: neither holds it.
    """
    for folder in (root, root / name):
        if (folder / holds).exists():
            return folder
    raise MissingFileError(f"Neither {root} nor {root / name} holds {holds!r}. Give the folder {name}.")


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without the empty ones.

    Raises:
        MissingFileError: there is no such file.
    """
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}; the dataset is not complete.")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_table(path: Path, *, encoding: str = "utf-8") -> list[dict[str, str]]:
    """Rows of a CSV file with a line of names.

    Raises:
        MissingFileError: there is no such file.
    """
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}; the dataset is not complete.")
    with path.open(newline="", encoding=encoding) as lines:
        return list(csv.DictReader(lines))


def open_image(path: Path) -> Image.Image:
    """Open an image file without decoding its pixels.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: it is no image.
    """
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise MissingFileError(f"There is no file {path}; the dataset is not complete.") from None
    except (UnidentifiedImageError, OSError) as error:
        raise DamagedFileError(f"{path} is not an image ({error}). Fetch it again.") from error


def read_indices(path: Path) -> NDArray[np.integer]:
    """Values of an image whose pixels are codes, not colours.

    Args:
        path: a palette or grey image gives (y, x) values; one with three channels (y, x, channel).

    Returns:
        The values as stored: palette entries are not looked up.

    Raises:
        MissingFileError, DamagedFileError: the file is not there, is no image, or ends early.
    """
    with open_image(path) as picture:
        return _decoded(picture, path)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """One binary mask.

    Args:
        path: black and white, with one channel, a palette or three channels; white may be 1 or 255.

    Returns:
        (y, x) bool: more than half as bright as the brightest pixel.

    Raises:
        MissingFileError, DamagedFileError: as :func:`read_indices`.
    """
    with open_image(path) as picture:
        plain = picture.mode in ("1", "L", "I", "I;16")
        values = _decoded(picture, path) if plain else _decoded(picture, path, "L")
    return np.asarray(values > values.max() / 2)


def _decoded(picture: Image.Image, path: Path, mode: str | None = None) -> NDArray[np.integer]:
    try:
        return np.asarray(picture if mode is None else picture.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedFileError(f"{path} cannot be decoded ({error}). Replace it or fetch it again.") from error


def object_names(categories: Sequence[str]) -> list[str]:
    """Names for the objects of one image: the category and a count from 1 within it, "dog 1", "dog 2"."""
    counts: dict[str, int] = {}
    names = []
    for category in categories:
        counts[category] = counts.get(category, 0) + 1
        names.append(f"{category} {counts[category]}")
    return names


def join_masks(names: Sequence[str], masks: Sequence[NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """Masks by name; those of one name are united, empty ones are left out."""
    joined: dict[str, NDArray[np.bool_]] = {}
    for name, mask in zip(names, masks, strict=True):
        if mask.any():
            joined[name] = joined[name] | mask if name in joined else mask
    return joined


def warn_of(findings: Mapping[str, Sequence[str]], dataset: str) -> None:
    """Say once what was found."""
    told = [f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for kind, names in findings.items() if names]  # fmt: skip
    if told:
        warnings.warn(f"{dataset}: {'; '.join(told)}. See .findings for all names.", UserWarning, stacklevel=3)


def check_choice(value: str, choices: Sequence[str], name: str) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        InputError: it is none of them.
    """
    if value not in choices:
        raise InputError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}.")


def check_filled(source: ImageSource, where: object) -> None:
    """Refuse a dataset without images.

    Raises:
        InputError: it has none.
    """
    if len(source) == 0:
        raise InputError(f"{where} holds no image of this dataset. Check the path.")
