"""What happens to a category when the units said to carry it are switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from workbench.arrays import CATEGORY, IMAGE, UNIT, check_array, provenance, strings
from workbench.errors import InputError, ShapeError, unknown_name
from workbench.interpret.features import source_facts, unit_axis
from workbench.interpret.reading import category_of_images, chosen_layers
from workbench.interpret.registry import interpreters
from workbench.models import replace_output
from workbench.stats import bootstrap_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations
    from workbench.models import ImageModel

RANKING, REMOVED = "ranking", "removed"
RANDOM, LARGEST = "random", "largest activation"


@interpreters.register(
    title="Ablation curve",
    source=(),
    access="activations",
    returns="accuracy of each category against the number of its units switched off",
    signed=False,
    specificity="class",
    coverage="several layers",
    annotation="labels",
    feedback="number",
    cost="an evaluation an image, ranking and number of units",
    note="Judges rankings of units. Units set to zero can leave a state that the network never saw.",
)
def ablation_curve(
    model: ImageModel,
    images: Any,
    rankings: Mapping[str, xr.DataArray],
    *,
    store: Activations,
    labels: Any,
    counts: Sequence[int] = (0, 1, 2, 3, 5, 8, 12, 20),
    random_orders: int = 5,
    seed: int = 0,
    batch_size: int = 64,
) -> xr.Dataset:
    """Accuracy of each category against the number of its units that are switched off.

    Every ranking loses equally many units at each point. A unit is switched off by setting its map to zero. Two
    baselines are added: units in random order, and by how active they are on the category's images in the store.

    Args:
        model: the model.
        images: images that were not used to find the units; what ``model.prepare`` takes.
        rankings: name of a method to ``weight`` (category, unit) of any of the methods here: units are switched off by
            falling weight. The ``unit`` coordinate names them "layer:index". Where fewer units have a weight above
            zero than are to be switched off, the rest follows in random order.
        store: the activations in which the units were found; for the baseline, and to refuse images used twice.
        labels: (image) true categories of ``images``.
        counts: how many units to switch off; rising, from 0.
        random_orders: orders over which the random baseline is averaged.
        seed: of the random orders.
        batch_size: images a forward pass.

    Returns:
        Dataset: ``correct`` (ranking, removed, image), 1 where the image is still recognised, a share for the random
        baseline; ``accuracy`` (ranking, removed) with ``low``, ``high``, ``n``; ``area`` (ranking), the mean accuracy
        along the curve, with ``area_low``, ``area_high``: lower means that the units matter more. Intervals are 95 %
        BCa bootstrap over images. ``category`` (image) is a coordinate.

    Raises:
        InputError: images that the store holds too, counts that do not rise from 0 or exceed the units, rankings that
            name unknown units or lack a category.
        ShapeError: another number of labels than images, or rankings of other dimensions.
    """
    names: list[str] = []
    correct: list[NDArray[np.float64]] = []
    layers = chosen_layers(store, None)
    axis = unit_axis(store, layers)
    removed = _check_counts(counts, len(axis[UNIT]))
    truth = check_array(labels, name="labels", dims=(IMAGE,), kinds="iu").astype(np.int64)
    orders = _orders(rankings, store, layers, axis, random_orders, seed)
    dims = {layer: tuple(map(str, store.dataset(layer)["maps"].dims)) for layer in layers}
    start = 0
    seen = set(map(str, store.identifiers))
    for identifiers, inputs in model.batches(images, batch_size=batch_size):
        repeated = [name for name in identifiers if name in seen]
        if repeated:
            raise InputError(
                f"image {repeated[0]!r} is in the store from which the units were found; switching them off on the "
                "same images flatters. Pass other images (with names of their own)."
            )
        part = truth[start : start + len(inputs)]
        if len(part) < len(inputs):
            raise ShapeError(f"{len(truth)} labels for more than {start + len(part)} images; expected one an image.")
        _check_categories(part, orders)
        correct.append(_correct(model, inputs, part, orders, removed, dims, axis["layer"][1]))
        names += identifiers
        start += len(inputs)
    if start != len(truth):
        raise ShapeError(f"{len(truth)} labels for {start} images; expected one an image.")
    table = np.concatenate(correct, axis=-1)
    curve = xr.DataArray(
        table,
        dims=(RANKING, REMOVED, IMAGE),
        coords={RANKING: strings(orders), REMOVED: removed, IMAGE: strings(names), CATEGORY: (IMAGE, truth)},
    )
    result = bootstrap_dataset(curve, over=IMAGE).rename(value="accuracy")
    area = bootstrap_dataset(_area(curve), over=IMAGE)
    result = result.assign(correct=curve, area=area["value"], area_low=area["low"], area_high=area["high"])
    facts = source_facts(store, layers)
    return result.assign_attrs(
        provenance(method="ablation_curve", seed=seed, random_orders=random_orders, **{**facts, "model": model.name})
    )


def _orders(
    rankings: Mapping[str, xr.DataArray],
    store: Activations,
    layers: Sequence[str],
    axis: dict[str, Any],
    random_orders: int,
    seed: int,
) -> dict[str, NDArray[np.int64]]:
    """For each ranking (order, category, unit): positions of units, the most important first."""
    category, names = category_of_images(store, "predicted")
    units = len(axis[UNIT])
    generator = np.random.default_rng(seed)
    if random_orders < 1:
        raise InputError(f"random_orders is {random_orders}; expected at least 1.")
    orders = {}
    for name, weight in rankings.items():
        if name in (RANDOM, LARGEST):
            raise InputError(f"The name {name!r} is that of a baseline; name the ranking otherwise.")
        table = _weights_of_all(weight, name, names, axis[UNIT])
        ties = generator.permuted(np.tile(np.arange(units), (len(names), 1)), axis=1)
        orders[name] = np.lexsort((ties, -table), axis=1)[None]
    orders[LARGEST] = np.argsort(-_mean_activity(store, layers, category, len(names)), axis=1, kind="stable")[None]
    shape = (random_orders, len(names), units)
    orders[RANDOM] = generator.permuted(np.broadcast_to(np.arange(units), shape), axis=2)
    return orders


def _weights_of_all(weight: Any, name: str, categories: Sequence[str], units: Any) -> NDArray[np.float64]:
    if not isinstance(weight, xr.DataArray) or set(weight.dims) != {CATEGORY, UNIT}:
        found = weight.dims if isinstance(weight, xr.DataArray) else type(weight).__name__
        raise ShapeError(f"ranking {name!r} has the dimensions {found}; expected a DataArray (category, unit).")
    for known, dim in ((units, UNIT), (categories, CATEGORY)):
        unknown = [str(entry) for entry in weight[dim].values if str(entry) not in set(map(str, known))]
        if unknown:
            raise unknown_name(dim, unknown[0], map(str, known), hint=f"It is in the ranking {name!r}.")
    missing = [category for category in categories if category not in set(map(str, weight[CATEGORY].values))]
    if missing:
        raise InputError(f"ranking {name!r} says nothing of category {missing[0]!r}; expected every category.")
    table = weight.reindex({UNIT: units, CATEGORY: list(categories)}, fill_value=0).transpose(CATEGORY, UNIT)
    return check_array(table.values, name=f"ranking {name!r}", dims=(CATEGORY, UNIT)).astype(np.float64)


def _mean_activity(
    store: Activations, layers: Sequence[str], category: NDArray[np.int64], categories: int
) -> NDArray[np.float64]:
    parts = []
    for layer in layers:
        pooled = np.asarray(store.dataset(layer)["mean"].transpose(IMAGE, UNIT).values, dtype=np.float64)
        member = np.eye(categories)[category].T
        parts.append(member @ pooled / np.maximum(member.sum(axis=1, keepdims=True), 1))
    return np.concatenate(parts, axis=1)


def _correct(
    model: ImageModel,
    inputs: torch.Tensor,
    truth: NDArray[np.int64],
    orders: Mapping[str, NDArray[np.int64]],
    removed: NDArray[np.int64],
    dims: Mapping[str, tuple[str, ...]],
    owners: NDArray[Any],
) -> NDArray[np.float64]:
    """(ranking, removed, image): the share of the ranking's orders in which the image is recognised."""
    result = np.zeros((len(orders), len(removed), len(inputs)))
    with torch.inference_mode():
        intact = (model.logits(inputs).argmax(1).cpu().numpy() == truth).astype(float)
        for position, order in enumerate(orders.values()):
            for point, count in enumerate(removed):
                if count == 0:
                    result[position, point] = intact
                    continue
                for each in order:
                    keep = np.ones((len(inputs), len(owners)), dtype=np.float32)
                    np.put_along_axis(keep, each[truth][:, :count], 0.0, axis=1)
                    switches = {layer: _switch(keep[:, owners == layer], dims[layer]) for layer in dims}
                    with replace_output(model, switches):
                        found = model.logits(inputs).argmax(1).cpu().numpy()
                    result[position, point] += (found == truth) / len(order)
    return result


