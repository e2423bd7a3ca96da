"""A protocol as one page that needs nothing else: numbers with intervals, what differs, what agrees, how to run it."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InputError
from workbench.view.protocol_table import check_protocol_table, leaderboard, scored
from workbench.view.words import count, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

KINDS = {"explanation": "Explanation methods", "interpretation": "Interpretation methods"}
SIGNS = {1: ("+", "better"), -1: ("\N{MINUS SIGN}", "worse"), 0: ("\N{MIDDLE DOT}", "no difference shown")}
STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; background: #fff; margin: 0 auto; padding: 1.5rem;
  max-width: 90rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-top: 1px solid #d0d7de; padding-top: 1rem; }
code, pre { font: 12.5px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; background: #f6f8fa; padding: .75rem; }
small { color: #57606a; } .wide { overflow-x: auto; } table { border-collapse: collapse; margin: .75rem 0; }
caption { text-align: left; color: #57606a; padding: .25rem 0; }
th, td { border: 1px solid #d0d7de; padding: .3rem .5rem; vertical-align: top; text-align: left; }
thead th { background: #f6f8fa; max-width: 12rem; overflow-wrap: anywhere; } td { white-space: nowrap; }
td.none { color: #57606a; } tbody th { position: sticky; left: 0; background: #fff; font-weight: 600; }
svg { display: block; } svg line { stroke: #d0d7de; } svg .interval { stroke: #0550ae; stroke-width: 3; }
svg .control { stroke: #bc4c00; stroke-width: 2; } svg circle { fill: #0550ae; }
summary { cursor: pointer; padding: .25rem 0; } dt { font-weight: 600; } dd { margin: 0 0 .5rem 0; }
@media print { .wide { overflow: visible; } }
"""


