"""Small datasets: what comes with scikit-learn and scikit-image, and arrays and samples from a mirror."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.data.croissant import manifest
from workbench.data.fetching import fetch
from workbench.data.loaders.base import check_choice, locate, read_table
from workbench.data.loaders.folder import FolderSource
from workbench.data.source import ArraySource
from workbench.errors import DamagedFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIGIT_LEVELS = 16


def digits() -> ArraySource:
    """1797 handwritten digits that come with scikit-learn; needs no network.

    Source: [alpaydin1998].

    Returns:
        (image, 8, 8, 1) uint8, black 0 on which strokes are up to 255: scikit-learn's levels 0 to 16, times 255 / 16.
        Labels and categories are the digits "0" to "9".

    Raises:
        DamagedFileError: the installed file is not the one that the manifest vouches for.
    """
    path = fetch("digits")
    table = np.loadtxt(path, delimiter=",", dtype=np.int64)
    levels = table[:, :-1].reshape(-1, 8, 8, 1)
    pixels = np.round(levels * (255 / _DIGIT_LEVELS)).astype(np.uint8)
    names = [f"digit {index:04d}" for index in range(len(pixels))]
    return ArraySource(pixels, names, table[:, -1], tuple("0123456789"), manifest("digits").hash)


def photographs() -> FolderSource:
    """Nine photographs that come with scikit-image; needs no network.

    Source: [vanderwalt2014].

    Returns:
        Photographs of different sizes, RGB; no labels.

    Raises:
        DamagedFileError: an installed file is not the one that the manifest vouches for.
    """
    data, root = manifest("photographs"), fetch("photographs")
    names = tuple(file.name for file in data.files)
    return FolderSource(identifiers=names, manifest_hash=data.hash, paths=tuple(root / name for name in names))


def imagenet_samples(path: str | Path | None = None) -> FolderSource:
    """Photographs of ImageNet's classes from the mirror, one a class.

    They are probably training images: use them to test explanations, never to claim an accuracy.

    Source: [russakovsky2015].

    Args:
        path: folder with ``index.csv`` (file, class); fetched where omitted.

    Returns:
        256 x 256 RGB. Labels and categories are the 1000 of torchvision, in its order.

    Raises:
        MissingFileError: there is no mirror with them.
    """
    from torchvision.models import MobileNet_V2_Weights  # names only; imports torch

    root, hash_ = locate(path, "imagenet-samples")
    rows = read_table(root / "index.csv")
    return FolderSource(
        identifiers=tuple(Path(row["file"]).name for row in rows),
        labels=np.array([int(row["class"]) for row in rows], dtype=np.int64),
        categories=tuple(MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]),
        manifest_hash=hash_,
        paths=tuple(root / row["file"] for row in rows),
    )


def cifar10(path: str | Path | None = None, *, split: Literal["test", "train"] = "test") -> ArraySource:
    """1000 images of CIFAR-10 from the mirror.

    Source: [krizhevsky2009].

    Args:
        path: folder with ``cifar10.npz``; fetched where omitted.
        split: the first 1000 images of the test or of the training set.

    Returns:
        (image, 32, 32, 3) uint8 with ten categories.

    Raises:
        MissingFileError: there is no mirror with them.
    """
    check_choice(split, ("test", "train"), "split")
    root, hash_ = locate(path, "cifar10-sample")
    arrays = _arrays(root / "cifar10.npz")
    names = tuple(str(name) for name in arrays["names"])
    return _array_source(arrays[f"{split}_x"], arrays[f"{split}_y"], f"{split}", names, hash_)


def mnist(path: str | Path | None = None) -> ArraySource:
    """The 10,000 test digits of MNIST from the mirror.

    Source: [lecun1998].

    Args:
        path: folder with ``mnist_test.npz``; fetched where omitted.

    Returns:
        (image, 28, 28, 1) uint8 with the categories "0" to "9".

    Raises:
        MissingFileError: there is no mirror with them.
    """
    root, hash_ = locate(path, "mnist-test")
    arrays = _arrays(root / "mnist_test.npz")
    return _array_source(arrays["x"], arrays["y"], "test", tuple("0123456789"), hash_)


def pneumonia_mnist(path: str | Path | None = None, *, split: Literal["train", "val", "test"] = "test") -> ArraySource:
    """Chest X-rays of 28 x 28 pixels from the mirror, normal or pneumonia.

    Source: [yang2023].

    Args:
        path: folder with ``pneumoniamnist.npz``; fetched where omitted.
        split: which of the three sets; the training set lacks 826 of the official 4708.

    Returns:
        (image, 28, 28, 1) uint8 with the categories "normal" and "pneumonia".

    Raises:
        MissingFileError: there is no mirror with them.
    """
    check_choice(split, ("train", "val", "test"), "split")
    root, hash_ = locate(path, "pneumonia-mnist")
    arrays = _arrays(root / "pneumoniamnist.npz")
    labels = arrays[f"{split}_labels"][:, 0]
    return _array_source(arrays[f"{split}_images"], labels, split, ("normal", "pneumonia"), hash_)


def chest_xrays(path: str | Path | None = None) -> FolderSource:
    """55 chest X-rays with findings from the mirror.

    Args:
        path: folder with ``images`` and ``metadata.csv``; fetched where omitted.

    Returns:
        Categories are the findings, sorted; the label is -1 where the metadata give none.

    Raises:
        MissingFileError: there is no mirror with them.
    """
    root, hash_ = locate(path, "chest-xray")
    rows = read_table(root / "metadata.csv", encoding="cp1252")
    findings = {row["patientid"]: row["finding"].strip() for row in rows}
    paths = sorted((root / "images").glob("*.jpg"))
    categories = tuple(sorted({finding for finding in findings.values() if finding}))
    labels = [categories.index(findings[p.stem]) if findings.get(p.stem) else -1 for p in paths]
    return FolderSource(
        identifiers=tuple(file.name for file in paths),
        labels=np.array(labels, dtype=np.int64),
        categories=categories,
        manifest_hash=hash_,
        paths=tuple(paths),
    )


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of a NumPy file; never objects, which could run code."""
    try:
        with np.load(path, allow_pickle=False) as bundle:
            return {name: bundle[name] for name in bundle.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedFileError(f"{path} is not a NumPy file of plain arrays ({error}). Fetch it again.") from error


def _array_source(
    pixels: NDArray[np.generic], labels: NDArray[np.generic], kind: str, categories: tuple[str, ...], hash_: str
) -> ArraySource:
    images = pixels.astype(np.uint8) if pixels.ndim == 4 else pixels.astype(np.uint8)[..., None]
    names = [f"{kind} {index:05d}" for index in range(len(images))]
    return ArraySource(images, names, labels.astype(np.int64), categories, hash_)
