"""Measuring windows by looking inside the network, where that is possible."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch

from workbench.errors import InputError
from workbench.explain.adaptive.evaluators import Answer, Evaluator, ForwardPasses
from workbench.explain.adaptive.linearised import LinearisedRunner
from workbench.explain.incremental.engine import IncrementalEngine
from workbench.explain.incremental.occlusion import network_of
from workbench.explain.incremental.schedule import costs
from workbench.explain.incremental.translate import UntraceableError
from workbench.explain.score import score_of
from workbench.models.image_model import check_finite_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from workbench.explain.baselines import Hiding
    from workbench.explain.score import Question

GRADIENT = 3.0  # forward-equivalents of one gradient with its forward pass
FOLLOWED = 96  # windows that are followed together at first


class Incremental:
    """Follows what a window changes through the network.

    Args:
        question: what is explained.
        image: number of the image within the question.
        hide: what the windows show.
        engine: the network and the image.
    """

    def __init__(self, question: Question, image: int, hide: Hiding, engine: IncrementalEngine) -> None:
        self._question, self._image, self._engine = question, image, engine
        self._fill = hide.fill(image)
        # no method of its own: what follows windows linearly keeps it, and would keep the image's maps alive in a ring
        self._score = partial(_scores, question, image)

    @property
    def approximates(self) -> bool:
        """Small changes can be followed linearly, unless no gradient leads through or nothing can be followed."""
        return self._engine.program.steps[0].local

    @property
    def overhead(self) -> float:
        """The pass for the untouched image, of which every map is kept, and the one that says what it should give."""
        return 2.0

    def exact_cost(self, windows: NDArray[Any]) -> float:
        """Forward-equivalents that measuring some windows would take.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.

        Returns:
            Multiplications over those of one forward pass.
        """
        return self._engine.cost(windows)

    def exact(self, windows: NDArray[Any]) -> Answer:
        """Measure some windows.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns.

        Returns:
            The falls and their cost.

        Raises:
            NotFiniteError: the model gives NaN or infinity.
        """
        plan = self._engine.plan(windows)
        scores = self._score(self._engine.scores(windows, self._fill, plan=plan))
        falls = self._question.reference[self._image].double() - scores.double()
        return Answer(falls.cpu().numpy(), plan.forward_equivalents)

    def approximate(self, windows: NDArray[Any], looseness: float) -> Answer:
        """Measure some windows nearly.

        Args:
            windows: (window, 4) int64: first row, first column, rows, columns; all of one size.
            looseness: changes below this share of a step's root mean square are followed linearly.

        Returns:
            The falls and their cost; the first call pays for the gradient.

        Raises:
            NotFiniteError: the model gives NaN or infinity.
        """
        gradient = 0.0 if "_linearised" in self.__dict__ else GRADIENT
        with torch.inference_mode():
            scores, work = self._linearised.scores(windows, self._fill, looseness=looseness, batch=FOLLOWED)
        falls = float(self._score(self._engine.output)[0]) - scores
        return Answer(falls, work / self._price.dense + gradient)

    @cached_property
    def _price(self) -> Any:
        return costs(self._engine.program)

    @cached_property
    def _linearised(self) -> LinearisedRunner:
        return LinearisedRunner(self._engine.runner, self._price, self._score)


def _scores(question: Question, image: int, answers: torch.Tensor) -> torch.Tensor:
    """Scores of one image, whatever is hidden in it, from the network's answers."""
    identifier = f"{question.identifiers[image]}, partly hidden"
    check_finite_logits(answers, [identifier] * len(answers), question.model.name)
    return score_of(answers, question.targets[image].expand(len(answers)), question.score)


def evaluator_for(
    question: Question, hide: Hiding, *, engine: str, batch_size: int
) -> tuple[Callable[[int], Evaluator], dict[str, Any]]:
    """Choose who measures.

    Args:
        question: what is explained.
        hide: what windows show.
        engine: ``"auto"``, ``"incremental"`` or ``"forward"``.
        batch_size: windows a forward pass, where the network is a black box.

    Returns:
        What makes the evaluator of an image from its number, and facts for the provenance.

    Raises:
        InputError: no such engine, or ``"incremental"`` for a network that cannot be looked into.
    """
    if engine not in ("auto", "incremental", "forward"):
        raise InputError(f"engine is {engine!r}; expected 'auto', 'incremental' or 'forward'.")
    reason = "asked for"
    if engine != "forward":
        network = network_of(question.model)
        try:
            first = IncrementalEngine(network, question.inputs[0])
        except UntraceableError as error:
            if engine == "incremental":
                raise InputError(
                    f"{question.model.name!r} cannot be looked into: {error}. Use engine='auto' or 'forward'."
                ) from error
            reason = str(error)
        else:

            def inside(image: int) -> Evaluator:
                made = first if image == 0 else IncrementalEngine(network, question.inputs[image])
                return Incremental(question, image, hide, made)

            return inside, {"evaluator": "incremental: windows are followed through the network"}
    return (
        lambda image: ForwardPasses(question, image, hide, batch_size),
        {"evaluator": f"forward passes, nothing is approximated from inside the network ({reason})"},
    )
