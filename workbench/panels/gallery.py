"""Picking an image, or bringing one's own."""

from __future__ import annotations

import base64
import io
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from workbench.data import AnnotatedImage, ImageSource
from workbench.errors import DamagedFileError, InputError
from workbench.panels.parts import Message, Stepper, Tiles, Upload, column

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TILES_A_PAGE = 10
THUMBNAIL_PIXELS = 96
LARGEST_UPLOAD = 32 * 2**20


class Gallery:
    """A page of thumbnails, a stepper through all images, and an upload button, linked to ``state.image``.

    Args:
        images: where images come from.
        state: has the trait ``image``, an index into the images and, after them, the uploaded ones.
        pick: called with an index that a person picked.

    Attributes:
        widget: the controls, one below the other.
        uploads: the images brought so far.
    """

    def __init__(self, images: ImageSource, state: Any, pick: Callable[[int], None]) -> None:
        self.images, self._state, self._pick = images, state, pick
        self.uploads: list[AnnotatedImage] = []
        self._page = -1
        self.tiles = Tiles(label="Image")
        self.stepper = Stepper(label="Image number", min=0, max=len(images) - 1)
        self.upload = Upload(self.receive, label="Upload an image …")
        self.message = Message()
        self.widget = column([self.tiles, self.stepper, self.upload, self.message], "controls")
        self.show()
        state.observe(lambda _: self.show(), "image")
        self.tiles.observe(self._tile_chosen, "value")
        self.stepper.observe(lambda change: self._pick(change["new"]), "value")

    def __len__(self) -> int:
        return len(self.images) + len(self.uploads)

    def __getitem__(self, index: int) -> AnnotatedImage:
        own = index - len(self.images)
        return self.images[index] if own < 0 else self.uploads[own]

    def receive(self, name: str, content: bytes) -> None:
        """Take an uploaded file and pick it.

        Args:
            name: the file's name.
            content: its bytes.
        """
        try:
            picture = decode(name, content)
        except (InputError, DamagedFileError) as error:
            self.message.show(error)
            return
        self.message.show(None)
        taken = {item.identifier for item in self.uploads} | set(self.images.identifiers)
        stem, ending, number = PurePath(name).stem, PurePath(name).suffix, 2
        while name in taken:
            name, number = f"{stem} ({number}){ending}", number + 1
        self.uploads.append(AnnotatedImage(picture, name))
        self.stepper.max = len(self) - 1
        self._page = -1
        self._pick(len(self) - 1)

    def show(self) -> None:
        """Show the page that holds the image of the state, and mark it."""
        index: int = self._state.image
        page = index // TILES_A_PAGE
        with self.tiles.hold_sync():
            if page != self._page:
                shown = [self[i] for i in range(page * TILES_A_PAGE, min((page + 1) * TILES_A_PAGE, len(self)))]
                self.tiles.thumbnails = [thumbnail(item.image) for item in shown]
                self.tiles.names = [item.identifier for item in shown]
                self._page = page
            self.tiles.value = index % TILES_A_PAGE
        self.tiles.label = f"Image: {self[index].identifier}"
        self.stepper.value = index

    def _tile_chosen(self, change: Any) -> None:
        if change["new"] >= 0:
            self._pick(self._page * TILES_A_PAGE + change["new"])


def decode(name: str, content: bytes) -> NDArray[np.uint8]:
    """Decode an uploaded image.

    Args:
        name: of the file, for messages.
        content: its bytes, at most 32 MiB.

    Returns:
        (y, x, channel) uint8, RGB.

    Raises:
        InputError: too large.
        DamagedFileError: not an image that Pillow can decode.
    """
    if len(content) > LARGEST_UPLOAD:
        raise InputError(f"{name} has {len(content) / 2**20:.0f} MiB; at most {LARGEST_UPLOAD // 2**20} are taken.")
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DamagedFileError(f"{name} cannot be decoded as an image. Choose a PNG, JPEG or WebP file.") from error


def thumbnail(picture: NDArray[np.uint8]) -> str:
    """A small copy as a data URL.

    Args:
        picture: (y, x, channel) uint8, one or three channels.

    Returns:
        ``data:image/png;base64,...``, at most 96 pixels wide and high.
    """
    small = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
