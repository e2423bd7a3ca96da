"""What all images and a coreset say of one category, as a result that ``view.coreset_units`` draws. No widgets here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, PART, UNIT, X, Y, strings
from workbench.errors import InputError, unknown_name
from workbench.interpret.concepts import CONCEPT
from workbench.interpret.coreset import subject
from workbench.interpret.coreset.calibration import own_weights
from workbench.interpret.coreset.subjects import mean_cosine
from workbench.interpret.reading import category_of_images, one_layer, unit_maps
from workbench.panels.coreset_concepts import describe_concepts
from workbench.panels.coreset_pictures import PLACES, pictures_at
from workbench.panels.unit_profile import as_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.interpret import Activations
    from workbench.interpret.coreset import Coreset, Subject

READ = 4096
FLOOR = 0.04  # IoU below which a unit does not count as one of a part, as in dissection
SOURCES = ("all", "coreset")


def coreset_units(
    data: Activations,
    coreset: Coreset,
    *,
    category: str | int,
    images: Any = None,
    labels: Any = "predicted",
    layer: str | None = None,
    interpretation: Subject | None = None,
    ranks: int = 3,
    top: int = 3,
) -> xr.Dataset:
    """What an interpretation says of one category, by all images and by the coreset alone.

    Units for relevant units and rules; for dissection the units of one part, by IoU; for concepts those of the
    category, each beside the one that it is matched with.

    Args:
        data: an activation store, or other activations.
        coreset: chosen from its images.
        category: name or index; of a part, for dissection.
        images: the images that the activations are of, for pictures; see :func:`workbench.panels.unit_profile`.
        labels: ``"predicted"``, ``"true"``, or (image) integers, -1 for none.
        layer: the layer's name; may be left out where there is but one.
        interpretation: relevant units (VEBI) of the layer where omitted.
        ranks: of how many of the heaviest units, or strongest concepts, images are shown.
        top: how many images each.

    Returns:
        ``weight`` (source, unit) float64, the sources being ``"all"`` and ``"coreset"``; ``similarity`` of the two;
        ``images`` and ``members`` (source) int64; ``ranked`` (source, rank) int64, the heaviest units, -1 for none;
        ``greatest`` (source, rank) float64, the greatest activation of the unit in all images; ``index`` (source, rank,
        top) int64, the images that make it fire most among all images or those of the coreset, -1 for none;
        ``activation`` (source, rank, top) float64; ``maps`` (source, rank, top, y, x) float32, where the layer has
        maps; with images, ``pictures`` (source, rank, top, row, column, channel) float32 in [0, 1]. For concepts as
        :func:`~workbench.panels.coreset_concepts.describe_concepts` says.

    Raises:
        UnknownNameError: no such category, part or layer.
        InputError: an interpretation that gives something else, or numbers below 1.
        StoreMismatchError, ShapeError: ``images`` are not those of the activations.
    """
    if ranks < 1 or top < 1:
        raise InputError(f"ranks is {ranks} and top {top}; expected at least 1 each.")
    layer = one_layer(data, layer)
    member, names = category_of_images(data, labels)
    prepared = interpretation or subject("relevant_units", data, labels=labels, layers=[layer])
    index = category_number(category, prepared.parts or names)
    found = both(prepared, coreset)
    return describe_units(
        data, coreset, found[0], found[1], index, interpretation=prepared, member=member, names=names, layer=layer,
        images=images, ranks=ranks, top=top,
    )  # fmt: skip


def both(prepared: Subject, coreset: Coreset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The interpretation from all images, and from the coreset with the weights that it was chosen with, if any.

    Args:
        prepared: the interpretation method.
        coreset: the coreset.

    Returns:
        Two arrays, as the method gives them.
    """
    weights = own_weights(prepared, coreset)
    order = np.argsort(coreset.indices, kind="stable")
    few = prepared.interpret(coreset.indices[order], None if weights is None else weights[order])
    return prepared.interpret(np.flatnonzero(prepared.category >= 0), None), few


