"""The second question: which explanation methods, and which metrics, agree with what intervention shows to be true."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from protocol_parts.settings import CHEAP, TRUTH, Named
from protocol_parts.written import best_first, cell, control, labels, lines, listed
from workbench import evaluate

NOISE, COMPLEXITY = "random_maps", "sparseness"
SHOWN = (
    "pointing_game", "mask_average_precision", "box_iou", "deletion", "insertion", "road", "infidelity",
    "sensitivity_n",
)  # fmt: skip


def answer(table: xr.Dataset, baselines: xr.Dataset) -> Iterator[str]:
    """Who leads, who is told apart from noise, what a baseline decides, and which metrics rank as the truth does."""
    part = table.isel(model=0, data=0)
    truth = _truth(part)[0]
    leader = best_first(part, truth)[0]
    found = evaluate.method_comparison(table, metric=truth)
    names = [str(name) for name in found["first"].values]
    against = found["better"].values[:, names.index(NOISE)]
    better, worse = ([name for name, sign in zip(names, against, strict=True) if sign == want] for want in (1, -1))
    upper = np.triu_indices(len(names), k=1)
    first = part.sel({"method": leader, "metric": truth})
    yield (
        f"2. **Which explanations, and which metrics, agree with the truth by intervention?** Highest stands "
        f"`{leader}`, with {cell(first)}; ranking the parts by their size alone reaches {control(first, 'area')}. "
        f"{int((found['better'].values[upper] != 0).sum())} of {len(upper[0])} pairs of methods differ (paired "
        f"sign-flip test, Holm, 0.05, n = {int(found['n'].min())}). Better than maps of noise: {listed(better)}. "
        f"Worse: {listed(worse)}."
    )
    choices = baselines.isel(model=0, data=0)
    order = [name for name in best_first(choices, truth) if name.startswith("integrated")]
    ends = [cell(choices.sel({"method": name, "metric": truth})) for name in (order[-1], order[0])]
    yield (
        f"   What integrated gradients compares the picture with decides more than the choice of most methods: "
        f"`{order[-1]}` reaches {ends[0]}, `{order[0]}` {ends[1]}."
    )
    agreement = evaluate.ranking_agreement(table, kind="explanation").sel(first=truth)
    taus = agreement.sel(second=[name for name in agreement["second"].values if name not in _truth(part)])
    alone = float(taus["tau"].sel(second=COMPLEXITY))
    sure = [str(name) for name, low in zip(taus["second"].values, taus["low"].values, strict=True) if low > alone]
    above = [str(name) for name, low in zip(taus["second"].values, taus["low"].values, strict=True) if low > 0]
    opposed = [str(name) for name, high in zip(taus["second"].values, taus["high"].values, strict=True) if high < 0]
    yield (
        f"   Of {taus.sizes['second']} metrics, {len(above)} rank the methods as the truth does, their interval of "
        f"Kendall's tau above zero: {listed(above)}. But `{COMPLEXITY}`, which knows neither network nor truth, "
        f"reaches {alone:.2f} by what kind of map each method draws; the whole interval lies above that for "
        f"{listed(sure)}. The other way round rank {listed(opposed)}."
    )


def section(named: Named, table: xr.Dataset, baselines: tuple[Named, xr.Dataset]) -> Iterator[str]:
    """The leaderboard, what it owes to the baseline, and the metrics beside the truth."""
    part = table.isel(model=0, data=0)
    yield "## 2. Explanation methods: localisation, faithfulness, truth by intervention"
    yield ""
    cheap = "; ".join(
        f"`{name}` {', '.join(f'{key}={value}' for key, value in given.items())}" for name, given in CHEAP.items()
    )
    truth = _truth(part)
    scored = int(part["n"].sel({"metric": truth[0]}).max())
    yield (
        f"All registered methods on `scenes_part`, {part.sizes['image']} scenes, the predicted category (protocol "
        f"`{named.protocol.hash[:12]}`). Slow methods at a fraction of their default cost: {cheap}. The truth by "
        "intervention is the fall of the logit when the scene is drawn again without a part; agreement is Spearman's "
        f"correlation of the parts' mean (or summed) attribution with it, on the {scored} images that show at least "
        "three parts. Localisation asks for the part that the category names: a network may rightly look elsewhere."
    )
    yield ""
    columns = [*truth, *labels(part, SHOWN)]
    heads = [f"{name} ({part.sel({'metric': name})['better'].item()} is better)" for name in columns]
    yield from lines(part, columns, best_first(part, truth[0]), heads)
    yield ""
    yield from _by_baseline(*baselines)
    yield ""
    yield from _agreement(table, truth[0])


def _by_baseline(named: Named, table: xr.Dataset) -> Iterator[str]:
    part = table.isel(model=0, data=0)
    columns = [str(name) for name in part["metric"].values]
    yield (
        "Integrated gradients and DeepLIFT share out the difference from another picture, by default a black one, from "
        "which a light background differs most. The same scenes with other baselines (`zero` is mid-grey; protocol "
        f"`{named.protocol.hash[:12]}`):"
    )
    yield ""
    yield from lines(part, columns, best_first(part, columns[0]))


def _truth(part: xr.Dataset) -> list[str]:
    wanted = {text.replace(" ", "") for text in TRUTH}
    return [str(name) for name in part["metric"].values if str(name).replace(" ", "") in wanted]


def _agreement(table: xr.Dataset, truth: str) -> Iterator[str]:
    found = evaluate.ranking_agreement(table, kind="explanation")
    row = found.sel(first=truth)
    yield (
        f"**Which metrics agree with the truth by intervention?** Kendall's tau between the ranking of "
        f"{found.sizes['method']} methods by each metric and by `{truth}`; the interval is over images, not over "
        "methods."
    )
    yield ""
    yield "| metric | tau | n |"
    yield "|---|---|---|"
    for index in np.argsort(-np.nan_to_num(row["tau"].values, nan=-9)):
        one = row.isel(second=int(index))
        if str(one["second"].item()) != truth:
            tau, low, high = (float(one[field]) for field in ("tau", "low", "high"))
            yield f"| {one['second'].item()} | {tau:.2f} [{low:.2f}, {high:.2f}] | {int(one['n'])} |"
