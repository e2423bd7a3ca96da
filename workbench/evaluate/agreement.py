"""Does a heatmap rank the parts of an image as taking them away does?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, OBJECT, PART, provenance
from workbench.errors import InputError, ShapeError, unknown_name
from workbench.evaluate.regions import aligned
from workbench.evaluate.registry import metrics
from workbench.stats import bootstrap_dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

Reduction = Literal["sum", "mean", "maximum"]
Correlation = Literal["spearman", "kendall"]


@metrics.register(
    title="Agreement with intervention",
    source=(),
    access="black box",
    returns="rank correlation of a map's parts with what taking each of them away does to the network's score",
    annotation="masks",
    feedback="number",
    note="On rendered scenes alone, since only they can be drawn again without a part. The truth is the effect of "
    "taking away one part at a time; what parts do together it does not say.",
    parameters={
        "reduction": ("choice", "sum", get_args(Reduction)),
        "correlation": ("choice", "spearman", get_args(Correlation)),
    },
)
def intervention_agreement(
    heatmaps: xr.DataArray,
    part_masks: xr.DataArray,
    truth: xr.DataArray | xr.Dataset,
    *,
    reduction: Reduction = "sum",
    correlation: Correlation = "spearman",
    least_parts: int = 3,
) -> xr.Dataset:
    """Compare how a heatmap ranks the parts of each image with how much each part is worth to the network.

    Here values below zero count as they are, since what a part is worth can be negative too; of maps that carry a
    coordinate ``signed``, that is taken. A map by which all parts are equal gets 0, the score of chance.

    Args:
        heatmaps: (image, y, x) finite numbers.
        part_masks: (image, part, y, x) bool on the same grid, such as ``part_mask`` of
            :func:`~workbench.evaluate.intervention_truth`; ``object`` in place of ``part`` will do.
        truth: what :func:`~workbench.evaluate.intervention_truth` gives, or (image, part) effects, NaN where the part
            is not there.
        reduction: what a part gets of the map: the ``"sum"`` over its pixels (taking a part away takes all of them
            away), their ``"mean"``, or their ``"maximum"``.
        correlation: ``"spearman"`` or ``"kendall"`` (tau-b).
        least_parts: images with fewer visible parts are left out; at least 2.

    Returns:
        Dataset: ``score`` (image) in [-1, 1], NaN for images with too few parts or whose parts are all worth the
        same; ``area`` (image), the score of ranking the parts by their size; ``value``, ``low``, ``high``, ``n``, the
        mean over images with its 95 % BCa bootstrap interval, and ``baseline_value`` ... of ``area`` likewise. Besides,
        ``attribution`` (image, part) float64, what each visible part gets; ``top`` (image) in [0, 1], whether the
        part with the most is the one that is worth most (ties share), ``chance`` (image), one over the number of
        parts, and ``top_value``, ``top_low``, ``top_high``, the mean of ``top``.

    Raises:
        ShapeError: maps, masks and truth of other sizes or images.
        DtypeError: masks that are not boolean.
        NotFiniteError: NaN or infinity in a heatmap.
        UnknownNameError: a part that the truth does not know.
        InputError: every mask is empty, no image with enough parts, or an unknown reduction or correlation.
    """
    for name, value, known in (("reduction", reduction, Reduction), ("correlation", correlation, Correlation)):
        if value not in get_args(known):
            raise InputError(f"{name} is {value!r}; expected one of {', '.join(map(repr, get_args(known)))}.")
    if isinstance(least_parts, bool) or not isinstance(least_parts, int) or least_parts < 2:
        raise InputError(f"least_parts is {least_parts!r}; expected a whole number of at least 2.")
    if isinstance(part_masks, xr.DataArray) and OBJECT in part_masks.dims and PART not in part_masks.dims:
        part_masks = part_masks.rename({OBJECT: PART})
    given = heatmaps
    if isinstance(heatmaps, xr.DataArray) and "signed" in heatmaps.coords:
        given = heatmaps.copy(data=heatmaps.coords["signed"].transpose(*heatmaps.dims).values)
    heat, masks = aligned(given, part_masks)
    if set(masks.dims[1:-2]) != {PART}:
        raise ShapeError(f"part_masks have the dimensions {part_masks.dims}; expected (image, part, y, x).")
    worth = _worth(truth, masks)
    found, area = _attribution(heat, masks.values, reduction)
    valid = np.isfinite(worth) & (area > 0)
    valid &= valid.sum(axis=1, keepdims=True) >= least_parts
    if not valid.any():
        raise InputError(
            f"No image has {least_parts} visible parts whose worth is known. Lower least_parts, or pass other scenes."
        )
    result = xr.Dataset(
        {
            "score": (IMAGE, _correlation(found, worth, valid, correlation)),
            "area": (IMAGE, _correlation(area, worth, valid, correlation)),
            "attribution": ((IMAGE, PART), np.where(area > 0, found, np.nan)),
            "top": (IMAGE, _top(found, worth, valid)),
            "chance": (IMAGE, np.where(valid.any(axis=1), 1 / np.maximum(valid.sum(axis=1), 1), np.nan)),
        },
        coords={name: coord for name, coord in masks.coords.items() if coord.dims in ((IMAGE,), (PART,))},
    )
    if IMAGE in heatmaps.coords:
        result = result.assign_coords({IMAGE: heatmaps.coords[IMAGE].values})
    for prefix, variable in (("", "score"), ("baseline_", "area"), ("top_", "top")):
        summary = bootstrap_dataset(result[variable], over=IMAGE)
        result = result.assign({f"{prefix}{name}": summary[name] for name in ("value", "low", "high")})
        if not prefix:
            result["n"] = summary["n"]
    made_by = {f"explanation_{key}": value for key, value in heatmaps.attrs.items() if key != "versions"}
    facts = {"reduction": reduction, "correlation": correlation, "least_parts": least_parts}
    return result.assign_attrs(provenance(metric="intervention_agreement", baseline="area", **facts, **made_by))


def _worth(truth: Any, masks: xr.DataArray) -> NDArray[np.float64]:
    """(image, part) effects in the order of the masks."""
    effects = truth["effect"] if isinstance(truth, xr.Dataset) and "effect" in truth else truth
    if isinstance(effects, xr.DataArray) and OBJECT in effects.dims and PART not in effects.dims:
        effects = effects.rename({OBJECT: PART})
    if not isinstance(effects, xr.DataArray) or set(effects.dims) != {IMAGE, PART}:
        shown = effects.dims if isinstance(effects, xr.DataArray) else type(effects).__name__
        raise ShapeError(f"truth has the dimensions {shown}; expected (image, part), as intervention_truth gives it.")
    if effects.sizes[IMAGE] != masks.sizes[IMAGE]:
        raise ShapeError(f"truth of {effects.sizes[IMAGE]} images and masks of {masks.sizes[IMAGE]}; expected as many.")
    if IMAGE in effects.coords and IMAGE in masks.coords:
        first, second = effects[IMAGE].values.astype(str), masks[IMAGE].values.astype(str)
        if (first != second).any():
            where = int(np.flatnonzero(first != second)[0])
            raise ShapeError(
                f"entry {where} of truth is of image {str(first[where])!r}, that of the masks of "
                f"{str(second[where])!r}. Select the same images from both, in the same order."
            )
    if PART in effects.coords and PART in masks.coords:
        known = [str(name) for name in effects[PART].values]
        for name in masks[PART].values:
            if str(name) not in known:
                raise unknown_name("part", str(name), known)
        effects = effects.isel({PART: [known.index(str(name)) for name in masks[PART].values]})
    elif effects.sizes[PART] != masks.sizes[PART]:
        raise ShapeError(f"truth of {effects.sizes[PART]} parts and masks of {masks.sizes[PART]}; name the parts.")
    values = np.asarray(effects.transpose(IMAGE, PART).values, dtype=np.float64)
    if np.isinf(values).any():
        raise InputError("truth holds infinity; what a part is worth is finite, or NaN where it is not there.")
    return values


def _attribution(
    heat: NDArray[np.float64], masks: NDArray[np.bool_], reduction: Reduction
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each part gets of its map, and its area: (image, part) both."""
    area = masks.sum(axis=(2, 3)).astype(np.float64)
    if reduction == "maximum":
        return np.where(masks, heat[:, None], -np.inf).max(axis=(2, 3)), area
    total = np.where(masks, heat[:, None], 0.0).sum(axis=(2, 3))
    return total / np.maximum(area, 1) if reduction == "mean" else total, area


