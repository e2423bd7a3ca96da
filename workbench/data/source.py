"""One interface for images, wherever they come from: arrays, files, rendered scenes or annotated datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
import xarray as xr
from PIL import Image, UnidentifiedImageError

from workbench.arrays import CHANNEL, IMAGE, X, Y, check_array
from workbench.errors import DamagedFileError, DtypeError, InputError, MissingFileError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Box:
    """An axis-aligned box around one object, in pixels; the right and lower edges are exclusive.

    Attributes:
        category: what the box is around.
        left, top: the first column and row of pixels inside.
        right, bottom: the first column and row of pixels beyond.
    """

    category: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and everything that is known of it.

    Attributes:
        image: (y, x, channel) uint8, three channels (RGB), or one where the source is grey.
        identifier: unique within its source.
        label: index into the source's categories, or None.
        masks: part or object name to (y, x) bool, at the image's size; a part that is not visible has no entry.
        boxes: the annotated boxes.
        caption: a sentence on the image, or None.
    """

    image: NDArray[np.uint8]
    identifier: str
    label: int | None = None
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    caption: str | None = None


@runtime_checkable
class ImageSource(Protocol):
    """What every loader gives: a sequence of :class:`AnnotatedImage`, decoded one at a time.

    ``labels`` has -1 where an image has no label; ``manifest_hash`` is "" where no manifest vouches for the data.
    """

    @property
    def identifiers(self) -> Sequence[str]:
        """One unique name an image."""
        ...

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """(image) indices into the categories, -1 for none; None where no image has a label."""
        ...

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories, in the order that labels count."""
        ...

    @property
    def manifest_hash(self) -> str:
        """Hash of the manifest that vouches for the data, or ""."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> AnnotatedImage: ...


@dataclass(frozen=True)
class ArraySource:
    """Images that are already in memory.

    Attributes:
        array: (image, y, x, channel) uint8 in 0..255.
        identifiers: one unique name an image.
        labels: (image) int64 indices into ``categories``, -1 for none; None where there are no labels.
        categories: names of the labels.
        manifest_hash: of the manifest that vouches for the data, or "".
    """

    array: NDArray[np.uint8]
    identifiers: Sequence[str]
    labels: NDArray[np.int64] | None = None
    categories: tuple[str, ...] = ()
    manifest_hash: str = ""

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int, /) -> AnnotatedImage:
        label = None if self.labels is None or self.labels[index] < 0 else int(self.labels[index])
        return AnnotatedImage(self.array[index], str(self.identifiers[index]), label)


@dataclass(frozen=True)
class FileSource:
    """Image files, decoded when they are asked for.

    Attributes:
        paths: one file an image.
        identifiers: one unique name an image.
        labels: (image) int64 indices into ``categories``, -1 for none; None where there are no labels.
        categories: names of the labels.
        manifest_hash: of the manifest that vouches for the data, or "".
    """

    paths: tuple[Path, ...]
    identifiers: Sequence[str]
    labels: NDArray[np.int64] | None = None
    categories: tuple[str, ...] = ()
    manifest_hash: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> AnnotatedImage:
        label = None if self.labels is None or self.labels[index] < 0 else int(self.labels[index])
        return AnnotatedImage(read_image(self.paths[index]), str(self.identifiers[index]), label)


