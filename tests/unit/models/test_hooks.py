"""Hooks see what layers give, change it when asked, and are gone afterwards whatever happened."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from workbench import models
from workbench.errors import DtypeError, InputError, ShapeError, UnknownNameError


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def test_capture_gives_the_output_before_a_later_layer_changes_it_in_place(awkward: nn.Module) -> None:
    x = torch.randn(2, 3, 6, 6)
    with models.capture(awkward, ["conv1", "relu:0", "relu:1", "head"]) as seen:
        logits = awkward(x)
    torch.testing.assert_close(seen["conv1"], awkward.conv1(x))
    torch.testing.assert_close(seen["relu:0"], awkward.conv1(x).relu())
    torch.testing.assert_close(seen["relu:1"], awkward.conv2(awkward.conv1(x).relu()).relu())
    assert seen["conv1"].min() < 0 <= seen["relu:0"].min()
    torch.testing.assert_close(seen["head"], logits)
    assert hooks(awkward) == 0


def test_capture_does_not_change_the_answer(awkward: nn.Module) -> None:
    x = torch.randn(2, 3, 6, 6)
    with models.capture(awkward, "conv1"):
        observed = awkward(x)
    assert torch.equal(observed, awkward(x))


def test_gradients_reach_captured_layers(awkward: nn.Module) -> None:
    with models.capture(awkward, ["conv1"]) as seen:
        score = awkward(torch.randn(1, 3, 6, 6))[0, 2]
    (gradient,) = torch.autograd.grad(score, seen["conv1"])
    assert gradient.shape == (1, 4, 6, 6)
    assert gradient.abs().max() > 0


def test_capture_holds_the_last_of_several_passes(awkward: nn.Module) -> None:
    first, second = torch.randn(1, 3, 6, 6), torch.randn(3, 3, 6, 6)
    with models.capture(awkward, ["relu:1"]) as seen:
        awkward(first)
        awkward(second)
    assert len(seen["relu:1"]) == 3


def test_a_layer_that_is_called_twice_must_be_asked_by_call(awkward: nn.Module) -> None:
    with pytest.raises(InputError, match=r"'relu:0', 'relu:1'"), models.capture(awkward, ["relu"]):
        awkward(torch.randn(1, 3, 6, 6))
    assert hooks(awkward) == 0


def test_layers_that_cannot_be_captured_are_refused_in_words(awkward: nn.Module) -> None:
    x = torch.randn(1, 3, 6, 6)
    with pytest.raises(InputError, match="tuple of 2"), models.capture(awkward, ["pair"]):
        awkward(x)
    with pytest.raises(UnknownNameError, match="'unused' was not called"), models.capture(awkward, ["unused"]):
        awkward(x)
    with pytest.raises(UnknownNameError, match="'relu:7' was not called"), models.capture(awkward, ["relu:7"]):
        awkward(x)
    with pytest.raises(UnknownNameError, match="Did you mean 'conv1'"), models.capture(awkward, ["conv_1"]):
        awkward(x)
    with pytest.raises(InputError, match="at least one layer"), models.capture(awkward, []):
        awkward(x)
    with pytest.raises(DtypeError, match=r"torch\.nn\.Module"), models.capture(3, ["conv1"]):  # type: ignore[arg-type]
        awkward(x)
    assert hooks(awkward) == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_hooks_are_gone_after_any_exception(awkward: nn.Module, error: type[BaseException]) -> None:
    with (
        pytest.raises(error),
        models.capture(awkward, ["conv1"]),
        models.replace_output(awkward, {"conv2": torch.relu}),
    ):
        raise error
    assert hooks(awkward) == 0


def test_hooks_are_gone_after_a_generator_is_closed(awkward: nn.Module) -> None:
    def observe() -> Iterator[int]:
        with models.capture(awkward, ["conv1"]):
            yield 1
            yield 2

    steps = observe()
    next(steps)
    assert hooks(awkward) > 0
    steps.close()
    assert hooks(awkward) == 0


def test_passes_of_other_threads_are_not_captured(awkward: nn.Module) -> None:
    with models.capture(awkward, ["conv1", "relu:0"]) as seen:
        awkward(torch.zeros(1, 3, 6, 6))
        other = threading.Thread(target=lambda: awkward(torch.ones(5, 3, 6, 6)))
        other.start()
        other.join()
        assert len(seen["conv1"]) == len(seen["relu:0"]) == 1


def test_replaced_outputs_are_what_the_network_goes_on_with(awkward: nn.Module) -> None:
    x = torch.randn(2, 3, 6, 6)
    with models.replace_output(awkward, {"conv2": lambda maps: maps * 0 + 1}):
        changed = awkward(x)
    torch.testing.assert_close(changed, awkward.head(torch.ones(2, 4)))
    with models.replace_output(awkward, {"conv2": torch.ones(2, 4, 6, 6)}):
        torch.testing.assert_close(awkward(x), changed)
    with models.replace_output(awkward, {"relu:0": torch.zeros_like}), models.capture(awkward, ["conv2"]) as seen:
        awkward(x)
    torch.testing.assert_close(seen["conv2"], awkward.conv2(torch.zeros(2, 4, 6, 6)))


def test_a_replacement_of_another_shape_is_refused(awkward: nn.Module) -> None:
    replacement = {"conv2": torch.ones(2, 4, 3, 3)}
    with (
        pytest.raises(ShapeError, match=r"\(2, 4, 3, 3\).*\(2, 4, 6, 6\)"),
        models.replace_output(awkward, replacement),
    ):
        awkward(torch.randn(2, 3, 6, 6))
    assert hooks(awkward) == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, None])
def test_preserved_restores_flags_hooks_gradients(awkward: nn.Module, error: type[BaseException] | None) -> None:
    awkward.conv1.weight.grad = torch.ones_like(awkward.conv1.weight)
    awkward.conv2.weight.requires_grad_(False)
    awkward.dropout.train()

    def disturb() -> None:
        with models.preserved(awkward):
            awkward.train()
            awkward.requires_grad_(True)
            awkward.conv2.register_forward_hook(lambda *_: None)
            awkward(torch.randn(1, 3, 6, 6)).sum().backward()
            if error is not None:
                raise error

    if error is None:
        disturb()
    else:
        with pytest.raises(error):
            disturb()
    assert [part.training for part in awkward.modules()].count(True) == 1
    assert awkward.dropout.training
    assert not awkward.conv2.weight.requires_grad
    assert awkward.conv1.weight.grad is not None
    assert torch.equal(awkward.conv1.weight.grad, torch.ones_like(awkward.conv1.weight))
    assert awkward.head.weight.grad is None
    assert hooks(awkward) == 0


def test_a_structural_copy_shares_weights_and_nothing_else(awkward: nn.Module) -> None:
    twin = models.structural_copy(awkward)
    assert twin is not awkward
    assert all(a is b for a, b in zip(twin.parameters(), awkward.parameters(), strict=True))
    twin.train()
    twin.register_forward_hook(lambda *_: None)
    assert hooks(awkward) == 0
    assert not awkward.training
