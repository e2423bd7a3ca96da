"""What belongs to one method alone: partial maps, layers, steps, black boxes."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from workbench import explain, models
from workbench.errors import InputError, Interrupted, UnknownNameError
from workbench.explain import Progress
from workbench.explain.fast_dense import MANY
from workbench.explain.gradcam import default_layer
from workbench.explain.occlusion import plan
from workbench.models import ImageModel, Preprocessing


class Shared(nn.Module):
    def __init__(self, *, traceable: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3)
        self.traceable = traceable

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        if not self.traceable and x.max() > 1e9:
            x = x * 2
        out: torch.Tensor = self.head(x.mean((2, 3)))
        return out


def load(module: nn.Module) -> ImageModel:
    return models.load(module, preprocessing=Preprocessing(resize=(12, 12)))


@pytest.fixture
def model() -> ImageModel:
    torch.manual_seed(0)
    return load(Shared())


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_occlusion_shows_partial_maps_that_end_as_the_result(model: ImageModel, inputs: torch.Tensor) -> None:
    reports: list[Progress] = []
    found = explain.occlusion(model, inputs[:1], patch=4, stride=2, batch_size=5, progress=reports.append)
    assert [report.done for report in reports] == [5, 10, 15, 20, 25]
    holes = [int(np.isnan(report.partial).sum()) for report in reports]  # type: ignore[arg-type]
    assert holes[0] > 0 == holes[-1]
    assert holes == sorted(holes, reverse=True)
    np.testing.assert_array_equal(reports[-1].partial, found)  # type: ignore[arg-type]


def test_occlusion_never_runs_more_than_a_batch(inputs: torch.Tensor) -> None:
    sizes: list[int] = []

    def box(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return images.mean((2, 3))

    explain.occlusion(models.load(box), inputs, patch=4, stride=2, batch_size=7)
    assert max(sizes) == 7
    assert sum(sizes) == 2 + 1 + 2 * 25  # the predictions, one of them again, and the windows


def test_occlusion_explains_a_black_box_exactly(inputs: torch.Tensor) -> None:
    """A score that adds up pixels is explained by what each window adds."""
    weights = torch.randn(12, 12, generator=torch.Generator().manual_seed(1))

    def box(images: torch.Tensor) -> torch.Tensor:
        score = (images.sum(1) * weights).sum((1, 2))
        return torch.stack([score, -score], 1)

    found = explain.occlusion(models.load(box), inputs, target=0, patch=1, stride=1)
    np.testing.assert_allclose(found, inputs.sum(1) * weights, atol=1e-4)
    opposite = explain.occlusion(models.load(box), inputs, target=1, patch=1, stride=1)
    np.testing.assert_allclose(opposite, -found, atol=1e-4)


class Normed(nn.Module):
    """A network with batch norms, whose answer is in a dict."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        nn.init.normal_(self.features[1].running_mean)
        nn.init.uniform_(self.features[1].running_var, 0.5, 2.0)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(self.features(x).mean((2, 3)))}


@pytest.mark.parametrize(("patch", "stride"), [(4, 2), (3, 1), (1, 1)])  # plain and traced passes
def test_occlusion_in_its_fastest_form_is_a_loop(patch: int, stride: int, inputs: torch.Tensor) -> None:
    double = models.load(Normed().double(), output="logits")
    wide = torch.cat([inputs, inputs.flip(2)], dim=3).double()
    found = explain.occlusion(double, wide, target=[2, 0], patch=patch, stride=stride)
    count = 2 * len(explain.lattice((12, 24), patch, stride))
    assert count >= 32, "else it was run as it is"
    if count < MANY:
        assert (found.attrs["passes"], found.attrs["batch_size"]) == ("traced", 8)
    for image, target in enumerate((2, 0)):
        windows = explain.lattice((12, 24), patch, stride)
        falls = []
        for y, x in windows.corners:
            changed = wide[image : image + 1].clone()
            changed[:, :, y : y + patch, x : x + patch] = 0
            both = double.logits(torch.cat([wide[image : image + 1], changed])).detach()[:, target]
            falls.append(float(both[0] - both[1]))
        wanted = windows.average(np.array(falls))
        np.testing.assert_allclose(found.signed[image], wanted.astype(np.float32), rtol=1e-5, atol=1e-9)


