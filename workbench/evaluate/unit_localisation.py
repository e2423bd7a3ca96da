"""Do the maps of units lie on the parts that the units are linked to, without a threshold being chosen."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, PART, UNIT, X, Y, check_array, provenance, strings
from workbench.errors import InputError, unknown_name
from workbench.evaluate.linking import given_labels
from workbench.evaluate.overlap import aligned_units, row_coordinates
from workbench.evaluate.pixel_scores import mass_core, precision_core, rank_core
from workbench.evaluate.registry import metrics
from workbench.stats import bootstrap_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.evaluate.localisation import Core

CRITERIA: MappingProxyType[str, Core] = MappingProxyType(
    {"average_precision": precision_core, "relevance_mass": mass_core, "relevance_rank": rank_core}
)


@metrics.register(
    title="Localisation of linked units",
    source=("arras2022", "choe2020"),
    access="activations",
    returns="average precision, relevance mass and rank accuracy of each unit's maps on the part it is linked to",
    specificity="shared",
    coverage="one layer",
    annotation="masks",
    feedback="number",
    note="Free of a threshold, unlike the weighted average IoU; the links come from there, learned on other images.",
)
def unit_localisation(
    heatmaps: xr.DataArray,
    masks: xr.DataArray,
    label: Any,
    *,
    criteria: Sequence[str] = tuple(CRITERIA),
    level: float = 0.95,
    resamples: int = 1999,
    seed: int = 0,
) -> xr.Dataset:
    """How well the maps of units find the pixels of their parts, by measures that cut no map.

    The three are those of :func:`~workbench.evaluate.mask_average_precision`,
    :func:`~workbench.evaluate.relevance_mass` and :func:`~workbench.evaluate.relevance_rank`, over all pairs of a unit
    and an image that shows its part; every pair counts the same.

    Args:
        heatmaps: (image, unit, y, x) finite numbers; another name for ``unit`` will do. Values below zero count as
            zero; a map that is constant then scores chance.
        masks: (image, part, y, x) bool on the same grid.
        label: (unit) names of parts, "" for a unit that is left out; such as ``label`` of
            :func:`~workbench.evaluate.waiou`. Score images that the labels were not learned on: those whose ``half``
            it calls ``"scoring"``.
        criteria: some of ``"average_precision"``, ``"relevance_mass"``, ``"relevance_rank"``.
        level: nominal coverage of the intervals.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Dataset: ``value``, ``low``, ``high`` and ``n`` (criterion), the mean over pairs with its BCa bootstrap
        interval over images; ``baseline_value``, ``baseline_low``, ``baseline_high``, the same of chance, the share of
        the image that the part covers; ``score`` (criterion, image, unit), NaN where the part is not visible.

    Raises:
        ShapeError, DtypeError, NotFiniteError: as :func:`~workbench.evaluate.waiou`.
        UnknownNameError: no such part or criterion.
        InputError: no unit has a label whose part is visible, or no criterion.

    Source: [arras2022], [choe2020]
    """
    for name in criteria:
        if name not in CRITERIA:
            raise unknown_name("criterion", name, CRITERIA)
    if not criteria:
        raise InputError(f"criteria are empty; expected some of {', '.join(map(repr, CRITERIA))}.")
    maps, truth = aligned_units(heatmaps, masks)
    images, units = maps.shape[:2]
    part = given_labels(label, [str(name) for name in truth[PART].values], units)
    visible = np.asarray(truth.values.any(axis=(2, 3)))
    pairs = (part >= 0) & visible[:, np.maximum(part, 0)]
    if not pairs.any():
        raise InputError("No unit has a label whose part is visible in these images; there is nothing to score.")
    score, chance = (np.full((len(criteria), images, units), np.nan) for _ in range(2))
    for unit in np.flatnonzero(pairs.any(axis=0)):
        rows = np.flatnonzero(pairs[:, unit])
        heat = check_array(maps[rows, unit].values, name=f"heatmaps of unit {unit}", dims=(IMAGE, Y, X))
        heat = np.maximum(heat.astype(np.float64), 0)
        mask = truth[rows, int(part[unit])].values
        for index, name in enumerate(criteria):
            result = CRITERIA[name](heat, mask)
            score[index, rows, unit], chance[index, rows, unit] = result["score"], result["chance"]
    options: dict[str, Any] = {"level": level, "resamples": resamples, "seed": seed}
    count = pairs.sum(axis=1, keepdims=True)
    columns: dict[str, Any] = {}
    for prefix, table in (("", score), ("baseline_", chance)):
        found = [bootstrap_ratio(np.nansum(row, axis=1, keepdims=True), count, **options) for row in table]
        for field in ("value", "low", "high"):
            columns[f"{prefix}{field}"] = ("criterion", [getattr(estimate, field) for estimate in found])
        columns["n"] = ("criterion", [estimate.n for estimate in found])
    made_by = {f"interpretation_{key}": value for key, value in heatmaps.attrs.items() if key != "versions"}
    return xr.Dataset(
        {**columns, "score": (("criterion", IMAGE, UNIT), score)},
        coords={**row_coordinates(maps, truth), "criterion": strings(criteria)},
        attrs=provenance(metric="unit_localisation", level=level, seed=seed, **made_by),
    )
