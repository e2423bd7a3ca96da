"""Weighted average IoU: how well the heatmaps of an interpretation cover the parts that their units are linked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from workbench.arrays import IMAGE, PART, UNIT, check_array, provenance, strings
from workbench.errors import DtypeError, InputError, ShapeError
from workbench.evaluate.binarise import Binariser, as_binariser
from workbench.evaluate.binarisers import binarisers
from workbench.evaluate.controls import NOTHING, Judged, of_label, random_units, shuffled_scores
from workbench.evaluate.linking import FLOOR, best_parts, check_floor, given_labels, halves, mean_table, named
from workbench.evaluate.overlap import Overlaps, aligned_units, measure, row_coordinates
from workbench.evaluate.regions import same_grid
from workbench.evaluate.registry import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

Weights = Literal["frequency", "relevance", "area", "uniform"]
CONTROLS = ("random units", "shuffled images", "chance")
HELD_OUT, SAME, GIVEN = "held out", "same", "given"
EVERYWHERE, RESPONDING = "everywhere", "responding"


@metrics.register(
    title="Weighted average IoU (WAIoU family)",
    source=("behzadi2023", "bau2017"),
    access="activations",
    returns="weighted mean overlap of each unit's binarised maps with the part it is linked to, beside three controls",
    specificity="shared",
    coverage="one layer",
    annotation="masks",
    feedback="number",
    note="A reconstruction: the published formula, its weights and its binarisers could not be read. Report the "
    "weighting and the binariser with the number; the table of every unit and part is always given.",
    parameters={
        "binarise": ("choice", "otsu", tuple(binarisers)),
        "weights": ("choice", "frequency", get_args(Weights)),
        "floor": ("float", FLOOR, 0.0, 0.5),
    },
)
def waiou(
    heatmaps: xr.DataArray,
    masks: xr.DataArray,
    *,
    binarise: str | Binariser = "otsu",
    weights: Weights = "frequency",
    link: Any = HELD_OUT,
    floor: float = FLOOR,
    unlinked: Literal["zero", "left out"] = "zero",
    relevance: Any = None,
    shown: Any = EVERYWHERE,
    objects: xr.DataArray | None = None,
    pool: xr.DataArray | Overlaps | None = None,
    draws: int = 20,
    level: float = 0.95,
    resamples: int = 1999,
    seed: int = 0,
) -> xr.Dataset:
    """How well the maps of units cover the parts that the units are linked to, as one number with its controls.

    Each unit u is linked to the part p(u) that its binarised maps overlap with best on one half of the images. On the
    other half every pair k of a unit and an image that shows p(u) has an IoU (0 for a unit without a part, in every
    image that shows any), and the value is

        WAIoU = sum_k w_k IoU_k / sum_k w_k.

    What is known of the published measure [behzadi2023] is that it is a weighted average IoU between heatmaps and
    annotations after each unit was linked with a semantic label, and that several binarisations were compared. Its
    exact weights and its list of binarisers are not known here. So this is a family: name the member that you report.

    - ``"frequency"``: each label counts as often as it was given: w_k = n_p / K_p, with n_p the units linked to p and
      K_p their pairs; that is the mean IoU of each label, averaged over the labels by their number of units.
    - ``"relevance"``: w_k is the unit's relevance, for example its weight for the image's category.
    - ``"area"``: w_k is the share of the object in the image that the part covers.
    - ``"uniform"``: every pair counts the same.

    Args:
        heatmaps: (image, unit, y, x) finite numbers, one map a unit and image; another name for ``unit`` will do
            (``concept``, ``rule``). Values below zero count as zero. May be backed by dask.
        masks: (image, part, y, x) bool on the same grid; a part that an image does not show has an empty mask.
        binarise: how maps are cut, a name in ``evaluate.binarisers`` or a :class:`~workbench.evaluate.Binariser`.
        weights: one of the four above.
        link: ``"held out"`` (learn labels on a random half of the images, score on the other), ``"same"`` (learn and
            score on all images: biased upwards, and labelled so), or (unit) names of parts, "" for none, learned
            elsewhere; all images are scored then.
        floor: units whose best mean IoU is below get no label, in [0, 1]; see ``linked``.
        unlinked: what a unit without a label scores on the images that it is shown on: ``"zero"``, since it covers no
            part; or ``"left out"``, the formula to the letter, by which a method that names many units is judged by
            its luckiest (random units then score as high as the true ones among them).
        relevance: (unit) or (image, unit), finite, zero or more; needed by ``weights="relevance"``, else not used.
        shown: on which images each unit is taken for an explanation, and so linked and scored: ``"everywhere"``;
            ``"responding"``, where its map has a value above zero; or (image, unit) bool. Random units follow the same
            rule, or are shown where the units are whose places they take.
        objects: (image, y, x) bool, the object whose parts they are, for ``weights="area"``; the union of the parts
            where omitted.
        pool: (image, unit, y, x) maps of all units of the layer, of which as many are drawn for the control
            ``"random units"``; that control is NaN where omitted. Where several methods are scored on the same images,
            what :func:`~workbench.evaluate.overlap.measure` gives of these maps saves cutting them again.
        draws: random sets of units, and other images whose masks each map is compared with.
        level: nominal coverage of the intervals.
        resamples: of the bootstrap.
        seed: of the split, the draws and the bootstrap.

    Returns:
        Dataset. ``value``, ``low``, ``high`` and ``n``: the WAIoU with its BCa bootstrap interval over images (labels
        held fixed) and how many images were scored; NaN and 0 where there was nothing to score. ``baseline_value``,
        ``baseline_low``, ``baseline_high``: chance. ``score`` and ``chance`` (image), the weighted average within
        each image, NaN where nothing was scored. ``control_value``, ``control_low``, ``control_high``, ``control_n``
        (control): ``"random units"``, mean over draws of as many units from the pool and the range of that share of
        them; ``"shuffled images"``, the same labels with the masks of other images that show the part; ``"chance"``,
        ab / (a + b - ab) for the shares a and b that map and part cover. ``iou`` (unit, part), mean IoU over the
        scored images that show the part, and ``images`` (unit, part) int64, how many; ``linking_iou`` (unit, part),
        the same on the images that labels were learned on, NaN where labels were given. ``label`` (unit) str, "" for
        none; ``label_iou`` (unit), on the scored images; ``linked``, share of units with a label; ``part_units``
        (part) int64, units of each label; ``overlap`` (image) int64, pixels that more than one part claims, which a map
        can cover for both; ``half`` (image) str: ``"linking"``, ``"scoring"``, ``"both"`` or "".
        Attribute ``biased`` is 1 where labels were learned on the scored images, or the binariser reads the masks.

    Raises:
        ShapeError: missing dimensions; maps and masks of other sizes or images; labels, relevance or shown of another
            shape.
        DtypeError: masks that are not boolean.
        NotFiniteError: NaN or infinity in a heatmap, with its place.
        UnknownNameError: no such binariser, or a label that is no part.
        InputError: no part is visible in any image; fewer than two images to split; an unknown weighting, or what it
            needs is missing; a parameter out of range.

    Source: [behzadi2023]
    """
    binariser = as_binariser(binarise)
    check_floor(floor)
    if weights not in get_args(Weights):
        raise InputError(f"Unknown weights {weights!r}; expected one of {', '.join(map(repr, get_args(Weights)))}.")
    if draws < 1:
        raise InputError(f"draws is {draws}; expected at least 1.")
    maps, truth = aligned_units(heatmaps, masks)
    if unlinked not in ("zero", "left out"):
        raise InputError(f"unlinked is {unlinked!r}; expected 'zero' or 'left out'.")
    found = measure(maps, truth, binariser)
    on = _shown(shown, found)
    linking, scoring, how = _split(found.visible, on, link, seed)
    judged = Judged(
        on & scoring[:, None],
        _relevance(relevance, maps.shape[:2]) if weights == "relevance" else None,
        _part_shares(truth, objects) if weights == "area" else None,
        truth.sizes[PART],
        by_label=weights == "frequency",
        unlinked_are_zero=unlinked == "zero",
    )
    names = [str(name) for name in truth[PART].values]
    own = np.where(on[:, :, None], found.iou, np.nan)
    linking_table, _ = mean_table(own[linking])
    if how == GIVEN:
        label = given_labels(link, names, maps.sizes[UNIT])
    else:
        shared = np.where(on[linking, :, None], found.shared[linking], 0).sum(axis=0)
        label = best_parts(linking_table, shared, floor)
    options: dict[str, Any] = {"level": level, "resamples": resamples, "seed": seed}
    actual = judged.pairs(of_label(found.iou, label), label)
    by_chance = judged.pairs(of_label(found.chance, label), label)
    others = shuffled_scores(maps, truth, found, label, scoring, draws=draws, seed=seed)
    chance = by_chance.estimate(**options)
    controls = (
        _of_pool(pool, truth, binariser, shown, floor, (linking, scoring), judged, draws=draws, level=level, seed=seed),
        judged.pairs(others, label).estimate(**options),
        chance,
    )
    table, counts = mean_table(own[scoring])
    weight = actual.final_weight
    result = xr.Dataset(
        {
            **_columns("", actual.estimate(**options)),
            **{name: value for name, value in _columns("baseline_", chance).items() if name != "baseline_n"},
            **_columns("control_", tuple(np.array(column) for column in zip(*controls, strict=True)), ("control",)),
            "score": (IMAGE, _within(actual.score, weight)),
            "chance": (IMAGE, _within(by_chance.score, weight)),
            "iou": ((UNIT, PART), table),
            "images": ((UNIT, PART), counts),
            "linking_iou": ((UNIT, PART), linking_table),
            "label": (UNIT, named(label, names)),
            "label_iou": (UNIT, np.where(label >= 0, of_label(table[None], label)[0], np.nan)),
            "linked": ((), float((label >= 0).mean())),
            "part_units": (PART, np.bincount(label[label >= 0], minlength=len(names))),
            "overlap": (IMAGE, found.claimed_twice),
            "half": (IMAGE, np.array(["", "linking", "scoring", "both"], dtype=object)[linking + 2 * scoring]),
        },
        coords={**row_coordinates(maps, truth), PART: truth[PART].values, "control": strings(CONTROLS)},
    )
    made_by = {f"interpretation_{key}": value for key, value in heatmaps.attrs.items() if key != "versions"}
    facts = {"metric": "waiou", "binariser": str(binariser), "weights": weights, "link": how, "unlinked": unlinked}
    biased = int(how == SAME or binariser.reads_masks)
    return result.assign_attrs(
        provenance(**facts, biased=biased, floor=floor, draws=draws, level=level, seed=seed, **made_by)
    )


def _shown(shown: Any, found: Overlaps) -> NDArray[np.bool_]:
    if isinstance(shown, str):
        if shown not in (EVERYWHERE, RESPONDING):
            raise InputError(f"shown is {shown!r}; expected {EVERYWHERE!r}, {RESPONDING!r} or (image, unit) bool.")
        return found.responds if shown == RESPONDING else np.ones_like(found.responds)
    on, shape = np.asarray(shown), found.responds.shape
    if on.dtype != np.bool_:
        raise DtypeError(f"shown has dtype {on.dtype}; expected bool, (image, unit).")
    if on.shape != shape:
        raise ShapeError(f"shown has shape {on.shape}; expected {shape}, one entry an image and unit.")
    return on


def _relevance(relevance: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if relevance is None:
        raise InputError("weights='relevance' needs relevance=, (unit) or (image, unit) numbers of zero or more.")
    given = np.asarray(relevance, dtype=np.float64)
    if given.shape not in (shape[1:], shape):
        raise ShapeError(f"relevance has shape {given.shape}; expected {shape[1:]} or {shape}.")
    dims = (UNIT,) if given.ndim == 1 else (IMAGE, UNIT)
    if (check_array(given, name="relevance", dims=dims) < 0).any():
        raise InputError(f"relevance reaches down to {given.min():g}; expected zero or more. Take its magnitude.")
    return np.asarray(np.broadcast_to(given, shape), dtype=np.float64)


def _part_shares(truth: xr.DataArray, objects: xr.DataArray | None) -> NDArray[np.float64]:
    """(image, part): pixels of the part as a share of the object's."""
    area = truth.values.sum(axis=(2, 3)).astype(np.float64)
    if objects is None:
        whole = truth.values.any(axis=1).sum(axis=(1, 2))
    else:
        same_grid(truth, objects)
        if objects.dtype != np.bool_:
            raise DtypeError(f"objects have dtype {objects.dtype}; expected bool.")
        whole = objects.transpose(IMAGE, ...).values.sum(axis=(1, 2))
        lost = np.flatnonzero((whole == 0) & (area > 0).any(axis=1))
        if len(lost):
            raise InputError(
                f"the object of image {int(lost[0])} has no pixels, but a part of it has; {len(lost)} images are so. "
                "Pass masks of the whole object, or leave objects= out."
            )
    return np.asarray(area / np.maximum(whole, 1)[:, None], dtype=np.float64)


