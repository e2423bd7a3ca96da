"""Executes every notebook top to bottom; leaves each with its figures as HTML in tour/, with a line of progress."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import nbformat
from freshness import ROOT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter


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
    return notebook, time.perf_counter() - start, memory


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
