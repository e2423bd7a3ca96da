"""From names, modules and files to models, and clear words where that cannot be."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from workbench import models
from workbench.errors import (
    DamagedFileError,
    DtypeError,
    InputError,
    MissingFileError,
    UnknownNameError,
    WeightsMismatchError,
)
from workbench.models import ImageModel, Preprocessing


@pytest.fixture(scope="module")
def squeezenet() -> ImageModel:
    return models.load("squeezenet1_1", weights="random")


def test_an_untrained_network_must_be_asked_for_and_is_always_the_same(squeezenet: ImageModel) -> None:
    state = torch.random.get_rng_state()
    again = models.load("squeezenet1_1", weights="random")
    assert again.weights_hash == squeezenet.weights_hash
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(part.training for part in again.module.modules())
    assert again.input_shape == (3, 224, 224)
    assert len(again.categories) == 1000
    assert again.categories[1] == "goldfish"


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", offline)
    for weights in (None, "DEFAULT", "IMAGENET1K_V1", torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1):
        with pytest.raises(MissingFileError, match=r"squeezenet1_1-\w+\.pth.*weights='random'"):
            models.load("squeezenet1_1", weights=weights)


def test_torchvision_weights_bring_their_own_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision.models.mobilenet_v2(weights=None).state_dict()
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: state)
    model = models.load("mobilenet_v2", weights="IMAGENET1K_V2")
    assert model.preprocessing.resize == 232
    assert models.load("mobilenet_v2").preprocessing.resize == 232
    assert models.load("mobilenet_v2", weights="IMAGENET1K_V1").preprocessing.resize == 256


def test_weights_without_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.models, "get_model", lambda *_, **__: nn.Identity())  # the real one has 528 MB
    model = models.load("vgg16", weights="IMAGENET1K_FEATURES")
    assert model.categories == ()
    assert model.preprocessing.stds[0] == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("squeezenet_11", None, "Unknown model 'squeezenet_11'. Did you mean .*'squeezenet1_1'"),
        (
            "squeezenet1_1",
            "IMAGENET1K_V9",
            "Unknown weights of squeezenet1_1 'IMAGENET1K_V9'.*'IMAGENET1K_V1'",
        ),
    ],
)
def test_unknown_names(name: str, weights: str | None, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        models.load(name, weights=weights)


def test_a_device_that_is_not_there_or_not_a_device(awkward: nn.Module) -> None:
    with pytest.raises(InputError, match=r"device is 'gpu'; expected 'cpu', 'cuda'"):
        models.load(awkward, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="which this machine does not have"):
            models.load(awkward, device="cuda")
    assert models.load(awkward, device="cpu").device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, which this machine does not have")
def test_device_follows_the_model(awkward: nn.Module) -> None:
    model = models.load(awkward, device="cuda", preprocessing=Preprocessing(resize=(6, 6)))
    assert model.device.type == "cuda"
    assert model.prepare(torch.zeros(1, 3, 6, 6)).device.type == "cuda"
    assert model.targets(1, 2).device.type == "cuda"
    assert model.predict(torch.zeros(1, 3, 6, 6)).sizes["category"] == 5


@pytest.mark.parametrize("thing", [3, None, nn.Linear, object()])
def test_things_that_are_no_model(thing: object) -> None:
    with pytest.raises(DtypeError, match="expected a name, an instance"):
        models.load(thing)  # type: ignore[arg-type]


def test_weights_without_an_architecture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not say which network"):
        models.load(str(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("kind", ["safetensors", "state", "nested", "parallel", "half"])
def test_weights_from_files(awkward: nn.Module, tmp_path: Path, kind: str) -> None:
    wanted = {name: value.clone() for name, value in awkward.state_dict().items()}
    path = tmp_path / ("weights.safetensors" if kind in ("safetensors", "half") else "weights.pth")
    if kind == "safetensors":
        save_file(wanted, path)
    elif kind == "half":
        save_file({name: value.half() for name, value in wanted.items()}, path)
    elif kind == "state":
        torch.save(wanted, path)
    elif kind == "nested":
        torch.save({"epoch": 3, "state_dict": wanted}, path)
    else:
        torch.save({f"module.{name}": value for name, value in wanted.items()}, path)
    with torch.no_grad():
        for parameter in awkward.parameters():
            parameter.zero_()
    model = models.load(awkward, weights=path if kind == "state" else str(path))
    assert model.dtype == torch.float32
    for name, value in model.module.state_dict().items():
        expected = wanted[name].half().float() if kind == "half" else wanted[name]
        assert torch.equal(value, expected), name


def test_a_mismatch_is_named_by_path_expected_and_got(awkward: nn.Module, tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in awkward.state_dict().items()}
    before = {name: value.clone() for name, value in state.items()}
    state["head.weight"] = torch.zeros(7, 4)
    state["extra.bias"] = torch.zeros(2)
    del state["conv2.bias"]
    path = tmp_path / "wrong.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsMismatchError) as caught:
        models.load(awkward, weights=path)
    message = str(caught.value)
    assert str(path) in message
    assert "head.weight: expected (5, 4), got (7, 4)" in message
    assert "conv2.bias: expected (4,), got nothing" in message
    assert "extra.bias: got (2,), expected no such name" in message
    assert all(torch.equal(value, before[name]) for name, value in awkward.state_dict().items())


def test_files_that_are_not_weights(awkward: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no weights file"):
        models.load(awkward, weights=tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00")
    with pytest.raises(DamagedFileError, match=r"cut\.safetensors cannot be read as weights"):
        models.load(awkward, weights=tmp_path / "cut.safetensors")
    torch.save(awkward, tmp_path / "module.pth")
    with pytest.raises(DamagedFileError, match="would run code"):
        models.load(awkward, weights=tmp_path / "module.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DamagedFileError, match="holds list, not a state dict"):
        models.load(awkward, weights=tmp_path / "list.pth")
    with pytest.raises(InputError, match="expected the path of a weights file"):
        models.load(awkward, weights=3)


def test_a_torchvision_network_gets_as_many_outputs_as_its_weights(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("robin\nfinch\nwren\n", encoding="utf-8")
    state = torchvision.models.mobilenet_v3_small(num_classes=3, weights=None).state_dict()
    save_file(state, tmp_path / "birds.safetensors")
    model = models.load("mobilenet_v3_small", weights=tmp_path, categories=names)
    assert model.categories == ("robin", "finch", "wren")
    assert model.logits(torch.zeros(1, 3, 224, 224)).shape == (1, 3)
    assert models.load("mobilenet_v3_small", weights=tmp_path).categories == ()
    with pytest.raises(MissingFileError, match="category names"):
        models.load("mobilenet_v3_small", weights=tmp_path, categories=tmp_path / "nobody.txt")


def test_a_folder_with_several_weights_is_ambiguous(awkward: nn.Module, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_file(awkward.state_dict(), tmp_path / f"{name}.safetensors")
    with pytest.raises(InputError, match="holds 2 weights files"):
        models.load(awkward, weights=tmp_path)


@pytest.mark.parametrize("name", models.shipped())
def test_every_shipped_network_loads_and_answers(name: str) -> None:
    model = models.load(name)
    card = models.card(name)
    assert model.name == name
    assert model.categories == tuple(card["categories"])
    logits = model.logits(torch.zeros(1, *model.input_shape))
    assert logits.shape == (1, len(model.categories))
    assert re.fullmatch(r"[0-9a-f]{64}", model.weights_hash)


def test_unknown_shipped_card() -> None:
    with pytest.raises(UnknownNameError, match="Unknown shipped model"):
        models.card("scenes_objekt")
