"""What the perturbation methods refuse, count and keep within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from workbench import explain, models
from workbench.errors import DtypeError, InputError, Interrupted, NotFiniteError, ShapeError, UnknownNameError
from workbench.explain import Progress
from workbench.explain.random_masks import draw_masks
from workbench.explain.superpixels import superpixels
from workbench.models import ImageModel, Preprocessing

SMALL: dict[str, dict[str, Any]] = {
    "rise": {"masks": 40, "cells": 4},
    "lime": {"samples": 30, "segments": 6},
    "kernel_shap": {"samples": 30, "segments": 6},
    "hipe": {"cells": 4, "levels": 2},
    "hierarchical_occlusion": {"patch": 3},
    "score_cam": {},
    "meaningful_perturbation": {"iterations": 5},
    "extremal_perturbation": {"iterations": 5},
}


class Counting(nn.Module):
    """Counts what goes through it, and the most at a time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.head = nn.Linear(5, 3)
        self.inputs, self.most = 0, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.inputs += len(x)
        self.most = max(self.most, len(x))
        logits: torch.Tensor = self.head(torch.relu(self.conv(x)).mean((2, 3)))
        return logits


@pytest.fixture
def model() -> ImageModel:
    return models.load(Counting().eval(), preprocessing=Preprocessing(resize=(18, 20), mean=0.5, std=0.25))


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(2, 3, 18, 20, generator=torch.Generator().manual_seed(1))


def run(name: str, model: ImageModel, inputs: Any, **parameters: Any) -> Any:
    return explain.explain(name, model, inputs, **{**SMALL[name], **parameters})


