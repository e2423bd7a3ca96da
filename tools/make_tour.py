"""Executes every notebook top to bottom; leaves each with its figures as HTML in tour/, with a line of progress."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from freshness import ROOT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

WIDGET = "application/vnd.jupyter.widget-view+json"


def peak_megabytes(process: int) -> float | None:
    """The largest memory that a process has held, where the system tells (Linux)."""
    status = Path(f"/proc/{process}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) / 1024 if found else None


def execute(path: Path, *, cell_seconds: int) -> tuple[nbformat.NotebookNode, float, float | None]:
    """Run one notebook in its own folder and kernel.

    Returns:
        The executed notebook, its seconds, and the peak memory of its kernel in MB (None where unknown).
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=cell_seconds,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],  # the kernel's own warnings would break the lines of progress
    )
    start = time.perf_counter()
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        memory = peak_megabytes(client.km.provisioner.pid)
    freeze_widgets(notebook, client.widget_state)
    return notebook, time.perf_counter() - start, memory


def freeze_widgets(notebook: nbformat.NotebookNode, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the headings and pictures of widgets where the widgets were: a page has no kernel to draw them with."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        view = output.get("data", {}).pop(WIDGET, None)
        if view is not None:
            output["data"]["text/html"] = "".join(still_parts(view["model_id"], states))


def still_parts(model: str, states: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What can be seen of a widget and of those inside it without a kernel, as HTML, in their order."""
    state = states.get(model, {})
    if state.get("_model_name") == "HTMLModel":
        yield str(state["value"])
    if str(state.get("source", "")).startswith("data:image/"):
        alt = escape(state.get("alt", ""), quote=True)
        yield f'<img alt="{alt}" width="{state.get("width", "")}" src="{state["source"]}">'
    for child in state.get("children", ()):
        yield from still_parts(child.removeprefix("IPY_MODEL_"), states)


def main() -> None:
    """Tour the notebooks named, or all of them; fail at the end if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="notebooks to execute (default: all)")
    parser.add_argument("--output", type=Path, default=ROOT / "tour", help="folder for the HTML")
    parser.add_argument("--cell-seconds", type=int, default=300, help="limit of one cell")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    arguments.output.mkdir(parents=True, exist_ok=True)
    failed = []
    for number, path in enumerate(paths, start=1):
        print(f"[{number}/{len(paths)}] {path.name} ...", end=" ", flush=True)
        try:
            notebook, seconds, memory = execute(path.resolve(), cell_seconds=arguments.cell_seconds)
        except CellExecutionError as error:
            print("FAILED", flush=True)
            print(error, file=sys.stderr)
            failed.append(path.name)
            continue
        target = arguments.output / path.with_suffix(".html").name
        html, _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": path.stem}})
        target.write_text(html, encoding="utf-8")
        held = "" if memory is None else f", at most {memory:.0f} MB"
        print(f"{seconds:.1f} s{held} -> {target}", flush=True)
    if failed:
        sys.exit(f"{len(failed)} of {len(paths)} notebooks failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
