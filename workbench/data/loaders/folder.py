"""A folder of the user's own images, flat or with one subfolder a category."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from workbench.data.loaders.base import AnnotatedSource, check_choice, warn_of
from workbench.data.source import AnnotatedImage, read_image
from workbench.errors import DamagedFileError, InputError, MissingFileError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MANY = 2000  # files whose check takes long enough to show progress


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderSource(AnnotatedSource):
    """Image files under one folder.

    Attributes:
        paths: one file an image.
        skipped: files that cannot be decoded and were left out, relative to the folder, with the reason.
    """

    paths: tuple[Path, ...]
    skipped: tuple[str, ...] = ()

    def _read(self, index: int) -> AnnotatedImage:
        return AnnotatedImage(read_image(self.paths[index]), self.identifiers[index], self._label(index))


def folder(
    path: str | Path,
    *,
    corrupt: Literal["refuse", "skip"] = "refuse",
    check: bool = True,
    categories: Sequence[str] | None = None,
    progress: bool = True,
) -> FolderSource:
    """Image files under a folder; each subfolder right below it is a category.

    Args:
        path: the folder. Subfolders are searched to any depth; files that are no images by their suffix are ignored.
        corrupt: what to do about files that cannot be decoded: ``"refuse"`` raises an error that names them,
            ``"skip"`` leaves them out, warns, and names them in ``skipped``.
        check: decode every file once, now. Without it, a damaged file is found when it is read.
        categories: the categories in the order that labels shall count, for example those of a model;
            the subfolders' names, sorted, where omitted.
        progress: show a progress bar while many files are checked.

    Returns:
        Identifiers are paths relative to the folder. Labels are indices into the categories, -1 for files right in
        the folder; None where no file is in a subfolder.

    Raises:
        MissingFileError: there is no such folder.
        DamagedFileError: files cannot be decoded, and were not to be skipped.
        UnknownNameError: a subfolder is none of the categories given.
        InputError: no image is left, or the arguments contradict each other.
    """
    root = Path(path)
    check_choice(corrupt, ("refuse", "skip"), "corrupt")
    if corrupt == "skip" and not check:
        raise InputError("corrupt='skip' needs check=True: what cannot be decoded is not known before it is tried.")
    if not root.is_dir():
        raise MissingFileError(f"There is no folder {root}. Check the path.")
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = sorted(file for file in root.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
    names = [file.relative_to(root) for file in found]
    known = (
        tuple(categories) if categories is not None else tuple(sorted({n.parts[0] for n in names if len(n.parts) > 1}))
    )
    for name in names:
        if len(name.parts) > 1 and name.parts[0] not in known:
            raise unknown_name("category", name.parts[0], known, hint=f"{root} has a subfolder of that name.")
    damaged = _damaged(found, progress) if check else {}
    if damaged and corrupt == "refuse":
        shown = "\n".join(list(damaged.values())[:5]) + ("\n..." if len(damaged) > 5 else "")
        raise DamagedFileError(
            f"{len(damaged)} of {len(found)} image files in {root} cannot be decoded. "
            f"Replace or remove them, or pass corrupt='skip'.\n{shown}"
        )
    kept = [(file, name) for file, name in zip(found, names, strict=True) if file not in damaged]
    if not kept:
        raise InputError(f"{root} holds no image file that can be decoded ({len(found)} were found). Check the path.")
    skipped = tuple(f"{file.relative_to(root).as_posix()}: {reason}" for file, reason in damaged.items())
    findings = {"files that cannot be decoded were skipped": skipped} if skipped else {}
    warn_of(findings, str(root))
    labels = [known.index(name.parts[0]) if len(name.parts) > 1 else -1 for _, name in kept]
    return FolderSource(
        identifiers=tuple(name.as_posix() for _, name in kept),
        labels=np.array(labels, dtype=np.int64) if any(label >= 0 for label in labels) else None,
        categories=known,
        findings=findings,
        paths=tuple(file for file, _ in kept),
        skipped=skipped,
    )


def _damaged(files: Sequence[Path], progress: bool) -> dict[Path, str]:
    """Files that cannot be decoded, and why. Threads: Pillow decodes without holding Python's lock."""
    with ThreadPoolExecutor() as pool:
        reasons: Iterable[str | None] = pool.map(_reason, files)
        if progress and len(files) >= _MANY:
            from tqdm import tqdm

            reasons = tqdm(reasons, total=len(files), desc="checking images", unit="image", leave=False)
        return {file: reason for file, reason in zip(files, reasons, strict=True) if reason is not None}


def _reason(file: Path) -> str | None:
    try:
        read_image(file)
    except DamagedFileError as error:
        return str(error)
    return None
