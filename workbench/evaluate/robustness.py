"""Does the map stay the same when the image hardly changes: max-sensitivity and the local Lipschitz constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from workbench.arrays import IMAGE, X, Y, check_array
from workbench.errors import DtypeError, InputError, ShapeError
from workbench.evaluate.registry import metrics
from workbench.evaluate.removal import Explained, check_count, report
from workbench.explain import Meter, Question, ask, explainers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.explain.progress import Report, Stop
    from workbench.models import ImageModel

Explainer = str | Callable[..., Any]
SAMPLE = "sample"


@metrics.register(
    title="Max-sensitivity",
    source=("yeh2019",),
    access="black box",
    returns="largest relative change of the map within a small box around the image",
    feedback="number",
    better="lower",
    cost="10 explanations",
    note="Needs what the explainer needs. A map that ignores the image is perfectly robust: read beside faithfulness.",
    parameters={
        "radius": ("float", 0.02, 0.0001, 1.0),
        "samples": ("int", 10, 1, 200),
        "seed": ("int", 0, 0, 1000),
    },
)
def max_sensitivity(
    explainer: Explainer,
    model: ImageModel,
    images: Any,
    *,
    target: Any = None,
    radius: float = 0.02,
    samples: int = 10,
    seed: int = 0,
    batch_size: int = 64,
    parameters: Mapping[str, Any] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """How far the map moves, relative to its size, under noise in a box around the image. Source: [yeh2019].

    Args:
        explainer: a name of :data:`workbench.explain.explainers`, or a callable of the same form: ``(model, inputs, *,
            target, ...)`` to (image, y, x).
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: a category (index or name), one an image; None for the predicted one. It stays the same for the noisy
            copies.
        radius: half the side of the box in units of the normalised input; noise is uniform within it.
        samples: noisy copies an image.
        seed: of the noise, which is the same for every image.
        batch_size: inputs that the explainer is given at a time, at most.
        parameters: of the explainer.
        progress: True for a bar, or a callable that takes :class:`Progress`; counts explanations.
        stop: asked after each call of the explainer; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset: ``score`` (image), the largest of ``change`` (image, sample), the Euclidean norm of the difference of
        the maps divided by that of the map; lower is better. It is a lower bound of the true maximum. NaN, and left out
        of the mean, for a map of zeros, of which no change is a share. ``value``, ``low``, ``high``, ``n``: the mean
        over images with its 95 % BCa bootstrap interval.

    Raises:
        UnknownNameError: an unknown explainer or category.
        InputError, DtypeError, ShapeError, NotFiniteError, NotDeterministicError: arguments, images or maps that
            cannot be used.
        Interrupted: ``stop`` answered True.
    """
    subject, distance = _moved(
        explainer, model, images, target, radius, samples, seed, batch_size, parameters, progress, stop
    )
    norms = np.linalg.norm(subject.values.reshape(len(subject), -1), axis=1)
    change = np.full(distance.shape, np.nan)
    np.divide(distance, norms[:, None], out=change, where=norms[:, None] > 0)
    return _report(subject, change, "max_sensitivity", radius=radius, seed=seed, parameters=parameters)


@metrics.register(
    title="Local Lipschitz constant",
    source=("alvarezmelis2018",),
    access="black box",
    returns="largest change of the map per change of the image, within a small box around it",
    feedback="number",
    better="lower",
    cost="10 explanations",
    note="In the map's own units: compare methods whose maps have the same, or pass maps scaled alike.",
    parameters={
        "radius": ("float", 0.02, 0.0001, 1.0),
        "samples": ("int", 10, 1, 200),
        "seed": ("int", 0, 0, 1000),
    },
)
def local_lipschitz(
    explainer: Explainer,
    model: ImageModel,
    images: Any,
    *,
    target: Any = None,
    radius: float = 0.02,
    samples: int = 10,
    seed: int = 0,
    batch_size: int = 64,
    parameters: Mapping[str, Any] | None = None,
    progress: Report = False,
    stop: Stop | None = None,
) -> xr.Dataset:
    """Estimate of the map's Lipschitz constant around each image. Source: [alvarezmelis2018].

    Args:
        explainer: as in :func:`max_sensitivity`.
        model: from :func:`workbench.models.load`.
        images: see :meth:`ImageModel.prepare`.
        target: as in :func:`max_sensitivity`.
        radius: half the side of the box in units of the normalised input; noise is uniform within it.
        samples: noisy copies an image.
        seed: of the noise, which is the same for every image.
        batch_size: inputs that the explainer is given at a time, at most.
        parameters: of the explainer.
        progress: True for a bar, or a callable that takes :class:`Progress`; counts explanations.
        stop: asked after each call of the explainer; True ends the work with :class:`Interrupted`.

    Returns:
        Dataset as in :func:`max_sensitivity`; ``change`` (image, sample) is the Euclidean norm of the difference of the
        maps divided by that of the inputs, in units of the map a unit of normalised input.

    Raises:
        UnknownNameError, InputError, DtypeError, ShapeError, NotFiniteError, NotDeterministicError, Interrupted: as in
            :func:`max_sensitivity`.
    """
    subject, change = _moved(
        explainer, model, images, target, radius, samples, seed, batch_size, parameters, progress, stop, slope=True
    )
    return _report(subject, change, "local_lipschitz", radius=radius, seed=seed, parameters=parameters)


def ask_for(explainer: Explainer, model: ImageModel, images: Any, target: Any, batch_size: int) -> Question:
    """What an explainer is going to be asked, without a prediction where it makes its own.

    Args:
        explainer: a name or a callable.
        model: the model.
        images: see :meth:`ImageModel.prepare`.
        target: a category, one an image; None for the predicted one.
        batch_size: inputs a forward pass, at most.

    Returns:
        The question; a registered explainer asks and checks the model itself, a callable may not.

    Raises:
        WorkbenchError: see :func:`workbench.explain.ask`.
    """
    return ask(model, images, target=target, batch_size=batch_size, predict=not isinstance(explainer, str))


def explain_with(
    explainer: Explainer, model: ImageModel, inputs: torch.Tensor, targets: torch.Tensor, parameters: Mapping[str, Any]
) -> xr.DataArray:
    """Maps by a registered explainer or any callable of the same form, checked.

    Args:
        explainer: a name, or ``(model, inputs, *, target, ...)`` to (image, y, x).
        model: the model.
        inputs: (image, channel, y, x) float, normalised.
        targets: (image) int64.
        parameters: of the explainer.

    Returns:
        DataArray (image, y, x), finite.

    Raises:
        UnknownNameError: an unknown name.
        DtypeError: neither a name nor callable.
        ShapeError, NotFiniteError: it gives something else than finite maps on the grid of the input.
    """
    if isinstance(explainer, str):
        function: Callable[..., Any] = explainers[explainer]
    elif callable(explainer):
        function = explainer
    else:
        raise DtypeError(f"explainer is {type(explainer).__name__}; expected the name of an explainer, or a callable.")
    found = function(model, inputs, target=targets.tolist(), **parameters)
    maps = found if isinstance(found, xr.DataArray) else xr.DataArray(np.asarray(found), dims=(IMAGE, Y, X))
    check_array(maps.values, name="the explainer's maps", dims=(IMAGE, Y, X))
    wanted = (len(inputs), *inputs.shape[2:])
    if maps.shape != wanted:
        raise ShapeError(f"The explainer gives maps of shape {maps.shape}; expected {wanted} as the network input.")
    return maps


def name_of(explainer: Explainer) -> str:
    """What provenance calls an explainer.

    Args:
        explainer: a name or a callable.

    Returns:
        The name.
    """
    return explainer if isinstance(explainer, str) else str(getattr(explainer, "__qualname__", explainer))


def _moved(
    explainer: Explainer,
    model: ImageModel,
    images: Any,
    target: Any,
    radius: float,
    samples: int,
    seed: int,
    batch_size: int,
    parameters: Mapping[str, Any] | None,
    progress: Report,
    stop: Stop | None,
    *,
    slope: bool = False,
) -> tuple[Explained, NDArray[np.float64]]:
    """The maps of the images, and how far (image, sample) those of their copies lie; as a slope, a unit of input."""
    check_count("samples", samples)
    check_count("batch_size", batch_size)
    if not 0 < radius < np.inf:
        raise InputError(f"radius is {radius}; expected a positive number, in units of the normalised input.")
    question = ask_for(explainer, model, images, target, batch_size)
    given = dict(parameters or {})
    count, every = len(question), len(question) * (samples + 1)
    values = np.empty((count, *question.size))
    distance = np.zeros(every)
    with Meter(every, progress=progress, stop=stop, label="robustness") as meter:
        for start in range(0, every, batch_size):
            # the images themselves come first, and their copies in the order of the images
            pairs = np.arange(start, min(start + batch_size, every))
            copied = pairs >= count
            at = np.where(copied, (pairs - count) // samples, pairs)
            near = question.inputs.index_select(0, torch.from_numpy(at).to(question.inputs.device))
            noisy = _noise(np.where(copied, (pairs - count) % samples, -1), radius, seed, near).add_(near)
            found = explain_with(explainer, model, noisy, question.targets[torch.from_numpy(at)], given)
            values[pairs[~copied]] = found.values[~copied]
            distance[pairs] = np.linalg.norm((found.values - values[at]).reshape(len(pairs), -1), axis=1)
            if slope:  # by what was added, as rounded by the input's dtype
                added = torch.linalg.vector_norm(noisy - near, dim=(1, 2, 3), dtype=_wide(near)).cpu().numpy()
                distance[pairs[copied]] /= added[copied]
            meter.advance(len(pairs))
    subject = Explained(question, values, {"explainer": name_of(explainer)})
    return subject, distance[count:].reshape(count, samples)


def _wide(inputs: torch.Tensor) -> torch.dtype:
    """The dtype in which distances are summed; not every device has float64."""
    return torch.float64 if inputs.device.type != "mps" else torch.float32


def _noise(drawn: NDArray[np.int64], radius: float, seed: int, like: torch.Tensor) -> torch.Tensor:
    """(input, channel, y, x): the noise of each number of sample, uniform in the box; none for the number -1."""
    different, place = np.unique(drawn, return_inverse=True)
    shape = tuple(like.shape[1:])
    still = np.full(shape, 0.5, dtype=np.float32)
    draws = [
        still if sample < 0 else np.random.default_rng([seed, sample]).random(shape, dtype=np.float32)
        for sample in different
    ]
    noise = torch.from_numpy(radius * (2 * np.stack(draws) - 1)).to(like)
    return noise.index_select(0, torch.from_numpy(place).to(like.device))


def _report(subject: Explained, change: NDArray[np.float64], metric: str, **facts: Any) -> xr.Dataset:
    return report(
        subject,
        {"score": (IMAGE, change.max(axis=1)), "change": ((IMAGE, SAMPLE), change)},
        metric=metric,
        better="lower",
        samples=change.shape[1],
        **facts,
    )