def _switch(keep: NDArray[np.float32], dims: tuple[str, ...]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A replacement that leaves the kept units of each image and sets the others to zero."""
    shape = [len(keep)] + [1] * (len(dims) - 1)
    shape[dims.index(UNIT)] = keep.shape[1]

    def switch(output: torch.Tensor) -> torch.Tensor:
        return output * torch.from_numpy(keep).to(output).reshape(shape)

    return switch


def _area(curve: xr.DataArray) -> xr.DataArray:
    """Mean height along the curve, by the trapezoid rule over the number of units."""
    along = curve[REMOVED].values.astype(np.float64)
    heights = curve.transpose(RANKING, IMAGE, REMOVED)
    area = np.trapezoid(heights.values, along, axis=-1) / (along[-1] - along[0])
    return heights.isel({REMOVED: 0}, drop=True).copy(data=area)


def _check_counts(counts: Sequence[int], units: int) -> NDArray[np.int64]:
    removed = check_array(counts, name="counts", dims=(REMOVED,), kinds="iu").astype(np.int64)
    if len(removed) < 2 or removed[0] != 0 or (np.diff(removed) <= 0).any():
        raise InputError(f"counts are {list(counts)}; expected rising numbers that begin with 0.")
    if removed[-1] > units:
        raise InputError(f"counts reach {removed[-1]}, but there are {units} units. Switch off at most all of them.")
    return removed


def _check_categories(truth: NDArray[np.int64], orders: Mapping[str, NDArray[np.int64]]) -> None:
    known = next(iter(orders.values())).shape[1]
    if truth.min() < 0 or truth.max() >= known:
        raise InputError(f"labels reach from {truth.min()} to {truth.max()}; expected 0 to {known - 1} for each image.")
