"""incremental_occlusion and its plan: the same map as dense, and what happens where boxes are of no use."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from workbench import models
from workbench.errors import (
    DtypeError,
    InputError,
    Interrupted,
    NotDeterministicError,
    NotFiniteError,
    ShapeError,
    UnknownNameError,
)
from workbench.explain.fast_dense import MANY, Choice, FastDense, Form
from workbench.explain.incremental import (
    IncrementalEngine,
    UntraceableError,
    incremental_occlusion,
    network_of,
    plan_incremental,
)
from workbench.explain.incremental.boxes import divide
from workbench.explain.lattice import positions
from workbench.explain.occlusion import occlusion
from workbench.explain.window_fills import hide_windows


class Small(nn.Module):
    """Two convolutions and a mean: a network in which changes stay local."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Branching(Small):
    """Control flow that depends on data."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if y.sum() > 0 else 2 * y


class Attentive(Small):
    """Everything sees everything, from the first layer on."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(x))


class Noisy(Small):
    """Random although it is in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand(5)


class Boxed(Small):
    """The logits are in a dict."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": super().forward(x)}


def model_of(kind: type[nn.Module] = Small, **arguments: object) -> models.ImageModel:
    torch.manual_seed(0)
    return models.load(kind().eval(), **arguments)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 24, 33, generator=torch.Generator().manual_seed(1))


def windows_of(size: tuple[int, int], patch: int, stride: int) -> np.ndarray:
    corners = positions(size, patch, stride)
    return np.concatenate([corners, np.full_like(corners, patch)], axis=1)


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("baseline", ["zero", "mean", "blur", "noise", "inpaint", "hidden_mean"])
@pytest.mark.parametrize("engine", ["auto", "incremental", "dense"])
def test_the_map_of_dense_occlusion(images: Tensor, score: str, baseline: str, engine: str) -> None:
    model = model_of()
    arguments = {"patch": (5, 7), "stride": (3, 4), "score": score, "baseline": baseline, "target": [1, 3]}
    expected = occlusion(model, images, **arguments)
    found = incremental_occlusion(model, images, engine=engine, **arguments)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dims == ("image", "y", "x")
    assert found.attrs["method"] == "incremental_occlusion"
    assert list(found["target"].values) == [1, 3]


def test_equal_to_captum(images: Tensor) -> None:
    from captum.attr import Occlusion

    model = model_of()
    size = (24, 32)  # captum cuts the last window off where it does not fit; ours is moved back
    inputs = images[:, :, : size[0], : size[1]]
    theirs = Occlusion(model.module).attribute(inputs, (3, 8, 8), (3, 4, 4), baselines=0, target=2)
    ours = incremental_occlusion(model, inputs, patch=8, stride=4, target=2, engine="incremental")
    scale = float(theirs.abs().max())
    np.testing.assert_allclose(ours, theirs[:, 0].detach().numpy(), atol=1e-4 * scale)


def test_control_flow_that_depends_on_data_is_dense_and_says_so(images: Tensor) -> None:
    model = model_of(Branching)
    with pytest.warns(UserWarning, match=r"cannot be traced.*dense"):
        found = incremental_occlusion(model, images, patch=8, stride=8)
    np.testing.assert_allclose(found, occlusion(model, images, patch=8, stride=8), atol=1e-6)
    assert found.attrs["engine"] == "dense"
    with pytest.raises(InputError, match="cannot be traced"):
        incremental_occlusion(model, images, patch=8, stride=8, engine="incremental")
    plan = plan_incremental(model, size=(24, 33), patch=8, stride=8)
    assert not plan.pays
    assert "cannot be traced" in plan.dense_layers[0][1]


@pytest.mark.parametrize("raised", [KeyError, AssertionError, ZeroDivisionError])
def test_whatever_a_network_raises_when_it_is_traced(raised: type[Exception], images: Tensor) -> None:
    class Touchy(Small):
        def forward(self, x: Tensor) -> Tensor:
            if not isinstance(x, Tensor):
                raise raised("symbols")
            return super().forward(x)

    model = model_of(Touchy)
    with pytest.warns(UserWarning, match=rf"{raised.__name__}.*dense"):
        found = incremental_occlusion(model, images, patch=8, stride=4)
    assert found.attrs["engine"] == "dense"
    np.testing.assert_allclose(found, incremental_occlusion(model_of(), images, patch=8, stride=4), atol=1e-5)


