"""Loaders: each gives the one interface for images, :class:`workbench.data.ImageSource`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from workbench.data.loaders.ade20k import Ade20kSource, ade20k
from workbench.data.loaders.base import AnnotatedSource
from workbench.data.loaders.coco import CocoPanopticSource, CocoSource, coco, coco_panoptic, coco_train128
from workbench.data.loaders.cub import CUB70_PARTS, Cub70Source, cub70, cub_attributes, cub_crops
from workbench.data.loaders.folder import FolderSource, folder
from workbench.data.loaders.inspect import inspect_masks
from workbench.data.loaders.small import (
    chest_xrays,
    cifar10,
    digits,
    imagenet_samples,
    mnist,
    photographs,
    pneumonia_mnist,
)
from workbench.data.loaders.voc import VOC_CATEGORIES, VocSource, voc, voc_sample
from workbench.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workbench.data.source import ImageSource

# dataset (the name of its manifest) to the loader that gives it with default settings
LOADERS: Mapping[str, Callable[[], ImageSource]] = MappingProxyType(
    {
        "digits": digits,
        "photographs": photographs,
        "imagenet-samples": imagenet_samples,
        "cub70": cub70,
        "cub-crops": cub_crops,
        "voc-2007": voc,
        "voc-sample": voc_sample,
        "coco-2014-val": coco,
        "coco-train128": coco_train128,
        "coco-val": coco_panoptic,
        "ade20k-parts": ade20k,
        "cifar10-sample": cifar10,
        "mnist-test": mnist,
        "pneumonia-mnist": pneumonia_mnist,
        "chest-xray": chest_xrays,
    }
)


def load(name: str) -> ImageSource:
    """Load a dataset of images by the name of its manifest, with the default settings of its loader.

    Args:
        name: a key of ``LOADERS``, for example ``"digits"``.

    Returns:
        The images.

    Raises:
        UnknownNameError: no loader has that name.
        MissingFileError, ManifestError: as :func:`workbench.data.fetch`.
    """
    if name not in LOADERS:
        raise unknown_name("dataset of images", name, LOADERS)
    return LOADERS[name]()


__all__ = [
    "CUB70_PARTS",
    "LOADERS",
    "VOC_CATEGORIES",
    "Ade20kSource",
    "AnnotatedSource",
    "CocoPanopticSource",
    "CocoSource",
    "Cub70Source",
    "FolderSource",
    "VocSource",
    "ade20k",
    "chest_xrays",
    "cifar10",
    "coco",
    "coco_panoptic",
    "coco_train128",
    "cub70",
    "cub_attributes",
    "cub_crops",
    "digits",
    "folder",
    "imagenet_samples",
    "inspect_masks",
    "load",
    "mnist",
    "photographs",
    "pneumonia_mnist",
    "voc",
    "voc_sample",
]
