"""One cell: a method on a network and images with a seed, scored by every metric that applies to it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.arrays import IMAGE
from workbench.errors import Interrupted, WorkbenchError
from workbench.evaluate.binarise import as_binariser
from workbench.evaluate.overlap import aligned_units, measure
from workbench.evaluate.protocol.checks import INTERPRETATION, RANDOM_MAPS, kind_of
from workbench.evaluate.protocol.maps import explanation_maps
from workbench.evaluate.protocol.units import UnitMaps, pool, unit_maps
from workbench.evaluate.registry import metrics
from workbench.evaluate.tuning import cross_tuned
from workbench.evaluate.unit_localisation import unit_localisation
from workbench.evaluate.waiou import CONTROLS as UNIT_CONTROLS
from workbench.explain import explainers

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from workbench.evaluate.overlap import Overlaps
    from workbench.evaluate.protocol.choices import Choice
    from workbench.evaluate.protocol.description import Column, Protocol
    from workbench.evaluate.protocol.situation import Situation

FIELDS = ("value", "low", "high", "n")


@dataclass(frozen=True)
class Cell:
    """One cell, by what the table calls its parts."""

    method: str
    model: str
    data: str
    seed: int

    @property
    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"method": self.method, "model": self.model, "data": self.data, "seed": self.seed}


def cells(protocol: Protocol) -> list[Cell]:
    """All cells, those of the same network and images together.

    Args:
        protocol: the protocol.

    Returns:
        The cells.
    """
    return [
        Cell(str(method), model.name, data.name, seed)
        for model in protocol.models
        for data in protocol.data
        for method in protocol.methods
        for seed in protocol.seeds
    ]


def score_cell(protocol: Protocol, situation: Situation, cell: Cell, *, errors: str = "raise") -> dict[str, Any]:
    """Score one method.

    Args:
        protocol: the protocol, at hand.
        situation: the network and the images of the cell; its ``stop`` is asked on the way.
        cell: which.
        errors: ``"raise"``, or ``"keep"`` the message.

    Returns:
        Name of a column to ``{"note": why there is no number}``, or to its ``score``, one an image, ``own`` (value,
        low, high, n) where they are not the mean's, and ``controls``, name to (value, low, high, n). Plain content.

    Raises:
        Interrupted: the situation's ``stop`` answered True.
        WorkbenchError: as the method and the metrics.
    """
    method = next(item for item in protocol.methods if str(item) == cell.method)
    kind = kind_of(method)
    applicable = [column for column in protocol.columns if column.kind == kind]
    result: dict[str, Any] = {
        column.label: {"note": f"is not for {kind} methods"} for column in protocol.columns if column.kind != kind
    }
    if not applicable:
        return result
    scorer: Any = _Units if kind == INTERPRETATION else _Explanations
    made: Any = None
    failed = ""
    try:
        made = scorer(situation, method, cell.seed)
    except Interrupted:
        raise
    except WorkbenchError as error:
        if errors == "raise":
            raise
        failed = f"{type(error).__name__}: {error}"
    for column in applicable:
        if failed:
            result[column.label] = {"note": failed}
            continue
        situation.check(f"scoring {cell.method}")
        try:
            result[column.label] = made.score(column)
        except Interrupted:
            raise
        except WorkbenchError as error:
            if errors == "raise":
                raise
            result[column.label] = {"note": f"{type(error).__name__}: {error}"}
    return result


class _Explanations:
    """Maps of one explanation method, made when first scored."""

    def __init__(self, situation: Situation, method: Choice, seed: int) -> None:
        self._situation, self._method, self._seed = situation, method, seed
        self._maps = explanation_maps(situation, method, seed)

    def score(self, column: Column) -> dict[str, Any]:
        """One column."""
        metric = metrics[column.choice.name]
        known = inspect.signature(metric.function).parameters
        options = column.choice.parameters
        if "seed" in known:
            options["seed"] = self._seed
        if "explainer" in known:
            return self._by_explainer(column, options)
        if "truth" in known:
            truth = self._situation.truth
            if truth is None:
                return {"note": "needs rendered scenes, which can be drawn again without a part"}
            masks = truth["part_mask"].assign_coords({IMAGE: self._maps[IMAGE].values})
            truth = truth.assign_coords({IMAGE: self._maps[IMAGE].values})
            return _collected(metric(self._maps, masks, truth, **options), len(self._maps), "area")
        if "masks" in known:
            objects = self._situation.objects
            if objects is None:
                return {"note": "needs masks or boxes of the object, which these data do not have"}
            if "thresholds" in known and not _single(options.get("thresholds")):
                given = {name: value for name, value in options.items() if name in ("thresholds", "seed")}
                found = cross_tuned(self._maps, objects, metric=column.choice.name, **{**given, "seed": self._seed})
                return _collected(found, len(self._maps))
            return _collected(metric(self._maps, objects, **options), len(self._maps))
        if "model" not in known:
            return _collected(metric(self._maps, **options), len(self._maps))
        if "batch_size" in known:
            options.setdefault("batch_size", 64)
        return _collected(
            metric(self._maps, self._situation.model, self._situation.inputs, stop=self._situation.stop, **options),
            len(self._maps),
        )

    def _by_explainer(self, column: Column, options: dict[str, Any]) -> dict[str, Any]:
        if self._method.name == RANDOM_MAPS:
            return {"note": "asks the explanation method again, and random maps have none"}
        parameters = self._method.parameters
        if "seed" in inspect.signature(explainers[self._method.name].function).parameters:
            parameters["seed"] = self._seed
        situation = self._situation
        found = metrics[column.choice.name](
            self._method.name,
            situation.model,
            situation.inputs,
            target=situation.targets.tolist(),
            parameters=parameters,
            stop=situation.stop,
            **options,
        )
        return _collected(found, len(self._maps))


def _single(thresholds: Any) -> bool:
    return isinstance(thresholds, int | float) or (thresholds is not None and len(thresholds) == 1)


class _Units:
    """Maps of one interpretation method, and what they are scored on."""

    def __init__(self, situation: Situation, method: Choice, seed: int) -> None:
        self._situation, self._seed = situation, seed
        self._found: UnitMaps = unit_maps(method, situation, seed)

    def score(self, column: Column) -> dict[str, Any]:
        """One column."""
        options = column.choice.parameters
        if column.choice.name == "waiou":
            return self._weighted(options)
        return self._localised(options)

    @cached_property
    def _pool(self) -> xr.DataArray:
        return pool(self._situation, self._found.half)

    def _pooled(self, text: str) -> Overlaps:
        """What the units that random ones are drawn from share with the parts; measured once for all methods."""
        known, binariser = self._situation.pooled, as_binariser(text)
        key = (self._seed, str(binariser))
        if key not in known:
            known[key] = measure(*aligned_units(self._pool, self._found.half.parts), binariser)
        return known[key]

    def _weighted(self, options: dict[str, Any]) -> dict[str, Any]:
        found = self._found
        options.setdefault("draws", 5)
        if options.get("weights") == "relevance":
            options["relevance"] = found.relevance
        result = metrics["waiou"](
            found.maps,
            found.half.parts,
            shown=found.shown,
            pool=self._pooled(options["binarise"]),
            seed=self._seed,
            **options,
        )
        controls = {}
        for name in UNIT_CONTROLS:
            one = result.sel(control=name)
            controls[name] = [float(one[f"control_{field}"]) for field in FIELDS]
        own = [float(result[field]) for field in FIELDS]
        return {"score": self._placed(result["score"].values), "own": own, "controls": controls}

    def _localised(self, options: dict[str, Any]) -> dict[str, Any]:
        """Labels are learned as waiou learns them, and the other images are scored."""
        found = self._found
        linked = metrics["waiou"](found.maps, found.half.parts, shown=found.shown, draws=1, seed=self._seed)
        scored = np.flatnonzero(linked["half"].values == "scoring")
        criteria = options.pop("criteria", "average_precision")
        result = unit_localisation(
            found.maps.isel({IMAGE: scored}),
            found.half.parts.isel({IMAGE: scored}),
            linked["label"].values,
            criteria=(criteria,),
            seed=self._seed,
            **options,
        ).isel(criterion=0)
        score = np.full(len(found.half.positions), np.nan)
        table = result["score"].values
        counts = np.isfinite(table).sum(axis=1)
        score[scored] = np.divide(np.nansum(table, axis=1), counts, out=np.full(len(table), np.nan), where=counts > 0)
        own = [float(result[field]) for field in FIELDS]
        chance = [float(result[f"baseline_{field}"]) for field in FIELDS[:3]] + [own[3]]
        return {"score": self._placed(score), "own": own, "controls": {"chance": chance}}

    def _placed(self, score: NDArray[np.float64]) -> list[float]:
        """Scores at the places of their images; NaN for those that were learned from."""
        every = np.full(len(self._situation.source), np.nan)
        every[self._found.half.positions] = score
        return [float(value) for value in every]


def _collected(result: xr.Dataset, count: int, baseline: str = "chance") -> dict[str, Any]:
    """What a metric gave, as plain content."""
    score = result["score"]
    spare = [dim for dim in score.dims if dim != IMAGE]
    score = score.transpose(IMAGE, *spare)
    values = np.asarray(score.values, dtype=np.float64).reshape(count, -1)
    counts = np.isfinite(values).sum(axis=1)
    mean = np.divide(np.nansum(values, axis=1), counts, out=np.full(count, np.nan), where=counts > 0)
    name = str(result.attrs.get("baseline", baseline))
    controls = {}
    if "baseline_value" in result and result["baseline_value"].size == 1:
        ends = [float(np.asarray(result[f"baseline_{field}"].values).ravel()[0]) for field in FIELDS[:3]]
        reference = result.get(name, None)
        number = int(np.isfinite(reference.values).sum()) if reference is not None else int((counts > 0).sum())
        controls[name] = [*ends, number]
    return {"score": [float(value) for value in mean], "controls": controls}