def test_occlusion_says_in_which_form_the_network_was_run(model: ImageModel, inputs: torch.Tensor) -> None:
    options = {"patch": 4, "stride": 2}
    found = explain.occlusion(model, inputs, **options)
    assert found.attrs["passes"] == "traced"
    assert "passes_reason" not in found.attrs
    branching = explain.occlusion(load(Shared(traceable=False)), inputs, **options)
    assert branching.attrs["passes"] == "plain"
    assert "control flow" in branching.attrs["passes_reason"]
    box = explain.occlusion(models.load(lambda images: images.mean((2, 3))), inputs, **options)
    assert box.attrs["passes_reason"] == "cannot be traced: a black box can only be asked"
    few = explain.occlusion(model, inputs, patch=6, stride=6)
    assert "does not pay" in few.attrs["passes_reason"]


def test_an_answer_does_not_depend_on_what_was_asked_before(model: ImageModel, inputs: torch.Tensor) -> None:
    few = explain.occlusion(model, inputs, patch=4, stride=2)
    many = torch.cat([inputs] * 4)
    first, again = (explain.occlusion(model, many, patch=2, stride=1) for _ in range(2))
    assert len(many) * 121 >= MANY, "else nothing was measured"
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(few, explain.occlusion(model, inputs, patch=4, stride=2))


