"""What the explainers that go through captum share: a network made for it, and running over images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.errors import InputError
from workbench.models import ImageModel, structural_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.explain.progress import Meter
    from workbench.explain.score import Question, Score


class ScoreModule(nn.Module):
    """Scores of all categories, as captum wants them, on a copy of the network that shares its weights.

    captum puts hooks and flags on the modules that it is given; here they never touch the user's network, nor
    disturb a thread that uses it meanwhile.

    Args:
        model: the model.
        score: ``"logit"`` or ``"probability"``.
        meter: counts the evaluations, and stops them.
        network: the copy; made here where omitted.
    """

    def __init__(self, model: ImageModel, score: Score, meter: Meter, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = structural_copy(model) if network is None else network
        self.softmax = nn.Softmax(dim=1)
        self._model = replace(model, module=self.network)
        self._score = score
        self._meter = meter
        self.eval()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores.

        Args:
            inputs: (image, channel, y, x) float, normalised.

        Returns:
            (image, category) float32, or float64 where the model is.
        """
        # captum's noise and interpolation promote half precision
        logits = self._model.logits(inputs.to(self._model.dtype))
        self._meter.advance(len(inputs))
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        scores: torch.Tensor = self.softmax(wide) if self._score == "probability" else wide
        return scores


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


def require_gradient(question: Question) -> None:
    """Refuse a black box, whose answer no gradient leads through.

    Args:
        question: what is explained.

    Raises:
        InputError: the scores do not depend differentiably on the inputs.
    """
    with torch.enable_grad():
        logits = question.model.logits(question.inputs[:1].clone().requires_grad_())
    if not logits.requires_grad:
        raise InputError(
            f"No gradient leads through {question.model.name!r}; methods with access 'gradients' cannot explain it. "
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