def test_a_black_box_is_dense_and_asked_no_more_than_it_must_be(images: Tensor) -> None:
    network, asked = model_of().module, []

    def box(inputs: Tensor) -> Tensor:
        asked.append(len(inputs))
        return network(inputs)

    with pytest.warns(UserWarning, match="a black box can only be asked"):
        found = incremental_occlusion(models.load(box), images, patch=3, stride=1)
    count = len(positions((24, 33), 3, 1))
    assert sum(asked) == 2 * (count + 1) + 2 + 1  # and the predictions, one of them twice
    np.testing.assert_allclose(found, incremental_occlusion(model_of(), images, patch=3, stride=1), atol=1e-5)


def test_dense_is_chosen_where_boxes_do_not_pay(images: Tensor) -> None:
    model = model_of(Attentive)
    plan = plan_incremental(model, size=(24, 33), patch=8, stride=8)
    assert plan.dense_layers[0] == ("norm", "GroupNorm may read the whole map")
    assert not plan.pays
    found = incremental_occlusion(model, images, patch=8, stride=8)
    assert found.attrs["engine"] == "dense"
    np.testing.assert_allclose(found, occlusion(model, images, patch=8, stride=8), atol=1e-6)


def test_forcing_the_incremental_way_is_still_exact_behind_a_layer_that_sees_everything(images: Tensor) -> None:
    model = model_of(Attentive)
    found = incremental_occlusion(model, images, patch=8, stride=8, engine="incremental")
    np.testing.assert_allclose(found, occlusion(model, images, patch=8, stride=8), atol=1e-6)


def test_a_model_that_returns_a_dict(images: Tensor) -> None:
    model = model_of(Boxed, output="logits")
    found = incremental_occlusion(model, images, patch=8, stride=8, engine="incremental")
    np.testing.assert_allclose(found, occlusion(model, images, patch=8, stride=8), atol=1e-6)


def test_the_plan_counts_what_is_computed() -> None:
    plan = plan_incremental(model_of(), size=(64, 64), patch=8, stride=8)
    assert plan.positions == 64
    assert 0 < plan.forward_equivalents < 32
    assert plan.pays
    assert plan.seconds is not None
    assert plan.seconds > 0
    chosen = np.concatenate([part for part, _, _ in plan.parts()])
    assert set(chosen.tolist()) == set(range(64))


def test_a_smaller_limit_makes_smaller_batches(images: Tensor) -> None:
    windows = windows_of((24, 33), 8, 4)
    module = model_of().module
    large, small = (IncrementalEngine(module, images[0], memory_limit=limit).plan(windows) for limit in (2**29, 2**17))
    assert small.batch < large.batch
    assert small.memory <= 2**17
    fill = torch.zeros(3, 24, 33)
    first = IncrementalEngine(module, images[0]).scores(windows, fill, plan=large)
    second = IncrementalEngine(module, images[0]).scores(windows, fill, plan=small)
    torch.testing.assert_close(first, second)


def test_an_edited_weight_is_seen(images: Tensor) -> None:
    model = model_of()
    before = incremental_occlusion(model, images, patch=8, stride=8, target=0)
    model.module.features[0].weight.data.mul_(-1.5)  # .data moves no version counter
    after = incremental_occlusion(model, images, patch=8, stride=8, target=0)
    np.testing.assert_allclose(after, occlusion(model, images, patch=8, stride=8, target=0), atol=1e-6)
    assert float(abs(after - before).max()) > 1e-3


def test_a_replaced_activation_is_seen(images: Tensor) -> None:
    model = model_of()
    incremental_occlusion(model, images, patch=8, stride=8, target=0)
    model.module.features[2] = nn.Tanh().eval()
    after = incremental_occlusion(model, images, patch=8, stride=8, target=0)
    np.testing.assert_allclose(after, occlusion(model, images, patch=8, stride=8, target=0), atol=1e-6)


def test_the_network_is_left_as_it_was(images: Tensor) -> None:
    model = model_of()
    state = {name: value.clone() for name, value in model.module.state_dict().items()}
    incremental_occlusion(model, images, patch=8, stride=8)
    assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())
    assert model.module.features[2].inplace
    assert all(parameter.requires_grad for parameter in model.module.parameters())


def test_trimming_measures_its_error(images: Tensor) -> None:
    model = model_of()
    exact = incremental_occlusion(model, images, patch=4, stride=4, engine="incremental")
    nothing = incremental_occlusion(model, images, patch=4, stride=4, engine="incremental", trim=0.0)
    some = incremental_occlusion(model, images, patch=4, stride=4, engine="incremental", exact=False)
    much = incremental_occlusion(model, images, patch=4, stride=4, engine="incremental", trim=1.0)
    np.testing.assert_allclose(nothing, exact, atol=1e-6)
    assert nothing.attrs["trim_error_largest"] < 1e-5
    assert nothing.attrs["trim_checked"] == 32
    assert some.attrs["trim_error_largest"] < much.attrs["trim_error_largest"]
    assert 0 < much.attrs["trim_error_root_mean_square"] <= much.attrs["trim_error_largest"]
    assert "trim_checked" not in exact.attrs


