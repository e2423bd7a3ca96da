"""What a protocol's table says beyond its numbers: which methods differ, and whether measures rank them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE
from workbench.errors import InputError, unknown_name
from workbench.stats import compare_pairs, compare_rankings, kendall_tau

if TYPE_CHECKING:
    from collections.abc import Sequence

METHOD, METRIC, MODEL, DATA, SEED = "method", "metric", "model", "data", "seed"


def method_comparison(
    table: xr.Dataset, *, metric: str, model: str | None = None, data: str | None = None, resamples: int = 9999
) -> xr.Dataset:
    """Which methods differ by a metric: paired tests on the same images, Holm over all pairs, effect sizes.

    Args:
        table: what :meth:`Protocol.run` gives.
        metric: as the table names it.
        model: likewise; the first where omitted.
        data: likewise.
        resamples: of bootstrap and test.

    Returns:
        As :func:`~workbench.stats.compare_pairs`, of the methods that the metric scores; ``better`` (first, second)
        float64: 1 where the first is better than the second after correction at 0.05, -1 where it is worse, else 0.
        Of weighted averages, images' own averages are compared, each counting the same.

    Raises:
        InputError: no such table, or fewer than two methods with scores.
        UnknownNameError: no such metric, model or data.
    """
    part = _part(table, model, data)
    if metric not in part[METRIC].values:
        raise unknown_name("metric", metric, part[METRIC].values)
    chosen = part.sel({METRIC: metric})
    scores = _over_seeds(chosen["score"])
    scored = scores.notnull().any(IMAGE).values
    if scored.sum() < 2:
        raise InputError(f"{int(scored.sum())} methods have scores by {metric!r}; a comparison needs two.")
    found = compare_pairs(scores.isel({METHOD: scored}), between=METHOD, over=IMAGE, resamples=resamples)
    sign = 1 if str(chosen["better"].item()) == "higher" else -1
    significant = found["adjusted"].values < 0.05
    found["better"] = (("first", "second"), np.where(significant, sign * np.sign(found["difference"].values), 0.0))
    return found.assign_attrs(metric=metric, protocol=table.attrs.get("protocol", ""))


def ranking_agreement(
    table: xr.Dataset,
    *,
    metrics: Sequence[str] | None = None,
    kind: str = "explanation",
    methods: Sequence[str] | None = None,
    model: str | None = None,
    data: str | None = None,
    resamples: int = 999,
) -> xr.Dataset:
    """Do metrics, binarisers or weightings rank the methods alike: Kendall's tau between every two.

    Args:
        table: what :meth:`Protocol.run` gives.
        metrics: as the table names them; all of the kind that score every method where omitted.
        kind: ``"explanation"`` or ``"interpretation"``, where no metrics are named.
        methods: which to rank; all that every metric scores where omitted.
        model: the first where omitted.
        data: the first where omitted.
        resamples: of the images.

    Returns:
        As :func:`~workbench.stats.compare_rankings`, best methods first by every metric whatever its direction, with
        the coordinate ``method``, those that were ranked. Of weighted averages, ``tau`` ranks by the mean of the
        images' own averages, since that is what can be resampled; ``tau_of_values`` (first, second) ranks by the
        table's values, without an interval.

    Raises:
        InputError: no such table, or fewer than two metrics or methods that have scores in common.
        UnknownNameError: no such metric, method, model or data.
    """
    part = _part(table, model, data)
    for wanted, dim in ((metrics, METRIC), (methods, METHOD)):
        for name in wanted or ():
            if name not in part[dim].values:
                raise unknown_name(dim, name, part[dim].values)
    chosen = part if methods is None else part.sel({METHOD: list(methods)})
    if metrics is None:
        chosen = chosen.isel({METRIC: np.flatnonzero(chosen["metric_kind"].values == kind)})
        chosen = chosen.isel({METRIC: np.flatnonzero((chosen["n"] > 0).any(METHOD).values)})
    else:
        chosen = chosen.sel({METRIC: list(metrics)})
    chosen = chosen.isel({METHOD: np.flatnonzero((chosen["n"] > 0).all(METRIC).values)})
    if chosen.sizes[METRIC] < 2 or chosen.sizes[METHOD] < 2:
        raise InputError(
            f"{chosen.sizes[METHOD]} methods have scores by all of {chosen.sizes[METRIC]} metrics; rankings need two "
            "of each. Name metrics that score the same methods."
        )
    sign = chosen["better"].copy(data=np.where(chosen["better"].values == "higher", 1.0, -1.0))
    scores = _over_seeds(chosen["score"]) * sign
    found = compare_rankings(
        scores.transpose(METRIC, METHOD, IMAGE), ranking=METRIC, between=METHOD, over=IMAGE, resamples=resamples
    )
    values = (chosen["value"] * sign).transpose(METRIC, METHOD).values
    found["tau_of_values"] = (("first", "second"), kendall_tau(values[:, None], values[None]))
    return found.assign_coords({METHOD: chosen[METHOD].values}).assign_attrs(protocol=table.attrs.get("protocol", ""))


def _part(table: Any, model: str | None, data: str | None) -> xr.Dataset:
    """One network on one set of images."""
    if not isinstance(table, xr.Dataset) or "score" not in table or METRIC not in table.dims:
        raise InputError("The table is not one of a protocol; expected what Protocol.run gives.")
    chosen: dict[str, str] = {}
    for dim, name in ((MODEL, model), (DATA, data)):
        known = [str(item) for item in table[dim].values]
        if name is not None and name not in known:
            raise unknown_name(dim, name, known)
        chosen[dim] = known[0] if name is None else name
    return table.sel(chosen)


def _over_seeds(score: xr.DataArray) -> xr.DataArray:
    return score.mean(SEED)
