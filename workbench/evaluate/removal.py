"""What the metrics that ask the model share: maps and what they explain, ranks of pixels, scores when some are hidden.

Three rules hold for all of them. Pixels of equal value come in a random order that the seed draws, so a constant map
scores as chance does. Every image gets the same draw, so that a batch answers as its images do one at a time. No more
than ``batch_size`` changed pictures are in memory at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from workbench.arrays import IMAGE, X, Y, check_array, provenance, strings
from workbench.errors import InputError, ShapeError
from workbench.explain import Question, ask
from workbench.stats import bootstrap_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.explain.score import Score

STEP = "step"
FRACTION = "fraction"
BASELINES = ("zero", "black", "mean", "blur", "noise", "hidden_mean")


@dataclass(frozen=True, eq=False)
class Explained:
    """Maps and the question that they are meant to answer; made by :func:`explained`.

    Attributes:
        question: the model, the images as network input, and the category of each.
        values: (image, y, x) float64, finite.
        made_by: attributes of the maps, for provenance.
    """

    question: Question
    values: NDArray[np.float64]
    made_by: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.question)

    @property
    def pixels(self) -> int:
        """Pixels of one image."""
        height, width = self.question.size
        return height * width


def explained(
    heatmaps: xr.DataArray,
    model: Any,
    images: Any,
    *,
    target: Any = None,
    score: Score = "logit",
    batch_size: int = 64,
    signed: bool = False,
) -> Explained:
    """Check that maps belong to images, and ask the model about these.

    Args:
        heatmaps: (image, y, x) finite numbers on the grid of the network input.
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`; the same, in the same order, as the maps are of.
        target: a category (index or name), one an image; None for what the maps say that they explain (their
            coordinate ``target``), and for the predicted one where they do not say.
        score: ``"logit"`` or ``"probability"``.
        batch_size: inputs a forward pass, at most.
        signed: take the coordinate ``signed`` of the maps where they have one.

    Returns:
        Both together.

    Raises:
        ShapeError: maps of other dimensions, sizes or images.
        NotFiniteError: NaN or infinity in a map or an image.
        DtypeError, UnknownNameError, InputError, NotDeterministicError: see :func:`workbench.explain.ask`.
    """
    check_count("batch_size", batch_size)
    ordered = ordered_maps(heatmaps)
    if target is None and "target" in ordered.coords:
        target = np.broadcast_to(ordered.coords["target"].values, (ordered.sizes[IMAGE],))
    question = ask(model, images, target=target, score=score, batch_size=batch_size)
    _check_fit(ordered, question, prepared=isinstance(images, torch.Tensor) and images.is_floating_point())
    chosen = ordered.coords["signed"] if signed and "signed" in ordered.coords else ordered
    values = check_array(chosen.values, name="heatmaps", dims=(IMAGE, Y, X)).astype(np.float64)
    return Explained(question, values, made_by(heatmaps))


def ordered_maps(heatmaps: Any) -> xr.DataArray:
    """Maps with their dimensions in order, or an error.

    Args:
        heatmaps: (image, y, x) in any order.

    Returns:
        (image, y, x).

    Raises:
        ShapeError: no DataArray with these dimensions.
    """
    if not isinstance(heatmaps, xr.DataArray) or set(heatmaps.dims) != {IMAGE, Y, X}:
        found = heatmaps.dims if isinstance(heatmaps, xr.DataArray) else type(heatmaps).__name__
        raise ShapeError(f"heatmaps have the dimensions {found}; expected a DataArray with (image, y, x).")
    return heatmaps.transpose(IMAGE, Y, X)


def made_by(heatmaps: xr.DataArray) -> dict[str, Any]:
    """Attributes of maps as those of a score carry them.

    Args:
        heatmaps: any.

    Returns:
        The attributes, ``explanation_`` before each name.
    """
    return {f"explanation_{key}": value for key, value in heatmaps.attrs.items() if key != "versions"}


def report(
    subject: Explained,
    variables: Mapping[str, Any],
    *,
    metric: str,
    better: str,
    coords: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> xr.Dataset:
    """Scores as every metric that asks the model returns them.

    Args:
        subject: maps and images.
        variables: ``score``, and others, name to ``(dims, values)``.
        metric: registered name of the metric.
        better: ``"higher"`` or ``"lower"``.
        coords: more coordinates.
        **parameters: of the metric.

    Returns:
        Dataset: the variables; ``value``, ``low``, ``high``, ``n``, the mean of ``score`` over images with its 95 % BCa
        bootstrap interval; coordinates ``image`` (identifiers) and ``target`` (image).
    """
    question = subject.question
    known = {IMAGE: strings(question.identifiers), "target": (IMAGE, question.targets.cpu().numpy()), **(coords or {})}
    facts = {"metric": metric, "better": better, **parameters, **question.facts, **subject.made_by}
    return summarised(xr.Dataset(dict(variables), coords=known), facts)


def summarised(scores: xr.Dataset, facts: Mapping[str, Any]) -> xr.Dataset:
    """Put the mean over images and its interval beside the scores.

    Args:
        scores: Dataset with ``score`` (image, ...).
        facts: provenance.

    Returns:
        The same with ``value``, ``low``, ``high`` and ``n``.
    """
    summary = bootstrap_dataset(scores["score"], over=IMAGE)
    return scores.assign({name: summary[name] for name in ("value", "low", "high", "n")}).assign_attrs(
        provenance(**facts)
    )


def random_maps(heatmaps: xr.DataArray, *, seed: int = 0) -> xr.DataArray:
    """Maps of noise in the place of given ones: what any metric gives them is what chance reaches.

    Args:
        heatmaps: (image, y, x), whose sizes, images and targets are kept.
        seed: of the noise.

    Returns:
        DataArray (image, y, x) float32, uniform in [0, 1), with the same coordinates, without ``signed``.

    Raises:
        ShapeError: no DataArray with these dimensions.
    """
    ordered = ordered_maps(heatmaps)
    noise = np.random.default_rng(seed).random(ordered.shape, dtype=np.float32)
    coords = {name: coord for name, coord in ordered.coords.items() if set(coord.dims) != {IMAGE, Y, X}}
    return xr.DataArray(noise, dims=ordered.dims, coords=coords, attrs=provenance(method="random", seed=seed))


def check_count(name: str, value: Any, *, least: int = 1, most: int | None = None) -> int:
    """A whole number in its range, or an error.

    Args:
        name: what to call it in the message.
        value: the number.
        least: the smallest.
        most: the largest; None for no limit.

    Returns:
        The number.

    Raises:
        InputError: anything else.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        limit = f"at least {least}" if most is None else f"{least} to {most}"
        raise InputError(f"{name} is {value!r}; expected a whole number, {limit}.")
    return int(value)


def check_shares(name: str, values: Sequence[float]) -> NDArray[np.float64]:
    """Shares of the pixels, rising, or an error.

    Args:
        name: what to call them in the message.
        values: numbers strictly between 0 and 1, rising.

    Returns:
        (share) float64.

    Raises:
        InputError: none, one out of range, or not rising.
    """
    shares = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if shares.ndim != 1 or not shares.size or not ((shares > 0) & (shares < 1)).all() or (np.diff(shares) <= 0).any():
        raise InputError(f"{name} are {values!r}; expected one or more numbers between 0 and 1, rising.")
    return shares


def _check_fit(heatmaps: xr.DataArray, question: Question, *, prepared: bool) -> None:
    grid = (heatmaps.sizes[Y], heatmaps.sizes[X])
    if heatmaps.sizes[IMAGE] != len(question):
        raise ShapeError(f"{heatmaps.sizes[IMAGE]} heatmaps for {len(question)} images; expected one an image.")
    if grid != question.size:
        raise ShapeError(
            f"heatmaps are {grid[0]} x {grid[1]} pixels and the network input {question.size[0]} x {question.size[1]}. "
            "Maps live on the grid of the network input, as those of workbench.explain do."
        )
    if prepared or IMAGE not in heatmaps.coords:  # prepared input has no names to compare
        return
    names = heatmaps.coords[IMAGE].values.astype(str)
    for index, (name, identifier) in enumerate(zip(names, question.identifiers, strict=True)):
        if name != identifier:
            raise ShapeError(
                f"heatmap {index} is of image {str(name)!r}, and image {index} is {identifier!r}. "
                "Pass the same images as the maps are of, in the same order."
            )
