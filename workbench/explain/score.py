"""What is explained: one score an image, of one category, as logit or probability."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import torch

from workbench.arrays import provenance
from workbench.errors import DtypeError, InputError, NotDeterministicError
from workbench.models import ImageModel
from workbench.models.image_model import check_finite_logits

Score = Literal["logit", "probability"]

_AT_ONCE = 32  # images a forward pass, where nobody says how many
CACHED = 5_000_000  # bytes of network input that a processor works on at once; more of them take longer a picture


@dataclass(frozen=True, eq=False)
class Question:
    """Why does this model give these images these scores; made by :func:`ask`.

    Attributes:
        model: the model.
        inputs: (image, channel, y, x) float, prepared, on the model's device.
        identifiers: one name an image.
        targets: (image) int64, the category that is explained, on the model's device.
        score: ``"logit"`` or ``"probability"``.
        known: (image) float, the scores of the untouched images where the model has been asked for them already; read
            :attr:`reference`.
    """

    model: ImageModel
    inputs: torch.Tensor
    identifiers: tuple[str, ...]
    targets: torch.Tensor
    score: Score
    known: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def size(self) -> tuple[int, int]:
        """(y, x) pixels of the network input."""
        return int(self.inputs.shape[2]), int(self.inputs.shape[3])

    @cached_property
    def reference(self) -> torch.Tensor:
        """(image) float, the score of each untouched image, on the model's device; asked for now where nobody has.

        Raises:
            NotFiniteError: the model gives NaN or infinity.
        """
        if self.known is not None:
            return self.known
        numbers = torch.arange(len(self), device=self.inputs.device)
        with torch.no_grad():
            return torch.cat([self.scores(self.inputs[rows], rows) for rows in torch.split(numbers, _AT_ONCE)])

    @cached_property
    def facts(self) -> dict[str, str | int | float]:
        """Provenance that every result of this question carries."""
        return provenance(
            score=self.score,
            model=self.model.name,
            weights_hash=self.model.weights_hash,
            preprocessing=self.model.preprocessing.to_json(),
            dtype=str(self.model.dtype).removeprefix("torch."),
        )

    def scores(self, inputs: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Scores of changed inputs; gradients flow where they are enabled.

        Args:
            inputs: (input, channel, y, x) float, normalised.
            indices: (input) int64, the image whose target each input is asked for.

        Returns:
            (input) float32, or float64 where the model is.

        Raises:
            NotFiniteError: the model gives NaN or infinity.
        """
        logits = self.model.logits(inputs)
        check_finite_logits(logits.detach(), [self.identifiers[int(i)] for i in indices], self.model.name)
        return score_of(logits, self.targets[indices.to(self.targets.device)], self.score)


