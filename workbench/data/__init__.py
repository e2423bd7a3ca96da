"""Images and what is known of them: manifests, verified downloads, loaders, rendered scenes."""

from workbench.data.source import (
    AnnotatedImage,
    ArraySource,
    Box,
    FileSource,
    ImageSource,
    Subset,
    as_source,
    read_image,
)

__all__ = [
    "AnnotatedImage",
    "ArraySource",
    "Box",
    "FileSource",
    "ImageSource",
    "Subset",
    "as_source",
    "read_image",
]
