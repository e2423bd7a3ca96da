"""The first question: interpretation methods by binariser, beside what chance gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from protocol_parts.settings import Named
from protocol_parts.written import cell, control
from workbench import evaluate

Units = Sequence[tuple[Named, xr.Dataset]]
SHOWN = ("otsu", "fraction(fraction=0.5)", "percentile(share=0.1)", "dataset_quantile", "area_matched")
CONTROLS = ("random units", "shuffled images", "chance")
FEW = 0.6  # a tau below which two rankings of six methods differ in three of fifteen pairs or more


def answer(units: Units) -> Iterator[str]:
    """Does the ranking depend on the binariser or on the weighting, and is any of it more than chance?"""
    cuts, weighs = (_taus(units, index) for index in (0, 1))
    more = "more" if cuts.mean() < weighs.mean() else "no more"
    yield (
        f"1. **Does the ranking of interpretation methods depend on the binariser or on the weighting?** It depends on "
        f"the binariser, {more} than on the weighting. Kendall's tau between the rankings by two binarisers is "
        f"{cuts.mean():.2f} on average over {len(units)} networks and {len(cuts)} pairs, from {cuts.min():.2f} to "
        f"{cuts.max():.2f}, and below {FEW} for {100 * (cuts < FEW).mean():.0f} % of the pairs; by the choice of the "
        f"binariser, {_firsts(units, 0)} different methods come first on the networks in the order below. Between two "
        f"weightings it is {weighs.mean():.2f}, from {weighs.min():.2f} to {weighs.max():.2f} ({len(weighs)} pairs), "
        f"below {FEW} for {100 * (weighs < FEW).mean():.0f} %, and {_firsts(units, 1)} of them come first."
    )
    above, scored = _above_random(units, ("otsu",))
    every, all_scored = _above_random(units, None)
    yield (
        f"   By Otsu {len(above)} of {scored} scores have an interval that lies above that of as many random units "
        f"({', '.join(above) or 'none'}), and {len(every)} of {all_scored} by any binariser that does not read the "
        "masks: the others are not shown to know more of the parts than units drawn blindly."
    )


def section(units: Units) -> Iterator[str]:
    """The tables."""
    yield "## 1. Interpretation methods: WAIoU by binariser, with controls"
    yield ""
    data = units[0][0].protocol.data[0]
    half = data.count // 2
    yield (
        "What is known of the published WAIoU is that it is a weighted average IoU of heatmaps and annotations after "
        "units were linked with labels, and that several binarisations were compared; its formula, weights and list of "
        f"binarisers could not be read. So a family is measured. Methods learn from {data.learn.count} scenes; of "
        f"{data.count} others one half gives the units their labels and the other is scored. Units that get no label "
        "count as 0. What a method says of a category (VEBI, concepts, rules) is shown, linked and scored on images of "
        f"that category alone, of which a half of {half} has few: their labels are learned from less than those of "
        "dissection or of random units, and this counts against them. `random_units` is half of the layer's units, "
        "drawn once; beside every score stand the controls of the same binariser: as many random units in the places "
        "of the method's (n counts draws), the same labels with other images' masks, and chance. `area_matched` reads "
        "the masks: a bound, no result. `digits`, which ships too, has no parts."
    )
    for named, table in units:
        yield ""
        yield f"### {named.title} (protocol `{named.protocol.hash[:12]}`)"
        yield ""
        yield from by_binariser(table.isel(model=0, data=0))
        yield ""
        yield from _rankings(table)


def by_binariser(part: xr.Dataset) -> Iterator[str]:
    """Methods by some of the binarisers, and the controls of one of them."""
    yield "| method | " + " | ".join(SHOWN) + " | controls for otsu: random, shuffled, chance |"
    yield "|---" * (len(SHOWN) + 2) + "|"
    for method in part["method"].values:
        row = part.sel({"method": method})
        cells = [cell(row.sel({"metric": _metric(row, binariser)})) for binariser in SHOWN]
        otsu = row.sel({"metric": _metric(row, "otsu")})
        yield f"| `{method}` | {' | '.join(cells)} | {'; '.join(control(otsu, name) for name in CONTROLS)} |"
    missing = {str(note) for note in part["note"].values.ravel() if "Error" in str(note)}
    for note in sorted(missing):
        yield f"\nNot run: {note}"


def _metric(row: xr.Dataset, binariser: str, weights: str = "frequency") -> str:
    for metric, name, cut, weigh in zip(
        row["metric"].values, row["metric_name"].values, row["binariser"].values, row["weights"].values, strict=True
    ):
        if name == "waiou" and cut == binariser and (weigh or "frequency") == weights:
            return str(metric)
    raise SystemExit(f"The table has no WAIoU by {binariser}, {weights}.")


def _families(table: xr.Dataset) -> tuple[list[str], list[str]]:
    """Columns that differ by their binariser alone (without the oracle), and by their weighting alone."""
    row = table.isel(method=0, model=0, data=0)
    cuts = [
        str(metric)
        for metric, name, weigh, cut in zip(
            row["metric"].values, row["metric_name"].values, row["weights"].values, row["binariser"].values, strict=True
        )
        if name == "waiou" and weigh == "frequency" and cut != "area_matched"
    ]
    weighs = [_metric(row, "otsu", weights) for weights in ("frequency", "relevance", "area", "uniform")]
    return cuts, weighs


def _scored_by(table: xr.Dataset, metrics: Sequence[str]) -> list[str]:
    """The methods that all of these metrics score."""
    part = table.isel(model=0, data=0).sel({"metric": list(metrics)})
    return [str(name) for name in part["method"].values if (part["n"].sel({"method": name}) > 0).all()]


def _agreement(table: xr.Dataset, index: int) -> xr.Dataset:
    names = _families(table)[index]
    return evaluate.ranking_agreement(table, metrics=names, methods=_scored_by(table, names))


def _upper(found: xr.Dataset, name: str) -> np.ndarray:
    rows, columns = np.triu_indices(found.sizes["first"], k=1)
    return found[name].values[rows, columns]


def _taus(units: Units, index: int) -> np.ndarray:
    every = np.concatenate([_upper(_agreement(table, index), "tau") for _, table in units])
    return every[np.isfinite(every)]


def _firsts(units: Units, index: int) -> str:
    """How many methods come first by one binariser (0) or weighting (1) or another, network by network."""
    found = []
    for _, table in units:
        names = _families(table)[index]
        part = table.isel(model=0, data=0).sel({"metric": names, "method": _scored_by(table, names)})
        found.append(len({int(np.argmax(column)) for column in part["value"].transpose("metric", "method").values}))
    return ", ".join(map(str, found))


def _above_random(units: Units, binarisers: Sequence[str] | None) -> tuple[list[str], int]:
    """Scores above the control of random units, as the method on its network, and how many scores there are."""
    above, scored = [], 0
    for named, table in units:
        part = table.isel(model=0, data=0)
        names = _families(table)[0] if binarisers is None else [_metric(part, name) for name in binarisers]
        for method in part["method"].values:
            if str(method).startswith("random_units"):
                continue
            one = part.sel({"method": method, "metric": names})
            known = one["n"].values > 0
            scored += int(known.sum())
            chance = one["control_high"].sel(control="random units").values
            higher = int((one["low"].values[known] > chance[known]).sum())
            above += [f"`{method}` on `{named.protocol.models[0].name}`"] * higher
    return above, scored


def _rankings(table: xr.Dataset) -> Iterator[str]:
    for index, what in enumerate(("binarisers", "weightings")):
        found = _agreement(table, index)
        taus = _upper(found, "tau")
        least = int(np.nanargmin(taus))
        yield (
            f"- Rankings of {found.sizes['method']} methods by {found.sizes['first']} {what}: Kendall's tau "
            f"{np.nanmean(taus):.2f} on average over {len(taus)} pairs, {taus[least]:.2f} at least "
            f"[{_upper(found, 'low')[least]:.2f}, {_upper(found, 'high')[least]:.2f}], n = {int(found['n'].min())}."
        )