def _split(
    visible: NDArray[np.bool_], shown: NDArray[np.bool_], link: Any, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """The images that labels are learned on, those that are scored, and how that is called."""
    usable = np.asarray(visible.any(axis=1) & shown.any(axis=1))
    if not isinstance(link, str):
        return np.zeros_like(usable), usable, GIVEN
    if link == SAME:
        return usable, usable, SAME
    if link == HELD_OUT:
        return *halves(usable, seed), HELD_OUT
    raise InputError(f"link is {link!r}; expected {HELD_OUT!r}, {SAME!r}, or the name of a part for each unit.")


def _of_pool(
    pool: xr.DataArray | Overlaps | None,
    truth: xr.DataArray,
    binariser: Binariser,
    shown: Any,
    floor: float,
    split: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    judged: Judged,
    *,
    draws: int,
    level: float,
    seed: int,
) -> tuple[float, float, float, int]:
    """The control of random units: the pool is measured once, and every draw picks from its table."""
    if pool is None:
        return NOTHING
    found = _measured(pool, truth, binariser)
    by_rule = isinstance(shown, str)
    on = _shown(shown if by_rule else EVERYWHERE, found)
    own = np.where(on[:, :, None], found.iou, np.nan)
    linking, scoring = split
    # where the labels were given there is no half to learn those of the pool on: they are learned where they are scored
    learned = linking if linking.any() else scoring
    table, _ = mean_table(own[learned])
    label = best_parts(table, np.where(on[learned, :, None], found.shared[learned], 0).sum(axis=0), floor)
    places = on & scoring[:, None] if by_rule else None
    return random_units(of_label(own, label), label, judged, places, draws=draws, level=level, seed=seed)


def _measured(pool: xr.DataArray | Overlaps, truth: xr.DataArray, binariser: Binariser) -> Overlaps:
    if not isinstance(pool, Overlaps):
        maps, _ = aligned_units(pool, truth)
        return measure(maps, truth, binariser)
    images, parts = truth.sizes[IMAGE], truth.sizes[PART]
    if pool.areas.shape != (images, parts):
        raise ShapeError(
            f"pool was measured on {pool.areas.shape[0]} images and {pool.areas.shape[1]} parts, and the masks are of "
            f"{images} and {parts}. Measure it on the masks that are scored."
        )
    if pool.binariser != str(binariser):
        raise InputError(f"pool was cut by {pool.binariser!r}, and the maps are cut by {str(binariser)!r}. Cut alike.")
    return pool


def _columns(prefix: str, values: tuple[Any, ...], dims: tuple[str, ...] = ()) -> dict[str, Any]:
    return {f"{prefix}{name}": (dims, value) for name, value in zip(("value", "low", "high", "n"), values, strict=True)}


def _within(score: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(image): the weighted average within each image."""
    total = weight.sum(axis=1)
    above = (weight * np.where(weight > 0, score, 0.0)).sum(axis=1)
    return np.asarray(np.divide(above, total, out=np.full(len(total), np.nan), where=total > 0))