def test_progress_and_stopping(images: Tensor) -> None:
    reports = []
    model = model_of()
    incremental_occlusion(model, images, patch=4, stride=4, progress=reports.append)
    assert reports[-1].done == reports[-1].total == 2 * len(positions((24, 33), 4, 4))
    assert not np.isnan(reports[-1].partial).any()
    with pytest.raises(Interrupted):
        incremental_occlusion(model, images, patch=4, stride=4, stop=lambda: True)


def test_bfloat16_is_near_float32(images: Tensor) -> None:
    model = model_of()
    exact = incremental_occlusion(model, images, patch=8, stride=8, target=0)
    model.module.bfloat16()
    rough = incremental_occlusion(model, images, patch=8, stride=8, target=0, engine="incremental")
    reference = occlusion(model, images, patch=8, stride=8, target=0)
    scale = float(abs(exact).max())
    # no worse than bfloat16 is by itself, within its own noise
    error, own = float(abs(rough - exact).max()), float(abs(reference - exact).max())
    assert error < 2 * own + 0.02 * scale


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"patch": 40}, InputError, "does not fit"),
        ({"patch": 8, "stride": 0}, InputError, "stride"),
        ({"exact": True, "trim": 0.1}, InputError, "not exact"),
        ({"trim": -1.0}, InputError, "at least 0"),
        ({"engine": "fast"}, InputError, "engine"),
        ({"memory_limit": 0}, InputError, "memory_limit"),
        ({"target": 9}, (InputError, UnknownNameError), "9"),
        ({"baseline": "grey"}, UnknownNameError, "grey"),
    ],
)
def test_bad_input(images: Tensor, arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        incremental_occlusion(model_of(), images, **{"patch": 8, "stride": 8, **arguments})


def test_a_network_that_is_not_still_is_refused(images: Tensor) -> None:
    training = model_of()
    training.module.train()
    with pytest.raises(NotDeterministicError, match="training mode"):
        incremental_occlusion(training, images, patch=8, stride=8)
    with pytest.raises(NotDeterministicError, match="training mode"):
        IncrementalEngine(training.module, images[0])
    with pytest.raises(NotDeterministicError, match="different answers"):
        incremental_occlusion(model_of(Noisy), images, patch=8, stride=8)


def test_a_network_that_gives_nan_is_refused(images: Tensor) -> None:
    model = model_of()
    model.module.head.bias.data[1] = float("nan")
    with pytest.raises(NotFiniteError):
        incremental_occlusion(model, images, patch=8, stride=8)


def test_the_plan_wants_a_model() -> None:
    with pytest.raises(DtypeError, match="load"):
        plan_incremental(Small().eval())


class TestEngine:
    def test_any_windows_in_any_order(self, images: Tensor) -> None:
        module = model_of().module
        windows = np.array([[3, 4, 10, 2], [0, 0, 1, 1], [20, 20, 4, 13], [0, 0, 24, 33], [3, 4, 10, 2]])
        fill = torch.randn(3, 24, 33)
        engine = IncrementalEngine(module, images[0])
        with torch.inference_mode():
            expected = module(hide_windows(images[0], fill, windows))
        torch.testing.assert_close(engine.scores(windows, fill), expected)
        assert engine.scores(windows[:0], fill).shape == (0, 5)
        assert engine.cost(windows[:0]) == 0.0
        assert engine.cost(windows[1:2]) < engine.cost(windows[3:4])

    def test_the_change_of_a_layer(self, images: Tensor) -> None:
        module = model_of().module
        windows = windows_of((24, 33), 5, 5)
        fill = torch.zeros(3, 24, 33)
        engine = IncrementalEngine(module, images[0], keep=["features.4", "features"])
        for layer, part in (("features.4", module.features[:5]), ("features", module.features)):
            with torch.inference_mode():
                before = part(images[:1])
                difference = part(hide_windows(images[0], fill, windows)) - before
            found = torch.zeros_like(difference)
            for change in engine.change(layer, windows, fill):
                height, width = change.delta.shape[2:]
                for number, y, x, delta in zip(change.windows, change.y, change.x, change.delta, strict=True):
                    found[number, :, y : y + height, x : x + width] = delta
            torch.testing.assert_close(found, difference, atol=1e-5, rtol=1e-5)
            gradient = torch.randn(difference.shape[1:])
            expected = (difference * gradient).sum(dim=(1, 2, 3))
            torch.testing.assert_close(
                engine.linearised(layer, windows, fill, gradient), expected, atol=1e-4, rtol=1e-4
            )
        assert 0 < engine.linearised_cost("features.4", windows) <= engine.linearised_cost("features", windows)

    def test_layers_and_gradients_are_checked(self, images: Tensor) -> None:
        engine = IncrementalEngine(model_of().module, images[0], keep=["features.4"])
        windows, fill = windows_of((24, 33), 8, 8), torch.zeros(3, 24, 33)
        with pytest.raises(UnknownNameError, match=r"features\.4"):
            engine.linearised("features.9", windows, fill, torch.zeros(1))
        with pytest.raises(ShapeError, match="gradient"):
            engine.linearised("features.4", windows, fill, torch.zeros(16, 3, 3))

    def test_windows_and_images_are_checked(self, images: Tensor) -> None:
        module = model_of().module
        engine = IncrementalEngine(module, images[0])
        fill = torch.zeros(3, 24, 33)
        with pytest.raises(InputError, match="not inside"):
            engine.scores(np.array([[20, 0, 8, 8]]), fill)
        with pytest.raises(ShapeError, match="windows have shape"):
            engine.scores(np.array([[20, 0]]), fill)
        with pytest.raises(ShapeError, match="fill has shape"):
            engine.scores(np.array([[0, 0, 8, 8]]), fill[:1])
        with pytest.raises(ShapeError, match="one image"):
            IncrementalEngine(module, images)
        with pytest.raises(DtypeError, match="floating"):
            IncrementalEngine(module, images[0].long())
        with pytest.raises(UntraceableError):
            IncrementalEngine(model_of(Branching).module, images[0])


class Largest(TorchDispatchMode):
    """Watches how large a tensor gets."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            # weights in oneDNN's own order have no storage to look at
            if isinstance(value, Tensor) and not value.is_mkldnn:
                self.numbers = max(self.numbers, value.untyped_storage().nbytes() // value.element_size())
        return result


@pytest.mark.parametrize("limit", [2**17, 2**20])
def test_no_tensor_grows_with_the_number_of_positions(limit: int) -> None:
    module = model_of().module
    image = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    windows = windows_of((48, 48), 6, 1)
    engine = IncrementalEngine(module, image, memory_limit=limit)
    fill = torch.zeros(3, 48, 48)
    assert len(windows) == 43 * 43
    with Largest() as watch:
        # only the answers themselves are as many as the positions
        for _, answers in engine.batches(windows, fill):
            assert len(answers) < len(windows) / 4
    assert watch.numbers * 4 <= limit
    assert watch.numbers < len(windows) * 48 * 48 / 16


class TestFastDense:
    def test_the_answers_of_the_module(self, images: Tensor) -> None:
        module = model_of().module
        windows = windows_of((24, 33), 6, 3)
        fill = torch.randn(3, 24, 33)
        dense = FastDense(module, images[:1])
        with torch.inference_mode():
            expected = module(hide_windows(images[0], fill, windows))
        found = torch.empty_like(expected)
        for chosen, answers in dense.answers(images[0], fill, windows):
            found[torch.from_numpy(chosen)] = answers
        torch.testing.assert_close(found, expected)
        assert dense.seconds_each is not None
        assert dense.seconds_each > 0

    def test_what_was_measured_is_remembered(self, images: Tensor) -> None:
        module = model_of().module
        usual = FastDense(module, images[:1]).choose(10)
        assert usual == Choice("traced", 8)
        measured = FastDense(module, images[:1]).choose(MANY)
        assert measured.measured
        assert FastDense(module, images[:1]).choose(MANY + 1) == measured
        assert FastDense(module, images[:1]).choose(10) == usual, "an answer must not depend on what was asked before"
        assert FastDense(module, images[:1], memory_limit=1).choose(MANY).batch == 1
        assert FastDense(module, images[:1]).choose(MANY, batch=7).batch == 7
        assert FastDense(module, images[:1], traced=False).choose(10) == Choice("plain", 8)

    @pytest.mark.parametrize("form", ["traced", "folded"])
    @pytest.mark.parametrize("kind", [Small, Attentive, Boxed])
    def test_every_form_gives_what_the_network_gives(self, form: Form, kind: type[nn.Module], images: Tensor) -> None:
        model = model_of(kind, output="logits" if kind is Boxed else None)
        for part in model.module.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean)
                nn.init.uniform_(part.running_var, 0.5, 2.0)
        model.module.double()
        inputs = images.double()
        dense = FastDense(network_of(model), inputs[:1])
        dense.offer_folded()
        assert dense.reasons == {}
        with torch.inference_mode():
            found, expected = dense.logits(inputs, Choice(form, 2)), model.logits(inputs)
        assert float((found - expected).abs().max()) < 1e-12

    def test_torch_folds_where_the_engine_leaves_layers_alone(self, images: Tensor) -> None:
        assert FastDense(model_of(Attentive).module, images[:1]).choose(10) == Choice("folded", 8)
        assert FastDense(model_of(Attentive).module.bfloat16(), images[:1].bfloat16()).choose(10).form == "traced"

    def test_a_form_is_refused_with_the_reason(self, images: Tensor) -> None:
        class Viewing(nn.Module):
            """Looks at the order of its input in memory."""

            def forward(self, x: Tensor) -> Tensor:
                return x.view(x.size(0), -1)[:, :5]

        class Scaling(nn.Module):
            """Holds a number that nothing prints."""

            def __init__(self) -> None:
                super().__init__()
                self.scale = 1.0

            def forward(self, x: Tensor) -> Tensor:
                return x.mean((2, 3)) * self.scale

        viewing = FastDense(Viewing().eval(), images[:1])
        viewing.offer_folded()
        assert "cannot take maps feature last" in viewing.reasons["folded"]
        assert viewing.choose(MANY).form in ("traced", "plain")
        scaling = Scaling().eval()
        assert FastDense(scaling, images[:1]).reasons == {}
        scaling.scale = 2.0  # what was traced is still remembered, and found out
        assert FastDense(scaling, images[:1]).reasons["traced"] == "does not give what the network itself gives"
        branching = FastDense(model_of(Branching).module, images[:1])
        assert "cannot be traced" in branching.reasons["traced"]
        assert branching.choose(10) == Choice("plain", 8)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_an_edited_weight_is_seen(self, images: Tensor, dtype: torch.dtype) -> None:
        module, inputs = model_of().module.to(dtype), images.to(dtype)
        for form in ("traced", "folded"):
            for edit in range(2):
                dense = FastDense(module, inputs[:1])
                dense.offer_folded()
                if form in dense.reasons:
                    continue
                with torch.inference_mode():
                    torch.testing.assert_close(
                        dense.logits(inputs, Choice(form, 2)), module(inputs), atol=0.03, rtol=0.03
                    )
                module.head.bias.data[edit] += 1.0

    def test_hiding_leaves_the_image_alone(self, images: Tensor) -> None:
        before = images[0].clone()
        hidden = hide_windows(images[0], torch.zeros(3, 24, 33), np.array([[2, 3, 4, 5]]))
        assert torch.equal(images[0], before)
        assert not hidden[0, :, 2:6, 3:8].any()
        hidden[0, :, 2:6, 3:8] = before[:, 2:6, 3:8]
        assert torch.equal(hidden[0], before)

    def test_bad_examples(self) -> None:
        with pytest.raises(ShapeError, match="example"):
            FastDense(Small().eval(), torch.zeros(2, 3, 8, 8))
        with pytest.raises(DtypeError, match="example"):
            FastDense(Small().eval(), torch.zeros(1, 3, 8, 8, dtype=torch.int64))


@settings(max_examples=30)
@given(
    lengths=st.lists(st.lists(st.integers(1, 30), min_size=3, max_size=3), min_size=1, max_size=12),
    most=st.integers(1, 5),
)
def test_more_classes_never_cost_more(lengths: list[list[int]], most: int) -> None:
    array, weights = np.array(lengths).T, np.array([1.0, 2.0, 0.5])
    division = divide(array, weights, most)
    assert all(later <= earlier + 1e-9 for earlier, later in zip(division.work, division.work[1:], strict=False))
    assert min(division.work) >= 1 - 1e-9
    exact = float((weights @ array).sum())
    for work, label in zip(division.work, division.labels, strict=True):
        paid = sum(
            (label == name).sum() * float(weights @ array[:, label == name].max(axis=1)) for name in np.unique(label)
        )
        assert paid == pytest.approx(work * exact)


def test_a_plan_can_be_changed_in_its_batch_only(images: Tensor) -> None:
    engine = IncrementalEngine(model_of().module, images[0])
    windows, fill = windows_of((24, 33), 8, 4), torch.zeros(3, 24, 33)
    plan = engine.plan(windows)
    answers = [engine.scores(windows, fill, plan=dataclasses.replace(plan, batch=batch)) for batch in (1, 5, 64)]
    torch.testing.assert_close(answers[0], answers[1])
    torch.testing.assert_close(answers[0], answers[2])
