"""What one unit of a store responds to, as a result that :func:`workbench.view.unit_profile` draws. No widgets here."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, UNIT, strings
from workbench.data import as_source
from workbench.errors import Interrupted, ShapeError, StoreMismatchError, unknown_name
from workbench.models import Preprocessing
from workbench.view.words import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from workbench.store import ActivationStore

IMAGES_A_READ = 65536


def unit_profile(
    store: ActivationStore,
    images: Any,
    *,
    layer: str,
    unit: int,
    count: int = 8,
    category: str | None = None,
) -> xr.Dataset:
    """The images that make one unit fire most, its map in each, and how strongly it fires over all images.

    Args:
        store: opened activations.
        images: the images that the store was made of; anything that :func:`workbench.data.as_source` takes, or the
            floating tensor (image, channel, y, x) that was network input.
        layer: name of a layer of the store.
        unit: index of a unit of it.
        count: how many images.
        category: mark the images of this category: by label where the store has labels, else by prediction.

    Returns:
        ``maps`` (top, y, x) float32 and ``pictures`` (top, row, column, channel) float32 in [0, 1], highest first;
        ``greatest`` (image) float32, the unit's maximum over positions in each image; with a category, ``chosen``
        (image) bool. Coordinates ``title``, ``identifier`` (top) and ``image``. A linear layer has maps of one cell;
        the tokens of a sequence are put on their square grid, a leading class token left out.

    Raises:
        UnknownNameError, InputError: no such layer, unit or category.
        StoreMismatchError: ``images`` lack images of the store.
    """
    top = store.top_images(layer, unit, count)
    names = [str(name) for name in top[IMAGE].values]
    strongest = [float(value) for value in top["max"].values]
    known = store.label_categories if store.labels is not None else store.categories
    codes = (top["label"] if store.labels is not None else top["predicted"]).values
    called = [
        known[int(code)] if 0 <= int(code) < len(known) else name for code, name in zip(codes, names, strict=True)
    ]
    profile = xr.Dataset(
        {
            "maps": (("top", "y", "x"), np.stack([as_grid(one) for one in top["maps"]])),
            "pictures": (("top", "row", "column", "channel"), pictures(store, images, names)),
            "greatest": (IMAGE, store.dataset(layer)["max"].isel({UNIT: unit}).values.astype(np.float32)),
        },
        coords={
            "title": ("top", strings(f"{a}  {number(b)}" for a, b in zip(called, strongest, strict=True))),
            "identifier": ("top", strings(names)),
            IMAGE: strings(store.identifiers),
        },
        attrs={**store.provenance, "layer": layer, "unit": int(unit), "store": store.path},
    )
    if category is not None:
        profile["chosen"] = (IMAGE, of_category(store, category))
        profile.attrs["category"] = category
    return profile


def rank_units(
    store: ActivationStore,
    *,
    layer: str,
    category: str,
    stop: Callable[[], bool] = lambda: False,
) -> xr.DataArray:
    """How much more each unit fires for a category than for the other images.

    The difference of the mean greatest activation inside and outside the category, in standard deviations over all
    images; read in blocks, so that memory stays bounded.

    Args:
        store: opened activations.
        layer: name of a layer of the store.
        category: by label where the store has labels, else by prediction.
        stop: asked between blocks.

    Returns:
        (unit) float64, highest first, the coordinate ``unit`` holding the index; 0 for a unit that never varies, or
        where all or no images are of the category.

    Raises:
        UnknownNameError: no such layer or category.
        Interrupted: ``stop`` answered True.
    """
    chosen = of_category(store, category)
    maxima = store.dataset(layer)["max"]
    total, squares, inside = (np.zeros(maxima.sizes[UNIT]) for _ in range(3))
    for start in range(0, len(chosen), IMAGES_A_READ):
        if stop():
            raise Interrupted(f"Stopped after {start} of {len(chosen)} images.")
        block = maxima.isel({IMAGE: slice(start, start + IMAGES_A_READ)}).values.astype(np.float64)
        total += block.sum(0)
        squares += np.square(block).sum(0)
        inside += block[chosen[start : start + IMAGES_A_READ]].sum(0)
    images, members = len(chosen), int(chosen.sum())
    spread = np.sqrt(np.maximum(squares / images - np.square(total / images), 0))
    scores = np.zeros(len(total))
    if 0 < members < images:
        difference = inside / members - (total - inside) / (images - members)
        # The spread of a constant comes out of rounding: a millionth of its size is none.
        varies = spread > 1e-6 * np.abs(total / images)
        scores[varies] = difference[varies] / spread[varies]
    order = np.argsort(-scores, kind="stable")
    return xr.DataArray(
        scores[order], dims=(UNIT,), coords={UNIT: order}, name="selectivity",
        attrs={**store.provenance, "layer": layer, "category": category, "units": "standard deviations"},
    )  # fmt: skip


def of_category(store: ActivationStore, category: str) -> NDArray[np.bool_]:
    """(image) bool: which images have a category, by label where the store has labels, else by prediction.

    Raises:
        UnknownNameError: no such category.
    """
    known = store.label_categories if store.labels is not None else store.categories
    codes = (store.labels if store.labels is not None else store.predicted).values
    if category not in known:
        raise unknown_name("category", category, known)
    return np.isin(codes, [code for code, name in enumerate(known) if name == category])


def pictures(store: ActivationStore, images: Any, identifiers: list[str]) -> NDArray[np.float32]:
    """Images of a store as the network saw them.

    Args:
        store: says how images were prepared.
        images: see :func:`unit_profile`.
        identifiers: of the images wanted.

    Returns:
        (image, y, x, channel) float32 in [0, 1].

    Raises:
        StoreMismatchError: one of them is not among ``images``.
    """
    preprocessing = Preprocessing.from_json(json.loads(str(store.provenance["preprocessing"])))
    prepared = is_prepared(images)
    source = None if prepared else as_source(images)
    names = store.identifiers if source is None else source.identifiers
    known = {str(name): index for index, name in enumerate(names)}
    missing = [name for name in identifiers if name not in known]
    if missing or len(names) > len(known) or (prepared and len(images) != len(names)):
        raise StoreMismatchError(
            f"The images given ({len(images)}) are not those of {store.path}: "
            f"{missing[0] if missing else 'one'!r} is not among them. Give the images that the store was made of."
        )
    if source is None:
        return preprocessing.invert(images[[known[name] for name in identifiers]])
    one_by_one = [
        preprocessing.invert(preprocessing.apply(source[known[name]].image[None], names=[name]))[0]
        for name in identifiers
    ]
    if len({one.shape for one in one_by_one}) > 1:
        raise ShapeError("The images have different sizes after preparation. Give the preprocessing a crop=.")
    return np.stack(one_by_one)


def as_grid(values: xr.DataArray) -> NDArray[np.float32]:
    """One unit's answer to one image on a grid.

    Args:
        values: (y, x), () or (token).

    Returns:
        (y, x) float32: as it is; one cell; or the square grid of the tokens without a leading class token (one cell
        with the maximum, where the tokens fill no square).
    """
    array = np.asarray(values.values, dtype=np.float32)
    if array.ndim == 2:
        return array
    if array.ndim == 0:
        return array.reshape(1, 1)
    flat = array.ravel()
    for tokens in (flat, flat[1:]):
        side = math.isqrt(tokens.size)
        if side > 1 and side * side == tokens.size:
            return tokens.reshape(side, side)
    return np.full((1, 1), flat.max(), np.float32)


def is_prepared(images: Any) -> bool:
    """Whether images are network input already: a floating torch tensor."""
    return type(images).__module__.startswith("torch") and images.is_floating_point()