@pytest.mark.parametrize("name", SMALL)
def test_evaluations_are_counted_and_bounded(name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    """The attribute says what the network saw, but for predictions, the layer maps and checks of gradients."""
    reports: list[Progress] = []
    before = model.module.inputs
    found = run(name, model, inputs, batch_size=4, progress=reports.append)
    seen = model.module.inputs - before  # type: ignore[operator]
    assert model.module.most <= 4  # type: ignore[operator]
    # two predictions, and one of them again; a check for gradients; the wholly hidden images; the maps, and the default
    # layer by two traces
    own = {"meaningful_perturbation": 3 + 1 + 2, "extremal_perturbation": 3 + 1, "score_cam": 3 + 2}.get(name, 3)
    traced = range(3) if name == "score_cam" else range(1)
    assert seen - found.attrs["evaluations"] - own in traced
    assert reports[-1].done == found.attrs["evaluations"]


@pytest.mark.parametrize("name", ["rise", "lime", "hipe", "hierarchical_occlusion", "score_cam"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_batch_size_changes_nothing(name: str, batch_size: int, model: ImageModel, inputs: torch.Tensor) -> None:
    wanted = run(name, model, inputs, target=1, batch_size=32)
    found = run(name, model, inputs, target=1, batch_size=batch_size)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("name", ["rise", "lime", "hipe", "hierarchical_occlusion", "score_cam"])
def test_partial_maps_hold_what_is_known(name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    reports: list[Progress] = []
    run(name, model, inputs, batch_size=4, progress=reports.append)
    first = reports[0].partial
    assert first is not None
    assert np.isnan(first[1]).all(), "the second image has not begun"
    assert first.attrs["evaluations"] == reports[0].done < reports[-1].done
    totals = [report.total for report in reports]
    assert all(report.done <= report.total for report in reports)
    assert totals == sorted(totals, reverse=True), "the most that is left never grows"


@pytest.mark.parametrize("name", ["meaningful_perturbation", "extremal_perturbation"])
def test_masks_are_shares_and_can_be_watched(name: str, model: ImageModel, inputs: torch.Tensor) -> None:
    reports: list[Progress] = []
    found = run(name, model, inputs, progress=reports.append)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert len(reports) == 5
    assert all(report.partial is not None and np.isfinite(report.partial).all() for report in reports)
    answers = iter([False, False, True])
    with pytest.raises(Interrupted, match="after 4 of 10 evaluations"):
        run(name, model, inputs, stop=lambda: next(answers))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("rise", {"masks": 0}, "masks is 0"),
        ("rise", {"cells": 19}, "cells is 19; expected 1 to 18"),
        ("rise", {"keep": 1.0}, "keep is 1.0"),
        ("rise", {"normalisation": "mean"}, "expected 'coverage' or 'expectation'"),
        ("rise", {"masks": 1, "keep": 0.05}, "pixels are kept by none of the 1 masks"),
        ("rise", {"batch_size": 0}, "batch_size is 0"),
        ("lime", {"samples": 0}, "samples is 0"),
        ("lime", {"segments": 1}, "segments is 1"),
        ("lime", {"superpixels": np.zeros((18, 20), int)}, "one single superpixel"),
        ("kernel_shap", {"samples": 5}, "two more than there are superpixels"),
        ("hipe", {"cells": 0}, "cells is 0; expected 1 to 18"),
        ("hipe", {"levels": 0}, "levels is 0"),
        ("hierarchical_occlusion", {"patch": 5, "levels": 3}, "patch of 20 pixels does not fit"),
        ("hierarchical_occlusion", {"patch": 2, "stride": 3}, "would leave pixels that no patch covers"),
        ("hierarchical_occlusion", {"stride": 0}, "at least 1 pixel"),
        ("hierarchical_occlusion", {"threshold": 1.5}, "threshold is 1.5"),
        ("hierarchical_occlusion", {"levels": 0}, "levels is 0"),
        ("hierarchical_occlusion", {"budget": 1}, "the coarsest level alone takes"),
        ("score_cam", {"layer": "head"}, "needs maps"),
        ("score_cam", {"weights": "mean"}, "expected 'increase' or 'softmax'"),
        ("meaningful_perturbation", {"iterations": 0}, "iterations is 0"),
        ("meaningful_perturbation", {"area_weight": -1.0}, "expected at least 0"),
        ("meaningful_perturbation", {"cells": 19}, "cells is 19; expected 2 to 18"),
        ("extremal_perturbation", {"areas": ()}, "between 0 and 1"),
        ("extremal_perturbation", {"areas": (0.1, 1.0)}, "between 0 and 1"),
        ("extremal_perturbation", {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_numbers_that_cannot_be_used(
    name: str, parameters: dict[str, Any], message: str, model: ImageModel, inputs: torch.Tensor
) -> None:
    with pytest.raises(InputError, match=message):
        run(name, model, inputs, **parameters)


def test_types_and_names_that_cannot_be_used(model: ImageModel, inputs: torch.Tensor) -> None:
    with pytest.raises(DtypeError, match="expected a sequence of shares"):
        run("extremal_perturbation", model, inputs, areas=0.1)
    with pytest.raises(UnknownNameError, match="Did you mean 'slic'"):
        run("lime", model, inputs, superpixels="slick")
    with pytest.raises(ShapeError, match=r"expected \(18, 20\) or \(2, 18, 20\)"):
        run("lime", model, inputs, superpixels=np.zeros((3, 3), int))
    with pytest.raises(DtypeError, match="superpixels has dtype float64"):
        run("lime", model, inputs, superpixels=np.zeros((18, 20)))
    with pytest.raises(UnknownNameError, match="Did you mean 'conv'"):
        run("score_cam", model, inputs, layer="convv")
    with pytest.raises(UnknownNameError, match="Did you mean 'blur'"):
        run("hipe", model, inputs, baseline="blurr")


@pytest.mark.parametrize("name", ["meaningful_perturbation", "extremal_perturbation"])
def test_black_boxes_have_no_gradient(name: str, inputs: torch.Tensor) -> None:
    class Box(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.detach().mean((1, 2, 3)), x.detach().amax((1, 2, 3))], dim=1)

    with pytest.raises(InputError, match="No gradient leads through"):
        run(name, models.load(Box().eval()), inputs)
    for other in ("rise", "lime", "kernel_shap", "hipe", "hierarchical_occlusion"):
        assert np.isfinite(run(other, models.load(Box().eval()), inputs)).all()


@pytest.mark.parametrize("name", ["rise", "lime", "kernel_shap", "hipe", "hierarchical_occlusion"])
def test_nan_under_a_mask_is_refused(name: str, inputs: torch.Tensor) -> None:
    """A model that gives NaN only where the image was changed."""

    class Fragile(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            total = x.mean((1, 2, 3))
            broken = ~(x[:, :, :4, :4] == inputs[0, :, :4, :4]).all(3).all(2).all(1)
            return torch.stack([total, torch.where(broken, torch.nan, total)], dim=1)

    with pytest.raises(NotFiniteError, match="gives NaN"):
        run(name, models.load(Fragile().eval(), name="fragile"), inputs[:1])


def test_hierarchical_budget(model: ImageModel, inputs: torch.Tensor) -> None:
    reports: list[Progress] = []
    options = {"target": 0, "patch": 2, "threshold": 0.0}
    everything = run("hierarchical_occlusion", model, inputs, **options)
    coarse = run("hierarchical_occlusion", model, inputs, **options, budget=16, progress=reports.append)
    some = run("hierarchical_occlusion", model, inputs, **options, budget=100)
    assert coarse.evaluations.values.tolist() == [16, 16]
    assert reports[-1].done == reports[-1].total
    assert some.evaluations.values.tolist() == [100, 100]
    assert (everything.level == 0).all()
    assert (coarse.level >= some.level).all()
    assert int(coarse.level.min()) > 0


def test_random_masks_are_what_was_asked_for() -> None:
    masks = draw_masks(4000, cells=5, keep=0.3, size=(21, 26), seed=1)
    large = torch.cat([masks.enlarged(start, start + 500) for start in range(0, 4000, 500)])
    assert large.shape == (4000, 21, 26)
    assert 0 <= float(large.min()) <= float(large.max()) <= 1
    # the mean of a pixel over 4000 masks, each a mixture of independent cells: five standard errors
    assert float((large.mean(0) - 0.3).abs().max()) < 5 * (0.3 * 0.7 / 4000) ** 0.5
    assert not torch.equal(large, draw_masks(4000, cells=5, keep=0.3, size=(21, 26), seed=2).enlarged(0, 4000))


@pytest.mark.parametrize("kind", ["slic", "quickshift"])
def test_superpixels_follow_colours(kind: str) -> None:
    """A picture of four flat quarters: no part crosses their borders."""
    colours = torch.tensor([[1.5, -1.0, 0.3], [-1.5, 1.0, 0.0], [0.0, 1.5, -1.5], [1.0, 1.0, 1.0]])
    picture = torch.zeros(1, 3, 40, 40)
    quarter = (torch.arange(40)[:, None] // 20) * 2 + torch.arange(40) // 20
    picture[0] = colours[quarter].permute(2, 0, 1)
    model = models.load(Counting().eval(), preprocessing=Preprocessing(mean=0.5, std=0.25))
    parts = superpixels(explain.ask(model, picture), kind, segments=16)
    assert parts.shape == (1, 40, 40)
    assert sorted(np.unique(parts)) == list(range(parts.max() + 1))
    for part in range(parts.max() + 1):
        shares = np.bincount(quarter.numpy()[parts[0] == part], minlength=4)
        assert shares.max() >= 0.9 * shares.sum()