def _correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], valid: NDArray[np.bool_], kind: Correlation
) -> NDArray[np.float64]:
    """Rank correlation of each row over its valid columns, all rows at once.

    Both kinds come from the signs of all differences between two columns: Kendall's is their correlation, and their
    sum over the second column is twice the centred rank that Spearman's is the correlation of.
    """
    both = valid[:, :, None] & valid[:, None, :]
    signs = []
    for values in (first, second):
        known = np.where(valid, values, 0.0)
        difference = np.where(both, np.sign(known[:, :, None] - known[:, None, :]), 0.0)
        signs.append(difference.sum(axis=2) if kind == "spearman" else difference.reshape(len(difference), -1))
    left, right = signs
    scale = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    score = np.divide((left * right).sum(axis=1), scale, out=np.zeros(len(left)), where=scale > 0)
    return np.where((right**2).sum(axis=1) > 0, np.clip(score, -1, 1), np.nan)


def _top(first: NDArray[np.float64], second: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of the columns with the largest first value that have the largest second one; NaN without valid ones."""
    tops = []
    for values in (first, second):
        known = np.where(valid, values, -np.inf)
        tops.append(valid & (known == known.max(axis=1, keepdims=True)))
    hits = (tops[0] & tops[1]).sum(axis=1)
    return np.where(valid.any(axis=1), hits / np.maximum(tops[0].sum(axis=1), 1), np.nan)
