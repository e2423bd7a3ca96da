"""The small sets: what comes with packages, arrays and samples of the mirror, ADE20K's parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench import data
from workbench.data.loaders import LOADERS
from workbench.errors import DamagedFileError, InputError, MissingFileError, UnknownNameError


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    ours = data.digits()
    assert ours.array.shape == (1797, 8, 8, 1)
    assert ours.array.dtype == np.uint8
    assert np.array_equal(np.round(ours.array[..., 0] * (16 / 255)), theirs.images)
    assert ours.array.max() == 255
    assert ours.labels is not None
    assert np.array_equal(ours.labels, theirs.target)
    assert ours.categories == tuple("0123456789")
    assert ours.manifest_hash == data.manifest("digits").hash
    assert len(set(ours.identifiers)) == 1797


def test_photographs_are_scikit_images() -> None:
    from skimage import data as theirs

    ours = data.photographs()
    assert len(ours) == 9
    by_name = {name: ours[index].image for index, name in enumerate(ours.identifiers)}
    assert np.array_equal(by_name["astronaut.png"], theirs.astronaut())
    assert np.array_equal(by_name["camera.png"][..., 0], theirs.camera())
    assert all(image.ndim == 3 and image.shape[2] == 3 for image in by_name.values())


def test_load_goes_by_the_manifest_name() -> None:
    assert len(data.load("digits")) == 1797
    assert set(LOADERS) <= set(data.manifests())
    with pytest.raises(UnknownNameError, match="digits"):
        data.load("digit")


def test_a_damaged_array_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere"):
        data.mnist(tmp_path / "nowhere")
    path = tmp_path / "mnist_test.npz"
    path.write_bytes(b"PK no archive")
    with pytest.raises(DamagedFileError, match="mnist_test"):
        data.mnist(tmp_path)
    np.savez(path, x=np.array([{"code": "evil"}], dtype=object))
    with pytest.raises(DamagedFileError, match="plain arrays"):
        data.mnist(tmp_path)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'val'"):
        data.cifar10(tmp_path, split="val")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'all'"):
        data.pneumonia_mnist(tmp_path, split="all")  # type: ignore[arg-type]


@pytest.mark.mirror
def test_array_sets(mirror: Path) -> None:
    for source, count, shape, categories in (
        (data.cifar10(), 1000, (32, 32, 3), 10),
        (data.cifar10(split="train"), 1000, (32, 32, 3), 10),
        (data.mnist(), 10_000, (28, 28, 1), 10),
        (data.pneumonia_mnist(), 624, (28, 28, 1), 2),
    ):
        assert len(source) == count
        assert source[count - 1].image.shape == shape
        assert len(source.categories) == categories
        assert source.labels is not None
        assert set(source.labels.tolist()) == set(range(categories))
        assert source.manifest_hash
    labels = data.pneumonia_mnist().labels
    assert labels is not None
    assert (labels == 1).sum() == 390


@pytest.mark.mirror
def test_imagenet_samples_have_one_image_a_class_in_torchvisions_order(mirror: Path) -> None:
    found = data.imagenet_samples()
    assert len(found) == 600
    assert len(found.categories) == 1000
    assert found.labels is not None
    assert len(set(found.labels.tolist())) == 600
    assert found.categories[int(found.labels[0])] == "tench"
    for index in (0, 299, 599):
        item = found[index]
        assert item.image.shape == (256, 256, 3)
        assert item.label == int(item.identifier.split("_")[0])


@pytest.mark.mirror
def test_chest_xrays(mirror: Path) -> None:
    found = data.chest_xrays()
    assert len(found) == 55
    assert "COVID-19" in found.categories
    assert found.labels is not None
    assert (found.labels >= 0).sum() > 30
    assert found[0].image.shape[2] == 3


@pytest.mark.mirror
def test_ade20k_parts_lie_on_their_objects(mirror: Path) -> None:
    objects, parts = data.ade20k(), data.ade20k(masks="part")
    assert len(objects) == len(parts) == 3
    names: set[str] = set()
    for index in range(3):
        whole, pieces = objects[index], parts[index]
        assert whole.identifier == pieces.identifier
        covered = np.any(list(whole.masks.values()), axis=0)
        assert covered.mean() > 0.8
        for mask in pieces.masks.values():
            assert mask.shape == whole.image.shape[:2]
            assert (mask & covered).sum() == mask.sum()
        names |= set(pieces.masks)
    assert len(names) > 10
    assert {"window", "wheel"} & {part for name in names for part in name.split(", ")}


def test_ade20k_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        data.ade20k(tmp_path)
    with pytest.raises(InputError, match="'things'"):
        data.ade20k(tmp_path, masks="things")  # type: ignore[arg-type]
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg")
    (tmp_path / "a.json").write_text('{"annotation": {"object": []}}')
    Image.new("RGB", (4, 3), (10, 7, 1)).save(tmp_path / "a_seg.png")
    with pytest.raises(DamagedFileError, match="class 263"):
        data.ade20k(tmp_path)[0]
    Image.new("RGB", (3, 4), (10, 7, 1)).save(tmp_path / "a_seg.png")
    with pytest.raises(DamagedFileError, match="has shape"):
        data.ade20k(tmp_path)[0]
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"a\.json"):
        data.ade20k(tmp_path)[0]
