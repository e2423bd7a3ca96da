"""Networks and images that no explainer can use, or must use with care: every registered one says so, or holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext as no_warning
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from torch import nn

from workbench import explain, models
from workbench.errors import InputError, NotDeterministicError, NotFiniteError, ShapeError
from workbench.models import ImageModel, Preprocessing

NAMES = sorted(explain.explainers)
# what asks again where the image was changed
PERTURBATION = sorted(
    set(NAMES) - {"deeplift", "gradcam", "input_x_gradient", "integrated_gradients", "saliency", "smoothgrad"}
)
LATTICES = ("occlusion", "incremental_occlusion", "hierarchical_occlusion")
GRADIENTS = ("meaningful_perturbation", "extremal_perturbation")
Run = Callable[..., xr.DataArray]


class Wrapped(nn.Module):
    """A network around another one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x)


class Boxed(Wrapped):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": x, "logits": self.inner(x)}


class Paired(Wrapped):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner(x), x


class Drawing(Wrapped):
    """A dropout that is on whatever the mode."""

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(nn.functional.dropout(x, 0.3, training=True))


class Together(Wrapped):
    """Normalises over the images of a batch."""

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x - x.mean(dim=0, keepdim=True) if len(x) > 1 else x)


class Branching(Wrapped):
    def forward(self, x: torch.Tensor) -> Any:
        y = self.inner(x)
        return y if y.sum() > -1e9 else 2 * y


