"""What a hidden part of an image is replaced by: the choice that an occlusion map depends on most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from scipy.ndimage import gaussian_filter

from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError
from workbench.explain.inpainting import inpaint_pictures, inpaint_tiles
from workbench.explain.window_fills import Fill, Harmonic, OwnMean, hide_windows
from workbench.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.models import ImageModel

BLUR = 10 / 224  # standard deviation of the blur as a share of the shorter side; 10 pixels of 224 in [fong2017]
# baselines that depend on what is hidden, with what fills a window by itself
AROUND = {"inpaint": Harmonic, "hidden_mean": OwnMean}

baselines = Registry("baseline")


@baselines.register(title="Zero", source=("zeiler2014",), access="black box", returns="zeros as network input")
def zero(inputs: torch.Tensor, *, model: ImageModel, seed: int = 0) -> torch.Tensor:
    """Zero in the normalised network input, as captum: the mean colour of the training images.

    Args:
        inputs: (image, channel, y, x) float, normalised.
        model: not used.
        seed: not used.

    Returns:
        (image, channel, y, x), of the same dtype and on the same device.
    """
    return torch.zeros_like(inputs)


@baselines.register(title="Black", source=(), access="black box", returns="black pictures")
def black(inputs: torch.Tensor, *, model: ImageModel, seed: int = 0) -> torch.Tensor:
    """A black picture.

    Args:
        inputs: (image, channel, y, x) float, normalised.
        model: says what black is as network input.
        seed: not used.

    Returns:
        (image, channel, y, x), of the same dtype and on the same device.
    """
    preprocessing = model.preprocessing
    levels = [-mean / std for mean, std in zip(preprocessing.means, preprocessing.stds, strict=True)]
    if not preprocessing.declared:
        levels = [0.0] * inputs.shape[1]
    return torch.tensor(levels, dtype=inputs.dtype, device=inputs.device)[:, None, None].expand_as(inputs).contiguous()


@baselines.register(title="Mean colour", source=(), access="black box", returns="each image's own mean colour")
def mean(inputs: torch.Tensor, *, model: ImageModel, seed: int = 0) -> torch.Tensor:
    """The image's own mean colour, one number a channel.

    Args:
        inputs: (image, channel, y, x) float, normalised.
        model: not used.
        seed: not used.

    Returns:
        (image, channel, y, x), of the same dtype and on the same device.
    """
    return inputs.float().mean(dim=(2, 3), keepdim=True).to(inputs.dtype).expand_as(inputs).contiguous()


@baselines.register(title="Blur", source=("fong2017",), access="black box", returns="the image out of focus")
def blur(inputs: torch.Tensor, *, model: ImageModel, seed: int = 0) -> torch.Tensor:
    """The image itself, blurred: it removes detail and keeps colours, so it makes no new edges inside the patch.

    The Gaussian's standard deviation is 10/224 of the shorter side. Source: [fong2017].

    Args:
        inputs: (image, channel, y, x) float, normalised.
        model: not used.
        seed: not used.

    Returns:
        (image, channel, y, x), of the same dtype and on the same device.
    """
    sigma = BLUR * min(inputs.shape[2:])
    smooth = gaussian_filter(inputs.float().cpu().numpy(), sigma=(0, 0, sigma, sigma), mode="nearest")
    return torch.from_numpy(smooth).to(inputs)


@baselines.register(title="Noise", source=(), access="black box", returns="noise of the image's own colours")
def noise(inputs: torch.Tensor, *, model: ImageModel, seed: int = 0) -> torch.Tensor:
    """Gaussian noise with each channel's own mean and standard deviation, kept within its own range.

    Every image gets the same draw, so that a batch answers as its images do one at a time.

    Args:
        inputs: (image, channel, y, x) float, normalised.
        model: not used.
        seed: of the draw.

    Returns:
        (image, channel, y, x), of the same dtype and on the same device.
    """
    draw = torch.randn(inputs.shape[1:], generator=torch.Generator().manual_seed(seed)).to(inputs.device)
    wide = inputs.float()
    middle, spread = wide.mean(dim=(2, 3), keepdim=True), wide.std(dim=(2, 3), keepdim=True, correction=0)
    low, high = wide.amin(dim=(2, 3), keepdim=True), wide.amax(dim=(2, 3), keepdim=True)
    return (middle + spread * draw).clamp(low, high).to(inputs.dtype)


@baselines.register(title="Inpainting", source=(), access="black box", returns="a smooth surface from the surroundings")
def inpaint(
    inputs: torch.Tensor, *, model: ImageModel, seed: int = 0, hidden: torch.Tensor | None = None
) -> torch.Tensor:
    """Hidden pixels filled smoothly from the visible ones around them, see :mod:`workbench.explain.inpainting`.

    A mask that hides softly hides every pixel a little, so that there is no border to fill from: without ``hidden``,
    each tile of the picture is filled from around itself, see :func:`inpaint_tiles`.

    Args:
        inputs: (input, channel, y, x) float, normalised.
        model: not used.
        seed: not used.
        hidden: (input, 1, y, x) bool, True where the image is hidden; None for methods whose masks are soft.

    Returns:
        (input, channel, y, x), of the same dtype and on the same device.
    """
    return inpaint_tiles(inputs) if hidden is None else inpaint_pictures(inputs, hidden)


@baselines.register(
    title="Mean colour of what is hidden", source=("cooper2022",), access="black box", returns="the hidden part's mean"
)
def hidden_mean(
    inputs: torch.Tensor, *, model: ImageModel, seed: int = 0, hidden: torch.Tensor | None = None
) -> torch.Tensor:
    """The mean colour of the hidden pixels themselves: what is hidden keeps its colour and loses its detail.

    Source: [cooper2022].

    Args:
        inputs: (input, channel, y, x) float, normalised.
        model: not used.
        seed: not used.
        hidden: (input, 1, y, x) bool, True where the image is hidden.

    Returns:
        (input, channel, y, x), of the same dtype and on the same device.

    Raises:
        InputError: ``hidden`` is not given.
    """
    if hidden is None:
        raise InputError(
            "baseline 'hidden_mean' depends on what is hidden, so there is no one picture of it. Use it with methods "
            "that hide whole pixels (occlusion, hierarchical_occlusion, hipe, lime), or take 'blur' or 'inpaint' here."
        )
    inside = hidden
    wide = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
    count = inside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    return ((wide * inside).sum(dim=(2, 3), keepdim=True) / count).to(inputs.dtype).expand_as(inputs)


@dataclass(frozen=True, eq=False)
class Hiding:
    """How parts of images are hidden; made by :func:`hiding`.

    Attributes:
        inputs: (image, channel, y, x) float, normalised.
        model: the model that the inputs are for.
        name: a name of :data:`AROUND` where what is shown depends on what is hidden; else None.
        shown: (image, channel, y, x) float, what hidden parts show where that does not depend on them; else None.
        seed: for baselines that draw.
    """

    inputs: torch.Tensor
    model: ImageModel
    name: str | None
    shown: torch.Tensor | None
    seed: int

    def __call__(self, rows: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Hide parts of some images.

        Args:
            rows: (input) int64, the images.
            hidden: (input, 1, y, x) bool, True where each is hidden.

        Returns:
            (input, channel, y, x), of the inputs' dtype.

        """
        visible = self.inputs.index_select(0, rows)
        if self.shown is not None:
            return torch.where(hidden, self.shown.index_select(0, rows), visible)
        filled = baselines[str(self.name)](visible, model=self.model, seed=self.seed, hidden=hidden)
        return torch.where(hidden, filled, visible)

    def fill(self, image: int) -> Fill:
        """What rectangles of one image show.

        Args:
            image: number of the image.

        Returns:
            (channel, y, x), the picture that shows through all of them; or, where what is shown depends on what is
            hidden, an object that fills each rectangle by itself. Both are what :func:`hide_windows`,
            :class:`FastDense` and :class:`IncrementalEngine` take.
        """
        if self.shown is not None:
            return self.shown[image]
        return AROUND[str(self.name)](self.inputs[image])

    def windows(self, image: int, windows: NDArray[np.int64], *, feature_last: bool = False) -> torch.Tensor:
        """Hide one rectangle each in copies of an image.

        Args:
            image: number of the image.
            windows: (window, 4) int64: first row, first column, rows, columns.
            feature_last: see :func:`hide_windows`.

        Returns:
            (window, channel, y, x), of the inputs' dtype.
        """
        return hide_windows(self.inputs[image], self.fill(image), windows, feature_last=feature_last)


