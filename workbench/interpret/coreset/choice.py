"""Choosing a coreset, and what a chosen one is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, UNIT, check_array, provenance, strings
from workbench.data import as_source
from workbench.errors import InputError, NotFiniteError, ShapeError
from workbench.interpret.coreset.distances import nearest
from workbench.interpret.coreset.reading import reading
from workbench.interpret.coreset.registry import selectors
from workbench.interpret.coreset.search import SEARCHED, search
from workbench.interpret.coreset.target import RIDGE, SPREAD, TARGET_AWARE, calibrated_weights
from workbench.interpret.reading import category_of_images, one_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from workbench.data import AnnotatedImage, ImageSource
    from workbench.interpret.activations import Activations

Pool = Literal["mean", "max", "both"]
READ = 4096
ALL = "all"
# these spread over the features and so must be weighted to give the distribution back; the others follow it as it is
COVERING = ("k_center_greedy", "k_medoids", "facility_location")


@dataclass(frozen=True)
class Coreset:
    """Some images that stand for all; an image source, so that it can be extracted as it is.

    Attributes:
        indices: (image) int64, positions among all images, in the order of choice.
        weights: (image) float64, how many images each stands for; they sum to the number of all images.
        selector: name of the selector.
        parameters: its parameters, the seed among them.
        identifiers: one name an image.
        labels: (image) int64, -1 for none, or None.
        source: where the pictures are, or None where only features were seen.
        attrs: where the features came from.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]
    selector: str
    parameters: Mapping[str, Any]
    identifiers: Sequence[str]
    labels: NDArray[np.int64] | None = None
    source: ImageSource | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> AnnotatedImage:
        if self.source is None:
            raise InputError(
                "This coreset was chosen from features and does not know the pictures. Attach them: "
                "coreset.with_images(images)."
            )
        return self.source[int(self.indices[index])]

    @property
    def weighted(self) -> bool:
        """Whether the weights were chosen with the images, so that a method that takes weights must be given them."""
        return self.selector == TARGET_AWARE and self.parameters.get("target") in RIDGE

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of the whole source; none where there is no source."""
        return () if self.source is None else self.source.categories

    @property
    def manifest_hash(self) -> str:
        """Manifest hash of the whole source."""
        return "" if self.source is None else self.source.manifest_hash

    def with_images(self, images: Any) -> Coreset:
        """The same coreset, with the pictures to which its indices point.

        Args:
            images: all images, as :func:`workbench.data.as_source` takes them, in the order of the features.

        Returns:
            The coreset with its source.

        Raises:
            ShapeError: fewer images than an index points to.
        """
        source = as_source(images)
        if len(source) <= int(self.indices.max()):
            raise ShapeError(f"{len(source)} images, but the coreset points to image {int(self.indices.max())}.")
        names = [str(source.identifiers[int(index)]) for index in self.indices]
        labels = source.labels
        return Coreset(
            self.indices,
            self.weights,
            self.selector,
            self.parameters,
            names,
            self.labels if labels is None else np.asarray(labels)[self.indices],
            source,
            self.attrs,
        )

    def to_dataset(self) -> xr.Dataset:
        """The coreset as a result that can be saved.

        Returns:
            Dataset: ``index`` int64 and ``weight`` float64 (image), ``label`` where known; attributes say how it was
            chosen.
        """
        result = xr.Dataset(
            {"index": (IMAGE, self.indices), "weight": (IMAGE, self.weights)},
            coords={IMAGE: strings(self.identifiers)},
            attrs=provenance(
                **{
                    **{key: value for key, value in self.attrs.items() if key != "versions"},
                    "selector": self.selector,
                    "parameters": dict(self.parameters),
                }
            ),
        )
        return result if self.labels is None else result.assign(label=(IMAGE, self.labels))


def choose(
    data: Activations | xr.DataArray,
    *,
    selector: str = "k_center_greedy",
    fraction: float | None = None,
    count: int | None = None,
    labels: Any = None,
    layer: str | None = None,
    pool: Pool = "mean",
    images: Any = None,
    seed: int = 0,
    **parameters: Any,
) -> Coreset:
    """Choose a few images that stand for all.

    Args:
        data: an activation store, whose pooled features are read (never its maps, but for ``target``), or features
            (image, unit).
        selector: a registered selector: ``random``, ``moderate``, ``d2``, ``k_center_greedy``, ``herding``,
            ``k_medoids``, ``facility_location``, ``kernel_herding`` or ``target_aware``.
        fraction: share of the images to choose, in (0, 1]; of each category, where there are labels.
        count: how many to choose instead, shared among the categories by their size, at least one each.
        labels: to choose within each category: ``"predicted"``, ``"true"`` (both need a store), or (image) integers;
            images with -1 are never chosen. Over all images where omitted.
        layer: the layer whose features are read; may be left out where there is but one.
        pool: which pooled features, ``"mean"``, ``"max"`` or ``"both"`` side by side.
        images: the pictures, so that the coreset can be extracted or shown.
        seed: of whatever the selector leaves to chance.
        **parameters: what else the selector takes. ``target_aware`` takes ``target``, the method that is to be run: of
            a store it then reads what that method reads, see :func:`~workbench.interpret.coreset.reading.reading`,
            whose result can also be given as ``data``. For relevant units up to 64 images of two categories or more
            are then exchanged and weighed further, see :func:`~workbench.interpret.coreset.search.search`.

    Returns:
        The coreset, category by category in the order of choice.

    Raises:
        InputError: neither or both of fraction and count, a fraction outside (0, 1], more images asked for than there
            are, fewer than categories, or features that are all alike.
        NotFiniteError: NaN or infinity in the features; the image is named.
        UnknownNameError: no such selector or layer.
    """
    method = selectors[selector]
    table, parameters = _for_target(data, selector, layer, parameters)
    features, names, attrs = _features(table, layer, pool)
    category = _categories(data, labels, len(features))
    shares = _shares(category, fraction, count)
    if np.ptp(features, axis=0).max() == 0:
        raise InputError(
            f"All {len(features)} images have the same features; no image can stand for others better than another. "
            "Check the layer (is it dead?) and the images (are they copies?)."
        )
    chosen, weights = [], []
    for each, wanted in shares.items():
        members = np.flatnonzero(category == each)
        generator = np.random.default_rng([seed, each])
        part = np.asarray(method(features[members], wanted, generator=generator, **parameters), dtype=np.int64)
        chosen.append(members[part])
        ridge = RIDGE.get(parameters.get("target", "")) if selector == TARGET_AWARE else None
        if ridge is None or wanted == len(members):
            weights.append(_stand_for(features[members], part, nearest_only=selector in COVERING))
        else:
            weights.append(calibrated_weights(features[members], part, leading=parameters["leading"], ridge=ridge))
    indices, counts = np.concatenate(chosen), np.concatenate(weights)
    if _to_be_searched(selector, parameters, indices, shares, category):
        columns = slice(parameters["leading"], parameters["leading"] * 3 // 2)
        generator = np.random.default_rng(seed)
        indices, counts = search(
            features[:, columns], category, indices, counts, generator=generator, budget=attrs.get("budget")
        )
    source = None if images is None else as_source(images)
    found = Coreset(
        indices,
        counts,
        selector,
        {**parameters, "seed": seed, "fraction": fraction, "count": len(indices), "within": _within(labels)},
        [names[int(index)] for index in indices],
        None if labels is None else category[indices],
        None,
        attrs,
    )
    return found if source is None else found.with_images(source)


def choose_share(
    features: xr.DataArray, category: NDArray[np.int64], fraction: float, *, selector: str, seed: int
) -> Coreset:
    """Choose a share as the method wants it that it is chosen for: of each category, or over all images.

    Args:
        features: (image, unit), pooled or what a method reads.
        category: (image) int64, -1 for images that are never chosen.
        fraction: in (0, 1], of each category; over all images, as many as that would be.
        selector: a registered selector.
        seed: of whatever the selector leaves to chance.

    Returns:
        The coreset, with the categories of its images as labels.

    Raises:
        InputError, NotFiniteError, UnknownNameError: as :func:`choose`.
    """
    if selector != TARGET_AWARE or features.attrs.get("target") not in SPREAD:
        return choose(features, selector=selector, seed=seed, fraction=fraction, labels=category)
    found = choose(
        features,
        selector=selector,
        seed=seed,
        count=coreset_size(category, fraction),
        labels=np.where(category >= 0, 0, -1),
    )
    parameters = {**found.parameters, "within": ALL}
    return replace(found, parameters=parameters, labels=category[found.indices])


def pooled_features(store: Activations, *, layer: str | None = None, pool: Pool = "mean") -> xr.DataArray:
    """The pooled features of a layer, all images in memory: 200 MB for 100,000 images of 512 units.

    Args:
        store: an activation store, or other activations.
        layer: the layer's name; may be left out where there is but one.
        pool: ``"mean"`` or ``"max"`` over positions, or ``"both"``: the means of all units, then their maxima.

    Returns:
        (image, unit) float32; twice as many as units for ``"both"``.

    Raises:
        InputError: an unknown pool, or a layer without units.
        UnknownNameError: no such layer.
    """
    if pool not in ("mean", "max", "both"):
        raise InputError(f"pool is {pool!r}; expected 'mean', 'max' or 'both'.")
    name = one_layer(store, layer)
    data = store.dataset(name)
    kinds = ("mean", "max") if pool == "both" else (pool,)
    if any(kind not in data for kind in kinds):
        raise InputError(f"layer {name!r} has no units, hence no pooled features. Choose another layer.")
    stored = [data[kind].transpose(IMAGE, UNIT) for kind in kinds]
    units = stored[0].sizes[UNIT]
    values = np.empty((stored[0].sizes[IMAGE], units * len(stored)), dtype=np.float32)
    for position, array in enumerate(stored):
        columns = slice(position * units, (position + 1) * units)
        for start in range(0, len(values), READ):
            values[start : start + READ, columns] = array.isel({IMAGE: slice(start, start + READ)}).values
    return xr.DataArray(
        values,
        dims=(IMAGE, UNIT),
        coords={IMAGE: strings(store.identifiers)},
        attrs={**{key: value for key, value in data.attrs.items() if key != "versions"}, "layer": name, "pool": pool},
    )


def coreset_size(category: NDArray[np.int64], fraction: float) -> int:
    """How many images a fraction of each category is, one at least of each.

    Args:
        category: (image) int64, -1 for none.
        fraction: in (0, 1].

    Returns:
        The number.

    Raises:
        InputError: a fraction out of range.
    """
    return sum(_shares(category, fraction, None).values())


def _to_be_searched(
    selector: str,
    parameters: Mapping[str, Any],
    indices: NDArray[np.int64],
    shares: Mapping[int, int],
    category: NDArray[np.int64],
) -> bool:
    """Whether images are exchanged until relevant units come out as from all: where they are few, and not all."""
    if selector != TARGET_AWARE or parameters.get("target") != "relevant_units":
        return False
    return len(shares) > 1 and len(indices) <= SEARCHED and len(indices) < int((category >= 0).sum())


def _for_target(
    data: Activations | xr.DataArray, selector: str, layer: str | None, parameters: dict[str, Any]
) -> tuple[Activations | xr.DataArray, dict[str, Any]]:
    """What the method reads, where a target is named, and what its reading says of itself."""
    if selector != TARGET_AWARE:
        return data, parameters
    target = parameters.get("target")
    if not isinstance(data, xr.DataArray):
        if target is None:
            return data, parameters
        data = reading(data, target, layers=layer)
    known = data.attrs.get("target")
    if target is not None and target != known:
        found = "no reading" if known is None else f"the reading of {known}"
        raise InputError(
            f"target is {target!r}, but the features are {found}. Pass the store, or what "
            f"coreset.reading(store, {target!r}) gives."
        )
    if known is None:
        return data, parameters
    return data, {**parameters, "target": known, "leading": int(data.attrs["leading"])}


def _features(
    data: Activations | xr.DataArray, layer: str | None, pool: Pool
) -> tuple[NDArray[np.float32], list[str], dict[str, Any]]:
    features = data if isinstance(data, xr.DataArray) else pooled_features(data, layer=layer, pool=pool)
    if set(features.dims) != {IMAGE, UNIT}:
        raise ShapeError(f"features have the dimensions {features.dims}; expected (image, unit).")
    table = features.transpose(IMAGE, UNIT)
    values = check_array(table.values, name="features", dims=(IMAGE, UNIT), finite=False)
    values = values.astype(np.float32, copy=False)
    names = [str(name) for name in (features[IMAGE].values if IMAGE in features.coords else range(len(values)))]
    good = np.isfinite(values).all(axis=1)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise NotFiniteError(
            f"features hold NaN or infinity in {int((~good).sum())} of {len(good)} images, {names[bad]!r} the first. "
            "Leave these images out, or repair them."
        )
    return values, names, dict(features.attrs)


def _categories(data: Any, labels: Any, count: int) -> NDArray[np.int64]:
    if labels is None:
        return np.zeros(count, dtype=np.int64)
    if isinstance(labels, str):
        if isinstance(data, xr.DataArray):
            raise InputError(
                f"labels is {labels!r}, which only a store knows; pass one integer an image with features."
            )
        return category_of_images(data, labels)[0]
    array = check_array(labels, name="labels", dims=(IMAGE,), kinds="iu").astype(np.int64)
    if len(array) != count:
        raise ShapeError(f"{len(array)} labels for {count} images; expected one an image.")
    if (array < 0).all():
        raise InputError("no image has a label; expected integers of 0 or more.")
    return array


def _shares(category: NDArray[np.int64], fraction: float | None, count: int | None) -> dict[int, int]:
    """How many images to choose of each category."""
    present, sizes = np.unique(category[category >= 0], return_counts=True)
    total = int(sizes.sum())
    if (fraction is None) == (count is None):
        raise InputError(f"fraction is {fraction} and count {count}; give one of them.")
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise InputError(f"fraction is {fraction}; expected above 0 and at most 1.")
        return {int(each): max(1, round(fraction * int(size))) for each, size in zip(present, sizes, strict=True)}
    if count is None or not len(present) <= count <= total:
        raise InputError(
            f"{count} images are asked for; there are {total}, in {len(present)} categories of which each needs one."
        )
    ideal = sizes * (count / total)
    shares = np.minimum(np.maximum(np.floor(ideal).astype(np.int64), 1), sizes)
    while shares.sum() != count:  # at most as many steps as categories: what rounding left over, or took too much
        step = 1 if shares.sum() < count else -1
        possible = (shares < sizes) if step > 0 else (shares > 1)
        need = np.where(possible, (ideal - shares) * step, -np.inf)
        shares[int(need.argmax())] += step
    return {int(each): int(share) for each, share in zip(present, shares, strict=True)}


def _stand_for(features: NDArray[np.float32], chosen: NDArray[np.int64], *, nearest_only: bool) -> NDArray[np.float64]:
    """How many images each chosen one stands for: those nearest to it, or equally many each."""
    if not nearest_only:
        return np.full(len(chosen), len(features) / len(chosen))
    centred = features - features.mean(axis=0)
    which, _ = nearest(centred, centred[chosen])
    return np.bincount(which, minlength=len(chosen)).astype(np.float64)


def _within(labels: Any) -> str:
    return ALL if labels is None else labels if isinstance(labels, str) else "given labels"
