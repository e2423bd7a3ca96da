"""The images behind one cell of a protocol's table, binarised as one asks, and the score that this gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from workbench.arrays import CHANNEL, IMAGE, PART, UNIT, X, Y, provenance, strings
from workbench.errors import InputError, unknown_name
from workbench.evaluate import as_binariser, binarise, binarised_iou, waiou
from workbench.evaluate.protocol.choices import as_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.evaluate import Binariser

Order = Literal["lowest", "highest", "listed"]
ORDERS = ("lowest", "highest", "listed")
ROW = "row"
FIELDS = ("value", "low", "high", "n")
PLACES = ("method", "metric", "model", "data")
NOTHING = (np.nan, np.nan, np.nan, 0)


@dataclass(frozen=True, eq=False)
class Behind:
    """Everything that one score is made of: one row an image, or a unit on an image.

    Attributes:
        image: (row) int64, positions in the maps.
        unit: (row) int64, -1 for none.
        part: (row) names of parts, "" for none.
        heatmap: (row, y, x) float32.
        chosen: (row, y, x) bool.
        mask: (row, y, x) bool.
        estimate: value, low, high and n of the score that the binariser gives.
        measure: what that score is.
    """

    image: NDArray[np.int64]
    unit: NDArray[np.int64]
    part: list[str]
    heatmap: NDArray[np.float32]
    chosen: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    estimate: tuple[float, float, float, int]
    measure: str

    @property
    def iou(self) -> NDArray[np.float64]:
        """(row) intersection over union, NaN where there is no mask."""
        both = (self.chosen & self.mask).sum(axis=(1, 2))
        either = (self.chosen | self.mask).sum(axis=(1, 2))
        return np.where(self.mask.any(axis=(1, 2)), both / np.maximum(either, 1), np.nan)


def protocol_cell(
    table: xr.Dataset,
    maps: xr.Dataset,
    *,
    method: str,
    metric: str,
    model: str | None = None,
    data: str | None = None,
    seed: int | None = None,
    binariser: str | Binariser = "otsu",
    order: Order = "lowest",
    count: int = 6,
) -> xr.Dataset:
    """What one cell of a protocol's table looks like, and what its overlap would be with another binariser.

    Of explanations each image is one row, scored by :func:`~workbench.evaluate.binarised_iou` against the object. Of
    interpretations each linked unit on an image that shows its part is one, scored by
    :func:`~workbench.evaluate.waiou` with the weights and options of the metric where it is that, else by frequency.

    Args:
        table: what :meth:`~workbench.evaluate.Protocol.run` gives.
        maps: what :meth:`~workbench.evaluate.Protocol.heatmaps` gives of the same method, model, data and seed.
        method: as the table names it.
        metric: likewise.
        model: likewise; the first where omitted.
        data: likewise; the first where omitted.
        seed: one of the table's; the first where omitted.
        binariser: how the maps are cut; the table itself stays as it is.
        order: which rows to keep: those of the ``"lowest"`` or ``"highest"`` IoU, or the first as ``"listed"``.
        count: how many, at least 1.

    Returns:
        Dataset: ``value``, ``low``, ``high``, ``n``, the score with this binariser, its 95 % bootstrap interval and
        how many images it is of (NaN and 0 where nothing is annotated); ``table_value``, ``table_low``,
        ``table_high``, ``table_n``, what the table says; and, of the rows that are kept, ``heatmap`` (row, y, x)
        float32, ``chosen`` and ``mask`` (row, y, x) bool, ``picture`` (row, y, x, channel) float32 in [0, 1], ``iou``
        (row) and ``score`` (row), what the metric gave the image, NaN where there is none. Coordinates on ``row``:
        ``image`` (identifier), ``unit`` (the unit, concept or rule that it is a map of) and ``part``, "" for
        explanations. Attributes: what was asked for, ``measure``, ``kind``, and ``note``, why the table has no number,
        or "".

    Raises:
        InputError: no such table or maps, no row to show, an unknown order or a count below 1.
        UnknownNameError: no such method, metric, model, data, seed or binariser.
    """
    place = placed(table, method=method, metric=metric, model=model, data=data)
    seeds = [int(item) for item in table["seed"].values]
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise unknown_name("seed", seed, map(str, seeds))
    if order not in ORDERS:
        raise unknown_name("order", order, ORDERS)
    if isinstance(count, bool) or count < 1:
        raise InputError(f"count is {count!r}; expected at least 1 image.")
    if not isinstance(maps, xr.Dataset) or "heatmap" not in maps or "position" not in maps.coords:
        raise InputError("maps are not what Protocol.heatmaps gives; they lack 'heatmap' or 'position'.")
    cutter = as_binariser(binariser)
    units = UNIT in maps["heatmap"].dims
    behind = _of_units(maps, cutter, metric, seed) if units else _of_images(maps, cutter)
    iou = behind.iou
    rows = _kept(iou, order, count)
    cell = table.sel(place)
    score = cell["score"].sel(seed=seed).values[np.asarray(maps["position"].values)]
    images = behind.image[rows]
    names = [str(name) for name in maps[UNIT].values] if UNIT in maps.coords else []
    variables: dict[str, Any] = {
        **dict(zip(FIELDS, behind.estimate, strict=True)),
        **{f"table_{name}": float(cell[name]) for name in FIELDS},
        "heatmap": ((ROW, Y, X), behind.heatmap[rows]),
        "chosen": ((ROW, Y, X), behind.chosen[rows]),
        "mask": ((ROW, Y, X), behind.mask[rows]),
        "picture": ((ROW, Y, X, CHANNEL), maps["picture"].values[images]),
        "iou": (ROW, iou[rows]),
        "score": (ROW, score[images]),
    }
    coords = {
        IMAGE: (ROW, strings(str(maps[IMAGE].values[index]) for index in images)),
        UNIT: (ROW, strings(names[behind.unit[row]] if behind.unit[row] >= 0 else "" for row in rows)),
        PART: (ROW, strings(behind.part[row] for row in rows)),
    }
    facts = {
        **place, "seed": seed, "binariser": str(cutter), "order": order, "measure": behind.measure,
        "kind": str(cell["kind"].item()), "note": str(cell["note"].item()),
    }  # fmt: skip
    return xr.Dataset(variables, coords).assign_attrs(provenance(**facts))


def placed(table: Any, *, method: str, metric: str, model: str | None, data: str | None) -> dict[str, str]:
    """The names of one cell, those that are omitted being the first.

    Args:
        table: what :meth:`~workbench.evaluate.Protocol.run` gives.
        method: as the table names it.
        metric: likewise.
        model: likewise, or None.
        data: likewise, or None.

    Returns:
        Dimension to name.

    Raises:
        InputError: no such table.
        UnknownNameError: a name that it does not have.
    """
    check_table(table)
    chosen = {}
    for dim, name in zip(PLACES, (method, metric, model, data), strict=True):
        known = [str(item) for item in table[dim].values]
        chosen[dim] = known[0] if name is None else name
        if chosen[dim] not in known:
            raise unknown_name(dim, name, known)
    return chosen


def check_table(table: Any) -> None:
    """Refuse what is no table of a protocol.

    Args:
        table: what :meth:`~workbench.evaluate.Protocol.run` gives.

    Raises:
        InputError: anything else.
    """
    if not isinstance(table, xr.Dataset) or not {"score", "note", *FIELDS} <= set(table):
        raise InputError("The table is not one of a protocol; expected what Protocol.run gives.")


def _of_images(maps: xr.Dataset, cutter: Binariser) -> Behind:
    heat, mask = maps["heatmap"], maps["mask"]
    annotated = bool(mask.values.any())
    chosen = binarise(heat, method=cutter, masks=mask if cutter.reads_masks else None)
    estimate: tuple[float, float, float, int] = NOTHING
    if annotated:
        scored = binarised_iou(heat.drop_vars("position", errors="ignore"), mask, binarise=cutter)
        estimate = _estimate(scored)
    count = len(heat)
    return Behind(
        np.arange(count), np.full(count, -1), [""] * count, heat.values, chosen.values, mask.values, estimate,
        f"mean IoU of the object and what {cutter} chooses",
    )  # fmt: skip


def _of_units(maps: xr.Dataset, cutter: Binariser, metric: str, seed: int) -> Behind:
    wanted = as_choice(metric)
    options: dict[str, Any] = {"weights": "frequency"}
    if wanted.name == "waiou":
        options |= {name: value for name, value in wanted.parameters.items() if name not in ("binarise", "draws")}
    if options["weights"] == "relevance":
        options["relevance"] = maps["relevance"].values
    heat = maps["heatmap"].drop_vars("position", errors="ignore")
    parts, shown = maps["part_mask"].drop_vars("position", errors="ignore"), maps["shown"].values
    scored = waiou(heat, parts, shown=shown, binarise=cutter, draws=1, seed=seed, **options)
    names = [str(name) for name in parts[PART].values]
    label = np.array([names.index(name) if name else -1 for name in scored["label"].values.astype(str)])
    visible = np.asarray(parts.values.any(axis=(2, 3)))
    scoring = np.isin(scored["half"].values.astype(str), ("scoring", "both"))
    image, unit = np.nonzero(np.asarray(shown) & scoring[:, None] & (label >= 0) & visible[:, np.maximum(label, 0)])
    if not len(image):
        raise InputError("No unit has a label whose part is visible in the images that are scored; there is no map.")
    own = parts.isel({PART: xr.DataArray(np.maximum(label, 0), dims=UNIT)}).drop_vars(PART)
    own = own.transpose(*heat.dims)
    chosen = binarise(heat, method=cutter, masks=own if cutter.reads_masks else None)
    return Behind(
        image, unit, [names[label[each]] for each in unit], heat.values[image, unit], chosen.values[image, unit],
        own.values[image, unit], _estimate(scored),
        f"weighted average IoU ({options['weights']}) of parts and what {cutter} chooses",
    )  # fmt: skip


def _estimate(scored: xr.Dataset) -> tuple[float, float, float, int]:
    return float(scored["value"]), float(scored["low"]), float(scored["high"]), int(scored["n"])


def _kept(iou: NDArray[np.float64], order: Order, count: int) -> NDArray[np.int64]:
    """Which rows are shown; those that are not annotated come last."""
    if order == "listed":
        return np.arange(min(count, len(iou)))
    key = iou if order == "lowest" else -iou
    return np.argsort(key, kind="stable")[:count]  # NaN is sorted to the end
