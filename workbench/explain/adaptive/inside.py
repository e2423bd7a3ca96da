"""Measuring windows by looking inside the network, where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import InputError
from workbench.explain.adaptive.evaluators import Evaluator, ForwardPasses

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from workbench.explain.score import Question


def evaluator_for(
    question: Question, hidden: torch.Tensor, *, engine: str, batch_size: int
) -> tuple[Callable[[int], Evaluator], dict[str, Any]]:
    """Choose who measures.

    Args:
        question: what is explained.
        hidden: (image, channel, y, x) float, what windows show.
        engine: ``"auto"``, ``"incremental"`` or ``"forward"``.
        batch_size: windows at a time.

    Returns:
        What makes the evaluator of an image from its number, and facts for the provenance.

    Raises:
        InputError: no such engine, or ``"incremental"`` for a network that cannot be looked into.
    """
    if engine not in ("auto", "incremental", "forward"):
        raise InputError(f"engine is {engine!r}; expected 'auto', 'incremental' or 'forward'.")
    return (
        lambda image: ForwardPasses(question, image, hidden[image], batch_size),
        {"evaluator": "forward passes: nothing is approximated from inside the network"},
    )
