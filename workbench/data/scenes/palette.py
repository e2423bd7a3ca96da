"""The colours that scenes are painted with: strong ones for objects, soft ones for backgrounds."""

from __future__ import annotations

from types import MappingProxyType

from workbench.errors import unknown_name

Colour = tuple[float, float, float]


def _table(**colours: tuple[int, int, int]) -> MappingProxyType[str, Colour]:
    return MappingProxyType({name: (r / 255, g / 255, b / 255) for name, (r, g, b) in colours.items()})


# red, green, blue in 0..1
OBJECT_COLOURS = _table(
    red=(212, 56, 54),
    orange=(240, 134, 40),
    yellow=(246, 196, 48),
    green=(66, 146, 78),
    teal=(32, 150, 150),
    blue=(44, 98, 200),
    purple=(126, 76, 172),
    pink=(228, 104, 154),
    brown=(134, 90, 62),
    white=(248, 246, 240),
    grey=(132, 138, 146),
    black=(44, 44, 52),
)

BACKGROUND_COLOURS = _table(
    sky=(188, 216, 238),
    sand=(236, 218, 182),
    meadow=(182, 210, 156),
    lavender=(212, 202, 232),
    rose=(240, 206, 204),
    mist=(224, 228, 230),
    mint=(190, 230, 212),
    stone=(190, 186, 178),
    peach=(250, 216, 186),
    dusk=(150, 160, 190),
)


def object_colour(name: str) -> Colour:
    """The colour of an object or part.

    Args:
        name: a key of ``OBJECT_COLOURS``.

    Returns:
        Red, green, blue in 0..1.

    Raises:
        UnknownNameError: there is no such colour.
    """
    if name not in OBJECT_COLOURS:
        raise unknown_name("object colour", name, OBJECT_COLOURS)
    return OBJECT_COLOURS[name]


def background_colour(name: str) -> Colour:
    """The colour of a background.

    Args:
        name: a key of ``BACKGROUND_COLOURS``.

    Returns:
        Red, green, blue in 0..1.

    Raises:
        UnknownNameError: there is no such colour.
    """
    if name not in BACKGROUND_COLOURS:
        raise unknown_name("background colour", name, BACKGROUND_COLOURS)
    return BACKGROUND_COLOURS[name]


def shade(colour: Colour) -> Colour:
    """The second colour of a texture: darker, or lighter where the colour is already dark.

    Args:
        colour: red, green, blue in 0..1.

    Returns:
        Red, green, blue in 0..1.
    """
    red, green, blue = colour
    if red + green + blue < 0.9:
        return (red + (1 - red) * 0.35, green + (1 - green) * 0.35, blue + (1 - blue) * 0.35)
    return (red * 0.68, green * 0.68, blue * 0.68)
