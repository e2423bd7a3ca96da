"""Making stores: what they hold, what is refused, and that the same work gives the same bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision.models import VisionTransformer

from workbench.data import Subset, as_source
from workbench.errors import (
    DamagedFileError,
    DiskSpaceError,
    DtypeError,
    InputError,
    MissingFileError,
    NotFiniteError,
    ShapeError,
    StoreError,
    StoreMismatchError,
    UnknownNameError,
)
from workbench.models import ImageModel
from workbench.store import ActivationStore

Arguments = dict[str, Any]
Make = Callable[..., ImageModel]
Read = Callable[[Path], dict[str, bytes]]


def test_dataset_of_a_convolutional_layer(reference: Path, model: ImageModel, labels: list[int]) -> None:
    store = ActivationStore.open(reference)
    dataset = store.dataset("1")
    assert dataset["maps"].dims == ("image", "unit", "y", "x")
    assert dataset["maps"].shape == (22, 8, 11, 11)
    assert dataset["maps"].dtype == np.float16
    for name in ("max", "mean", "argmax_y", "argmax_x"):
        assert dataset[name].dims == ("image", "unit")
        assert dataset[name].shape == (22, 8)
    assert dataset["max"].dtype == dataset["mean"].dtype == np.float32
    assert dataset["logits"].dims == ("image", "category")
    assert list(dataset["image"].values) == [str(index) for index in range(22)]
    assert list(dataset["label"].values) == labels
    assert list(dataset["category"].values) == ["ant", "bee", "cow", "dog", "eel"]
    assert (dataset["predicted"].values == dataset["logits"].values.argmax(1)).all()
    assert list(dataset["unit"].values) == list(range(8))
    assert set(dataset["layer"].values) == {"1"}
    assert dataset.attrs["model"] == "small"
    assert dataset.attrs["weights_hash"] == model.weights_hash
    assert json.loads(dataset.attrs["preprocessing"])["crop"] == [24, 24]
    assert "torch" in json.loads(dataset.attrs["versions"])
    assert dataset.attrs["manifest_hash"] == ""


def test_linear_layer(reference: Path) -> None:
    dataset = ActivationStore.open(reference).dataset("6")
    assert dataset["maps"].dims == ("image", "unit")
    assert "argmax_y" not in dataset
    np.testing.assert_array_equal(dataset["max"], dataset["maps"].astype(np.float32))
    np.testing.assert_array_equal(dataset["mean"], dataset["maps"].astype(np.float32))


def test_sequence_layer_of_a_vision_transformer(make_model: Make, tmp_path: Path, images: NDArray[np.uint8]) -> None:
    torch.manual_seed(0)
    transformer = VisionTransformer(24, 8, 1, 2, 16, 16, num_classes=5)
    nn.init.normal_(transformer.heads.head.weight)
    layer = "encoder.layers.encoder_layer_0"
    store = ActivationStore.extract(
        make_model(transformer), images, layers=layer, path=tmp_path / "vit", progress=False
    )
    dataset = store.dataset(layer)
    assert dataset["maps"].dims == ("image", "token", "unit")
    assert dataset["maps"].shape == (22, 10, 16)
    maps = dataset["maps"].values.astype(np.float32)
    np.testing.assert_array_equal(dataset["max"], maps.max(1))
    np.testing.assert_array_equal(dataset["argmax_token"], maps.argmax(1))
    assert store.unit_map(layer, 3).dims == ("image", "token")


class _Volume(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.reshape(len(inputs), 3, 4, 6, 24)


def test_other_ranks_are_stored_as_they_are(make_model: Make, tmp_path: Path, images: NDArray[np.uint8]) -> None:
    network = nn.Sequential(_Volume(), nn.Flatten(), nn.Linear(1728, 5))
    store = ActivationStore.extract(make_model(network), images, layers="0", path=tmp_path / "a", progress=False)
    dataset = store.dataset("0")
    assert dataset["maps"].dims == ("image", "axis_1", "axis_2", "axis_3", "axis_4")
    assert "max" not in dataset
    with pytest.raises(InputError, match="none of them 'unit'"):
        store.top_images("0", 0)
    with pytest.raises(InputError, match="none of them 'unit'"):
        store.quantile("0", 0.5)
    named = ActivationStore.extract(
        make_model(network),
        images,
        layers="0",
        path=tmp_path / "b",
        dims={"0": ("unit", "z", "y", "x")},
        progress=False,
    )
    assert named.dataset("0")["max"].shape == (22, 3)
    assert "argmax_z" in named.dataset("0")
    with pytest.raises(UnknownNameError, match="layer in dims"):
        ActivationStore.extract(make_model(network), images, layers="0", path=tmp_path / "c", dims={"9": ("unit",)})


def test_plain_xarray_opens_it(reference: Path) -> None:
    with xr.open_zarr(reference, group="layers/3", consolidated=False) as plain:
        ours = ActivationStore.open(reference).dataset("3")
        for name in plain.data_vars:
            np.testing.assert_array_equal(plain[name].values, ours[name].values)
        assert plain.attrs["weights_hash"] == ours.attrs["weights_hash"]
    with xr.open_zarr(reference, group="images", consolidated=False) as root:
        assert list(root["image"].values) == list(ours["image"].values)
        np.testing.assert_array_equal(root["logits"].values, ours["logits"].values)


def test_dtype_is_kept(model: ImageModel, images: NDArray[np.uint8], tmp_path: Path) -> None:
    for dtype in ("float32", "float64"):
        store = ActivationStore.extract(
            model, images[:3], layers="1", path=tmp_path / dtype, dtype=dtype, progress=False
        )
        assert store.dataset("1")["maps"].dtype == dtype
        assert store.dataset("1")["max"].dtype == dtype


def test_same_work_same_bytes(
    reference: Path, model: ImageModel, images: NDArray[np.uint8], arguments: Arguments, tmp_path: Path, contents: Read
) -> None:
    ActivationStore.extract(model, images, path=tmp_path / "again", **arguments)
    assert contents(tmp_path / "again") == contents(reference)


def test_blocks_smaller_than_a_batch_hold_the_same_values(
    reference: Path, model: ImageModel, images: NDArray[np.uint8], arguments: Arguments, tmp_path: Path
) -> None:
    store = ActivationStore.extract(model, images, path=tmp_path / "a", **{**arguments, "block_bytes": 10_000})
    assert store.plan.block_images < store.plan.batch_size
    xr.testing.assert_identical(store.dataset("3").load(), ActivationStore.open(reference).dataset("3").load())


def test_finished_store_is_not_computed_again(
    path: Path, model: ImageModel, images: NDArray[np.uint8], arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is left to compute")

    monkeypatch.setattr("workbench.store.extract.run", refuse)
    store = ActivationStore.extract(model, images, path=path, **arguments)
    assert len(store) == 22


def test_subset_and_prepared_tensor(model: ImageModel, images: NDArray[np.uint8], tmp_path: Path) -> None:
    chosen = np.array([5, 3, 11])
    part = ActivationStore.extract(
        model, Subset(as_source(images), chosen), layers="1", path=tmp_path / "a", progress=False
    )
    assert part.identifiers == ("5", "3", "11")
    prepared = model.prepare(images[chosen])
    same = ActivationStore.extract(model, prepared, layers="1", path=tmp_path / "b", progress=False)
    assert same.identifiers == ("0", "1", "2")
    np.testing.assert_array_equal(same.dataset("1")["maps"], part.dataset("1")["maps"])
    assert part.labels is None
    assert "label" not in part.dataset("1")


def test_it_says_what_it_will_write(
    model: ImageModel, images: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ActivationStore.extract(model, images, layers="1", path=tmp_path / "a")
    shown = capsys.readouterr().err
    written = sum(file.stat().st_size for file in (tmp_path / "a" / "layers").rglob("*") if file.is_file())
    words = shown.split("about ")[1].split(" on disk")[0].split()
    estimated = float(words[0]) * {"kB": 1e3, "MB": 1e6}[words[1]]
    assert estimated == pytest.approx(written, rel=0.3)
    assert "22 images" in shown
    assert "image/s" in shown
    assert store.path in shown


def test_a_disk_that_cannot_hold_it_is_refused_before_anything_is_written(
    model: ImageModel, images: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DiskSpaceError, match=r"only 1.0 kB are free"):
        ActivationStore.extract(model, images, layers="1", path=tmp_path / "a", progress=False)
    assert not list((tmp_path / "a").rglob("*.json"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layers": "9"}, UnknownNameError, "Unknown layer '9'"),
        ({"layers": []}, InputError, "layers is empty"),
        ({"layers": ["1", "1"]}, InputError, "twice"),
        ({"layers": [1]}, InputError, "expected layer names"),
        ({"dtype": "int8"}, DtypeError, "int8"),
        ({"batch_size": 0}, InputError, "batch_size is 0"),
        ({"batch_size": "some"}, InputError, "batch_size is 'some'"),
        ({"threads": 0}, InputError, "threads is 0"),
        ({"block_bytes": -1}, InputError, "block_bytes is -1"),
        ({"engine": "fast"}, InputError, "engine is 'fast'"),
        ({"labels": [1, 2]}, ShapeError, "2 labels for 22 images"),
        ({"identifiers": ["a"] * 22}, InputError, "identifiers are different"),
        ({"identifiers": ["a"]}, ShapeError, "1 identifiers for 22 images"),
        ({"path": ""}, InputError, "path is empty"),
        ({"path": "ftp://there"}, InputError, "neither a local folder"),
        ({"storage_options": {"key": "x"}}, InputError, "storage_options are for s3"),
    ],
)
def test_bad_arguments(
    change: Arguments,
    error: type[Exception],
    message: str,
    model: ImageModel,
    images: NDArray[np.uint8],
    arguments: Arguments,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        ActivationStore.extract(model, images, **{"path": tmp_path / "a", **arguments, **change})
    assert not list(tmp_path.rglob("*.json"))


def test_no_images(model: ImageModel, images: NDArray[np.uint8], tmp_path: Path) -> None:
    empty = Subset(as_source(images), np.zeros(0, np.int64))
    with pytest.raises(InputError, match="empty"):
        ActivationStore.extract(model, empty, layers="1", path=tmp_path / "a")
    with pytest.raises(InputError, match="no images"):
        ActivationStore.extract(model, torch.zeros((0, 3, 24, 24)), layers="1", path=tmp_path / "a")


def test_nan_in_an_image_is_refused(model: ImageModel, images: NDArray[np.uint8], tmp_path: Path) -> None:
    prepared = model.prepare(images)
    prepared[13, 0, 0, 0] = torch.nan
    with pytest.raises(NotFiniteError):
        ActivationStore.extract(model, prepared, layers="1", path=tmp_path / "a", progress=False)


def test_activations_that_do_not_fit_float16(make_model: Make, images: NDArray[np.uint8], tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * 24 * 24, 5))
    with torch.no_grad():
        network[0].weight.fill_(1e5)
        network[2].weight.fill_(1e-9)
    with pytest.raises(DtypeError, match=r"layer '0' reaches .* dtype='float32'"):
        ActivationStore.extract(make_model(network), images, layers="0", path=tmp_path / "a", progress=False)
    ActivationStore.extract(
        make_model(network), images, layers="0", path=tmp_path / "b", dtype="float32", progress=False
    )


def test_nan_activations_are_refused(make_model: Make, images: NDArray[np.uint8], tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * 24 * 24, 5))
    with torch.no_grad():
        network[0].weight[0] = torch.nan
    with pytest.raises(NotFiniteError):
        ActivationStore.extract(make_model(network), images, layers="0", path=tmp_path / "a", progress=False)


def test_damaged_image_file_is_named_and_the_rest_is_kept(
    model: ImageModel, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    files = []
    for index, image in enumerate(images[:12]):
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(image).save(files[-1])
    whole = files[10].read_bytes()
    files[10].write_bytes(whole[:100])
    # the pixels of some images identify the data; of so few, all
    with pytest.raises(DamagedFileError, match=r"10\.png"):
        ActivationStore.extract(model, files, layers="1", path=tmp_path / "a", batch_size=4, progress=False)
    files[10].write_bytes(whole)
    store = ActivationStore.extract(model, files, layers="1", path=tmp_path / "a", batch_size=4, progress=False)
    assert len(store) == 12


def test_store_of_another_model_is_refused(
    path: Path, other_model: ImageModel, model: ImageModel, images: NDArray[np.uint8], arguments: Arguments
) -> None:
    with pytest.raises(StoreMismatchError, match=r"'small'.*'other'"):
        ActivationStore.open(path, model=other_model)
    assert len(ActivationStore.open(path, model=model)) == 22
    with pytest.raises(StoreMismatchError, match="weights hash"):
        ActivationStore.extract(other_model, images, path=path, **arguments)
    with pytest.raises(StoreMismatchError, match="weights hash"):
        ActivationStore.open(path).resume(other_model, images, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ["1"]}, "layers"),
        ({"dtype": "float32"}, "dtype float16 there, float32 asked"),
        ({"batch_size": 5}, "batch_size 4 there, 5 asked"),
        ({"threads": 2}, "threads"),
        ({"identifiers": [f"x{index}" for index in range(22)]}, "identifiers"),
        ({"labels": [0] * 22}, "other labels"),
        ({"dims": {"6": ["y"]}}, "dims of 6"),
    ],
)
def test_other_request_for_the_same_path_is_refused(
    change: Arguments, message: str, path: Path, model: ImageModel, images: NDArray[np.uint8], arguments: Arguments
) -> None:
    with pytest.raises(StoreMismatchError, match=message):
        ActivationStore.extract(model, images, path=path, **{**arguments, **change})


def test_other_images_are_refused(
    path: Path, model: ImageModel, images: NDArray[np.uint8], arguments: Arguments
) -> None:
    with pytest.raises(StoreMismatchError, match="pixels hash"):
        ActivationStore.extract(model, images[::-1], path=path, **arguments)
    with pytest.raises(StoreMismatchError, match="22 images there, 21 given"):
        ActivationStore.open(path).resume(model, images[:21], progress=False)


def test_other_versions_are_warned_of(
    path: Path, model: ImageModel, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.arrays.versions", lambda: {"torch": "99"})
    with pytest.warns(UserWarning, match="may differ in the last bits"):
        ActivationStore.open(path).resume(model, images, progress=False)


def test_folder_of_something_else_is_left_alone(model: ImageModel, images: NDArray[np.uint8], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        ActivationStore.extract(model, images, layers="1", path=tmp_path, progress=False)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no activation store"):
        ActivationStore.open(tmp_path / "nowhere")


def test_threads_are_restored(model: ImageModel, images: NDArray[np.uint8], tmp_path: Path) -> None:
    before = torch.get_num_threads()
    ActivationStore.extract(model, images, layers="1", path=tmp_path / "a", threads=before + 1, progress=False)
    assert torch.get_num_threads() == before


def test_model_is_left_as_it_was(model: ImageModel, images: NDArray[np.uint8], tmp_path: Path) -> None:
    ActivationStore.extract(model, images, layers="1", path=tmp_path / "a", progress=False)
    assert all(not module._forward_hooks and not module.training for module in model.module.modules())