def test_automatic_sizes(model: ImageModel, inputs: torch.Tensor) -> None:
    found = explain.occlusion(model, inputs[:1])
    assert json.loads(found.attrs["parameters"])["patch"] == [2, 2]
    assert json.loads(found.attrs["parameters"])["stride"] == [1, 1]
    found = explain.occlusion(model, inputs[:1], patch=(6, 4))
    assert json.loads(found.attrs["parameters"])["stride"] == [3, 2]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"patch": 13}, "patch of 13 pixels does not fit into an image of 12"),
        ({"patch": 4, "stride": 0}, "stride is 0; expected at least 1"),
        ({"patch": 4, "stride": 5}, "no patch covers"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_unusable_occlusion(parameters: dict[str, int], message: str, model: ImageModel, inputs: torch.Tensor) -> None:
    with pytest.raises(InputError, match=message):
        explain.occlusion(model, inputs, **parameters)  # type: ignore[arg-type]


def test_the_plan_asks_each_pair_once() -> None:
    windows = explain.lattice(12, 4, 3)
    pairs = [(i, w) for images, chosen in plan(3, windows, 10) for i, w in zip(images, chosen, strict=True)]
    assert sorted(pairs) == [(i, w) for i in range(3) for w in range(len(windows))]


def test_a_stop_before_the_first_batch(model: ImageModel, inputs: torch.Tensor) -> None:
    with pytest.raises(Interrupted, match="after 0 of"):
        explain.occlusion(model, inputs, stop=lambda: True)


@pytest.mark.parametrize("name", ["saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "deeplift"])
def test_gradient_methods_refuse_a_black_box(name: str, inputs: torch.Tensor) -> None:
    box = models.load(lambda images: images.mean((2, 3)).detach())
    with pytest.raises(InputError, match="No gradient leads through"):
        explain.explain(name, box, inputs)


def test_integrated_gradients_add_up(model: ImageModel, inputs: torch.Tensor) -> None:
    found = explain.integrated_gradients(model, inputs, steps=200)
    assert float(np.abs(found.completeness_gap).max()) < 1e-3
    start = model.logits(torch.zeros_like(inputs)).detach().numpy()[[0, 1], found.target]
    np.testing.assert_allclose(found.sum(("y", "x")), found.reference - start, atol=1e-3)


@pytest.mark.parametrize("name", ["integrated_gradients", "smoothgrad"])
def test_refused_counts(name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    parameter = "steps" if name == "integrated_gradients" else "samples"
    with pytest.raises(InputError, match=f"{parameter} is 0"):
        explain.explain(name, model, inputs, **{parameter: 0})


def test_smoothgrad_refuses_no_noise(model: ImageModel, inputs: torch.Tensor) -> None:
    with pytest.raises(InputError, match="noise is 0"):
        explain.smoothgrad(model, inputs, noise=0)


def test_deeplift_adds_up_with_a_shared_in_place_activation(model: ImageModel, inputs: torch.Tensor) -> None:
    for baseline in ("black", "mean", "noise"):
        found = explain.deeplift(model, inputs, baseline=baseline)
        assert float(np.abs(found.completeness_gap).max()) < 1e-5


def test_deeplift_refuses_what_it_cannot_rewrite(inputs: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"'relu' is called several times.*control flow depends on data"):
        explain.deeplift(load(Shared(traceable=False)), inputs)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv(x), inplace=True), 3, 2, 1, ceil_mode=True)
        x = torch.tanh(x) + nn.functional.silu(x) + x.sigmoid() + nn.functional.leaky_relu(x, 0.2, True)
        out: torch.Tensor = self.head(x.mean((2, 3)))
        return out


def test_deeplift_gives_functions_their_rule(inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    found = explain.deeplift(load(Functional()), inputs)
    assert float(np.abs(found.completeness_gap).max()) < 1e-5


def test_gradcam_takes_the_last_layer_with_maps(model: ImageModel, inputs: torch.Tensor) -> None:
    assert default_layer(model) == "conv2"  # the activation behind it is shared, so it cannot be named
    assert json.loads(explain.gradcam(model, inputs).attrs["parameters"]) == {"layer": "conv2"}
    networks = {
        "resnet18": "layer4",
        "vgg11": "features.19",
        "densenet121": "features",
        "squeezenet1_1": "classifier.2",
    }
    for name, layer in networks.items():
        assert default_layer(models.load(name, weights="random")) == layer


def test_gradcam_refuses_layers_without_maps(model: ImageModel, inputs: torch.Tensor) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'conv2', 'conv1'"):
        explain.gradcam(model, inputs, layer="conv3")
    with pytest.raises(InputError, match=r"'relu' is called several times .* would be 'conv2'"):
        explain.gradcam(model, inputs, layer="relu")
    with pytest.raises(InputError, match="called several times"):
        explain.gradcam(model, inputs, layer="relu:1")
    with pytest.raises(InputError, match=r"gives shape \(3,\); Grad-CAM needs maps"):
        explain.gradcam(model, inputs, layer="head")
    with pytest.raises(InputError, match="no convolution with a map larger"):
        explain.gradcam(load(nn.Sequential(nn.Flatten(), nn.Linear(432, 2))), inputs)


class Counting(Shared):
    """Notes how many images it is given; a copy notes them in the same place."""

    seen: ClassVar[list[int]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        return super().forward(x)


@pytest.mark.parametrize(("name", "more"), [("saliency", 0), ("input_x_gradient", 0), ("gradcam", 2)])
def test_one_gradient_is_one_pass(name: str, more: int, inputs: torch.Tensor) -> None:
    """The pass that explains is the prediction too; one image is asked for again (Grad-CAM also finds its layer)."""
    torch.manual_seed(0)
    model = load(Counting())
    Counting.seen.clear()
    found = explain.explain(name, model, inputs, batch_size=1)
    assert sum(Counting.seen) == len(inputs) + 1 + more
    logits = model.predict(inputs)["logits"].values
    np.testing.assert_array_equal(found["target"], logits.argmax(1))
    np.testing.assert_allclose(found["reference"], logits.max(1), rtol=1e-5)


@pytest.mark.parametrize("name", ["saliency", "input_x_gradient", "gradcam"])
def test_a_target_that_only_the_answer_rules_out_is_refused(name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    assert not model.categories
    with pytest.raises(InputError, match=r"Target 3 does not exist: .* has 3 categories, 0 to 2"):
        explain.explain(name, model, inputs, target=[0, 3])


def test_a_question_may_be_asked_before_it_is_answered(inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = load(Counting())
    Counting.seen.clear()
    later = explain.ask(model, inputs, target=[2, 0], score="probability", predict=False)
    assert Counting.seen == []
    now = explain.ask(model, inputs, target=[2, 0], score="probability")
    torch.testing.assert_close(later.reference, now.reference)
    assert later.reference is later.reference
    assert later.targets.tolist() == now.targets.tolist() == [2, 0]
    Counting.seen.clear()
    assert (
        explain.ask(model, inputs, predict=False).targets.tolist() == model.predict(inputs)["predicted"].values.tolist()
    )
    assert Counting.seen, "without a target there is no way round the prediction"
