"""Units that fire together on the patches that explain a category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import stats as scipy_stats

from workbench.arrays import CATEGORY, UNIT, provenance, strings
from workbench.errors import InputError
from workbench.interpret.features import source_facts
from workbench.interpret.patches import explained_patches, patch_activity
from workbench.interpret.reading import category_of_images, one_layer
from workbench.interpret.registry import interpreters
from workbench.stats import benjamini_hochberg

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

RULE = "rule"
SHARED_BELOW = 0.5


@interpreters.register(
    title="Rules between units and categories",
    source=("agrawal1994", "han2000"),
    access="gradients",
    returns="sets of units that fire together on explained patches of a category",
    signed=False,
    specificity="class",
    coverage="one layer",
    annotation="labels",
    feedback="units",
    cost="one pass over the maps of explained images, and mining",
    note="Confidence, lift and significance are the textbook's: over the patches of all categories.",
    parameters={"top_units": ("int", 10, 2, 25)},
)
def rules(
    store: Activations,
    heatmaps: xr.DataArray,
    *,
    layer: str | None = None,
    labels: Any = "predicted",
    size: int = 56,
    most_patches: int = 10,
    margin: int | None = None,
    top_units: int = 10,
    least_support: int = 2,
    longest: int = 3,
    least_confidence: float = 0.5,
    per_category: int = 10,
    level: float = 0.05,
    patches: xr.Dataset | None = None,
) -> xr.Dataset:
    """Mine rules {units} -> category from the patches that explain predictions.

    Each explained patch is a transaction: the units most active inside it, and the category of its image. Frequent
    sets of two or more units within a category become rules, which are then judged on the patches of all categories.

    Args:
        store: an activation store, or other activations.
        heatmaps: (image, y, x), what explains each image's prediction, named by the store's identifiers.
        layer: the layer's name; may be left out where there is but one.
        labels: ``"predicted"``, ``"true"``, or (image) integers of the store's images, -1 to leave an image out.
        size: side of a patch in pixels of the heatmaps.
        most_patches: at most so many patches an image.
        margin: see :func:`~workbench.interpret.patches.explained_patches`.
        top_units: units in a transaction (5, 10 and 25 as published); those that are not active at all are left out.
        least_support: patches of the category that a set must occur in.
        longest: most units in a rule; longer sets are many and seldom say more.
        least_confidence: smallest share of the matching patches that are of the category.
        per_category: at most so many rules a category, by support times confidence.
        level: false discovery rate at which a rule counts as significant.
        patches: explained patches that are at hand already; ``heatmaps`` is then not looked at.

    Returns:
        Dataset on ``rule``: ``category_of_rule`` (rule), its name, and ``category_index``; ``member`` (rule, unit)
        bool; ``support`` (rule), patches with the units and the category; ``matches`` (rule), patches with the units;
        ``confidence``, ``lift``, ``p_value`` (Fisher's exact test, one-sided), ``adjusted`` (Benjamini-Hochberg over
        all sets that were tested),
        ``significant``; ``distribution`` (rule, of_category), the share of each category among the matching patches;
        ``shared`` (rule), whether no category holds more than half of them. A rule that contains another of its
        category with at least its confidence is left out as redundant. ``weight`` (category, unit): support times
        confidence of the best rule that holds the unit, by which units can be ranked. There may be no rule.

    Raises:
        InputError: no patch at all, no labels, one category only, or a parameter out of range.
        UnknownNameError: no such layer.
        ShapeError, NotFiniteError: heatmaps that cannot be used.

    Source: [agrawal1994], [han2000]
    """
    name = one_layer(store, layer)
    _check_options(top_units, least_support, longest, least_confidence, per_category, level)
    category, names = category_of_images(store, labels)
    if patches is None:
        patches = explained_patches(heatmaps, size=size, most=most_patches, margin=margin)
    activity = patch_activity(store, patches, layer=name)
    position = {str(identifier): index for index, identifier in enumerate(store.identifiers)}
    owner = np.array([category[position[str(image)]] for image in patches["image"].values], dtype=np.int64)
    if not (owner >= 0).any():
        raise InputError("No explained patch belongs to a category; check that the heatmaps have positive values.")
    fired = transactions(activity.values[owner >= 0], top_units)
    owner = owner[owner >= 0]
    found = [_rules_of(fired, owner, each, least_support, longest) for each in np.unique(owner)]
    result = _judge(fired, owner, [rule for some in found for rule in some], len(names))
    result = _kept(result, least_confidence, per_category, level)
    result = result.assign_coords({coord: activity.coords[coord] for coord in (UNIT, "layer", "index")})
    result["weight"] = ((CATEGORY, UNIT), _unit_weights(result, len(names)))
    result["category_of_rule"] = (RULE, strings(names[each] for each in result["category_index"].values))
    result = result.assign_coords({CATEGORY: strings(names), "of_category": strings(names)})
    return result.assign_attrs(
        provenance(
            method="rules",
            layers=[name],
            patches=len(owner),
            top_units=top_units,
            longest=longest,
            least_support=least_support,
            least_confidence=least_confidence,
            **source_facts(store, [name]),
        )
    )


def mine(fired: NDArray[np.bool_], *, least_support: int, longest: int) -> list[tuple[int, ...]]:
    """Sets of two or more units that occur together often enough, by FP-growth.

    Args:
        fired: (transaction, unit) bool.
        least_support: transactions that a set must occur in.
        longest: most units in a set.

    Returns:
        The sets, each sorted, in a fixed order.

    Source: [han2000]
    """
    from mlxtend.frequent_patterns import fpgrowth

    often = np.flatnonzero(fired.sum(axis=0) >= least_support)
    if len(often) < 2 or longest < 2:
        return []
    table = _frame(fired[:, often])
    # a hair below, so that rounding does not lose the sets that are just frequent enough
    sets = fpgrowth(table, min_support=(least_support - 0.5) / len(fired), max_len=longest)
    return sorted(tuple(sorted(int(often[column]) for column in each)) for each in sets["itemsets"] if len(each) > 1)


def _frame(values: NDArray[np.bool_]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(values)


def transactions(activity: NDArray[np.float32], top_units: int) -> NDArray[np.bool_]:
    """Units that fire on each patch: among the most active ones, and active at all.

    Args:
        activity: (patch, unit) float.
        top_units: most units a patch.

    Returns:
        (patch, unit) bool.
    """
    fired = np.zeros(activity.shape, dtype=bool)
    strongest = np.argsort(-activity, axis=1, kind="stable")[:, :top_units]
    np.put_along_axis(fired, strongest, True, axis=1)
    return fired & (activity > 0)


def _rules_of(
    fired: NDArray[np.bool_], owner: NDArray[np.int64], category: int, least_support: int, longest: int
) -> list[tuple[int, tuple[int, ...]]]:
    sets = mine(fired[owner == category], least_support=least_support, longest=longest)
    return [(int(category), each) for each in sets]


def _judge(
    fired: NDArray[np.bool_], owner: NDArray[np.int64], candidates: list[tuple[int, tuple[int, ...]]], categories: int
) -> xr.Dataset:
    """Confidence, lift and significance of every candidate on the patches of all categories."""
    member = np.zeros((len(candidates), fired.shape[1]), dtype=bool)
    for row, (_, units) in enumerate(candidates):
        member[row, list(units)] = True
    of = np.array([category for category, _ in candidates], dtype=np.int64)
    sizes = member.sum(axis=1)
    by_category = np.zeros((len(candidates), categories), dtype=np.int64)
    onehot = np.eye(categories, dtype=np.float32)[owner]
    for start in range(0, len(candidates), 4096):
        some = slice(start, start + 4096)
        together = member[some].astype(np.float32) @ fired.T.astype(np.float32) >= sizes[some, None] - 0.5
        by_category[some] = (together.astype(np.float32) @ onehot).astype(np.int64)
    total, matches = len(fired), by_category.sum(axis=1)
    prior = onehot.sum(axis=0).astype(np.int64)
    support = by_category[np.arange(len(of)), of]
    confidence = support / np.maximum(matches, 1)
    p_value = scipy_stats.hypergeom.sf(support - 1, total, prior[of], matches)
    return xr.Dataset(
        {
            "category_index": (RULE, of),
            "member": ((RULE, UNIT), member),
            "support": (RULE, support),
            "matches": (RULE, matches),
            "confidence": (RULE, confidence),
            "lift": (RULE, confidence / (prior[of] / total)),
            "p_value": (RULE, np.clip(p_value, 0, 1)),
            "adjusted": (RULE, benjamini_hochberg(np.clip(p_value, 0, 1))),
            "distribution": ((RULE, "of_category"), by_category / np.maximum(matches, 1)[:, None]),
        }
    )


def _kept(result: xr.Dataset, least_confidence: float, per_category: int, level: float) -> xr.Dataset:
    confident = result.isel({RULE: np.flatnonzero(result["confidence"].values >= least_confidence)})
    value = confident["support"].values * confident["confidence"].values
    sizes = confident["member"].values.sum(axis=1)
    # of equals the shorter rule, which is the more general, comes first
    order = np.lexsort((sizes, -value, confident["category_index"].values))
    member, of = confident["member"].values, confident["category_index"].values
    confidence = confident["confidence"].values
    kept: dict[int, list[int]] = {}
    for row in order:
        rivals = kept.setdefault(int(of[row]), [])
        if len(rivals) >= per_category:
            continue
        # a more general rule of at least this confidence has at least this support: it came earlier
        as_sure = [rival for rival in rivals if confidence[rival] >= confidence[row]]
        if not any((member[rival] <= member[row]).all() for rival in as_sure):
            rivals.append(int(row))
    chosen = confident.isel({RULE: [row for rows in kept.values() for row in rows]})
    chosen["significant"] = chosen["adjusted"] <= level
    chosen["shared"] = (RULE, (chosen["distribution"].values <= SHARED_BELOW).all(axis=1))
    return chosen


def _unit_weights(result: xr.Dataset, categories: int) -> NDArray[np.float64]:
    weight = np.zeros((categories, result.sizes[UNIT]))
    value = result["support"].values * result["confidence"].values
    for row in range(result.sizes[RULE]):
        category = int(result["category_index"][row])
        units = result["member"].values[row]
        weight[category, units] = np.maximum(weight[category, units], value[row])
    return weight


def _check_options(
    top_units: int, least_support: int, longest: int, least_confidence: float, per_category: int, level: float
) -> None:
    if top_units < 2 or longest < 2 or least_support < 1 or per_category < 1:
        raise InputError(
            f"top_units is {top_units}, longest {longest}, least_support {least_support}, per_category {per_category}; "
            "expected at least 2 units in transactions and rules, and at least 1 of the others."
        )
    if not 0 <= least_confidence <= 1 or not 0 < level < 1:
        raise InputError(f"least_confidence is {least_confidence}, level {level}; expected numbers between 0 and 1.")
