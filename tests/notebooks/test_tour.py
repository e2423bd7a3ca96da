"""The tour: every notebook executed, HTML left, a line of progress each, and failures told at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]


def write(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def tour(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "make_tour.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "MPLBACKEND": ""})


def test_a_notebook_becomes_html_with_its_figure(tmp_path: Path) -> None:
    picture = 'from IPython.display import HTML\nHTML(\'<img alt="a heatmap" src="data:,">\')'
    notebook = write(tmp_path / "one.ipynb", "import pathlib; print(pathlib.Path.cwd().name)", picture)
    done = tour(notebook, "--output", tmp_path / "tour")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "tour" / "one.html").read_text()
    assert 'alt="a heatmap"' in html
    assert tmp_path.name in html, "a notebook runs in its own folder"
    (line,) = done.stdout.splitlines()
    assert line.startswith("[1/1] one.ipynb ... ")
    assert " s" in line


def test_a_failure_does_not_hide_the_others_and_fails_the_tour(tmp_path: Path) -> None:
    bad, good = write(tmp_path / "a.ipynb", "1 / 0"), write(tmp_path / "b.ipynb", "1")
    done = tour(bad, good, "--output", tmp_path / "tour")
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr
    assert "1 of 2 notebooks failed: a.ipynb" in done.stderr
    assert "[1/2] a.ipynb ... FAILED" in done.stdout
    assert (tmp_path / "tour" / "b.html").exists()


def test_a_widget_becomes_what_could_be_seen_of_it(tmp_path: Path) -> None:
    cell = "import ipywidgets\nipywidgets.VBox([ipywidgets.HTML('<b>a heading</b>'), ipywidgets.IntSlider()])"
    done = tour(write(tmp_path / "widget.ipynb", cell), "--output", tmp_path / "tour")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "tour" / "widget.html").read_text()
    assert "<b>a heading</b>" in html
    assert "widget-view+json" not in html, "without a kernel a widget cannot be drawn"
    assert "VBox(children" not in html
