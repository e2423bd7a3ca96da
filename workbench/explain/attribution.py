"""What the explainers that go through captum share: a network made for it, and running over images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.errors import InputError
from workbench.explain.score import at_once, check_same, score_of
from workbench.models import ImageModel, structural_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.explain.progress import Meter
    from workbench.explain.score import Posed, Question, Score


class Asking(nn.Module):
    """A network as captum is given it: on a copy that shares its weights, which hooks and flags may be put on.

    So they never touch the user's network, nor disturb a thread that uses it meanwhile.

    Args:
        model: the model.
        score: ``"logit"`` or ``"probability"``.
        meter: counts the evaluations, and stops them.
        network: what is asked; a copy that is made here where omitted.
    """

    def __init__(self, model: ImageModel, score: Score, meter: Meter, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = structural_copy(model) if network is None else network
        self.softmax = nn.Softmax(dim=1)
        self.model = replace(model, module=self.network)
        self._score = score
        self._meter = meter
        self.eval()

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Ask the network, and count it.

        Args:
            inputs: (image, channel, y, x) float, normalised.

        Returns:
            (image, category) float.

        Raises:
            InputError: the inputs want a gradient, and none leads through the network.
            Interrupted: the meter was asked to stop.
        """
        # captum's noise and interpolation promote half precision
        logits = self.model.logits(inputs.to(self.model.dtype))
        if torch.is_grad_enabled() and inputs.requires_grad:
            _check_gradient(logits, self.model.name)
        self._meter.advance(len(inputs))
        return logits


class ScoreModule(Asking):
    """Scores of all categories, as captum wants them."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores.

        Args:
            inputs: (image, channel, y, x) float, normalised.

        Returns:
            (image, category) float32, or float64 where the model is.
        """
        logits = self.logits(inputs)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        scores: torch.Tensor = self.softmax(wide) if self._score == "probability" else wide
        return scores


class OneScore(Asking):
    """The one score an image that is explained, settled in the pass that explains it, and what the network answered.

    Args:
        posed: the question that nobody has asked yet.
        meter: counts the evaluations, and stops them.
        hooks: whether hooks will be put on the network, which is copied then.
    """

    def __init__(self, posed: Posed, meter: Meter, *, hooks: bool) -> None:
        super().__init__(posed.model, posed.score, meter, None if hooks else posed.model.module)
        self._posed = posed
        self.answers: list[torch.Tensor] = []

    def forward(self, inputs: torch.Tensor, rows: slice) -> torch.Tensor:
        """Score of each image's target.

        Args:
            inputs: (image, channel, y, x) float, normalised.
            rows: which images of the question these are.

        Returns:
            (image) float32, or float64 where the model is.

        Raises:
            InputError: a target that the network does not have.
        """
        logits = self.logits(inputs)
        self.answers.append(logits.detach())
        return score_of(logits, self._posed.targets_of(logits, rows), self._score)


@dataclass(frozen=True)
class Rows:
    """Some images of a question, as captum takes them.

    Attributes:
        inputs: (image, channel, y, x) float, a copy that requires gradients.
        targets: (image) int64.
        start: number of the first of these images within the question.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    start: int


def attribute_all(
    question: Question,
    network: ScoreModule,
    step: int,
    attribute: Callable[[nn.Module, Rows], torch.Tensor],
    meter: Meter,
) -> torch.Tensor:
    """Attributions of all images, some of them at a time.

    Args:
        question: what is explained.
        network: gives the scores.
        step: images at a time.
        attribute: explains some images, (image, channel, y, x) to attributions (image, channel or 1, y, x).
        meter: asked between steps whether to stop.

    Returns:
        (image, channel or 1, y, x) float.

    Raises:
        Interrupted: the meter was asked to stop.
    """
    parts = []
    for start in range(0, len(question), step):
        meter.check()
        rows = slice(start, start + step)
        inputs = question.inputs[rows].clone().requires_grad_()
        found = attribute(network, Rows(inputs, question.targets[rows], start))
        parts.append(found.detach())
    return torch.cat(parts)


def attribute_asking(
    posed: Posed,
    step: int,
    attribute: Callable[[nn.Module, torch.Tensor, slice], torch.Tensor],
    meter: Meter,
    *,
    hooks: bool = False,
) -> tuple[Question, torch.Tensor]:
    """Attributions by methods that take one pass an image, which is the prediction at once: nothing is asked before.

    Args:
        posed: what nobody has asked yet.
        step: images at a time, at most; on the CPU as many as it is quick with.
        attribute: explains some images by an :class:`OneScore`, whose argument beside the inputs are the rows.
        meter: asked between steps whether to stop.
        hooks: whether ``attribute`` puts hooks on the network; it is given a copy of it then.

    Returns:
        The question as answered in these passes, and (image, ...) float, what ``attribute`` gave.

    Raises:
        NotDeterministicError: the model answers differently when it is asked again.
        NotFiniteError: NaN or infinity in what it answers.
        InputError: no gradient leads through it, or it lacks a target.
        Interrupted: the meter was asked to stop.
    """
    network, parts, step = OneScore(posed, meter, hooks=hooks), [], at_once(posed.inputs, step)
    for start in range(0, len(posed), step):
        meter.check()
        rows = slice(start, start + step)
        parts.append(attribute(network, posed.inputs[rows].clone().requires_grad_(), rows).detach())
        if start == 0:
            check_same(network.model, posed.inputs[rows], network.answers[0])
    return posed.answered(torch.cat(network.answers)), torch.cat(parts)


def require_gradient(question: Question | Posed) -> None:
    """Refuse a black box, whose answer no gradient leads through, before any other work is done.

    Args:
        question: what is explained.

    Raises:
        InputError: the scores do not depend differentiably on the inputs.
    """
    with torch.enable_grad():
        _check_gradient(question.model.logits(question.inputs[:1].clone().requires_grad_()), question.model.name)


def _check_gradient(logits: torch.Tensor, model: str) -> None:
    if not logits.requires_grad:
        raise InputError(
            f"No gradient leads through {model!r}; methods with access 'gradients' cannot explain it. "
            "Use one with access 'black box', such as occlusion."
        )


def completeness_gap(question: Question, baseline: torch.Tensor, found: torch.Tensor, batch_size: int) -> Any:
    """What attributions leave unexplained.

    Args:
        question: what was explained.
        baseline: (image, channel, y, x) float.
        found: (image, channel, y, x) float, the attributions.
        batch_size: images a forward pass.

    Returns:
        (image) float64: score minus the baseline's score minus the sum of the attributions.
    """
    numbers = torch.arange(len(question), device=question.inputs.device)
    with torch.no_grad():
        parts = [question.scores(baseline[rows], rows) for rows in torch.split(numbers, batch_size)]
    gap = question.reference - torch.cat(parts) - found.to(question.reference).flatten(1).sum(1)
    return gap.cpu().double().numpy()