def protocol_report(
    table: xr.Dataset, path: str | Path | None = None, *, title: str = "Evaluation protocol", resamples: int = 1999
) -> str:
    """Write a page on what a protocol found.

    It holds, for each model and set of images: every number with its 95 % interval, n and controls; which pairs of
    methods differ (paired tests, Holm over all pairs of a metric); how far the metrics agree on the ranking (Kendall's
    tau); why numbers are missing; and the description from which anybody can run the same again. Nothing is loaded
    from elsewhere, and no script is in it.

    Args:
        table: what :meth:`workbench.evaluate.Protocol.run` or ``table`` gives.
        path: a file to write; none where omitted.
        title: of the page.
        resamples: of the tests and intervals of differences, at least 100.

    Returns:
        A whole HTML document.

    Raises:
        InputError: no such table.
    """
    check_protocol_table(table)
    text = "\n".join(_page(table, title, resamples)) + "\n"
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _page(table: xr.Dataset, title: str, resamples: int) -> Iterator[str]:
    shown = html.escape(title)
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<link rel="icon" href="data:,">'
    yield f"<title>{shown}</title><style>{STYLE}</style></head><body><main><h1>{shown}</h1>"
    yield from _summary(table)
    for model in table["model"].values:
        for data in table["data"].values:
            part = table.sel(model=model, data=data)
            yield f"<section><h2>{html.escape(str(model))} on {html.escape(str(data))}</h2>"
            for kind, words in KINDS.items():
                own = scored(part, kind)
                if own.sizes["method"] and own.sizes["metric"]:
                    yield f"<h3>{words}</h3>"
                    yield from leaderboard(own, f"{words}, {model} on {data}: value, 95 % interval, n, and controls")
                    yield from _differences(table, own, str(model), str(data), resamples)
                    yield from _agreement(table, own, str(model), str(data), max(resamples // 4, 100))
            yield "</section>"
    yield from _missing(table)
    yield from _again(table)
    yield "</main></body></html>"


def _summary(table: xr.Dataset) -> Iterator[str]:
    finished, of = int(table["done"].sum()), table["done"].size
    yield f"<p>Protocol <code>{html.escape(str(table.attrs['protocol']))}</code>: {finished} of {of} cells finished."
    yield (
        "Each cell of a table gives the mean over images, its 95 % bootstrap interval and the number of images. In the "
        "drawing the dot is the value, the blue bar the interval, and orange strokes are controls; each column has a "
        "scale of its own.</p><dl>"
    )
    for name in table["model"].values:
        one = table.sel(model=name)
        yield f"<dt>Model {html.escape(str(name))}</dt><dd>weights <code>{one['weights_hash'].item()}</code>, "
        yield f"units of <code>{html.escape(str(one['layer'].item()))}</code></dd>"
    for name in table["data"].values:
        one = table.sel(data=name)
        images = int((one["identifier"] != "").sum())
        yield f"<dt>Data {html.escape(str(name))}</dt><dd>{count(images, 'image')}, "
        yield f"<code>{html.escape(str(one['manifest_hash'].item()))}</code></dd>"
    yield f"<dt>Seeds</dt><dd>{', '.join(map(str, table['seed'].values.tolist()))}</dd></dl>"


def _differences(table: xr.Dataset, own: xr.Dataset, model: str, data: str, resamples: int) -> Iterator[str]:
    from workbench.evaluate import method_comparison

    yield "<h4>Which methods differ</h4><p>Paired sign-flip tests on the same images; Holm over all pairs of a metric, "
    yield "at 0.05. A row with a plus is better than the column's method.</p>"
    for metric in own["metric"].values:
        if int((own["n"].sel(metric=metric) > 0).sum()) < 2:
            continue
        found = method_comparison(table, metric=str(metric), model=model, data=data, resamples=resamples)
        upper = np.triu_indices(found.sizes["first"], k=1)
        differ, pairs = int((found["better"].values[upper] != 0).sum()), len(upper[0])
        yield f"<details><summary>{html.escape(str(metric))}: {differ} of {count(pairs, 'pair')} differ</summary>"
        yield from _pairs(found, str(metric))
        yield "</details>"


def _pairs(found: xr.Dataset, metric: str) -> Iterator[str]:
    names = [html.escape(str(name)) for name in found["first"].values]
    label = html.escape(f"Differences by {metric}", quote=True)
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{label}"><table><caption>{label}: mean of row '
    yield "minus column, 95 % interval, n, p after Holm, Cohen's d</caption><thead><tr><td></td>"
    yield "".join(f"<th scope='col'>{name}</th>" for name in names) + "</tr></thead><tbody>"
    for row, name in enumerate(names):
        yield f"<tr><th scope='row'>{name}</th>"
        for column in range(len(names)):
            yield "<td></td>" if row == column else _pair(found.isel(first=row, second=column))
        yield "</tr>"
    yield "</tbody></table></div>"


def _pair(cell: xr.Dataset) -> str:
    n = int(cell["n"])
    if not np.isfinite(float(cell["p_value"])):
        return f'<td class="none">n = {n}</td>'
    sign, words = SIGNS[int(cell["better"])]
    low, high, adjusted, size = (number(float(cell[name])) for name in ("low", "high", "adjusted", "cohens_d"))
    return (
        f'<td><span title="{words}">{sign}</span> {number(float(cell["difference"]))}<br>'
        f"<small>{low} to {high}; n = {n}<br>p = {adjusted}, d = {size}</small></td>"
    )


def _agreement(table: xr.Dataset, own: xr.Dataset, model: str, data: str, resamples: int) -> Iterator[str]:
    from workbench.evaluate import ranking_agreement

    metrics = [str(name) for name in own["metric"].values if (own["n"].sel(metric=name) > 0).any()]
    methods = [
        str(name) for name in own["method"].values if (own.sel({"method": name, "metric": metrics})["n"] > 0).all()
    ]
    if len(metrics) < 2 or len(methods) < 3:
        return
    try:
        found = ranking_agreement(table, metrics=metrics, methods=methods, model=model, data=data, resamples=resamples)
    except InputError as error:
        yield f"<p>Rankings were not compared: {html.escape(str(error))}</p>"
        return
    label = html.escape(
        f"Kendall's tau between rankings of {count(len(methods), 'method')}, {model} on {data}", quote=True
    )
    yield "<h4>Do the metrics rank the methods alike</h4><p>1: the same ranking; 0: nothing in common; "
    yield "\N{MINUS SIGN}1: the opposite. Better methods come first whichever way a metric points; intervals are over "
    yield f"images.</p><details><summary>{label}</summary>"
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{label}">'
    yield "<table><thead><tr><td></td>"
    yield "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in metrics) + "</tr></thead><tbody>"
    for row, name in enumerate(metrics):
        yield f"<tr><th scope='row'>{html.escape(name)}</th>"
        yield "".join(
            "<td></td>" if row == column else _tau(found.isel(first=row, second=column))
            for column in range(len(metrics))
        )
        yield "</tr>"
    yield "</tbody></table></div></details>"


def _tau(cell: Any) -> str:
    tau, low, high = (float(cell[name]) for name in ("tau", "low", "high"))
    if tau != tau:
        return '<td class="none">ties all</td>'
    interval = "no interval" if low != low else f"{number(low)} to {number(high)}"
    return f"<td>{number(tau)}<br><small>{interval}; n = {int(cell['n'])}</small></td>"


def _missing(table: xr.Dataset) -> Iterator[str]:
    notes: dict[str, list[str]] = {}
    fits = (table["kind"] == table["metric_kind"]).transpose("method", "metric").values
    for index, note in np.ndenumerate(table["note"].values):
        if note and fits[index[0], index[1]]:
            where = [str(table[dim].values[place]) for dim, place in zip(table["note"].dims, index, strict=True)]
            notes.setdefault(str(note), []).append(f"{where[0]} by {where[1]} ({where[2]}, {where[3]})")
    if not notes:
        return
    yield "<section><h2>Why there is no number</h2><dl>"
    for note, places in notes.items():
        few = "; ".join(places[:6]) + (f"; and {len(places) - 6} more" if len(places) > 6 else "")
        yield f"<dt>{html.escape(note)}</dt><dd>{html.escape(few)}</dd>"
    yield "</dl></section>"


def _again(table: xr.Dataset) -> Iterator[str]:
    description = str(table.attrs.get("description", ""))
    versions = json.loads(str(table.attrs.get("versions", "{}")))
    yield "<section><h2>To run it again</h2><p>Whoever has the same hash has run the same comparison.</p>"
    yield "<pre>from pathlib import Path\nfrom workbench import evaluate\n"
    yield 'protocol = evaluate.Protocol.from_json(Path("protocol.json").read_text())\n'
    yield 'table = protocol.run(path="results", progress=True)</pre>'
    yield f"<details><summary>protocol.json</summary><pre>{html.escape(description)}</pre></details>"
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"<p><small>Made with {html.escape(used)}.</small></p></section>"
