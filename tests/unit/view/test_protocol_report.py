"""The page and the CSV of a protocol: complete, self-contained, and in words too."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from workbench import evaluate, view
from workbench.data.scenes import SceneSource
from workbench.errors import InputError


@pytest.fixture(scope="module")
def table() -> xr.Dataset:
    return evaluate.Protocol(
        methods=["gradcam", "saliency", "random_maps", "random_units"],
        models=["scenes_part"],
        data=[evaluate.DataChoice.of(SceneSource("part", 8, seed=5), name="<scenes> & parts")],
        metrics=["pointing_game", "sparseness", "entropy", "intervention_agreement", "waiou"],
    ).run()


@pytest.fixture(scope="module")
def page(table) -> str:
    return view.protocol_report(table, title="A & B", resamples=199)


class Elements(HTMLParser):
    """Start tags with their attributes; whether each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "line", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def test_it_is_whole_and_needs_nothing_else(page):
    elements = parsed(page)
    assert elements.open in ([], ["p"]), elements.open
    assert page.startswith("<!doctype html>")
    assert "<title>A &amp; B</title>" in page
    for tag, attributes in elements.found:
        assert tag not in ("script", "img", "iframe", "object")
        for name in ("src", "href"):
            assert str(attributes.get(name) or "data:,").startswith("data:")
    assert "url(" not in page
    assert "&lt;scenes&gt; &amp; parts" in page
    assert "<scenes>" not in page


def test_every_drawing_says_in_words_what_it_shows(page, table):
    drawings = [attributes for tag, attributes in parsed(page).found if tag == "svg"]
    fits = (table["kind"] == table["metric_kind"]).values
    scored = np.isfinite(table["value"].values[..., 0, 0]) & fits.reshape(table["value"].shape[:2])
    assert len(drawings) == scored.sum()
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert re.search(r"95 % interval|\d", str(attributes["aria-label"]))


def test_no_number_without_its_n(page, table):
    cells = re.findall(r"<td>(.*?)</td>", page, flags=re.DOTALL)
    numbers = [cell for cell in cells if re.search(r"\d", cell)]
    assert numbers
    for cell in numbers:
        assert "n = " in cell, cell
    assert str(table.attrs["protocol"]) in page
    assert "protocol.json" in page


def test_it_says_why_numbers_are_missing(table):
    failing = table.copy(deep=True)
    failing["note"][0, 0] = "InputError: <no> reason"
    for name in ("value", "low", "high", "score"):
        failing[name][0, 0] = np.nan
    failing["n"][0, 0] = 0
    page = view.protocol_report(failing, resamples=199)
    assert "InputError: &lt;no&gt; reason" in page
    assert "gradcam by pointing_game" in page


def test_it_is_written_where_it_is_wanted(table, page, tmp_path):
    target = tmp_path / "report.html"
    assert view.protocol_report(table, target, title="A & B", resamples=199) == page
    assert target.read_text(encoding="utf-8") == page


def test_the_csv_holds_every_digit(table, tmp_path):
    text = view.protocol_csv(table, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == text
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 4 * 5
    for row in rows:
        place = {name: row[name] for name in ("method", "metric", "model", "data")}
        cell = table.sel(place)
        assert int(row["n"]) == int(cell["n"])
        for name in ("value", "low", "high"):
            expected = float(cell[name])
            assert row[name] == ("" if np.isnan(expected) else repr(expected))
        assert row["protocol"] == table.attrs["protocol"]
        assert bool(row["note"]) == (row["n"] == "0")
    waiou = next(row for row in rows if row["method"] == "random_units" and row["metric"].startswith("waiou"))
    cell = table.sel({name: waiou[name] for name in ("method", "metric", "model", "data")}).sel(
        control="shuffled images"
    )
    for name in ("value", "low", "high", "n"):
        assert float(waiou[f"shuffled images {name}"]) == float(cell[f"control_{name}"])


@pytest.mark.parametrize("write", [view.protocol_report, view.protocol_csv])
def test_other_tables_are_refused(write, table):
    with pytest.raises(InputError, match=r"Protocol\.run"):
        write(xr.Dataset())
    with pytest.raises(InputError, match="note"):
        write(table.drop_vars("note"))
    with pytest.raises(InputError, match="list"):
        write([])