def describe_units(
    data: Activations,
    coreset: Coreset,
    whole: NDArray[np.float64],
    few: NDArray[np.float64],
    category: int,
    *,
    interpretation: Subject,
    member: NDArray[np.int64],
    names: Sequence[str],
    layer: str,
    images: Any = None,
    ranks: int = 3,
    top: int = 3,
) -> xr.Dataset:
    """As :func:`coreset_units`, from interpretations that are known already.

    Args:
        data: as there.
        coreset: as there.
        whole: from all images, with the axes of the interpretation.
        few: from the coreset, likewise.
        category: index of the category, or of the part.
        interpretation: what gave them.
        member: (image) int64 category of each image.
        names: of the categories.
        layer: as there.
        images: as there.
        ranks: as there.
        top: as there.

    Returns:
        As :func:`coreset_units`.

    Raises:
        InputError, StoreMismatchError: as there.
    """
    if CONCEPT in interpretation.dims:
        return describe_concepts(
            data, coreset, whole, few, category, interpretation=interpretation, member=member, names=names,
            layer=layer, images=images, ranks=ranks, top=top,
        )  # fmt: skip
    parts = PART in interpretation.dims
    if parts:
        whole, few = (np.where(found >= FLOOR, found, 0).T for found in (whole, few))
    if whole.ndim != 2 or len(whole) <= category:
        raise InputError(
            f"{interpretation.name} gives an array of the shape {whole.shape}, and says that its axes are "
            f"{interpretation.dims}; units can be set side by side for methods that give (category, unit)."
        )
    pooled = data.dataset(layer)["max"].transpose(IMAGE, UNIT)
    units, fits = whole.shape[1], whole.shape[1] == pooled.sizes[UNIT]
    sources = (np.flatnonzero(interpretation.category >= 0), np.sort(coreset.indices))
    # a part is no category: all images are dissected
    members = [len(some) if parts else int((member[some] == category).sum()) for some in sources]
    result = xr.Dataset(
        {
            "weight": (("source", UNIT), np.stack([whole[category], few[category]])),
            "similarity": mean_cosine(whole[[category]], few[[category]])
            if parts
            else float(interpretation.similarity(whole[[category]], few[[category]])),
            "images": ("source", [len(some) for some in sources]),
            "members": ("source", members),
        },
        coords={"source": strings(SOURCES), UNIT: strings(f"{layer}:{i}" if fits else str(i) for i in range(units))},
        attrs={
            "category": interpretation.parts[category] if parts else names[category],
            "layer": layer if fits else interpretation.name,
            "subject": interpretation.name,
            "measure": "cosine" if parts else str(interpretation.facts.get("similarity", "similarity")),
            "height": f"IoU, where at least {FLOOR}" if parts else "weight",
        },
    )
    return result.merge(_shown(data, result, pooled, sources, layer, images, ranks, top)) if fits else result


def category_number(category: str | int, names: Sequence[str]) -> int:
    """The index of a category given by name, or by its number where several are called so or none is.

    Raises:
        UnknownNameError: no such category.
        InputError: a name that several categories have.
    """
    if isinstance(category, str) and category in names:
        if list(names).count(category) > 1:
            raise InputError(f"Several categories are called {category!r}; give the number of the one that is meant.")
        return list(names).index(category)
    if str(category).isdecimal() and int(category) < len(names):
        return int(category)
    raise unknown_name("category", category, names)


def _shown(
    data: Activations,
    result: xr.Dataset,
    pooled: xr.DataArray,
    sources: tuple[NDArray[np.int64], NDArray[np.int64]],
    layer: str,
    images: Any,
    ranks: int,
    top: int,
) -> xr.Dataset:
    """The images that make the heaviest units fire most, among all and among the chosen."""
    weights = result["weight"].values
    order = np.argsort(-weights, axis=1, kind="stable")[:, :ranks]
    ranked = np.where(np.take_along_axis(weights, order, axis=1) > 0, order, -1)
    wanted = np.unique(ranked[ranked >= 0])
    column = {int(unit): place for place, unit in enumerate(wanted)}
    fires = np.empty((pooled.sizes[IMAGE], len(wanted)))
    for start in range(0, len(fires), READ):
        fires[start : start + READ] = pooled.isel({IMAGE: slice(start, start + READ)}).values[:, wanted]
    index = np.full((*ranked.shape, top), -1, dtype=np.int64)
    activation = np.full(index.shape, np.nan)
    greatest = np.full(ranked.shape, np.nan)
    for (source, rank), unit in np.ndenumerate(ranked):
        if unit >= 0:
            answers = fires[:, column[int(unit)]]
            some = sources[source][np.argsort(-answers[sources[source]], kind="stable")[:top]]
            index[source, rank, : len(some)], activation[source, rank, : len(some)] = some, answers[some]
            greatest[source, rank] = answers.max()
    shown = xr.Dataset(
        {
            "ranked": (("source", "rank"), ranked),
            "greatest": (("source", "rank"), greatest),
            "index": (("source", "rank", "top"), index),
            "activation": (("source", "rank", "top"), activation),
        }
    )
    maps = _maps(data, layer, ranked, index)
    if maps is not None:
        shown["maps"] = (("source", "rank", "top", Y, X), maps)
    if images is not None:
        shown["pictures"] = ((*PLACES, "row", "column", "channel"), pictures_at(data, images, index))
    return shown


def _maps(
    data: Activations, layer: str, ranked: NDArray[np.int64], index: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """(source, rank, top, y, x) float32; None where the layer has one number an image, or nothing is shown."""
    stored = unit_maps(data, layer)
    places = np.argwhere(index >= 0)
    if not len(places) or stored.ndim == 2:
        return None
    wanted = np.unique(index[index >= 0])
    read = stored.isel({IMAGE: wanted}).load()  # a few dozen images, each read once
    found: NDArray[np.float32] | None = None
    for source, rank, top in places:
        one = int(np.searchsorted(wanted, index[source, rank, top]))
        grid = as_grid(read.isel({IMAGE: one, UNIT: int(ranked[source, rank])}))
        if found is None:
            found = np.zeros((*index.shape, *grid.shape), dtype=np.float32)
        found[source, rank, top] = grid
    return found
