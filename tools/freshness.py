"""What every generator shares: write its files, or with ``--check`` say which of them are stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def stale(files: Mapping[Path, str]) -> list[Path]:
    """The files that are missing or hold something else."""
    return [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def run(generate: Callable[[], Mapping[Path, str]], description: str) -> None:
    """The command line of a generator: write what changed, or fail where something would change."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is stale")
    arguments = parser.parse_args()
    files = generate()
    changed = stale(files)
    for path in changed:
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8", newline="\n")
        print(f"{'stale' if arguments.check else 'wrote'}: {path.relative_to(ROOT)}", file=sys.stderr)
    if arguments.check and changed:
        sys.exit("Generated files are stale. Run `make docs`, look at what changed, and commit it.")
