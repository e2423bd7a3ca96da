"""What a model says of one picture, and why: requests and results of the explanation panel. No widgets here."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import strings
from workbench.errors import InputError, UnknownNameError
from workbench.explain import explainers
from workbench.view.heatmap import unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from workbench.data import ImageSource
    from workbench.explain import Progress
    from workbench.models import ImageModel
    from workbench.registry import Card

PREDICTED = ""


@dataclass(frozen=True)
class Call:
    """One explainer with all its parameters, as JSON text, so that equal calls are equal."""

    method: str
    parameters: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The parameters as keyword arguments."""
        found: dict[str, Any] = json.loads(self.parameters)
        return found


@dataclass(frozen=True)
class ExplanationRequest:
    """What an :class:`ExplanationState` asks for.

    Attributes:
        model: name of the model.
        image: index of the image.
        target: category, or "" for the predicted one.
        calls: the explainers.
    """

    model: str
    image: int
    target: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, eq=False)
class Subject:
    """The one image that a request is about, and what the model makes of it.

    Attributes:
        model: what is explained.
        image: a source of one image.
        key: the same for the same image and model with the same weights.
        index: of the category that is explained.
        inputs: (image, channel, y, x) float, the image prepared for the network.
        picture: (y, x, channel) float32 in [0, 1], as the network sees it.
        probability: (category) float.
    """

    model: ImageModel
    image: ImageSource
    key: tuple[str, str, int]
    index: int
    inputs: Tensor
    picture: NDArray[np.float32]
    probability: xr.DataArray

    @property
    def target(self) -> str:
        """Name of the category that is explained."""
        return str(self.probability["category"].values[self.index])


def explain_one(
    subject: Subject,
    call: Call,
    progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> xr.DataArray:
    """One heatmap of one image.

    Args:
        subject: the image, its model and the category.
        call: explainer and parameters.
        progress: told how far it is.
        stop: asked whether to end.

    Returns:
        (y, x) float32.
    """
    arguments = {key: value for key, value in call.arguments.items() if value is not None}
    heat: xr.DataArray = explainers[call.method](
        subject.model, subject.image, target=subject.index, progress=progress, stop=stop, **arguments
    )
    return heat.isel(image=0)


def gather(
    request: ExplanationRequest,
    maps: Sequence[xr.DataArray],
    subject: Subject,
    *,
    final: bool = True,
) -> xr.Dataset:
    """Everything that the panel shows, as one result.

    Args:
        request: what was asked for.
        maps: (y, x) float, one a call; fewer while it is being computed.
        subject: what they explain.
        final: whether nothing is missing.

    Returns:
        ``heatmap`` and ``signed`` (explainer, y, x) float32, ``picture`` (y, x, channel), ``probability`` (category);
        coordinates ``explainer`` (titles) and ``units``; ``complete`` is 0 while something is missing.
    """
    titles: list[str] = []
    calls = list(zip(request.calls, maps, strict=False))  # fewer maps than calls, while there is work
    for call, _ in calls:
        title = explainers[call.method].card.title
        titles.append(title if title not in titles else f"{title} (second)")
    values = np.stack([heat.values for heat in maps])
    signed = np.stack([heat["signed"].values if "signed" in heat.coords else heat.values for heat in maps])
    return xr.Dataset(
        {
            "heatmap": (("explainer", "y", "x"), values.astype(np.float32)),
            "signed": (("explainer", "y", "x"), signed.astype(np.float32)),
            "picture": (("y", "x", "channel"), subject.picture),
            "probability": ("category", subject.probability.values),
        },
        coords={
            "explainer": strings(titles),
            "units": ("explainer", strings(map_unit(explainers[call.method].card, heat) for call, heat in calls)),
            "category": strings(subject.probability["category"].values),
        },
        attrs={
            **{key: value for key, value in maps[0].attrs.items() if key in ("model", "weights_hash", "versions")},
            "image": str(subject.probability["image"].item()),
            "target": subject.target,
            "calls": json.dumps([[call.method, call.arguments] for call in request.calls], sort_keys=True),
            "complete": int(final),
        },
    )


def map_unit(card: Card, heat: xr.DataArray) -> str:
    """What the values of a map are: a method without signs tells how strongly, not in which direction."""
    return unit_of(heat) if card.signed else unit_of(heat).replace("evidence", "strength")


def category_index(model: ImageModel, target: str) -> int:
    """The index of a category given by name, or by its number where no category is called so.

    Raises:
        UnknownNameError, InputError: no such category, or a name that several have.
    """
    if target not in model.categories and target.isdecimal():
        return model.category_index(int(target))
    return model.category_index(target)


def category_options(categories: Sequence[str]) -> tuple[list[str], list[str]]:
    """Values and texts of a menu of categories; a name that several have is told apart by its number.

    >>> category_options(["crane", "duck", "crane"])
    (['0', 'duck', '2'], ['crane (0)', 'duck', 'crane (2)'])
    """
    repeated = {name for name, count in Counter(categories).items() if count > 1}
    values = [str(i) if name in repeated else name for i, name in enumerate(categories)]
    return values, [f"{name} ({i})" if name in repeated else name for i, name in enumerate(categories)]


def has_category(model: ImageModel, target: str) -> bool:
    """Whether a target means anything to a model: "" (its prediction), a name or a number of a category."""
    try:
        return target == PREDICTED or category_index(model, target) >= 0
    except (UnknownNameError, InputError):
        return False
