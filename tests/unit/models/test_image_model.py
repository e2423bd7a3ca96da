"""What an ImageModel says of itself, takes and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from workbench import models
from workbench.data import as_source
from workbench.errors import DtypeError, InputError, NotFiniteError, ShapeError, UnknownNameError
from workbench.models import ImageModel, Preprocessing

PLAIN = Preprocessing(resize=(6, 6))
NAMES = ("cat", "dog", "bird", "fish", "cow")


@pytest.fixture
def model(awkward: nn.Module) -> ImageModel:
    return models.load(awkward, categories=NAMES, preprocessing=PLAIN, name="awkward")


def test_layers_with_shapes(model: ImageModel) -> None:
    assert model.layers == {
        "conv1": (4, 6, 6),
        "relu:0": (4, 6, 6),
        "relu:1": (4, 6, 6),
        "conv2": (4, 6, 6),
        "dropout": (4,),
        "head": (5,),
    }
    assert [layer.order for layer in model.layer_records] == [0, 1, 3, 2, 4, -1, 5, 6]


def test_every_listed_layer_can_be_captured_with_its_shape(model: ImageModel) -> None:
    with models.capture(model, list(model.layers)) as seen:
        model.logits(torch.zeros(3, 3, 6, 6))
    assert {name: tuple(value.shape) for name, value in seen.items()} == {
        name: (3, *shape) for name, shape in model.layers.items()
    }


def test_check_layer_says_why_not(model: ImageModel) -> None:
    assert model.check_layer("relu:1") == (4, 6, 6)
    with pytest.raises(InputError, match="a tuple of 2, not one tensor"):
        model.check_layer("pair")
    with pytest.raises(InputError, match="not called in the forward pass"):
        model.check_layer("unused")
    with pytest.raises(UnknownNameError, match="Did you mean 'conv2', 'conv1'"):
        model.check_layer("conv3")


def test_all_forms_of_the_same_picture_are_the_same_input(model: ImageModel, tmp_path: object) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    path = f"{tmp_path}/one.png"
    Image.fromarray(picture).save(path)
    forms = [
        picture,
        picture[None],
        picture / 255,
        Image.fromarray(picture),
        path,
        [path],
        torch.from_numpy(picture).permute(2, 0, 1),
        as_source(picture),
    ]
    wanted = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    for form in forms:
        torch.testing.assert_close(model.prepare(form), wanted)
    prepared = torch.randn(2, 3, 9, 7)
    assert torch.equal(model.prepare(prepared), prepared)


def test_images_of_different_sizes_are_brought_to_one(model: ImageModel, tmp_path: object) -> None:
    paths = []
    for index, size in enumerate([(8, 9), (12, 6), (6, 6)]):
        paths.append(f"{tmp_path}/{index}.png")
        Image.new("RGB", size, (255, 0, 0)).save(paths[-1])
    inputs = model.prepare(paths)
    assert inputs.shape == (3, 3, 6, 6)
    assert torch.equal(inputs[:, 0], torch.ones(3, 6, 6))


def test_images_without_a_common_size_are_refused(awkward: nn.Module, tmp_path: object) -> None:
    free = models.load(awkward, preprocessing=Preprocessing())
    for index, size in enumerate([(8, 9), (12, 6)]):
        Image.new("RGB", size).save(f"{tmp_path}/{index}.png")
    with pytest.raises(ShapeError, match=r"\(6, 12\) and \(9, 8\)"):
        free.prepare([f"{tmp_path}/0.png", f"{tmp_path}/1.png"])


def test_predict(model: ImageModel) -> None:
    inputs = torch.randn(7, 3, 6, 6)
    found = model.predict(inputs, batch_size=3)
    logits = model.module(inputs).detach()
    np.testing.assert_allclose(found.logits, logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.probability.sum("category"), 1, rtol=1e-6)
    np.testing.assert_array_equal(found.predicted, logits.argmax(1))
    assert found.category.values.tolist() == list(NAMES)
    assert found.image.values.tolist() == [str(i) for i in range(7)]
    assert found.attrs["weights_hash"] == model.weights_hash


def test_nan_in_an_image_is_named_by_its_index(model: ImageModel) -> None:
    inputs = torch.zeros(4, 3, 6, 6)
    inputs[2, 1, 3, 3] = torch.nan
    with pytest.raises(NotFiniteError, match="in 1 of 4 images, the first is image 2"):
        model.prepare(inputs)
    with pytest.raises(NotFiniteError, match="the first at image 2, y 3, x 3, channel 1"):
        model.prepare(inputs.permute(0, 2, 3, 1).numpy())


def test_nan_in_the_output_is_named_by_its_image(model: ImageModel) -> None:
    with torch.no_grad():
        model.module.get_submodule("head").bias[1] = torch.nan
    with pytest.raises(NotFiniteError, match=r"NaN or infinity for 2 of 2 images, the first is image 0 \('0'\)"):
        model.predict(torch.zeros(2, 3, 6, 6))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(1, 3, 6, 6, dtype=torch.int64), DtypeError, "int64 is no picture"),
        (torch.zeros(1, 4, 6, 6), ShapeError, "4 channels; 'awkward' takes 3"),
        (torch.zeros(0, 3, 6, 6), ShapeError, "none of them 0"),
        (torch.zeros(6, 6), ShapeError, "expected \\(image, channel, y, x\\)"),
        (np.zeros((1, 6, 6, 3), dtype=np.int32), DtypeError, "int32"),
        (np.full((1, 6, 6, 3), 7.0), InputError, "Divide by 255"),
        ([], InputError, "empty"),
    ],
)
def test_unusable_images(model: ImageModel, images: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model.prepare(images)


def test_an_image_that_is_too_small_is_named(awkward: nn.Module) -> None:
    cropped = models.load(awkward, preprocessing=Preprocessing(crop=8))
    with pytest.raises(ShapeError, match=r"Image '0' has 6 x 7 pixels .* sees 8 x 8"):
        cropped.prepare(np.zeros((6, 7, 3), dtype=np.uint8))
    network = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(12, 2)).eval()
    small = models.load(network, preprocessing=Preprocessing(crop=8))
    with pytest.raises(ShapeError, match="cannot take images of 2 x 2 pixels; it was made for 8 x 8"):
        small.logits(torch.zeros(1, 3, 2, 2))


def test_an_undeclared_preprocessing_takes_prepared_input_only(awkward: nn.Module) -> None:
    bare = models.load(awkward)
    assert bare.predict(torch.zeros(1, 3, 6, 6)).sizes["category"] == 5
    with pytest.raises(InputError, match=r"preprocessing=models\.Preprocessing"):
        bare.prepare(np.zeros((6, 6, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="input size of 'Awkward' is not known"):
        _ = bare.layers
    pictures = bare.pictures(torch.stack([torch.linspace(-3, 5, 108).reshape(3, 6, 6), torch.zeros(3, 6, 6)]))
    assert pictures.min() == 0
    assert pictures.max() == 1


def test_categories_by_name_and_index(model: ImageModel) -> None:
    assert model.category_index("bird") == model.category_index(2) == model.category_index(np.int64(2)) == 2
    with pytest.raises(UnknownNameError, match="Did you mean 'cat'"):
        model.category_index("catt")
    with pytest.raises(InputError, match="expected 0 to 4"):
        model.category_index(5)
    with pytest.raises(InputError, match="expected 0 to 4"):
        model.category_index(-1)
    with pytest.raises(DtypeError, match=r"1\.5, float"):
        model.category_index(1.5)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="True, bool"):
        model.category_index(True)


def test_a_name_that_several_categories_share_is_refused(awkward: nn.Module) -> None:
    model = models.load(awkward, categories=("crane", "b", "c", "d", "crane"))
    with pytest.raises(InputError, match=r"2 categories are called 'crane': \[0, 4\]"):
        model.category_index("crane")


def test_targets(model: ImageModel) -> None:
    assert model.targets("dog", 3).tolist() == [1, 1, 1]
    assert model.targets(["dog", 4, np.int64(0)], 3).tolist() == [1, 4, 0]
    assert model.targets(np.array([1, 2]), 2).tolist() == [1, 2]
    assert model.targets(torch.tensor([3]), 1).tolist() == [3]
    assert model.targets(torch.tensor(3), 2).tolist() == [3, 3]
    with pytest.raises(ShapeError, match="2 targets for 3 images"):
        model.targets([1, 2], 3)


class Wrapped(nn.Module):
    def __init__(self, network: nn.Module, kind: type) -> None:
        super().__init__()
        self.network, self.kind = network, kind

    def forward(self, x: torch.Tensor) -> object:
        logits = self.network(x)
        return {"logits": logits, "features": x} if self.kind is dict else (logits, x)


def test_a_model_that_gives_a_dict_or_tuple_asks_for_an_adapter(awkward: nn.Module) -> None:
    x = torch.zeros(1, 3, 6, 6)
    with pytest.raises(InputError, match=r"dict with the keys 'logits', 'features'.*output='logits'"):
        models.load(Wrapped(awkward, dict)).logits(x)
    with pytest.raises(InputError, match=r"tuple of 2.*output=0"):
        models.load(Wrapped(awkward, tuple)).logits(x)
    with pytest.raises(InputError, match=r"output is 'logit'.*'logits', 'features'"):
        models.load(Wrapped(awkward, dict), output="logit").logits(x)
    for adapted in (
        models.load(Wrapped(awkward, dict), output="logits"),
        models.load(Wrapped(awkward, tuple), output=0),
        models.load(Wrapped(awkward, tuple), output=lambda raw: raw[0]),
    ):
        assert torch.equal(adapted.logits(x), awkward(x))


def test_an_output_that_is_not_one_row_an_image_is_refused(awkward: nn.Module) -> None:
    with pytest.raises(ShapeError, match=r"gives shape \(2, 4, 6, 6\) for 2 images"):
        models.load(nn.Conv2d(3, 4, 3, padding=1)).logits(torch.zeros(2, 3, 6, 6))
    with pytest.raises(ShapeError, match="gives 5 logits an image, but 2 categories were named"):
        models.load(awkward, categories=("a", "b"), preprocessing=PLAIN)


def test_dtype_follows_the_model(awkward: nn.Module) -> None:
    model = models.load(awkward.double(), preprocessing=PLAIN)
    assert model.dtype == torch.float64
    assert model.prepare(np.zeros((6, 6, 3), dtype=np.uint8)).dtype == torch.float64
    half = models.load(awkward.bfloat16(), preprocessing=PLAIN)
    assert half.predict(np.zeros((6, 6, 3), dtype=np.uint8)).logits.dtype == np.float32
    assert half.predict(torch.zeros(1, 3, 6, 6)).sizes["category"] == 5


def test_the_weights_hash_sees_every_edit(model: ImageModel) -> None:
    before = model.weights_hash
    assert model.weights_hash == before
    weight = model.module.get_submodule("conv1").weight
    weight.data[0, 0, 0, 0] += 1e-3  # type: ignore[index,operator]
    edited = model.weights_hash
    assert edited != before
    weight.data[0, 0, 0, 0] -= 1e-3  # type: ignore[index,operator]
    assert len({before, edited}) == 2


def test_a_black_box_is_a_model_too() -> None:
    def brightness(inputs: torch.Tensor) -> np.ndarray:
        mean = inputs.mean((1, 2, 3)).numpy()
        return np.stack([mean, -mean], axis=1)

    box = models.load(brightness, preprocessing=PLAIN, categories=("bright", "dark"))
    found = box.predict(np.full((1, 6, 6, 3), 255, dtype=np.uint8))
    assert found.logits.values.tolist() == [[1.0, -1.0]]
    assert box.layers == {}
