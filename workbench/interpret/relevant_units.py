"""Which units a network uses for which category: a few weights per category that predict it from unit activity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import CATEGORY, IMAGE, UNIT, check_array, provenance, strings
from workbench.errors import InputError, ShapeError
from workbench.interpret.budget import Solution, largest_eigenvalue, minimise
from workbench.interpret.features import (
    Moments,
    Normalisation,
    feature_blocks,
    feature_table,
    moments,
    source_facts,
    unit_axis,
)
from workbench.interpret.reading import category_of_images, chosen_layers, image_weights
from workbench.interpret.registry import interpreters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

SPARSITY = "sparsity"
Solve = Callable[[float, "NDArray[np.float64] | None"], Solution]


@interpreters.register(
    title="Relevant units (VEBI)",
    source=("oramas2019",),
    access="activations",
    returns="a non-negative weight for each category and unit, most of them zero",
    signed=False,
    specificity="class",
    coverage="several layers",
    annotation="labels",
    feedback="units",
    cost="one pass over the images; then independent of their number",
    note="The bound of the weights has no scale-free meaning: ask for units a category, or sweep it.",
    parameters={"units_per_category": ("float", 5.0, 1.0, 50.0)},
)
def relevant_units(
    store: Activations,
    labels: Any = "predicted",
    *,
    layers: str | Sequence[str] | None = None,
    normalisation: Normalisation = "norm",
    sparsity: float | Sequence[float] | None = None,
    units_per_category: float = 5.0,
    weights: Any = None,
) -> xr.Dataset:
    """Find, for each category, the few units whose activity predicts it.

    With x one number a unit (how strongly it answers to the image) and l = 1 for the images of the category, else 0,
    the squared error sum (w'x - l)^2 is minimised over w >= 0, sum w <= sparsity. Units with a weight above zero are
    relevant. All images are folded into a Gram matrix once; what follows does not depend on their number.

    Args:
        store: an activation store, or other activations.
        labels: ``"predicted"`` (what the network says), ``"true"`` (the store's labels), or (image) integers, -1 to
            leave an image out.
        layers: names of layers, whose units compete; all where omitted.
        normalisation: what x is, see :func:`~workbench.interpret.features.unit_features`.
        sparsity: the bound, or several for a path over them; in units of 1 / x. The paper's 10 goes with ``"norm"``.
        units_per_category: where no sparsity is given, the bound is chosen such that about so many units a category
            are relevant, on average; fewer where more of them would not lower the error.
        weights: (image) zero or more, how often each image counts, as a coreset has them; once where omitted.

    Returns:
        Dataset: ``weight`` (category, unit) float64; ``objective`` (category), the squared error; ``explained``
        (category), one minus its share of the error of no units at all; ``gap`` (category), by how much the objective
        could at most be lower; ``images`` (category). With several bounds, a leading dimension ``sparsity``.
        Coordinates ``unit`` ("layer:index"), ``layer`` and ``index``.

    Raises:
        InputError: the store lacks the labels, they name one category only, features are constant, or a parameter is
            out of range.
        UnknownNameError: no such layer.
        NotFiniteError: NaN or infinity in the maps; the image is named.

    Source: [oramas2019]
    """
    names = chosen_layers(store, layers)
    category, categories = category_of_images(store, labels)
    counts = image_weights(weights, len(category))
    folded = moments(
        feature_blocks(store, names, normalisation), category=category, categories=len(categories), weights=counts
    )
    result = solve(folded, sparsity=sparsity, units_per_category=units_per_category)
    result = result.assign_coords({CATEGORY: strings(categories), **unit_axis(store, names)})
    return result.assign_attrs(
        provenance(
            method="relevant_units",
            normalisation=normalisation,
            labels=labels if isinstance(labels, str) else "given",
            layers=list(names),
            **source_facts(store, names),
        )
    )


def relevant_units_of_features(
    features: xr.DataArray,
    category: Any,
    *,
    categories: Sequence[str],
    sparsity: float | Sequence[float] | None = None,
    units_per_category: float = 5.0,
    weights: Any = None,
) -> xr.Dataset:
    """The same from features that are in memory, for many subsets of one set of images.

    Args:
        features: (image, unit) as :func:`~workbench.interpret.features.unit_features` gives them.
        category: (image) int64, -1 for none.
        categories: names of the categories.
        sparsity: as in :func:`relevant_units`.
        units_per_category: as in :func:`relevant_units`.
        weights: as in :func:`relevant_units`.

    Returns:
        As :func:`relevant_units`.

    Raises:
        InputError, ShapeError, NotFiniteError: as in :func:`relevant_units`.
    """
    table = feature_table(features)
    member = check_array(category, name="category", dims=(IMAGE,), kinds="iu").astype(np.int64)
    if len(member) != len(table):
        raise ShapeError(f"{len(member)} labels for {len(table)} images; expected one an image.")
    counts = image_weights(weights, len(table))
    folded = moments(
        iter([(np.arange(len(table)), table)]), category=member, categories=len(categories), weights=counts
    )
    result = solve(folded, sparsity=sparsity, units_per_category=units_per_category)
    coords = {name: features.coords[name] for name in (UNIT, "layer", "index") if name in features.coords}
    facts = {key: value for key, value in features.attrs.items() if key != "versions"}
    return result.assign_coords({CATEGORY: strings(categories), **coords}).assign_attrs(
        provenance(**{**facts, "method": "relevant_units"})
    )


def solve(
    folded: Moments, *, sparsity: float | Sequence[float] | None = None, units_per_category: float = 5.0
) -> xr.Dataset:
    """Solve for the weights, from the moments alone.

    Args:
        folded: Gram matrix and sums by category.
        sparsity: as in :func:`relevant_units`.
        units_per_category: as in :func:`relevant_units`.

    Returns:
        As :func:`relevant_units`, without coordinates.

    Raises:
        InputError: a parameter out of range.
    """
    lipschitz = largest_eigenvalue(folded.gram)
    tolerance = 1e-10 * np.maximum(folded.counts, 1e-300)

    def at(budget: float, start: NDArray[np.float64] | None) -> Solution:
        return minimise(
            folded.gram, folded.products, budget=budget, start=start, tolerance=tolerance, lipschitz=lipschitz
        )

    if sparsity is None:
        budget, solution = _budget_for(folded, at, units_per_category)
        return _dataset(folded, budget, solution)
    if np.ndim(sparsity) == 0:
        budget = float(sparsity)  # type: ignore[arg-type]  # np.ndim does not tell the type checker
        return _dataset(folded, budget, at(budget, None))
    budgets = check_array(sparsity, name=SPARSITY, dims=(SPARSITY,)).astype(np.float64)
    results: dict[float, xr.Dataset] = {}
    start = None
    for budget in sorted(set(budgets.tolist())):  # each solution is a good start for the next larger bound
        solution = at(budget, start)
        start = solution.weights
        results[budget] = _dataset(folded, budget, solution).drop_attrs()
    path = xr.concat([results[budget] for budget in budgets.tolist()], dim=xr.Variable(SPARSITY, budgets))
    path["images"] = results[budgets[0]]["images"]
    return path


def _budget_for(folded: Moments, at: Solve, wanted: float) -> tuple[float, Solution]:
    """Bisect for the bound that gives the wanted mean number of relevant units."""
    if not 0 < wanted <= len(folded.gram):
        raise InputError(f"units_per_category is {wanted}; expected above 0 and at most the {len(folded.gram)} units.")
    seen = folded.counts > 0

    def number(solution: Solution) -> float:
        return float((solution.weights[:, seen] > 0).sum(axis=0).mean())

    diagonal = np.diag(folded.gram)
    alone = np.divide(
        folded.products, diagonal[:, None], where=diagonal[:, None] > 0, out=np.zeros_like(folded.products)
    )
    low = high = 0.1 * float(alone[:, seen].max(axis=0).mean())
    solution = at(high, None)
    for _ in range(40):
        if number(solution) <= wanted:
            break
        low = high = high / 4
        solution = at(high, None)
    while number(solution) < wanted:
        low = high
        if solution.weights.sum(axis=0).max() < high * (1 - 1e-6):
            return high, solution  # the bound binds no category any more: a larger one changes nothing
        high *= 2
        solution = at(high, solution.weights)
    chosen = high
    closest = abs(number(solution) - wanted)
    best = solution
    for _ in range(12):
        middle = float(np.sqrt(low * high))
        solution = at(middle, best.weights)
        if abs(number(solution) - wanted) < closest:
            closest, chosen, best = abs(number(solution) - wanted), middle, solution
        low, high = (middle, high) if number(solution) < wanted else (low, middle)
    return chosen, best


def _dataset(folded: Moments, budget: float, solution: Solution) -> xr.Dataset:
    weights = np.where(solution.weights > 1e-9 * budget, solution.weights, 0.0)
    error = np.einsum("uc,uv,vc->c", weights, folded.gram, weights, optimize=True)
    objective = np.maximum(error - 2 * (folded.products * weights).sum(axis=0) + folded.counts, 0)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 where a category has no image: NaN is the answer
        explained = 1 - objective / folded.counts
    return xr.Dataset(
        {
            "weight": ((CATEGORY, UNIT), weights.T),
            "objective": (CATEGORY, objective),
            "explained": (CATEGORY, explained),
            "gap": (CATEGORY, solution.gaps),
            "images": (CATEGORY, folded.counts),
        },
        attrs={SPARSITY: budget},
    )