@dataclass(frozen=True)
class Subset:
    """Some images of another source, in the order given (a coreset, a split, one category).

    Attributes:
        source: where the images are.
        indices: (image) int64 positions in that source.
    """

    source: ImageSource
    indices: NDArray[np.int64]

    @property
    def identifiers(self) -> Sequence[str]:
        """Identifiers of the chosen images."""
        names = self.source.identifiers
        return [names[int(i)] for i in self.indices]

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Labels of the chosen images."""
        labels = self.source.labels
        return None if labels is None else labels[self.indices]

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of the whole source."""
        return self.source.categories

    @property
    def manifest_hash(self) -> str:
        """Manifest hash of the whole source."""
        return self.source.manifest_hash

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> AnnotatedImage:
        return self.source[int(self.indices[index])]


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Decode one image file.

    Args:
        path: any format that Pillow reads. Greyscale and palette images become RGB; an alpha channel is dropped;
            16 bits become 8 by division.

    Returns:
        (y, x, channel) uint8, RGB.

    Raises:
        MissingFileError: there is no such file.
        DamagedFileError: the file cannot be decoded to its end.
        DtypeError: it holds 32-bit numbers, whose range is not known.
    """
    path = Path(path)
    try:
        with Image.open(path) as picture:
            if picture.mode in ("I", "F"):
                raise DtypeError(f"{path} holds 32-bit numbers, whose black and white are not known. Convert it first.")
            if picture.mode.startswith("I;16"):  # Pillow would clip at 255, which leaves white
                grey = (np.asarray(picture) // 257).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError:
        raise MissingFileError(f"There is no image file {path}. Check the path.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFileError(f"{path} cannot be decoded as an image ({error}). Replace or remove it.") from error


def as_source(
    images: Any, *, labels: Sequence[int] | None = None, identifiers: Sequence[str] | None = None
) -> ImageSource:
    """Give any accepted form of images the one interface.

    Args:
        images: an :class:`ImageSource`; a DataArray or array (image, y, x, channel) or, for one image,
            (y, x, channel), uint8 in 0..255 or float in [0, 1]; a Dataset with such a variable ``pixels``;
            a uint8 torch tensor (image, channel, y, x); one Pillow image or path; a folder of image files, as
            :func:`workbench.data.folder` takes it; or a sequence of Pillow images, arrays (y, x, channel) of one
            size, or paths.
        labels: one integer an image, -1 for none; taken from ``images`` where it has them.
        identifiers: one unique name an image; taken from ``images`` where it has them, else "0", "1" ...

    Returns:
        The source; nothing is decoded yet where the images are files.

    Raises:
        ShapeError, DtypeError, NotFiniteError, InputError: what was given is none of these, or is empty.
    """
    if isinstance(images, ImageSource):
        if len(images) == 0:
            raise InputError("The image source is empty; expected at least one image.")
        if labels is not None or identifiers is not None:
            raise InputError("An image source has labels and identifiers of its own; leave these arguments out.")
        return images
    if isinstance(images, xr.Dataset):
        return _from_dataset(images, labels, identifiers)
    if isinstance(images, xr.DataArray):
        if identifiers is None and IMAGE in images.coords and images.coords[IMAGE].ndim == 1:
            identifiers = [str(name) for name in images.coords[IMAGE].values]
        order = [dim for dim in (IMAGE, Y, X, CHANNEL) if dim in images.dims]
        images = images.transpose(*order).values
    if isinstance(images, str | Path) and Path(images).is_dir():
        from workbench.data.loaders.folder import folder

        return as_source(folder(images), labels=labels, identifiers=identifiers)
    if isinstance(images, str | Path | Image.Image):
        images = [images]
    if isinstance(images, Iterable) and not hasattr(images, "ndim"):
        images = list(images)
        if images and all(isinstance(item, str | Path) for item in images):
            names = identifiers or _unique([Path(item).name for item in images], [str(item) for item in images])
            return FileSource(tuple(Path(item) for item in images), names, _labels(labels, len(images)))
        images = _stack(images)
    if type(images).__module__.startswith("torch"):
        if images.ndim == 3:
            images = images[None]
        if str(images.dtype) != "torch.uint8":
            raise DtypeError(
                f"A torch tensor of dtype {images.dtype} is no picture. Pass uint8 (image, channel, y, x) in 0..255; "
                "float tensors are taken as prepared network inputs where a function accepts those."
            )
        images = images.permute(0, 2, 3, 1).cpu().numpy()
    array = to_uint8(images)
    names = [str(i) for i in range(len(array))] if identifiers is None else list(identifiers)
    if len(names) != len(array) or len(set(names)) != len(names):
        raise InputError(f"{len(names)} identifiers ({len(set(names))} of them different) for {len(array)} images.")
    return ArraySource(array, names, _labels(labels, len(array)))


def _from_dataset(images: xr.Dataset, labels: Sequence[int] | None, identifiers: Sequence[str] | None) -> ArraySource:
    """Pixels, and the labels, categories and manifest hash that the dataset carries along."""
    if "pixels" not in images:
        raise InputError(f"The Dataset has no variable 'pixels', only {sorted(map(str, images.data_vars))}.")
    if labels is None and "label" in images:
        labels = images["label"].values.tolist()
    source = as_source(images["pixels"], labels=labels, identifiers=identifiers)
    categories = json.loads(images.attrs.get("categories", "[]"))
    return replace(
        cast("ArraySource", source),
        categories=tuple(str(name) for name in categories),
        manifest_hash=str(images.attrs.get("manifest_hash", "")),
    )


def to_uint8(images: Any) -> NDArray[np.uint8]:
    """Pictures as uint8.

    Args:
        images: (image, y, x, channel) or (y, x, channel); uint8 in 0..255 or float in [0, 1]; 1 or 3 channels.

    Returns:
        (image, y, x, channel) uint8.

    Raises:
        ShapeError, DtypeError, NotFiniteError: another shape, dtype, or NaN.
        InputError: float values outside [0, 1].
    """
    array = np.asarray(images)
    if array.ndim == 3:
        array = array[None]
    array = check_array(array, name="images", dims=(IMAGE, Y, X, CHANNEL), kinds="uf")
    if array.shape[-1] not in (1, 3):
        raise ShapeError(f"images have shape {array.shape}; expected (image, y, x, channel), the last of size 1 or 3.")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "u":
        raise DtypeError(f"images have dtype {array.dtype}; expected uint8 in 0..255 or float in [0, 1].")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise InputError(f"float images must lie in [0, 1]; these reach from {low:.4g} to {high:.4g}. Divide by 255?")
    return np.round(array * 255).astype(np.uint8)


def _labels(labels: Sequence[int] | None, count: int) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    array = check_array(labels, name="labels", dims=(IMAGE,), kinds="iu").astype(np.int64)
    if len(array) != count:
        raise ShapeError(f"{len(array)} labels for {count} images; expected one an image (-1 for none).")
    return array


def _stack(images: list[Any]) -> NDArray[Any]:
    if not images:
        raise InputError("The list of images is empty; expected at least one image.")
    arrays = [np.asarray(item.convert("RGB")) if isinstance(item, Image.Image) else np.asarray(item) for item in images]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ShapeError(
            f"The images have different shapes, {shapes[0]} and {shapes[-1]} among them. "
            "Pass files or an ImageSource, which are resized one by one, or resize them first."
        )
    return np.stack(arrays)


def _unique(short: list[str], full: list[str]) -> list[str]:
    return short if len(set(short)) == len(short) else full