class Shifting(Wrapped):
    """Holds tensors that no state dict knows."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.register_buffer("shift", torch.zeros(3, 1, 1), persistent=False)
        self.scale = torch.ones(3, 1, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x * self.scale + self.shift)


def around(model: ImageModel, kind: type[Wrapped], **changes: Any) -> ImageModel:
    return replace(model, module=kind(model.module).eval(), **changes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [Drawing, Together])
def test_a_network_that_answers_differently_is_refused(
    run: Run, name: str, kind: type[Wrapped], model: ImageModel, inputs: torch.Tensor
) -> None:
    with pytest.raises(NotDeterministicError, match="gives different answers to the same image"):
        run(name, around(model, kind), inputs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "output"), [(Boxed, "logits"), (Paired, 0)])
def test_an_adapter_is_asked_for_by_name(
    run: Run, name: str, kind: type[Wrapped], output: str | int, model: ImageModel, inputs: torch.Tensor
) -> None:
    with pytest.raises(InputError, match=r"'residual' gives a (dict|tuple).*models\.load\(\.\.\., output="):
        run(name, around(model, kind), inputs[:1])
    own = {"layer": "inner.conv3"} if name in ("gradcam", "score_cam") else {}
    plain = {"layer": "conv3"} if own else {}
    found = run(name, around(model, kind, output=output), inputs[:1], target=1, **own)
    wanted = run(name, model, inputs[:1], target=1, **plain)
    np.testing.assert_allclose(found.signed, wanted.signed, atol=1e-4 * float(np.abs(wanted.signed).max()))


@pytest.mark.parametrize("name", ["occlusion", "incremental_occlusion", "hierarchical_occlusion", "rise", "lime"])
@pytest.mark.filterwarnings("ignore:'residual' cannot be traced:UserWarning")  # which is tested by itself
def test_control_flow_that_depends_on_data(run: Run, name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    found, wanted = (run(name, chosen, inputs, target=1) for chosen in (around(model, Branching), model))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * float(np.abs(wanted).max()))
    if name == "occlusion":
        assert found.attrs["passes"] == "plain"
        assert "control flow" in found.attrs["passes_reason"]
    if name == "incremental_occlusion":
        assert found.attrs["engine"] == "dense"
        assert "control flow" in found.attrs["engine_reason"]


@pytest.mark.parametrize("name", LATTICES)
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"patch": 30}, "patch of .* pixels does not fit into an image of"),
        ({"patch": (4, 30)}, "patch of .* pixels does not fit into an image of"),
        ({"patch": 0}, "at least 1 pixel"),
        ({"patch": 4, "stride": 0}, "at least 1 pixel"),
        ({"patch": 4, "stride": (0, 1)}, "at least 1 pixel"),
        ({"patch": 4, "stride": -1}, "at least 1 pixel"),
        ({"patch": 4, "stride": 5}, "no patch covers"),
    ],
)
def test_windows_that_cannot_be_laid(
    run: Run, name: str, sizes: dict[str, Any], message: str, model: ImageModel, inputs: torch.Tensor
) -> None:
    with pytest.raises(InputError, match=message):
        run(name, model, inputs, **sizes)


@pytest.mark.parametrize("name", PERTURBATION)
def test_nan_only_where_the_image_was_changed(run: Run, name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    class Fragile(Wrapped):
        def forward(self, x: torch.Tensor) -> Any:
            original = inputs[:1].to(x)
            known = (x == original).flatten(1).all(1) | (x == original.flip(3)).flatten(1).all(1)
            return torch.where(known[:, None], self.inner(x), torch.nan)

    chosen = around(model, Fragile)
    own = {"layer": "inner.conv3"} if name == "score_cam" else {}
    with pytest.raises(NotFiniteError, match="'residual' gives NaN"):
        run(name, chosen, inputs[:1], **own)


@pytest.mark.parametrize("name", NAMES)
def test_images_of_different_sizes(run: Run, name: str, model: ImageModel, tmp_path: Path) -> None:
    free = replace(model, preprocessing=Preprocessing(mean=0.5, std=0.25))
    with pytest.raises(ShapeError, match="different shapes"):
        run(name, free, [np.zeros((height, 24, 3), np.uint8) for height in (20, 30)])
    for height in (20, 30):
        Image.new("RGB", (24, height)).save(tmp_path / f"{height}.png")
    with pytest.raises(ShapeError, match="different sizes"):
        run(name, free, sorted(tmp_path.glob("*.png")))


@pytest.mark.parametrize("name", NAMES)
def test_an_edited_weight_does_not_survive(run: Run, name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    """The same object, before and after an edit in place, against a network that never knew other weights."""
    shifting = around(model, Shifting)
    own = {"layer": "inner.conv3"} if name in ("gradcam", "score_cam") else {}
    before = run(name, shifting, inputs[:1], target=1, **own).signed.values

    def edits() -> list[Callable[[ImageModel], Any]]:
        return [
            lambda each: each.module.inner.head.weight.data.__imul__(1.5),
            lambda each: each.module.inner.norm.running_var.__iadd__(0.5),
            lambda each: each.module.shift.__iadd__(0.3),
            lambda each: each.module.scale.__imul__(0.7),
        ]

    for number, edit in enumerate(edits()):
        with torch.no_grad():
            edit(shifting)
        found = run(name, shifting, inputs[:1], target=1, **own).signed.values
        assert np.abs(found - before).max() > 0
        fresh = around(replace(model, module=rebuilt(shifting.module.inner)), Shifting)
        with torch.no_grad():
            for again in edits()[2 : number + 1]:
                again(fresh)
        wanted = run(name, fresh, inputs[:1], target=1, **own).signed.values
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)
        before = found


def rebuilt(module: Any) -> nn.Module:
    made: nn.Module = type(module)()
    made.load_state_dict(module.state_dict())
    return made.eval()


@pytest.mark.parametrize("name", PERTURBATION)
def test_a_black_box_is_asked_or_refused(run: Run, name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    """Only what needs gradients or layers refuses one."""
    box = models.load(lambda images: model.module(images).detach(), preprocessing=model.preprocessing, name="box")
    if name in (*GRADIENTS, "score_cam"):
        with pytest.raises(InputError):
            run(name, box, inputs[:1], target=1)
        return
    with pytest.warns(UserWarning, match="black box") if name == "incremental_occlusion" else no_warning():
        found = run(name, box, inputs[:1], target=1)
    assert np.isfinite(found).all()
    if name in LATTICES:
        wanted = run(name, model, inputs[:1], target=1)
        np.testing.assert_allclose(found, wanted, atol=1e-4 * float(np.abs(wanted).max()))