def hiding(baseline: str | torch.Tensor, inputs: torch.Tensor, *, model: ImageModel, seed: int = 0) -> Hiding:
    """Settle what hidden pixels show, for methods that hide whole pixels.

    Args:
        baseline: a name from :data:`baselines`, or network input of your own, see :func:`baseline_images`.
        inputs: (image, channel, y, x) float, normalised.
        model: the model that the inputs are for.
        seed: for baselines that draw.

    Returns:
        What hides parts of the images.

    Raises:
        UnknownNameError, ShapeError, NotFiniteError, DtypeError: see :func:`baseline_images`.
    """
    if isinstance(baseline, str) and baseline in AROUND:
        return Hiding(inputs, model, baseline, None, seed)
    return Hiding(inputs, model, None, baseline_images(baseline, inputs, model=model, seed=seed), seed)


def baseline_images(
    baseline: str | torch.Tensor, inputs: torch.Tensor, *, model: ImageModel, seed: int = 0
) -> torch.Tensor:
    """What each image is replaced by where it is hidden.

    Args:
        baseline: a name from :data:`baselines`, or network input of your own, (channel, y, x) for all images or
            (image, channel, y, x).
        inputs: (image, channel, y, x) float, normalised.
        model: the model that the inputs are for.
        seed: for baselines that draw.

    Returns:
        (image, channel, y, x), of the inputs' dtype and on their device.

    Raises:
        UnknownNameError: no such baseline, with the nearest names.
        InputError: ``"hidden_mean"``, which depends on what is hidden, see :func:`hiding`.
        ShapeError, NotFiniteError, DtypeError: a baseline of your own that cannot be used.
    """
    if isinstance(baseline, str):
        made: torch.Tensor = baselines[baseline](inputs, model=model, seed=seed)
        return made
    if not isinstance(baseline, torch.Tensor) or not baseline.is_floating_point():
        raise DtypeError(f"baseline is {type(baseline).__name__}; expected a name or a floating torch tensor.")
    if tuple(baseline.shape) not in (tuple(inputs.shape), tuple(inputs.shape[1:])):
        raise ShapeError(f"baseline has shape {tuple(baseline.shape)}; expected {tuple(inputs.shape)} as the inputs.")
    if not bool(torch.isfinite(baseline).all()):
        raise NotFiniteError("baseline holds NaN or infinity; expected finite numbers.")
    return baseline.to(inputs).expand_as(inputs)


def describe(baseline: str | torch.Tensor) -> Any:
    """A baseline as provenance can hold it.

    Args:
        baseline: a name or a tensor.

    Returns:
        The name, or a remark that it was given as a tensor, with its mean.
    """
    if isinstance(baseline, str):
        return baseline
    average = float(baseline.float().mean())
    return f"tensor {tuple(baseline.shape)}, mean {average if math.isfinite(average) else 'not finite'}"
