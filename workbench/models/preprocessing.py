"""How a picture becomes network input, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from workbench.errors import DtypeError, InputError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L"


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the centre, scale to [0, 1], subtract the mean and divide by the standard deviation.

    Attributes:
        resize: pixels of the shorter side before the crop (an integer), or the exact (y, x); None keeps the size.
        crop: (y, x) pixels of the centre that the network sees (an integer means a square); None keeps all.
        mean: one number a channel, or one for all, in units of the [0, 1] picture.
        std: likewise; above 0.
        channels: 3 for RGB, 1 for grey. A picture of the other kind is converted.
        interpolation: a torchvision interpolation mode, ``"bilinear"`` or ``"bicubic"`` for example; antialiased.
        declared: False where nobody has said how pictures are prepared, so that only prepared input is taken.
    """

    resize: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    channels: int = 3
    interpolation: str = "bilinear"
    declared: bool = True

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise InputError(f"channels is {self.channels}; expected 3 (RGB) or 1 (grey).")
        if self.interpolation not in {mode.value for mode in InterpolationMode}:
            known = ", ".join(repr(mode.value) for mode in InterpolationMode)
            raise InputError(f"interpolation is {self.interpolation!r}; expected one of {known}.")
        for name in ("mean", "std"):
            value = getattr(self, name)
            numbers = (value,) * self.channels if isinstance(value, int | float) else tuple(float(v) for v in value)
            if len(numbers) != self.channels:
                raise InputError(f"{name} has {len(numbers)} entries; expected {self.channels}, one a channel.")
            object.__setattr__(self, name, tuple(float(number) for number in numbers))
        if min(self.stds) <= 0:
            raise InputError(f"std is {self.std}; expected numbers above 0.")
        if isinstance(self.crop, int):
            object.__setattr__(self, "crop", (self.crop, self.crop))
        for name in ("resize", "crop"):
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                object.__setattr__(self, name, (int(value[0]), int(value[1])))

    @property
    def means(self) -> tuple[float, ...]:
        """Mean of each channel."""
        return self.mean if isinstance(self.mean, tuple) else (self.mean,) * self.channels

    @property
    def stds(self) -> tuple[float, ...]:
        """Standard deviation of each channel."""
        return self.std if isinstance(self.std, tuple) else (self.std,) * self.channels

    @property
    def size(self) -> tuple[int, int] | None:
        """(y, x) pixels that the network sees; None where that depends on the picture."""
        if isinstance(self.crop, tuple):
            return self.crop
        return self.resize if isinstance(self.resize, tuple) else None

    @classmethod
    def imagenet(cls, *, resize: int = 256, crop: int = 224) -> Preprocessing:
        """The usual preparation for networks trained on ImageNet.

        Args:
            resize: pixels of the shorter side before the crop.
            crop: pixels of the square that the network sees.

        Returns:
            The preprocessing, three channels, ImageNet's mean and standard deviation.
        """
        return cls(resize=resize, crop=crop, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    @classmethod
    def from_torchvision(cls, preset: Any) -> Preprocessing:
        """Take over torchvision's own preset for classification.

        Args:
            preset: what ``weights.transforms()`` of torchvision gives.

        Returns:
            The same preparation.

        Raises:
            DtypeError: not a preset for classification.
        """
        try:
            resize, crop = list(preset.resize_size), list(preset.crop_size)
            mean, std, mode = tuple(preset.mean), tuple(preset.std), str(preset.interpolation.value)
        except (AttributeError, TypeError) as error:
            raise DtypeError(
                f"{preset!r} is not a torchvision preset for classification. Pass models.Preprocessing(...) instead."
            ) from error
        return cls(
            resize=resize[0] if len(resize) == 1 else (resize[0], resize[1]),
            crop=(crop[0], crop[-1]),
            mean=mean,
            std=std,
            interpolation=mode,
        )

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Preprocessing:
        """The inverse of :meth:`to_json`.

        Args:
            facts: field names to values; lists stand for tuples.

        Returns:
            The preprocessing.

        Raises:
            InputError: a field that does not exist, or a value that cannot be used.
        """
        unknown = sorted(set(facts) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(
                f"Preprocessing has no field {unknown[0]!r}; expected some of {sorted(cls.__dataclass_fields__)}."
            )
        values: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in facts.items()}
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists that say everything; goes through ``json.dumps``."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def apply(self, pictures: NDArray[np.uint8], *, names: list[str]) -> torch.Tensor:
        """Prepare pictures of one size.

        Args:
            pictures: (image, y, x, channel) uint8, one or three channels.
            names: what to call each image in a message.

        Returns:
            (image, channel, y, x) float32 on the CPU, normalised.

        Raises:
            ShapeError: a picture smaller than the crop, where nothing says how to enlarge it.
        """
        planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(self._resized(pictures), -1, 1)))
        if isinstance(self.crop, tuple):
            height, width = planes.shape[-2:]
            if height < self.crop[0] or width < self.crop[1]:
                raise ShapeError(
                    f"Image {names[0]!r} has {height} x {width} pixels when it is to be cropped; the network "
                    f"sees {self.crop[0]} x {self.crop[1]}. Enlarge it, or give the preprocessing a resize= of that."
                )
            planes = transforms.center_crop(planes, list(self.crop))
        values = _with_channels(planes.float() / 255, self.channels)
        return (values - _column(self.means)) / _column(self.stds)

    def _resized(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = pictures.shape[1:3]
        if self.resize in (None, (height, width)) or self.resize == min(height, width):
            return pictures
        size = [self.resize] if isinstance(self.resize, int) else self.resize
        mode = InterpolationMode(self.interpolation)
        # through Pillow, one by one: torchvision's presets do so, and torch's own resizing differs by up to two levels
        grey = pictures.shape[-1] == 1
        resized = [
            np.asarray(transforms.resize(Image.fromarray(picture[..., 0] if grey else picture), size, mode))
            for picture in pictures
        ]
        return np.stack(resized)[..., None] if grey else np.stack(resized)

    def invert(self, inputs: torch.Tensor) -> NDArray[np.float32]:
        """The pictures that the network sees.

        Args:
            inputs: (image, channel, y, x) float, normalised.

        Returns:
            (image, y, x, channel) float32 in [0, 1]. Where the preprocessing is not declared, each image is
            stretched from its own smallest to its own largest value.
        """
        values = inputs.detach().float().cpu()
        if self.declared:
            values = (values * _column(self.stds) + _column(self.means)).clamp(0, 1)
        else:
            low = values.amin(dim=(1, 2, 3), keepdim=True)
            span = values.amax(dim=(1, 2, 3), keepdim=True) - low
            values = (values - low) / torch.where(span > 0, span, torch.ones_like(span))
        return np.asarray(values.permute(0, 2, 3, 1).numpy(), dtype=np.float32)


def _column(numbers: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None]


def _with_channels(values: torch.Tensor, channels: int) -> torch.Tensor:
    if values.shape[1] == channels:
        return values
    if channels == 3:
        return values.expand(-1, 3, -1, -1)
    return (values * _column(_LUMINANCE)).sum(1, keepdim=True)
