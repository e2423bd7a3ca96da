"""The page: answers first, each with its numbers, then the tables that they are read from."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from protocol_parts.settings import CHEAP, TRUTH, Named
from workbench import evaluate

Results = Sequence[tuple[Named, xr.Dataset]]
SHOWN = ("otsu", "fraction(fraction=0.5)", "percentile(share=0.1)", "dataset_quantile", "area_matched")
STABLE = 0.5  # rank correlation with the maps of a randomised network from which on a map hardly depends on weights


def report(results: Results, *, cub70: bool) -> Iterator[str]:
    """The whole page."""
    found = {named.key: (named, table) for named, table in results}
    yield "# The evaluation protocol: interpretation and explanation methods, against controls and by intervention"
    yield ""
    yield "```"
    yield "WORKBENCH_MIRROR=... python benchmarks/protocol.py --keep FOLDER --output docs/benchmarks/protocol.md"
    yield "```"
    yield ""
    yield (
        "Every number is of a `workbench.evaluate.Protocol`, named by the start of its hash; in brackets its 95 % "
        "bootstrap interval over images, then n, the images. The command gives the same hashes, and with the same "
        "versions the same numbers; no figure here is a time, so the load of the machine changes none of them "
        f"({platform.machine()}, Python {platform.python_version()}, one thread, {time.strftime('%Y-%m-%d')}, load "
        f"average {os.getloadavg()[0]:.1f} at the end). Images are few, so that all of it takes a quarter of an hour "
        "of one core: read intervals, not places. Networks are small and scenes rendered; what holds here need not "
        "hold on photographs."
    )
    units = [found[key] for key in found if key.startswith("units ")]
    yield ""
    yield from question_one(units)
    yield ""
    yield from question_two(*found["explanations"])
    yield ""
    yield from question_three(found, cub70=cub70)
    yield ""
    yield from question_four(*found["sanity"])


def question_one(units: Sequence[tuple[Named, xr.Dataset]]) -> Iterator[str]:
    yield "## 1. Interpretation methods: WAIoU by binariser, with controls"
    yield ""
    yield (
        "What is known of the published WAIoU is that it is a weighted average IoU of heatmaps and annotations after "
        "units were linked with labels, and that several binarisations were compared; its formula, weights and list of "
        "binarisers could not be read. So a family is measured. Methods learn from 150 scenes; of 50 others one half "
        "gives the units their labels and the other is scored. Units that get no label count as 0. "
        "What a method says of a category (VEBI, concepts, rules) is shown, linked and scored on images of that "
        "category alone, of which a half of 25 has few: their labels are learned from less than those of dissection or "
        "of random units, and this counts against them. `random_units` is "
        "half of the layer's units, drawn once; beside every score stand the controls of the same binariser: as many "
        "random units in the places of the method's (n counts draws), the same labels with other images' masks, and "
        "chance. `area_matched` reads the masks: a bound, no result."
    )
    for named, table in units:
        yield ""
        yield f"### {named.title} (protocol `{named.protocol.hash[:12]}`)"
        yield ""
        part = table.isel(model=0, data=0)
        yield from _units_table(part)
        yield ""
        yield from _ranking_words(table)
    yield ""
    yield from _summary_of_rankings(units)


def _units_table(part: xr.Dataset) -> Iterator[str]:
    yield "| method | " + " | ".join(f"{name}" for name in SHOWN) + " | controls for otsu: random, shuffled, chance |"
    yield "|---" * (len(SHOWN) + 2) + "|"
    for method in part["method"].values:
        row = part.sel({"method": method})
        cells = [_cell(row.sel({"metric": _metric(row, binariser)})) for binariser in SHOWN]
        otsu = row.sel({"metric": _metric(row, "otsu")})
        controls = [
            _estimate(
                *(float(otsu[f"control_{field}"].sel(control=name)) for field in ("value", "low", "high")),
                int(otsu["control_n"].sel(control=name)),
            )
            for name in ("random units", "shuffled images", "chance")
        ]
        yield f"| `{method}` | " + " | ".join(cells) + f" | {'; '.join(controls)} |"
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


def _pairs_of(found: xr.Dataset) -> np.ndarray:
    rows, columns = np.triu_indices(found.sizes["first"], k=1)
    return found["tau"].values[rows, columns]


def _ranking_words(table: xr.Dataset) -> Iterator[str]:
    for what, names in zip(("binarisers", "weightings"), _families(table), strict=True):
        methods = _scored_by(table, names)
        if len(methods) < 3:
            yield f"- Rankings by {what}: {len(methods)} methods have scores by all of them, too few."
            continue
        found = evaluate.ranking_agreement(table, metrics=names, methods=methods)
        taus = _pairs_of(found)
        low, high = _worst(found)
        yield (
            f"- Rankings of {len(methods)} methods by {len(names)} {what}: Kendall's tau {np.nanmean(taus):.2f} on "
            f"average over {len(taus)} pairs, {np.nanmin(taus):.2f} at least [{low:.2f}, {high:.2f}], n = "
            f"{int(found['n'].min())}."
        )


def _worst(found: xr.Dataset) -> tuple[float, float]:
    """The interval of the pair that agrees least."""
    rows, columns = np.triu_indices(found.sizes["first"], k=1)
    index = int(np.nanargmin(found["tau"].values[rows, columns]))
    place = rows[index], columns[index]
    return float(found["low"].values[place]), float(found["high"].values[place])


def _scored_by(table: xr.Dataset, metrics: Sequence[str]) -> list[str]:
    part = table.isel(model=0, data=0).sel({"metric": list(metrics)})
    return [str(name) for name in part["method"].values if (part["n"].sel({"method": name}) > 0).all()]


def _summary_of_rankings(units: Sequence[tuple[Named, xr.Dataset]]) -> Iterator[str]:
    yield "**Does the ranking depend on the binariser or on the weighting?**"
    yield ""
    for what, index in (("binariser", 0), ("weighting", 1)):
        taus, firsts = [], []
        for _, table in units:
            names = _families(table)[index]
            methods = _scored_by(table, names)
            if len(methods) < 3:
                continue
            taus += _pairs_of(evaluate.ranking_agreement(table, metrics=names, methods=methods)).tolist()
            part = table.isel(model=0, data=0).sel({"metric": names, "method": methods})
            firsts.append(len({str(methods[int(np.argmax(column))]) for column in part["value"].values.T}))
        known = np.array(taus)[np.isfinite(taus)]
        yield (
            f"- By {what}: over {len(firsts)} networks and {len(known)} pairs of {what}s, tau is {known.mean():.2f} on "
            f"average, from {known.min():.2f} to {known.max():.2f}; {100 * (known < 0.6).mean():.0f} % of the pairs "
            f"agree by less than 0.6. By choosing the {what}, {', '.join(map(str, firsts))} different methods come "
            "first on the networks in the order above."
        )
    above, scored = 0, 0
    for _, table in units:
        row = table.isel(model=0, data=0)
        otsu = row.sel({"metric": _metric(row, "otsu")})
        for method in row["method"].values:
            one = otsu.sel({"method": method})
            if int(one["n"]) and not str(method).startswith("random_units"):
                scored += 1
                above += int(float(one["low"]) > float(one["control_high"].sel(control="random units")))
    yield (
        f"- Against chance: by Otsu, {above} of {scored} scores have an interval that lies above that of as many "
        "random units; the others are not shown to know more of the parts than units drawn blindly."
    )


def question_two(named: Named, table: xr.Dataset) -> Iterator[str]:
    part = table.isel(model=0, data=0)
    yield "## 2. Explanation methods: localisation, faithfulness, truth by intervention"
    yield ""
    cheap = "; ".join(
        f"`{name}` {', '.join(f'{key}={value}' for key, value in given.items())}" for name, given in CHEAP.items()
    )
    yield (
        f"All registered methods on `scenes_part`, {int(part['score'].sizes['image'])} scenes, the predicted category "
        f"(protocol `{named.protocol.hash[:12]}`). Slow methods at a fraction of their default cost: {cheap}. The "
        "truth by intervention is the fall of the logit when the scene is drawn again without a part; agreement is "
        "Spearman's correlation of the parts' mean (or summed) attribution with it, on images with at least three "
        "parts. Localisation asks for the part that the category names: a network may rightly look elsewhere."
    )
    yield ""
    truth = [str(name) for name in part["metric"].values if str(name) in _truth_labels(part)]
    chosen = [*truth, *_labels(part, ("pointing_game", "mask_average_precision", "box_iou", "deletion", "insertion",
                                      "road", "infidelity", "sensitivity_n"))]  # fmt: skip
    order = np.argsort(-np.nan_to_num(part["value"].sel({"metric": truth[0]}).values, nan=-9))
    yield "| method | " + " | ".join(f"{name} {_arrow(part, name)}" for name in chosen) + " |"
    yield "|---" * (len(chosen) + 1) + "|"
    for index in order:
        row = part.isel(method=int(index))
        yield f"| `{row['method'].item()}` | " + " | ".join(_cell(row.sel({"metric": name})) for name in chosen) + " |"
    control = part.isel(method=int(order[0])).sel({"metric": truth[0]})
    size = _estimate(
        *(float(control[f"control_{field}"].sel(control="area")) for field in ("value", "low", "high")),
        int(control["control_n"].sel(control="area")),
    )
    yield ""
    yield f"Ranking the parts by their size alone agrees with the truth by {size}; that is what a method has to beat."
    yield ""
    yield from _differences(table, truth[0])
    yield ""
    yield from _agreement_with_truth(table, truth[0])


def _truth_labels(part: xr.Dataset) -> set[str]:
    wanted = {text.replace(" ", "") for text in TRUTH}
    return {str(name) for name in part["metric"].values if str(name).replace(" ", "") in wanted}


def _labels(part: xr.Dataset, names: Sequence[str]) -> list[str]:
    return [
        str(label)
        for wanted in names
        for label, name in zip(part["metric"].values, part["metric_name"].values, strict=True)
        if name == wanted
    ]


def _arrow(part: xr.Dataset, metric: str) -> str:
    return "(higher is better)" if part.sel({"metric": metric})["better"].item() == "higher" else "(lower is better)"


def _differences(table: xr.Dataset, truth: str) -> Iterator[str]:
    found = evaluate.method_comparison(table, metric=truth)
    upper = np.triu_indices(found.sizes["first"], k=1)
    better = found["better"].values
    names = [str(name) for name in found["first"].values]
    noise = names.index("random_maps")
    winners = [name for index, name in enumerate(names) if better[index, noise] > 0]
    losers = [name for index, name in enumerate(names) if better[index, noise] < 0]
    yield (
        f"By `{truth}`, {int((better[upper] != 0).sum())} of {len(upper[0])} pairs of methods differ (paired sign-flip "
        f"test, Holm, 0.05, n = {int(found['n'].min())}). Better than maps of noise: {_listed(winners)}. Worse than "
        f"noise: {_listed(losers)}."
    )


def _agreement_with_truth(table: xr.Dataset, truth: str) -> Iterator[str]:
    found = evaluate.ranking_agreement(table, kind="explanation")
    row = found.sel(first=truth)
    yield (
        f"**Which metrics agree with the truth by intervention?** Kendall's tau between the ranking of "
        f"{int(found['methods'])} methods by each metric and by `{truth}`; the interval is over images, not over "
        "methods."
    )
    yield ""
    yield "| metric | tau | n |"
    yield "|---|---|---|"
    order = np.argsort(-np.nan_to_num(row["tau"].values, nan=-9))
    for index in order:
        name = str(row["second"].values[index])
        if name != truth:
            one = row.isel(second=int(index))
            tau, low, high = (float(one[field]) for field in ("tau", "low", "high"))
            yield f"| {name} | {tau:.2f} [{low:.2f}, {high:.2f}] | {int(one['n'])} |"
    taus = {str(name): (float(low), float(high)) for name, low, high in zip(
        row["second"].values, row["low"].values, row["high"].values, strict=True) if str(name) != truth}  # fmt: skip
    agreeing = [name for name, (low, _) in taus.items() if low > 0]
    opposed = [name for name, (_, high) in taus.items() if high < 0]
    yield ""
    yield (
        f"Their interval lies above zero for {_listed(agreeing)}; below zero, ranking methods the other way round, for "
        f"{_listed(opposed)}; the rest is not shown to say anything of what the network uses."
    )
    if "sparseness" in taus:
        alone = float(row["tau"].sel(second="sparseness"))
        yield (
            f"`sparseness` knows neither the network nor the truth, and reaches {alone:.2f} by what kind of map each "
            "method draws: an agreement of that size is no evidence of faithfulness."
        )


def question_three(found: dict[str, tuple[Named, xr.Dataset]], *, cub70: bool) -> Iterator[str]:
    yield "## 3. Photographs"
    yield ""
    if "coco" in found:
        named, table = found["coco"]
        chosen = (
            "pointing_game",
            "energy_pointing_game",
            "relevance_mass",
            "mask_average_precision",
            "box_iou",
            "mask_iou",
        )
        for data in table["data"].values:
            part = table.isel(model=0).sel(data=data)
            columns = _labels(part, chosen)
            yield f"### {data}, MobileNetV2 (protocol `{named.protocol.hash[:12]}`)"
            yield ""
            yield (
                "Photographs of COCO of which the network's first choice is a category that is in them "
                "(`benchmarks/imagenet_to_coco.csv`), drawn at random; the objects of that category are to be found. "
                "The pointing game's control is the centre of the image, the others' the share of the image."
            )
            yield ""
            yield "| method | " + " | ".join(columns) + " |"
            yield "|---" * (len(columns) + 1) + "|"
            for method in part["method"].values:
                row = part.sel({"method": method})
                yield f"| `{method}` | " + " | ".join(_cell(row.sel({"metric": name})) for name in columns) + " |"
            first = part.isel(method=0)
            for metric, name in ((columns[0], "centre"), (columns[2], "chance")):
                one = first.sel({"metric": metric})
                ends = [float(one[f"control_{field}"].sel(control=name)) for field in ("value", "low", "high")]
                yield f"\n{name} by {metric}: {_estimate(*ends, int(one['control_n'].sel(control=name)))}"
            yield ""
    if "ade20k" in found:
        named, table = found["ade20k"]
        part = table.isel(model=0, data=0, method=0)
        yield f"### Three street scenes of ADE20K with parts (protocol `{named.protocol.hash[:12]}`)"
        yield ""
        yield (
            "A quarter of the units of MobileNetV2's last convolution, drawn at random, linked to parts on one scene "
            "and scored on two: that the protocol runs on real parts is shown, nothing else. Two images have no "
            "interval worth reading, and parts of cars and houses cover a few pixels of maps of 7 x 7 cells."
        )
        yield ""
        yield "| metric | value | random units | shuffled images | chance |"
        yield "|---|---|---|---|---|"
        for metric in part["metric"].values:
            one = part.sel({"metric": metric})
            controls = [
                _estimate(
                    *(float(one[f"control_{field}"].sel(control=name)) for field in ("value", "low", "high")),
                    int(one["control_n"].sel(control=name)),
                )
                for name in ("random units", "shuffled images", "chance")
            ]
            yield f"| {metric} | {_cell(one)} | {' | '.join(controls)} |"
        yield ""
    if "coco" not in found:
        yield "COCO and ADE20K: **not run**. `WORKBENCH_MIRROR=... python benchmarks/protocol.py --keep FOLDER`"
        yield ""
    if cub70:
        named, table = found["cub70"]
        yield f"### CUB70 (protocol `{named.protocol.hash[:12]}`)"
        yield ""
        yield from _units_table(table.isel(model=0, data=0))
    else:
        yield (
            "CUB70 with its part masks: **not run**, since neither masks nor photographs may be shipped. With the "
            "masks of CUB70-PartSegmentation and CUB-200-2011 on disk: `WORKBENCH_MIRROR=... python "
            "benchmarks/protocol.py --keep FOLDER --cub70 FOLDER_OF_CUB70`."
        )


def question_four(named: Named, table: xr.Dataset) -> Iterator[str]:
    part = table.isel(model=0, data=0)
    metrics = [str(name) for name in part["metric"].values]
    spearman = metrics[0]
    yield "## 4. Which methods do not change when the network is randomised"
    yield ""
    yield (
        f"Similarity of each map with those of copies of `scenes_part` whose layers are drawn anew, cascading from the "
        f"output to three depths, the last of them the whole network; mean over the three (protocol "
        f"`{named.protocol.hash[:12]}`). 1: the map does not change; 0: nothing of it is left. Only the "
        f"network's weights change, not the category that is explained."
    )
    yield ""
    yield "| method | rank correlation | SSIM |"
    yield "|---|---|---|"
    order = np.argsort(-np.nan_to_num(part["value"].sel({"metric": spearman}).values, nan=-9))
    for index in order:
        row = part.isel(method=int(index))
        yield f"| `{row['method'].item()}` | " + " | ".join(_cell(row.sel({"metric": name})) for name in metrics) + " |"
    lows = part["low"].sel({"metric": spearman})
    stable = [str(name) for name, low in zip(part["method"].values, lows.values, strict=True) if low > STABLE]
    above = [str(name) for name, low in zip(part["method"].values, lows.values, strict=True) if 0 < low <= STABLE]
    yield ""
    yield (
        f"Rank correlation above {STABLE} with its whole interval, so that the map hardly depends on what was learned: "
        f"{_listed(stable)}. Above zero, so that part of the map is the picture's: {_listed(above)}. The others are "
        "not shown to keep anything."
    )
    versions = json.loads(str(table.attrs["versions"]))
    yield ""
    yield f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _cell(cell: xr.Dataset) -> str:
    n = int(cell["n"])
    if not n:
        return "none, n = 0"
    return _estimate(float(cell["value"]), float(cell["low"]), float(cell["high"]), n)


def _estimate(value: float, low: float, high: float, n: int) -> str:
    if not n or value != value:
        return "none, n = 0"
    interval = "no interval" if low != low else f"{low:.2f}, {high:.2f}"
    return f"{value:.2f} [{interval}] n {n}"
