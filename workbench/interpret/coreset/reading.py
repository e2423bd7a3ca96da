"""What a method reads of each image, as features: sums of them over images are all that the method needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, UNIT, provenance, strings
from workbench.errors import InputError, unknown_name
from workbench.interpret.features import Normalisation, feature_blocks, source_facts
from workbench.interpret.patches import patch_activity
from workbench.interpret.reading import chosen_layers, map_blocks, one_layer
from workbench.interpret.rules import transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from workbench.interpret.activations import Activations

    Rows = Callable[[], Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]]

Target = Literal["relevant_units", "concepts", "rules", "dissect"]
TAILS = (4.0, 2.0, 1.0, 0.4)  # areas that dissection's reading measures, in units of the one that it cuts at
POOLED = ("mean", "max")
WIDEST = 64  # directions whose products are taken; more units are first projected onto so many


def reading(
    store: Activations,
    target: Target,
    *,
    layers: str | Sequence[str] | None = None,
    normalisation: Normalisation = "norm",
    sparsity: float | None = None,
    patches: xr.Dataset | None = None,
    top_units: int = 10,
    quantile: float = 0.995,
    widest: int = WIDEST,
) -> xr.DataArray:
    """What a method reads of each image, in one pass over the maps (two where there are more units than ``widest``).

    ``relevant_units`` reads sums over images of x and of x x', x being one number a unit; ``concepts`` sums over
    positions of a a' / |a|, a being all units there (the division keeps a few strong positions from outweighing all);
    ``rules`` how often two units fire on one explained patch, sums over patches of t t'; ``dissect`` where units exceed
    their high quantiles. Masks are never read.

    Args:
        store: an activation store, or other activations.
        target: the method.
        layers: name of the layer; for ``relevant_units`` also several. All, or the only one, where omitted.
        normalisation: of ``relevant_units``.
        sparsity: of ``relevant_units``, the bound that it will be run with; about five units a category where omitted.
        patches: for ``rules``, the explained patches of the images, see
            :func:`~workbench.interpret.patches.explained_patches`: they need a heatmap of every image.
        top_units: of ``rules``.
        quantile: of ``dissect``.
        widest: products are taken of so many directions at most, the principal ones.

    Returns:
        (image, unit) float32; the attribute ``leading`` says how many columns images are to be chosen by, the others
        being for weights. ``concepts`` and ``rules``: products, their upper triangle, such that scalar products of
        images are those of the full matrices. ``relevant_units``: the pooled means and maxima of all units lead, then
        x and products; the attribute ``budget`` is the bound in units of 1 / x as they are here, where it is given.
        ``dissect``: the maxima of all units lead, then the shares of positions beyond quantiles around the one that it
        cuts at, in units of their spread.

    Raises:
        UnknownNameError: no such target or layer.
        InputError: several layers where one is needed, no patches for rules, or a parameter out of range.
        NotFiniteError: NaN or infinity in the maps; the image is named.
    """
    if target not in get_args(Target):
        raise unknown_name("target", target, get_args(Target))
    if widest < 1 or not 0 < quantile < 1:
        raise InputError(f"widest is {widest} and quantile {quantile}; expected at least 1, and between 0 and 1.")
    bound: dict[str, float] = {}
    if target == "relevant_units":
        names = chosen_layers(store, layers)
        values, leading, length = _of_relevant_units(store, names, normalisation, widest)
        bound = {} if sparsity is None else {"budget": sparsity * length}
    else:
        names = (one_layer(store, layers if layers is None or isinstance(layers, str) else layers[0]),)
        if target == "concepts":
            values = _products(len(store.identifiers), lambda: _positions(store, names[0]), widest)
            leading = values.shape[1]
        elif target == "rules":
            values = _of_rules(store, names[0], patches, top_units, widest)
            leading = values.shape[1]
        else:
            values, leading = _of_dissection(store, names[0], quantile)
    return xr.DataArray(
        values,
        dims=(IMAGE, UNIT),
        coords={IMAGE: strings(store.identifiers)},
        attrs={
            **provenance(method="reading", target=target, **{**source_facts(store, names), "layers": list(names)}),
            "leading": leading,
            **bound,
        },
    )


def _of_relevant_units(
    store: Activations, layers: Sequence[str], normalisation: Normalisation, widest: int
) -> tuple[NDArray[np.float32], int, float]:
    features = np.concatenate([values for _, values in feature_blocks(store, layers, normalisation)]).astype(np.float32)
    # lengths of one on average, so that x and x x' weigh alike
    length = float(np.sqrt(np.einsum("ij,ij->", features, features, dtype=np.float64) / len(features))) or 1.0
    features = features / np.float32(length)
    rows = features[:, :, None]
    pairs = _products(len(features), lambda: iter([(np.arange(len(features)), rows)]), widest)
    pooled = np.concatenate([_pooled(store, layer) for layer in layers], axis=1)
    return np.concatenate([pooled, features, pairs], axis=1), pooled.shape[1], length


def _pooled(store: Activations, layer: str) -> NDArray[np.float32]:
    """(image, unit) float32: the means of all units, then their maxima."""
    data = store.dataset(layer)
    return np.concatenate([data[kind].transpose(IMAGE, UNIT).values.astype(np.float32) for kind in POOLED], axis=1)


def _of_rules(
    store: Activations, layer: str, patches: xr.Dataset | None, top_units: int, widest: int
) -> NDArray[np.float32]:
    if patches is None:
        raise InputError(
            "Rules read explained patches; pass patches=explained_patches(heatmaps) of the store's images."
        )
    fired = transactions(patch_activity(store, patches, layer=layer).values, top_units).astype(np.float32)
    position = {str(name): index for index, name in enumerate(store.identifiers)}
    owner = np.array([position[str(name)] for name in patches["image"].values], dtype=np.int64)

    def rows() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for image in np.unique(owner):
            yield np.array([image]), fired[owner == image].T[None]

    return _products(len(store.identifiers), rows, widest)


def _of_dissection(store: Activations, layer: str, quantile: float) -> tuple[NDArray[np.float32], int]:
    levels = [max(0.0, 1 - tail * (1 - quantile)) for tail in TAILS]
    cuts = [np.asarray(store.quantile(layer, level).values, dtype=np.float32) for level in levels]
    units = len(cuts[0])
    values = np.empty((len(store.identifiers), (1 + len(TAILS)) * units), dtype=np.float32)
    for indices, maps in map_blocks(store, layer):
        beyond = [(maps > cut[:, None]).mean(axis=2) for cut in cuts]
        values[indices] = np.concatenate([maps.max(axis=2), *beyond], axis=1)
    areas = values[:, units:]
    spread = areas.std(axis=0)
    np.divide(areas, spread, out=areas, where=spread > 0)
    return values, units


def _positions(store: Activations, layer: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    for indices, maps in map_blocks(store, layer):
        positive = np.maximum(maps, 0)  # concepts are sums of what is there
        length = np.linalg.norm(positive, axis=1, keepdims=True)
        yield indices, np.divide(positive, np.sqrt(length), out=np.zeros_like(positive), where=length > 0)


def _products(images: int, rows: Rows, widest: int) -> NDArray[np.float32]:
    """Upper triangles of the sum over positions of a a', of each image.

    Args:
        images: their number; those without a position are zero.
        rows: gives (image) indices and (image, unit, position), from the first image on at each call.
        widest: directions at most.

    Returns:
        (image, pair) float32.
    """
    basis = _principal(rows, widest)
    found: NDArray[np.float32] | None = None
    for indices, values in rows():
        low = values if basis is None else np.einsum("uk,iup->ikp", basis, values, optimize=True)
        full = low @ np.swapaxes(low, 1, 2)
        above, beside = np.triu_indices(full.shape[1])
        # each pair beside the diagonal stands for two
        scale = np.where(above == beside, 1, np.sqrt(2)).astype(np.float32)
        if found is None:
            found = np.zeros((images, len(above)), dtype=np.float32)
        found[indices] = full[:, above, beside] * scale
    if found is None:
        raise InputError("There is no position to read; check that there are images, and explained patches for rules.")
    return found


def _principal(rows: Rows, widest: int) -> NDArray[np.float32] | None:
    """The directions that hold most of the squared activity; None where there are few units."""
    total: NDArray[np.float64] | None = None
    for _, values in rows():
        if values.shape[1] <= widest:
            return None
        part = np.einsum("iup,ivp->uv", values, values, optimize=True).astype(np.float64)
        total = part if total is None else total + part
    if total is None:
        return None
    return np.asarray(np.linalg.eigh(total)[1][:, -widest:], dtype=np.float32)
