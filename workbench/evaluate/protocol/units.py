"""The maps that interpretation methods show, and on which images they show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import CATEGORY, IMAGE, PART, UNIT, strings
from workbench.errors import InputError, unknown_name
from workbench.evaluate.protocol.checks import CHOSEN_UNITS, RANDOM_UNITS
from workbench.explain import Meter, explain
from workbench.interpret import concept_vectors, concepts, dissect, heatmaps, relevant_units, rules, unit_heatmaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from workbench.evaluate.protocol.choices import Choice
    from workbench.evaluate.protocol.situation import Half, Situation
    from workbench.explain.progress import Report

LEAST_EXAMPLES = 6  # of a concept; concept_vectors refuses fewer
ROWS = "row"


@dataclass(frozen=True, eq=False)
class UnitMaps:
    """What a method shows on the images that it is scored on.

    Attributes:
        maps: (image, unit, y, x) float32 on the network's grid; the coordinate ``unit`` says what each is of: a unit
            (``"layer4:17"``), a category's concept, a concept's name, or a rule.
        shown: (image, unit) bool, where each map is part of what is said of the image.
        relevance: (image, unit) float64 of zero or more, how much the method says it matters there; ones where it
            does not say.
        half: the images.
    """

    maps: xr.DataArray
    shown: NDArray[np.bool_]
    relevance: NDArray[np.float64]
    half: Half


def unit_maps(method: Choice, situation: Situation, seed: int, *, progress: Report = False) -> UnitMaps:
    """Interpret one half of the images, or those meant for learning, and draw what was found on the others.

    What belongs to a category is shown on images that the network takes for it, what belongs to none on all; and
    either only where the map is above zero somewhere. Random units are shown everywhere: whoever draws at random has
    not looked.

    Args:
        method: an interpretation method or a control.
        situation: network and images; its ``stop`` is asked between the steps.
        seed: of the split and of the method.
        progress: as :class:`~workbench.explain.Meter` takes it; counts two steps, the activations and what is made of
            them.

    Returns:
        The maps.

    Raises:
        Interrupted: the situation's ``stop`` answered True.
        WorkbenchError: as the method, or nothing was found.
    """
    with Meter(2, progress=progress, stop=situation.stop, label=method.name) as meter:
        meter.check()
        learned, scored = situation.halves(seed)
        meter.advance(1)
        values, category, relevance = _drawn(method, situation, learned, scored, seed)
        meter.advance(1)
    predicted = np.asarray(scored.store.predicted)
    belongs = np.ones(values.shape[:2], dtype=bool) if category is None else category[predicted]
    responding = np.asarray(values.values.max(axis=(2, 3)) > 0) | (method.name == RANDOM_UNITS)
    weight = np.ones(values.shape[:2]) if relevance is None else relevance[predicted]
    return UnitMaps(values, responding & belongs, weight, scored)


def pool(situation: Situation, half: Half) -> xr.DataArray:
    """Maps of all units of the layer, from which random ones are drawn.

    Args:
        situation: network and images.
        half: the images.

    Returns:
        (image, unit, y, x) float32 on the network's grid.
    """
    layer = situation.model_choice.layer
    count = half.store.dataset(layer)["maps"].sizes[UNIT]
    return _of_units(situation, half, np.arange(count))


def _of_units(situation: Situation, half: Half, units: NDArray[np.int64]) -> xr.DataArray:
    from workbench.interpret.upsampling import upsample

    layer = situation.model_choice.layer
    images = np.arange(len(half.positions))
    maps = np.maximum(unit_heatmaps(half.store, images, [layer] * len(units), units).values, 0)
    return _as_maps(upsample(maps, _size(situation)), half).assign_coords(
        {UNIT: strings(f"{layer}:{unit}" for unit in units)}
    )


def _as_maps(values: NDArray[np.float32], half: Half) -> xr.DataArray:
    coords = {IMAGE: half.parts[IMAGE].values}
    return xr.DataArray(np.asarray(values, dtype=np.float32), dims=(IMAGE, UNIT, "y", "x"), coords=coords)


def _size(situation: Situation) -> tuple[int, int]:
    height, width = situation.inputs.shape[2:]
    return int(height), int(width)


Found = tuple[xr.DataArray, "NDArray[np.bool_] | None", "NDArray[np.float64] | None"]


def _drawn(method: Choice, situation: Situation, learned: Half, scored: Half, seed: int) -> Found:
    """Maps (image, unit, y, x); (category, unit) whom each belongs to, and how relevant it is, or None."""
    if method.name == RANDOM_UNITS:
        return _random(method, situation, scored, seed)
    if method.name == CHOSEN_UNITS:
        return _chosen(method, situation, scored)
    return MAKERS[method.name](method, situation, learned, scored, seed)


def _random(method: Choice, situation: Situation, half: Half, seed: int) -> Found:
    """Units drawn at random; all of them once is what drawing reaches on average, whatever the luck of a draw."""
    share = method.parameters.get("share", 1.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError(f"share of random_units is {share!r}; expected a share of the layer's units in (0, 1].")
    count = half.store.dataset(situation.model_choice.layer)["maps"].sizes[UNIT]
    units = np.random.default_rng(seed).permutation(count)[: max(1, round(share * count))]
    return _of_units(situation, half, np.sort(units)), None, None


def _chosen(method: Choice, situation: Situation, half: Half) -> Found:
    given = method.parameters.get("units")
    count = half.store.dataset(situation.model_choice.layer)["maps"].sizes[UNIT]
    names = list(half.store.categories)
    by_category = given if isinstance(given, dict) else dict.fromkeys(names, given)
    for name in by_category:
        if name not in names:
            raise unknown_name("category", name, names)
    every = sorted({unit for units in by_category.values() for unit in (units or [])})
    if not every or not all(isinstance(unit, int) and 0 <= unit < count for unit in every):
        raise InputError(f"units of chosen_units are {given!r}; expected numbers from 0 to {count - 1}.")
    belongs = np.zeros((len(names), len(every)), dtype=bool)
    for name, units in by_category.items():
        belongs[names.index(name)] = np.isin(every, units or [])
    return _of_units(situation, half, np.array(every)), belongs, None


def _by_heatmaps(
    result: xr.Dataset, situation: Situation, half: Half, names: Sequence[str] | None = None, **options: Any
) -> xr.DataArray:
    """Maps of what was found, under the names that are given, or else under those of the units."""
    found = heatmaps(result, half.store, size=_size(situation), **options)
    return _as_maps(found.values, half).assign_coords({UNIT: strings(found[UNIT].values if names is None else names)})


def _relevant(method: Choice, situation: Situation, learned: Half, scored: Half, seed: int) -> Found:
    layer = situation.model_choice.layer
    result = relevant_units(learned.store, layers=layer, **method.parameters)
    maps = _by_heatmaps(result, situation, scored)
    weight = np.asarray(result["weight"].sel({UNIT: maps[UNIT].values}).transpose(CATEGORY, UNIT).values)
    return maps, weight > 0, weight.astype(np.float64)


def _dissected(method: Choice, situation: Situation, learned: Half, scored: Half, seed: int) -> Found:
    result = dissect(learned.store, learned.parts, layer=situation.model_choice.layer, **method.parameters)
    return _by_heatmaps(result, situation, scored), None, None


def _concepts(method: Choice, situation: Situation, learned: Half, scored: Half, seed: int) -> Found:
    names = list(learned.store.categories)
    options = {"count": 5, "negative": "clip", **method.parameters}
    predicted = np.asarray(learned.store.predicted)
    if "categories" not in options:  # a factorisation needs an image or more
        options["categories"] = [names[each] for each in np.unique(predicted)]
    layer = situation.model_choice.layer
    result = concepts(learned.store, layer=layer, head=situation.head, seed=seed, **options)
    found = [str(name) for name in result[CATEGORY].values]
    numbers = result["concept"].values
    each = [
        _by_heatmaps(result, situation, scored, [f"{name}, concept {number}" for number in numbers], category=name)
        for name in found
    ]
    count = each[0].sizes[UNIT]
    belongs = np.zeros((len(names), len(found) * count), dtype=bool)
    relevance = np.zeros(belongs.shape)
    for index, name in enumerate(found):
        some = slice(index * count, (index + 1) * count)
        belongs[names.index(name), some] = True
        relevance[names.index(name), some] = np.maximum(result["importance"].sel({CATEGORY: name}).values, 0)
    return xr.concat(each, UNIT).transpose(IMAGE, UNIT, "y", "x"), belongs, relevance


def _vectors(method: Choice, situation: Situation, learned: Half, scored: Half, seed: int) -> Found:
    seen = learned.parts.any(("y", "x")).values
    count = len(learned.positions)
    usable = (seen.sum(axis=0) >= LEAST_EXAMPLES) & (count - seen.sum(axis=0) >= LEAST_EXAMPLES)
    examples = {
        str(name): np.flatnonzero(seen[:, index])
        for index, name in enumerate(learned.parts[PART].values)
        if usable[index]
    }
    if not examples:
        raise InputError(
            f"No part is shown by at least {LEAST_EXAMPLES} of the {count} images that are learned from and absent "
            f"from as many; concept_vectors needs both. Pass more images."
        )
    options = {"draws": 5, "random_concepts": 19, **method.parameters}
    layer = situation.model_choice.layer
    result = concept_vectors(learned.store, examples, head=situation.head, layer=layer, seed=seed, **options)
    return _by_heatmaps(result, situation, scored, [f"concept {name}" for name in examples]), None, None


def _rules(method: Choice, situation: Situation, learned: Half, scored: Half, seed: int) -> Found:
    predicted = np.asarray(learned.store.predicted)
    heat = explain("gradcam", situation.model, learned.inputs, target=predicted.tolist())
    heat = heat.assign_coords({IMAGE: strings(learned.store.identifiers)})
    options = {"size": max(4, round(min(_size(situation)) / 4)), **method.parameters}
    result = rules(learned.store, heat, layer=situation.model_choice.layer, **options)
    maps = _by_heatmaps(result, situation, scored, _rules_in_words(result))
    own = np.asarray(result["category_index"].values)
    belongs = own[None] == np.arange(len(learned.store.categories))[:, None]
    strength = (result["support"] * result["confidence"]).values.astype(np.float64)
    return maps, belongs, np.where(belongs, strength[None], 0.0)


def _rules_in_words(result: xr.Dataset) -> list[str]:
    """Each rule as ``"units 3 + 17 \N{RIGHTWARDS ARROW} bird"``."""
    numbers, owners = result["index"].values, result["category_of_rule"].values
    return [
        f"units {' + '.join(str(number) for number in numbers[member])} \N{RIGHTWARDS ARROW} {owner}"
        for member, owner in zip(result["member"].values, owners, strict=True)
    ]


MAKERS: dict[str, Callable[[Choice, Situation, Half, Half, int], Found]] = {
    "relevant_units": _relevant,
    "dissect": _dissected,
    "concepts": _concepts,
    "concept_vectors": _vectors,
    "rules": _rules,
}
