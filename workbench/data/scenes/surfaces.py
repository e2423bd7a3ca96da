"""What covers a pixel: coverage, textures of objects, patterns of backgrounds, the light over all."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.data.scenes.palette import background_colour

if TYPE_CHECKING:
    from workbench.data.scenes.elements import Background, Illumination, Texture
    from workbench.data.scenes.geometry import Placement, Window

Layer = NDArray[np.float32]
TEXTURE_PERIOD = 0.44  # local units, so that a texture grows with its object


def coverage(distance: Layer) -> Layer:
    """The covered share of each pixel from the signed distance of its centre, in place.

    Args:
        distance: (y, x) float32 in pixels, negative inside; overwritten.

    Returns:
        The same array, in 0..1.
    """
    np.subtract(np.float32(0.5), distance, out=distance)
    np.maximum(distance, 0, out=distance)
    np.minimum(distance, 1, out=distance)
    return distance


def wave(value: Layer) -> Layer:
    """A triangle wave of period 1, from -0.25 (at whole numbers) to 0.25, in place.

    Args:
        value: (y, x) float32 in periods; overwritten.

    Returns:
        The same array; one unit of it is one period, as of ``value``.
    """
    value -= np.floor(value)
    value -= 0.5
    np.abs(value, out=value)
    np.subtract(np.float32(0.25), value, out=value)
    return value


def texture_share(texture: Texture, window: Window, at: Placement) -> Layer:
    """The share of each pixel that shows the second colour of a texture.

    Args:
        texture: ``"stripes"``, ``"dots"`` or ``"checks"``.
        window: the pixels.
        at: the object; the texture turns and grows with it.

    Returns:
        (y, x) float32 in 0..1.
    """
    period = TEXTURE_PERIOD * at.radius
    cosine, sine = math.cos(at.angle) / period, math.sin(at.angle) / period
    column, row = window.xs - at.x, window.ys - at.y
    first = wave(cosine * column + sine * row)
    if texture == "stripes":
        first *= period
    else:
        second = wave(cosine * row - sine * column)
        if texture == "checks":
            # in pixels to the nearest border, positive where both waves have the same sign
            sign = np.sign(first) * np.sign(second)
            np.minimum(np.abs(first), np.abs(second), out=first)
            first *= sign
            first *= period
        else:
            # waves peak at the dots' centres: 0.25 - wave is the distance to the centre along one axis
            np.subtract(np.float32(0.25), first, out=first)
            np.subtract(np.float32(0.25), second, out=second)
            first *= first
            second *= second
            first += second
            np.sqrt(first, out=first)
            np.subtract(np.float32(0.29), first, out=first)
            first *= period
    np.negative(first, out=first)
    return coverage(first)


@lru_cache(maxsize=8)
def _axis(size: int) -> Layer:
    """Pixel centres from -1 to 1."""
    return ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1).astype(np.float32)


@lru_cache(maxsize=8)
def _interpolation(size: int, knots: int) -> Layer:
    """(size, knots): cubic-smooth weights that stretch a row of knots over the picture's side."""
    at = (np.arange(size) + 0.5) / size * (knots - 1)
    left = np.minimum(at.astype(int), knots - 2)
    t = at - left
    t = t * t * (3 - 2 * t)
    weights = np.zeros((size, knots), dtype=np.float32)
    weights[np.arange(size), left] = 1 - t
    weights[np.arange(size), left + 1] = t
    return weights


def background_level(background: Background, size: int) -> Layer | None:
    """Brightness of the pattern relative to the background's colour.

    Args:
        background: its pattern, angle and seed are used.
        size: side in pixels.

    Returns:
        (y, x) float32, factors about 1, or None for a plain background.
    """
    if background.pattern == "plain":
        return None
    axis = _axis(size)
    if background.pattern == "clouds":
        rng = np.random.default_rng(background.seed)
        knots = rng.random((6, 6), dtype=np.float32) - np.float32(0.5)
        weights = _interpolation(size, 6)
        return np.asarray(1 + np.float32(0.34) * (weights @ knots @ weights.T), dtype=np.float32)
    angle = math.radians(background.angle)
    along = math.cos(angle) * axis + (math.sin(angle) * axis)[:, None]
    if background.pattern == "gradient":
        along *= 0.13
        along += 1
        return along
    frequency, half = 3.0, size / 6  # periods over half a side, and the pixels of a period
    along *= frequency
    level = wave(along)
    if background.pattern == "checks":
        across = wave((math.cos(angle) * axis * frequency)[:, None] - math.sin(angle) * axis * frequency)
        sign = np.sign(level) * np.sign(across)
        np.minimum(np.abs(level), np.abs(across), out=level)
        level *= sign
    level *= half
    level += 0.5
    np.clip(level, 0, 1, out=level)
    level *= -0.08
    level += 1.03
    return level


def add_background(canvas: Layer, free: Layer, background: Background) -> None:
    """Put the background where nothing has covered it, in place.

    Args:
        canvas: (channel, y, x) float32.
        free: (y, x) float32, the uncovered share; used as scratch.
        background: what to put there.
    """
    level = background_level(background, canvas.shape[-1])
    if level is not None:
        free *= level
    for channel, value in enumerate(background_colour(background.colour)):
        canvas[channel] += free * np.float32(value)


def expose(canvas: Layer, illumination: Illumination) -> NDArray[np.uint8]:
    """Light the picture, add the grain, and round it to bytes.

    Args:
        canvas: (channel, y, x) float32 in 0..1; changed.
        illumination: the light.

    Returns:
        (y, x, channel) uint8.
    """
    size = canvas.shape[-1]
    gain: Layer | np.float32 = np.float32(illumination.level * 255)
    if illumination.slope:
        axis = _axis(size)
        angle = math.radians(illumination.angle)
        slope = illumination.slope * 255
        gain = slope * math.cos(angle) * axis + (slope * math.sin(angle) * axis + illumination.level * 255)[:, None]
    canvas *= gain
    if illumination.noise:
        rng = np.random.default_rng(illumination.seed)
        grain = rng.standard_normal((size, size), dtype=np.float32)
        grain *= np.float32(illumination.noise * 255)
        canvas += grain
    canvas += 0.5
    np.maximum(canvas, 0, out=canvas)
    np.minimum(canvas, 255, out=canvas)
    image = np.empty((size, size, 3), dtype=np.uint8)
    image.transpose(2, 0, 1)[...] = canvas
    return image
