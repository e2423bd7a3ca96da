"""What every loader promises, checked for each by being in the table of loaders."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from workbench import data
from workbench.data.loaders import LOADERS

HERE = [name for name in LOADERS if data.manifest(name).package is not None]
IN_MIRROR = [name for name in LOADERS if name not in HERE and all(file.verified for file in data.manifest(name).files)]


def check(source: data.ImageSource, manifest: data.Manifest) -> None:
    assert isinstance(source, data.ImageSource)
    assert data.as_source(source) is source
    assert len(source) == len(source.identifiers) > 0
    assert len(set(source.identifiers)) == len(source)
    assert len(set(source.categories)) == len(source.categories) or manifest.name == "imagenet-samples"
    assert source.manifest_hash == manifest.hash
    assert pickle.loads(pickle.dumps(source)).identifiers == source.identifiers
    labels = source.labels
    if labels is not None:
        assert labels.dtype == np.int64
        assert labels.shape == (len(source),)
        assert labels.min() >= -1
        assert labels.max() < len(source.categories)
    for index in {0, len(source) // 2, len(source) - 1}:
        item = source[index]
        height, width, channels = item.image.shape
        assert item.image.dtype == np.uint8
        assert channels in (1, 3)
        assert item.identifier == source.identifiers[index]
        assert item.label == (None if labels is None or labels[index] < 0 else labels[index])
        for name, mask in item.masks.items():
            assert mask.shape == (height, width), name
            assert mask.dtype == bool
            assert mask.any(), "what is not visible has no entry"
        for box in item.boxes:
            assert -1 <= box.left < box.right <= width + 1
            assert -1 <= box.top < box.bottom <= height + 1
    with pytest.raises(IndexError):
        source[len(source)]


@pytest.mark.parametrize("name", HERE)
def test_loader_without_a_mirror(name: str) -> None:
    check(data.load(name), data.manifest(name))


@pytest.mark.mirror
@pytest.mark.parametrize("name", IN_MIRROR)
def test_loader_with_a_mirror(name: str, mirror: Path) -> None:
    check(data.load(name), data.manifest(name))


def test_no_loader_is_left_out() -> None:
    published = {"cub70", "voc-2007", "coco-2014-val"}  # their layouts are tested on small copies
    assert set(HERE) | set(IN_MIRROR) | published == set(LOADERS)