def score_of(logits: torch.Tensor, targets: torch.Tensor, score: Score) -> torch.Tensor:
    """Take one score an image out of logits.

    Args:
        logits: (image, category) float.
        targets: (image) int64.
        score: ``"logit"``, or ``"probability"`` (softmax over the categories).

    Returns:
        (image) float32, or float64 where the logits are.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    table = wide.softmax(1) if check_score(score) == "probability" else wide
    return table.gather(1, targets[:, None])[:, 0]


def at_once(inputs: torch.Tensor, batch_size: int) -> int:
    """How many inputs a forward pass takes: as many as allowed, and on the CPU no more than it is quick with.

    Args:
        inputs: (image, channel, y, x), for their size and device.
        batch_size: the most that is allowed.

    Returns:
        At least 1.
    """
    if inputs.device.type != "cpu":
        return batch_size
    return max(1, min(batch_size, CACHED // (inputs[0].numel() * inputs.element_size())))


def check_score(score: Any) -> Score:
    """Refuse a score that does not exist.

    Args:
        score: ``"logit"`` or ``"probability"``.

    Returns:
        The same.

    Raises:
        InputError: anything else.
    """
    if score not in get_args(Score):
        raise InputError(f"score is {score!r}; expected 'logit' or 'probability'.")
    return "logit" if score == "logit" else "probability"


def check_still(model: ImageModel) -> None:
    """Refuse a model that would answer differently each time, or by the batch.

    Args:
        model: the model.

    Raises:
        NotDeterministicError: a part of it is in training mode.
    """
    training = [name or "the network itself" for name, part in model.module.named_modules() if part.training]
    if training:
        raise NotDeterministicError(
            f"{len(training)} parts of {model.name!r} are in training mode, the first is {training[0]!r}: dropout and "
            "batch norm would answer differently each time. Call model.module.eval()."
        )


# How far two answers to one image may be apart, as a share of the largest: batches of other sizes round differently.
_SAME = {torch.float64: 1e-9, torch.float32: 1e-4}
_ROUGHLY_SAME = 0.1  # in half precision


def check_same(model: ImageModel, inputs: torch.Tensor, answers: torch.Tensor) -> None:
    """Refuse a model that answers differently when it is asked again.

    Args:
        model: the model.
        inputs: (image, channel, y, x) float, what it was asked.
        answers: (image, category) float, what it answered.

    Raises:
        NotDeterministicError: the first image, asked again alone, has another answer.
    """
    with torch.no_grad():
        first, again = answers[0], model.logits(inputs[:1].detach())[0]
    if not bool(torch.isfinite(answers).all()):
        return  # which is refused with a reason of its own
    largest = float(first.abs().max())
    if float((again - first).abs().max()) > _SAME.get(first.dtype, _ROUGHLY_SAME) * largest:
        raise NotDeterministicError(
            f"{model.name!r} gives different answers to the same image, although it is in evaluation mode: a layer "
            "draws at random, or normalises over the images of a batch. Switch that off before explaining it."
        )


@dataclass(frozen=True, eq=False)
class Posed:
    """A question before the model has answered; made by :func:`pose`.

    Attributes:
        model: the model.
        inputs: (image, channel, y, x) float, prepared, on the model's device.
        identifiers: one name an image.
        wanted: (image) int64, the category that shall be explained, on the model's device; None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
    """

    model: ImageModel
    inputs: torch.Tensor
    identifiers: tuple[str, ...]
    wanted: torch.Tensor | None
    score: Score

    def __len__(self) -> int:
        return len(self.inputs)

    def answered(self, logits: torch.Tensor) -> Question:
        """The question, now that the model has been asked.

        Args:
            logits: (image, category) float, what it answered.

        Returns:
            The question, its targets settled and its reference known.

        Raises:
            NotFiniteError: NaN or infinity in the answers; the image is named.
            InputError: a target that the model does not have.
        """
        check_finite_logits(logits, self.identifiers, self.model.name)
        targets = self.targets_of(logits)
        reference = score_of(logits, targets, self.score)
        return Question(self.model, self.inputs, self.identifiers, targets, self.score, reference)

    def targets_of(self, logits: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        """Which category of each image is explained.

        Args:
            logits: (image, category) float, what the model answers for some of the images.
            rows: which images these are; all where omitted.

        Returns:
            (image) int64: the wanted ones, or the predicted ones where none are wanted.

        Raises:
            InputError: a wanted category that the model does not have.
        """
        if self.wanted is None:
            return logits.argmax(1)
        if int(self.wanted.max()) >= logits.shape[1]:
            raise InputError(
                f"Target {int(self.wanted.max())} does not exist: {self.model.name!r} has {logits.shape[1]} "
                f"categories, 0 to {logits.shape[1] - 1}."
            )
        return self.wanted[rows]


def pose(
    model: ImageModel, images: Any, *, target: Any = None, score: Score = "logit", batch_size: int = _AT_ONCE
) -> Posed:
    """Prepare the images, and ask nothing yet.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        batch_size: images that are prepared at a time.

    Returns:
        What :meth:`Posed.answered` makes a question of. Whoever asks the model calls :func:`check_same` once.

    Raises:
        DtypeError: ``model`` is no :class:`ImageModel`.
        NotDeterministicError: the model is in training mode.
        UnknownNameError, InputError, ShapeError, NotFiniteError: the target or the images cannot be used.
    """
    if not isinstance(model, ImageModel):
        raise DtypeError(f"model is {type(model).__name__}; expected what workbench.models.load(...) gives.")
    check_score(score)
    check_still(model)
    names: list[str] = []
    inputs: list[torch.Tensor] = []
    for identifiers, chunk in model.batches(images, batch_size=batch_size):
        names += identifiers
        inputs.append(chunk.detach())
    sizes = {tuple(chunk.shape[2:]) for chunk in inputs}
    if len(sizes) > 1:
        raise InputError(f"The images have different sizes as network input: {sorted(sizes)}. Give one size at a time.")
    wanted = None if target is None else model.targets(target, len(names))
    return Posed(model, torch.cat(inputs), tuple(names), wanted, score)


def ask(
    model: ImageModel,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    batch_size: int = _AT_ONCE,
    predict: bool = True,
) -> Question:
    """Prepare the images, predict, and settle which category is explained.

    Args:
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image, or None for the predicted one.
        score: ``"logit"`` or ``"probability"``.
        batch_size: images a forward pass.
        predict: False leaves the model alone where ``target`` is given, for work in which an explainer asks and checks
            it anyway; ``reference`` is then asked for when it is first needed.

    Returns:
        The question.

    Raises:
        DtypeError: ``model`` is no :class:`ImageModel`.
        NotDeterministicError: the model is in training mode, or answers differently when asked twice.
        UnknownNameError, InputError, ShapeError: the target or the images cannot be used.
        NotFiniteError: NaN in an image or in what the model gives; the image is named.
    """
    posed = pose(model, images, target=target, score=score, batch_size=batch_size)
    if posed.wanted is not None and not predict:
        return Question(model, posed.inputs, posed.identifiers, posed.wanted, score)
    logits: list[torch.Tensor] = []
    with torch.no_grad():
        for chunk in torch.split(posed.inputs, batch_size):
            logits.append(model.logits(chunk))
            if len(logits) == 1:
                check_same(model, chunk, logits[0])
    return posed.answered(torch.cat(logits))
